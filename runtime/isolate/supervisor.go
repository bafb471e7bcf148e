package isolate

import (
	"context"
	"runtime"
	"time"

	"godwit.dev/runtime/fault"
)

// supervisor keeps a worker alive while an engine has sessions.
type supervisor struct {
	engine *Engine
	ctx    context.Context // ends when the last session is gone
	cancel context.CancelFunc
	done   chan struct{} // closed when the worker is gone too

	// guarded by the engine's mu
	ending bool
	failed error // why the first worker did not start
}

const (
	startWait  = 30 * time.Second // for a worker's first word, on a machine that is busy
	maxBackoff = 2 * time.Second
	calm       = 10 * time.Second // a worker that lived this long starts the backoff anew
	// few is as how many crashes in a row those of workers count that have
	// answered something: whoever waits should not wait for a second.
	few = 3
)

func (s *supervisor) run() {
	// A worker dies with the thread that started it: this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e := s.engine
	defer close(s.done)
	defer func() {
		e.mu.Lock()
		e.sup = nil
		e.broadcast()
		e.mu.Unlock()
		e.pool.shut()
	}()
	var ended time.Time // of the last worker
	for crashes := 0; ; {
		began := time.Now()
		w, err := s.start(crashes > 0)
		if err != nil {
			e.opts.Logger.Error("the engine's process does not start", "error", err, "attempt", crashes+1)
			e.mu.Lock()
			first := len(e.sessions) == 0
			if first {
				s.failed = err
				e.broadcast()
			}
			e.mu.Unlock()
			if first {
				<-s.ctx.Done() // those who wait to open fail, and release
				return
			}
		} else {
			if crashes > 0 {
				e.opts.Logger.Info("the engine's process was started again", "after_ms", time.Since(ended).Milliseconds())
			}
			if s.watch(w) {
				return
			}
			ended = time.Now()
		}
		if time.Since(began) > calm {
			crashes = 0
		}
		crashes++
		if w != nil && w.useful.Load() {
			crashes = min(crashes, few)
		}
		if !s.pause(crashes) {
			return
		}
	}
}

// pause waits before the next start, unless the engine ends meanwhile.
func (s *supervisor) pause(crashes int) bool {
	var wait time.Duration
	if crashes > 1 {
		wait = min(s.engine.opts.Backoff<<min(crashes-2, 20), maxBackoff)
	}
	select {
	case <-s.ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// start makes a worker with all sessions open in it, and lets runs in.
func (s *supervisor) start(again bool) (*worker, error) {
	e := s.engine
	w, err := startWorker(e, 0)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	var open []*session
	for _, one := range e.sessions {
		open = append(open, one)
	}
	e.mu.Unlock()
	for _, one := range open {
		if w.gone() {
			break
		}
		s.reopen(w, one)
	}
	if again && !w.gone() {
		e.opts.Restarted() // before its first answer, so that who counts sees it
	}
	e.mu.Lock()
	if w.dead {
		e.mu.Unlock()
		w.bury()
		return nil, fault.New(fault.Runtime, "isolate.Open", "", "the engine's process ended at its start: %s", w.why())
	}
	for _, one := range open {
		if e.sessions[one.id] == nil { // closed meanwhile
			w.tell(&message{Kind: askClose, Session: one.id})
		}
	}
	e.worker = w
	s.failed = nil
	if again {
		e.restarts++
	}
	if e.settled {
		w.tell(&message{Kind: askSettle})
	}
	e.broadcast()
	e.mu.Unlock()
	return w, nil
}

// reopen opens a session again. What goes wrong is that session's, whose runs
// are refused; the others go on.
func (s *supervisor) reopen(w *worker, one *session) {
	e := s.engine
	e.mu.Lock()
	hopeless := one.strikes >= enough
	e.mu.Unlock()
	if hopeless {
		return
	}
	err := one.unchanged()
	if err == nil {
		var reply *message
		if reply, err = w.ask(s.ctx, &message{Kind: askOpen, Session: one.id, Path: one.path, Options: &one.opts}); err == nil {
			err = one.same(reply)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	one.broken = nil
	if err == nil {
		one.strikes = 0
		return
	}
	if asCrash(err) != nil {
		one.strikes++
	}
	one.broken = fault.New(fault.Unavailable, "isolate.Run", "", "the model could not be loaded again after the engine's process ended")
	e.opts.Logger.Error("a model does not load again", "model", one.path, "error", err)
}

// retry is how often a model that did not load again is tried.
const retry = 5 * time.Second

// watch waits until the worker ends, or ends it when the engine does: then it
// returns true.
func (s *supervisor) watch(w *worker) (stopped bool) {
	e := s.engine
	for {
		var again <-chan time.Time
		broken := s.broken()
		if len(broken) > 0 {
			again = time.After(retry)
		}
		select {
		case <-again:
			for _, one := range broken {
				s.reopen(w, one)
			}
		case <-s.ctx.Done():
			e.mu.Lock()
			if e.worker == w {
				e.worker = nil
			}
			e.mu.Unlock()
			e.pool.shut()
			w.end()
			w.bury()
			return true
		case <-w.down:
			w.bury()
			e.opts.Logger.Error("the engine's process ended", "reason", w.why(), "in_flight", w.victims,
				"last_model", w.lastModel(), "stderr", w.stderr.String())
			return false
		}
	}
}

// broken lists the sessions that may yet load again.
func (s *supervisor) broken() []*session {
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*session
	for _, one := range e.sessions {
		if one.broken != nil && one.strikes < enough {
			all = append(all, one)
		}
	}
	return all
}
