package driver

import "context"

// A Baker is an Engine that can write down what it makes of a model's graph, so
// that a later Open with Options.Optimized need not do it again.
type Baker interface {
	// Bake writes the model at path, optimised up to level for the CPU, as an
	// ONNX model to the new file out, and weights of more than some KB into the
	// new file beside it that out is followed by DataSuffix. There is no such
	// file for a model without any. The same model, level, kind of processor
	// and engine give the same bytes. Errors: as Open's.
	Bake(ctx context.Context, path, out string, level Level) error
}

// DataSuffix ends the name of the file with a baked model's weights.
const DataSuffix = ".data"

// A Level says how far a model is optimised when it is baked.
type Level string

const (
	// Extended is right on every processor of an architecture.
	Extended Level = "extended"
	// All also lays data out for the processor that it is made on. On one of
	// another kind the engine loads it without complaint, and its answers are wrong.
	All Level = "all"
)
