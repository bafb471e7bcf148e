// Package onnx reads what is in a model file without running it and without
// holding its weights: inputs, outputs, operators, opsets, sizes, and the files
// that the model names besides itself. It serves safety, inspection and
// `godwit doctor`; for serving, the engine's live session is the truth.
//
// The reader walks the protobuf of the file with a window of 64 KiB and skips
// the weights, so a file of 2 GiB costs little memory and little time. Every
// count and length is bounded by Limits. It refuses what ONNX Runtime would
// refuse later and less clearly (a truncated download, an HTML page saved as a
// model, a tensor whose data contradict its shape, a cyclic graph) with a
// fault.BadModel that says what was wanted, what was found and what to do.
package onnx
