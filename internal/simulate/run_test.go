package simulate_test

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/simulate"
	"godwit.dev/runtime/fault"
)

// world is a random set of options and arrivals, with everything there is.
func world(seed uint64) (*simulate.Options, []simulate.Arrival) {
	r := rand.New(rand.NewPCG(seed, 11))
	some := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d)) + 1) }
	dist := func(d time.Duration) simulate.Dist {
		switch r.IntN(4) {
		case 0:
			return simulate.Dist{}
		case 1:
			return simulate.Dist{Samples: []time.Duration{some(d), some(d), some(d)}}
		}
		p := some(d)
		return simulate.Dist{P50: p, P99: p * time.Duration(1+r.IntN(4))}
	}
	n := 1 + r.IntN(4)
	o := &simulate.Options{Seed: seed, PerFunction: true, Billing: simulate.Billing{Round: time.Duration(r.IntN(3)) * 50 * time.Millisecond, Min: time.Duration(r.IntN(2)) * 100 * time.Millisecond}}
	for range n {
		f := simulate.Function{
			Service: simulate.Service{Table: []simulate.RunTime{{Rows: 1, Time: some(200 * time.Millisecond)}}, Spread: float64(r.IntN(4)), Exponential: r.IntN(4) == 0},
			Runs:    r.IntN(4), MaxBatch: r.IntN(20), Queue: r.IntN(40) - 5, Overhead: time.Duration(r.IntN(2)) * some(20*time.Millisecond),
			Start: simulate.Lifecycle{Schedule: dist(time.Second), Pull: dist(3 * time.Second), Start: dist(300 * time.Millisecond), Load: dist(time.Second), Probe: dist(time.Second)},
		}
		if r.IntN(3) == 0 {
			f.Crash = some(100 * time.Second)
		}
		f.Service.Table = append(f.Service.Table, simulate.RunTime{Rows: 8, Time: f.Service.Table[0].Time * time.Duration(1+r.IntN(8))})
		o.Functions = append(o.Functions, f)
	}
	bursts := []*float64{nil, new(float64), new(float64), new(float64)}
	*bursts[1], *bursts[2] = -1, 5
	switch r.IntN(6) {
	case 0:
		o.Policy = simulate.Fixed{Instances: r.IntN(6), Concurrency: r.IntN(4), Queue: r.IntN(20), Wait: time.Duration(r.IntN(2)) * some(5*time.Second)}
	case 1:
		o.Policy = simulate.Lambda{KeepAlive: dist(40 * time.Second), Max: 3 + r.IntN(20), Provisioned: r.IntN(3), Burst: 1 + r.IntN(4), Per: some(20 * time.Second)}
	case 2:
		o.Policy = simulate.CloudRun{Concurrency: r.IntN(20), Min: r.IntN(3), Max: 3 + r.IntN(10), Idle: some(60 * time.Second), Wait: some(20 * time.Second)}
	case 3:
		o.Policy = simulate.AzureFlex{Concurrency: r.IntN(20), AlwaysReady: r.IntN(3), Max: 3 + r.IntN(10), Grow: r.IntN(3), Idle: some(60 * time.Second)}
	default:
		o.Policy = simulate.Knative{
			Concurrency: r.IntN(8), RPS: r.IntN(4) == 0, MinScale: r.IntN(2), MaxScale: r.IntN(2) * 10, Initial: r.IntN(3), ActivationScale: r.IntN(4),
			StableWindow: time.Duration(6+r.IntN(60)) * time.Second, ScaleDownDelay: time.Duration(r.IntN(2)) * some(60*time.Second), Weighted: r.IntN(2) == 0,
			BurstCapacity: bursts[r.IntN(4)], Retention: time.Duration(r.IntN(2)) * some(60*time.Second), KeepOne: r.IntN(4) == 0, Wait: some(60 * time.Second),
		}
	}
	var all []simulate.Arrival
	at := time.Duration(0)
	for len(all) < 3000 {
		rate := []float64{0.02, 1, 20, 200}[r.IntN(4)]
		for range 1 + r.IntN(int(10*rate)+2) {
			at += time.Duration(r.ExpFloat64() / rate * 1e9)
			a := simulate.Arrival{At: at, Function: r.IntN(n)}
			if r.IntN(10) == 0 {
				a.Service = some(time.Second)
			}
			all = append(all, a)
		}
	}
	if r.IntN(2) == 0 {
		o.Until = at/2 + some(at)
		o.Warm = time.Duration(r.IntN(2)) * o.Until / 3
		o.Step = some(o.Until / 10)
	}
	return o, all
}

