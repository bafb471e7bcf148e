package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/tensor"
)

// A canary tries a baked form with a recorded request of its model.
func TestCanaryKnowsBakedForms(t *testing.T) {
	dir := t.TempDir()
	sum := strings.Repeat("0", 64)
	m := &manifest.Manifest{Version: manifest.Version, Runtime: manifest.Runtime{SHA256: sum}, Files: []manifest.File{{Path: "m.extended.onnx", SHA256: sum}},
		Models: []manifest.Model{{Name: "m", Version: "1", Path: "m.onnx", Digest: "sha256:" + sum, Baked: []manifest.Baked{{Path: "m.extended.onnx", Format: "onnx", Level: "extended"}}}}}
	text, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{manifest.Name: text, "godwit.yaml": []byte("model: m.onnx\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	req := &infer.Request{Model: "m", Inputs: []tensor.Tensor{tensor.Of("x", []int64{2}, []float32{1, 2})}}
	if err := recorded.Save(dir, "m", "1", req, nil, nil); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]int{"m.onnx": 1, "m.extended.onnx": 1, "other.onnx": 0} {
		if got := sample(dir, filepath.Join(dir, file)); len(got) != want {
			t.Errorf("%s: %d inputs, want %d", file, len(got), want)
		}
	}
}
