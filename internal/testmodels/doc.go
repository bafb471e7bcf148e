// Package testmodels writes ONNX files for tests and benchmarks without
// Python: a small builder of ModelProto, and one function for every kind of
// model that the engine, the protocol and the command line must cope with.
// Each function's comment gives the model's inputs, outputs and shapes; the
// same call gives the same bytes everywhere.
package testmodels

import (
	"os"
	"path/filepath"
	"testing"
)

// File writes the model to NAME.onnx in a folder of its own that t removes,
// and returns its path.
func (m Model) File(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".onnx")
	if err := os.WriteFile(path, m.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
