package app

import (
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/runtime/fault"
)

func TestStartFailureIsToldWhereAPlatformShowsIt(t *testing.T) {
	err := fault.New(fault.Runtime, "ort.Open", "m.onnx", "want provider %q, got cpu", "cuda").WithHint("Set provider: cpu.")
	file := filepath.Join(t.TempDir(), "termination-log")
	tell(file, err)
	if _, statErr := os.Stat(file); statErr == nil {
		t.Error("a file was made where the platform mounted none")
	}
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	tell(file, err)
	got, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if want := "m.onnx: want provider \"cuda\", got cpu\nTry: Set provider: cpu.\n"; string(got) != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
