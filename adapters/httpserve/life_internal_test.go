package httpserve

import (
	"context"
	"errors"
	"testing"
)

func TestLifeEnds(t *testing.T) {
	stopping := errors.New("stopping")
	for _, tt := range []struct {
		name  string
		end   func(stream context.CancelFunc, base context.CancelCauseFunc, l *life)
		cause error
	}{
		{"with its stream", func(stream context.CancelFunc, _ context.CancelCauseFunc, _ *life) { stream() }, context.Canceled},
		{"with all calls", func(_ context.CancelFunc, base context.CancelCauseFunc, _ *life) { base(stopping) }, stopping},
		{"by itself", func(_ context.CancelFunc, _ context.CancelCauseFunc, l *life) { l.end() }, context.Canceled},
	} {
		for _, waits := range []string{"nobody waits", "waited before", "waits after", "with a child"} {
			stream, endStream := context.WithCancel(t.Context())
			base, endBase := context.WithCancelCause(t.Context())
			l := &life{Context: stream, base: base}
			var child context.Context = l
			switch waits {
			case "waited before":
				l.Done()
			case "with a child":
				var cancel context.CancelFunc
				child, cancel = context.WithCancel(l)
				defer cancel()
			}
			if l.Err() != nil || child.Err() != nil {
				t.Errorf("%s, %s: ended from the start", tt.name, waits)
			}
			tt.end(endStream, endBase, l)
			if waits != "nobody waits" {
				<-l.Done()
				<-child.Done()
			}
			if !errors.Is(l.Err(), context.Canceled) || !errors.Is(child.Err(), context.Canceled) {
				t.Errorf("%s, %s: %v, the child %v", tt.name, waits, l.Err(), child.Err())
			}
			if got := context.Cause(l); got != tt.cause {
				t.Errorf("%s, %s: cause %v, want %v", tt.name, waits, got, tt.cause)
			}
			l.end()
			endStream()
			endBase(nil)
		}
	}
}
