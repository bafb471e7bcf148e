package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"godwit.dev/runtime/fault"
)

// sim is one call of Run.
type sim struct {
	opts    *Options
	cells   []*cell
	warm    int64
	end     int64 // never: until all is answered
	step    int64 // 0: no curve
	curve   []Point
	billing rounding
	observe func(*Outcome)
	outcome Outcome
	spare   *request
}

// maxPoints bounds a curve whose end is not known.
const maxPoints = 1 << 20

// Run simulates the arrivals of src. It reads src to its end, or to
// Options.Until. Errors: BadConfig for options that make no sense, Invalid for
// arrivals out of order or of no function, Internal when the books do not
// balance, which would be our mistake, Canceled, and those of src.
func Run(ctx context.Context, src Source, opts *Options) (*Report, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	s := newSim(opts)
	if err := s.feed(ctx, src); err != nil {
		return nil, err
	}
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	return s.report()
}

func newSim(opts *Options) *sim {
	s := &sim{opts: opts, warm: int64(opts.Warm), end: never, step: int64(opts.Step), observe: opts.Observe}
	if opts.Until > 0 {
		s.end = int64(opts.Until)
		if s.step == 0 {
			s.step = max(int64(opts.Until)/500, int64(time.Second))
		}
	}
	s.billing = rounding{int64(opts.Billing.Round), int64(opts.Billing.Min)}
	for k := range opts.Functions {
		c := &cell{sim: s, index: k, f: &opts.Functions[k], nextTick: never}
		c.rng = rand.New(rand.NewPCG(opts.Seed, uint64(k)*0x9e3779b97f4a7c15+1))
		c.sum.latency, c.sum.cold = newHistogram(), newHistogram()
		c.ctl = opts.Policy.control(c)
		s.cells = append(s.cells, c)
		c.ctl.begin()
	}
	return s
}

// feed gives each cell its arrivals, and each time the time until then.
func (s *sim) feed(ctx context.Context, src Source) error {
	last := time.Duration(0)
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return canceled(ctx)
		}
		a, err := src.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("simulate.Run: %w", err)
		}
		if a.At < last || a.Function < 0 || a.Function >= len(s.cells) || a.Service < 0 {
			return fault.New(fault.Invalid, "simulate.Run", fmt.Sprintf("arrival %d", n),
				"want a time from %v on, a function below %d and a service time of 0 or more, got %v, %d and %v", last, len(s.cells), a.At, a.Function, a.Service)
		}
		last = a.At
		if int64(a.At) >= s.end {
			return nil
		}
		c := s.cells[a.Function]
		c.advance(int64(a.At))
		c.arrive(int64(a.Service))
	}
}

// finish lets time go on to the end.
func (s *sim) finish(ctx context.Context) error {
	if s.end == never {
		end := s.warm
		for _, c := range s.cells {
			if err := c.drain(ctx); err != nil {
				return err
			}
			end = max(end, c.lastDone)
		}
		s.end = end
	}
	for _, c := range s.cells {
		if ctx.Err() != nil {
			return canceled(ctx)
		}
		c.advance(s.end)
		c.close()
	}
	return nil
}

// drain advances until nothing is in flight.
func (c *cell) drain(ctx context.Context) error {
	for n := 0; c.inFlight > 0; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return canceled(ctx)
		}
		next := c.nextTick
		if len(c.events) > 0 {
			next = min(next, c.events[0].at)
		}
		if next == never {
			return fault.New(fault.Internal, "simulate.Run", fmt.Sprintf("function %q", c.f.Name),
				"%d requests wait, and nothing will ever happen", c.inFlight)
		}
		c.advance(next)
	}
	return nil
}

func canceled(ctx context.Context) error {
	return fault.New(fault.Canceled, "simulate.Run", "", "%w", context.Cause(ctx))
}

// stepAt is when the k-th point of the curve is taken.
func (s *sim) stepAt(k int) int64 {
	if s.step == 0 || k >= maxPoints {
		return never
	}
	return int64(k) * s.step
}

// point adds c's state to the k-th point.
func (s *sim) point(c *cell, k int) {
	for len(s.curve) <= k {
		s.curve = append(s.curve, Point{At: time.Duration(s.stepAt(len(s.curve)))})
	}
	p := &s.curve[k]
	p.Desired += c.ctl.want()
	p.Ready += c.readyN
	p.Starting += c.startingN
	p.InFlight += c.inFlight
	p.Arrived += c.arrived
}

func (s *sim) lease() *request {
	if r := s.spare; r != nil {
		s.spare = r.next
		return r
	}
	return new(request)
}

func (s *sim) giveBack(r *request) { r.next, s.spare = s.spare, r }

// rounding is Billing in ns.
type rounding struct{ round, least int64 }

func (b rounding) of(d int64) int64 {
	d = max(d, b.least)
	if b.round > 0 {
		if over := d % b.round; over > 0 {
			d += b.round - over
		}
	}
	return d
}

func (o *Options) check() error {
	bad := func(subject, format string, args ...any) error {
		return fault.New(fault.BadConfig, "simulate.Run", subject, format, args...)
	}
	switch {
	case o == nil || len(o.Functions) == 0:
		return bad("options", "want at least one function, got none")
	case o.Policy == nil:
		return bad("options", "want a policy, got none")
	case o.Until < 0 || o.Warm < 0 || o.Step < 0 || o.Billing.Round < 0 || o.Billing.Min < 0:
		return bad("options", "want times of 0 or more, got Until %v, Warm %v, Step %v, Billing %v", o.Until, o.Warm, o.Step, o.Billing)
	case o.Until > 0 && o.Warm >= o.Until:
		return bad("options", "want Warm before Until, got %v and %v", o.Warm, o.Until)
	}
	for k := range o.Functions {
		f := &o.Functions[k]
		subject := fmt.Sprintf("function %d %q", k, f.Name)
		rows := 0
		for _, p := range f.Service.Table {
			if p.Rows <= rows || p.Time <= 0 {
				return bad(subject, "want a table with rising rows and times above 0, got %d rows in %v behind %d rows", p.Rows, p.Time, rows)
			}
			rows = p.Rows
		}
		if f.Overhead < 0 || f.Runs < 0 || f.MaxBatch < 0 || f.Crash < 0 || math.IsNaN(f.Service.Spread) || f.Service.Spread < 0 {
			return bad(subject, "want nothing below 0, got overhead %v, %d runs, batches of %d, a crash each %v, spread %v",
				f.Overhead, f.Runs, f.MaxBatch, f.Crash, f.Service.Spread)
		}
	}
	return o.Policy.check()
}
