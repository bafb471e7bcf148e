package isolate

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

// Options of an Engine; nil means defaults.
type Options struct {
	// Info is what the engine in the worker says of itself; the version is
	// learned with the first model.
	Info driver.Info
	// Env is the whole environment of the worker, as KEY=VALUE. Nothing of the
	// parent's is passed on besides: it may hold keys. ONNX Runtime's telemetry
	// is switched off in any case.
	Env []string
	// Logger is told what the engine logs and why a worker ended; nil discards it.
	Logger *slog.Logger
	// Restarted is called once for each worker that is started in place of one
	// that ended by itself; it must not block. nil is allowed.
	Restarted func()
	// Memory bounds the bytes that are shared with the worker. Default 1 GiB.
	Memory int
	// Wait is how long a run waits for a worker that is being started again,
	// before it is refused with Unavailable. Default 2 s.
	Wait time.Duration
	// Quarantine is how long inputs are remembered that were in a worker when
	// it crashed, and refused after the second time. Default 10 min.
	Quarantine time.Duration
	// Stuck is how long a run whose context has ended may go on before its
	// worker is killed. Default 1 min: an operator cannot be stopped.
	Stuck time.Duration
	// Backoff is the wait before a second restart in a row; it doubles up to
	// 2 s, but only once where the workers have answered something meanwhile.
	// The first restart does not wait. Default 50 ms.
	Backoff time.Duration
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Restarted == nil {
		d.Restarted = func() {}
	}
	if d.Memory == 0 {
		d.Memory = 1 << 30
	}
	for _, v := range []struct {
		p *time.Duration
		d time.Duration
	}{{&d.Wait, 2 * time.Second}, {&d.Quarantine, 10 * time.Minute}, {&d.Stuck, time.Minute}, {&d.Backoff, 50 * time.Millisecond}} {
		if *v.p == 0 {
			*v.p = v.d
		}
	}
	return d
}

// Engine is a driver.Engine whose sessions live in a worker process. The
// worker is started for the first session and ends with the last; both are
// waited for. Its methods may be called concurrently.
type Engine struct {
	command []string
	opts    Options
	pool    pool
	poison  *poison

	mu       sync.Mutex
	info     driver.Info
	worker   *worker             // nil while there is none to run on
	changed  chan struct{}       // closed and replaced when what enter waits for changes
	refs     int                 // sessions, and those that are being opened
	sessions map[uint32]*session // open ones, to be opened again after a crash
	next     uint32              // session
	sup      *supervisor         // nil while refs is 0
	restarts int
	settled  bool // Settle was called: later workers do it unasked

	inflight  int  // runs and opens in the worker
	alone     bool // one that must be alone is there
	wantAlone int  // … or waits to be
}

var (
	_ driver.Engine  = (*Engine)(nil)
	_ driver.Settler = (*Engine)(nil)
	_ driver.Trimmer = (*Engine)(nil)
	_ driver.Session = (*session)(nil)
	_ driver.Placer  = (*session)(nil)
)

// New returns an engine whose worker is started by command: the path of a
// program, and arguments with which it calls Serve.
func New(command []string, opts *Options) *Engine {
	e := &Engine{command: append([]string{}, command...), opts: opts.withDefaults(),
		changed: make(chan struct{}), sessions: map[uint32]*session{}}
	e.info = e.opts.Info
	e.poison = newPoison(e.opts.Quarantine)
	e.pool = pool{max: e.opts.Memory, keep: min(e.opts.Memory, keep), drop: e.dropped}
	return e
}

// keep is how many bytes of shared memory are kept for the next runs: enough
// for many of common size, little beside a model.
const keep = 32 << 20

// Info names the engine in the worker.
func (e *Engine) Info() driver.Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.info
}

// Restarts is how many workers were started in place of one that ended by itself.
func (e *Engine) Restarts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.restarts
}

// Worker is the process id of the worker, 0 while there is none to run on.
func (e *Engine) Worker() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.worker == nil {
		return 0
	}
	return e.worker.pid
}

// Open loads the model in the worker. Errors: as the engine in the worker
// says; BadModel when the worker crashes over the model, Runtime when no worker
// can be started.
func (e *Engine) Open(ctx context.Context, path string, opts *driver.Options) (driver.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.hold()
	s, err := e.open(ctx, path, opts)
	if err != nil {
		e.release()
		return nil, err
	}
	return s, nil
}

