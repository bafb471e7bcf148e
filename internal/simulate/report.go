package simulate

import "time"

// Report is what Run saw. Seconds are virtual.
type Report struct {
	Seed uint64 `json:"seed"`
	// Seconds is the virtual time that the figures cover: Until less Warm, or
	// the time of the last answer.
	Seconds float64 `json:"seconds"`
	Totals
	// Latency is of the requests that were served, from arrival to answer; of
	// the cold ones among them apart too.
	Latency     Latency `json:"latency"`
	ColdLatency Latency `json:"coldLatency"`
	// Curve is the state of all functions together at each Step.
	Curve []Point `json:"curve,omitempty"`
	// Functions has the same for each function, where Options.PerFunction asked.
	Functions []FunctionReport `json:"functions,omitempty"`
}

// FunctionReport is one function's part of a Report.
type FunctionReport struct {
	Name string `json:"name"`
	Totals
	Latency Latency `json:"latency"`
}

// Totals are sums over time.
type Totals struct {
	// Requests = Served + Rejected + Failed + InFlight.
	Requests int64 `json:"requests"`
	Served   int64 `json:"served"`
	Rejected int64 `json:"rejected"` // by the platform or the instance's queue
	Failed   int64 `json:"failed"`   // with a crashed instance
	InFlight int64 `json:"inFlight"` // at the end
	// Cold is how many requests waited for an instance that was not up when they
	// arrived.
	Cold int64 `json:"cold"`

	// Starts and Stops are of instances. Starts counts those that had become
	// ready.
	Starts int64 `json:"starts"`
	Stops  int64 `json:"stops"`
	Peak   int   `json:"peak"` // most instances at once of one function, starting ones too

	// ReadySeconds is the time of all instances from ready to gone: the integral
	// of the curve of instances. ActiveSeconds is the part of it in which an
	// instance had at least one request, and IdleSeconds the rest.
	ReadySeconds  float64 `json:"readySeconds"`
	ActiveSeconds float64 `json:"activeSeconds"`
	IdleSeconds   float64 `json:"idleSeconds"`
	// BusySeconds is the time in which the model ran, of all runs together.
	BusySeconds float64 `json:"busySeconds"`
	// RequestSeconds is the time that requests spent in their instances, each
	// for itself.
	RequestSeconds float64 `json:"requestSeconds"`
	// BilledRequestSeconds and BilledActiveSeconds are RequestSeconds and
	// ActiveSeconds with each request, or each active interval of an instance,
	// rounded by Options.Billing.
	BilledRequestSeconds float64 `json:"billedRequestSeconds"`
	BilledActiveSeconds  float64 `json:"billedActiveSeconds"`
	// Starting is what the starts took, phase by phase.
	Starting Phases `json:"starting"`

	// Runs is how many runs there were, and Rows what they had together.
	Runs int64 `json:"runs"`
	Rows int64 `json:"rows"`
}

// ColdShare is the share of the served requests that waited for an instance to
// start.
func (t *Totals) ColdShare() float64 {
	if t.Served == 0 {
		return 0
	}
	return float64(t.Cold) / float64(t.Served)
}

// Phases are the seconds of all starts together, by phase of Lifecycle.
type Phases struct {
	Schedule float64 `json:"schedule"`
	Pull     float64 `json:"pull"`
	Start    float64 `json:"start"`
	Load     float64 `json:"load"`
	Probe    float64 `json:"probe"`
}

// Seconds is the sum of the phases.
func (p *Phases) Seconds() float64 { return p.Schedule + p.Pull + p.Start + p.Load + p.Probe }

// Latency is a distribution of latencies in seconds, to three digits.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

// Point is the state at one moment.
type Point struct {
	At       time.Duration `json:"at"` // ns
	Desired  int           `json:"desired"`
	Ready    int           `json:"ready"`
	Starting int           `json:"starting"`
	InFlight int           `json:"inFlight"` // in instances and before them
	Arrived  int64         `json:"arrived"`  // requests since the start
}
