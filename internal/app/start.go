package app

import (
	"log/slog"
	"sync"
	"time"

	"godwit.dev/runtime/telemetry"
)

// StartReport is the variable that has a function say on stderr, if it is not
// empty, what its start took: a JSON line with the message StartMessage for each
// phase, as it ends. `godwit bench --cold` sets it.
const (
	StartReport  = "GODWIT_START_REPORT"
	StartMessage = "start"
)

// The phases of a report that are not metrics as well.
const (
	PhaseMain     = "main"      // an instant: the program's own code begins
	PhaseFirstRun = "first_run" // the model's work for the first request
)

// reportStart has everything that o hears of the start on stderr too, where the
// environment asks for that. Nothing is in any request's way otherwise.
func (p *Process) reportStart(o *Options) {
	if p.Getenv(StartReport) == "" {
		return
	}
	r := &startReport{Sink: o.Sink, phase: o.Phase, log: telemetry.NewLogger(p.Stderr, false, slog.LevelInfo)}
	if r.Sink == nil {
		r.Sink = telemetry.Discard{}
	}
	if !p.Begun.IsZero() {
		r.say(PhaseMain, p.Begun, 0)
	}
	o.Sink, o.Phase = r, r.part
}

// startReport is a Sink that says what it hears of the start.
type startReport struct {
	telemetry.Sink
	phase func(string, time.Duration) // the one that it took the place of
	log   *slog.Logger
	ran   sync.Once
}

func (r *startReport) Start(phase string, took time.Duration) {
	r.say(phase, time.Now(), took)
	r.Sink.Start(phase, took)
}

func (r *startReport) part(phase string, took time.Duration) {
	r.say(phase, time.Now(), took)
	if r.phase != nil {
		r.phase(phase, took)
	}
}

// Inference of the first request is the first run, where nothing was run before.
func (r *startReport) Inference(e telemetry.InferenceEvent) {
	r.ran.Do(func() { r.say(PhaseFirstRun, time.Now(), e.Compute) })
	r.Sink.Inference(e)
}

// say writes a line. The times are the machine's, in nanoseconds since 1970, so
// that who started the process can put them beside its own.
func (r *startReport) say(phase string, ended time.Time, took time.Duration) {
	r.log.Info(StartMessage, "phase", phase, "from_ns", ended.Add(-took).UnixNano(), "to_ns", ended.UnixNano())
}
