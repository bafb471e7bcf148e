//go:build unix

package onnx_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
)

func TestStrangers(t *testing.T) {
	tar := strings.Repeat("\x00", 257) + "ustar\x0000"
	for _, tt := range []struct{ name, content, part string }{
		{"empty", "", "empty file"},
		{"html", "<!DOCTYPE html><html><body>404 Not Found</body></html>", `web page or XML: "<!doctype html>`},
		{"html after a BOM and space", "\xef\xbb\xbf\n  <HTML>", "web page"},
		{"S3's error", "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "web page or XML"},
		{"JSON error", `{"message": "Not Found"}`, `text file: "{\"message\"`},
		{"spaces", "   \n", "text file"},
		{"Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"},
		{"zip", "PK\x03\x04\x14\x00", "zip archive"},
		{"gzip", "\x1f\x8b\x08\x00", "gzip archive"},
		{"tar", tar, "tar archive"},
		{"pickle", "\x80\x04\x95\x10\x00", "pickle"},
		{"HDF5", "\x89HDF\r\n\x1a\n", "HDF5"},
		{"TensorFlow Lite", "\x1c\x00\x00\x00TFL3\x00", "TensorFlow Lite"},
		{"GGUF", "GGUF\x03\x00", "GGUF"},
		{"program", "\x7fELF\x02\x01", "shared library"},
		{"zeros", strings.Repeat("\x00", 100), "protobuf field"},
		{"noise", "\xff\xfe\x00\x01\x99\x42", "wire type 7"},
		{"another protobuf", "\x0a\x03abc\x10\x05", "IR version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(t, []byte(tt.content), nil)
			wantBad(t, err, tt.part)
		})
	}
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := onnx.Read(dir, nil); fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "got a folder") {
		t.Errorf("folder: %v", err)
	}
	if _, err := onnx.Read("/dev/null", nil); fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "device") {
		t.Errorf("device: %v", err)
	}
	_, err := onnx.Read(filepath.Join(dir, "none.onnx"), nil)
	if fault.CodeOf(err) != fault.NotFound || strings.Count(err.Error(), "none.onnx") != 1 {
		t.Errorf("missing: %v", err)
	}
}

// Each prefix of a model is refused, since its one opset comes last.
func TestTruncated(t *testing.T) {
	for _, m := range []testmodels.Model{testmodels.Tiny(), testmodels.MultiIO(), testmodels.Branches()} {
		whole := m.Bytes()
		for n := range len(whole) {
			_, err := read(t, whole[:n], nil)
			if fault.CodeOf(err) != fault.BadModel {
				t.Fatalf("the first %d of %d bytes: %v", n, len(whole), err)
			}
		}
	}
	whole := testmodels.Tiny().Bytes()
	_, err := read(t, whole[:len(whole)/2], nil)
	wantBad(t, err, "are left", "cut off")
}

// A field that runs over its message into the next one is no field.
func TestFieldLongerThanItsMessage(t *testing.T) {
	model := func(name int) []byte {
		b := []byte{0x08, 0x08, 0x3a, 0x03, 0x12, byte(name), 'g'} // IR version 8, a graph of 3 bytes: its name
		return append(b, 0x42, 0x02, 0x10, 0x11)                   // opset 17
	}
	if m, err := read(t, model(1), nil); err != nil || m.GraphName != "g" {
		t.Errorf("the name fits: %+v, %v", m, err)
	}
	_, err := read(t, model(2), nil)
	wantBad(t, err, "field 2 at byte 4 is said to have 2 bytes, but 1 are left", "damaged")
}

