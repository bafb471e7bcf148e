package manifest

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

const (
	sumA = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // of "a"
	sumB = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d" // of "b"
)

func good() *Manifest {
	return &Manifest{
		Version: 1, Function: "digits", Godwit: "v1", Platform: "linux/amd64", Runtime: Runtime{"1.31.1", sumB},
		Files: []File{{Path: "a.onnx", Size: 1, SHA256: sumA}, {Path: "baked/b.ort", Size: 1, SHA256: sumB}, {Path: "lib/b", Size: 1, SHA256: sumB}},
		Models: []Model{
			{Name: "a", Version: "1", Path: "a.onnx", Digest: "sha256:" + sumA},
			{Name: "b", Version: "2", Path: "b.onnx", Digest: "sha256:" + sumB,
				Baked: []Baked{{Path: "baked/b.ort", Format: "ort", Level: "extended", Data: []string{"lib/b"}, Graph: json.RawMessage("true")}}},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	want := good()
	unsorted := good()
	unsorted.Files[0], unsorted.Files[2] = unsorted.Files[2], unsorted.Files[0]
	text, err := unsorted.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("m", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.File("lib/b") != &got.Files[2] || got.File("lib") != nil || got.File("zz") != nil {
		t.Error("File finds another entry")
	}
	if got.Model("b", "2") != &got.Models[1] || got.Model("b", "1") != nil {
		t.Error("Model finds another entry")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Manifest)
		want   string
	}{
		{"version", func(m *Manifest) { m.Version = 2 }, "want version 1, got 2"},
		{"runtime", func(m *Manifest) { m.Runtime.SHA256 = "x" }, "runtime.sha256"},
		{"escape", func(m *Manifest) { m.Files[0].Path = "../a" }, `got "../a"`},
		{"absolute", func(m *Manifest) { m.Files[0].Path = "/a" }, `got "/a"`},
		{"unclean", func(m *Manifest) { m.Files[0].Path = "a//b" }, `got "a//b"`},
		{"backslash", func(m *Manifest) { m.Files[0].Path = `a\b` }, "want a path inside"},
		{"itself", func(m *Manifest) { m.Files = append(m.Files[:2], File{Path: Name, Size: 1, SHA256: sumA}) }, Name},
		{"twice", func(m *Manifest) { m.Files[1] = m.Files[0] }, "none twice"},
		{"size", func(m *Manifest) { m.Files[0].Size = -1 }, "got -1"},
		{"sum", func(m *Manifest) { m.Files[0].SHA256 = strings.ToUpper(sumA) }, "64 hexadecimal"},
		{"a chunk too few", func(m *Manifest) { m.Files[0].Size, m.Files[0].Chunks = 2*ChunkBytes+1, []string{sumA, sumB} }, "3 for its 16777217 bytes, got 2"},
		{"a chunk too many", func(m *Manifest) { m.Files[0].Size, m.Files[0].Chunks = 2*ChunkBytes, []string{sumA, sumA, sumA} }, "2 for its 16777216 bytes, got 3"},
		{"a chunk of all", func(m *Manifest) { m.Files[0].Size, m.Files[0].Chunks = ChunkBytes, []string{sumA} }, "0 for its 8388608 bytes, got 1"},
		{"chunk's sum", func(m *Manifest) { m.Files[0].Size, m.Files[0].Chunks = ChunkBytes+1, []string{sumA, "sha256:" + sumA} }, `got "sha256:`},
		{"digest", func(m *Manifest) { m.Models[0].Digest = sumA }, "sha256:…"},
		{"format", func(m *Manifest) { m.Models[1].Baked[0].Format = "pb" }, "ort or onnx"},
		{"level", func(m *Manifest) { m.Models[1].Baked[0].Level = "basic" }, "extended or all"},
		{"all without class", func(m *Manifest) { m.Models[1].Baked[0].Level = "all" }, "class of processors"},
		{"class without all", func(m *Manifest) { m.Models[1].Baked[0].CPU = "x" }, "class of processors"},
		{"baked not there", func(m *Manifest) { m.Models[1].Baked[0].Path = "c" }, `"c" of model "b"`},
		{"data not there", func(m *Manifest) { m.Models[1].Baked[0].Data[0] = "c" }, `"c" of model "b"`},
		{"model not there", func(m *Manifest) { m.Models[0].Path = "c" }, `"c" of model "a"`},
	} {
		m := good()
		test.change(m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse("m", text)
		if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: want BadConfig with %q, got %v", test.name, test.want, err)
		}
	}
	text, _ := good().Append(nil)
	for _, broken := range []string{"", "null", "[]", string(text) + "{}", strings.Replace(string(text), "{", `{"x":1,`, 1), strings.Repeat(" ", MaxBytes) + string(text)} {
		if _, err := Parse("m", []byte(broken)); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%.20q: want BadConfig, got %v", broken, err)
		}
	}
}

func TestCheck(t *testing.T) {
	files := func() fstest.MapFS {
		return fstest.MapFS{"a.onnx": {Data: []byte("a")}, "baked/b.ort": {Data: []byte("b")}, "lib/b": {Data: []byte("b")}}
	}
	if err := good().Check(files(), nil); err != nil {
		t.Errorf("as packaged: %v", err)
	}
	for name, change := range map[string]func(fstest.MapFS){
		"other bytes": func(f fstest.MapFS) { f["lib/b"].Data = []byte("c") },
		"longer":      func(f fstest.MapFS) { f["lib/b"].Data = []byte("bb") },
		"gone":        func(f fstest.MapFS) { delete(f, "lib/b") },
		"a folder":    func(f fstest.MapFS) { delete(f, "lib/b"); f["lib/b/c"] = &fstest.MapFile{} },
	} {
		f := files()
		change(f)
		if err := good().Check(f, nil); fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "lib/b") {
			t.Errorf("%s: want BadModel about lib/b, got %v", name, err)
		}
		if err := good().Check(f, func(f *File) bool { return f.Path != "lib/b" }); err != nil {
			t.Errorf("%s, others asked for: %v", name, err)
		}
	}
}

func TestLoad(t *testing.T) {
	if m, err := Load(t.TempDir()); m != nil || err != nil {
		t.Errorf("without a manifest: want nothing, got %v, %v", m, err)
	}
}

// What Parse takes is written as text that it takes again, the same.
func FuzzParse(f *testing.F) {
	text, _ := good().Append(nil)
	f.Add(text)
	f.Add([]byte(`{"version":1,"runtime":{"sha256":"` + sumA + `"},"files":[{"path":"a","size":9000000,"sha256":"` + sumA + `","chunks":["` + sumA + `","` + sumB + `"]}],"models":[]}`))
	f.Add([]byte(`{"version":1,"runtime":{"sha256":"` + sumA + `"},"files":null,"models":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse("m", text)
		if err != nil {
			return
		}
		out, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("m", out)
		if err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		out2, err := again.Append(nil)
		if err != nil || string(out2) != string(out) {
			t.Fatalf("%v: %s and %s", err, out, out2)
		}
	})
}
