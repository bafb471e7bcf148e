package auth

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// One caller's flood costs the others nothing.
func TestRateIsForEachCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKeys(t, &KeyOptions{List: "alice:" + testKey + ",bob:" + testKey + "2", Rate: Rate{PerSecond: 10, Burst: 20}})
		let := func(key string, n int) (in int) {
			for range n {
				_, err := ask(a, oip.ScopeInfer, "x-api-key", key)
				switch fault.CodeOf(err) {
				case fault.OK:
					in++
				case fault.RateLimited:
					if wait := fault.RetryOf(err); wait <= 0 || wait > 100*time.Millisecond {
						t.Fatalf("told to wait %v, want at most a tenth of a second", wait)
					}
				default:
					t.Fatal(err)
				}
			}
			return in
		}
		if got := let(testKey, 1000); got != 20 {
			t.Errorf("of a flood %d got in, want the burst of 20", got)
		}
		for range 50 { // bob keeps to his rate, beside the flood
			pass(100 * time.Millisecond)
			if got := let(testKey, 100); got != 1 {
				t.Fatalf("of a flood %d got in each tenth of a second, want 1", got)
			}
			if got := let(testKey+"2", 1); got != 1 {
				t.Fatal("a caller within the rate was refused")
			}
		}
		pass(time.Hour)
		if got := let(testKey, 1000); got != 20 {
			t.Errorf("after an hour %d got in, want the burst of 20", got)
		}
		// Who waits as told gets in, and not before.
		_, err := ask(a, oip.ScopeInfer, "x-api-key", testKey)
		pass(fault.RetryOf(err) - 1)
		if _, err := ask(a, oip.ScopeInfer, "x-api-key", testKey); fault.CodeOf(err) != fault.RateLimited {
			t.Errorf("a moment too early: %v", err)
		}
		pass(1)
		if _, err := ask(a, oip.ScopeInfer, "x-api-key", testKey); err != nil {
			t.Errorf("after the time that was told: %v", err)
		}
	})
}

func TestRates(t *testing.T) {
	for _, tt := range []struct {
		rate Rate
		want int // let in at once
	}{
		{Rate{}, 100}, {Rate{Burst: 5}, 100}, {Rate{PerSecond: 3}, 3}, {Rate{PerSecond: 2.5}, 3}, {Rate{PerSecond: 1.0 / 3600}, 1}, {Rate{PerSecond: 0.1, Burst: 7}, 7},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, in := newKeys(t, &KeyOptions{List: testKey, Rate: tt.rate}), 0
			for range 100 {
				if _, err := ask(a, oip.ScopeInfer, "x-api-key", testKey); err == nil {
					in++
				}
			}
			if in != tt.want {
				t.Errorf("%+v let %d in at once, want %d", tt.rate, in, tt.want)
			}
		})
	}
	// Refusals for other reasons cost nobody's share.
	a := newKeys(t, &KeyOptions{List: testKey, Rate: Rate{PerSecond: 0.001, Burst: 1}})
	for range 10 {
		if _, err := ask(a, oip.ScopeAdmin, "x-api-key", testKey); fault.CodeOf(err) != fault.Denied {
			t.Fatal(err)
		}
	}
	if _, err := ask(a, oip.ScopeInfer, "x-api-key", testKey); err != nil {
		t.Error(err)
	}
}

func TestCallersInMemoryAreBounded(t *testing.T) {
	l := newLimiter(time.Hour, 1)
	for i := range 5 * maxCallers {
		l.take(fmt.Sprint("caller-", i))
		if n := len(l.next.young) + len(l.next.old); n > maxCallers {
			t.Fatalf("%d callers are remembered, want at most %d", n, maxCallers)
		}
	}
	if l.take(fmt.Sprint("caller-", 5*maxCallers-1)) == 0 {
		t.Error("the latest caller was forgotten")
	}
}

// What is used stays; what is not goes.
func TestRecent(t *testing.T) {
	r := recent[int, int]{max: 10}
	for i := range 1000 {
		r.put(i, -i)
		if v, ok := r.get(0); !ok || v != 0 {
			t.Fatalf("after %d: the one in use is gone", i)
		}
		if v, ok := r.get(i); !ok || v != -i {
			t.Fatalf("after %d: the newest is gone", i)
		}
		if n := len(r.young) + len(r.old); n > 10 {
			t.Fatalf("%d entries", n)
		}
	}
	if _, ok := r.get(500); ok {
		t.Error("an old one is still there")
	}
}
