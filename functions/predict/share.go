package predict

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
)

// A lane is what stands in front of one deterministic model: the runs that
// equal requests share, and the answers that are kept.
type lane struct {
	model *infer.Model
	seeds seeds
	// private is true when the user's code may change answers: each caller gets
	// tensors of its own.
	private bool
	share   bool // also where nothing is kept
	sink    telemetry.Sink
	cache   *cache // nil keeps nothing

	compute atomic.Int64 // nanoseconds of a run, a moving average; 0 before the first
	shards  [shards]shard
}

// shards keep requests on many cores from waiting for each other.
const shards = 16

type shard struct {
	mu      sync.Mutex
	flights map[key]*flight
}

// A flight is a run in progress that equal requests join. Its leader is the
// caller who began it, on whose goroutine it runs and whose tensors it reads;
// so a leader whose context ends stays until the run has ended.
type flight struct {
	// Guarded by the shard.
	followers int
	gone      bool               // the leader's context has ended
	cancel    context.CancelFunc // ends a run that outlives its leader; nil if it would not
	done      chan struct{}      // made by the first follower, closed when the run has ended

	// Written before done is closed.
	answer *kept
	err    error
}

func newLane(m *infer.Model, s seeds, opts *Options) *lane {
	l := &lane{model: m, seeds: s, private: opts.Wrap != nil, share: !opts.NoShare, sink: opts.Sink}
	if opts.Cache != nil {
		if n := opts.Cache(m); n > 0 {
			l.cache = newCache(n)
		}
	}
	for i := range l.shards {
		l.shards[i].flights = map[key]*flight{}
	}
	return l
}

func (l *lane) shard(k key) *shard { return &l.shards[k[0]%shards] }

// Sharing is tried where what it costs those who ask alone is at most a
// fiftieth of a run: fixedCost, and the hash of the inputs at hashSpeed.
const (
	worthwhile = 50
	fixedCost  = int64(300 * time.Nanosecond)
	hashSpeed  = 6 // bytes a nanosecond
)

// longRun is from where on a run goes on as long as anybody waits for it. A
// shorter one ends with the caller who began it, and the next of those who
// wait begins it again: that wastes less than a context of its own, which
// every run would have to pay.
const longRun = int64(time.Millisecond)

func (l *lane) pays(req *infer.Request) bool {
	compute := l.compute.Load()
	if compute == 0 {
		return true
	}
	size := 0
	for i := range req.Inputs {
		size += req.Inputs[i].Bytes()
	}
	return compute >= worthwhile*(fixedCost+int64(size)/hashSpeed)
}

// learn remembers what a run takes. Of two that end at once one may be lost.
func (l *lane) learn(t infer.Timing) {
	was, now := l.compute.Load(), int64(t.Compute)
	if was != 0 {
		now = was + (now-was)/8
	}
	l.compute.Store(max(now, 1))
}

func (l *lane) infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if req.Alone || l.cache == nil && (!l.share || !l.pays(req)) {
		return l.alone(ctx, req)
	}
	start := time.Now()
	k, ok := l.seeds.key(l.model.Signature(), req)
	if !ok {
		return l.alone(ctx, req)
	}
	if l.cache != nil {
		if a := l.cache.get(k); a != nil {
			return l.hit(req, a, start), nil
		}
	}
	if l.cache == nil {
		return l.fly(ctx, req, k, start)
	}
	looked := time.Since(start)
	resp, err := l.fly(ctx, req, k, start)
	if err != nil || !resp.Cached {
		l.model.Missed(looked)
		l.tell(telemetry.CacheEvent{Misses: 1})
	}
	return resp, err
}

// fly answers req with a run that may be another request's.
func (l *lane) fly(ctx context.Context, req *infer.Request, k key, start time.Time) (*infer.Response, error) {
	// Twice, because the first run may end for reasons of its leader alone;
	// then once more as if nobody shared, so that nobody goes round for ever.
	for range 2 {
		f, leads, a := l.join(k)
		switch {
		case a != nil:
			return l.hit(req, a, start), nil
		case leads:
			return l.lead(ctx, req, k, f)
		}
		resp, again, err := l.follow(ctx, req, k, f, start)
		if !again {
			return resp, err
		}
	}
	return l.alone(ctx, req)
}

func (l *lane) alone(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	resp, err := l.model.Infer(ctx, req)
	if err == nil {
		l.learn(resp.Timing)
	}
	return resp, err
}

// join returns the flight for k and whether the caller leads it, or the answer
// that was kept since the caller looked for it.
func (l *lane) join(k key) (f *flight, leads bool, a *kept) {
	s := l.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f = s.flights[k]; f != nil {
		f.followers++
		if f.done == nil {
			f.done = make(chan struct{})
		}
		return f, false, nil
	}
	if l.cache != nil {
		if a = l.cache.get(k); a != nil {
			return nil, false, a
		}
	}
	f = &flight{}
	s.flights[k] = f
	return f, true, nil
}

