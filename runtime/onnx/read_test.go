package onnx_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

func read(t *testing.T, b []byte, lim *onnx.Limits) (*onnx.Model, error) {
	t.Helper()
	return onnx.ReadFrom(bytes.NewReader(b), int64(len(b)), "m.onnx", lim)
}

func mustRead(t *testing.T, m testmodels.Model) *onnx.Model {
	t.Helper()
	got, err := read(t, m.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantBad fails t unless err is a BadModel with the parts in its text and a hint.
func wantBad(t *testing.T, err error, parts ...string) {
	t.Helper()
	if fault.CodeOf(err) != fault.BadModel {
		t.Fatalf("error %v: code %v, want %v", err, fault.CodeOf(err), fault.BadModel)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error()+" "+fault.HintOf(err), part) {
			t.Errorf("error %q with hint %q does not contain %q", err, fault.HintOf(err), part)
		}
	}
	if fault.HintOf(err) == "" {
		t.Errorf("error %q has no hint", err)
	}
}

// typeOf is what Read should make of a type that testmodels wrote.
func typeOf(t testmodels.Type) onnx.Type {
	of := func(t *testmodels.Type) *onnx.Type { o := typeOf(*t); return &o }
	switch {
	case t.Seq != nil:
		return onnx.Type{Kind: onnx.KindSequence, Of: of(t.Seq)}
	case t.Optional != nil:
		return onnx.Type{Kind: onnx.KindOptional, Of: of(t.Optional)}
	case t.Map != nil:
		return onnx.Type{Kind: onnx.KindMap, Elem: t.Elem, Of: of(t.Map)}
	}
	typ := onnx.Type{Kind: onnx.KindTensor, Elem: t.Elem}
	if t.NoShape {
		return typ
	}
	typ.Ranked, typ.Shape = true, []onnx.Dim{}
	for _, d := range t.Dims {
		switch d := d.(type) {
		case int:
			typ.Shape = append(typ.Shape, onnx.Dim{Size: int64(d)})
		case string:
			typ.Shape = append(typ.Shape, onnx.Dim{Size: -1, Symbol: d})
		default:
			typ.Shape = append(typ.Shape, onnx.Dim{Size: -1})
		}
	}
	return typ
}

func valuesOf(vs []testmodels.Value) (values []onnx.Value) {
	for _, v := range vs {
		values = append(values, onnx.Value{Name: v.Name, Type: typeOf(v.Type)})
	}
	return values
}

func TestEveryTestModel(t *testing.T) {
	for _, n := range testmodels.All() {
		t.Run(n.Name, func(t *testing.T) {
			got := mustRead(t, n.Model)
			if diff := cmp.Diff(valuesOf(n.Model.Graph.Inputs), got.Inputs); diff != "" {
				t.Errorf("inputs (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(valuesOf(n.Model.Graph.Outputs), got.Outputs); diff != "" {
				t.Errorf("outputs (-want +got)\n%s", diff)
			}
			if got.Initializers.Count != len(n.Model.Graph.Inits) {
				t.Errorf("%d initializers, want %d", got.Initializers.Count, len(n.Model.Graph.Inits))
			}
		})
	}
}

func TestRandomGraphsFitTheirRequests(t *testing.T) {
	for seed := range uint64(300) {
		m, request := testmodels.RandomGraph(seed)
		got := mustRead(t, m)
		sig, err := got.Signature()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(sig.Inputs) != len(request) || got.Nodes != len(m.Graph.Nodes) {
			t.Fatalf("seed %d: %d inputs and %d operators, want %d and %d", seed, len(sig.Inputs), got.Nodes, len(request), len(m.Graph.Nodes))
		}
		for i, in := range sig.Inputs {
			x := request[i]
			fits := in.Name == x.Name && in.Type == x.Type && len(in.Shape) == len(x.Shape)
			for d := range in.Shape {
				fits = fits && (in.Shape[d] == -1 || in.Shape[d] == x.Shape[d])
			}
			if err := x.Check(); err != nil || !fits {
				t.Errorf("seed %d: input %+v does not take %q %v %v (%v)", seed, in, x.Name, x.Type, x.Shape, err)
			}
		}
	}
}

// everything uses what the other models leave out.
func everything() testmodels.Model {
	m := testmodels.LocalFunction()
	m.IR, m.Producer, m.ProducerVersion, m.Domain, m.Version = 9, "maker", "1.2", "org.example", 7
	m.Doc = "For\nbirds"
	m.Metadata = [][2]string{{"license", "CC0"}, {"classes", "a,b"}}
	m.Opsets = append(m.Opsets, testmodels.Opset{Domain: "ai.onnx.ml", Version: 3})
	m.Graph.Name = "main"
	m.Graph.Inits = []testmodels.Tensor{
		testmodels.Floats32("bias", []int64{2}, 1, 2),
		testmodels.Ints64("k", nil, 3),
		{Name: "words", Elem: onnx.String, Dims: []int64{2}, Strings: []string{"ab", "c"}},
		{Name: "nibbles", Elem: onnx.Int4, Dims: []int64{3}, Raw: []byte{0x21, 0x03}},
		testmodels.Floats32("more", []int64{1}, 1),
	}
	m.Graph.Inputs = append(m.Graph.Inputs, testmodels.V("bias", onnx.Float, 2))
	inner := testmodels.Graph{
		Nodes: []testmodels.Node{
			testmodels.N("Constant", nil, []string{"c"}, testmodels.TensorAttr("value", testmodels.Floats32("", []int64{2}, 1, 2))),
			testmodels.N("RandomUniformLike", []string{"x"}, []string{"noise"}),
		},
		Outputs: []testmodels.Value{testmodels.V("noise", onnx.Float, "N")},
	}
	middle := testmodels.Graph{
		Nodes: []testmodels.Node{testmodels.N("If", []string{"cond"}, []string{"z"},
			testmodels.Body("then_branch", inner), testmodels.Body("else_branch", inner))},
		Outputs: []testmodels.Value{testmodels.V("z", onnx.Float, "N")},
	}
	m.Graph.Nodes = append(m.Graph.Nodes,
		testmodels.N("Cast", []string{"k"}, []string{"cond"}, testmodels.Int("to", int64(onnx.Bool))),
		testmodels.N("If", []string{"cond"}, []string{"w"}, testmodels.Body("then_branch", middle), testmodels.Body("else_branch", middle)))
	return m
}

func TestReadTellsEverything(t *testing.T) {
	m := everything()
	path := m.File(t, "all")
	got, err := onnx.Read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := onnx.Value{Name: "x", Type: onnx.Type{Kind: onnx.KindTensor, Elem: onnx.Float, Ranked: true, Shape: []onnx.Dim{{Size: -1, Symbol: "N"}}}}
	y := x
	y.Name = "y"
	twice := onnx.Op{Domain: "example", Name: "Twice"}
	want := &onnx.Model{
		Path: path, Format: onnx.FormatONNX, Size: int64(len(m.Bytes())),
		IRVersion: 9, Producer: "maker", ProducerVersion: "1.2", Domain: "org.example", Version: 7,
		Doc: "For\nbirds", GraphName: "main",
		Opsets:   []onnx.Opset{{Domain: "", Version: 17}, {Domain: "example", Version: 1}, {Domain: "ai.onnx.ml", Version: 3}},
		Metadata: map[string]string{"license": "CC0", "classes": "a,b"},
		Inputs:   []onnx.Value{x}, Outputs: []onnx.Value{y}, Defaults: []string{"bias"},
		Ops: []onnx.OpCount{
			{Op: onnx.Op{Name: "Add"}, Count: 1}, {Op: onnx.Op{Name: "Cast"}, Count: 1},
			{Op: onnx.Op{Name: "Constant"}, Count: 4}, {Op: onnx.Op{Name: "If"}, Count: 3},
			{Op: onnx.Op{Name: "RandomUniformLike"}, Count: 4}, {Op: onnx.Op{Name: "Sub"}, Count: 1},
			{Op: twice, Count: 2},
		},
		Functions: []onnx.Op{twice},
		Random:    []onnx.Op{{Name: "RandomUniformLike"}},
		Nodes:     16, Depth: 2,
		Initializers: onnx.Initializers{Count: 5, Bytes: 25, ByType: []onnx.TypeBytes{
			{Type: onnx.Float, Count: 2, Bytes: 12}, {Type: onnx.Int64, Count: 1, Bytes: 8},
			{Type: onnx.String, Count: 1, Bytes: 3}, {Type: onnx.Int4, Count: 1, Bytes: 2}}},
		Constants: 32, Produced: onnx.Produced{Largest: 1, Op: "Cast", Total: 1},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(onnx.Model{})); diff != "" {
		t.Errorf("model (-want +got)\n%s", diff)
	}
}

func TestExternalIsListed(t *testing.T) {
	m, data := testmodels.Tiny().Externalize("w/tiny.bin")
	got := mustRead(t, m)
	want := []onnx.External{
		{Tensor: "W0", Location: "w/tiny.bin", Offset: 0, Length: 256, Bytes: 256},
		{Tensor: "b0", Location: "w/tiny.bin", Offset: 256, Length: 64, Bytes: 64},
		{Tensor: "W1", Location: "w/tiny.bin", Offset: 320, Length: 192, Bytes: 192},
		{Tensor: "b1", Location: "w/tiny.bin", Offset: 512, Length: 12, Bytes: 12},
	}
	if diff := cmp.Diff(want, got.External, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".problem" }, cmp.Ignore())); diff != "" {
		t.Errorf("external (-want +got)\n%s", diff)
	}
	if got.Initializers.Bytes != 524 || len(data) != 524 {
		t.Errorf("%d bytes of weights in %d bytes of data, want 524", got.Initializers.Bytes, len(data))
	}
}

