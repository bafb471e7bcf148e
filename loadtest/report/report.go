// Package report keeps what a load test measured and makes something of it: a
// file that is written while the load goes, a page for people, a comparison of
// two runs, benchstat's lines.
package report

import (
	"time"

	"godwit.dev/loadtest"
)

// Version is that of the documents.
const Version = 1

// Run says what was run, and on what.
type Run struct {
	Version int       `json:"version"`
	Started time.Time `json:"started"`
	Command []string  `json:"command,omitempty"` // as it was typed, with secrets taken out

	Target       string            `json:"target"`
	Server       string            `json:"server,omitempty"` // its name and version, as it says
	Local        bool              `json:"server_local"`     // it shares the machine with the client
	Model        string            `json:"model"`
	ModelVersion string            `json:"model_version,omitempty"`
	Digest       string            `json:"model_digest,omitempty"`
	Protocol     loadtest.Protocol `json:"protocol"`

	Loop        string  `json:"loop"` // as in loadtest.Result
	Rate        float64 `json:"rate"`
	Trace       string  `json:"trace,omitempty"` // the file
	Speed       float64 `json:"trace_speed,omitempty"`
	BurstOn     float64 `json:"burst_on_seconds,omitempty"`
	BurstOff    float64 `json:"burst_off_seconds,omitempty"`
	Connections int     `json:"connections"`
	Payloads    int     `json:"payloads"`
	Seed        uint64  `json:"seed"`
	Warmup      float64 `json:"warmup_seconds"`
	Duration    float64 `json:"duration_seconds"`
	Timeout     float64 `json:"timeout_seconds"`
	Window      float64 `json:"window_seconds"`
	SLO         string  `json:"slo,omitempty"`

	Machine Machine `json:"machine"`
	Godwit  string  `json:"godwit"`
	Go      string  `json:"go"`
}

// Machine is the client's.
type Machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPU    string `json:"cpu"` // the processor's name
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes,omitempty"`
	Kernel string `json:"kernel,omitempty"`
}

// Recording is what `godwit bench --json` prints and what the other functions
// work on: the result's fields, what was run, and the windows.
type Recording struct {
	*loadtest.Result
	Run Run `json:"run"`
	// Windows are those of the run, in their order. Where they would be more
	// than 4096, neighbours are joined.
	Windows []loadtest.Window `json:"windows,omitempty"`
	Limit   *loadtest.Limit   `json:"slo,omitempty"`
	// Interrupted says that the run ended before its time; Error why.
	Interrupted bool   `json:"interrupted,omitempty"`
	Error       string `json:"error,omitempty"`
}

const maxWindows = 4096

// Add appends a window.
func (r *Recording) Add(w *loadtest.Window) {
	r.Windows = append(r.Windows, *w)
	if len(r.Windows) <= maxWindows {
		return
	}
	joined := r.Windows[:0]
	for i := 0; i < len(r.Windows); i++ {
		one := r.Windows[i]
		if i+1 < len(r.Windows) && adjoin(&one, &r.Windows[i+1]) {
			one = join(&one, &r.Windows[i+1])
			i++
		}
		joined = append(joined, one)
	}
	r.Windows = joined
}

func adjoin(a, b *loadtest.Window) bool {
	return a.Part == b.Part && b.At-(a.At+a.Seconds) < 1e-3
}

// join is two windows as one.
func join(a, b *loadtest.Window) loadtest.Window {
	w := loadtest.Window{Part: a.Part, At: a.At, Seconds: a.Seconds + b.Seconds, OK: a.OK + b.OK, Outstanding: b.Outstanding}
	for _, from := range []*loadtest.Window{a, b} {
		w.Histogram.Merge(&from.Histogram)
		for name, n := range from.Errors {
			if w.Errors == nil {
				w.Errors = map[string]int64{}
			}
			w.Errors[name] += n
		}
		if s := from.Server; s != nil {
			if w.Server == nil {
				w.Server = &loadtest.ServerUsage{}
			}
			w.Server.CPUSeconds += s.CPUSeconds
			w.Server.RSS = max(w.Server.RSS, s.RSS)
			w.Server.Processes = max(w.Server.Processes, s.Processes)
		}
	}
	w.Latency = w.Histogram.Latencies()
	w.Latency.Max = max(a.Latency.Max, b.Latency.Max)
	return w
}

// load are the windows in which requests came.
func (r *Recording) load() []loadtest.Window {
	var all []loadtest.Window
	for _, w := range r.Windows {
		if w.Part == loadtest.PartLoad && w.Seconds > 0 {
			all = append(all, w)
		}
	}
	return all
}

// recover makes a result of the windows, for a file that ends before its
// result. What windows do not hold is not in it.
func (r *Recording) recover() {
	res := &loadtest.Result{Target: r.Run.Target, Model: r.Run.Model, Protocol: r.Run.Protocol, Loop: r.Run.Loop,
		Connections: r.Run.Connections, Payloads: r.Run.Payloads, Seed: r.Run.Seed, Rate: r.Run.Rate, Errors: map[string]int64{}}
	var longest time.Duration
	inLoad, ended := int64(0), int64(0)
	for i := range r.Windows {
		w := &r.Windows[i]
		res.All += w.OK + w.Failed()
		if w.Part == loadtest.PartWarmup {
			continue
		}
		res.OK += w.OK
		for name, n := range w.Errors {
			res.Errors[name] += n
		}
		res.Sent += w.OK + w.Failed()
		res.Histogram.Merge(&w.Histogram)
		longest = max(longest, w.Latency.Max)
		if w.Part != loadtest.PartLoad {
			continue
		}
		res.Seconds += w.Seconds
		inLoad += w.OK
		if s := w.Server; s != nil {
			if res.Server == nil {
				res.Server = &loadtest.ServerUsage{}
			}
			res.Server.CPUSeconds += s.CPUSeconds
			res.Server.RSS, res.Server.Processes = max(res.Server.RSS, s.RSS), max(res.Server.Processes, s.Processes)
			ended += w.OK + w.Failed()
		}
	}
	if res.Seconds > 0 {
		res.Achieved = float64(inLoad) / res.Seconds
	}
	if ended > 0 {
		res.PerRequest = res.Server.CPUSeconds * 1e3 / float64(ended)
	}
	res.Latency = res.Histogram.Latencies()
	res.Latency.Max = longest
	r.Result, r.Interrupted = res, true
}
