package conformance

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/autoscaler/aggregation"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"

	"godwit.dev/internal/simulate/kpa"
)

var kpaTicks = flag.Int("kpa.ticks", 200_000, "random decisions that our autoscaler is compared in with Knative's")

// original is Knative's autoscaler with what it asks: its own windows, and a
// number of ready pods.
type original struct {
	stable, panic averager
	empty         bool // no data counts as such
	ready         int
	scaler        scaling.UniScaler
}

type averager interface {
	Record(time.Time, float64)
	WindowAverage(time.Time) float64
	IsEmpty(time.Time) bool
}

func (o *original) averages(now time.Time) (stable, panicking float64, err error) {
	if o.empty && o.stable.IsEmpty(now) {
		return 0, 0, metrics.ErrNoData
	}
	return o.stable.WindowAverage(now), o.panic.WindowAverage(now), nil
}

func (o *original) StableAndPanicConcurrency(_ types.NamespacedName, now time.Time) (stable, panicking float64, err error) {
	return o.averages(now)
}

func (o *original) StableAndPanicRPS(_ types.NamespacedName, now time.Time) (stable, panicking float64, err error) {
	return o.averages(now)
}

func (o *original) ReadyCount() (int, error)    { return o.ready, nil }
func (o *original) NotReadyCount() (int, error) { return 0, nil }

// seen counts what the random sequences came by, so that a test that compares
// nothing of interest fails.
type seen struct {
	ticks, panics, calms, zero, noData, bounded, delayed, activated, started, updated, weighted, rps int
}

// TestAutoscalerIsKnatives feeds Knative's autoscaler and our port of it the
// same random seconds: metrics through the windows of each, ready pods, and
// changes of the spec. No decision may differ, nor any average by one bit.
func TestAutoscalerIsKnatives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the original's constructor looks at the clock
		var s seen
		began := time.Now()
		for seed := uint64(0); s.ticks < *kpaTicks; seed++ {
			if err := compareEpisode(seed, began, &s); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		t.Logf("%+v", s)
		for name, n := range map[string]int{
			"panics": s.panics, "ends of panics": s.calms, "zero pods": s.zero, "no data": s.noData, "bounds": s.bounded,
			"delays": s.delayed, "activation scales": s.activated, "starts with pods": s.started, "updates": s.updated,
			"weighted windows": s.weighted, "requests per second": s.rps,
		} {
			if n < s.ticks/20000 {
				t.Errorf("want %s among %d decisions, got %d", name, s.ticks, n)
			}
		}
	})
}

// randomSpec has Knative's defaults about half of the time in each field.
func randomSpec(r *rand.Rand) (theirs scaling.DeciderSpec, ours kpa.Spec, stable, panicking time.Duration) {
	pick := func(usual float64, others ...float64) float64 {
		if r.IntN(2) == 0 {
			return usual
		}
		return others[r.IntN(len(others))]
	}
	seconds := func(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }
	stable = seconds(pick(60, 6, 10, 75, 120, 599))
	panicking = time.Duration(float64(stable) * pick(0.1, 0.01, 0.33, 1))
	panicking = max(panicking, time.Second)
	ours = kpa.Spec{
		TargetValue: pick(70, 0.7, 1, 7, 3.3, 140), TargetBurstCapacity: pick(211, -1, 0, 10, 1000),
		MaxScaleUpRate: pick(1000, 1.1, 2, 10), MaxScaleDownRate: pick(2, 1.1, 10, 1.5), PanicThreshold: pick(2, 1.1, 10, 5),
		StableWindow: stable, ScaleDownDelay: seconds(pick(0, 1, 7, 30, 300)), ActivationScale: int32(pick(0, 1, 2, 5)),
		Reachable: r.IntN(8) > 0,
	}
	ours.TotalValue = ours.TargetValue / pick(0.7, 0.1, 1)
	theirs = scaling.DeciderSpec{
		MaxScaleUpRate: ours.MaxScaleUpRate, MaxScaleDownRate: ours.MaxScaleDownRate, ScalingMetric: autoscaling.Concurrency,
		TargetValue: ours.TargetValue, TotalValue: ours.TotalValue, TargetBurstCapacity: ours.TargetBurstCapacity,
		PanicThreshold: ours.PanicThreshold, StableWindow: stable, ScaleDownDelay: ours.ScaleDownDelay,
		Reachable: ours.Reachable, ActivationScale: ours.ActivationScale,
	}
	return theirs, ours, stable, panicking
}

// load is a random course of a metric: calm, off, or a burst, for some seconds each.
type load struct {
	r     *rand.Rand
	level float64
	left  int
}

func (l *load) next() float64 {
	if l.left == 0 {
		l.left = 1 + l.r.IntN(90)
		l.level = []float64{0, 0, 0.3, 5, 80, 900, 20000}[l.r.IntN(7)]
	}
	l.left--
	return l.level * (0.5 + l.r.Float64())
}

