package loadtest

import (
	"context"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/fault"
)

// maxLate is how far the client may fall behind its own schedule, through no
// fault of the server, before the run ends.
const maxLate = 500 * time.Millisecond

// maxBacklog bounds the requests that are due and have no connection.
const maxBacklog = 1 << 20

// Run puts load on o.Target and returns what came of it; requests that fail
// are counted in the result and are no error of Run. What is outstanding at
// the end is waited for, up to its timeout.
//
// Errors: Usage; Unavailable and others when the first request is not
// answered; Mismatch when a protocol's answer differs from that over JSON.
// With the result up to then: Runtime when the client itself cannot keep up,
// and ctx's error when it ends.
func Run(ctx context.Context, opts *Options) (*Result, error) {
	s, err := Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	return s.Run(ctx)
}

// Subject is a server that is known to answer, and what it will be asked. Its
// methods are for one goroutine at a time.
type Subject struct {
	o Options
	p *prepared
}

// Open finds out whom to ask and with what, and asks once. Errors are Run's.
func Open(ctx context.Context, opts *Options) (*Subject, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := prepare(ctx, &o)
	if err != nil {
		return nil, err
	}
	return &Subject{o, p}, nil
}

// Run is what the function Run does after Open. It may be called again, without
// a trace: with one it is over.
func (s *Subject) Run(ctx context.Context) (*Result, error) { return s.run(ctx, s.o) }

func (s *Subject) run(ctx context.Context, o Options) (*Result, error) {
	r := &run{o: &o, payloads: len(s.p.payloads), rec: newRecorder()}
	defer func() {
		for _, c := range r.callers {
			c.close()
		}
	}()
	for range o.Connections {
		c, err := newCaller(s.p.url, &o, o.Protocol, s.p.payloads)
		if err != nil {
			return nil, err
		}
		if o.Zero == nil {
			err = c.open(ctx, time.Now().Add(o.Timeout))
		}
		if err != nil {
			c.close()
			return nil, unreachable(o.Target, err)
		}
		r.callers = append(r.callers, c)
	}
	return r.do(ctx)
}

func newCaller(u *url.URL, o *Options, p Protocol, payloads [][]byte) (caller, error) {
	if p == GRPC {
		return newGRPCConn(u, o, payloads)
	}
	return &httpConn{dial: o.Dial, url: u, payloads: payloads}, nil
}

// run is one run under way.
type run struct {
	o        *Options
	payloads int
	callers  []caller
	rec      *recorder

	start, from, end time.Time // of the load, of what counts, of new requests
	issued           atomic.Int64
	outstanding      atomic.Int64

	win     *windows
	winMu   sync.Mutex // win's, and resting
	resting bool       // between bursts from zero: no window is under way
	latest  atomic.Pointer[Window]

	bursts []Cold
	loaded time.Duration // how long there were bursts
}

// times are start, from and end, which bursts from zero move.
func (r *run) times() (start, from, end time.Time) {
	r.rec.mu.Lock()
	defer r.rec.mu.Unlock()
	return r.start, r.from, r.end
}

// job is one request: when it is due and which payload it has.
type job struct {
	due    time.Time
	n      int64
	waited bool // for a connection
}

func (r *run) do(ctx context.Context) (*Result, error) {
	r.start = time.Now()
	r.from = r.start.Add(r.o.Warmup)
	r.end = r.from.Add(r.o.Duration)
	r.rec.from, r.rec.end = r.from, r.end
	stop := context.AfterFunc(ctx, func() {
		for _, c := range r.callers {
			c.abort()
		}
	})
	defer stop()
	r.resting = r.o.Zero != nil
	followed, shown := r.follow(), r.show()
	var err error
	if r.o.isOpen() {
		err = r.open(ctx)
	} else {
		r.closed(ctx)
	}
	shown()
	followed()
	if err == nil {
		err = ctx.Err()
	}
	return r.result(err), err
}

// closed sends a connection's next request when its last one is answered.
func (r *run) closed(ctx context.Context) {
	var workers sync.WaitGroup
	for _, c := range r.callers {
		workers.Go(func() {
			for ctx.Err() == nil {
				now := time.Now()
				if !now.Before(r.end) {
					return
				}
				n := r.issued.Add(1) - 1
				if r.o.Count > 0 && n >= r.o.Count {
					return
				}
				if failed := r.send(ctx, c, job{due: now, n: n}); failed {
					pause(ctx) // a server that is gone is not asked as fast as possible
				}
			}
		})
	}
	workers.Wait()
}