// A flipped bit may leave a model that reads; it never does more than that.
func TestBitFlips(t *testing.T) {
	whole := everything().Bytes()
	refused := 0
	for seed := range uint64(1000) {
		b := append([]byte{}, whole...)
		at := testmodels.NewRand(seed).IntN(8 * len(b))
		b[at/8] ^= 1 << (at % 8)
		m, err := read(t, b, nil)
		if err != nil {
			refused++
			if fault.CodeOf(err) != fault.BadModel {
				t.Fatalf("seed %d: %v", seed, err)
			}
			continue
		}
		m.Unusual()
	}
	if refused < 100 {
		t.Errorf("%d of 1000 damaged models refused; the reader checks next to nothing", refused)
	}
}

// chain is n operators one behind another.
func chain(n int) testmodels.Model {
	m := testmodels.Identity(onnx.Float, "N")
	m.Graph.Nodes = nil
	at := "x"
	for i := range n {
		next := fmt.Sprintf("v%d", i)
		m.Graph.Nodes = append(m.Graph.Nodes, testmodels.N("Relu", []string{at}, []string{next}))
		at = next
	}
	m.Graph.Nodes = append(m.Graph.Nodes, testmodels.N("Relu", []string{at}, []string{"y"}))
	return m
}

// nested is an If in an If in an If …
func nested(depth int) testmodels.Model {
	m := testmodels.Branches()
	for range depth - 1 {
		outer := m.Graph.Nodes[0]
		body := testmodels.Graph{Nodes: []testmodels.Node{outer}, Outputs: m.Graph.Outputs}
		m.Graph.Nodes = []testmodels.Node{testmodels.N("If", []string{"up"}, []string{"y"}, testmodels.Body("then_branch", body))}
	}
	return m
}

// laughs defines functions of which each calls the next twice.
func laughs(levels int) testmodels.Model {
	m := testmodels.LocalFunction()
	m.Functions = nil
	for i := range levels {
		call := testmodels.Node{Op: fmt.Sprintf("F%d", i+1), Domain: "example", In: []string{"a"}, Out: []string{"b"}}
		again := call
		again.In, again.Out = []string{"b"}, []string{"c"}
		if i == levels-1 {
			call, again = testmodels.N("Neg", []string{"a"}, []string{"b"}), testmodels.N("Neg", []string{"b"}, []string{"c"})
		}
		m.Functions = append(m.Functions, testmodels.Function{Domain: "example", Name: fmt.Sprintf("F%d", i), Inputs: []string{"a"},
			Outputs: []string{"c"}, Nodes: []testmodels.Node{call, again}, Opsets: []testmodels.Opset{{Version: 17}}})
	}
	m.Graph.Nodes = []testmodels.Node{{Op: "F0", Domain: "example", In: []string{"x"}, Out: []string{"y"}}}
	return m
}

func TestLimits(t *testing.T) {
	ten := testmodels.AddSub()
	for i := range 10 {
		ten.Metadata = append(ten.Metadata, [2]string{fmt.Sprint(i), "v"})
	}
	long := testmodels.Identity(onnx.Float, "N")
	long.Graph.Inputs[0].Name = strings.Repeat("n", 101)
	long.Graph.Nodes[0].In = []string{long.Graph.Inputs[0].Name}
	for _, tt := range []struct {
		name  string
		model testmodels.Model
		fits  *onnx.Limits
		over  *onnx.Limits
		part  string
	}{
		{"operators", chain(9), &onnx.Limits{Nodes: 10}, &onnx.Limits{Nodes: 9}, "more than 9 operators"},
		{"edges", chain(9), &onnx.Limits{Edges: 20}, &onnx.Limits{Edges: 19}, "more than 19 names"},
		{"initializers", testmodels.Tiny(), &onnx.Limits{Initializers: 4}, &onnx.Limits{Initializers: 3}, "more than 3 initializers"},
		{"depth", nested(5), &onnx.Limits{Depth: 5}, &onnx.Limits{Depth: 4}, "deeper than 4"},
		{"dimensions", testmodels.Identity(onnx.Float, 1, 2, 3), &onnx.Limits{Dims: 3}, &onnx.Limits{Dims: 2}, "more than 2 dimensions"},
		{"dimensions of a weight", testmodels.MatMul(2, 2, 1), &onnx.Limits{Dims: 2}, &onnx.Limits{Dims: 1}, "more than 1 dimensions"},
		{"inputs and outputs", testmodels.AddSub(), &onnx.Limits{Values: 4}, &onnx.Limits{Values: 3}, "more than 3 inputs and outputs"},
		{"entries", ten, &onnx.Limits{Entries: 10}, &onnx.Limits{Entries: 9}, "more than 9 metadata entries"},
		{"a name", long, &onnx.Limits{Name: 101}, &onnx.Limits{Name: 100}, "has 101 bytes; the limit is 100"},
		{"all text", long, &onnx.Limits{AllText: 1000}, &onnx.Limits{AllText: 100}, "more than 100 bytes"},
		{"functions' bodies", laughs(6), &onnx.Limits{Nodes: 64}, &onnx.Limits{Nodes: 63}, "every function's body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := read(t, tt.model.Bytes(), tt.fits); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			_, err := read(t, tt.model.Bytes(), tt.over)
			wantBad(t, err, tt.part, "limit")
		})
	}
	_, err := read(t, laughs(60).Bytes(), nil)
	wantBad(t, err, "every function's body")
	_, err = read(t, nested(1000).Bytes(), nil)
	wantBad(t, err, "deeper than 16")
}