// compareEpisode lets both autoscalers live through some minutes.
func compareEpisode(seed uint64, began time.Time, s *seen) error {
	r := rand.New(rand.NewPCG(seed, 20))
	theirSpec, ourSpec, stable, panicking := randomSpec(r)
	weighted := r.IntN(3) == 0
	o := &original{empty: ourSpec.TargetBurstCapacity != -1}
	ourStable, ourPanic := kpa.Averager(kpa.NewWindow(stable)), kpa.Averager(kpa.NewWindow(panicking))
	o.stable, o.panic = aggregation.NewTimedFloat64Buckets(stable, time.Second), aggregation.NewTimedFloat64Buckets(panicking, time.Second)
	if weighted {
		s.weighted++
		ourStable, ourPanic = kpa.NewWeighted(stable), kpa.NewWeighted(panicking)
		o.stable, o.panic = aggregation.NewWeightedFloat64Buckets(stable, time.Second), aggregation.NewWeightedFloat64Buckets(panicking, time.Second)
	}
	if r.IntN(3) == 0 {
		theirSpec.ScalingMetric = autoscaling.RPS
		s.rps++
	}
	if r.IntN(2) == 0 {
		o.ready = r.IntN(20)
	}
	if o.ready > 1 {
		s.started++
	}
	o.scaler = scaling.New(*attribute.EmptySet(), noop.NewMeterProvider(), "n", "r", o, o, &theirSpec)
	ours := kpa.NewScaler(&ourSpec, o.ready, began.UnixNano())
	logger := zap.NewNop().Sugar()
	course := &load{r: r}
	now := began.Add(time.Duration(r.Int64N(int64(2 * time.Second))))
	was := ours.Panicking()
	for range 200 + r.IntN(800) {
		for range r.IntN(5) { // reports since the last decision; sometimes none
			at := now.Add(-time.Duration(r.Int64N(int64(2 * time.Second))))
			if r.IntN(50) == 0 {
				at = now.Add(-time.Duration(r.Int64N(int64(2 * stable)))) // late, or too late
			}
			v := course.next()
			o.stable.Record(at, v)
			o.panic.Record(at, v)
			ourStable.Record(at.UnixNano(), v)
			ourPanic.Record(at.UnixNano(), v)
		}
		if r.IntN(100) == 0 { // another spec of the same revision
			s.updated++
			ourSpec.TargetValue *= 0.5 + r.Float64()
			ourSpec.TotalValue = ourSpec.TargetValue / 0.7
			ourSpec.Reachable = r.IntN(3) > 0
			update := theirSpec
			update.TargetValue, update.TotalValue, update.Reachable = ourSpec.TargetValue, ourSpec.TotalValue, ourSpec.Reachable
			theirSpec = update
			o.scaler.Update(&update)
			ours.Update(&ourSpec)
		}
		s.ticks++
		want := o.scaler.Scale(logger, now)
		if empty := o.empty && ourStable.Empty(now.UnixNano()); empty != !want.ScaleValid {
			return fmt.Errorf("decision %d: want a valid one: %v, got no data: %v", s.ticks, want.ScaleValid, empty)
		} else if empty {
			s.noData++
		} else {
			a, b := ourStable.Average(now.UnixNano()), ourPanic.Average(now.UnixNano())
			if x, y, _ := o.averages(now); math.Float64bits(x) != math.Float64bits(a) || math.Float64bits(y) != math.Float64bits(b) {
				return fmt.Errorf("decision %d: want averages %v and %v, got %v and %v", s.ticks, x, y, a, b)
			}
			got := ours.Scale(now.UnixNano(), o.ready, a, b)
			if got.Desired != want.DesiredPodCount || got.Excess != want.ExcessBurstCapacity {
				return fmt.Errorf("decision %d: %d ready, averages %v and %v: want %d pods and %d to spare, got %d and %d",
					s.ticks, o.ready, a, b, want.DesiredPodCount, want.ExcessBurstCapacity, got.Desired, got.Excess)
			}
			s.look(&ourSpec, o.ready, a, got, was, ours.Panicking())
			was = ours.Panicking()
			o.ready = follow(r, o.ready, int(got.Desired))
		}
		now = now.Add(2 * time.Second)
		switch r.IntN(60) {
		case 0:
			now = now.Add(time.Duration(r.Int64N(int64(3 * stable)))) // stalled
		case 1:
			now = now.Add(-time.Duration(r.Int64N(int64(2 * time.Second)))) // poked
		}
	}
	return nil
}

// follow has the ready pods go to what is wanted, with delay, failures, and zero.
func follow(r *rand.Rand, ready, want int) int {
	switch r.IntN(8) {
	case 0:
		return 0
	case 1:
		return ready
	case 2:
		return r.IntN(3 * (ready + 1))
	case 3:
		return (ready + want) / 2
	}
	return min(want, 100_000)
}

func (s *seen) look(spec *kpa.Spec, ready int, stable float64, got kpa.Result, was, is bool) {
	count := func(n *int, yes bool) {
		if yes {
			*n++
		}
	}
	wish := math.Ceil(stable / spec.TargetValue)
	count(&s.panics, is && !was)
	count(&s.calms, was && !is)
	count(&s.zero, ready == 0)
	count(&s.bounded, !is && float64(got.Desired) < wish)
	count(&s.delayed, spec.ScaleDownDelay > 0 && spec.Reachable && float64(got.Desired) > wish)
	count(&s.activated, spec.ActivationScale > 1 && got.Desired == spec.ActivationScale)
}
