package cost

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"godwit.dev/internal/simulate"
)

// Seen is what callers see, by the simulator.
type Seen struct {
	ColdShare float64 `json:"cold_share"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	// Refused is the share of requests that the platform or the server refused.
	Refused float64 `json:"refused_share"`
	// InstanceSeconds are of a month; Starts too.
	InstanceSeconds float64 `json:"instance_seconds"`
	Starts          float64 `json:"starts"`
	Peak            int     `json:"peak_instances"`
	// Requests and Days are how many were simulated over how long, without the
	// time in which it warmed up.
	Requests int64   `json:"requests_simulated"`
	Days     float64 `json:"days_simulated"`
}

// Arrivals are when requests come. The zero value is independent callers at Rate.
type Arrivals struct {
	Rate Requests
	// Trace, where it is set, opens the arrivals of a trace, each time from its
	// start; what it gives is closed where it is an io.Closer. Length is how long
	// it is, Peak the rate of its busiest minute.
	Trace  func() (simulate.Source, error)
	Length time.Duration
	Peak   Requests
}

// How many requests are simulated, and for how long at most.
const (
	simulated     = 10_000
	simulatedMost = 60_000
	longest       = 14 * 24 * time.Hour
)

// Simulate runs c under arrivals and gives what callers see and what a month of it
// uses. service and start are the 99th percentiles of both over their medians.
// Errors: those of the trace, Canceled.
func (c *Config) Simulate(ctx context.Context, a *Arrivals, l *Load, service, start float64) (*Seen, *Usage, error) {
	t, up, _ := c.on(l)
	peak := a.Rate
	if a.Trace != nil {
		peak = a.Peak
	}
	needed := c.Needed(peak, l)
	policy, round, fits := c.policy(needed, peak, l)
	if !fits || c.Unknown != "" {
		return nil, nil, nil
	}
	f := simulate.Function{
		Name:    c.Name,
		Service: simulate.Service{Table: []simulate.RunTime{{Rows: 1, Time: max(length(t), time.Nanosecond)}}, Spread: service},
		Runs:    max(1, int(c.cpus)),
		Start:   simulate.Lifecycle{Start: simulate.Dist{P50: length(up), P99: length(up * start)}},
	}
	if c.onGPU {
		f.Runs = max(c.gpus, c.pods.gpus, 1)
	}
	o := &simulate.Options{Functions: []simulate.Function{f}, Policy: policy, Seed: 1, Billing: round}
	var src simulate.Source
	if a.Trace != nil {
		var err error
		if src, err = a.Trace(); err != nil {
			return nil, nil, err
		}
		if file, ok := src.(io.Closer); ok {
			defer file.Close() // it was read
		}
		o.Until = a.Length
	} else {
		rate := a.Rate.PerSecond()
		if rate <= 0 {
			return nil, nil, nil
		}
		o.Until, o.Warm = window(rate)
		src = &poisson{mean: 1 / rate, until: o.Until, rng: rand.New(rand.NewPCG(7, 11))}
	}
	r, err := simulate.Run(ctx, src, o)
	if err != nil {
		return nil, nil, err
	}
	month := MonthSeconds / r.Seconds
	s := &Seen{
		ColdShare: r.ColdShare(), P50: r.Latency.P50 * 1000, P99: r.Latency.P99 * 1000,
		InstanceSeconds: r.ReadySeconds * month, Starts: float64(r.Starts) * month, Peak: r.Peak,
		Requests: r.Requests, Days: r.Seconds / 86400,
	}
	if r.Requests > 0 {
		s.Refused = float64(r.Rejected) / float64(r.Requests)
	}
	return s, c.used(&r.Totals, month, peak, l), nil
}

// window is how long to simulate, and how much of that warms up.
func window(rate float64) (until, warm time.Duration) {
	warm = length(min(1800, simulatedMost/2/rate))
	until = warm + min(length(max(simulated/rate, 60)), length(simulatedMost/2/rate))
	return min(until, longest), warm
}

func length(seconds float64) time.Duration {
	return time.Duration(min(seconds, longest.Seconds()*2) * float64(time.Second))
}

// policy is how the platform behaves, and what it rounds; false where no model of it
// is there.
func (c *Config) policy(needed float64, peak Requests, l *Load) (simulate.Policy, simulate.Billing, bool) {
	none := simulate.Billing{}
	switch {
	case c.Target == "awslambda":
		return simulate.Lambda{Provisioned: c.min, Max: max(c.max, 0)}, simulate.Billing{Round: time.Millisecond}, c.max == 0 || c.min <= c.max
	case c.Kind == PerRequest:
		return simulate.Lambda{Max: c.max}, simulate.Billing{Round: time.Millisecond}, true
	case c.Target == "cloudrun":
		return simulate.CloudRun{Concurrency: c.concurrency, Min: c.min, Max: c.max}, simulate.Billing{Round: 100 * time.Millisecond}, true
	case c.Kind == PerActive:
		return simulate.AzureFlex{Concurrency: c.concurrency, AlwaysReady: c.min, Max: c.max}, simulate.Billing{Round: 100 * time.Millisecond, Min: time.Second}, true
	case c.Kind == PerInstance: // Container Apps: ten requests at once in a replica, five minutes
		return simulate.CloudRun{Concurrency: 10, Min: c.min, Max: c.max, Utilization: aimOthers, Idle: keptApps * time.Second}, none, true
	case c.Target == "knative":
		return simulate.Knative{Concurrency: c.concurrency}, none, true
	case c.Kind == Standing:
		return simulate.Fixed{Instances: int(needed)}, none, true
	}
	return nil, none, false
}

// used is a month of what the simulator counted.
func (c *Config) used(t *simulate.Totals, month float64, peak Requests, l *Load) *Usage {
	ms := func(seconds float64) int64 { return int64(math.Round(seconds * month * 1000)) }
	r := Requests(math.Round(float64(t.Requests) * month))
	steady := c.Steady(r, l) // what follows from the number of requests alone
	u := &Usage{Requests: r, Units: steady.Units, Bytes: steady.Bytes}
	switch c.Kind {
	case PerRequest:
		u.Serving = ms(t.BilledRequestSeconds)
		if c.Target == "awslambda" {
			u.Starting = ms(t.Starting.Seconds())
			u.Waiting = steady.Waiting
			if steady.Serving > 0 {
				u.Ready = int64(float64(u.Serving) * float64(steady.Ready) / float64(steady.Serving))
			}
		}
	case PerActive:
		// Each time in which an instance serves is rounded up, but no instance is
		// billed for longer than it was there.
		u.Serving = ms(min(t.BilledActiveSeconds, t.ReadySeconds))
		if c.Target == "cloudrun" {
			u.Starting = ms(t.Starting.Seconds())
			u.Waiting = max(0, int64(c.min)*MonthMillis-u.Serving)
			break
		}
		if c.min > 0 {
			u.Waiting = int64(c.min) * MonthMillis
			u.Ready = min(u.Serving, u.Waiting)
		}
	case PerInstance:
		u.Instances = ms(t.ReadySeconds + t.Starting.Seconds())
		if c.Target == "azurefunctions" && c.min > 0 {
			u.Waiting = max(0, int64(c.min)*MonthMillis-ms(t.ActiveSeconds))
			u.Instances -= min(u.Waiting, u.Instances)
		}
	case Standing:
		if c.Target == "knative" {
			u.Instances = int64(c.nodes(peak, l)) * MonthMillis
			break
		}
		u.Instances = int64(c.Needed(peak, l)) * MonthMillis
	}
	return u
}

// poisson is independent callers.
type poisson struct {
	mean  float64 // seconds
	at    float64
	until time.Duration
	rng   *rand.Rand
}

func (p *poisson) Next() (simulate.Arrival, error) {
	p.at += p.rng.ExpFloat64() * p.mean
	if at := time.Duration(p.at * float64(time.Second)); at < p.until {
		return simulate.Arrival{At: at}, nil
	}
	return simulate.Arrival{}, io.EOF
}
