package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

// Every request is in one window, and the windows together are the result.
func TestWindowsAreTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var all []*Window
		var progress []Progress
		o := inMemory(Options{Rate: 100, Constant: true, Warmup: 1500 * time.Millisecond, Duration: 3500 * time.Millisecond, Connections: 300,
			Window: func(w *Window) { all = append(all, w) }, Progress: func(p Progress) { progress = append(progress, p) },
			Usage: func() (Usage, bool) {
				return Usage{CPU: time.Since(start) / 2, RSS: int64(time.Since(start) / time.Second), Processes: 2}, true
			}},
			func(*http.Request, []byte) string {
				if d := time.Since(start); d >= 4*time.Second-5*time.Millisecond {
					wait(1995 * time.Millisecond) // all of the last second come after the end
				} else if d >= 3*time.Second-5*time.Millisecond && d < 3495*time.Millisecond {
					return "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
				}
				return okAnswer
			})
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		type row struct {
			Part        string
			At, Seconds float64
			OK, Failed  int64
			Outstanding int
			P50         time.Duration
		}
		var got []row
		var merged Histogram
		for _, w := range all {
			got = append(got, row{w.Part, math.Round(w.At*1e3) / 1e3, math.Round(w.Seconds*1e3) / 1e3, w.OK, w.Failed(),
				(w.Outstanding + 5) / 10 * 10, w.Latency.P50.Round(100 * time.Millisecond)}) // who begins at that very moment may be among them
			if w.Part != PartWarmup {
				merged.Merge(&w.Histogram)
			}
			if want := w.Seconds / 2; math.Abs(w.Server.CPUSeconds-want) > 1e-6 || w.Server.Processes != 2 {
				t.Errorf("window at %v: want %v s of CPU, got %+v", w.At, want, w.Server)
			}
		}
		want := []row{
			{PartWarmup, -1.5, 0.5, 50, 0, 0, 0}, {PartWarmup, -1, 1, 100, 0, 0, 0},
			{PartLoad, 0, 1, 100, 0, 0, 0}, {PartLoad, 1, 1, 50, 50, 0, 0}, {PartLoad, 2, 1, 50, 0, 50, 0}, {PartLoad, 3, 0.5, 0, 0, 100, 0},
			{PartDrain, 3.5, 0.5, 0, 0, 100, 0}, {PartDrain, 4, 1, 51, 0, 50, 2 * time.Second}, {PartDrain, 5, 0.485, 49, 0, 0, 2 * time.Second},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("windows (-want +got):\n%s", diff)
		}
		if merged.Count() != r.OK || merged.Quantile(1).Round(100*time.Millisecond) != 2*time.Second {
			t.Errorf("want all %d answers in the windows, got %d up to %v", r.OK, merged.Count(), merged.Quantile(1))
		}
		if s := r.Server; s == nil || math.Abs(s.CPUSeconds-1.75) > 1e-3 || s.RSS != 5 || math.Abs(r.PerRequest-1750./250) > 0.01 {
			t.Errorf("want 1.75 s of CPU for 250 requests, 5 bytes at most, got %+v, %v ms each", s, r.PerRequest)
		}
		if n := len(progress); n < 10 || progress[n-1].Latest == nil {
			t.Errorf("want progress with windows, got %d", n)
		}
	})
}

func TestBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var due []time.Duration
		var mu sync.Mutex
		o := inMemory(Options{Rate: 10, Constant: true, Duration: 9 * time.Second, Connections: 4, Burst: &Burst{On: time.Second, Off: 3 * time.Second},
			Observe: func(s Observation) { mu.Lock(); due = append(due, s.Due); mu.Unlock() }}, func(*http.Request, []byte) string { return okAnswer })
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		var want []time.Duration
		for _, burst := range []time.Duration{0, 4, 8} {
			for k := range time.Duration(10) {
				want = append(want, burst*time.Second+k*100*time.Millisecond)
			}
		}
		if diff := cmp.Diff(want, due); diff != "" || r.Loop != "burst" {
			t.Errorf("%s arrivals (-want +got):\n%s", r.Loop, diff)
		}
	})
}

// A server that is started by the first who connects is in the latencies, and
// the time that it took to come to rest is not.
func TestBurstsFromZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, asked := true, 0
		var ready time.Time
		var mu sync.Mutex
		open := atomic.Int64{}
		var all []*Window
		o := inMemory(Options{Rate: 10, Constant: true, Duration: 4 * time.Second, Connections: 64, Burst: &Burst{On: 2 * time.Second, Off: time.Hour},
			Window: func(w *Window) { all = append(all, w) },
			Usage: func() (Usage, bool) { // 100 ms for the start, and then half of the time
				mu.Lock()
				defer mu.Unlock()
				return Usage{CPU: 100*time.Millisecond + time.Since(ready)/2, RSS: 1, Processes: 1}, running && !ready.After(time.Now())
			},
			Zero: func(_ context.Context, k int) error {
				if k != asked || open.Load() != 0 {
					t.Errorf("burst %d: %d connections are open", k, open.Load())
				}
				asked++
				mu.Lock()
				running = false
				mu.Unlock()
				wait(90 * time.Second)
				return nil
			}}, func(*http.Request, []byte) string { return okAnswer })
		dial := o.Dial
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if asked == 0 {
				t.Error("connected before the server was at rest")
			}
			mu.Lock()
			if !running {
				running, ready = true, time.Now().Add(800*time.Millisecond)
			}
			ready := ready
			mu.Unlock()
			wait(time.Until(ready)) // as one who waits for a start under way
			c, err := dial(ctx, network, address)
			open.Add(1)
			return &counted{Conn: c, open: &open}, err
		}
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Loop != "burst-from-zero" || len(r.Bursts) != 2 || r.OK != 40 || math.Abs(r.Seconds-4) > 0.01 || math.Abs(r.Achieved-10) > 0.1 {
			t.Fatalf("want two bursts of 20 answers in 4 s of load, got %+v", r)
		}
		if r.Server == nil || math.Abs(r.Server.CPUSeconds-2*(0.1+0.6)) > 0.01 {
			t.Errorf("want the CPU time of both starts and of 2.4 s, got %+v", r.Server)
		}
		for _, b := range r.Bursts {
			if b.First.Round(time.Millisecond) != 800*time.Millisecond || b.OK != 20 || b.Latency.Max.Round(time.Millisecond) != 800*time.Millisecond {
				t.Errorf("want the first answer after the 800 ms of the start, got %+v", b)
			}
		}
		for _, w := range all {
			if w.OK == 0 && w.Failed() == 0 || w.Seconds > 1.001 {
				t.Errorf("want windows of the load alone, got %+v", w)
			}
		}
		boom := errors.New("it does not come to rest")
		o.Zero = func(context.Context, int) error { return boom }
		if r, err := Run(t.Context(), o); !errors.Is(err, boom) || r == nil {
			t.Errorf("want a result and the error, got %v, %v", r, err)
		}
	})
}

