package batch

import (
	"context"
	"reflect"
	"sync"

	"godwit.dev/runtime/store"
)

// turns lets one job at a time work at one place.
type turns struct {
	mu   sync.Mutex
	each map[turn]*queue
}

type turn struct {
	bucket any
	dir    string
}

type queue struct {
	free  chan struct{} // has a value while nobody works
	users int
}

// take waits for the turn. leave ends it.
func (s *turns) take(ctx context.Context, b store.Bucket, dir string) (leave func(), err error) {
	var k turn
	if k.dir = dir; reflect.TypeOf(b).Comparable() {
		k.bucket = b
	}
	s.mu.Lock()
	q := s.each[k]
	if q == nil {
		q = &queue{free: make(chan struct{}, 1)}
		q.free <- struct{}{}
		if s.each == nil {
			s.each = map[turn]*queue{}
		}
		s.each[k] = q
	}
	q.users++
	s.mu.Unlock()
	gone := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if q.users--; q.users == 0 {
			delete(s.each, k)
		}
	}
	select {
	case <-q.free:
		return func() {
			q.free <- struct{}{}
			gone()
		}, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
