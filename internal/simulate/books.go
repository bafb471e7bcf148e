package simulate

import (
	"fmt"
	"math"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"godwit.dev/runtime/fault"
)

// histogram is of durations, to three digits.
type histogram struct {
	n   int64
	sum float64 // ns
	max int64
	h   *hdr.Histogram // made with the first value, in units of 100 ns
}

const (
	unit    = 100
	longest = 48 * 3600 * 1e9 / unit
)

func newHistogram() *histogram { return &histogram{} }

func (h *histogram) add(ns int64) {
	if h.h == nil {
		h.h = hdr.New(1, longest, 3)
	}
	h.n++
	h.sum += float64(ns)
	h.max = max(h.max, ns)
	_ = h.h.RecordValue(min((ns+unit/2)/unit, longest)) // fails beyond longest alone
}

func (h *histogram) merge(o *histogram) {
	if o.h == nil {
		return
	}
	if h.h == nil {
		h.h = hdr.New(1, longest, 3)
	}
	h.n, h.sum, h.max = h.n+o.n, h.sum+o.sum, max(h.max, o.max)
	h.h.Merge(o.h)
}

func (h *histogram) latency() Latency {
	l := Latency{Count: h.n}
	if h.n == 0 {
		return l
	}
	q := func(p float64) float64 {
		return min(float64(h.h.ValueAtQuantile(p))*unit, float64(h.max)) / 1e9
	}
	l.Mean, l.Max = h.sum/float64(h.n)/1e9, float64(h.max)/1e9
	l.P50, l.P90, l.P99, l.P999 = q(50), q(90), q(99), q(99.9)
	return l
}

// close ends the cell's books at the end of time.
func (c *cell) close() {
	c.level(0)
	for _, i := range c.instances {
		if i.state == starting {
			if i.bound != nil {
				c.waits(i.bound)
			}
			continue
		}
		c.sum.ready += c.counted(i.since)
		if i.inside > 0 {
			d := c.counted(i.active)
			c.sum.active += d
			c.sum.billedActive += c.sim.billing.of(d)
		}
		for k := range i.runs {
			if w := &i.runs[k]; w.busy {
				c.sum.busy += c.counted(w.began)
			}
			for r := i.runs[k].batch.first; r != nil; r = r.next {
				c.stays(r)
			}
		}
		for _, q := range []*fifo{&i.queue, &i.outer} {
			for r := q.first; r != nil; r = r.next {
				c.stays(r)
			}
		}
	}
	for r := c.waiting.first; r != nil; r = r.next {
		c.waits(r)
	}
	for k := range c.events {
		if e := &c.events[k]; e.r != nil && e.kind == leaves && e.inst.state != gone {
			c.stays(e.r)
		}
	}
}

// stays counts a request that an instance has at the end, and waits one that
// none has.
func (c *cell) stays(r *request) {
	c.sum.inside += c.counted(r.began)
	c.waits(r)
}

func (c *cell) waits(r *request) {
	if r.counted {
		c.sum.InFlight++
	}
	c.sum.held++
}

// totals closes a cell's sums and checks them: requests that came are those
// that went and those found in queues and runs, and the time of all instances
// is the integral of their number.
func (c *cell) totals() (Totals, error) {
	s := &c.sum
	wrong := func(format string, args ...any) error {
		return fault.New(fault.Internal, "simulate.Run", fmt.Sprintf("function %q", c.f.Name), format, args...)
	}
	t := s.Totals
	switch {
	case t.Requests != t.Served+t.Rejected+t.Failed+t.InFlight:
		return t, wrong("want as many requests in as out, got %d in, %d served, %d refused, %d failed and %d in flight",
			t.Requests, t.Served, t.Rejected, t.Failed, t.InFlight)
	case s.held != c.inFlight:
		return t, wrong("want %d requests in flight, found %d", c.inFlight, s.held)
	case s.ready != s.integral:
		return t, wrong("want the integral of instances over time, %d ns, got %d ns of instances", s.integral, s.ready)
	case s.active > s.ready:
		return t, wrong("want instances active for at most %d ns, got %d ns", s.ready, s.active)
	case s.busy > s.active*int64(max(c.f.Runs, 1)):
		return t, wrong("want runs for at most %d ns by %d, got %d ns", s.active, max(c.f.Runs, 1), s.busy)
	case s.latency.n != t.Served || s.cold.n != t.Cold:
		return t, wrong("want %d latencies and %d cold ones, got %d and %d", t.Served, t.Cold, s.latency.n, s.cold.n)
	}
	t.ReadySeconds, t.ActiveSeconds, t.BusySeconds = seconds(s.ready), seconds(s.active), seconds(s.busy)
	t.IdleSeconds = seconds(s.ready - s.active)
	t.RequestSeconds = seconds(s.inside)
	t.BilledRequestSeconds, t.BilledActiveSeconds = seconds(s.billedInside), seconds(s.billedActive)
	p := &s.phases
	t.Starting = Phases{seconds(p[0]), seconds(p[1]), seconds(p[2]), seconds(p[3]), seconds(p[4])}
	return t, nil
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

func (s *sim) report() (*Report, error) {
	r := &Report{Seed: s.opts.Seed, Seconds: seconds(s.end - s.warm), Curve: s.curve}
	all, cold := newHistogram(), newHistogram()
	for _, c := range s.cells {
		t, err := c.totals()
		if err != nil {
			return nil, err
		}
		r.Totals.add(&t)
		all.merge(c.sum.latency)
		cold.merge(c.sum.cold)
		if s.opts.PerFunction {
			r.Functions = append(r.Functions, FunctionReport{Name: c.f.Name, Totals: t, Latency: c.sum.latency.latency()})
		}
	}
	r.Latency, r.ColdLatency = all.latency(), cold.latency()
	if got := r.Latency.Count; got != r.Served || math.IsNaN(r.ReadySeconds) {
		return nil, fault.New(fault.Internal, "simulate.Run", "", "want %d latencies, got %d", r.Served, got)
	}
	return r, nil
}

// add sums two functions; Peak is that of the one with more.
func (t *Totals) add(o *Totals) {
	t.Requests += o.Requests
	t.Served += o.Served
	t.Rejected += o.Rejected
	t.Failed += o.Failed
	t.InFlight += o.InFlight
	t.Cold += o.Cold
	t.Starts += o.Starts
	t.Stops += o.Stops
	t.Peak = max(t.Peak, o.Peak)
	t.ReadySeconds += o.ReadySeconds
	t.ActiveSeconds += o.ActiveSeconds
	t.IdleSeconds += o.IdleSeconds
	t.BusySeconds += o.BusySeconds
	t.RequestSeconds += o.RequestSeconds
	t.BilledRequestSeconds += o.BilledRequestSeconds
	t.BilledActiveSeconds += o.BilledActiveSeconds
	t.Starting.Schedule += o.Starting.Schedule
	t.Starting.Pull += o.Starting.Pull
	t.Starting.Start += o.Starting.Start
	t.Starting.Load += o.Starting.Load
	t.Starting.Probe += o.Starting.Probe
	t.Runs += o.Runs
	t.Rows += o.Rows
}