type counted struct {
	net.Conn
	open *atomic.Int64
}

func (c *counted) Close() error { c.open.Add(-1); return c.Conn.Close() }

func offsets(err error, all ...float64) iter.Seq2[time.Duration, error] {
	return func(yield func(time.Duration, error) bool) {
		for _, s := range all {
			if !yield(time.Duration(s*float64(time.Second)), nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

func TestATraceIsPlayed(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		offsets iter.Seq2[time.Duration, error]
		sent    int64
		err     func(error) bool
	}{
		"whole":   {offsets(nil, 0, 0.25, 0.25, 3, 7.5), 5, func(err error) bool { return err == nil }},
		"empty":   {offsets(nil), 0, func(err error) bool { return err == nil }},
		"bounded": {offsets(nil, 0, 1, 9, 11), 3, func(err error) bool { return err == nil }},
		"broken":  {offsets(broken, 0, 1), 2, func(err error) bool { return errors.Is(err, broken) }},
		"falling": {offsets(nil, 2, 1), 1, func(err error) bool { return fault.CodeOf(err) == fault.Invalid }},
	} {
		synctest.Test(t, func(t *testing.T) {
			var due []time.Duration
			var mu sync.Mutex
			r, err := Run(t.Context(), inMemory(Options{Offsets: c.offsets, Duration: 10 * time.Second, Connections: 2, Warmup: time.Hour,
				Observe: func(s Observation) { mu.Lock(); due = append(due, s.Due); mu.Unlock() }}, func(*http.Request, []byte) string { return okAnswer }))
			if !c.err(err) || r == nil || r.Sent != c.sent || r.Loop != "trace" {
				t.Errorf("%s: want %d requests, got %+v, %v", name, c.sent, r, err)
			}
			if name == "whole" {
				if diff := cmp.Diff([]time.Duration{0, 250e6, 250e6, 3e9, 75e8}, due); diff != "" {
					t.Errorf("arrivals (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestWrongPatternsAreRefused(t *testing.T) {
	zero := func(context.Context, int) error { return nil }
	for name, o := range map[string]Options{
		"bursts without a rate":   {Burst: &Burst{On: 1}},
		"bursts of nothing":       {Rate: 1, Burst: &Burst{Off: 1}},
		"zero without bursts":     {Rate: 1, Zero: zero},
		"a trace and a rate":      {Rate: 1, Offsets: offsets(nil)},
		"a trace and bursts":      {Rate: 1, Burst: &Burst{On: 1}, Offsets: offsets(nil)},
		"breaks of negative time": {Rate: 1, Burst: &Burst{On: 1, Off: -1}},
	} {
		o.Target = "http://a"
		if _, err := Run(t.Context(), &o); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%s: want code usage, got %v", name, err)
		}
	}
}

// A bucket's middle is near to all that is in it, and in it itself.
func TestHistogram(t *testing.T) {
	for _, fine := range []uint{windowFine, totalFine} {
		c := newCounts(fine)
		for d := time.Duration(0); d <= longest; d += 1 + d/977 {
			i := c.index(d)
			if m := c.middle(i); c.index(m) != i || math.Abs(float64(m-d)) > math.Ldexp(float64(d), -int(fine)) {
				t.Fatalf("2^-%d: %v is in bucket %d, whose middle is %v", fine, d, i, m)
			}
		}
	}
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Count() != 0 {
		t.Error("want nothing of an empty histogram")
	}
	for i := range 1000 {
		h.Add(time.Duration(i+1)*time.Millisecond, 1)
	}
	h.Add(time.Hour, 1)
	for q, want := range map[float64]time.Duration{0: time.Millisecond, 0.5: 501 * time.Millisecond, 0.99: 991 * time.Millisecond, 1: longest} {
		if got := h.Quantile(q); math.Abs(float64(got-want)) > 0.008*float64(want) {
			t.Errorf("quantile %g: want %v, got %v", q, want, got)
		}
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back Histogram
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(back)
	if string(text) != string(again) || back.Count() != 1001 {
		t.Errorf("want the same histogram back, got\n%s\n%s", text, again)
	}
	for _, bad := range []string{"1", "1:", ":1", "-1:1", "1:0", "1:1.5", "1e9:1", "NaN:1", "1:1,2:1", "1:99999999999"} {
		if err := back.UnmarshalText([]byte(bad)); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: want code invalid, got %v", bad, err)
		}
	}
}