func TestLongTextsAreCut(t *testing.T) {
	m := testmodels.AddSub()
	m.Doc = strings.Repeat("ü", 100)
	m.Metadata = [][2]string{{"k", "123456"}, {"bad", "a\xffb"}}
	got, err := read(t, m.Bytes(), &onnx.Limits{Text: 5})
	if err != nil {
		t.Fatal(err)
	}
	if got.Doc != "üü…" || got.Metadata["k"] != "12345…" || got.Metadata["bad"] != "a\uFFFDb" {
		t.Errorf("doc %q, metadata %q", got.Doc, got.Metadata)
	}
}

func TestGraphsThatCannotRun(t *testing.T) {
	cycle := testmodels.AddSub()
	cycle.Graph.Nodes = []testmodels.Node{
		testmodels.N("Add", []string{"a", "p"}, []string{"q"}),
		testmodels.N("Neg", []string{"q"}, []string{"p"}),
		testmodels.N("Neg", []string{"b"}, []string{"sum"}),
		testmodels.N("Neg", []string{"b"}, []string{"diff"}),
	}
	unsorted := testmodels.AddSub() // allowed: runtimes sort
	unsorted.Graph.Nodes = []testmodels.Node{
		testmodels.N("Neg", []string{"late"}, []string{"sum"}),
		testmodels.N("Add", []string{"a", "b"}, []string{"late"}),
		testmodels.N("Neg", []string{"late"}, []string{"diff"}),
	}
	through := testmodels.Branches() // the branch needs what comes after the If
	through.Graph.Nodes[0].Attrs = []testmodels.Attr{testmodels.Body("then_branch", testmodels.Graph{
		Nodes: []testmodels.Node{testmodels.N("Neg", []string{"after"}, []string{"n"})}, Outputs: []testmodels.Value{testmodels.V("n", onnx.Float)}})}
	through.Graph.Nodes = append(through.Graph.Nodes, testmodels.N("Neg", []string{"y"}, []string{"after"}))
	output := testmodels.Branches() // the same by the branch's output alone
	output.Graph.Nodes[0].Attrs = []testmodels.Attr{testmodels.Body("then_branch", testmodels.Graph{
		Outputs: []testmodels.Value{testmodels.V("after", onnx.Float)}})}
	output.Graph.Nodes = append(output.Graph.Nodes, testmodels.N("Neg", []string{"y"}, []string{"after"}))
	twice := testmodels.AddSub()
	twice.Graph.Nodes[1].Out = []string{"sum"}
	inside := testmodels.Branches()
	inside.Graph.Nodes[0].Attrs = []testmodels.Attr{testmodels.Body("then_branch", testmodels.Graph{Nodes: cycle.Graph.Nodes})}
	recursive := testmodels.LocalFunction()
	recursive.Functions[0].Nodes = []testmodels.Node{{Op: "Twice", Domain: "example", In: []string{"a"}, Out: []string{"b"}}}
	again := testmodels.LocalFunction()
	again.Functions = append(again.Functions, again.Functions[0])
	body := testmodels.LocalFunction()
	body.Functions[0].Nodes = []testmodels.Node{testmodels.N("Add", []string{"a", "b"}, []string{"b"})}
	undefined := testmodels.AddSub()
	undefined.Graph.Nodes[1].In = []string{"a", "nowhere"}
	output2 := testmodels.AddSub()
	output2.Graph.Outputs[1].Name = "nowhere"
	lacking := testmodels.LocalFunction()
	lacking.Functions[0].Nodes = []testmodels.Node{testmodels.N("Add", []string{"a", "x"}, []string{"b"})}
	leaked := testmodels.Branches()
	leaked.Graph.Nodes = append(leaked.Graph.Nodes, testmodels.N("Neg", []string{"Added"}, []string{"z"}))
	doubled := testmodels.Tiny()
	doubled.Graph.Inits = append(doubled.Graph.Inits, doubled.Graph.Inits[0])
	for _, tt := range []struct {
		name  string
		model testmodels.Model
		part  string // "" means that it reads
	}{
		{"cycle", cycle, "the graph is cyclic: 2 of its 4 operators"},
		{"not sorted", unsorted, ""},
		{"cycle through a subgraph", through, "the graph is cyclic: 2 of its 2"},
		{"cycle through a subgraph's output", output, "the graph is cyclic"},
		{"cycle in a subgraph", inside, "a subgraph is cyclic"},
		{"cycle in a function", body, "function example.Twice is cyclic"},
		{"made twice", twice, "operator number 2 makes a value that is there already"},
		{"function that calls itself", recursive, "example.Twice calls itself"},
		{"function defined twice", again, "defined twice"},
		{"value that nothing makes", undefined, "the graph uses 1 values that nothing in it makes; operator number 2 reads one"},
		{"output that nothing makes", output2, "the graph uses 1 values that nothing in it makes"},
		{"value that a function lacks", lacking, "function example.Twice uses 1 values"},
		{"value that is only inside a branch", leaked, "operator number 2 reads one"},
		{"two initializers of one name", doubled, "an initializer: its name is there twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(t, tt.model.Bytes(), nil)
			if tt.part == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantBad(t, err, tt.part)
		})
	}
}

