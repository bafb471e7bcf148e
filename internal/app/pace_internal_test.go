package app

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func percentNow() int {
	now := debug.SetGCPercent(100)
	debug.SetGCPercent(now)
	return now
}

func TestCollectorIsPacedByGarbage(t *testing.T) {
	p := &pace{garbage: 32 << 20}
	for _, c := range []struct {
		live int64
		want int
	}{{0, 3300}, {4 << 20, 900}, {32 << 20, 200}, {1 << 30, 103}} {
		if got := p.want(c.live); got != c.want {
			t.Errorf("live %d: %d %%, want %d", c.live, got, c.want)
		}
	}

	p = newPace(0)
	if p == nil {
		t.Fatal("GOGC is not what the test runs with")
	}
	small := percentNow()
	held := make([]*[1 << 20]byte, 256) // the live heap grows, and the percentage falls
	for i := range held {
		held[i] = new([1 << 20]byte)
	}
	for range 4 { // a finalizer runs some time after its collection
		runtime.GC()
		done := make(chan struct{})
		runtime.SetFinalizer(new(collection), func(*collection) { close(done) })
		runtime.GC()
		<-done
	}
	if large := percentNow(); large >= small || large > 150 {
		t.Errorf("with %d MiB live the percentage is %d, with little it was %d", len(held), large, small)
	}
	runtime.KeepAlive(held)
	p.stop()
	if got := percentNow(); got != 100 {
		t.Errorf("stopped at %d %%, want 100", got)
	}

	defer debug.SetGCPercent(debug.SetGCPercent(250))
	if newPace(0) != nil || percentNow() != 250 {
		t.Error("what the user has set was changed")
	}
	if p := (&pace{garbage: min(paceGarbage, (128<<20)/paceShare)}); p.garbage != 8<<20 {
		t.Errorf("of 128 MiB: %d", p.garbage)
	}
}
