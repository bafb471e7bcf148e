package kpa_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/simulate/kpa"
)

// A step of a scenario: at a time, with ready pods, the averages of both windows.
type step struct {
	at            time.Duration
	ready         int
	stable, panic float64
	want          int32
	calm          bool // wanted after the step; else panicking or not looked at
	panicking     bool
}

const start = int64(1_000_000 * time.Second)

// spec is the one of the scenarios: 60 s, a factor of 10 up and down, pods of
// which three quarters are aimed at.
func spec(target, burst float64) kpa.Spec {
	return kpa.Spec{
		TargetValue: target, TotalValue: target / 0.75, TargetBurstCapacity: burst, PanicThreshold: 2,
		MaxScaleUpRate: 10, MaxScaleDownRate: 10, StableWindow: time.Minute, Reachable: true,
	}
}

// TestScenarios has the situations of the tests that Knative has for its own
// autoscaler, in our words.
func TestScenarios(t *testing.T) {
	with := func(s kpa.Spec, change func(*kpa.Spec)) kpa.Spec {
		change(&s)
		return s
	}
	delayed := with(spec(10, 0), func(s *kpa.Spec) { s.PanicThreshold, s.ScaleDownDelay = 100, 5*time.Minute })
	tests := []struct {
		name  string
		spec  kpa.Spec
		ready int // when it begins
		steps []step
	}{
		{"no load means no pods", spec(10, 100), 1, []step{{ready: 1, want: 0, calm: true}}},
		{"load over target, rounded up", spec(10, 101), 1, []step{
			{ready: 1, stable: 50, panic: 10, want: 5, calm: true}, {at: 2 * time.Second, ready: 1, stable: 100, panic: 10, want: 10, calm: true}}},
		{"as many as there are", spec(10, 100), 1, []step{{ready: 5, stable: 50, panic: 50, want: 5, calm: true}}},
		{"down", spec(10, 98), 1, []step{{ready: 8, stable: 100, panic: 100, want: 10, calm: true}, {at: 2 * time.Second, ready: 8, stable: 50, panic: 50, want: 5, calm: true}}},
		{"to zero", spec(10, 75), 1, []step{{ready: 1, stable: 1, want: 1, calm: true}, {at: 2 * time.Second, ready: 1, want: 0, calm: true}}},
		{"a small rate still grows", with(spec(1, 1982), func(s *kpa.Spec) { s.MaxScaleUpRate = 1.1 }), 0, []step{{ready: 2, stable: 3, panic: 3.1, want: 3}}},
		{"a small rate shrinks little", with(spec(10, 1982), func(s *kpa.Spec) { s.MaxScaleDownRate = 1.1 }), 0, []step{{ready: 100, stable: 1, panic: 1, want: 90}}},
		{"nobody reaches it: no bound below", with(spec(10, 1982), func(s *kpa.Spec) { s.MaxScaleDownRate, s.Reachable = 1.1, false }), 0, []step{{ready: 100, stable: 1, panic: 1, want: 1}}},
		{"bounded steps up", spec(10, 61), 1, []step{{ready: 1, stable: 1000, panic: 1001, want: 10}, {ready: 10, stable: 1000, panic: 1001, want: 100}}},
		{"bounded steps down", spec(10, 61), 1, []step{{ready: 100, stable: 1, panic: 1, want: 10}, {ready: 10, stable: 1, panic: 1, want: 1}}},
		{"zero pods count as one", spec(10, 81), 1, []step{{ready: 0, stable: 1000, panic: 888, want: 10}}},
		{"activation scale", with(spec(10, 75), func(s *kpa.Spec) { s.ActivationScale = 2 }), 1, []step{
			{ready: 1, want: 0}, {at: 2 * time.Second, ready: 1, stable: 1, want: 2}}},
		{"twice as much panics", spec(10, 84), 1, []step{{ready: 1, stable: 50, panic: 100, want: 10, panicking: true}}},
		{"panic holds the most, then lets go", spec(10, 93), 1, []step{
			{ready: 1, stable: 100, panic: 100, want: 10, panicking: true},
			{at: time.Second, ready: 10, stable: 100, panic: 1000, want: 100, panicking: true},
			{at: 31 * time.Second, ready: 10, stable: 1, panic: 1, want: 100, panicking: true},
			{at: 61 * time.Second, ready: 10, stable: 1, panic: 1, want: 100, panicking: true}, // not yet longer than the window
			{at: 62 * time.Second, ready: 10, stable: 1, panic: 1, want: 1, calm: true}}},
		{"panic is prolonged while it lasts", spec(1, 98), 1, []step{
			{ready: 10, stable: 11, panic: 25, want: 25, panicking: true},
			{at: 30 * time.Second, ready: 40, stable: 30, panic: 80, want: 80, panicking: true},
			{at: 80 * time.Second, ready: 80, stable: 50, panic: 60, want: 80, panicking: true},
			{at: 92 * time.Second, ready: 80, stable: 50, panic: 60, want: 50, calm: true}}},
		{"panic ends after a slow rise", spec(1, 98), 1, []step{
			{ready: 10, stable: 11, panic: 25, want: 25, panicking: true},
			{at: 30 * time.Second, ready: 40, stable: 30, panic: 41, want: 41, panicking: true},
			{at: 62 * time.Second, ready: 55, stable: 50, panic: 56, want: 50, calm: true}}},
		{"in panic the stable average counts too", spec(1, 100), 5, []step{{at: 5 * time.Second, ready: 5, stable: 50, panic: 30, want: 50, panicking: true}}},
		{"and the one of panic", spec(1, 100), 5, []step{{at: 5 * time.Second, ready: 5, stable: 20, panic: 30, want: 30, panicking: true}}},
		{"pods at the start are kept", spec(10, 100), 20, []step{{at: 2 * time.Second, ready: 20, stable: 1, panic: 1, want: 20, panicking: true}}},
		{"exponential rise", spec(1, 101), 1, []step{
			{ready: 1, stable: 6, panic: 6, want: 6}, {ready: 6, stable: 36, panic: 36, want: 36}, {at: time.Second, ready: 36, stable: 216, panic: 216, want: 216},
			{at: time.Second, ready: 216, stable: 1296, panic: 1296, want: 1296}, {at: 2 * time.Second, ready: 1296, stable: 1296, panic: 1296, want: 1296}}},
		{"delay: a step down waits", delayed, 0, []step{
			{at: 2 * time.Second, stable: 40, panic: 40, want: 4}, {at: 5 * time.Minute, want: 4}, {at: 5*time.Minute + 2*time.Second, want: 0}}},
		{"delay: the largest of the window", delayed, 0, []step{
			{at: 9 * time.Minute, stable: 40, panic: 40, want: 4}, {at: 10 * time.Minute, stable: 30, panic: 30, want: 4}, {at: 11 * time.Minute, want: 4},
			{at: 14 * time.Minute, want: 3}, {at: 15 * time.Minute, want: 0}}},
		{"delay: none where nobody reaches it", with(delayed, func(s *kpa.Spec) { s.Reachable = false }), 0, []step{
			{at: 2 * time.Second, stable: 40, panic: 40, want: 4}, {at: time.Minute, want: 0}}},
		{"no delay: at once", with(delayed, func(s *kpa.Spec) { s.ScaleDownDelay = 0 }), 0, []step{
			{stable: 40, panic: 40, want: 4}, {at: 500 * time.Millisecond, stable: 20, panic: 20, want: 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := kpa.NewScaler(&tt.spec, tt.ready, start)
			for k, at := range tt.steps {
				got := s.Scale(start+int64(at.at), at.ready, at.stable, at.panic)
				if got.Desired != at.want {
					t.Errorf("step %d: want %d pods, got %d", k, at.want, got.Desired)
				}
				if at.calm && s.Panicking() || at.panicking && !s.Panicking() {
					t.Errorf("step %d: panicking is %v", k, s.Panicking())
				}
			}
		})
	}
}

// TestExcess is what is spare: capacity less the burst and what is seen.
func TestExcess(t *testing.T) {
	tests := []struct {
		name  string
		burst float64
		ready int
		seen  float64
		want  int32
	}{
		{"always in the path", -1, 100, 0, -1},
		{"never", 0, 1, 1e6, 0},
		{"no pods have no capacity", 10, 0, 0, -10},
		{"rounded down", 100, 1, 50, int32(math.Floor(10/0.75 - 150))},
		{"spare", 100, 20, 50, int32(math.Floor(200/0.75 - 150))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := spec(10, tt.burst)
			got := kpa.NewScaler(&p, 1, start).Scale(start, tt.ready, tt.seen, tt.seen).Excess
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestIdleIsZeros: catching up with seconds of nothing is the same as recording them.
func TestIdleIsZeros(t *testing.T) {
	for name, make := range map[string]func(time.Duration) kpa.Averager{
		"plain":    func(d time.Duration) kpa.Averager { return kpa.NewWindow(d) },
		"weighted": func(d time.Duration) kpa.Averager { return kpa.NewWeighted(d) },
	} {
		t.Run(name, func(t *testing.T) {
			slow, fast := make(7500*time.Millisecond), make(7500*time.Millisecond)
			at := start
			record := func(v float64) {
				at += int64(time.Second)
				slow.Record(at, v)
				fast.Record(at, v)
			}
			for _, v := range []float64{3, 0.1, 7, 0, 0, 0, 0, 0, 0, 0} {
				record(v)
				if fast.Still() {
					t.Fatal("want a window that remembers, got a still one")
				}
			}
			record(0)
			for range 40 {
				at += int64(time.Second)
				slow.Record(at, 0)
			}
			fast.Idle(at)
			for k := range 30 {
				record(float64(k%4) / 3)
				if a, b := slow.Average(at), fast.Average(at); a != b {
					t.Fatalf("second %d: want %v, got %v", k, a, b)
				}
			}
		})
	}
}

// BenchmarkSecond is one virtual second of a revision: a report into both
// windows, and half a decision.
func BenchmarkSecond(b *testing.B) {
	p := spec(0.7, 211)
	s := kpa.NewScaler(&p, 1, start)
	stable, panicking := kpa.NewWindow(time.Minute), kpa.NewWindow(6*time.Second)
	b.ReportAllocs()
	for n := range b.N {
		now := start + int64(n)*int64(time.Second)
		v := float64(n % 17)
		stable.Record(now, v)
		panicking.Record(now, v)
		if n%2 == 0 {
			s.Scale(now, n%20, stable.Average(now), panicking.Average(now))
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "virtual-s/s")
}
