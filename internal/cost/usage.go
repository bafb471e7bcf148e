package cost

import (
	"math"
	"time"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
)

// What platforms keep and round. docs/cost.md has the sources; what is marked is
// not promised by anyone and is our assumption.
const (
	keptLambda  = 5 * 60  // seconds that an idle environment stays; assumed
	keptRun     = 15 * 60 // "up to 15 minutes"
	keptFlex    = 60      // assumed
	keptApps    = 300     // KEDA's cooldown period
	aimRun      = 0.6     // of the processors, at which instances are added
	aimVertex   = 0.6     // its default
	aimOthers   = 0.7     // assumed; Knative's own default
	gatewayUnit = 512 * spec.KiB
)

// Load is what a Config has to serve, and how fast it does.
type Load struct {
	// Service is one request alone, Busy what each of many takes of one processor
	// when there is always one waiting. Start is from exec to the first answer.
	// All are of one whole processor.
	Service, Busy, Start time.Duration
	// GPU is one request on a GPU, for a Config that has one.
	GPU time.Duration
	// Body are the bytes of one request, Bytes those of request and answer.
	Body, Bytes int64
}

// Scaled is l with times of serving and starting multiplied: another machine.
func (l Load) Scaled(service, start float64) Load {
	by := func(d time.Duration, k float64) time.Duration { return time.Duration(float64(d) * k) }
	l.Service, l.Busy, l.GPU, l.Start = by(l.Service, service), by(l.Busy, service), by(l.GPU, service), by(l.Start, start)
	return l
}

// on is l's times on an instance of c, in seconds: a share of a processor takes
// longer, and more than one does not make one request faster. capacity is how many
// requests a second one instance answers at most.
func (c *Config) on(l *Load) (service, start, capacity float64) {
	share := min(1, c.cpus)
	service, start, busy := l.Service.Seconds()/share, l.Start.Seconds()/share, l.Busy.Seconds()
	if c.onGPU {
		service = l.GPU.Seconds()
		return service, l.Start.Seconds(), float64(max(c.gpus, c.pods.gpus, 1)) / max(service, 1e-9)
	}
	if busy == 0 {
		busy = l.Service.Seconds()
	}
	return service, start, c.cpus / max(busy, 1e-9)
}

// Needed is how many instances c has while r requests a month come at an even mean
// rate, where it has any; not a whole number for those that come and go.
func (c *Config) Needed(r Requests, l *Load) float64 {
	_, _, capacity := c.on(l)
	n := r.PerSecond() / (capacity * c.aim())
	if c.Kind == Standing {
		n = math.Ceil(n - 1e-9)
	}
	return max(n, float64(c.min))
}

func (c *Config) aim() float64 {
	switch c.Target {
	case "cloudrun":
		return aimRun
	case "vertexai":
		return aimVertex
	}
	return aimOthers
}

// Steady is what a month of r requests uses of c where they come independently of
// each other at an even mean rate: closed forms of the billing rules. What they
// assume is in docs/cost.md, and tests hold them to the simulator.
func (c *Config) Steady(r Requests, l *Load) *Usage {
	u := &Usage{Requests: r}
	rate := r.PerSecond()
	service, start, _ := c.on(l)
	n := c.Needed(r, l)
	switch c.Kind {
	case PerRequest:
		u.Serving = int64(r) * millis(service)
		if c.Target != "awslambda" {
			break
		}
		if c.min > 0 {
			u.Waiting = int64(c.min) * MonthMillis
			u.Ready = int64(float64(u.Serving) * (1 - lost(c.min, rate*service)))
		}
		starts := coldRate(c.min, rate, service, keptLambda) * MonthSeconds
		// A request and the start before it are rounded up together.
		u.Starting = int64(math.Round(starts * float64(millis(service+start)-millis(service))))
		if c.gateway {
			u.Units = r * Requests(max(1, (l.Body+int64(gatewayUnit)-1)/int64(gatewayUnit)))
		}
	case PerActive:
		round, least := 0.1, 0.1
		if c.Target == "azurefunctions" {
			least = 1
		}
		up := max(n, 1)
		share := active(rate/up, service, round, least)
		u.Serving = int64(up * share * MonthMillis)
		if c.Target == "cloudrun" { // a start is billed as it serves
			if c.min == 0 {
				u.Starting = int64(rate * math.Exp(-rate*keptRun) * MonthSeconds * rounded(start, round, least) * 1000)
			}
			u.Waiting = max(0, int64(c.min)*MonthMillis-u.Serving)
			break
		}
		if c.min > 0 {
			u.Waiting = int64(c.min) * MonthMillis
			u.Ready = int64(float64(u.Serving) * min(1, float64(c.min)/up))
		}
	case PerInstance:
		kept := float64(keptRun)
		if c.Target == "azurefunctions" {
			kept = keptApps
		}
		up := max(n-1, 0) + 1 - math.Exp(-rate*(kept+service))
		up = max(up, float64(c.min))
		if rate == 0 {
			up = float64(c.min)
		}
		u.Instances = int64(up * MonthMillis)
		if c.Target == "azurefunctions" && c.min > 0 { // what stands and does nothing costs less
			idle := 1 - active(rate/up, service, 1, 1)
			u.Waiting = int64(min(up, float64(c.min)) * idle * MonthMillis)
			u.Instances -= u.Waiting
		}
	case Standing:
		if c.Target == "knative" {
			u.Instances = int64(c.nodes(r, l)) * MonthMillis
			break
		}
		u.Instances = int64(n) * MonthMillis
	}
	u.Bytes = c.data(r, l)
	return u
}

