package infer_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// Callers who are ready when a long run begins are in the queue by then, where
// they can be seen: on one processor, which native code does not let go of, each
// would else find the model idle when it has its turn, and nobody would ever
// be refused, however many there are.
func TestCrowdsAreSeen(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const callers, rounds = 20, 5
	var asking, seen atomic.Int64 // seen is the most that had asked when a run began
	model := memengine.AddSub()
	run := model.Run
	model.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		seen.Store(max(seen.Load(), asking.Load()))
		for began := time.Now(); time.Since(began) < 200*time.Microsecond; { // without a call that the scheduler could use
		}
		return run(ctx, in)
	}
	m := load(t, model, &infer.Options{Name: "m", Runs: 1})
	ask := func() {
		asking.Add(1)
		defer asking.Add(-1)
		resp, err := m.Infer(t.Context(), &infer.Request{Model: "m", Inputs: []tensor.Tensor{floats("a", 1, 4), floats("b", 1, 4)}})
		if err != nil {
			t.Error(err)
			return
		}
		resp.Release()
	}
	ask() // by which the model's runs are known to be long
	// More than one round: now and then the scheduler lets go first who has just
	// gone to the end of the line.
	for range rounds {
		var all sync.WaitGroup
		for range callers {
			all.Go(ask)
		}
		all.Wait()
	}
	if seen.Load() < callers/2 {
		t.Errorf("want most of %d callers seen when a run begins, got %d", callers, seen.Load())
	}
}
