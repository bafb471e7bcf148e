package awslambda

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

// The limits of CloudWatch's embedded metric format (AWS, "Specification:
// CloudWatch embedded metric format").
const (
	maxMetrics = 100 // of one object
	maxValues  = 100 // of one metric
)

// Namespace is where the metrics are in CloudWatch.
const Namespace = "Godwit"

// Metrics is a telemetry.Sink that gathers what happens in an invocation and,
// by Flush, prints it in CloudWatch's embedded metric format: a line, one JSON
// object, for each model that was asked. Lambda freezes a process between
// invocations, so nothing may wait. Its methods may be called concurrently;
// with several invocations at a time a line may tell of more than one.
//
// Metrics have the dimensions Function, Model and Version, or Function alone;
// Faults, the requests that failed by the function's own doing (codes of status
// 5xx), have Function and ExecutedVersion, the function's version, so that a
// canary can be told from what ran before it, or Function alone, and are only
// written where there are some. What runs, and the codes of refused requests, are properties of the line: to
// search by, without a series for each.
type Metrics struct {
	mu       sync.Mutex
	w        io.Writer
	function string
	executed string // the function's version
	runtime  telemetry.RuntimeInfo
	lines    []*line
}

var _ telemetry.Sink = (*Metrics)(nil)

// NewMetrics returns Metrics that write to w, which is os.Stdout on Lambda, for
// the function of this name and version; "" is "function" and "unknown".
func NewMetrics(w io.Writer, function, version string) *Metrics {
	// A dimension must have a value.
	return &Metrics{w: w, function: cmp.Or(function, "function"), executed: cmp.Or(version, "unknown")}
}

// line is what becomes one object.
type line struct {
	model, version string // "" for what is the process's
	executed       bool   // by the function's version
	metrics        []metric
	codes          []string
}

type metric struct {
	name, unit string
	values     []float64
}

// at is the line of a model.
func (m *Metrics) at(model, version string) *line {
	for _, l := range m.lines {
		if l.model == model && l.version == version && !l.executed {
			return l
		}
	}
	l := &line{model: model, version: version}
	m.lines = append(m.lines, l)
	return l
}

// faults is the line of the function's version.
func (m *Metrics) faults() *line {
	for _, l := range m.lines {
		if l.executed {
			return l
		}
	}
	l := &line{executed: true}
	m.lines = append(m.lines, l)
	return l
}

func (l *line) add(name, unit string, value float64) {
	for i := range l.metrics {
		if l.metrics[i].name == name {
			l.metrics[i].values = append(l.metrics[i].values, value)
			return
		}
	}
	l.metrics = append(l.metrics, metric{name, unit, []float64{value}})
}

// The units of CloudWatch's that are used here.
const (
	count = "Count"
	byteU = "Bytes"
	milli = "Milliseconds"
)

func millisOf(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Request implements telemetry.Sink.
func (m *Metrics) Request(e telemetry.RequestEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.at(e.Model, e.Version)
	failed := 0.0
	if e.Code != fault.OK {
		failed = 1
		if code := e.Code.String(); !slices.Contains(l.codes, code) {
			l.codes = append(l.codes, code)
		}
	}
	l.add("Requests", count, 1)
	l.add("Errors", count, failed)
	l.add("RequestTime", milli, millisOf(e.Duration))
	if e.Code.HTTP() >= 500 {
		m.faults().add("Faults", count, 1)
	}
}

// Inference implements telemetry.Sink.
func (m *Metrics) Inference(e telemetry.InferenceEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.at(e.Model, e.Version)
	l.add("QueueTime", milli, millisOf(e.Queue))
	l.add("ComputeTime", milli, millisOf(e.Compute))
	l.add("BatchRows", count, float64(e.Rows))
}

// Start implements telemetry.Sink: "load" is the metric StartLoad.
func (m *Metrics) Start(phase string, took time.Duration) {
	if phase == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	first := phase[0]
	if 'a' <= first && first <= 'z' {
		first -= 'a' - 'A'
	}
	m.at("", "").add("Start"+string(first)+phase[1:], milli, millisOf(took))
}

// Cache implements telemetry.Sink.
func (m *Metrics) Cache(e telemetry.CacheEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.at(e.Model, e.Version)
	l.add("CacheBytes", byteU, float64(e.Bytes))
	l.add("CacheHits", count, float64(e.Hits))
	l.add("CacheMisses", count, float64(e.Misses))
}

// Runtime implements telemetry.Sink.
func (m *Metrics) Runtime(i telemetry.RuntimeInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runtime = i
}

// Restarted implements telemetry.Sink.
func (m *Metrics) Restarted() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at("", "").add("EngineRestarts", count, 1)
}

// Flush prints what has been gathered, if anything. An error of the writer has
// nobody to be told to.
func (m *Metrics) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lines) == 0 {
		return
	}
	now := time.Now().UnixMilli()
	var out []byte
	for _, l := range m.lines {
		for len(l.metrics) > 0 {
			out = append(append(out, m.object(l, now)...), '\n')
		}
	}
	m.lines = nil
	_, _ = m.w.Write(out) // in one piece: others write to it too
}

// object makes one object of as much of l as fits, and takes it off.
func (m *Metrics) object(l *line, now int64) []byte {
	type definition struct {
		Name, Unit string
	}
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	o := map[string]any{"Function": m.function}
	dimensions := [][]string{{"Function"}}
	if l.model != "" {
		o["Model"] = l.model
		dimensions[0] = append(dimensions[0], "Model")
		if l.version != "" {
			o["Version"] = l.version
			dimensions[0] = append(dimensions[0], "Version")
		}
		dimensions = append(dimensions, []string{"Function"})
	}
	if l.executed {
		o["ExecutedVersion"] = m.executed
		dimensions = append(dimensions, []string{"Function", "ExecutedVersion"})
	}
	if m.runtime != (telemetry.RuntimeInfo{}) {
		o["runtime"] = fmt.Sprintf("godwit %s, %s %s, %s", m.runtime.Version, m.runtime.Engine, m.runtime.EngineVersion, m.runtime.Provider)
	}
	if len(l.codes) > 0 {
		o["codes"] = l.codes
	}
	var definitions []definition
	var rest []metric
	for i := range l.metrics {
		v := &l.metrics[i]
		if len(definitions) == maxMetrics {
			rest = append(rest, *v)
			continue
		}
		n := min(len(v.values), maxValues)
		definitions = append(definitions, definition{v.name, v.unit})
		if n == 1 {
			o[v.name] = v.values[0]
		} else {
			o[v.name] = v.values[:n]
		}
		if n < len(v.values) {
			rest = append(rest, metric{v.name, v.unit, v.values[n:]})
		}
	}
	l.metrics = rest
	o["_aws"] = struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}{now, []directive{{Namespace, dimensions, definitions}}}
	b, err := json.Marshal(o)
	if err != nil { // numbers and strings
		return nil
	}
	return b
}
