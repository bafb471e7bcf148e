package batch

import (
	"context"
	"sync"
)

// asking hands out the runs of a model to those who ask for a job's blocks, so
// that none waits within the model, which wakes a goroutine for each request and
// not for a block. Earlier parts go first: they then end one after the other, and
// while one is written to its end another has the runs. If all got as much, all
// would end at the same time.
type asking struct {
	mu      sync.Mutex
	free    int
	waiting []*waiter // in the order they came
}

type waiter struct {
	part  int
	ready chan struct{} // closed when it has a run
}

// take waits for a run. It reports false when ctx has ended.
func (a *asking) take(ctx context.Context, part int) bool {
	a.mu.Lock()
	if a.free > 0 {
		a.free--
		a.mu.Unlock()
		return true
	}
	w := &waiter{part: part, ready: make(chan struct{})}
	a.waiting = append(a.waiting, w)
	a.mu.Unlock()
	select {
	case <-w.ready:
		return true
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.waiting {
		if a.waiting[i] == w {
			a.remove(i)
			return false
		}
	}
	a.next() // it got one meanwhile
	return false
}

// keep reports whether who has a run may ask for more with it: if there is more
// to ask for, and no earlier part waits. Else the run is given back.
func (a *asking) keep(part int, more bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.waiting {
		more = more && w.part >= part
	}
	if !more {
		a.next()
	}
	return more
}

// next hands a run on. a.mu is held.
func (a *asking) next() {
	first := 0
	for i := range a.waiting {
		if a.waiting[i].part < a.waiting[first].part {
			first = i
		}
	}
	if len(a.waiting) == 0 {
		a.free++
		return
	}
	close(a.waiting[first].ready)
	a.remove(first)
}

func (a *asking) remove(i int) { a.waiting = append(a.waiting[:i], a.waiting[i+1:]...) }
