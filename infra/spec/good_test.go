package spec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"godwit.dev/internal/golden"
)

// plainData compares what a Spec says and not what it remembers of its file.
var plainData = cmpopts.IgnoreUnexported(Spec{})

func goodFiles(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(paths) < 5 {
		t.Fatalf("found %d good specs, %v", len(paths), err)
	}
	files := map[string][]byte{}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(p), ".yaml")] = data
	}
	return files
}

func mustParse(t testing.TB, data []byte) *Spec {
	t.Helper()
	s, err := Parse(FileName, data)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, data)
	}
	return s
}

func TestGoodSpecs(t *testing.T) {
	for name, data := range goodFiles(t) {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, data)
			written, err := s.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			got.Write(written)
			got.WriteString("\n# Defaults:\n")
			for _, d := range s.Defaults() {
				fmt.Fprintf(&got, "# %s: %s (%s)\n", d.Path, d.Value, d.Why)
			}
			golden.Check(t, "good/"+name+".golden", got.Bytes())

			again := mustParse(t, written)
			if diff := cmp.Diff(s, again, plainData); diff != "" {
				t.Errorf("Parse of Marshal (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(s.Defaults(), again.Defaults()); diff != "" {
				t.Errorf("defaults after Marshal (-want +got):\n%s", diff)
			}
		})
	}
}

// A default that breaks its own key's rule would make a list of defaults print
// what nobody can write.
func TestDefaultsCanBeWrittenOut(t *testing.T) {
	for name, data := range goodFiles(t) {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, data)
			written := *s
			written.given = map[string]place{}
			for p := range s.given {
				written.given[p] = place{}
			}
			for _, d := range s.defaults {
				written.given[d.Path] = place{}
			}
			text, err := written.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			got := mustParse(t, text)
			if diff := cmp.Diff(s, got, plainData); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, text)
			}
			if len(got.Defaults()) != 0 {
				t.Errorf("with every default written out there are still defaults: %v", got.Defaults())
			}
		})
	}
}

func TestDesignsFullSpec(t *testing.T) {
	data := goodFiles(t)["full"]
	got := mustParse(t, data)
	want := Model{
		Name: "digits", Version: "1", Path: "digits.onnx",
		Batching: Batching{Mode: "auto"}, Cache: Cache{Mode: "on", MaxBytes: 32 * MiB}, Threads: Threads{Mode: "auto"}, NaNPolicy: "error",
	}
	if diff := cmp.Diff([]Model{want}, got.Models); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&Budget{ColdStart: Duration(300e6), Zip: 24_000_000}, got.Budget); diff != "" {
		t.Errorf("budget (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"awslambda", "cloudrun", "azurefunctions", "knative"}, got.Targets.Names()); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if l := got.Targets.AWSLambda; l.Memory != 1769<<20 || l.Timeout != Duration(29e9) || l.Provider != "cpu" {
		t.Errorf("awslambda = %+v", l)
	}
	if k := got.Targets.Knative; k.MaxScale != 20 || k.GPU != 1 || k.Provider != "cuda" || k.ProgressDeadline != 20*minute {
		t.Errorf("knative = %+v", k)
	}
	if c := got.Targets.Common("cloudrun"); c == nil || c.Provider != "cuda" {
		t.Errorf("common of cloudrun = %+v", c)
	}
	if c := got.Targets.Common("edge"); c != nil {
		t.Errorf("common of a target that is not there = %+v", c)
	}
	if !got.Given("targets.knative.minScale") || got.Given("targets.knative.cpu") {
		t.Error("Given: want minScale given and cpu not")
	}
}

func TestNewAndMarshal(t *testing.T) {
	s, err := New("models/Fraud Model.v2.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if s.Models[0].Name != "Fraud_Model.v2" || s.Name != "fraud-model-v2" {
		t.Errorf("names = %q, %q", s.Models[0].Name, s.Name)
	}
	s.Models[0].Batching.Mode = "off"
	s.Targets.Knative = &Knative{GPU: 2, Mesh: "istio"}
	got, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := `# What runs, where and how big. What is left out has a default, listed in docs/spec.md of Godwit.
models:
  - path: "models/Fraud Model.v2.onnx"
    batching: off
targets: {knative: {gpu: 2, mesh: istio}}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	byHand := &Spec{Models: []Model{{Path: "x.onnx"}}, Auth: Auth{Mode: "key", Key: &Key{Env: "KEYS"}}, Targets: Targets{AWSLambda: &AWSLambda{Memory: 2 * GiB}}}
	got, err = byHand.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want = `# What runs, where and how big. What is left out has a default, listed in docs/spec.md of Godwit.
model: x.onnx
auth: {key: {env: KEYS}}
targets: {awslambda: {memory: 2GiB}}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if _, err := (&Spec{Models: []Model{{Path: "../x.onnx"}}}).Marshal(); err == nil {
		t.Error("a spec that Parse refuses was written")
	}
}

func TestModelName(t *testing.T) {
	tests := []struct{ path, want string }{
		{"fraud.onnx", "fraud"},
		{"a/b/resnet50-v2.7.onnx", "resnet50-v2.7"},
		{"my model (1).onnx", "my_model__1_"},
		{".onnx", "onnx"},
		{"_x.onnx", "x"},
		{"日本.onnx", "model"},
		{"s3://bucket/path/fraud.v1.onnx", "fraud.v1"},
		{"https://h/m.onnx?download=true", "m"},
		{"oci://ghcr.io/acme/fraud:1.2", "fraud"},
		{strings.Repeat("x", 200) + ".onnx", strings.Repeat("x", 128)},
	}
	for _, tt := range tests {
		if got := ModelName(tt.path); got != tt.want {
			t.Errorf("ModelName(%q) = %q, want %q", tt.path, got, tt.want)
		}
	}
}
