package simulate

import (
	"math"
	"time"

	"godwit.dev/internal/simulate/kpa"
	"godwit.dev/runtime/fault"
)

// Knative is Knative Serving with its own autoscaler (KPA): package kpa's
// decisions each two seconds from averages over windows, and around them our
// model of what is not in those: metrics that are reported each second, the
// activator that keeps requests while there is no pod, scale to zero, and the
// proxies in the pods. Zero values are Knative's defaults.
type Knative struct {
	// Concurrency is the revision's containerConcurrency: the most requests in a
	// pod's container. 0: any number.
	Concurrency int
	// Target is what is aimed at in each pod before Utilization: concurrency, or
	// requests per second with RPS. 0: Concurrency, else 100; 200 with RPS.
	Target      float64
	RPS         bool
	Utilization float64 // 0 means 0.7

	MinScale, MaxScale int // 0: from none to any number
	// Initial is how many pods there are when the trace begins, beside MinScale.
	Initial         int
	ActivationScale int // least number but 0; from 2 on

	StableWindow     time.Duration // 0 means 60 s
	PanicWindow      float64       // share of StableWindow; 0 means 0.1
	PanicThreshold   float64       // wanted over ready pods; 0 means 2
	MaxScaleUpRate   float64       // 0 means 1000
	MaxScaleDownRate float64       // 0 means 2
	ScaleDownDelay   time.Duration // 0: none
	// Weighted averages weigh newer seconds more.
	Weighted bool
	// BurstCapacity is target-burst-capacity: -1 keeps the activator in the path,
	// 0 takes it out. nil means 211.
	BurstCapacity *float64

	Grace     time.Duration // scale-to-zero-grace-period; 0 means 30 s
	Retention time.Duration // scale-to-zero-pod-retention-period
	KeepOne   bool          // enable-scale-to-zero: "false"
	// Wait is how long the activator keeps a request. 0 means 300 s.
	Wait time.Duration

	// Phases are when the periodic parts do what they do. nil: drawn.
	Phases *KnativePhases
}

// KnativePhases are moments within periods: the activator reports and pods are scraped
// once a second, the autoscaler decides each two seconds.
type KnativePhases struct{ Report, Scrape, Decide time.Duration }

// activatorQueue is how many requests the activator keeps, and podQueue how
// many a pod's proxy does, times Concurrency.
const (
	activatorQueue = 10000
	podQueue       = 10
)

func (p Knative) check() error {
	if p.Concurrency < 0 || p.MinScale < 0 || p.MaxScale < 0 || p.Initial < 0 || p.ActivationScale < 0 || p.MaxScale > 0 && p.MinScale > p.MaxScale ||
		!(p.Target >= 0 && p.Utilization >= 0 && p.PanicWindow >= 0 && p.PanicThreshold >= 0 && p.MaxScaleUpRate >= 0 && p.MaxScaleDownRate >= 0) ||
		p.StableWindow < 0 || p.ScaleDownDelay < 0 || p.Grace < 0 || p.Retention < 0 || p.Wait < 0 ||
		p.StableWindow > 0 && p.StableWindow < 6*time.Second || p.Phases != nil && min(p.Phases.Report, p.Phases.Scrape, p.Phases.Decide) < 0 || p.PanicWindow > 1 || p.Utilization > 1 {
		return fault.New(fault.BadConfig, "simulate.Run", "Knative",
			"want nothing below 0, shares of at most 1, a window of at least 6 s and no more at least than at most, got %+v", p)
	}
	return nil
}

func (p Knative) control(c *cell) controller {
	p.StableWindow, p.PanicWindow = or(p.StableWindow, time.Minute), or(p.PanicWindow, 0.1)
	p.Grace, p.Utilization = or(p.Grace, 30*time.Second), or(p.Utilization, 0.7)
	total := p.Target
	switch {
	case total == 0 && p.RPS:
		total = 200
	case total == 0:
		total = or(float64(p.Concurrency), 100)
	case !p.RPS && p.Concurrency > 0:
		total = math.Min(total, float64(p.Concurrency))
	}
	// The revision was there before the trace, behind the activator.
	k := &knative{Knative: p, cell: c, burst: 211, state: inactive, proxied: true, proxySince: -int64(24 * time.Hour)}
	if p.BurstCapacity != nil {
		k.burst = *p.BurstCapacity
	}
	k.spec = kpa.Spec{
		TargetValue: math.Max(0.01, total*p.Utilization), TotalValue: total, TargetBurstCapacity: k.burst,
		MaxScaleUpRate: or(p.MaxScaleUpRate, 1000), MaxScaleDownRate: or(p.MaxScaleDownRate, 2), PanicThreshold: or(p.PanicThreshold, 2),
		StableWindow: p.StableWindow, ScaleDownDelay: p.ScaleDownDelay, ActivationScale: int32(p.ActivationScale), Reachable: true,
	}
	panicWindow := time.Duration(float64(p.StableWindow) * p.PanicWindow)
	k.stable, k.panic = kpa.Averager(kpa.NewWindow(p.StableWindow)), kpa.Averager(kpa.NewWindow(panicWindow))
	if p.Weighted {
		k.stable, k.panic = kpa.NewWeighted(p.StableWindow), kpa.NewWeighted(panicWindow)
	}
	c.limit = int64(or(p.Wait, 300*time.Second))
	return k
}

