package batch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func TestEarlierPartsAreAskedAboutFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := asking{free: 2}
		for part := range 2 {
			if !a.take(t.Context(), part) {
				t.Fatal("two runs are free")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		var got []int
		ask := func(ctx context.Context, part int) {
			go func() {
				took := a.take(ctx, part)
				mu.Lock()
				defer mu.Unlock()
				if !took {
					part = -part
				}
				got = append(got, part)
			}()
			synctest.Wait() // they come in this order
		}
		ask(t.Context(), 7)
		ask(t.Context(), 3)
		ask(ctx, 1)
		ask(t.Context(), 9)
		ask(t.Context(), 3)
		cancel() // 1 leaves
		synctest.Wait()
		if a.keep(4, true) { // 3 waits
			t.Error("a run was kept from an earlier part")
		}
		for range 3 {
			synctest.Wait()
			if !a.keep(3, true) {
				t.Error("a run was taken from the earliest part that asks for more")
			}
			if a.keep(0, false) {
				t.Error("a run was kept by who asks for no more")
			}
		}
		synctest.Wait()
		if diff := cmp.Diff([]int{-1, 3, 3, 7, 9}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		a.keep(0, false)
		a.keep(0, false)
		if a.free != 2 || len(a.waiting) != 0 {
			t.Errorf("%d runs are free and %d wait, want 2 and none", a.free, len(a.waiting))
		}
	})
}

// A run that comes when its caller has just left goes to the next.
func TestNoRunIsLost(t *testing.T) {
	for range 200 {
		a := asking{}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		took := false
		all.Go(func() { took = a.take(ctx, 0) })
		all.Go(cancel)
		all.Go(func() { a.keep(0, false) })
		all.Wait()
		if took == (a.free == 1) || len(a.waiting) != 0 {
			t.Fatalf("took %v, and %d are free, %d wait", took, a.free, len(a.waiting))
		}
	}
}
