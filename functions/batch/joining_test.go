package batch_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// joined scores n lines into s.jsonl of m, with ask in front of the model.
func joined(t *testing.T, m *memory, n int, ask infer.HandlerFunc) (*batch.Result, error) {
	t.Helper()
	m.set("in/a.jsonl", lines(n))
	o := plain(m, objects(m, registry(t, true, doubles), 100))
	o.Parallel = 1 // in order
	return batch.New(ask, &batch.Options{Objects: o}).Score(t.Context(), single("s.jsonl"))
}

// The first part is read for the one object before the last one is scored: else
// the model waits for ever, which the bubble tells.
func TestPartsAreJoinedWhileOthersAreScored(t *testing.T) {
	const n = 30
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		begun := make(chan struct{})
		var once sync.Once
		m.before = func(_ context.Context, op, key string) error {
			if op == "open" && strings.HasSuffix(key, "part-00000.jsonl") {
				once.Do(func() { close(begun) })
			}
			return nil
		}
		res, err := joined(t, m, n, func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
			if x, _ := tensor.View[float32](&req.Inputs[0]); x[len(x)-2] == n-1 {
				<-begun
			}
			return twice(ctx, req)
		})
		if err != nil || res.Rows != n || len(res.Manifest.Parts) < 3 {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// Whatever keeps parts from being joined early, they are joined in the end.
func TestWhatCannotBeJoinedEarlyIsJoinedLate(t *testing.T) {
	clean := newMemory()
	if _, err := joined(t, clean, 30, twice); err != nil {
		t.Fatal(err)
	}
	want := untimed(t, clean.all())
	for name, fails := range map[string]func(op, key string) bool{
		"no object":    func(op, key string) bool { return op == "create" && key == "s.jsonl" },
		"a part away":  func(op, key string) bool { return op == "open" && strings.HasSuffix(key, "part-00001.jsonl") },
		"the last one": func(op, key string) bool { return op == "open" && strings.HasSuffix(key, "part-00003.jsonl") },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			var mu sync.Mutex
			failed := 0
			m.before = func(_ context.Context, op, key string) error {
				mu.Lock()
				defer mu.Unlock()
				if failed == 0 && fails(op, key) {
					failed++
					return fault.New(fault.Denied, "test", key, "not now")
				}
				return nil
			}
			if _, err := joined(t, m, 30, twice); err != nil {
				t.Fatal(err)
			}
			if failed != 1 {
				t.Errorf("%d operations failed, want 1", failed)
			}
			if diff := cmp.Diff(want, untimed(t, m.all())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// As many requests are made at a time as the model has runs, however many parts
// are scored at once.
func TestNoMoreRequestsThanRuns(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(200))
	r := registry(t, true, doubles)
	o := plain(m, objects(m, r, 200))
	o.Parallel = 4
	var now, most atomic.Int64
	h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		n := now.Add(1)
		defer now.Add(-1)
		if n > most.Load() {
			most.Store(n)
		}
		runtime.Gosched() // for others to come
		return twice(ctx, req)
	}), &batch.Options{Objects: o})
	if _, err := h.Score(t.Context(), single("s.jsonl")); err != nil {
		t.Fatal(err)
	}
	if most.Load() != 1 {
		t.Errorf("%d requests at a time, want 1 for a model of one run", most.Load())
	}
}
