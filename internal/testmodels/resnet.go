package testmodels

import (
	"fmt"
	"math"

	"godwit.dev/runtime/onnx"
)

// ResNet50 is the real topology with random weights: x FP32 [N 3 224 224] →
// y FP32 [N 1000], 53 convolutions (their batch normalisations folded in, as
// exporters leave them), 25.5 million weights, 102 MB. It is made on demand
// and never committed; making it costs three times its size in memory for a
// moment.
func ResNet50() Model {
	b := resnet{r: NewRand(50)}
	at := b.conv("x", 3, 64, 7, 2, 1)
	at = b.relu(at)
	at = b.op("MaxPool", names(at), Ints("kernel_shape", 3, 3), Ints("strides", 2, 2), Ints("pads", 1, 1, 1, 1))
	in := 64
	for stage, blocks := range []int{3, 4, 6, 3} {
		width := 64 << stage
		for block := range blocks {
			stride := 1
			if block == 0 && stage > 0 {
				stride = 2
			}
			at = b.bottleneck(at, in, width, stride, block == 0)
			in = 4 * width
		}
	}
	at = b.op("GlobalAveragePool", names(at))
	at = b.op("Flatten", names(at))
	b.g.Inits = append(b.g.Inits, weights(b.r, "fc.W", math.Sqrt(3.0/2048), 2048, 1000), weights(b.r, "fc.b", 0.01, 1000))
	b.g.Nodes = append(b.g.Nodes, N("Gemm", names(at, "fc.W", "fc.b"), names("y")))
	b.g.Name = "resnet50"
	b.g.Inputs = []Value{V("x", onnx.Float, "N", 3, 224, 224)}
	b.g.Outputs = []Value{V("y", onnx.Float, "N", 1000)}
	return Model{Graph: b.g}
}

type resnet struct {
	r *Rand
	g Graph
	n int
}

// op appends a node with one output and returns the output's name.
func (b *resnet) op(op string, in []string, attrs ...Attr) string {
	b.n++
	out := fmt.Sprintf("%s%d", op, b.n)
	b.g.Nodes = append(b.g.Nodes, N(op, in, names(out), attrs...))
	return out
}

func (b *resnet) relu(at string) string { return b.op("Relu", names(at)) }

// conv keeps the scale of its input times gain (He initialisation).
func (b *resnet) conv(at string, in, out, kernel, stride int64, gain float64) string {
	w := fmt.Sprintf("conv%d.W", b.n+1)
	bias := fmt.Sprintf("conv%d.b", b.n+1)
	limit := gain * math.Sqrt(6/float64(in*kernel*kernel))
	b.g.Inits = append(b.g.Inits, weights(b.r, w, limit, out, in, kernel, kernel), weights(b.r, bias, 0.01, out))
	pad := kernel / 2
	return b.op("Conv", names(at, w, bias), Ints("kernel_shape", kernel, kernel),
		Ints("strides", stride, stride), Ints("pads", pad, pad, pad, pad))
}

// bottleneck is 1×1, 3×3, 1×1 beside a shortcut. The last convolution's small
// gain keeps sixteen sums from growing.
func (b *resnet) bottleneck(at string, in, width, stride int, project bool) string {
	i, w := int64(in), int64(width)
	branch := b.relu(b.conv(at, i, w, 1, 1, 1))
	branch = b.relu(b.conv(branch, w, w, 3, int64(stride), 1))
	branch = b.conv(branch, w, 4*w, 1, 1, 0.25)
	shortcut := at
	if project {
		shortcut = b.conv(at, i, 4*w, 1, int64(stride), 0.7)
	}
	return b.relu(b.op("Add", names(branch, shortcut)))
}
