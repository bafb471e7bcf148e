package onnx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/runtime/fault"
)

// Digests are made beside the engine's load, so a file may change between its
// check and its reading; whichever notices says what to do.
func TestDigestOfAFileReplacedAfterItsCheck(t *testing.T) {
	dir := t.TempDir()
	place := func() {
		temp, name := filepath.Join(dir, "new"), filepath.Join(dir, "w.bin")
		if err := os.WriteFile(temp, []byte{1, 2, 3, 4}, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temp, name); err != nil {
			t.Fatal(err)
		}
	}
	place()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	info, err := root.Lstat("w.bin")
	if err != nil {
		t.Fatal(err)
	}
	x := &externals{root: root, files: map[string]os.FileInfo{"w.bin": info}}
	if _, err := x.sum("w.bin", "m.onnx"); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	place()
	if _, err := x.sum("w.bin", "m.onnx"); fault.CodeOf(err) != fault.BadModel || !strings.Contains(err.Error(), "replaced while") || fault.HintOf(err) == "" {
		t.Errorf("replaced: %v, want BadModel with a hint", err)
	}
}
