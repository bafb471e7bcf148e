package ort_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/tensor"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{Engine: drivertest.ONNXRuntime(t), Path: drivertest.ONNX, NotAModel: notAModel})
}

// A run that was stopped leaves nothing behind that stops the next one, which
// uses the same memory.
func TestRunAfterAStoppedRun(t *testing.T) {
	s := open(t, testmodels.Slow(60).File(t, "slow"))
	in, out := []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}, []tensor.Tensor{{Name: "y"}}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		err := s.Run(ctx, in, out)
		cancel()
		if err == nil {
			t.Fatal("a run of 60 large operators ended within 5 ms")
		}
		if err := s.Run(t.Context(), in, out); err != nil {
			t.Fatalf("the next run: %v", err)
		}
		if y, _ := tensor.View[float32](&out[0]); len(y) != 1 || y[0] < 0.99 || y[0] > 1.01 {
			t.Errorf("the next run answers %v, want 1", y)
		}
	}
}

func notAModel(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.onnx")
	if err := os.WriteFile(file, []byte("<!DOCTYPE html><title>404 Not Found</title>"), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