// TestBooksBalance runs random worlds. Run itself checks what must hold in
// every one; here it is asked whether the report agrees with what was observed,
// and whether the same seed gives the same report.
func TestBooksBalance(t *testing.T) {
	var sum simulate.Totals
	for seed := range uint64(100) {
		o, arrivals := world(seed)
		var served, refused, failed, cold int64
		var inside, billed time.Duration
		o.Observe = func(e *simulate.Outcome) {
			if e.Began < e.Arrived || e.Done < e.Began || e.Start < 0 || !e.Cold && e.Start != 0 {
				t.Errorf("seed %d: want arrival, begin and end in order, got %+v", seed, e)
			}
			if e.Arrived < o.Warm {
				return
			}
			switch e.Status {
			case simulate.Served:
				served++
				billed += e.Billed
				inside += e.Done - e.Began
				if e.Cold {
					cold++
				}
			case simulate.Rejected:
				refused++
			case simulate.Failed:
				failed++
			}
		}
		r, err := simulate.Run(t.Context(), simulate.Slice(arrivals), o)
		if err != nil {
			t.Fatalf("seed %d, %T: %v", seed, o.Policy, err)
		}
		if d := cmp.Diff([]int64{served, refused, failed, cold}, []int64{r.Served, r.Rejected, r.Failed, r.Cold}); d != "" {
			t.Errorf("seed %d, %T: served, refused, failed, cold (-observed +reported):\n%s", seed, o.Policy, d)
		}
		if math.Abs(billed.Seconds()-r.BilledRequestSeconds) > 1e-6 || billed < inside || r.BilledRequestSeconds > 0 && r.RequestSeconds+1e-9 < inside.Seconds() && o.Warm == 0 {
			t.Errorf("seed %d: want %v of requests billed for %v, got %v s and %v s", seed, billed, inside, r.BilledRequestSeconds, r.RequestSeconds)
		}
		if o.Until == 0 && (r.InFlight != 0 || r.Requests != int64(len(arrivals))) {
			t.Errorf("seed %d: want %d requests, all of them answered, got %d and %d in flight", seed, len(arrivals), r.Requests, r.InFlight)
		}
		var parts simulate.Totals
		for k := range r.Functions {
			parts.Requests += r.Functions[k].Requests
			parts.ReadySeconds += r.Functions[k].ReadySeconds
		}
		if parts.Requests != r.Requests || math.Abs(parts.ReadySeconds-r.ReadySeconds) > 1e-6 {
			t.Errorf("seed %d: want functions that add up to %d requests and %v s, got %d and %v", seed, r.Requests, r.ReadySeconds, parts.Requests, parts.ReadySeconds)
		}
		o.Observe = nil
		again, err := simulate.Run(t.Context(), simulate.Slice(arrivals), o)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, again); d != "" {
			t.Errorf("seed %d: the same again (-first +second):\n%s", seed, d)
		}
		sum.Served += r.Served
		sum.Rejected += r.Rejected
		sum.Failed += r.Failed
		sum.InFlight += r.InFlight
		sum.Cold += r.Cold
		sum.Stops += r.Stops
	}
	if sum.Served == 0 || sum.Rejected == 0 || sum.Failed == 0 || sum.InFlight == 0 || sum.Cold == 0 || sum.Stops == 0 {
		t.Errorf("want some of everything, got %+v", sum)
	}
}

// TestFunctionsAreWorlds: a function's figures do not depend on others beside it.
func TestFunctionsAreWorlds(t *testing.T) {
	for seed := range uint64(12) {
		o, arrivals := world(seed)
		if len(o.Functions) < 2 {
			continue
		}
		o.Until = arrivals[len(arrivals)-1].At
		o.Warm = 0
		both, err := simulate.Run(t.Context(), simulate.Slice(arrivals), o)
		if err != nil {
			t.Fatal(err)
		}
		var first []simulate.Arrival
		for _, a := range arrivals {
			if a.Function == 0 {
				first = append(first, a)
			}
		}
		alone, err := simulate.Run(t.Context(), simulate.Slice(first), o)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(both.Functions[0], alone.Functions[0]); d != "" {
			t.Errorf("seed %d (-among others +alone):\n%s", seed, d)
		}
	}
}

// TestRefused is what Run says of what makes no sense.
func TestRefused(t *testing.T) {
	good := func() *simulate.Options {
		return &simulate.Options{Functions: []simulate.Function{{Service: simulate.Constant(time.Second)}}, Policy: simulate.Fixed{}}
	}
	tests := []struct {
		name   string
		change func(*simulate.Options)
		src    []simulate.Arrival
		want   fault.Code
	}{
		{"no function", func(o *simulate.Options) { o.Functions = nil }, nil, fault.BadConfig},
		{"no policy", func(o *simulate.Options) { o.Policy = nil }, nil, fault.BadConfig},
		{"a table that falls", func(o *simulate.Options) {
			o.Functions[0].Service.Table = []simulate.RunTime{{2, time.Second}, {1, time.Second}}
		}, nil, fault.BadConfig},
		{"a spread that is none", func(o *simulate.Options) { o.Functions[0].Service.Spread = math.NaN() }, nil, fault.BadConfig},
		{"warm behind the end", func(o *simulate.Options) { o.Until, o.Warm = time.Second, time.Minute }, nil, fault.BadConfig},
		{"fixed", func(o *simulate.Options) { o.Policy = simulate.Fixed{Instances: -1} }, nil, fault.BadConfig},
		{"lambda", func(o *simulate.Options) { o.Policy = simulate.Lambda{Provisioned: 2, Max: 1} }, nil, fault.BadConfig},
		{"cloud run", func(o *simulate.Options) { o.Policy = simulate.CloudRun{Min: 3, Max: 2} }, nil, fault.BadConfig},
		{"azure", func(o *simulate.Options) { o.Policy = simulate.AzureFlex{Grow: -1} }, nil, fault.BadConfig},
		{"knative", func(o *simulate.Options) { o.Policy = simulate.Knative{StableWindow: time.Second} }, nil, fault.BadConfig},
		{"out of order", func(*simulate.Options) {}, []simulate.Arrival{{At: 2}, {At: 1}}, fault.Invalid},
		{"no such function", func(*simulate.Options) {}, []simulate.Arrival{{Function: 1}}, fault.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := good()
			tt.change(o)
			if _, err := simulate.Run(t.Context(), simulate.Slice(tt.src), o); fault.CodeOf(err) != tt.want {
				t.Errorf("want code %v, got %v", tt.want, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := simulate.Run(ctx, simulate.Slice(nil), good()); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("want code canceled, got %v", err)
	}
	if _, err := simulate.Run(t.Context(), broken{}, good()); err == nil || fault.CodeOf(err) == fault.Canceled {
		t.Errorf("want the source's error, got %v", err)
	}
}

type broken struct{}

func (broken) Next() (simulate.Arrival, error) { return simulate.Arrival{}, io.ErrUnexpectedEOF }
