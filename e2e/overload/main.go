// Command overload asks a server for more than it can do and looks at what
// becomes of the requests: see run.sh.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"text/tabwriter"
	"time"

	"godwit.dev/loadtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := flag.String("server", "http://127.0.0.1:8080", "URL of a server of one model, with auth: key")
	seconds := flag.Int("seconds", 10, "how long each load lasts")
	flag.Parse()
	o := overload{server: *server, keys: flag.Args(), each: time.Duration(*seconds) * time.Second, out: os.Stdout}
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// overload is one run against one server. keys are two callers'.
type overload struct {
	server string
	keys   []string
	each   time.Duration
	out    io.Writer

	peak     float64 // answers a second when enough callers ask
	failures []error
}

// load asks as one caller: rate 0 is a closed loop.
func (o *overload) load(ctx context.Context, caller int, rate float64, connections int) (*loadtest.Result, error) {
	return loadtest.Run(ctx, &loadtest.Options{
		Target: o.server, Rate: rate, Connections: connections, Warmup: o.each / 5, Duration: o.each, Timeout: 10 * time.Second,
		Header: http.Header{"X-Api-Key": {o.keys[caller]}}, Seed: 1,
		Payloads: 8192, // more than wait at once: equal ones would share a run
	})
}

func (o *overload) run(ctx context.Context) error {
	closed, err := o.load(ctx, 0, 0, 8)
	if err != nil {
		return err
	}
	o.peak = closed.Achieved
	alone, err := o.load(ctx, 0, o.peak/2, 64)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "load\tcaller\tasked/s\tanswered/s\tof peak\trefused\tother\tp50 ms\tp99 ms\tof p99 unloaded")
	row := func(name string, caller string, r *loadtest.Result) {
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%.2f\t%d\t%d\t%.1f\t%.1f\t%.2f\n", name, caller, r.Rate, r.Achieved, r.Achieved/o.peak,
			refused(r), other(r), ms(r.Latency.P50), ms(r.Latency.P99), float64(r.Latency.P99)/float64(alone.Latency.P99))
	}
	row("closed loop, 8 callers", "a", closed)
	row("half of the peak", "a", alone)

	for _, times := range []float64{3, 10} {
		r, err := o.load(ctx, 0, times*o.peak, 1024)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%g times the peak", times)
		row(name, "a", r)
		o.check(r.Achieved >= leastGoodput*o.peak, "%s: %.0f answers a second, want at least %.0f%% of the peak of %.0f", name, r.Achieved, leastGoodput*100, o.peak)
		o.check(float64(other(r)) <= mostOther*float64(r.Sent), "%s: want answers and refusals, got %v", name, r.Errors)
		o.check(r.RetryAfter == refused(r), "%s: %d refusals, %d of them say when to come back", name, refused(r), r.RetryAfter)
	}
	after, err := o.load(ctx, 0, o.peak/2, 64)
	if err != nil {
		return err
	}
	row("half of the peak again", "a", after)
	o.check(float64(after.OK) >= leastAfter*float64(after.Sent), "afterwards: %d of %d answered, want at least %.0f%%", after.OK, after.Sent, leastAfter*100)

	var flood, small *loadtest.Result
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { flood, errs[0] = o.load(ctx, 0, 3*o.peak, 1024) })
	both.Go(func() { small, errs[1] = o.load(ctx, 1, o.peak/5, 64) })
	both.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	row("one caller floods", "a", flood)
	row("another asks for a fifth of the peak", "b", small)
	o.check(float64(small.OK) >= leastShare*float64(small.Sent), "the caller that does not flood: %d of %d answered, want at least %.0f%%", small.OK, small.Sent, leastShare*100)
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range o.failures {
		fmt.Fprintln(o.out, "FAIL", f)
	}
	if len(o.failures) > 0 {
		return fmt.Errorf("%d checks failed", len(o.failures))
	}
	return nil
}

// What is asked of a server that shares two cores, whose speed may double
// between two loads, with thousands of requests a second of its own callers.
// The table shows how far above it is.
const (
	leastGoodput = 0.5
	leastShare   = 0.9
	leastAfter   = 0.95
	mostOther    = 0.01 // connections that could not be made in time
)

func (o *overload) check(ok bool, format string, args ...any) {
	if !ok {
		o.failures = append(o.failures, fmt.Errorf(format, args...))
	}
}

// refused is how many were told to come back later.
func refused(r *loadtest.Result) int64 { return r.Errors["503"] + r.Errors["429"] }

func other(r *loadtest.Result) int64 {
	n := -refused(r)
	for _, count := range r.Errors {
		n += count
	}
	return int64(math.Max(0, float64(n)))
}