// Idle is a month in which nobody asks.
func (c *Config) Idle(l *Load) *Usage { return c.Steady(0, l) }

func (c *Config) data(r Requests, l *Load) int64 {
	if c.Target != "sagemaker" {
		return 0
	}
	return int64(r) * l.Bytes
}

// nodes is how many nodes hold the pods that are needed.
func (c *Config) nodes(r Requests, l *Load) int {
	shape, _ := data.FindShape(c.machine)
	fit := int(float64(shape.CPUs) / max(c.pods.cpus, 0.001))
	if memory, _, state := data.Machine(c.machine); state == data.Known {
		fit = min(fit, int(memory/int64(max(c.pods.memory, 1))))
	}
	if c.pods.gpus > 0 {
		fit = min(fit, shape.GPUs/c.pods.gpus)
	}
	_, _, capacity := c.on(l)
	pods := math.Ceil(r.PerSecond()/(capacity*c.aim()) - 1e-9)
	return max(1, int(math.Ceil(pods/float64(max(fit, 1)))))
}

// Over says that c cannot serve r with the most instances that it may have; "" where
// it can.
func (c *Config) Over(r Requests, l *Load) bool {
	most := c.Needed(r, l)
	if c.Kind == PerRequest {
		service, _, _ := c.on(l)
		most = r.PerSecond() * service // as many are busy in the mean
	}
	return c.max > 0 && most > float64(c.max)
}

// millis rounds up, but for what is a float's own error.
func millis(seconds float64) int64 { return int64(math.Ceil(seconds*1000 - 1e-6)) }

// lost is Erlang's B: the share of requests that n servers are too busy for.
func lost(n int, offered float64) float64 {
	b := 1.0
	for k := 1; k <= n; k++ {
		b = offered * b / (float64(k) + offered*b)
	}
	return b
}

// coldRate is how many starts there are in a second of environments that take one
// request at a time and stay for kept seconds, beyond the first n that always stand.
// The k-th has the requests that those before it were too busy for, and is started
// by one that comes after more than kept without any.
func coldRate(n int, rate, service, kept float64) float64 {
	offered, b, sum := rate*service, 1.0, 0.0
	for k := 0; ; k++ {
		if k > 0 {
			b = offered * b / (float64(k) + offered*b)
		}
		a := rate * b
		if k >= n {
			sum += a * math.Exp(-a*kept)
		}
		if a < 1e-15 || k > 1_000_000 {
			return sum
		}
	}
}

// active is the billed share of an instance's time: each time in which it has a
// request, rounded up, and never more than all of it.
func active(rate, service, round, least float64) float64 {
	if rate == 0 {
		return 0
	}
	mean, idle := math.Expm1(rate*service)/rate, math.Exp(-rate*service)
	if math.IsInf(mean, 1) {
		return 1
	}
	return min(1, rate*idle*rounded(mean, round, least))
}

// rounded is d rounded up; beyond the first step half a step in the mean.
func rounded(d, round, least float64) float64 {
	if d <= least {
		return least
	}
	return d + round/2
}
