package testmodels

import (
	"godwit.dev/runtime/onnx"
)

// GatherTrap fails while it runs for some requests: x FP32 [3], i INT64 [N] →
// y = x[i] FP32 [N]. An index outside of [-3, 2] is an error of the operator.
func GatherTrap() Model {
	return Model{Graph: Graph{
		Nodes:   []Node{N("Gather", names("x", "i"), names("y"))},
		Inputs:  []Value{V("x", onnx.Float, 3), V("i", onnx.Int64, "N")},
		Outputs: []Value{V("y", onnx.Float, "N")},
	}}
}

// ReshapeTrap fails while it runs unless the requested shape has as many
// elements as x: x FP32 [N], shape INT64 [R] → y FP32 of that shape, whose
// rank the model does not tell. (onnx.checker wants a rank; ONNX Runtime does
// not, and such files are about.)
func ReshapeTrap() Model {
	y := V("y", onnx.Float)
	y.Type.NoShape = true
	return Model{Graph: Graph{
		Nodes:   []Node{N("Reshape", names("x", "shape"), names("y"))},
		Inputs:  []Value{V("x", onnx.Float, "N"), V("shape", onnx.Int64, "R")},
		Outputs: []Value{y},
	}}
}

// Random answers differently each time: x FP32 [N 3] → y = x + noise FP32 [N 3].
func Random() Model {
	return Model{Graph: Graph{
		Nodes: []Node{
			N("RandomNormalLike", names("x"), names("noise")),
			N("Add", names("x", "noise"), names("y")),
		},
		Inputs:  []Value{V("x", onnx.Float, "N", 3)},
		Outputs: []Value{V("y", onnx.Float, "N", 3)},
	}}
}

// Dropout is a Dropout whose training flag is the constant given: with true it
// is a random model, with false it is not. x FP32 [N 3] → y FP32 [N 3].
func Dropout(training bool) Model {
	flag := Tensor{Name: "training", Elem: onnx.Bool, Raw: []byte{0}}
	if training {
		flag.Raw[0] = 1
	}
	return Model{Graph: Graph{
		Nodes:   []Node{N("Dropout", names("x", "ratio", "training"), names("y"))},
		Inits:   []Tensor{Floats32("ratio", nil, 0.5), flag},
		Inputs:  []Value{V("x", onnx.Float, "N", 3)},
		Outputs: []Value{V("y", onnx.Float, "N", 3)},
	}}
}

// NaN divides by zero: x FP32 [N] → y = x/0 FP32 [N], which is NaN for 0, and
// an infinity with the sign of x for everything else.
func NaN() Model {
	return Model{Graph: Graph{
		Nodes:   []Node{N("Div", names("x", "zero"), names("y"))},
		Inits:   []Tensor{Floats32("zero", nil, 0)},
		Inputs:  []Value{V("x", onnx.Float, "N")},
		Outputs: []Value{V("y", onnx.Float, "N")},
	}}
}

// StringConcat works on text: x BYTES [N], suffix BYTES [] → y BYTES [N], each
// x with the suffix behind it. It uses opset 20.
func StringConcat() Model {
	return Model{IR: 9, Opsets: []Opset{{"", 20}}, Graph: Graph{
		Nodes:   []Node{N("StringConcat", names("x", "suffix"), names("y"))},
		Inputs:  []Value{V("x", onnx.String, "N"), V("suffix", onnx.String)},
		Outputs: []Value{V("y", onnx.String, "N")},
	}}
}

// StringStop drops words: x BYTES [N] → y BYTES [M], x without "the" and "a".
// When nothing is left y is one empty string, as the operator is defined.
func StringStop() Model {
	return Model{Graph: Graph{
		Nodes: []Node{N("StringNormalizer", names("x"), names("y"),
			Int("is_case_sensitive", 1), Strs("stopwords", "the", "a"))},
		Inputs:  []Value{V("x", onnx.String, "N")},
		Outputs: []Value{V("y", onnx.String, "M")},
	}}
}

// Branches has subgraphs: x FP32 [N], up BOOL [] → y FP32 [N], x+1 if up and
// x-1 otherwise. The branches take x and one from the graph around them.
func Branches() Model {
	branch := func(op string) Graph {
		return Graph{Name: op, Nodes: []Node{N(op, names("x", "one"), names(op+"ed"))},
			Outputs: []Value{V(op+"ed", onnx.Float, "N")}}
	}
	return Model{Graph: Graph{
		Nodes: []Node{N("If", names("up"), names("y"),
			Body("then_branch", branch("Add")), Body("else_branch", branch("Sub")))},
		Inits:   []Tensor{Floats32("one", nil, 1)},
		Inputs:  []Value{V("x", onnx.Float, "N"), V("up", onnx.Bool)},
		Outputs: []Value{V("y", onnx.Float, "N")},
	}}
}

// LocalFunction calls an operator that the model defines itself: x FP32 [N] →
// y = 4x-x = 3x FP32 [N], by two calls of example.Twice and one Sub.
func LocalFunction() Model {
	return Model{
		Opsets: []Opset{{"", 17}, {"example", 1}},
		Functions: []Function{{Domain: "example", Name: "Twice", Inputs: names("a"), Outputs: names("b"),
			Nodes: []Node{N("Add", names("a", "a"), names("b"))}, Opsets: []Opset{{"", 17}}}},
		Graph: Graph{
			Nodes: []Node{
				{Op: "Twice", Domain: "example", In: names("x"), Out: names("x2")},
				{Op: "Twice", Domain: "example", In: names("x2"), Out: names("x4")},
				N("Sub", names("x4", "x"), names("y")),
			},
			Inputs:  []Value{V("x", onnx.Float, "N")},
			Outputs: []Value{V("y", onnx.Float, "N")},
		},
	}
}

// CustomOp uses an operator that nobody defines: x FP32 [N] → y FP32 [N].
func CustomOp() Model {
	return Model{
		Opsets: []Opset{{"", 17}, {"acme.ops", 1}},
		Graph: Graph{
			Nodes:   []Node{{Op: "Sparkle", Domain: "acme.ops", In: names("x"), Out: names("y")}},
			Inputs:  []Value{V("x", onnx.Float, "N")},
			Outputs: []Value{V("y", onnx.Float, "N")},
		},
	}
}
