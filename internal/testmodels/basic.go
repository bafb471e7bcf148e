package testmodels

import (
	"godwit.dev/runtime/onnx"
)

// names saves the composite literal at every node.
func names(s ...string) []string { return s }

// Identity gives back what it gets: x → y, both elem with the same dims
// (ints, strings for symbolic dimensions, nil for a nameless one; none is a
// scalar). It works for every element type that ONNX Runtime runs; for
// complex numbers and 8-bit and smaller types it is a model to refuse. Types
// that came after opset 17 raise opset and IR version as needed.
func Identity(elem onnx.ElemType, dims ...any) Model {
	m := Model{Graph: Graph{
		Nodes:   []Node{N("Identity", names("x"), names("y"))},
		Inputs:  []Value{V("x", elem, dims...)},
		Outputs: []Value{V("y", elem, dims...)},
	}}
	switch {
	case elem >= onnx.Uint2:
		m.IR, m.Opsets = 13, []Opset{{"", 25}}
	case elem >= onnx.Float8E8M0:
		m.IR, m.Opsets = 12, []Opset{{"", 24}}
	case elem >= onnx.Float4E2M1:
		m.IR, m.Opsets = 11, []Opset{{"", 23}}
	case elem >= onnx.Uint4:
		m.IR, m.Opsets = 10, []Opset{{"", 21}}
	case elem >= onnx.Float8E4M3FN:
		m.IR, m.Opsets = 9, []Opset{{"", 19}}
	}
	return m
}

// AddSub is two inputs and two outputs: a, b FP32 [N 4] → sum = a+b and
// diff = a-b, both [N 4].
func AddSub() Model {
	return Model{Graph: Graph{
		Nodes: []Node{
			N("Add", names("a", "b"), names("sum")),
			N("Sub", names("a", "b"), names("diff")),
		},
		Inputs:  []Value{V("a", onnx.Float, "N", 4), V("b", onnx.Float, "N", 4)},
		Outputs: []Value{V("sum", onnx.Float, "N", 4), V("diff", onnx.Float, "N", 4)},
	}}
}

// MatMul is x FP32 [N k] → y FP32 [N n], y = x·W, W random in [-1, 1) by seed.
func MatMul(k, n int, seed uint64) Model {
	return Model{Graph: Graph{
		Nodes:   []Node{N("MatMul", names("x", "W"), names("y"))},
		Inits:   []Tensor{weights(NewRand(seed), "W", 1, int64(k), int64(n))},
		Inputs:  []Value{V("x", onnx.Float, "N", k)},
		Outputs: []Value{V("y", onnx.Float, "N", n)},
	}}
}

// NoInputs has no inputs at all: → y FP32 [3] = 1, 2, 3. It is a Constant
// node behind an Identity, so that an output exists that no input reaches.
func NoInputs() Model {
	return Model{Graph: Graph{
		Nodes: []Node{
			N("Constant", nil, names("c"), TensorAttr("value", Floats32("", []int64{3}, 1, 2, 3))),
			N("Identity", names("c"), names("y")),
		},
		Outputs: []Value{V("y", onnx.Float, 3)},
	}}
}

// ScalarIO has rank 0 everywhere: x FP32 [] → y = 2x+1 FP32 [], and
// positive = x > 0 BOOL [].
func ScalarIO() Model {
	return Model{Graph: Graph{
		Nodes: []Node{
			N("Mul", names("x", "two"), names("x2")),
			N("Add", names("x2", "one"), names("y")),
			N("Greater", names("x", "zero"), names("positive")),
		},
		Inits: []Tensor{
			Floats32("two", nil, 2), Floats32("one", nil, 1), Floats32("zero", nil, 0),
		},
		Inputs:  []Value{V("x", onnx.Float)},
		Outputs: []Value{V("y", onnx.Float), V("positive", onnx.Bool)},
	}}
}

// ZeroDim has a dimension that is always zero: x FP32 [0 4] → y = x FP32
// [0 4] and count INT64 [2] = 0, 4, the shape of x.
func ZeroDim() Model {
	return Model{Graph: Graph{
		Nodes: []Node{
			N("Neg", names("x"), names("y")),
			N("Shape", names("x"), names("count")),
		},
		Inputs:  []Value{V("x", onnx.Float, 0, 4)},
		Outputs: []Value{V("y", onnx.Float, 0, 4), V("count", onnx.Int64, 2)},
	}}
}

// MultiIO mixes types: a FP32 [N 2], b INT64 [N 3], c BYTES [N], d BOOL [] →
// a2 = 2a FP32 [N 2], b1 = b+1 INT64 [N 3], c1 = c BYTES [N], total = sum of
// a FP32 [] and notd = !d BOOL [].
func MultiIO() Model {
	return Model{Graph: Graph{
		Nodes: []Node{
			N("Add", names("a", "a"), names("a2")),
			N("Add", names("b", "one"), names("b1")),
			N("Identity", names("c"), names("c1")),
			N("ReduceSum", names("a"), names("total"), Int("keepdims", 0)),
			N("Not", names("d"), names("notd")),
		},
		Inits: []Tensor{Ints64("one", nil, 1)},
		Inputs: []Value{V("a", onnx.Float, "N", 2), V("b", onnx.Int64, "N", 3),
			V("c", onnx.String, "N"), V("d", onnx.Bool)},
		Outputs: []Value{V("a2", onnx.Float, "N", 2), V("b1", onnx.Int64, "N", 3),
			V("c1", onnx.String, "N"), V("total", onnx.Float), V("notd", onnx.Bool)},
	}}
}

// DynamicBatch treats every row alone, so requests may share a run:
// x FP32 [batch 3] → y FP32 [batch 1], the sum of each row.
func DynamicBatch() Model {
	return Model{Graph: Graph{
		Nodes:   []Node{N("ReduceSum", names("x", "axis"), names("y"))},
		Inits:   []Tensor{Ints64("axis", []int64{1}, 1)},
		Inputs:  []Value{V("x", onnx.Float, "batch", 3)},
		Outputs: []Value{V("y", onnx.Float, "batch", 1)},
	}}
}

// MixesRows looks as DynamicBatch does but subtracts each column's mean over
// the batch, so that requests must not share a run: x FP32 [batch 3] →
// y FP32 [batch 3].
func MixesRows() Model {
	return Model{Graph: Graph{
		Nodes: []Node{
			N("ReduceMean", names("x"), names("mean"), Ints("axes", 0)),
			N("Sub", names("x", "mean"), names("y")),
		},
		Inputs:  []Value{V("x", onnx.Float, "batch", 3)},
		Outputs: []Value{V("y", onnx.Float, "batch", 3)},
	}}
}