func TestDropoutIsRandomOnlyInTraining(t *testing.T) {
	constant := testmodels.Dropout(false)
	flag := constant.Graph.Inits[1]
	constant.Graph.Inits = constant.Graph.Inits[:1]
	constant.Graph.Nodes = append([]testmodels.Node{
		testmodels.N("Constant", nil, []string{"training"}, testmodels.TensorAttr("value", flag))}, constant.Graph.Nodes...)
	asked := testmodels.Dropout(false)
	asked.Graph.Inits = asked.Graph.Inits[:1]
	asked.Graph.Inputs = append(asked.Graph.Inputs, testmodels.V("training", onnx.Bool))
	plain := testmodels.Dropout(false)
	plain.Graph.Nodes[0].In = []string{"x"}
	inBranch := testmodels.Dropout(false)
	inBranch.Graph.Inputs = append(inBranch.Graph.Inputs, testmodels.V("up", onnx.Bool))
	body := testmodels.Graph{Nodes: inBranch.Graph.Nodes, Outputs: inBranch.Graph.Outputs}
	inBranch.Graph.Nodes = []testmodels.Node{testmodels.N("If", []string{"up"}, []string{"y"},
		testmodels.Body("then_branch", body), testmodels.Body("else_branch", body))}
	for _, tt := range []struct {
		name  string
		model testmodels.Model
		want  []onnx.Op
	}{
		{"flag true", testmodels.Dropout(true), []onnx.Op{{Name: "Dropout"}}},
		{"flag false", testmodels.Dropout(false), nil},
		{"flag from a Constant", constant, nil},
		{"flag from the request", asked, []onnx.Op{{Name: "Dropout"}}},
		{"no flag", plain, nil},
		{"flag of the graph around", inBranch, nil},
		{"another random operator", testmodels.Random(), []onnx.Op{{Name: "RandomNormalLike"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, mustRead(t, tt.model).Random); diff != "" {
				t.Errorf("random (-want +got)\n%s", diff)
			}
		})
	}
}

