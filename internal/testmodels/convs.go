package testmodels

import (
	"godwit.dev/runtime/onnx"
)

// Convs is a small picture classifier: x FP32 [N 16 12 12] → y FP32 [N 8], two
// convolutions of a ResNet and a dense layer. ONNX Runtime lays its data out in
// blocks for the processor that it runs on.
func Convs() Model {
	b := resnet{r: NewRand(16)}
	at := b.relu(b.conv("x", 16, 32, 3, 1, 1))
	at = b.relu(b.conv(at, 32, 32, 3, 2, 1))
	at = b.op("Flatten", names(b.op("GlobalAveragePool", names(at))))
	b.g.Inits = append(b.g.Inits, weights(b.r, "fc.W", 0.3, 32, 8), weights(b.r, "fc.b", 0.01, 8))
	b.g.Nodes = append(b.g.Nodes, N("Gemm", names(at, "fc.W", "fc.b"), names("y")))
	b.g.Name = "convs"
	b.g.Inputs = []Value{V("x", onnx.Float, "N", 16, 12, 12)}
	b.g.Outputs = []Value{V("y", onnx.Float, "N", 8)}
	return Model{Graph: b.g}
}
