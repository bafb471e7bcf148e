package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
)

// Goal is what a candidate is chosen for.
type Goal string

// The goals.
const (
	// Latency is the lowest p99 at a rate.
	Latency Goal = "latency"
	// Throughput is the highest rate that holds the SLO, or of all.
	Throughput Goal = "throughput"
	// Cost is the least money for a request where the target's prices are known,
	// else the least CPU.
	Cost Goal = "cost"
)

// block is what one candidate's turn measured.
type block struct {
	rate     float64 // answers in a second
	p50, p99 time.Duration
	cpu      time.Duration // of the server, for a request
	peak     int64         // bytes
	cost     float64       // dollars for a million requests; 0: not known
	start    time.Duration // until the server was ready
}

// bracket is where the highest rate that holds the SLO was last found.
type bracket struct{ low, high float64 }

// mostFailed is the share of requests that may fail in a block: some do where a
// server that learns its queue refuses a first one.
const mostFailed = 0.01

// run starts the candidate's server, loads it for one block, and says how good it was.
func (t *tuning) run(ctx context.Context, c *candidate) (score float64, err error) {
	s, err := t.serving(ctx, c)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			t.drop(c) // whatever it is, the next block is another server's
		}
	}()
	b := block{start: s.took}
	if t.warm > 0 {
		if _, err := t.load(ctx, s, c, loadtest.Options{Duration: t.warm}, &block{}); err != nil {
			return 0, err
		}
	}
	switch {
	case t.o.Goal == Latency && !t.size.oneAtATime, t.o.Goal == Cost && t.o.Rate > 0 && !t.size.oneAtATime:
		_, err = t.load(ctx, s, c, loadtest.Options{Rate: t.rate, Duration: t.each}, &b)
	case t.o.SLO > 0 && !t.size.oneAtATime:
		err = t.sustained(ctx, s, c, &b)
	default:
		_, err = t.load(ctx, s, c, loadtest.Options{Duration: t.each}, &b)
	}
	if err != nil {
		return 0, err
	}
	if err := t.rig.check(ctx, s, c.Shape); err != nil { // among others that wait, after all that was learned
		return 0, err
	}
	c.blocks = append(c.blocks, b)
	if t.o.SLO > 0 && b.p99 > t.o.SLO {
		return 0, &Miss{fmt.Sprintf("p99 is %s, more than %v", ms(b.p99), t.o.SLO)}
	}
	switch {
	case t.o.Goal == Latency:
		return 1 / b.p99.Seconds(), nil
	case t.o.Goal == Cost && b.cost > 0:
		return 1 / b.cost, nil
	case t.o.Goal == Cost:
		return 1 / b.cpu.Seconds(), nil
	}
	return b.rate, nil
}

// perServer is how many blocks one server is measured for: processes that are the
// same differ too, by where their memory lies.
const perServer = 4

// serving is the candidate's server: the one of its last block, or a new one.
func (t *tuning) serving(ctx context.Context, c *candidate) (*server, error) {
	if s := c.server; s != nil {
		if s.used++; s.used <= perServer && s.gone(c.Shape) == nil {
			return s, nil
		}
		t.drop(c)
	}
	// Idle ones take memory alone; of these, as many as there is room for.
	for len(t.up) >= t.room {
		t.drop(t.up[0])
	}
	s, err := t.begin(ctx, c)
	if err != nil {
		return nil, err
	}
	s.used, c.server = 1, s
	t.up = append(t.up, c)
	return s, nil
}

// drop ends a candidate's server, if it has one.
func (t *tuning) drop(c *candidate) {
	if c.server != nil {
		c.server.stop()
		c.server = nil
		t.up = slices.DeleteFunc(t.up, func(o *candidate) bool { return o == c })
	}
}

