// Command overload asks a server for more than it can do and looks at what
// becomes of the requests: see run.sh.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := flag.String("server", "http://127.0.0.1:8080", "URL of a server of one model, with auth: key")
	pid := flag.Int("pid", 0, "its process")
	seconds := flag.Int("seconds", 2, "how long each load lasts")
	flag.Parse()
	o := overload{server: *server, keys: flag.Args(), each: time.Duration(*seconds) * time.Second, out: os.Stdout}
	m, err := newMachine(*pid)
	if err == nil {
		o.machine = m
		err = o.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// overload is one run against one server. keys are two callers'.
type overload struct {
	server  string
	machine *machine
	keys    []string
	each    time.Duration
	out     io.Writer

	unloaded time.Duration // p99 at half of the peak
	mu       sync.Mutex    // of what follows: two may ask at once
	table    *tabwriter.Writer
	failures []error
}

// seen is what a load showed.
type seen struct {
	*loadtest.Result
	could float64 // seconds of processors that the server could have had, a second
	void  bool    // others had the processors, so it says nothing of the server
}

// goodput is the answers in each second that the server could have had of a
// processor: what it can do, whatever else the machine does.
func (s *seen) goodput() float64 { return s.Achieved / s.could }

// load asks as one caller: rate 0 is a closed loop.
func (o *overload) load(ctx context.Context, name string, caller int, rate float64, connections int) (*seen, error) {
	began := time.Now()
	before, err := o.machine.could()
	if err != nil {
		return nil, err
	}
	r, err := loadtest.Run(ctx, &loadtest.Options{
		Target: o.server, Rate: rate, Connections: connections, Warmup: o.each / 5, Duration: o.each, Timeout: 10 * time.Second,
		Header: http.Header{"X-Api-Key": {o.keys[caller]}}, Seed: 1,
		Model: "slow", Requests: []*infer.Request{{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}}},
		Unchecked: true, // a first request would not count, and could be refused
		Payloads:  8192, // more than wait at once: equal ones would share a run
	})
	late := fault.CodeOf(err) == fault.Runtime // the client, for half a second
	if err != nil && !late {
		return nil, err
	}
	after, err := o.machine.could()
	if err != nil {
		return nil, err
	}
	s := &seen{Result: r, could: (after - before) / time.Since(began).Seconds()}
	s.void = late || s.could < (1-mostTaken)*float64(len(o.machine.cpus))
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unloaded == 0 && rate > 0 {
		o.unloaded = r.Latency.P99
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	of := 0.0
	if o.unloaded > 0 {
		of = float64(r.Latency.P99) / float64(o.unloaded)
	}
	if s.void {
		name += " (void)"
	}
	fmt.Fprintf(o.table, "%s\t%c\t%.0f\t%.0f\t%.2f\t%.0f\t%d\t%d\t%.1f\t%.1f\t%.2f\n", name, 'a'+caller, r.Rate, r.Achieved, s.could, s.goodput(),
		refused(r), r.Sent-r.OK-refused(r), ms(r.Latency.P50), ms(r.Latency.P99), of)
	return s, nil
}

func (o *overload) run(ctx context.Context) error {
	o.table = tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(o.table, "load\tcaller\tasked/s\tanswered/s\tprocessors\ta processor's\trefused\tother\tp50 ms\tp99 ms\tof p99 unloaded")
	err := o.loads(ctx)
	o.table.Flush()
	for _, f := range o.failures {
		fmt.Fprintln(o.out, "FAIL", f)
	}
	if err == nil && len(o.failures) > 0 {
		err = fmt.Errorf("%d checks failed", len(o.failures))
	}
	return err
}

const (
	rounds = 5
	tries  = 3 * rounds // where loads are void
	many   = 1024       // connections, so that no request waits for one
	// mostTaken is the share of the server's processors that others may take in
	// a load that is to say something.
	mostTaken = 0.4
)

// loads are the loads one after the other.
func (o *overload) loads(ctx context.Context) error {
	peak, err := o.peak(ctx)
	if err != nil {
		return err
	}
	unloaded, err := o.load(ctx, "half of the peak", 0, peak.Achieved/2, 64)
	if err != nil {
		return err
	}
	o.ends("half of the peak", unloaded)
	for times, least := range map[float64]float64{3: leastAt3, 10: leastAt10} {
		if peak, err = o.times(ctx, times, least, peak); err != nil {
			return err
		}
	}
	if err := o.recovers(ctx, peak); err != nil {
		return err
	}
	return o.share(ctx, peak)
}

// peak is what the server can do: callers enough that it is never idle, and
// so few that none of them waits for longer than a run takes.
func (o *overload) peak(ctx context.Context) (*seen, error) {
	s, err := o.load(ctx, "closed loop", 0, 0, 2*len(o.machine.cpus))
	if err == nil {
		o.ends("closed loop", s)
	}
	return s, err
}

// times asks for so many times the peak, between two loads of the peak itself,
// and compares: a machine's speed changes between two moments.
func (o *overload) times(ctx context.Context, times, least float64, peak *seen) (*seen, error) {
	name := fmt.Sprintf("%g times the peak", times)
	var kept []float64
	for n := 0; len(kept) < rounds; n++ {
		if n == tries {
			return nil, tooBusy(name)
		}
		r, err := o.load(ctx, name, 0, times*peak.Achieved, many)
		if err != nil {
			return nil, err
		}
		o.ends(name, r)
		next, err := o.peak(ctx)
		if err != nil {
			return nil, err
		}
		if !peak.void && !r.void && !next.void {
			kept = append(kept, 2*r.goodput()/(peak.goodput()+next.goodput()))
		}
		peak = next
	}
	slices.Sort(kept)
	fmt.Fprintf(o.out, "%s: %.2f of it is answered (%.2f to %.2f)\n", name, kept[rounds/2], kept[0], kept[rounds-1])
	o.check(kept[rounds/2] >= least, "%s: %.2f of it is answered, want at least %g", name, kept[rounds/2], least)
	return peak, nil
}

// ends checks that every request was answered or told when to come back.
func (o *overload) ends(name string, r *seen) {
	o.check(r.OK+refused(r.Result) == r.Sent, "%s: want answers and refusals, got %v", name, r.Errors)
	o.check(r.RetryAfter == refused(r.Result), "%s: %d refusals, %d of them say when to come back", name, refused(r.Result), r.RetryAfter)
}

// soon is within what time the server answers all again that it can.
const soon = 5 * time.Second

// recovers asks for half of the peak right after ten times the peak.
func (o *overload) recovers(ctx context.Context, peak *seen) error {
	r, err := o.load(ctx, "10 times the peak", 0, 10*peak.Achieved, many)
	if err != nil {
		return err
	}
	o.ends("10 times the peak", r)
	var asked time.Duration
	for range tries {
		if r, err = o.load(ctx, "half of the peak, afterwards", 0, peak.Achieved/2, 64); err != nil {
			return err
		}
		o.ends("half of the peak, afterwards", r)
		if float64(r.OK) >= leastAfter*float64(r.Sent) {
			return nil
		}
		if !r.void {
			asked += o.each + o.each/5
		}
		if asked >= soon {
			o.check(false, "%v after ten times the peak: %d of %d answered at half of it, want at least %g", asked, r.OK, r.Sent, leastAfter)
			return nil
		}
	}
	return tooBusy("half of the peak, afterwards")
}

func tooBusy(name string) error {
	return fmt.Errorf("%s: other programs had more than %g of the server's processors in too many of %d loads: this shows nothing", name, mostTaken, tries)
}

// share has one caller flood the server, and another ask for a fifth of the
// peak: less than the half that is its share, so it gets answers.
func (o *overload) share(ctx context.Context, peak *seen) error {
	for range tries {
		var flood, small *seen
		var errs [2]error
		var both sync.WaitGroup
		both.Go(func() { flood, errs[0] = o.load(ctx, "one caller floods", 0, 3*peak.Achieved, many) })
		both.Go(func() { small, errs[1] = o.load(ctx, "another asks for a fifth of the peak", 1, peak.Achieved/5, 64) })
		both.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		o.ends("one caller floods", flood)
		o.ends("another asks for a fifth of the peak", small)
		if enough := float64(small.OK) >= leastShare*float64(small.Sent); enough || !flood.void && !small.void {
			o.check(enough, "the caller that does not flood: %d of %d answered, want at least %g of them", small.OK, small.Sent, leastShare)
			return nil
		}
	}
	return tooBusy("one caller floods")
}

const (
	leastAt3   = 0.9  // of the peak, as the median of the rounds
	leastAt10  = 0.8  // of the peak, where the refusals cost more
	leastAfter = 0.98 // of what is asked
	leastShare = 0.95 // of what is asked, beside a flood
)

func (o *overload) check(ok bool, format string, args ...any) {
	if !ok {
		o.failures = append(o.failures, fmt.Errorf(format, args...))
	}
}

// refused is how many were told to come back later.
func refused(r *loadtest.Result) int64 { return r.Errors["503"] + r.Errors["429"] }
