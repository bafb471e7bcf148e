package bake_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/bake"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/fault"
)

func TestFunctionsAreBakedForTheirTarget(t *testing.T) {
	for _, c := range []struct {
		name, target, more string
		cold               bool
		why                string // of the first model
	}{
		{"Lambda", "awslambda", "", true, ""},
		{"Lambda with deliveries of many", "awslambda", "triggers: [queue]\nbatch: {input: in/, output: out/}\n", false, ""},
		{"containers", "cloudrun", "", false, ""},
		{"a GPU", "knative", "targets: {knative: {gpu: 1, provider: cuda}}\n", false, `"cuda"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := function(t, "small", testmodels.Small())
			write(t, filepath.Join(dir, "random.onnx"), testmodels.Random().Bytes())
			write(t, filepath.Join(dir, "godwit.yaml"), []byte("models:\n  - {name: small, path: small.onnx}\n  - {name: random, path: random.onnx}\n"+c.more))
			s, err := spec.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			all, err := bake.Function(t.Context(), drivertest.ONNXRuntime(t), dir, s, t.TempDir(), c.target, "")
			if err != nil {
				t.Fatal(err)
			}
			if len(all) != 2 || all[1].Name != "random" || len(all[1].Forms) != 0 || all[1].Why == "" {
				t.Fatalf("%+v, want the second as it is, with the reason", all)
			}
			if c.why != "" {
				if len(all[0].Forms) != 0 || !strings.Contains(all[0].Why, c.why) {
					t.Errorf("%+v, want it as it is because of %s", all[0], c.why)
				}
				return
			}
			var g app.Graph
			if err := json.Unmarshal(all[0].Forms[0].Baked.Graph, &g); err != nil || g.Unpacked != c.cold {
				t.Errorf("%+v, %v, want unpacked %v", g, err, c.cold)
			}
		})
	}
	dir := function(t, "small", testmodels.Small())
	write(t, filepath.Join(dir, "small.onnx"), []byte("no model"))
	s, err := spec.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bake.Function(t.Context(), drivertest.ONNXRuntime(t), dir, s, t.TempDir(), "cloudrun", ""); fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), `model "small"`) {
		t.Errorf("no model: %v, want BadModel with its name", err)
	}
}
