package simulate

import (
	"math/rand/v2"
	"time"
)

// Options say what is simulated. Functions and Policy are required.
type Options struct {
	// Functions are what Arrival.Function counts, from 0.
	Functions []Function
	// Policy is the platform: Fixed, Lambda, CloudRun, Knative or AzureFlex.
	// Each function has it for itself, with limits that are not shared.
	Policy Policy

	// Seed makes a run repeatable: equal options, arrivals and seed give an
	// equal Report. 0 is a seed like any other.
	Seed uint64
	// Until ends the simulation at that virtual time; requests that are not
	// answered then are Report.InFlight. 0: the time at which every request that
	// the source has is answered, and then no longer, so that idle time behind
	// the last request is not counted.
	Until time.Duration
	// Warm is the virtual time before which nothing is counted but Curve, so
	// that figures are those of the steady state. Requests that arrive before
	// are not in the Report at all. 0: everything counts.
	Warm time.Duration

	// Step is the time between two points of Report.Curve. 0: a 500th of Until,
	// at least 1 s, and no curve where Until is 0 too.
	Step time.Duration
	// Billing rounds what is billed.
	Billing Billing
	// PerFunction asks for Report.Functions.
	PerFunction bool
	// Observe, when it is set, is told each request as it ends, in no order
	// across functions, by the goroutine that called Run. The value is reused.
	Observe func(*Outcome)
	// Decided, when it is set, is told each decision of the autoscaler of
	// Knative, CloudRun and AzureFlex.
	Decided func(*Decision)

	awake bool // no tick is left out; for a test
}

// Function is a function on the platform, and how one instance of it serves.
// Requests have one row each.
type Function struct {
	Name string
	// Service is what a run of the model takes, by rows. Required, unless each
	// arrival brings its own time.
	Service Service
	// Overhead is added to each request's time in an instance beside its run:
	// decoding, encoding, the platform's proxy. It occupies no run.
	Overhead time.Duration
	// Runs is how many runs go on at once in an instance: its processors by the
	// threads of a run. 0 means 1.
	Runs int
	// MaxBatch is the most requests that share a run; 0 and 1: none do. How many
	// do is learned as runtime/infer does.
	MaxBatch int
	// Queue is how many requests may wait in an instance for a run. 0 means 256
	// for each run, as in runtime/infer; negative: as many as come, and nothing
	// is refused early either (closed forms of queues need that).
	Queue int
	// Start is what it takes until a new instance may get requests.
	Start Lifecycle
	// Crash is the mean time between crashes of an instance; what is in it fails.
	// 0: never.
	Crash time.Duration
}

// Service is what a run takes.
type Service struct {
	// Table is t(B): the time of a run of B rows, in rising order of Rows. It is
	// interpolated; beyond the last entry in proportion to the rows, before the
	// first as there.
	Table []RunTime
	// Spread is a run's 99th percentile over its median, which Table has: runs
	// are log-normal around it. 0 and 1: always the same time.
	Spread float64
	// Exponential makes runs exponential with Table as their mean; for closed
	// forms of queues.
	Exponential bool
}

// RunTime is one entry of a Service's table.
type RunTime struct {
	Rows int
	Time time.Duration
}

// Constant is the table of a model that gains nothing from sharing runs: each
// row takes d.
func Constant(d time.Duration) Service { return Service{Table: []RunTime{{Rows: 1, Time: d}}} }

// Dist is a distribution of durations: those of Samples, each as likely as the
// other, or where there are none log-normal through P50 and P99. P99 not above
// P50 means always P50; the zero value is always 0.
type Dist struct {
	P50, P99 time.Duration
	Samples  []time.Duration
	// InOrder takes Samples one after the other, for a function's first start,
	// its second and so on, and then from the first again: to repeat what was
	// seen. It is for Lifecycle alone.
	InOrder bool
}

// Lifecycle is what it takes from the decision for an instance until it may
// get requests, in this order. Platforms bill the phases differently, so
// Report has the sum of each.
type Lifecycle struct {
	Schedule Dist // finding a machine
	Pull     Dist // getting the image or package there
	Start    Dist // from exec to main
	Load     Dist // the model
	Probe    Dist // until the platform knows that it is ready
}

// Scaled is l with every duration times k: the sensitivity to slower starts.
func (l Lifecycle) Scaled(k float64) Lifecycle {
	for _, d := range []*Dist{&l.Schedule, &l.Pull, &l.Start, &l.Load, &l.Probe} {
		*d = d.scaled(k)
	}
	return l
}

// Billing is how a platform rounds the seconds that it bills. Report has the
// seconds both as they are and rounded.
type Billing struct {
	Round time.Duration // each interval is rounded up to a multiple of it; 0: not at all
	Min   time.Duration // and counts as at least this
}

// Policy is a platform: when it starts and stops instances, and which of them
// gets a request. It is one of the types of this package.
type Policy interface {
	// check reports what is wrong with the settings.
	check() error
	// control makes the controller of one function, whose cell has nothing yet.
	control(c *cell) controller
}

// Outcome is one request at its end.
type Outcome struct {
	Function int
	Arrived  time.Duration
	// Began is when an instance took it, Done when it was answered or refused.
	Began, Done time.Duration
	Status      Status
	// Cold says that the request waited for an instance that was not up when it
	// arrived.
	Cold bool
	// Start is what the start that it waited for took from the moment it was
	// decided; 0 if not Cold.
	Start time.Duration
	// Billed is Done-Began after Billing, for a request that was served.
	Billed time.Duration
}

// Status is how a request ended.
type Status uint8

// A request is served, refused by the platform or by the instance's queue, or
// fails with its instance.
const (
	Served Status = iota
	Rejected
	Failed
)

// Decision is one step of an autoscaler.
type Decision struct {
	Function int
	At       time.Duration
	// Stable and Panic are the observed concurrency (or requests per second)
	// over the windows; Panic is 0 where the platform has one window.
	Stable, Panic float64
	Panicking     bool
	Desired       int // by the algorithm, before bounds
	Applied       int // what was asked of the platform
	Ready         int // instances that were ready
}

// draw is a duration in ns, the n-th that is drawn.
func (d *Dist) draw(r *rand.Rand, n int) int64 {
	switch {
	case d.InOrder && len(d.Samples) > 0:
		return int64(d.Samples[n%len(d.Samples)])
	case len(d.Samples) > 0:
		return int64(d.Samples[r.IntN(len(d.Samples))])
	case d.P99 <= d.P50 || d.P50 <= 0:
		return int64(d.P50)
	}
	return int64(float64(d.P50) * logNormal(r, float64(d.P99)/float64(d.P50)))
}

func (d Dist) scaled(k float64) Dist {
	s := Dist{P50: time.Duration(float64(d.P50) * k), P99: time.Duration(float64(d.P99) * k), InOrder: d.InOrder}
	for _, v := range d.Samples {
		s.Samples = append(s.Samples, time.Duration(float64(v)*k))
	}
	return s
}
