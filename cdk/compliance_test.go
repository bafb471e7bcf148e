package cdk_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/cdk"
	"godwit.dev/internal/golden"
	"godwit.dev/runtime/fault"
)

// TestCompliance compares what the rule packs find with testdata/compliance: a
// finding that is new fails, and so does one that is gone. One that nobody
// acknowledged fails whatever the files say.
func TestCompliance(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			p := v.proven(t)
			if p.spec.Compliance == "none" {
				return
			}
			for _, f := range unacknowledged(p.found) {
				t.Error("not acknowledged: ", f)
			}
			golden.Check(t, "compliance/"+v.name+".txt", []byte(strings.Join(p.found, "\n")+"\n"))
		})
	}
}

// unacknowledged is those findings for which no reason is given.
func unacknowledged(found []string) []string {
	return slices.DeleteFunc(slices.Clone(found), func(l string) bool { return strings.HasPrefix(l, "Suppressed ") })
}

// nagged is what cdk-nag found, as "Suppressed RULE path: reason", sorted.
func nagged(t testing.TB, out, stack string) []string {
	t.Helper()
	reports, _ := filepath.Glob(filepath.Join(out, "*-NagReport.csv"))
	if len(reports) != 1 {
		t.Fatalf("want one report of cdk-nag, got %d", len(reports))
	}
	r, err := os.Open(reports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lines, err := csv.NewReader(r).ReadAll()
	if err != nil || len(lines) < 2 {
		t.Fatalf("want a report of cdk-nag with findings and what complies, got %d lines: %v", len(lines), err)
	}
	var all []string
	for _, l := range lines[1:] {
		rule, path, compliance, reason := l[0], l[1], l[2], l[3]
		if compliance != "Compliant" {
			all = append(all, fmt.Sprintf("%s %s %s: %s", compliance, rule, strings.TrimPrefix(path, stack+"/"), reason))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A finding of a construct that is not ours stays a finding until it is
// acknowledged, and then for what is named alone.
func TestAddCompliance(t *testing.T) {
	ack := cdk.Acknowledgement{ID: "AwsSolutions-S1", Path: "Rows/Resource", Reason: "The test's own bucket."}
	tests := []struct {
		name, profile string
		own           []cdk.Acknowledgement
		want          []string
	}{
		{"nobody asked", "none", nil, nil},
		{"found", "aws-solutions", nil, []string{"Non-Compliant AwsSolutions-S1 Rows/Resource: N/A"}},
		{"acknowledged", "aws-solutions", []cdk.Acknowledgement{ack}, []string{"Suppressed AwsSolutions-S1 Rows/Resource: The test's own bucket."}},
		{"acknowledged elsewhere", "aws-solutions", []cdk.Acknowledgement{{ID: ack.ID, Path: "Scores/Resource", Reason: ack.Reason}}, []string{"Non-Compliant AwsSolutions-S1 Rows/Resource: N/A"}},
		{"other rules", "hipaa", []cdk.Acknowledgement{ack}, []string{
			"Non-Compliant HIPAA.Security-S3BucketLoggingEnabled Rows/Resource: N/A", "Non-Compliant HIPAA.Security-S3BucketReplicationEnabled Rows/Resource: N/A",
			"Non-Compliant HIPAA.Security-S3BucketVersioningEnabled Rows/Resource: N/A", "Non-Compliant HIPAA.Security-S3DefaultEncryptionKMS Rows/Resource: N/A",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := t.TempDir()
			err := cdk.Synthesise(func() awscdk.App {
				a := cdk.NewApp(out)
				s := awscdk.NewStack(a, jsii.String("s"), nil)
				awss3.NewBucket(s, jsii.String("Rows"), &awss3.BucketProps{BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(), EnforceSSL: jsii.Bool(true)})
				cdk.AddCompliance(s, tt.profile, tt.own...)
				return a
			})
			var found []string
			if tt.profile != "none" {
				found = nagged(t, out, "s")
			}
			if diff := cmp.Diff(tt.want, found); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if open := unacknowledged(found); (err != nil) != (len(open) > 0) {
				t.Errorf("want the synthesis to fail exactly where a finding is open, got %v", err)
			}
		})
	}
	if e := refused(t, func() { cdk.AddCompliance(awscdk.NewStack(cdk.NewApp(t.TempDir()), jsii.String("s"), nil), "pci") }); fault.CodeOf(e) != fault.BadConfig {
		t.Errorf("want BadConfig for a profile that there is not, got %v", e)
	}
}