func (l *lane) lead(ctx context.Context, req *infer.Request, k key, f *flight) (*infer.Response, error) {
	run := ctx
	if c := l.compute.Load(); (c == 0 || c >= longRun) && ctx.Done() != nil {
		var end func()
		run, end = l.outlive(ctx, k, f)
		defer end()
	}
	returned := false
	defer func() {
		if !returned { // a panic, which goes on to whoever recovers it
			l.land(k, f, nil, fault.New(fault.Internal, "predict.Infer", l.subject(), "panic in a run that equal requests shared"))
		}
	}()
	resp, err := l.model.Infer(run, req)
	returned = true
	if err == nil {
		l.learn(resp.Timing)
	}
	l.land(k, f, resp, err)
	if run != ctx && ctx.Err() != nil {
		resp.Release()
		return nil, l.ended(ctx)
	}
	return resp, err
}

// outlive returns the context of a run that ends when nobody waits for it any
// more. end frees it.
func (l *lane) outlive(ctx context.Context, k key, f *flight) (run context.Context, end func()) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := l.shard(k)
	s.mu.Lock()
	f.cancel = cancel
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		f.gone = true
		s.abandon(k, f)
	})
	return deadlineOf{inner, ctx}, func() {
		stop()
		cancel()
	}
}

// deadlineOf tells the leader's deadline, by which the model judges whether to
// queue the request, but does not end with it.
type deadlineOf struct {
	context.Context
	leader context.Context
}

func (c deadlineOf) Deadline() (time.Time, bool) { return c.leader.Deadline() }

// abandon ends the run that nobody waits for. Equal requests that come now
// begin another one.
func (s *shard) abandon(k key, f *flight) {
	if !f.gone || f.followers > 0 {
		return
	}
	f.cancel()
	if s.flights[k] == f {
		delete(s.flights, k)
	}
}

// land ends the flight: the answer is kept, if answers are, and given to those
// who wait. They get a copy, since resp goes to the leader, who releases it.
func (l *lane) land(k key, f *flight, resp *infer.Response, err error) {
	var a *kept
	if err == nil && l.cache != nil {
		// Before the flight is taken away: one of the two is always found.
		if w := weight(resp); l.cache.fits(w) {
			a = keep(resp)
			l.cache.put(k, a, w)
		}
	}
	s := l.shard(k)
	s.mu.Lock()
	if s.flights[k] == f {
		delete(s.flights, k)
	}
	followed := f.followers > 0
	done := f.done
	s.mu.Unlock()
	if done == nil {
		return
	}
	if a == nil && err == nil && followed {
		a = keep(resp)
	}
	f.answer, f.err = a, err
	close(done)
}

// follow waits for the run of another request. again is true when it ended for
// reasons that were not this request's.
func (l *lane) follow(ctx context.Context, req *infer.Request, k key, f *flight, start time.Time) (resp *infer.Response, again bool, err error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		s := l.shard(k)
		s.mu.Lock()
		defer s.mu.Unlock()
		f.followers--
		s.abandon(k, f)
		return nil, false, l.ended(ctx)
	}
	if f.err != nil {
		return nil, !common(f.err), f.err
	}
	resp = l.answer(req, f.answer)
	took := time.Since(start)
	resp.Shared, resp.Timing = true, f.answer.timing
	// Who came when the run was on has waited for a part of it only.
	resp.Timing.Compute = min(resp.Timing.Compute, took)
	resp.Timing.Queue = took - resp.Timing.Compute
	l.model.Reused(resp, took)
	return resp, false, nil
}

// common tells errors that equal requests have in common from those of one
// caller: its deadline, its leaving, its place in the queue.
func common(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.Unprocessable, fault.Runtime, fault.Internal:
		return true
	}
	return false
}

func (l *lane) hit(req *infer.Request, a *kept, start time.Time) *infer.Response {
	resp := l.answer(req, a)
	resp.Cached, resp.Timing.Rows = true, a.timing.Rows
	l.model.Reused(resp, time.Since(start))
	l.tell(telemetry.CacheEvent{Hits: 1})
	return resp
}

func (l *lane) tell(e telemetry.CacheEvent) {
	e.Model, e.Version, e.Bytes = l.model.Name(), l.model.Version(), l.cache.held.Load()
	l.sink.Cache(e)
}

func (l *lane) answer(req *infer.Request, a *kept) *infer.Response {
	resp := &infer.Response{Model: l.model.Name(), Version: l.model.Version(), ID: req.ID, Digest: l.model.Digest()}
	resp.Outputs = make([]tensor.Tensor, len(a.outputs))
	copy(resp.Outputs, a.outputs)
	if l.private {
		for i := range resp.Outputs {
			resp.Outputs[i] = a.outputs[i].Clone()
		}
	}
	return resp
}

// close lets go of what is kept. Requests may still be under way.
func (l *lane) close() {
	if l.cache == nil {
		return
	}
	held := l.cache.held.Load()
	l.cache.close()
	// A lane that holds nothing may be that of a model whose successor has the
	// same name and version, and already its own answers.
	if held > 0 {
		l.tell(telemetry.CacheEvent{})
	}
}

func (l *lane) subject() string { return fmt.Sprintf("model %q", l.model.Name()) }

func (l *lane) ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.DeadlineExceeded, "predict.Infer", l.subject(), "the request's deadline passed")
	}
	return fault.New(fault.Canceled, "predict.Infer", l.subject(), "the caller went away")
}