// The weights must cost neither memory nor much time: a file of 1.9 GiB, most
// of it a hole that the file system does not store.
func TestReadSkipsTheWeights(t *testing.T) {
	const weights = 1_900_000_000
	open := func(head []byte, num protowire.Number, size int) []byte { // a field that ends with the file
		return protowire.AppendVarint(protowire.AppendTag(head, num, protowire.BytesType), uint64(size))
	}
	number := func(b []byte, num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
	}
	init := open(number(number(nil, 1, weights), 2, uint64(onnx.Uint8)), 9, weights)
	graph := append(open(nil, 5, len(init)+weights), init...)
	head := number(nil, 1, 8)
	head = append(open(head, 8, 2), number(nil, 2, 17)...)
	head = append(open(head, 7, len(graph)+weights), graph...)
	path := filepath.Join(t.TempDir(), "sparse.onnx")
	if err := os.WriteFile(path, head, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(head)+weights)); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := onnx.Read(path, nil)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got.Initializers.Bytes != weights {
		t.Errorf("%d bytes of weights, want %d", got.Initializers.Bytes, weights)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("Read allocated %d bytes, want at most 1 MiB", used)
	}
}

func TestTooLargeForProtobuf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.onnx")
	if err := os.WriteFile(path, testmodels.Tiny().Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<31); err != nil {
		t.Fatal(err)
	}
	_, err := onnx.Read(path, nil)
	wantBad(t, err, "2147483648 bytes", "external data")
}

func TestElemTypes(t *testing.T) {
	served := 0
	for _, e := range onnx.ElemTypes() {
		d, ok := e.DType()
		if ok {
			served++
			if onnx.ElemOf(d) != e {
				t.Errorf("%v is %v, which is %v", e, d, onnx.ElemOf(d))
			}
			if 8*d.Size() != e.Bits() {
				t.Errorf("%v has %d bits, %v has %d bytes", e, e.Bits(), d, d.Size())
			}
		}
	}
	if served != len(tensor.DTypes()) {
		t.Errorf("%d types are served, want %d", served, len(tensor.DTypes()))
	}
	if got := fmt.Sprint(onnx.ElemType(99), onnx.ElemType(-1), onnx.Undefined); got != "type(99) type(-1) undefined" {
		t.Errorf("unknown types print as %q", got)
	}
	if d, ok := onnx.ElemType(99).DType(); ok || d != tensor.None {
		t.Errorf("type 99 is served as %v", d)
	}
}

func TestORTFormat(t *testing.T) {
	got, err := read(t, []byte("\x1c\x00\x00\x00ORTM\x00\x00\x00\x00rest"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Format != onnx.FormatORT {
		t.Errorf("format %q", got.Format)
	}
	if _, err := got.Signature(); fault.CodeOf(err) != fault.BadModel {
		t.Errorf("signature: %v", err)
	}
	if f := got.Unusual(); len(f) != 1 || f[0].Code != "ort-format" {
		t.Errorf("findings %+v", f)
	}
}
