package conformance

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"knative.dev/pkg/apis"
	"knative.dev/serving/pkg/apis/config"
	serving "knative.dev/serving/pkg/apis/serving/v1"
	"sigs.k8s.io/yaml"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/knative"
)

// admitted is what the webhook of a cluster with these features says to a
// Service that is created: nil, or paths and reasons.
func admitted(t testing.TB, manifest []byte, features map[string]string) error {
	t.Helper()
	var s serving.Service
	if err := yaml.UnmarshalStrict(manifest, &s); err != nil {
		return err
	}
	c := config.FromContextOrDefaults(context.Background())
	with, err := config.NewFeaturesConfigFromMap(features)
	if err != nil {
		t.Fatal(err)
	}
	ctx := config.ToContext(context.Background(), &config.Config{Defaults: c.Defaults, Features: with, Autoscaler: c.Autoscaler})
	ctx = apis.WithinCreate(ctx)
	s.SetDefaults(ctx)
	if errs := s.Validate(ctx).Filter(apis.ErrorLevel); errs != nil {
		return errs
	}
	return nil
}

// patched is a manifest, in YAML or JSON, with a JSON patch in YAML.
func patched(t testing.TB, manifest, patch []byte) []byte {
	t.Helper()
	doc, err := yaml.YAMLToJSON(manifest)
	if err != nil {
		t.Fatal(err)
	}
	ops, err := yaml.YAMLToJSON(patch)
	if err != nil {
		t.Fatal(err)
	}
	p, err := jsonpatch.DecodePatch(ops)
	if err != nil {
		t.Fatal(err)
	}
	if doc, err = p.Apply(doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

var needs = regexp.MustCompile(`(?m)# Needs (\S+): enabled in the ConfigMap$`)

// features are those of Serving that the comments of a golden's files name, of
// the base and of one overlay with what it is on.
func features(t testing.TB, golden, overlay string) map[string]string {
	t.Helper()
	found := map[string]string{}
	dirs := []string{"base", "overlays/" + overlay, "overlays/cpu", "overlays/gpu"}
	for _, dir := range dirs {
		all, err := filepath.Glob(filepath.Join(golden, dir, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range all {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range needs.FindAllSubmatch(text, -1) {
				found[string(m[1])] = "enabled"
			}
		}
	}
	return found
}

// rendered is what becomes of a target's keys; err is the spec's or the renderer's.
func rendered(t testing.TB, keys string) ([]render.File, error) {
	t.Helper()
	s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\nauth: none\ntargets: {knative: {"+keys+"}}\n"))
	if err != nil {
		return nil, err
	}
	return knative.Render(&render.Deployment{Spec: s, Digest: digest, Image: "registry.example.com/acme/m@" + digest})
}

const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// What godwit.yaml allows at the ends of each range, a cluster allows as well.
func TestEndsOfRangesAreAdmitted(t *testing.T) {
	for _, keys := range []string{
		"cpu: 10m", "memory: 32MiB", "memory: 1500MB", "gpu: 16", "minScale: 10000", "maxScale: 0", "maxScale: 10000", "initialScale: 1", "initialScale: 10", "activationScale: 2", "activationScale: 10",
		"concurrency: 0", "concurrency: 1000", "metric: rps", "target: 0.01", "target: 123456789.25", "targetUtilization: 1%", "targetUtilization: 100%", "window: 6s", "window: 1h", "panicWindow: 1%", "panicWindow: 100%",
		"panicThreshold: 110%", "panicThreshold: 1000%", "scaleDownDelay: 1h", "scaleToZeroPodRetention: 1h", "timeout: 1s", "timeout: 10m", "progressDeadline: 1s", "progressDeadline: 24h", "rolloutDuration: 1s", "rolloutDuration: 24h",
		"class: hpa", "class: hpa, target: 100, minScale: 1", "class: hpa, metric: memory, target: 4000", "visibility: cluster-local", "mesh: istio", "mesh: linkerd", "mesh: other", "serviceAccount: a.b-c",
		"namespace: " + strings.Repeat("n", 63), "env: {A_1: a, _b: ' '}", "secrets: {A: a.b/_.c-D, B: c}",
		"minScale: 3, maxScale: 3, initialScale: 3, activationScale: 3",
	} {
		files, err := rendered(t, keys)
		if err != nil {
			t.Errorf("%s: %v", keys, err)
			continue
		}
		overlay := "overlays/cpu"
		if strings.HasPrefix(keys, "gpu") {
			overlay = "overlays/gpu"
		}
		service := one(t, built(t, inMemory(t, files), overlay), "Service")
		if err := admitted(t, service, nil); err != nil {
			t.Errorf("%s: %v", keys, err)
		}
	}
}

// kubectl's reader of YAML, which knows an older version of it, sees the same texts.
func TestTextsAsKubectlReadsThem(t *testing.T) {
	for _, text := range []string{
		`"`, "'", `\`, "a\nb: c", "a: b # c", "- x", "{{ x }}", "$HOME", "true", "No", "y", "null", "~", "", " a ", "0x10", "0o7", "012", "1e3", "1_000", "12:30:45", ".5", ".inf", "2026-01-02", "<<", "=",
		"\t\x00\x7f\u0085\u2028\ufeff", "é\U0001F986", "---\nkind: Secret", "*a", "&a", "!!b", "%", "@", "|", ">-", "500m", "30s", "768Mi", "../../base", "a.b/c-d~e",
	} {
		s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\nauth: none\ntargets: {knative: {env: {A: b}}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		s.Targets.Knative.Env["A"] = text
		files, err := knative.Render(&render.Deployment{Spec: s, Digest: digest, Image: "registry.example.com/acme/m@" + digest})
		if err != nil {
			t.Fatal(err)
		}
		var got serving.Service
		for _, f := range files {
			if f.Path != "base/service.yaml" {
				continue
			}
			if err := yaml.UnmarshalStrict(f.Data, &got); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
		if env := got.Spec.Template.Spec.Containers[0].Env; len(env) != 2 || env[1].Value != text {
			t.Errorf("%q: got %+v", text, env)
		}
	}
}

// kustomize's merge of an overlay reaches the container.
func TestPatchReachesTheService(t *testing.T) {
	files, err := rendered(t, "gpu: 2")
	if err != nil {
		t.Fatal(err)
	}
	var s serving.Service
	if err := yaml.UnmarshalStrict(one(t, built(t, inMemory(t, files), "overlays/gpu"), "Service"), &s); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, q := range s.Spec.Template.Spec.Containers[0].Resources.Limits {
		got[string(name)] = q.String()
	}
	if diff := cmp.Diff(map[string]string{"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "2"}, got); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}
