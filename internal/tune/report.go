package tune

import (
	"fmt"
	"math"
	"strings"
	"time"

	"godwit.dev/infra/spec"
)

// Format names the schema of a Report.
const Format = "godwit.dev/tune/v1"

// Report is what Run found: what tune.json and --json hold. docs/tune.md tells
// each key.
type Report struct {
	Format  string  `json:"format"`
	Time    string  `json:"time"` // RFC 3339, in UTC
	Version string  `json:"godwit"`
	Machine Machine `json:"machine"`

	Model        string `json:"model"`
	ModelVersion string `json:"model_version"`
	Target       string `json:"target,omitempty"`

	Goal Goal `json:"goal"`
	// Metric is what the goal is measured by, and larger ratios are better of it.
	Metric string  `json:"metric"`
	SLO    float64 `json:"slo_p99_ms,omitempty"`
	Load   Load    `json:"load"`
	Limit  Limit   `json:"limit"`
	Price  string  `json:"price,omitempty"`

	Candidates []Line `json:"candidates"` // the default first
	// Chosen is the candidate to take, -1 where every one is out.
	Chosen int `json:"chosen"`
	// Gain is the chosen one over the default, from blocks that had no part in
	// choosing it; nil where the default is kept, or is out.
	Gain *Gain `json:"gain,omitempty"`
	// Nearest is the candidate that came nearest, where the default is kept.
	Nearest *Gain   `json:"nearest,omitempty"`
	Ended   string  `json:"ended"` // why the search ended
	Blocks  int     `json:"blocks"`
	Seconds float64 `json:"seconds"`

	Changes []Edited `json:"changes"` // of godwit.yaml; none where the default is kept
	Notes   []string `json:"notes"`   // what to know of the figures

	dir     string
	text    []byte // of godwit.yaml, when it was read
	changes []Change
}

// Machine is where it was measured.
type Machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	Load       string `json:"load_average,omitempty"` // when the report was made
}

// Load is what each candidate was asked.
type Load struct {
	Protocol    string  `json:"protocol"`
	Loop        string  `json:"loop"` // "closed", "poisson", or "poisson, the highest rate that holds the SLO"
	Connections int     `json:"connections,omitempty"`
	Rate        float64 `json:"rate,omitempty"` // of an open loop
	Seconds     float64 `json:"block_seconds"`
	Warmup      float64 `json:"warmup_seconds"` // before each block
	Requests    int     `json:"recorded_requests"`
	Seed        uint64  `json:"seed"`
	// Capacity is what the default answered in a closed loop, before the search.
	Capacity float64 `json:"capacity"`
}

// Limit is how servers were held to their size.
type Limit struct {
	How    string  `json:"how"` // "cgroup v2", "cgroup v1", "systemd-run", "affinity" or "none"
	Why    string  `json:"why,omitempty"`
	Client string  `json:"client"` // where the client ran
	CPUs   float64 `json:"server_sees_cpus"`
	Memory int64   `json:"server_sees_memory_bytes"`
}

// Line is one candidate.
type Line struct {
	Threads  string  `json:"threads"` // as godwit.yaml has it
	IntraOp  int     `json:"intra_op"`
	Runs     int     `json:"runs"`
	Batching string  `json:"batching"`
	CPUs     float64 `json:"cpus"`         // 0: not limited
	Memory   int64   `json:"memory_bytes"` // likewise
	// The figures are medians of the blocks, memory is the most of them.
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	Rate   float64 `json:"rate"`
	CPU    float64 `json:"cpu_us_per_request"`
	Cost   float64 `json:"usd_per_million,omitempty"`
	Peak   int64   `json:"peak_memory_bytes"`
	Start  float64 `json:"start_ms"` // until the server was ready
	Blocks int     `json:"blocks"`
	Missed int     `json:"missed"` // blocks that did not hold what was asked
	// Score is the goal's number of each block; larger is better.
	Score   []float64 `json:"scores"`
	Over    *Gain     `json:"over_default,omitempty"`
	Verdict Verdict   `json:"verdict"`
	Reason  string    `json:"reason,omitempty"`

	setting Setting
	shape   Shape
}

