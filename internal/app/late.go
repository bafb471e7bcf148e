package app

import (
	"context"
	"errors"
	"sync"

	"godwit.dev/runtime/infer"
)

// late are comparisons of a package's files that go on after Load where a
// process answers one request and ends: comparing 100 MB takes as long as a
// run of them does, and goes on beside it. What the run gives leaves the
// process only once they have passed.
type late struct {
	checks sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

func (l *late) begin(check func() error) {
	l.checks.Go(func() {
		err := check()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.errs = append(l.errs, err)
	})
}

// wait is the errors of all that has begun.
func (l *late) wait() error {
	l.checks.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// before lets no answer of next through that is not to be trusted.
func (l *late) before(next infer.Handler) infer.Handler {
	return infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		resp, err := next.Infer(ctx, req)
		if bad := l.wait(); bad != nil {
			if err == nil {
				resp.Release()
			}
			return nil, bad
		}
		return resp, err
	})
}
