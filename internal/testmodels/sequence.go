package testmodels

import (
	"godwit.dev/runtime/onnx"
)

// SequenceOfMaps is the shape of scikit-learn's classifiers: x FP32 [N 4] →
// label [N] and probabilities, a sequence of N maps from three class names to
// FP32. keys is Int64 (classes 0, 1, 7) or String (classes "setosa",
// "versicolor", "Grün"); label has the keys' type. Each row's probabilities
// are a softmax and sum to 1.
func SequenceOfMaps(keys onnx.ElemType) Model {
	classifier := []Attr{
		Floats("coefficients", 1, 0, 0, -1, 0, 1, 0, -1, 0, 0, 1, -1),
		Floats("intercepts", 0.5, 0, -0.5),
		Str("post_transform", "SOFTMAX"),
	}
	var zip Attr
	switch keys {
	case onnx.String:
		classes := []string{"setosa", "versicolor", "Grün"}
		classifier = append(classifier, Strs("classlabels_strings", classes...))
		zip = Strs("classlabels_strings", classes...)
	default:
		classifier = append(classifier, Ints("classlabels_ints", 0, 1, 7))
		zip = Ints("classlabels_int64s", 0, 1, 7)
	}
	value := T(onnx.Float)
	row := Type{Elem: keys, Map: &value}
	return Model{
		Opsets: []Opset{{"", 17}, {"ai.onnx.ml", 3}},
		Graph: Graph{
			Nodes: []Node{
				{Op: "LinearClassifier", Domain: "ai.onnx.ml", In: names("x"), Out: names("label", "scores"), Attrs: classifier},
				{Op: "ZipMap", Domain: "ai.onnx.ml", In: names("scores"), Out: names("probabilities"), Attrs: []Attr{zip}},
			},
			Inputs:  []Value{V("x", onnx.Float, "N", 4)},
			Outputs: []Value{V("label", keys, "N"), {Name: "probabilities", Type: Type{Seq: &row}}},
		},
	}
}

// SequenceOutput has an output that the protocol cannot carry: x FP32 [N 4] →
// rows, a sequence of N tensors FP32 [1 4], and y = x FP32 [N 4].
func SequenceOutput() Model {
	row := T(onnx.Float, 1, 4)
	return Model{Graph: Graph{
		Nodes: []Node{
			N("SplitToSequence", names("x"), names("rows"), Int("axis", 0)),
			N("Identity", names("x"), names("y")),
		},
		Inputs:  []Value{V("x", onnx.Float, "N", 4)},
		Outputs: []Value{{Name: "rows", Type: Type{Seq: &row}}, V("y", onnx.Float, "N", 4)},
	}}
}

// SequenceInput has an input that the protocol cannot carry: rows, a sequence
// of FP32 tensors [k 4] → y FP32 [N 4], all of them one below another.
func SequenceInput() Model {
	row := T(onnx.Float, nil, 4)
	return Model{Graph: Graph{
		Nodes:   []Node{N("ConcatFromSequence", names("rows"), names("y"), Int("axis", 0))},
		Inputs:  []Value{{Name: "rows", Type: Type{Seq: &row}}},
		Outputs: []Value{V("y", onnx.Float, "N", 4)},
	}}
}

// OptionalOutput has an output that may be absent: x FP32 [N 4] → maybe,
// an optional FP32 [N 4] that always holds x, and y = x FP32 [N 4].
func OptionalOutput() Model {
	t := T(onnx.Float, "N", 4)
	return Model{Graph: Graph{
		Nodes: []Node{
			N("Optional", names("x"), names("maybe")),
			N("Identity", names("x"), names("y")),
		},
		Inputs:  []Value{V("x", onnx.Float, "N", 4)},
		Outputs: []Value{{Name: "maybe", Type: Type{Optional: &t}}, V("y", onnx.Float, "N", 4)},
	}}
}