// Gain is a ratio with its interval; above 1 is better.
type Gain struct {
	Candidate int      `json:"candidate"`
	Ratio     float64  `json:"ratio"`
	Low       *float64 `json:"low"` // null: the blocks are not enough to tell
	High      *float64 `json:"high"`
	Pairs     int      `json:"pairs"`
	// Confidence is the share of such intervals that hold the truth.
	Confidence float64 `json:"confidence"`
}

func gain(candidate int, r Ratio) *Gain {
	if r.Pairs == 0 {
		return nil
	}
	g := &Gain{Candidate: candidate, Ratio: r.Value, Pairs: r.Pairs, Confidence: 1 - 2*confirming}
	if r.Low > 0 && r.High < 10*r.Low { // wider ones tell nothing
		g.Low, g.High = &r.Low, &r.High
	}
	return g
}

// String is "1.31 times (1.27 to 1.35, 12 pairs)".
func (g *Gain) String() string {
	if g.Low == nil {
		return fmt.Sprintf("%.2f times (%s, not enough to tell)", g.Ratio, plural(g.Pairs, "pair"))
	}
	return fmt.Sprintf("%.2f times (%.2f to %.2f, %d pairs)", g.Ratio, *g.Low, *g.High, g.Pairs)
}

// Edited is one key of godwit.yaml.
type Edited struct {
	Path string `json:"path"`
	Was  string `json:"was"` // the value that held, whether it was written or not
	Now  string `json:"now"`
}

// Size is "1 CPU, 512MiB".
func (l *Line) Size() string { return l.shape.String() }

// Label is a candidate in a few words.
func (l *Line) Label() string {
	return fmt.Sprintf("%s, %s, %s", threadsText(l.setting.Threads), batchingText(l.setting.Batching), l.shape)
}

// report is what the search found, for people and programs.
func (t *tuning) report(f *Found, took time.Duration) (*Report, error) {
	o := &t.o
	r := &Report{
		Format: Format, Time: time.Now().UTC().Format(time.RFC3339), Version: version(), Machine: thisMachine(),
		Model: t.rig.model.Name, ModelVersion: t.rig.model.Version, Target: o.Target,
		Goal: o.Goal, Metric: t.metric(), SLO: o.SLO.Seconds() * 1e3,
		Load: Load{Protocol: string(o.Protocol), Loop: "closed", Connections: t.connections, Seconds: t.each.Seconds(), Warmup: t.warm.Seconds(),
			Requests: len(t.requests), Seed: o.Seed, Capacity: t.capacity},
		Limit: Limit{How: t.rig.limit.How(), Why: t.rig.limit.Why(), CPUs: t.sees.CPUs, Memory: t.sees.Memory},
		Ended: f.Ended, Blocks: f.Blocks, Seconds: took.Seconds(), Changes: []Edited{}, Notes: t.notes,
		dir: t.rig.dir, text: t.rig.text, Chosen: f.Best,
	}
	if t.late > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("in %s the client was late by itself, which the latencies contain: the machine was busy with something else", plural(t.late, "load")))
	}
	if r.Notes == nil {
		r.Notes = []string{}
	}
	switch {
	case (o.Goal == Latency || o.Goal == Cost && o.Rate > 0) && !t.size.oneAtATime:
		r.Load.Loop, r.Load.Rate, r.Load.Connections = "poisson", t.rate, 0
	case o.SLO > 0 && !t.size.oneAtATime:
		r.Load.Loop, r.Load.Connections = "poisson, the highest rate that holds the SLO", 0
	}
	if o.Goal == Cost {
		r.Price = t.price.note
	}
	r.Limit.Client = t.rig.limit.Beside(t.all[0].Shape)
	if t.all[0].Shape == (Shape{}) {
		r.Limit.How, r.Limit.Why = none, "no size was asked for"
	}
	for i, c := range t.all {
		r.Candidates = append(r.Candidates, c.line(&f.Candidates[i], i))
	}
	if f.Best > 0 {
		r.Gain = gain(f.Best, f.Gain)
		r.changes = t.all[f.Best].changes
		for _, c := range r.changes {
			r.Changes = append(r.Changes, Edited{c.Path, t.was(c.Path), c.Value.String()})
		}
	}
	if f.NextIs > 0 {
		r.Nearest = gain(f.NextIs, f.Next)
	}
	return r, nil
}

