package testmodels

import (
	"fmt"
	"math"

	"godwit.dev/runtime/onnx"
)

// MLP is a chain of Gemm with Relu between: x FP32 [N sizes[0]] → y FP32
// [N sizes[last]]. Weights are random by seed and keep the activations'
// scale. It needs at least two sizes.
func MLP(seed uint64, sizes ...int) Model {
	r := NewRand(seed)
	g := Graph{
		Name:    "mlp",
		Inputs:  []Value{V("x", onnx.Float, "N", sizes[0])},
		Outputs: []Value{V("y", onnx.Float, "N", sizes[len(sizes)-1])},
	}
	at := "x"
	for i := range len(sizes) - 1 {
		in, out := int64(sizes[i]), int64(sizes[i+1])
		w, b := fmt.Sprintf("W%d", i), fmt.Sprintf("b%d", i)
		g.Inits = append(g.Inits,
			weights(r, w, math.Sqrt(6/float64(in)), in, out),
			weights(r, b, 0.1, out))
		if i == len(sizes)-2 {
			g.Nodes = append(g.Nodes, N("Gemm", names(at, w, b), names("y")))
			break
		}
		gemm, relu := fmt.Sprintf("g%d", i), fmt.Sprintf("r%d", i)
		g.Nodes = append(g.Nodes,
			N("Gemm", names(at, w, b), names(gemm)),
			N("Relu", names(gemm), names(relu)))
		at = relu
	}
	return Model{Graph: g}
}

// The performance notes' models: x FP32 [N in] → y FP32 [N out].

// Tiny is the MLP 4-16-3, under 1 KB; about 1.7 µs a run.
func Tiny() Model { return MLP(1, 4, 16, 3) }

// Small is the MLP 64-256-256-16, 0.35 MB; about 5 µs a run.
func Small() Model { return MLP(2, 64, 256, 256, 16) }

// Medium is the MLP 512-1024-1024-1024-10, 10.5 MB; about 110 µs a run.
func Medium() Model { return MLP(3, 512, 1024, 1024, 1024, 10) }

// Wide is the MLP 1024-4096-4096-1024-10, 101 MB; about 2.8 ms a run. Making
// it costs three times its size in memory for a moment.
func Wide() Model { return MLP(4, 1024, 4096, 4096, 1024, 10) }