func (e *Engine) open(ctx context.Context, path string, opts *driver.Options) (*session, error) {
	s := &session{engine: e, path: path, opts: *opts, stamp: stampOf(path)}
	e.mu.Lock()
	e.next++
	s.id = e.next
	e.mu.Unlock()
	err := e.tryOpen(ctx, s, false)
	if c := asCrash(err); c != nil && !c.alone {
		err = e.tryOpen(ctx, s, true)
	}
	if c := asCrash(err); c != nil {
		return nil, fault.New(fault.BadModel, "isolate.Open", path, "the engine's process ended while it loaded the model: %s", c.worker.why()).
			WithHint("The model, or the engine's library, brings down the process that loads it.")
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (e *Engine) tryOpen(ctx context.Context, s *session, alone bool) error {
	w, err := e.enter(ctx, alone, true)
	if err != nil {
		return err
	}
	defer e.leave(w, alone)
	reply, err := w.ask(ctx, &message{Kind: askOpen, Session: s.id, Path: s.path, Options: &s.opts})
	if err != nil {
		if ctx.Err() != nil {
			w.tell(&message{Kind: askClose, Session: s.id})
		}
		return err
	}
	if err := s.opened(reply); err != nil {
		return w.violated(err)
	}
	e.mu.Lock()
	if w.dead {
		e.mu.Unlock()
		return w.crash()
	}
	if reply.Info != nil {
		e.info = *reply.Info
	}
	e.sessions[s.id] = s
	e.mu.Unlock()
	return nil
}

// Settle has the engine in the worker do what makes runs faster, if it can, and
// later workers when they have opened the sessions again.
func (e *Engine) Settle(ctx context.Context) {
	e.mu.Lock()
	w := e.worker
	e.settled = true
	e.mu.Unlock()
	if w != nil {
		// A worker that ends meanwhile is followed by one that does it too.
		_, _ = w.ask(ctx, &message{Kind: askSettle})
	}
}

// trimWait bounds how long Trim waits for a worker.
const trimWait = time.Second

// Trim has the engine in the worker give back memory that it keeps, if it can.
func (e *Engine) Trim(least int64) {
	e.mu.Lock()
	w := e.worker
	e.mu.Unlock()
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), trimWait)
	defer cancel()
	_, _ = w.ask(ctx, &message{Kind: askTrim, Memory: least}) // a worker that ends has given back all
}

// enter takes a place in the worker, alone if it must be, and waits for both.
// patient is for an open, which learns why no worker starts instead of being
// refused after a while.
func (e *Engine) enter(ctx context.Context, alone, patient bool) (*worker, error) {
	e.mu.Lock()
	if alone {
		e.wantAlone++
	}
	var late <-chan time.Time
	for {
		blocked := e.alone || (alone && e.inflight > 0) || (!alone && e.wantAlone > 0)
		w := e.worker
		if w != nil && !blocked {
			if alone {
				e.wantAlone--
				e.alone = true
			}
			e.inflight++
			w.inflight++
			e.mu.Unlock()
			return w, nil
		}
		var err error
		switch {
		case patient && e.sup != nil && e.sup.failed != nil:
			err = e.sup.failed
		case w != nil:
			late = nil
		case late == nil && !patient:
			timer := time.NewTimer(e.opts.Wait)
			defer timer.Stop()
			late = timer.C
		}
		changed := e.changed
		e.mu.Unlock()
		if err == nil {
			select {
			case <-changed:
			case <-ctx.Done():
				err = ctx.Err()
			case <-late:
				err = fault.New(fault.Unavailable, "isolate.Run", "", "the engine is being started again").WithHint("Try again in a moment.").WithRetry(time.Second)
			}
		}
		e.mu.Lock()
		if err != nil {
			if alone {
				e.wantAlone--
				e.broadcast()
			}
			e.mu.Unlock()
			return nil, err
		}
	}
}

func (e *Engine) leave(w *worker, alone bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inflight--
	w.inflight--
	if alone {
		e.alone = false
	}
	if alone || e.wantAlone > 0 {
		e.broadcast()
	}
}

// broadcast wakes all who wait in enter; the caller has mu.
func (e *Engine) broadcast() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// dropped tells the worker that a segment is gone.
func (e *Engine) dropped(s *segment) {
	e.mu.Lock()
	w := e.worker
	e.mu.Unlock()
	if w != nil && w.number == s.worker {
		w.tell(&message{Kind: askDrop, Segment: s.id})
	}
}

// hold counts a session that is to be, and starts the supervisor for the first.
func (e *Engine) hold() {
	e.mu.Lock()
	for e.sup != nil && e.sup.ending {
		done := e.sup.done
		e.mu.Unlock()
		<-done
		e.mu.Lock()
	}
	e.refs++
	if e.sup == nil {
		e.pool.open()
		e.sup = &supervisor{engine: e, done: make(chan struct{})}
		e.sup.ctx, e.sup.cancel = context.WithCancel(context.Background())
		go e.sup.run() // ends with the last release, which waits for it
	}
	e.mu.Unlock()
}

// release ends the supervisor and its worker with the last session.
func (e *Engine) release() {
	e.mu.Lock()
	e.refs--
	sup := e.sup
	last := e.refs == 0
	if last {
		sup.ending = true
		sup.cancel()
	}
	e.mu.Unlock()
	if last {
		<-sup.done
	}
}