// was is the value that a key had, given or not.
func (t *tuning) was(path string) string {
	switch _, name, _ := cutLast(path); {
	case name == "threads":
		return threadsValue(t.rig.model.Threads).String()
	case name == "batching":
		return batchingValue(t.rig.model.Batching).String()
	case strings.HasSuffix(path, "."+t.size.cpu) && t.size.cpu != "":
		return fmt.Sprintf("%g", t.size.now.CPUs)
	}
	return spec.Bytes(t.size.now.Memory).String()
}

// metric is what the goal is measured by, for people.
func (t *tuning) metric() string {
	switch o := &t.o; {
	case o.Goal == Latency && t.size.oneAtATime:
		return "p99 of requests that come one at a time"
	case o.Goal == Latency:
		return fmt.Sprintf("p99 at %.4g requests in a second", t.rate)
	case o.Goal == Cost && t.price.perSecond != nil:
		return "dollars for a million requests"
	case o.Goal == Cost:
		return "the server's CPU for a request"
	case o.SLO > 0 && !t.size.oneAtATime:
		return fmt.Sprintf("the highest rate at which p99 is at most %v", o.SLO)
	}
	return "requests in a second"
}

func (c *candidate) line(t *Tried, i int) Line {
	l := Line{Threads: threadsValue(c.Threads).String(), IntraOp: c.intraOp, Runs: c.runs, Batching: batchingValue(c.Batching).String(),
		CPUs: c.CPUs, Memory: c.Memory, Blocks: len(t.Scores), Missed: t.Misses, Verdict: t.Verdict, Reason: t.Reason, setting: c.Setting, shape: c.Shape,
		Score: []float64{}, Over: gain(i, t.Against)}
	for _, s := range t.Scores {
		if !math.IsNaN(s) {
			l.Score = append(l.Score, s)
		}
	}
	if len(c.blocks) == 0 {
		return l
	}
	of := func(f func(*block) float64) float64 {
		var all []float64
		for i := range c.blocks {
			all = append(all, f(&c.blocks[i]))
		}
		return median(all)
	}
	l.P50 = of(func(b *block) float64 { return b.p50.Seconds() * 1e3 })
	l.P99 = of(func(b *block) float64 { return b.p99.Seconds() * 1e3 })
	l.Rate = of(func(b *block) float64 { return b.rate })
	l.CPU = of(func(b *block) float64 { return b.cpu.Seconds() * 1e6 })
	l.Cost = of(func(b *block) float64 { return b.cost })
	l.Start = of(func(b *block) float64 { return b.start.Seconds() * 1e3 })
	for i := range c.blocks {
		l.Peak = max(l.Peak, c.blocks[i].peak)
	}
	return l
}

// Verdict is what was chosen, in sentences.
func (r *Report) Verdict() string {
	by := map[Goal]string{Latency: "lower p99", Throughput: "higher rate", Cost: "lower cost"}[r.Goal]
	switch {
	case r.Chosen < 0:
		return "Every candidate is out, the default too."
	case r.Chosen > 0 && r.Gain == nil:
		return fmt.Sprintf("Chosen: %s. The default is out: %s.", r.Candidates[r.Chosen].Label(), r.Candidates[0].Reason)
	case r.Chosen > 0:
		return fmt.Sprintf("Chosen: %s. It has a %s than the default, %v.", r.Candidates[r.Chosen].Label(), by, r.Gain)
	case r.Nearest != nil:
		return fmt.Sprintf("The default stays: %s. The nearest, %s, is %v as good, which is not beyond the noise and worth a change.",
			r.Candidates[0].Label(), r.Candidates[r.Nearest.Candidate].Label(), r.Nearest)
	}
	return fmt.Sprintf("The default stays: %s. Nothing that was tried is better.", r.Candidates[0].Label())
}
