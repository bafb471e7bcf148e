package adaptertest

import (
	"context"
	"strings"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// timeout waits for the end of the time that the platform gives a request: its
// caller is told, the handler's context ends, and the next request is answered.
func timeout(t *testing.T, start Start, _ *Caps) {
	for limit := 250 * time.Millisecond; ; limit *= 2 {
		c := start(t, &Setup{Timeout: limit})
		g := newGate(t)
		var code fault.Code
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, code, err = c.Call(t.Context(), told(infer.Params{Gate: g.address()}), false)
		}()
		conn := g.begun(done)
		if conn == nil && limit < patience { // too little time even to begin, on a busy machine
			continue
		} else if conn == nil {
			t.Fatalf("want a request that begins within %v, got %v, %v", limit, code, err)
		}
		got := reason(t, conn)
		<-done
		if (got == "" || code == fault.Internal) && limit < patience/4 { // the platform ended it before it could say so
			continue
		} else if !strings.HasPrefix(got, "context ") {
			t.Errorf("want a context that ended, got %q", got)
		}
		if err != nil || code != fault.DeadlineExceeded {
			t.Errorf("want deadline_exceeded, got %v, %v", code, err)
		}
		// A request that a busy machine makes late is no failure of the adapter's,
		// nor one that comes before the platform knows that the last is over.
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for over := time.After(patience); ; {
			if err = ask(t.Context(), c, "BYTES", false, ""); err == nil {
				return
			}
			select {
			case <-tick.C:
			case <-over:
				t.Fatalf("the next request: %v", err)
			}
		}
	}
}

// callersTimeout has the handler wait for the end of the time that the caller
// has asked for.
func callersTimeout(t *testing.T, start Start, _ *Caps) {
	c := start(t, nil)
	for limit := 100 * time.Millisecond; ; limit *= 2 {
		g := newGate(t)
		var code fault.Code
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, code, err = c.Call(t.Context(), told(infer.Params{Gate: g.address(), "timeout": limit.Microseconds()}), false)
		}()
		conn := g.begun(done)
		if conn == nil && limit < patience {
			continue
		} else if conn == nil {
			t.Fatalf("want a request that begins within %v, got %v, %v", limit, code, err)
		}
		if got, want := reason(t, conn), context.DeadlineExceeded.Error(); got != want {
			t.Errorf("want a context that says %q, got %q", want, got)
		}
		<-done
		if err != nil || code != fault.DeadlineExceeded {
			t.Errorf("want deadline_exceeded, got %v, %v", code, err)
		}
		alive(t, c)
		return
	}
}

// leaves has the caller go away while its request is worked on.
func leaves(t *testing.T, start Start, _ *Caps) {
	c := start(t, nil)
	for range 2 {
		g := newGate(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _, _ = c.Call(ctx, told(infer.Params{Gate: g.address()}), false)
		}()
		conn := g.begun(done)
		if conn == nil {
			t.Fatal("want a request that begins, got one that was answered")
		}
		cancel()
		if got := reason(t, conn); !strings.HasPrefix(got, "context ") {
			t.Errorf("want a context that ended, got %q", got)
		}
		<-done
		alive(t, c)
	}
}