// knative is the control plane of one revision.
type knative struct {
	Knative
	cell          *cell
	spec          kpa.Spec
	burst         float64
	scaler        *kpa.Scaler
	stable, panic kpa.Averager

	nextReport, nextScrape, nextDecide int64 // each on its own phase
	known                              bool  // the activator keeps count of the revision
	first                              float64
	reported                           int64

	desired    int // of the last decision; -1: none yet
	applied    int
	excess     int32
	state      uint8
	stateSince int64
	proxied    bool // the activator is in the path
	proxySince int64
	turn       int
	lastStable float64
	lastPanic  float64
	salt       uint64
}

// The states of the revision's PodAutoscaler.
const (
	inactive uint8 = iota
	activating
	active
)

func (k *knative) begin() {
	c := k.cell
	pods := max(k.MinScale, k.Initial)
	for range pods {
		c.warmed()
	}
	k.applied, k.desired = pods, pods
	if pods > 0 {
		k.state = active
	}
	k.scaler = kpa.NewScaler(&k.spec, pods, epoch)
	k.excess = -1
	if k.burst == 0 {
		k.excess = 0
	}
	k.salt = c.rng.Uint64()
	second := int64(time.Second)
	k.nextReport, k.nextScrape = c.rng.Int64N(second), c.rng.Int64N(second)
	k.nextDecide = c.rng.Int64N(int64(kpa.Tick))
	if at := k.Phases; at != nil {
		k.nextReport, k.nextScrape, k.nextDecide = int64(at.Report)%second, int64(at.Scrape)%second, int64(at.Decide)%int64(kpa.Tick)
	}
	k.next()
}

// arrive sends r to a pod, through the activator or past it.
func (k *knative) arrive(r *request) {
	c := k.cell
	k.wake()
	if !k.proxied && c.readyN > 0 {
		k.direct(r)
		return
	}
	r.proxied = true
	c.proxied.change(c.now, 1)
	if !k.known {
		k.poke()
	}
	if i := k.choose(); i != nil && c.waiting.n == 0 {
		i.enter(r)
		return
	}
	if c.waiting.n >= activatorQueue {
		c.refuse(r)
		return
	}
	c.wait(r)
}

// direct sends r to any pod, as the cluster's network does.
func (k *knative) direct(r *request) {
	c := k.cell
	n := c.rng.IntN(c.readyN)
	for _, i := range c.instances {
		if i.state != ready {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		switch {
		case k.Concurrency == 0:
			i.enter(r)
		case i.outer.n >= podQueue*k.Concurrency:
			c.refuse(r)
		default:
			i.enterBehind(r, k.Concurrency)
		}
		return
	}
}

// choose is the pod to which the activator sends the next request: the better
// of two by chance, the first with room, or each in turn, as Concurrency is any
// number, at most 3, or more. nil: none has room.
func (k *knative) choose() *instance {
	c := k.cell
	if c.readyN == 0 {
		return nil
	}
	if k.Concurrency == 0 {
		a, b := k.pod(c.rng.IntN(c.readyN)), k.pod(c.rng.IntN(c.readyN))
		if b.inside < a.inside {
			return b
		}
		return a
	}
	from := 0
	if k.Concurrency > 3 {
		from = k.turn
	}
	n := len(c.instances)
	for d := range n {
		i := c.instances[(from+d)%n]
		if i.state == ready && i.inside < k.Concurrency {
			k.turn = (from + d + 1) % n
			return i
		}
	}
	return nil
}

// pod is the n-th that is ready.
func (k *knative) pod(n int) *instance {
	for _, i := range k.cell.instances {
		if i.state == ready {
			if n == 0 {
				return i
			}
			n--
		}
	}
	return nil
}

func (k *knative) ready(*instance) { k.hand() }
func (k *knative) left(*instance)  { k.hand() }

func (k *knative) hand() {
	c := k.cell
	for c.waiting.n > 0 {
		i := k.choose()
		if i == nil {
			return
		}
		i.enter(c.waiting.pop())
	}
}

// gone has the pod replaced, as its Deployment does.
func (k *knative) gone(*instance) {
	k.scaleTo(k.applied)
	k.wake()
}

func (k *knative) idle(*instance) {}
func (k *knative) want() int      { return k.applied }
