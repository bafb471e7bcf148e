//go:build cgo

package ort

/*
#include "engine.h"
*/
import "C"

import "time"

// notice is how long a run goes on at most after its context has ended, until
// it is told to stop at the next operator. Each look wakes a thread, which
// costs some 50 µs: half a per cent of one processor while runs go on.
const notice = 10 * time.Millisecond

// watch looks every few milliseconds whether a run that is going on has to
// stop, and rests while there is none. Registering each run with its context
// costs allocations, and more time than a small model takes; most runs are
// over before a look at them is due.
type watch struct {
	timer  *time.Timer
	active bool
}

// watchRuns wakes the watch. The caller holds s.mu.
func (s *session) watchRuns() {
	if s.watch.active {
		return
	}
	s.watch.active = true
	if s.watch.timer == nil {
		s.watch.timer = time.AfterFunc(notice, s.look)
		return
	}
	s.watch.timer.Reset(notice)
}

// look stops the runs whose context has ended. Both the terminate flag and
// the lease change hands only under s.mu, so it never reaches a later run.
func (s *session) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch.active = false
	for _, c := range s.all {
		if c.ctx == nil {
			continue
		}
		if !c.stopped && c.ctx.Err() != nil {
			C.gw_terminate(c.c)
			c.stopped = true
		}
		s.watchRuns()
	}
}

func (w *watch) close() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
