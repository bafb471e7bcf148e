//go:build !race

package infer_test

import (
	"context"
	"testing"

	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// TestAnIdleModelAllocatesOnlyTheAnswer: checks, queue and statistics are
// free. (Under the race detector a sync.Pool forgets on purpose.)
func TestAnIdleModelAllocatesOnlyTheAnswer(t *testing.T) {
	m := load(t, free(), &infer.Options{Name: "m", Runs: 2})
	req := &infer.Request{Inputs: []tensor.Tensor{floats("x", 1, 4)}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := testing.AllocsPerRun(1000, func() {
		resp, err := m.Infer(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Release()
	})
	if n > 1 {
		t.Errorf("%v allocations for a request, want 1: the answer", n)
	}
}