// pause is a moment before the next try after a failure without an answer.
func pause(ctx context.Context) {
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// send sends one job and records its end. failed means that nobody answered.
func (r *run) send(ctx context.Context, c caller, j job) (failed bool) {
	deadline := j.due.Add(r.o.Timeout)
	sent := time.Now()
	if !sent.Before(deadline) {
		r.rec.record(r.o, j, sent, sent, answer{outcome: "timeout"})
		return false
	}
	r.outstanding.Add(1)
	a := c.call(ctx, int(j.n%int64(r.payloads)), deadline, false)
	r.outstanding.Add(-1)
	if ctx.Err() != nil && !a.ok {
		return true // ours, not the server's
	}
	r.rec.record(r.o, j, sent, time.Now(), a)
	return a.code == 0 && !a.ok
}

// pool hands due requests to idle connections, the one used last first, and
// keeps those for which there is none, oldest first.
type pool struct {
	mu       sync.Mutex
	idle     []chan job
	backlog  []job
	finished bool

	all  int           // connections
	calm chan struct{} // told when all of them are idle; has room for one
}

// take returns the next job of a connection whose channel is own, or false at the end.
func (p *pool) take(own chan job) (job, bool) {
	p.mu.Lock()
	if len(p.backlog) > 0 {
		j := p.backlog[0]
		p.backlog = p.backlog[1:]
		p.mu.Unlock()
		return j, true
	}
	if p.finished {
		p.mu.Unlock()
		return job{}, false
	}
	p.idle = append(p.idle, own)
	if len(p.idle) == p.all {
		select {
		case p.calm <- struct{}{}:
		default:
		}
	}
	p.mu.Unlock()
	j, ok := <-own
	return j, ok
}

// put gives j to an idle connection. waits is true where there is none; full
// where no more can wait.
func (p *pool) put(j job) (waits, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		p.idle[n-1] <- j // has room for one, and is taken off before it gets another
		p.idle = p.idle[:n-1]
		return false, false
	}
	if len(p.backlog) >= maxBacklog {
		return true, true
	}
	j.waited = true
	p.backlog = append(p.backlog, j)
	return true, false
}

// finish ends the connections once nothing is left to send; drop throws away what waits.
func (p *pool) finish(drop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = true
	if drop {
		p.backlog = nil
	}
	for _, ch := range p.idle {
		close(ch)
	}
	p.idle = nil
}

// open sends requests when they are due.
func (r *run) open(ctx context.Context) error {
	p := &pool{all: len(r.callers), calm: make(chan struct{}, 1)}
	var workers sync.WaitGroup
	for _, c := range r.callers {
		workers.Go(func() {
			own := make(chan job, 1)
			for {
				j, ok := p.take(own)
				if !ok {
					return
				}
				r.send(ctx, c, j)
			}
		})
	}
	err := r.pace(ctx, p)
	p.finish(err != nil || ctx.Err() != nil)
	workers.Wait()
	return err
}

func (r *run) pace(ctx context.Context, p *pool) error {
	sleep := r.o.sleep
	if sleep == nil {
		s := newSleeper()
		defer s.close()
		sleep = s.sleep
	}
	if r.o.Zero != nil {
		return r.fromZero(ctx, p, sleep)
	}
	next, stop := r.o.schedule()
	defer stop()
	_, err := r.until(ctx, p, sleep, next, r.start, r.end, 0)
	return err
}

// until sends what is due from start on and before end, and counts on from n.
func (r *run) until(ctx context.Context, p *pool, sleep func(time.Duration), next func() (time.Duration, bool, error), start, end time.Time, n int64) (int64, error) {
	for first := n; r.o.Count == 0 || n < r.o.Count; n++ {
		offset, more, err := next()
		due := start.Add(offset)
		if err != nil || !more || !due.Before(end) {
			return n, err
		}
		now := time.Now()
		for due.After(now) && ctx.Err() == nil {
			sleep(min(due.Sub(now), 100*time.Millisecond))
			now = time.Now()
		}
		if ctx.Err() != nil {
			return n, nil
		}
		if late := now.Sub(due); late > maxLate {
			return n, fault.New(fault.Runtime, "loadtest.Run", "", "the client cannot keep up: want what was due %v ago, at %v, sent by now, got %.0f requests in a second",
				late.Round(time.Millisecond), offset.Round(time.Millisecond), float64(n-first)/now.Sub(start).Seconds()).
				WithHint("Ask for a lower rate, or give the client processors of its own.")
		}
		r.issued.Add(1)
		j := job{due: due, n: n}
		if waits, full := p.put(j); full {
			r.rec.record(r.o, j, now, now, answer{outcome: "not_sent"})
		} else if waits && !due.Before(r.from) {
			r.rec.waited.Add(1)
		}
	}
	return n, nil
}

// show calls Progress until the returned function is called.
func (r *run) show() (stop func()) {
	if r.o.Progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				ok, failed := r.rec.counts()
				start, from, end := r.times()
				r.o.Progress(Progress{Elapsed: now.Sub(start), Total: end.Sub(start), Warm: now.After(from),
					Done: ok + failed, Failed: failed, Outstanding: int(r.outstanding.Load()), Latest: r.latest.Load()})
			}
		}
	})
	return func() { close(done); shown.Wait() }
}
