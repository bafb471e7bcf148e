package ort_test

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// The memory of an answer is another's once it is released, and not before.
func TestReleasedAnswersAreUsedAgain(t *testing.T) {
	s := openFile(t, testmodels.Identity(onnx.Float, "N", 3), "identity")
	const n = 2000 // 24 KB
	run := func(v float32) []tensor.Tensor {
		x := make([]float32, 3*n)
		for i := range x {
			x[i] = v
		}
		out := []tensor.Tensor{{Name: "y"}}
		if err := s.Run(t.Context(), []tensor.Tensor{tensor.Of("x", []int64{n, 3}, x)}, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	has := func(out []tensor.Tensor, v float32) {
		t.Helper()
		if y, _ := tensor.View[float32](&out[0]); len(y) != 3*n || slices.ContainsFunc(y, func(got float32) bool { return got != v }) {
			t.Errorf("want %d times %v, got %v …", 3*n, v, y[:min(3, len(y))])
		}
	}
	a, b := run(1), run(2)
	has(a, 1)
	a[0].Release()
	c, d := run(3), run(4)
	has(b, 2)
	has(c, 3)
	has(d, 4)
	for _, out := range [][]tensor.Tensor{b, c, d} {
		out[0].Release()
		out[0].Release() // does nothing
	}

	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it lets go of what is kept
	in := []tensor.Tensor{tensor.Of("x", []int64{n, 3}, make([]float32, 3*n))}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const runs = 100
	for range runs {
		out := []tensor.Tensor{{Name: "y"}}
		if err := s.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		out[0].Release()
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > 6*n {
		t.Errorf("a run takes %d bytes of new memory, want less than half of its answer of %d", got, 12*n)
	}
}
