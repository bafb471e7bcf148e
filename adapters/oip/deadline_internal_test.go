package oip

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

type key struct{}

// What anybody sees of it is what context.WithDeadline shows.
func TestDeadlineIsAContext(t *testing.T) {
	reason := errors.New("the server stops")
	for _, tt := range []struct {
		name string
		end  func(d *deadline, cancel context.CancelCauseFunc)
		want error
	}{
		{"not yet", func(*deadline, context.CancelCauseFunc) {}, nil},
		{"in time", func(*deadline, context.CancelCauseFunc) { <-time.After(time.Second) }, context.DeadlineExceeded},
		{"by the parent", func(_ *deadline, cancel context.CancelCauseFunc) { cancel(reason) }, context.Canceled},
		{"by its owner", func(d *deadline, _ context.CancelCauseFunc) { d.end() }, context.Canceled},
		{"in time and by its owner", func(d *deadline, _ context.CancelCauseFunc) { <-time.After(2 * time.Second); d.Err(); d.end() }, context.DeadlineExceeded},
	} {
		for _, early := range []bool{false, true} { // whether somebody waits before the end
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
				defer cancel(nil)
				d := &deadline{Context: parent, at: time.Now().Add(time.Second)}
				var child context.Context = d
				if early {
					var stop context.CancelFunc
					child, stop = context.WithCancel(d)
					defer stop()
				}
				tt.end(d, cancel)
				synctest.Wait()
				// An end that nobody saw may be the owner's or the clock's.
				if err := d.Err(); err != tt.want && !(tt.want == context.DeadlineExceeded && !early && err == context.Canceled) {
					t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
				}
				if err := child.Err(); (err == nil) != (tt.want == nil) {
					t.Errorf("%s: the child's is %v, want %v", tt.name, err, tt.want)
				}
				select {
				case <-d.Done():
					if tt.want == nil {
						t.Errorf("%s: done", tt.name)
					}
				default:
					if tt.want != nil {
						t.Errorf("%s: not done", tt.name)
					}
				}
				if late := d.Err(); (late == nil) != (tt.want == nil) {
					t.Errorf("%s: %v after Done, want %v", tt.name, late, tt.want)
				}
				if parent.Err() != nil && context.Cause(d) != reason {
					t.Errorf("%s: cause %v, want %v", tt.name, context.Cause(d), reason)
				}
				if d.Value(key{}) != "value" {
					t.Errorf("%s: the parent's values are gone", tt.name)
				}
				if at, ok := d.Deadline(); !ok || !at.Equal(d.at) {
					t.Errorf("%s: deadline %v, want %v", tt.name, at, d.at)
				}
				called := make(chan struct{})
				stop := context.AfterFunc(d, func() { close(called) })
				if tt.want != nil {
					<-called
				} else if !stop() {
					t.Errorf("%s: AfterFunc was called", tt.name)
				}
				d.end()
			})
		}
	}
}

// The parent's deadline counts where it is the earlier one.
func TestTheEarlierDeadlineCounts(t *testing.T) {
	now := time.Now()
	parent, cancel := context.WithDeadline(t.Context(), now.Add(time.Hour))
	defer cancel()
	d := &deadline{Context: parent, at: now.Add(2 * time.Hour)}
	defer d.end()
	if at, _ := d.Deadline(); !at.Equal(now.Add(time.Hour)) {
		t.Errorf("deadline %v, want the parent's", at)
	}
}

// Its children are told by package context itself: no goroutine waits for each.
func TestChildrenOfDeadlinesNeedNoGoroutine(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	d := &deadline{Context: parent, at: time.Now().Add(time.Hour)}
	defer d.end()
	before := runtime.NumGoroutine()
	for range 10 {
		_, stop := context.WithCancel(d)
		defer stop()
	}
	if after := runtime.NumGoroutine(); after >= before+10 {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}
