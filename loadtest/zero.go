package loadtest

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// Cold is what a burst from zero met.
type Cold struct {
	// First is how long after its beginning the first answer was there.
	First      time.Duration
	OK, Failed int64
	// Latency is of those that were answered well, from when they were due.
	Latency Latencies

	begun time.Time
	all   *counts
}

type coldJSON struct {
	First   float64   `json:"first_answer_ms"`
	OK      int64     `json:"ok"`
	Failed  int64     `json:"failed"`
	Latency Latencies `json:"latency_ms"`
}

// MarshalJSON writes milliseconds.
func (c Cold) MarshalJSON() ([]byte, error) {
	return json.Marshal(coldJSON{float64(c.First) / 1e6, c.OK, c.Failed, c.Latency})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Cold) UnmarshalJSON(text []byte) error {
	var v coldJSON
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	*c = Cold{First: time.Duration(math.Round(v.First * 1e6)), OK: v.OK, Failed: v.Failed, Latency: v.Latency}
	return nil
}

func (c *Cold) record(after, latency time.Duration, ok bool) {
	if !ok {
		c.Failed++
		return
	}
	if c.OK == 0 || after < c.First {
		c.First = after
	}
	c.OK++
	c.all.add(latency, 1)
}

// fromZero sends bursts of Burst.On until Duration is used up.
func (r *run) fromZero(ctx context.Context, p *pool, sleep func(time.Duration)) error {
	arrivals := newArrivals(r.o.Rate, r.o.Constant, r.o.Seed)
	n := int64(0)
	for k := 0; r.loaded < r.o.Duration && ctx.Err() == nil; k++ {
		select {
		case <-p.calm: // every connection has taken its last answer
		case <-ctx.Done():
			return nil
		}
		r.rest(true)
		for _, c := range r.callers { // nobody uses them now
			c.rest()
		}
		if err := r.o.Zero(ctx, k); err != nil {
			return err
		}
		on := min(r.o.Burst.On, r.o.Duration-r.loaded)
		start := time.Now()
		r.begin(start, start.Add(on), k)
		arrivals.at = 0
		var err error
		n, err = r.until(ctx, p, sleep, func() (time.Duration, bool, error) { return arrivals.next(), true, nil }, start, start.Add(on), n)
		if left := time.Until(start.Add(on)); err == nil && left > 0 && (r.o.Count == 0 || n < r.o.Count) {
			waitFor(ctx, left) // the last gap
		}
		r.loaded += min(on, time.Since(start))
		if err != nil || r.o.Count > 0 && n >= r.o.Count {
			return err
		}
	}
	return nil
}

func waitFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// rest ends the window under way, until begin.
func (r *run) rest(on bool) {
	r.winMu.Lock()
	defer r.winMu.Unlock()
	if on && !r.resting && r.win != nil {
		r.win.finish(time.Now())
	}
	r.resting = on
}

// begin makes start the begin of burst k and end its end.
func (r *run) begin(start, end time.Time, k int) {
	r.rec.mu.Lock()
	if k == 0 {
		r.start, r.from, r.rec.from = start, start, start
	}
	r.end, r.rec.end = end, end
	r.bursts = append(r.bursts, Cold{begun: start, all: newCounts(windowFine)})
	r.rec.burst = &r.bursts[k]
	r.rec.mu.Unlock()
	if r.win != nil {
		r.winMu.Lock()
		r.win.begin(start)
		r.winMu.Unlock()
	}
	r.rest(false)
}
