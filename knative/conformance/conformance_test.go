package conformance

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// named are the features that the comments of files name.
func named(files ...[]byte) map[string]string {
	found := map[string]string{}
	for _, m := range needs.FindAllSubmatch(bytes.Join(files, []byte("\n")), -1) {
		found[string(m[1])] = "enabled"
	}
	return found
}

// Every golden Service is admitted by a cluster with the features that its own
// comments name, and without any one of them it is not.
func TestGoldenServicesAreAdmitted(t *testing.T) {
	goldens, err := filepath.Glob("../testdata/golden/*")
	if err != nil || len(goldens) < 5 {
		t.Fatalf("%d goldens, %v", len(goldens), err)
	}
	for _, dir := range goldens {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			service, err := os.ReadFile(filepath.Join(dir, "base", "service.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			features := named(service)
			if err := admitted(t, service, features); err != nil {
				t.Errorf("base: %v", err)
			}
			patches, err := filepath.Glob(filepath.Join(dir, "overlays", "*", "nodes.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range patches {
				patch, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				maps.Copy(features, named(patch))
				service = patched(t, service, patch)
			}
			if err := admitted(t, service, features); err != nil {
				t.Errorf("overlay: %v", err)
			}
			for _, f := range slices.Sorted(maps.Keys(features)) {
				fewer := maps.Clone(features)
				delete(fewer, f)
				if err := admitted(t, service, fewer); err == nil {
					t.Errorf("admitted without %s, which a comment says is needed", f)
				}
			}
		})
	}
}

// good is a Service that is admitted, for tests to spoil.
func good(t testing.TB) []byte {
	t.Helper()
	files, err := rendered(t, "")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(files, func(f render.File) bool { return f.Path == "base/service.yaml" })
	return files[i].Data
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

// What Knative refuses of a manifest, godwit.yaml cannot even say: the same
// mistake is refused before there is a manifest, with a path of its own.
func TestMistakesAreRefusedTwice(t *testing.T) {
	const (
		autoscaling = "/spec/template/metadata/annotations/autoscaling.knative.dev~1"
		container   = "/spec/template/spec/containers/0"
	)
	tests := []struct {
		name, keys, ours  string // ours: in the words of spec or the renderer; "": it cannot be said
		path, value, seen string // of the manifest; seen: the field path that Knative names
	}{
		{"a name with an upper-case letter", "", "", "/metadata/name", "M", "metadata.name"},
		{"min above max", "minScale: 5, maxScale: 2", "targets.knative.maxScale", autoscaling + "min-scale", `"11"`, "spec.template.metadata.annotations"},
		{"a scale below zero", "minScale: -1", "targets.knative.minScale", autoscaling + "min-scale", `"-1"`, "spec.template.metadata.annotations.autoscaling.knative.dev/min-scale"},
		{"a metric of the other class", "metric: cpu", "targets.knative.metric", autoscaling + "metric", "cpu", "autoscaling.knative.dev/metric"},
		{"an unknown class", "class: keda", "targets.knative.class", autoscaling + "class", "keda.autoscaling.knative.dev", "autoscaling.knative.dev/class"},
		{"a target of nothing", "target: 0.001", "targets.knative.target", autoscaling + "target", `"0.001"`, "autoscaling.knative.dev/target"},
		{"more than all of the target", "targetUtilization: 101%", "targets.knative.targetUtilization", autoscaling + "target-utilization-percentage", `"101"`, "autoscaling.knative.dev/target-utilization-percentage"},
		{"a short window", "window: 5s", "targets.knative.window", autoscaling + "window", "5s", "autoscaling.knative.dev/window"},
		{"a window of parts of seconds", "window: 6500ms", "targets.knative.window", autoscaling + "window", "6500ms", "autoscaling.knative.dev/window"},
		{"a panic window over all", "panicWindow: 101%", "targets.knative.panicWindow", autoscaling + "panic-window-percentage", `"101"`, "autoscaling.knative.dev/panic-window-percentage"},
		{"no panic at all", "panicThreshold: 109%", "targets.knative.panicThreshold", autoscaling + "panic-threshold-percentage", `"109"`, "autoscaling.knative.dev/panic-threshold-percentage"},
		{"one pod when leaving zero", "activationScale: 1", "targets.knative.activationScale", autoscaling + "activation-scale", `"1"`, "autoscaling.knative.dev/activation-scale"},
		{"more pods when leaving zero than at most", "activationScale: 11", "targets.knative.activationScale", autoscaling + "activation-scale", `"11"`, "spec.template.metadata.annotations"},
		{"none at first", "initialScale: 0", "targets.knative.initialScale", autoscaling + "initial-scale", `"0"`, "spec.template.metadata.annotations"},
		{"a long delay", "scaleDownDelay: 2h", "targets.knative.scaleDownDelay", autoscaling + "scale-down-delay", "2h", "autoscaling.knative.dev/scale-down-delay"},
		{"a long retention", "scaleToZeroPodRetention: 61m", "targets.knative.scaleToZeroPodRetention", autoscaling + "scale-to-zero-pod-retention-period", "61m", "autoscaling.knative.dev/scale-to-zero-pod-retention-period"},
		{"a deadline that has passed", "progressDeadline: 0s", "targets.knative.progressDeadline", "/spec/template/metadata/annotations/serving.knative.dev~1progress-deadline", "-1s", "progress-deadline"},
		{"too many at a time", "concurrency: 1001", "targets.knative.concurrency", "/spec/template/spec/containerConcurrency", "1001", "spec.template.spec.containerConcurrency"},
		{"a request without end", "timeout: 11m", "targets.knative.timeout", "/spec/template/spec/timeoutSeconds", "660", "spec.template.spec.timeoutSeconds"},
		{"a variable of Knative's own", "env: {K_SERVICE: a}", "targets.knative.env.K_SERVICE", container + "/env/0", "{name: K_SERVICE, value: a}", "spec.template.spec.containers[0].env[0].name"},
		{"the port as a variable", "env: {PORT: '9'}", "targets.knative.env.PORT", container + "/env/0", "{name: PORT, value: '9'}", "spec.template.spec.containers[0].env[0].name"},
		{"a service account with an underscore", "serviceAccount: a_b", "targets.knative.serviceAccount", "/spec/template/spec/serviceAccountName", "a_b", "spec.template.spec.serviceAccountName"},
		{"no image", "", "", container + "/image", `""`, "spec.template.spec.containers[0].image"},
		{"queue-proxy's port", "", "", container + "/ports/0/containerPort", "8012", "spec.template.spec.containers[0].ports"},
		{"a privileged container", "", "", container + "/securityContext/privileged", "true", "spec.template.spec.containers[0].securityContext.privileged"},
		{"the host's network", "", "", "/spec/template/spec/hostNetwork", "true", "spec.template.spec.hostNetwork"},
		{"a readiness probe with a timeout and no period", "", "", container + "/readinessProbe/timeoutSeconds", "3", "spec.template.spec.containers[0].readinessProbe.timeoutSeconds"},
		{"a field that does not exist", "", "", "/spec/template/spec/gpus", "1", `unknown field "gpus"`},
	}
	manifest := good(t)
	if err := admitted(t, manifest, nil); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			op := "- {op: add, path: " + tt.path + ", value: " + tt.value + "}"
			if strings.Contains(tt.path, "/env/0") {
				op = strings.Replace(op, "add", "replace", 1)
			}
			err := admitted(t, patched(t, manifest, []byte(op)), nil)
			if err == nil || !strings.Contains(err.Error(), tt.seen) {
				t.Errorf("Knative: got %v, want %q", err, tt.seen)
			}
			if tt.ours == "" {
				return
			}
			if files, err := rendered(t, tt.keys); err == nil || !strings.Contains(err.Error(), tt.ours) {
				t.Errorf("%s: got %d files, %v; want %q", tt.keys, len(files), err, tt.ours)
			}
		})
	}
}

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
		byPath := map[string][]byte{}
		for _, f := range files {
			byPath[f.Path] = f.Data
		}
		service := byPath["base/service.yaml"]
		if patch, ok := byPath["overlays/gpu/nodes.yaml"]; ok {
			service = patched(t, service, patch)
		}
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

// kubectl and kustomize make of the files what the patch here makes.
func TestPatchReachesTheService(t *testing.T) {
	files, err := rendered(t, "gpu: 2")
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string][]byte{}
	for _, f := range files {
		byPath[f.Path] = f.Data
	}
	var s serving.Service
	if err := yaml.UnmarshalStrict(patched(t, byPath["base/service.yaml"], byPath["overlays/gpu/nodes.yaml"]), &s); err != nil {
		t.Fatal(err)
	}
	limits := s.Spec.Template.Spec.Containers[0].Resources.Limits
	got := map[string]string{}
	for name, q := range limits {
		got[string(name)] = q.String()
	}
	if diff := cmp.Diff(map[string]string{"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "2"}, got); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}
