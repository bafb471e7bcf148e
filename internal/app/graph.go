package app

import "godwit.dev/runtime/onnx"

// Graph is what a server decides by of a model's graph, as its user gave it. A
// baked form, whose graph is another, carries it in the package's manifest, so
// that it is served as the model itself would be.
type Graph struct {
	Deterministic bool `json:"deterministic"` // equal inputs give equal outputs
	// Lean and Dense are as the functions Lean and Streams have it.
	Lean    bool  `json:"lean"`
	Dense   bool  `json:"dense"`
	Weights int64 `json:"weights"` // in bytes

	// Runtime is the ONNX Runtime that a form was baked with, and Optimized and
	// Unpacked how it is opened; see driver.Options. They are the form's and not
	// the platform's, so that a package gives the same bytes everywhere.
	Runtime   string `json:"runtime,omitempty"`
	Optimized bool   `json:"optimized,omitempty"`
	Unpacked  bool   `json:"unpacked,omitempty"`
}

// GraphOf reads it off a model.
func GraphOf(m *onnx.Model) *Graph {
	return &Graph{
		Deterministic: len(m.Random) == 0 && len(m.Custom()) == 0,
		Lean:          Lean(m), Dense: isDense(m), Weights: m.Initializers.Bytes + m.Constants,
	}
}
