package onnx_test

import (
	"testing"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
)

// Sizes are exact where they are known: too large would refuse sound models.
func TestProduced(t *testing.T) {
	type node = testmodels.Node
	n, in := testmodels.N, func(s ...string) []string { return s }
	ints := func(name string, v ...int64) testmodels.Tensor {
		return testmodels.Ints64(name, []int64{int64(len(v))}, v...)
	}
	scalar := func(name string, v int64) testmodels.Tensor { return testmodels.Ints64(name, nil, v) }
	m23 := testmodels.Floats32("m", []int64{2, 3}, 1, 2, 3, 4, 5, 6)
	for _, tt := range []struct {
		name  string
		inits []testmodels.Tensor
		nodes []node
		want  int64 // bytes of the largest value
	}{
		{"ConstantOfShape", []testmodels.Tensor{ints("s", 3, 5)}, []node{n("ConstantOfShape", in("s"), in("o"))}, 60},
		{"ConstantOfShape of bytes", []testmodels.Tensor{ints("s", 3, 5)}, []node{n("ConstantOfShape", in("s"), in("o"),
			testmodels.TensorAttr("value", testmodels.Tensor{Elem: onnx.Uint8, Dims: []int64{1}, Raw: []byte{1}}))}, 15},
		{"Expand", []testmodels.Tensor{ints("s", 4, 1, 3), m23}, []node{n("Expand", in("m", "s"), in("o"))}, 4 * 2 * 3 * 4},
		{"Expand to nothing", []testmodels.Tensor{ints("s", 0, 1, 3), m23}, []node{n("Expand", in("m", "s"), in("o"))}, 0},
		{"Tile", []testmodels.Tensor{ints("s", 4, 2), m23}, []node{n("Tile", in("m", "s"), in("o"))}, 8 * 6 * 4},
		{"Range", []testmodels.Tensor{scalar("a", 10), scalar("b", 0), scalar("c", -3)}, []node{n("Range", in("a", "b", "c"), in("o"))}, 4 * 8},
		{"Range that is empty", []testmodels.Tensor{scalar("a", 10), scalar("b", 0), scalar("c", 3)}, []node{n("Range", in("a", "b", "c"), in("o"))}, 0},
		{"Pad", []testmodels.Tensor{ints("p", 1, 0, 2, 0), m23}, []node{n("Pad", in("m", "p"), in("o"))}, 5 * 3 * 4},
		{"Resize", []testmodels.Tensor{testmodels.Floats32("f", []int64{2}, 2, 1.5), m23}, []node{n("Resize", in("m", "", "f"), in("o"))}, 4 * 4 * 4},
		{"OneHot", []testmodels.Tensor{ints("i", 1, 2), scalar("d", 7), m23}, []node{n("OneHot", in("i", "d", "m"), in("o"))}, 2 * 7 * 4},
		{"Concat", []testmodels.Tensor{m23}, []node{n("Concat", in("m", "m", "m"), in("o"), testmodels.Int("axis", -1))}, 2 * 9 * 4},
		{"Gather of a shape", []testmodels.Tensor{scalar("i", -1), m23}, []node{n("Shape", in("m"), in("s")), n("Gather", in("s", "i"), in("g")),
			n("Unsqueeze", in("g", "z"), in("u")), n("ConstantOfShape", in("u"), in("o"))}, 16},
		{"MatMul", []testmodels.Tensor{m23}, []node{n("Transpose", in("m"), in("t")), n("MatMul", in("t", "m"), in("o"))}, 36},
		{"Reshape and Flatten", []testmodels.Tensor{ints("s", 3, -1), m23}, []node{n("Reshape", in("m", "s"), in("r")), n("Flatten", in("r"), in("f")), n("Tile", in("f", "s2"), in("o"))}, 24},
		{"Cast and arithmetic", []testmodels.Tensor{ints("a", 7, 9), ints("b", 2, 4)}, []node{n("Div", in("a", "b"), in("d")), n("Cast", in("d"), in("e"), testmodels.Int("to", 6)),
			n("ConstantOfShape", in("e"), in("o"))}, 3 * 2 * 4},
		{"of the input nothing is known", []testmodels.Tensor{m23}, []node{n("Add", in("x", "m"), in("o"))}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := testmodels.Identity(onnx.Float, "N")
			m.Graph.Inits = append(tt.inits, ints("z", 0), ints("s2", 1, 1))
			m.Graph.Nodes = append(m.Graph.Nodes, tt.nodes...)
			got := mustRead(t, m).Produced
			// A shape on the way may be larger than what it makes.
			if got.Largest < tt.want || got.Largest > max(tt.want, 24) {
				t.Errorf("largest %+v, want %d bytes", got, tt.want)
			}
		})
	}
}

// Nothing that ONNX Runtime runs is refused, but for what cannot be served.
func TestCheckLetsSoundModelsPass(t *testing.T) {
	for _, n := range testmodels.All() {
		m := mustRead(t, n.Model)
		_, unserved := m.Signature()
		if err := m.Check(&onnx.Policy{Memory: 64 << 20}); (err != nil) != (unserved != nil || len(m.Custom()) > 0) {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
	for seed := range uint64(200) {
		g, _ := testmodels.RandomGraph(seed)
		if err := mustRead(t, g).Check(nil); err != nil {
			t.Errorf("random graph %d: %v", seed, err)
		}
	}
	m := mustRead(t, testmodels.CustomOp())
	if err := m.Check(&onnx.Policy{Domains: []string{"acme.ops"}}); err != nil {
		t.Errorf("an allowed domain: %v", err)
	}
}
