package pack

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/manifest"
)

// cyclonedx is the published schema of CycloneDX 1.6, as PyPI's
// cyclonedx-python-lib 11.12.0 distributes it.
func cyclonedx(t testing.TB) *jsonschema.Schema {
	t.Helper()
	z, err := zip.OpenReader(filepath.Join("testdata", "cyclonedx-1.6.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	const base = "http://cyclonedx.org/schema/"
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, ".json") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(base+f.Name, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile(base + "bom-1.6.SNAPSHOT.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t testing.TB, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// bill is the bill of materials of the tree, and what the manifest says of it.
func bill(t testing.TB, tree *Tree) (text []byte, b bom, m *manifest.Manifest) {
	t.Helper()
	for _, f := range tree.Files {
		switch f.Path {
		case SBOMName:
			text = f.Data
		case manifest.Name:
			var err error
			if m, err = manifest.Parse(f.Path, f.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		t.Fatal(err)
	}
	return text, b, m
}

// described is a model that says all that a model can, with its weights in a
// file of their own.
func described(t testing.TB) string {
	m := testmodels.MatMul(4, 3, 1)
	m.Producer, m.ProducerVersion, m.Doc, m.Version = "pytorch", "2.9.1", "Knows \"<fraud>\".", 7
	m.Metadata = [][2]string{{"License", "apache-2.0"}, {"other", "x"}}
	return m.ExternalFile(t, "fraud")
}

func property(c *bomComponent, name string) string {
	all := c.Properties
	if c.ModelCard != nil {
		all = append(slices.Clone(all), c.ModelCard.Properties...)
	}
	for _, p := range all {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

func TestSBOM(t *testing.T) {
	self, err := os.Executable() // a program that the linker wrote its modules into
	if err != nil {
		t.Fatal(err)
	}
	b := built(t)
	b.Server = self
	tree, err := Contents(t.Context(), described(t), &Options{Target: "cloudrun", Built: b})
	if err != nil {
		t.Fatal(err)
	}
	text, got, m := bill(t, tree)
	schema := cyclonedx(t)
	if err := valid(t, schema, text); err != nil {
		t.Errorf("against CycloneDX's schema: %v", err)
	}
	byRef := map[string]*bomComponent{"function": &got.Metadata.Component}
	for i := range got.Components {
		c := &got.Components[i]
		if byRef[c.Ref] != nil {
			t.Errorf("%q is there twice", c.Ref)
		}
		byRef[c.Ref] = c
	}
	for _, d := range got.Dependencies {
		for _, ref := range append(d.DependsOn, d.Ref) {
			if byRef[ref] == nil {
				t.Errorf("a dependency on %q, which is no component", ref)
			}
		}
	}

	engine := byRef["pkg:github/microsoft/onnxruntime@v1.31.1"]
	if engine == nil || engine.Version != "1.31.1" || engine.Licenses[0].License.ID != "MIT" || engine.Hashes[0].Content != m.Runtime.SHA256 {
		t.Errorf("ONNX Runtime is %+v", engine)
	}
	if cxx := byRef["lib/libstdc++.so.6"]; cxx == nil || cxx.Hashes[0].Content != m.File("lib/libstdc++.so.6").SHA256 || !strings.Contains(cxx.Licenses[0].Expression, "GCC-exception") {
		t.Errorf("the C++ library is %+v", cxx)
	}
	if p := byRef[programRef]; p.Hashes[0].Content != m.File("fn-server").SHA256 {
		t.Errorf("the program is %+v", p)
	}
	std := "pkg:golang/std@" + strings.TrimPrefix(runtime.Version(), "go")
	if byRef[std] == nil {
		t.Errorf("want %s, which every program of Go contains", std)
	}

	fraud := byRef["model:fraud/1"]
	if fraud == nil || fraud.Type != "machine-learning-model" {
		t.Fatalf("the model is %+v", fraud)
	}
	if diff := cmp.Diff(&bomParameters{Architecture: "g", Inputs: []bomTensor{{"x: tensor(float)[N 4]"}}, Outputs: []bomTensor{{"y: tensor(float)[N 3]"}}}, &fraud.ModelCard.Parameters); diff != "" {
		t.Errorf("the model's card (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"godwit:model:digest": m.Models[0].Digest, "godwit:onnx:opset:ai.onnx": "17", "godwit:onnx:ir_version": "8", "godwit:onnx:producer": "pytorch 2.9.1",
		"godwit:onnx:model_version": "7", "godwit:onnx:operator:MatMul": "1", "godwit:onnx:weights": "1 tensors, 48 bytes",
	} {
		if got := property(fraud, name); got != want {
			t.Errorf("want %s %q, got %q", name, want, got)
		}
	}
	if fraud.Description != `Knows "<fraud>".` || fraud.Licenses[0].License.ID != "Apache-2.0" {
		t.Errorf("want its text and licence, got %q, %+v", fraud.Description, fraud.Licenses)
	}
	var files []string
	for _, f := range fraud.Components {
		if f.Hashes[0].Content != m.File(f.Name).SHA256 {
			t.Errorf("%s has another digest than in the manifest", f.Name)
		}
		files = append(files, f.Name)
	}
	if diff := cmp.Diff([]string{"fraud.bin", "fraud.onnx"}, files); diff != "" {
		t.Errorf("the model's files (-want +got):\n%s", diff)
	}

	for what, broken := range map[string]string{ // the schema does see mistakes
		"type":    strings.Replace(string(text), `"machine-learning-model"`, `"model"`, 1),
		"serial":  strings.Replace(string(text), "urn:uuid:", "urn:uuid:x", 1),
		"licence": strings.Replace(string(text), `"MIT"`, `"MITT"`, 1),
		"member":  strings.Replace(string(text), `"modelArchitecture"`, `"architecture"`, 1),
	} {
		if err := valid(t, schema, []byte(broken)); err == nil {
			t.Errorf("the schema takes a wrong %s", what)
		}
	}
}

func TestModules(t *testing.T) {
	for want, m := range map[string]*debug.Module{
		"pkg:golang/github.com/google/go-cmp@v0.7.0 h1:a":              {Path: "github.com/google/go-cmp", Version: "v0.7.0", Sum: "h1:a"},
		"pkg:golang/github.com/docker/cli@v29.5.3%2Bincompatible h1:b": {Path: "github.com/Docker/cli", Version: "v29.5.3+incompatible", Sum: "h1:b"},
		"pkg:golang/example.com/fork@v2 h1:c":                          {Path: "example.com/a", Version: "v1", Sum: "h1:x", Replace: &debug.Module{Path: "example.com/fork", Version: "v2", Sum: "h1:c"}},
		"pkg:golang/godwit.dev@v0.0.0 ":                                {Path: "godwit.dev", Version: "v0.0.0", Replace: &debug.Module{Path: "/home/somebody/godwit"}},
		"pkg:golang/example.com/handler ":                              {Path: "example.com/handler", Version: "(devel)"},
	} {
		c := moduleOf(m)
		if got := c.PURL + " " + property(&c, "godwit:go:sum"); got != want {
			t.Errorf("%s %s: want %s, got %s", m.Path, m.Version, want, got)
		}
	}
}

// Baked forms are what is in the package; a program without modules, as one
// that is not Go's, is said to be unknown; nothing tells of the target.
func TestSBOMOfOthers(t *testing.T) {
	baked := filepath.Join(t.TempDir(), "a.ort")
	if err := os.WriteFile(baked, []byte("baked"), 0o600); err != nil {
		t.Fatal(err)
	}
	forms := map[string][]Form{"penguins/1": {{manifest.Baked{Path: "baked/a.ort", Format: "ort", Level: "all", CPU: "x86-64-v3"}, []File{{Path: "baked/a.ort", Part: Weights, From: baked}}}}}
	dir, serials, schema := copied(t, "penguins"), map[string]bool{}, cyclonedx(t)
	for _, target := range []string{"cloudrun", "sagemaker", "awslambda"} {
		tree, err := Contents(t.Context(), dir, &Options{Target: target, Built: built(t), Forms: forms})
		if err != nil {
			t.Fatal(err)
		}
		text, b, m := bill(t, tree)
		if err := valid(t, schema, text); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		serials[b.Serial] = true
		if c := b.Compositions[0]; c.Aggregate != "unknown" || c.Dependencies[0] != programRef {
			t.Errorf("%s: want an unknown program, got %+v", target, c)
		}
		i := slices.IndexFunc(b.Components, func(c bomComponent) bool { return c.Type == "machine-learning-model" })
		want := []bomComponent{{Type: "file", Name: "baked/a.ort", Hashes: sha256Of(m.File("baked/a.ort").SHA256),
			Properties: []bomProperty{{"godwit:baked:format", "ort"}, {"godwit:baked:level", "all"}, {"godwit:baked:cpu", "x86-64-v3"}}}}
		if diff := cmp.Diff(want, b.Components[i].Components); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
	if len(serials) != 2 { // one for the image, whatever it is for, and one for Lambda's zip
		t.Errorf("want the same bill for all that take the image, got %v", serials)
	}
}

// A model's strings are whatever its maker wrote.
func TestSBOMOfOddStrings(t *testing.T) {
	m := testmodels.Small()
	m.Graph.Name, m.Producer, m.Doc = "\x00\u202e</script>", "a\nb", strings.Repeat("ä", 3000)
	m.Metadata = [][2]string{{"license", "\x7f my own\u2028"}}
	tree, err := Contents(t.Context(), m.File(t, "odd"), &Options{Target: "edge", Built: built(t)})
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := bill(t, tree)
	if err := valid(t, cyclonedx(t), text); err != nil {
		t.Error(err)
	}
}

func TestNewestSymbols(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"GLIBCXX_3.4.30", "GLIBCXX_3.4.9", 1}, {"GLIBCXX_3.4", "GLIBCXX_3.4.1", -1}, {"GCC_12.0.0", "GCC_7.0.0", 1}, {"GCC_3.0", "GCC_3.0", 0}, {"GCC_3.0", "", 1},
	} {
		if got := natural(test.a, test.b); got != test.want {
			t.Errorf("%s, %s: want %d, got %d", test.a, test.b, test.want, got)
		}
	}
	if got := newestSymbols("testdata/godwit.lock"); got != "" {
		t.Errorf("of what is no library: %q", got)
	}
}
