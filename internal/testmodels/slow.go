package testmodels

import (
	"fmt"

	"godwit.dev/runtime/onnx"
)

// Slow takes long and can be stopped between operators: x FP32 [1] → y FP32
// [1] = x to the power of n+1, by n MatMuls of 512×512 in a chain. Both
// factors come from x, so that no optimiser folds them and nothing is packed
// ahead. x = 1 gives exactly 1 for every n. One MatMul is 0.27 GFLOP, so n is
// the only knob: 100 of them take about 0.4 s on one core.
func Slow(n int) Model {
	const k = 512
	g := Graph{
		Nodes: []Node{
			N("Mul", names("x", "scale"), names("v")),
			N("Expand", names("v", "shape"), names("A")),
		},
		Inits:   []Tensor{Floats32("scale", []int64{1}, 1.0/k), Ints64("shape", []int64{2}, k, k), Floats32("unscale", []int64{1}, k)},
		Inputs:  []Value{V("x", onnx.Float, 1)},
		Outputs: []Value{V("y", onnx.Float, 1)},
	}
	at := "A"
	for i := range n {
		next := fmt.Sprintf("h%d", i)
		g.Nodes = append(g.Nodes, N("MatMul", names(at, "A"), names(next)))
		at = next
	}
	g.Nodes = append(g.Nodes,
		N("ReduceMax", names(at), names("top"), Int("keepdims", 0)),
		N("Mul", names("top", "unscale"), names("y")))
	return Model{Graph: g}
}