func TestTensorsThatContradictThemselves(t *testing.T) {
	with := func(init testmodels.Tensor) testmodels.Model {
		m := testmodels.Identity(onnx.Float, "N")
		init.Name = "W"
		m.Graph.Inits = []testmodels.Tensor{init}
		return m
	}
	raw := func(n int) []byte { return make([]byte, n) }
	for _, tt := range []struct {
		name string
		init testmodels.Tensor
		part string
	}{
		{"too few bytes", testmodels.Tensor{Elem: onnx.Float, Dims: []int64{2, 3}, Raw: raw(20)}, `initializer "W": want 24 bytes for float [2 3], got 20`},
		{"too many bytes", testmodels.Tensor{Elem: onnx.Bool, Dims: []int64{2}, Raw: raw(3)}, "want 2 bytes"},
		{"scalar", testmodels.Tensor{Elem: onnx.Double, Raw: raw(4)}, "want 8 bytes for double []"},
		{"packed", testmodels.Tensor{Elem: onnx.Uint4, Dims: []int64{3}, Raw: raw(3)}, "want 2 bytes for uint4 [3]"},
		{"negative", testmodels.Tensor{Elem: onnx.Float, Dims: []int64{-1}, Raw: raw(4)}, "negative dimension"},
		{"overflow", testmodels.Tensor{Elem: onnx.Float, Dims: []int64{1 << 33, 1 << 33}}, "too many elements"},
		{"overflow behind a zero", testmodels.Tensor{Elem: onnx.Float, Dims: []int64{1 << 33, 1 << 33, 0}}, "too many elements"},
		{"overflow of bytes", testmodels.Tensor{Elem: onnx.Complex128, Dims: []int64{1 << 60}}, "too many elements"},
		{"strings", testmodels.Tensor{Elem: onnx.String, Dims: []int64{3}, Strings: []string{"a"}}, "want 3 strings"},
		{"unknown type", testmodels.Tensor{Elem: 99, Dims: []int64{1}, Raw: raw(1)}, "type(99)"},
		{"no type", testmodels.Tensor{Dims: []int64{1}, Raw: raw(1)}, "undefined"},
		{"both here and elsewhere", testmodels.Tensor{Elem: onnx.Float, Dims: []int64{1}, Strings: []string{"x"}, External: [][2]string{{"location", "a"}}}, "both in this file and in another"},
		{"strings elsewhere", testmodels.Tensor{Elem: onnx.String, Dims: []int64{1}, External: [][2]string{{"location", "a"}}}, "strings cannot be external"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(t, with(tt.init).Bytes(), nil)
			wantBad(t, err, tt.part)
		})
	}
	for _, fits := range []testmodels.Tensor{
		{Elem: onnx.Float, Dims: []int64{0, 5}}, {Elem: onnx.Int4, Dims: []int64{5}, Raw: raw(3)},
		{Elem: onnx.Uint2, Dims: []int64{5}, Raw: raw(2)}, {Elem: onnx.Complex128, Dims: []int64{2}, Raw: raw(32)},
	} {
		if _, err := read(t, with(fits).Bytes(), nil); err != nil {
			t.Error(err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, n := range testmodels.All() {
		if b := n.Model.Bytes(); len(b) < 4096 {
			f.Add(b)
		}
	}
	external, _ := testmodels.Tiny().Externalize("w.bin")
	for _, m := range []testmodels.Model{everything(), external, laughs(3), nested(3)} {
		f.Add(m.Bytes())
	}
	for seed := range uint64(10) {
		m, _ := testmodels.RandomGraph(seed)
		f.Add(m.Bytes())
	}
	f.Add(testmodels.CustomOp().Bytes())
	for _, trap := range testmodels.Hostile() { // constants that grow
		if strings.HasPrefix(trap.Name, "bomb: ") {
			dir := f.TempDir()
			trap.Make(f, dir)
			b, err := os.ReadFile(filepath.Join(dir, "m.onnx"))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add([]byte("<!DOCTYPE html>"))
	f.Add([]byte("\x1c\x00\x00\x00ORTM\x00"))
	lim := &onnx.Limits{Nodes: 1000, Edges: 5000, AllText: 1 << 16}
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 600), 0o644); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := read(t, b, lim)
		if err != nil {
			if fault.CodeOf(err) != fault.BadModel || m != nil {
				t.Fatalf("model %v, error %v", m, err)
			}
			return
		}
		if m.Nodes > lim.Nodes || m.Initializers.Count > len(b) || m.Size != int64(len(b)) {
			t.Fatalf("%+v from %d bytes", m, len(b))
		}
		m.Unusual()
		if err := m.Check(nil); err != nil && fault.CodeOf(err) != fault.BadModel {
			t.Fatal(err)
		}
		if p := m.Produced; p.Largest < 0 || p.Total < p.Largest {
			t.Fatalf("produced %+v", p)
		}
		if sig, err := m.Signature(); (sig == nil) == (err == nil) {
			t.Fatalf("signature %v, error %v", sig, err)
		}
		if err := m.CheckExternal(dir); err != nil && fault.CodeOf(err) != fault.BadModel {
			t.Fatal(err)
		}
	})
}