// begin is a candidate's server that is ready, has answered as recorded and does
// nothing any more that only follows a start.
func (t *tuning) begin(ctx context.Context, c *candidate) (*server, error) {
	var err error
	if c.dir == "" {
		if c.dir, err = t.rig.folder(t.serveAs(c)); err != nil {
			return nil, err
		}
	}
	s, err := t.rig.start(ctx, c.dir, c.Shape)
	if err != nil {
		return nil, err
	}
	c.intraOp, c.runs = s.threads, s.runs
	if t.batches && c.Batching.Mode != "off" {
		_, err = s.settled(ctx, 5*time.Second)
	}
	if err == nil {
		err = t.rig.check(ctx, s, c.Shape)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// load is one load on a candidate's server; what it measured is put into b.
func (t *tuning) load(ctx context.Context, s *server, c *candidate, o loadtest.Options, b *block) (*loadtest.Result, error) {
	o.Target, o.Model, o.Version = s.url, t.rig.model.Name, t.rig.model.Version
	o.Protocol, o.Requests, o.Header, o.Seed = t.o.Protocol, t.requests, t.header, t.o.Seed
	o.Timeout = 10 * time.Second
	if o.Rate == 0 {
		o.Connections = t.connections
	}
	billed := &billing{}
	if t.price.step > 0 {
		billed.step = t.price.step
		o.Observe = billed.observe
	}
	pid := s.cmd.Process.Pid
	before, _, err := usage(pid)
	if err != nil {
		return nil, errors.Join(s.gone(c.Shape), err)
	}
	var r *loadtest.Result
	for try := 1; ; try++ {
		r, err = loadtest.Run(ctx, &o)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if gone := s.gone(c.Shape); gone != nil {
			return nil, gone
		}
		if err == nil {
			break
		}
		code := fault.CodeOf(err)
		if code == fault.Unavailable && try == 3 {
			return nil, &Miss{fault.Of(err).Err.Error()}
		}
		if code != fault.Runtime && code != fault.Unavailable || try == 3 {
			return nil, err
		}
		// The machine did something else, so that the client could not keep up; or
		// the server still refuses what comes after its last load.
		if before, _, err = usage(pid); err != nil {
			return nil, errors.Join(s.gone(c.Shape), err)
		}
	}
	if r.Late != "" {
		t.late++
	}
	after, peak, err := usage(pid)
	if err != nil {
		return nil, errors.Join(s.gone(c.Shape), err)
	}
	b.rate, b.p50, b.p99, b.peak = r.Achieved, r.Latency.P50, r.Latency.P99, max(b.peak, peak)
	if r.All > 0 {
		b.cpu = (after - before) / time.Duration(r.All)
	}
	failed := r.Sent - r.OK
	if o.Rate == 0 {
		// A loop that never lets the queue run dry is what a server refuses from;
		// the rate is of what it answers.
		failed -= r.Errors["503"] + r.Errors["unavailable"]
	}
	if r.OK > 0 && r.Achieved == 0 {
		return r, &Miss{"no answer came while it counted"}
	}
	if r.OK == 0 || float64(failed) > mostFailed*float64(r.Sent) {
		return r, &Miss{fmt.Sprintf("%d of %d requests failed: %v", failed, r.Sent, r.Errors)}
	}
	if t.price.perSecond != nil {
		b.cost = t.price.perMillion(c.Shape, b.rate, billed.mean())
	}
	return r, nil
}

// steps is how many rates a block tries for the highest that holds the SLO.
const rateSteps = 4

// sustained finds the highest rate that holds the SLO, by halving the ratio
// between one that does and one that does not. The ends vary from block to block,
// so that the steps between them do not decide.
func (t *tuning) sustained(ctx context.Context, s *server, c *candidate, b *block) error {
	each := t.each / rateSteps
	if c.bracket.high == 0 {
		full := block{}
		if _, err := t.load(ctx, s, c, loadtest.Options{Duration: each}, &full); err != nil {
			return err
		}
		c.bracket = bracket{full.rate / 4, full.rate * 1.1}
	}
	shake := math.Exp((t.random.Float64() - 0.5) * 0.1)
	low, high := c.bracket.low*shake, c.bracket.high*shake
	best := block{}
	for range rateSteps {
		rate := math.Sqrt(low * high)
		one := block{}
		r, err := t.load(ctx, s, c, loadtest.Options{Rate: rate, Duration: each}, &one)
		b.peak, b.cpu = max(b.peak, one.peak), one.cpu
		var miss *Miss
		switch {
		case errors.As(err, &miss), fault.CodeOf(err) == fault.Runtime:
			high = rate // the server's, or more than the client can send
		case err != nil:
			return err
		case one.p99 > t.o.SLO || r.Achieved < 0.95*rate*min(1, float64(r.Sent)/(rate*r.Seconds)):
			high = rate
		default:
			low, best = rate, one
		}
	}
	if best.rate == 0 {
		c.bracket = bracket{low / 4, high}
		return &Miss{fmt.Sprintf("p99 is more than %v at %.3g/s", t.o.SLO, high)}
	}
	start := b.start
	*b = best
	b.start, b.rate = start, math.Sqrt(low*high)
	if t.price.perSecond != nil {
		b.cost = t.price.perMillion(c.Shape, b.rate, 0)
	}
	c.bracket = bracket{b.rate / 1.3, b.rate * 1.3}
	return nil
}

// billing adds up what a platform would bill of each request, in whole steps.
type billing struct {
	step time.Duration

	mu  sync.Mutex
	n   int64
	sum time.Duration
}

func (b *billing) observe(o loadtest.Observation) {
	if o.Outcome != "" {
		return
	}
	took := (o.Latency + b.step - 1) / b.step * b.step
	b.mu.Lock()
	b.n, b.sum = b.n+1, b.sum+took
	b.mu.Unlock()
}

func (b *billing) mean() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == 0 {
		return 0
	}
	return b.sum / time.Duration(b.n)
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) }

func ms(d time.Duration) string { return fmt.Sprintf("%.3g ms", float64(d.Microseconds())/1000) }
