package oip

import (
	"context"
	"sync"
	"time"
)

// deadline is a context with a deadline that sets a timer, and tells its
// parent of itself, only when somebody waits for its end: most requests are
// answered long before anybody does, and both cost more than a small model.
type deadline struct {
	context.Context // the parent
	at              time.Time

	mu     sync.Mutex
	inner  context.Context // made by the first Done
	cancel context.CancelFunc
	ended  bool // by end
}

var _ context.Context = (*deadline)(nil)

// end is what a CancelFunc is to other contexts.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.cancel != nil {
		d.cancel()
	}
}

func (d *deadline) Deadline() (time.Time, bool) {
	if at, ok := d.Context.Deadline(); ok && at.Before(d.at) {
		return at, true
	}
	return d.at, true
}

func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inner == nil {
		d.inner, d.cancel = context.WithDeadline(d.Context, d.at)
		if d.ended {
			d.cancel()
		}
	}
	return d.inner.Done()
}

func (d *deadline) Err() error {
	d.mu.Lock()
	inner, ended := d.inner, d.ended
	d.mu.Unlock()
	switch {
	case inner != nil:
		return inner.Err()
	case ended:
		return context.Canceled
	}
	if err := d.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(d.at) {
		// Done, if it is asked now, is closed from the start.
		return context.DeadlineExceeded
	}
	return nil
}

// Value goes through the inner context, where package context looks for the
// one that children are to be told by.
func (d *deadline) Value(key any) any {
	d.mu.Lock()
	inner := d.inner
	d.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return d.Context.Value(key)
}

// An ender is a request's context that keeps a deadline itself, where a server
// looks after all its requests with one clock. EndBy says whether it does, until
// it is given the zero time.
type ender interface{ EndBy(at time.Time) bool }

// ender is the server's context below ctx, nil where there is anything between.
func (x *Exchange) ender(ctx context.Context) ender {
	if ctx != &x.traced {
		return nil
	}
	e, _ := x.traced.Context.(ender)
	return e
}
