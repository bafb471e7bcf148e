package cdk_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
)

// sageMakerVariants are the stacks that SageMaker's rules are held against.
var sageMakerVariants = map[string][2]string{
	"realtime":   {"maxInstances: 3, vpc: {subnets: [subnet-0a1b2c3d], securityGroups: [sg-0a1b2c3d]}", ""},
	"serverless": {"mode: serverless, kmsKey: '" + keyARN + "'", "compliance: hipaa"},
	"async":      {"mode: async, asyncOutput: 's3://answers/m/', minInstances: 0, maxInstances: 2", "compliance: aws-solutions"},
	"transform":  {"mode: transform", "batch: {input: 's3://rows/in/', output: 's3://scores/out/'}\ncompliance: hipaa"},
}

// What no template of another stack may have, these have not either; and every
// wildcard is in testdata/wildcards-sagemaker.txt, which has the reasons.
func TestSageMakerRules(t *testing.T) {
	general := []string{"inline", "action", "trust", "queue", "bucket", "log", "custom", "removal", "secret", "size"}
	want := map[string]bool{}
	text, err := os.ReadFile("testdata/wildcards-sagemaker.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			want[line] = true
		}
	}
	got := map[string]bool{}
	for name, v := range sageMakerVariants {
		out := t.TempDir()
		f := sageMakerFunction(t, v[0], v[1])
		// It fits CloudFormation's schemas, by CDK's own check.
		if err := cdk.Synthesise(func() awscdk.App {
			a := cdk.NewApp(out)
			cdk.NewSageMakerStack(a, "m-sagemaker", &cdk.StackProps{Function: f})
			return a
		}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		raw, err := os.ReadFile(filepath.Join(out, "m-sagemaker.template.json"))
		if err != nil {
			t.Fatal(err)
		}
		d := parseTemplate(t, raw)
		d.spec = f.Spec
		for _, r := range rules {
			if slices.Contains(general, r.name) {
				r.check(d, func(res *resource, format string, args ...any) {
					t.Errorf("%s: %s: %v "+format, append([]any{name, r.name, res}, args...)...)
				})
			}
		}
		for _, s := range append(d.identities(), d.resourced()...) {
			for _, w := range wildcards(s) {
				got[w] = true
			}
		}
		if f.Spec.Compliance == "none" {
			continue
		}
		for _, finding := range unacknowledged(nagged(t, out, "m-sagemaker")) {
			t.Errorf("%s: not acknowledged: %s", name, finding)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wildcards (-want +got):\n%s", diff)
	}
}
