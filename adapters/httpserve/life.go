package httpserve

import (
	"context"
	"sync"
)

// life is the context of a call that ends with its stream or with base, which
// ends all calls. It tells both of itself only when somebody waits for its
// end: most calls are answered before anybody does.
type life struct {
	context.Context // the stream's
	base            context.Context

	mu     sync.Mutex
	inner  context.Context // made when it is needed
	cancel context.CancelCauseFunc
	ended  bool // by end
}

var _ context.Context = (*life)(nil)

// end is what a CancelFunc is to other contexts.
func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.cancel != nil {
		l.cancel(nil)
	}
}

func (l *life) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.make().Done()
}

// make returns inner, made if there is none. The caller holds mu.
func (l *life) make() context.Context {
	if l.inner == nil {
		var cancel context.CancelCauseFunc
		l.inner, cancel = context.WithCancelCause(l.Context)
		switch {
		case l.ended:
			cancel(nil)
		case l.base.Err() != nil:
			cancel(context.Cause(l.base))
		default:
			stop := context.AfterFunc(l.base, func() { cancel(context.Cause(l.base)) })
			l.cancel = func(cause error) {
				stop()
				cancel(cause)
			}
		}
	}
	return l.inner
}

func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// With base's end comes its cause, which only inner can tell.
	if l.inner != nil || l.ended || l.base.Err() != nil {
		return l.make().Err()
	}
	return l.Context.Err()
}

// Value goes through the inner context, where package context looks for the
// one that children are to be told by.
func (l *life) Value(key any) any {
	l.mu.Lock()
	inner := l.inner
	l.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return l.Context.Value(key)
}
