package app

import (
	"godwit.dev/runtime/onnx"
)

// The sizes up to which a model runs without ONNX Runtime's memory arena.
const (
	leanNodes   = 64
	leanWeights = 64 << 10 // bytes
	leanInput   = 16 << 10 // elements of one row
)

// Lean says that a run of the model takes some microseconds and little memory.
// The arena, whose lock all runs of a session share, is then slower than the
// C library's allocator: by 1 to 5% with one or two callers on a busy machine,
// and more the more runs there really are at once. From 100 µs on it makes no
// difference, and where activations are large the arena is 5 to 10% faster.
func Lean(m *onnx.Model) bool {
	if m.Format != onnx.FormatONNX || m.Nodes > leanNodes || m.Initializers.Bytes+m.Constants > leanWeights {
		return false
	}
	sig, err := m.Signature()
	if err != nil {
		return false
	}
	elements := int64(0)
	for _, in := range sig.Inputs {
		n := int64(1)
		for _, d := range in.Shape {
			if d > leanInput {
				return false
			}
			if n *= max(d, 1); n > leanInput {
				return false
			}
		}
		elements += n
		if in.Unranked {
			return false
		}
	}
	return elements <= leanInput
}
