package infer_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// TestTenThousandLoadsInfersUnloads: models come and go under requests of
// every kind, which are answered rightly or refused with a reason.
func TestTenThousandLoadsInfersUnloads(t *testing.T) {
	d := &timed{took: func(rows int) time.Duration { return time.Duration(rows) * time.Microsecond }}
	eng := memengine.New(map[string]memengine.Model{"m": d.model(1)})
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 3))
			for range 10_000 / 8 / 10 {
				m, err := infer.Load(t.Context(), eng, "m", &infer.Options{Name: "m", Digest: "sha256:0", Runs: 1 + r.IntN(2), Queue: 1 + r.IntN(8)})
				if err != nil {
					t.Error(err)
					return
				}
				if err := m.ProbeBatching(t.Context(), []*infer.Request{values(1, 2)}); err != nil {
					t.Error(err)
				}
				var all sync.WaitGroup
				for i := range 10 {
					v := float32(r.IntN(1000))
					priority, caller, patience := infer.Priority(r.IntN(2)), string(rune('a'+i%3)), r.IntN(4)
					all.Go(func() { stress(t, m, v, priority, caller, patience) })
				}
				if r.IntN(2) == 0 {
					all.Wait()
				}
				if err := m.Close(context.Background()); err != nil {
					t.Error(err)
				}
				all.Wait()
			}
		})
	}
	workers.Wait()
	if n := eng.Sessions(); n != 0 {
		t.Errorf("%d sessions still open", n)
	}
}

func stress(t *testing.T, m *infer.Model, v float32, p infer.Priority, caller string, patience int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if patience == 0 {
		ctx, cancel = context.WithTimeout(ctx, 50*time.Microsecond)
		defer cancel()
	}
	req := values(v, v+1)
	req.Priority, req.Caller = p, caller
	resp, err := m.Infer(ctx, req)
	switch fault.CodeOf(err) {
	case fault.OK:
		if y, _ := tensor.View[float32](&resp.Outputs[0]); !slices.Equal(y, []float32{2 * v, 2*v + 2}) {
			t.Errorf("answer %v to %v", y, v)
		}
		resp.Release()
	case fault.Unavailable, fault.DeadlineExceeded, fault.Canceled:
	default:
		t.Error(err)
	}
}
