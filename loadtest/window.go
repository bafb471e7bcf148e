package loadtest

import (
	"context"
	"maps"
	"time"
)

// The parts of a run: before anything counts, while requests come, and after
// the last came, while those under way end.
const (
	PartWarmup = "warmup"
	PartLoad   = "load"
	PartDrain  = "drain"
)

// Window is what ended in one stretch of a run. A request belongs to the window
// in which it ended; its latency still counts from when it was due. Windows
// after the warm-up hold only what counts.
type Window struct {
	Part    string  `json:"part"`
	At      float64 `json:"at"`      // seconds from the start of what counts to the window's; negative in the warm-up
	Seconds float64 `json:"seconds"` // its length

	OK     int64            `json:"ok"`
	Errors map[string]int64 `json:"errors,omitempty"` // as in Result
	// Outstanding is how many were under way at its end.
	Outstanding int `json:"outstanding"`

	// Latency and Histogram are of those that were answered well.
	Latency   Latencies    `json:"latency_ms"`
	Histogram Histogram    `json:"histogram"`
	Server    *ServerUsage `json:"server,omitempty"`
}

// Failed is how many requests ended otherwise than well.
func (w *Window) Failed() int64 {
	n := int64(0)
	for _, k := range w.Errors {
		n += k
	}
	return n
}

// ServerUsage is what the server took in a window or a run.
type ServerUsage struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	// RSS is the memory of all its processes together, at the end of a window
	// and at most of a run, in bytes; what they share counts for each.
	RSS       int64 `json:"rss_bytes"`
	Processes int   `json:"processes"`
}

// Usage is what a server's processes have taken since they started, and take.
type Usage struct {
	CPU       time.Duration
	RSS       int64
	Processes int
}

// windows makes windows while a run goes.
type windows struct {
	r     *run
	begun time.Time
	usage Usage
	known bool // usage is
	spare *tally
	total *ServerUsage // of the load's windows
	ended int64        // requests in those
}

// follow makes windows until the returned function is called, which ends the
// last one.
func (r *run) follow() (stop func()) {
	if r.o.Window == nil && r.o.Progress == nil && r.o.Usage == nil {
		return func() {}
	}
	r.rec.window, r.rec.behind = newTally(), newTally()
	r.win = &windows{r: r, spare: newTally()}
	r.win.begin(r.start)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			t := time.NewTimer(time.Until(r.boundary(time.Now())))
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
				r.winMu.Lock()
				if !r.resting {
					r.win.upto(time.Now())
				}
				r.winMu.Unlock()
			}
		}
	}()
	return func() {
		cancel()
		<-done
		if !r.resting {
			r.win.finish(time.Now())
		}
	}
}

// begin begins the first window at start, or the first after a rest.
func (w *windows) begin(start time.Time) {
	w.begun, w.usage, w.known = start, Usage{}, w.r.o.Zero != nil // what is at rest has taken nothing
	w.measure()
	end := w.r.boundary(start)
	w.r.rec.mu.Lock()
	w.r.rec.windowEnd = end
	w.r.rec.mu.Unlock()
}

// upto ends the windows that are over at now.
func (w *windows) upto(now time.Time) {
	for end := w.r.rec.windowEnd; !end.After(now); end = w.r.rec.windowEnd {
		w.roll(end)
	}
}

// finish ends all windows: nothing will end any more.
func (w *windows) finish(now time.Time) {
	w.upto(now)
	if now.After(w.begun) {
		w.roll(now)
	}
}

// boundary is when the window ends that now is in: at whole windows from the
// start of what counts on, and at the end of new requests.
func (r *run) boundary(now time.Time) time.Time {
	_, from, end := r.times()
	every := r.o.WindowEvery
	k := now.Sub(from) / every // rounded towards zero
	if !now.Before(from) {
		k++
	}
	next := from.Add(k * every)
	if !next.After(now) {
		next = next.Add(every)
	}
	if now.Before(end) && next.After(end) {
		next = end
	}
	return next
}

// measure asks what the server has taken; ok says that both ends are known.
func (w *windows) measure() (used *ServerUsage, ok bool) {
	if w.r.o.Usage == nil {
		return nil, false
	}
	now, known := w.r.o.Usage()
	if !known { // what it takes until it is known again counts then
		return nil, false
	}
	before, had := w.usage, w.known
	w.usage, w.known = now, true
	if !had {
		return nil, false
	}
	return &ServerUsage{CPUSeconds: max(now.CPU-before.CPU, 0).Seconds(), RSS: now.RSS, Processes: now.Processes}, true
}

// roll ends the window at end.
func (w *windows) roll(end time.Time) {
	r, rec := w.r, w.r.rec
	_, from, last := r.times()
	one := Window{Part: PartLoad, At: w.begun.Sub(from).Seconds(), Seconds: end.Sub(w.begun).Seconds(), Outstanding: int(r.outstanding.Load())}
	switch {
	case w.begun.Before(from):
		one.Part = PartWarmup
	case !w.begun.Before(last):
		one.Part = PartDrain
	}
	next := r.boundary(end)
	rec.mu.Lock()
	full := rec.window
	rec.window, rec.behind, rec.windowEnd = rec.behind, w.spare, next
	rec.mu.Unlock()
	one.OK = full.ok
	if len(full.errors) > 0 {
		one.Errors = maps.Clone(full.errors)
	}
	one.Latency = full.latency.latencies()
	for i, n := range full.latency.at {
		if n > 0 {
			one.Histogram.Add(full.latency.middle(i), n)
		}
	}
	full.reset()
	w.spare, w.begun = full, end
	one.Server, _ = w.measure()
	if one.Part == PartLoad && one.Server != nil {
		if w.total == nil {
			w.total = &ServerUsage{}
		}
		w.total.CPUSeconds += one.Server.CPUSeconds
		w.total.RSS = max(w.total.RSS, one.Server.RSS)
		w.total.Processes = max(w.total.Processes, one.Server.Processes)
		w.ended += one.OK + one.Failed()
	}
	r.latest.Store(&one)
	if r.o.Window != nil {
		r.o.Window(&one)
	}
}
