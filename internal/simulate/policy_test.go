package simulate_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/simulate"
)

const (
	sec = time.Second
	ms  = time.Millisecond
)

// seen is what became of one request.
type seen struct {
	Took   time.Duration
	Cold   bool
	Status simulate.Status
}

// TestPolicies has small worlds that can be worked out by hand: runs of 100 ms,
// starts of a second.
func TestPolicies(t *testing.T) {
	warm, cold, refused := seen{100 * ms, false, simulate.Served}, seen{1100 * ms, true, simulate.Served}, seen{0, false, simulate.Rejected}
	always := simulate.Dist{P50: 5 * time.Minute}
	tests := []struct {
		name   string
		policy simulate.Policy
		at     []time.Duration
		until  time.Duration
		want   []seen
		starts int64
		ready  float64 // s
	}{
		{"lambda: one request in an environment", simulate.Lambda{KeepAlive: always}, []time.Duration{0, 0, 2 * sec}, 0, []seen{cold, cold, warm}, 2, 2 * 1.1},
		{"lambda: a second one does not wait for the first", simulate.Lambda{KeepAlive: always}, []time.Duration{0, 1050 * ms, 3 * sec}, 0, []seen{cold, cold, warm}, 2, 2.1 + 1.05},
		{"lambda: kept alive", simulate.Lambda{KeepAlive: always}, []time.Duration{0, 1100*ms + 299*sec}, 0, []seen{cold, warm}, 1, 299.2},
		{"lambda: not for ever", simulate.Lambda{KeepAlive: always}, []time.Duration{0, 1100*ms + 301*sec}, 0, []seen{cold, cold}, 2, 300.1 + 0.1},
		{"lambda: the last used first, so that the other goes", simulate.Lambda{KeepAlive: always}, []time.Duration{0, 0, 100 * sec, 200 * sec, 302 * sec, 302 * sec}, 0, []seen{cold, cold, warm, warm, warm, cold}, 3, 300.1 + 302.1 + 0.1},
		{"lambda: limit", simulate.Lambda{KeepAlive: always, Max: 1}, []time.Duration{0, 1, 2 * sec}, 0, []seen{cold, refused, warm}, 1, 1.1},
		{"lambda: growth", simulate.Lambda{KeepAlive: always, Burst: 1, Per: 10 * sec}, []time.Duration{0, 5 * sec, 5 * sec, 11 * sec, 11 * sec}, 0, []seen{cold, warm, refused, warm, cold}, 2, 0},
		{"lambda: provisioned", simulate.Lambda{KeepAlive: always, Provisioned: 2}, []time.Duration{0, 0, 0}, 0, []seen{warm, warm, cold}, 1, 0},
		{"cloud run: as many as an instance may have", simulate.CloudRun{Concurrency: 2}, []time.Duration{0, 0, 0}, 0, []seen{cold, cold, cold}, 2, 0},
		{"cloud run: waits for room where no more may be started", simulate.CloudRun{Concurrency: 1, Max: 1}, []time.Duration{0, 0, 0}, 0, []seen{cold, {1200 * ms, true, simulate.Served}, {1300 * ms, true, simulate.Served}}, 1, 0},
		{"cloud run: but not for long", simulate.CloudRun{Concurrency: 1, Max: 1, Wait: 1050 * ms}, []time.Duration{0, 0}, 0, []seen{cold, {1050 * ms, false, simulate.Rejected}}, 1, 0},
		{"cloud run: idle instances go", simulate.CloudRun{Idle: time.Minute}, []time.Duration{0, 100 * sec}, 200 * sec, []seen{cold, cold}, 2, 2 * 60.1},
		{"cloud run: at least one", simulate.CloudRun{Min: 1, Idle: time.Minute}, []time.Duration{0, 100 * sec}, 200 * sec, []seen{warm, warm}, 0, 200},
		{"azure: growth by one in a second", simulate.AzureFlex{Concurrency: 1, Idle: time.Hour}, []time.Duration{0, 0, 0, 0}, 0,
			[]seen{cold, {1200 * ms, true, simulate.Served}, {1300 * ms, true, simulate.Served}, {1400 * ms, true, simulate.Served}}, 1, 0},
		{"azure: always ready", simulate.AzureFlex{Concurrency: 1, AlwaysReady: 2}, []time.Duration{0, 0}, 0, []seen{warm, warm}, 0, 0},
		{"fixed: a queue before the fleet", simulate.Fixed{Instances: 2, Concurrency: 1, Queue: 1}, []time.Duration{0, 0, 0, 0}, 0, []seen{warm, warm, {200 * ms, false, simulate.Served}, refused}, 0, 2 * 0.2},
		{"knative: from zero", simulate.Knative{Concurrency: 2}, []time.Duration{0}, 0, []seen{cold}, 1, 0.1},
		{"knative: at least one", simulate.Knative{MinScale: 1}, []time.Duration{0, time.Hour}, 2 * time.Hour, []seen{warm, warm}, 0, 7200},
		{"knative: at most one", simulate.Knative{Concurrency: 1, MaxScale: 1}, []time.Duration{0, 0, 0}, 0, []seen{cold, {1200 * ms, true, simulate.Served}, {1300 * ms, true, simulate.Served}}, 1, 0},
		{"knative: one is kept", simulate.Knative{KeepOne: true}, []time.Duration{0, time.Hour}, 2 * time.Hour, []seen{cold, warm}, 1, 7199},
		{"knative: patience", simulate.Knative{Wait: 500 * ms}, []time.Duration{0}, 10 * sec, []seen{{500 * ms, false, simulate.Rejected}}, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var in []simulate.Arrival
			for k, at := range tt.at {
				in = append(in, simulate.Arrival{At: at, Service: 100*ms + time.Duration(k)})
			}
			got := make([]seen, len(tt.at))
			next := map[time.Duration][]int{}
			for k, at := range tt.at {
				next[at] = append(next[at], k)
			}
			r, err := simulate.Run(t.Context(), simulate.Slice(in), &simulate.Options{
				Until: tt.until, Policy: tt.policy,
				Functions: []simulate.Function{{Runs: 4, Start: simulate.Lifecycle{Start: simulate.Dist{P50: 600 * ms}, Load: simulate.Dist{P50: 400 * ms}}}},
				Observe: func(o *simulate.Outcome) {
					k := next[o.Arrived][0] // of one moment, in the order of their ends
					next[o.Arrived] = next[o.Arrived][1:]
					got[k] = seen{(o.Done - o.Arrived).Round(ms), o.Cold, o.Status}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			// Of one moment, the order of ends is not that of the table.
			if d := cmp.Diff(sorted(tt.want), sorted(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if r.Starts != tt.starts {
				t.Errorf("want %d starts, got %d", tt.starts, r.Starts)
			}
			if tt.ready > 0 && math.Abs(r.ReadySeconds-tt.ready) > 0.001 {
				t.Errorf("want instances for %.3f s, got %.3f", tt.ready, r.ReadySeconds)
			}
			if s := r.Starting; math.Abs(s.Start-0.6*float64(r.Starts)) > 1e-9 || math.Abs(s.Load-0.4*float64(r.Starts)) > 1e-9 {
				t.Errorf("want phases of %d starts, got %+v", r.Starts, s)
			}
		})
	}
}

func sorted(all []seen) map[seen]int {
	n := map[seen]int{}
	for _, s := range all {
		n[s]++
	}
	return n
}

// TestKnativeGoesToZero: one request, and the pod is gone after the window in
// which it was active, and not before; a grace period later where the activator
// was out of the path.
func TestKnativeGoesToZero(t *testing.T) {
	none, some := 0.0, 211.0
	tests := []struct {
		name     string
		policy   simulate.Knative
		from, to time.Duration // the time that the pod was there
	}{
		{"at once", simulate.Knative{BurstCapacity: &some}, 58 * sec, 66 * sec},
		{"after the grace period", simulate.Knative{BurstCapacity: &none}, 88 * sec, 96 * sec},
		{"retained", simulate.Knative{BurstCapacity: &some, Retention: 100 * sec}, 158 * sec, 166 * sec},
		{"a shorter window", simulate.Knative{BurstCapacity: &some, StableWindow: 10 * sec}, 8 * sec, 16 * sec},
		{"there from the beginning", simulate.Knative{Initial: 1}, 60 * sec, 66 * sec},
		{"a delay", simulate.Knative{BurstCapacity: &some, StableWindow: 10 * sec, ScaleDownDelay: 100 * sec}, 100 * sec, 120 * sec},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := []simulate.Arrival{{At: sec, Service: 100 * ms}}
			if tt.policy.Initial > 0 {
				in = nil
			}
			for seed := range uint64(20) {
				r, err := simulate.Run(t.Context(), simulate.Slice(in), &simulate.Options{
					Seed: seed, Until: time.Hour, Policy: tt.policy, Functions: []simulate.Function{{Start: simulate.Lifecycle{Start: simulate.Dist{P50: sec}}}},
				})
				if err != nil {
					t.Fatal(err)
				}
				if up := time.Duration(r.ReadySeconds * 1e9); r.Stops != 1 || up < tt.from || up > tt.to {
					t.Errorf("seed %d: want a pod for %v to %v, got %v and %d stops", seed, tt.from, tt.to, up, r.Stops)
				}
			}
		})
	}
}

// TestKnativeReports: what the activator reported at once it does not report again.
func TestKnativeReports(t *testing.T) {
	var got []simulate.Decision
	_, err := simulate.Run(t.Context(), simulate.Slice([]simulate.Arrival{{At: sec, Service: 100 * ms}}), &simulate.Options{
		Until: 4 * sec, Policy: simulate.Knative{Concurrency: 1, Phases: &simulate.KnativePhases{Report: 500 * ms, Decide: 900 * ms}},
		Functions: []simulate.Function{{Start: simulate.Lifecycle{Start: simulate.Dist{P50: 10 * sec}}}},
		Decided:   func(d *simulate.Decision) { got = append(got, *d) },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []simulate.Decision{
		{At: sec, Stable: 1, Panic: 1, Panicking: true, Desired: 2, Applied: 2},       // poked
		{At: 2900 * ms, Stable: 1, Panic: 1, Panicking: true, Desired: 2, Applied: 2}, // a second with the first report, and one with the next
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestAsleepIsAwake: ticks that are left out while nothing happens change nothing.
func TestAsleepIsAwake(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		var in []simulate.Arrival
		at := time.Duration(0)
		for len(in) < 400 {
			at += time.Duration(r.ExpFloat64() * float64([]time.Duration{20 * ms, 20 * ms, sec, 4 * time.Minute}[r.IntN(4)]))
			in = append(in, simulate.Arrival{At: at})
		}
		o := &simulate.Options{
			Seed: seed, Until: at + 10*time.Minute, Step: 100 * sec,
			Policy: simulate.Knative{Concurrency: 1 + r.IntN(3), MinScale: r.IntN(3), KeepOne: r.IntN(4) == 0, Weighted: r.IntN(3) == 0, RPS: r.IntN(4) == 0,
				StableWindow: []time.Duration{0, 10 * sec}[r.IntN(2)], MaxScale: 20},
			Functions: []simulate.Function{{Service: simulate.Service{Table: simulate.Constant(200 * ms).Table, Spread: 2}, Start: simulate.Lifecycle{Start: simulate.Dist{P50: sec, P99: 3 * sec}}}},
		}
		asleep, err := simulate.Run(t.Context(), simulate.Slice(in), o)
		if err != nil {
			t.Fatal(err)
		}
		simulate.Awake(o)
		awake, err := simulate.Run(t.Context(), simulate.Slice(in), o)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(awake, asleep); d != "" {
			t.Errorf("seed %d, %+v (-awake +asleep):\n%s", seed, o.Policy, d)
		}
	}
}
