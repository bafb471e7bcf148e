package kpa

import (
	"math"
	"time"
)

// Tick is how often the autoscaler decides.
const Tick = 2 * time.Second

// Spec is what a revision's annotations and the cluster's settings come to.
type Spec struct {
	// TargetValue of the metric (concurrency or requests per second) is aimed at
	// in each pod; TotalValue is the most that a pod may have.
	TargetValue, TotalValue float64
	// TargetBurstCapacity is the burst that pods must be able to take for the
	// activator to leave the path; -1: it never does, 0: always.
	TargetBurstCapacity float64
	// MaxScaleUpRate and MaxScaleDownRate bound a step, as factors of the ready pods.
	MaxScaleUpRate, MaxScaleDownRate float64
	// PanicThreshold is the ratio of wanted to ready pods from which on it panics.
	PanicThreshold float64
	// StableWindow is how long it panics after the last reason to.
	StableWindow time.Duration
	// ScaleDownDelay is how long fewer pods must be wanted before there are.
	ScaleDownDelay time.Duration
	// ActivationScale is the least number of pods but 0; below 2 it is off.
	ActivationScale int32
	// Reachable says that a route names the revision.
	Reachable bool
}

// Result is one decision.
type Result struct {
	Desired int32
	// Excess is the spare capacity beyond the burst; below 0 the activator is in
	// the path.
	Excess int32
}

// Scaler decides for one revision.
type Scaler struct {
	spec      Spec
	panicking bool
	panicAt   int64
	panicPods int32
	delay     *Max
}

// NewScaler begins with ready pods at now. With more than one it panics until
// a stable window has passed, since it knows nothing of the past.
func NewScaler(spec *Spec, ready int, now int64) *Scaler {
	s := &Scaler{spec: *spec, panicPods: int32(ready), panicking: ready > 1, panicAt: now}
	if spec.ScaleDownDelay > 0 {
		s.delay = NewMax(spec.ScaleDownDelay, Tick)
	}
	return s
}

// Update changes the spec. A delay cannot be given to a scaler without one.
func (s *Scaler) Update(spec *Spec) { s.spec = *spec }

// Panicking reports whether it only grows.
func (s *Scaler) Panicking() bool { return s.panicking }

// Scale is the step: ready pods, and the averages of the metric over the
// stable and the panic window.
func (s *Scaler) Scale(now int64, ready int, stable, panicValue float64) Result {
	p := &s.spec
	pods := math.Max(1, float64(ready))
	most, least := math.Ceil(p.MaxScaleUpRate*pods), 0.0
	if p.Reachable {
		least = math.Floor(pods / p.MaxScaleDownRate)
	}
	wantStable := math.Ceil(stable / p.TargetValue)
	wantPanic := math.Ceil(panicValue / p.TargetValue)
	desired := int32(math.Min(math.Max(wantStable, least), most))
	inPanic := int32(math.Min(math.Max(wantPanic, least), most))
	if p.ActivationScale > 1 {
		if wantStable > 0 {
			desired = max(desired, p.ActivationScale)
		}
		if wantPanic > 0 {
			inPanic = max(inPanic, p.ActivationScale)
		}
	}
	switch {
	case wantPanic/pods >= p.PanicThreshold:
		s.panicking, s.panicAt = true, now
	case s.panicking && s.panicAt+int64(p.StableWindow) < now:
		s.panicking, s.panicPods = false, 0
	}
	if s.panicking {
		s.panicPods = max(s.panicPods, desired, inPanic)
		desired = s.panicPods
	}
	if s.delay != nil && p.Reachable {
		s.delay.Record(now, desired)
		desired = s.delay.Current()
	}
	return Result{Desired: desired, Excess: p.excess(ready, panicValue)}
}

func (p *Spec) excess(ready int, observed float64) int32 {
	switch {
	case p.TargetBurstCapacity == 0:
		return 0
	case p.TargetBurstCapacity > 0:
		return int32(math.Floor(float64(ready)*p.TotalValue - p.TargetBurstCapacity - observed))
	}
	return -1
}
