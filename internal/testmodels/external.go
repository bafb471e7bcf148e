package testmodels

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"godwit.dev/runtime/onnx"
)

// Externalize moves the data of m's initializers but strings into a file of
// its own, called location in the model: it returns the model that is left
// and that file's content. Each tensor begins at a multiple of 64 bytes, so
// that there are gaps as real exporters leave them.
func (m Model) Externalize(location string) (Model, []byte) {
	var data []byte
	inits := make([]Tensor, len(m.Graph.Inits))
	for i, t := range m.Graph.Inits {
		if t.Elem != onnx.String {
			for len(data)%64 != 0 {
				data = append(data, 0)
			}
			t.External = [][2]string{{"location", location},
				{"offset", strconv.Itoa(len(data))}, {"length", strconv.Itoa(len(t.Raw))}}
			data = append(data, t.Raw...)
			t.Raw = nil
		}
		inits[i] = t
	}
	m.Graph.Inits = inits
	return m, data
}

// ExternalFile writes m and its data as NAME.onnx and NAME.bin into a folder
// of their own that t removes, and returns the model's path.
func (m Model) ExternalFile(t testing.TB, name string) string {
	t.Helper()
	m, data := m.Externalize(name + ".bin")
	path := m.File(t, name)
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), name+".bin"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
