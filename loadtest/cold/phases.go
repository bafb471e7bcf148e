package cold

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"godwit.dev/internal/app"
)

// Phases are the parts of a start, in the order in which most of them happen.
// Each moment belongs to one phase, so those of a start add up to all of it.
var phases = []string{"exec", "library", "environment", "session", "digest", "load", "first_run", "ready", "probe", "answer"}

// Phases are the names of a start's parts, in the order in which most happen:
//
//	exec         from starting the program to its own first line
//	library      loading ONNX Runtime's library and what it needs
//	environment  ONNX Runtime's own start
//	session      opening the models, by ONNX Runtime
//	digest       comparing files with their digests, while nothing above goes on
//	load         what else loading the models takes
//	first_run    the model's work for the first request
//	ready        what else there is until requests may come: reading godwit.yaml, the port
//	probe        until the platform has noticed and sends requests
//	answer       the request's way, there and back
//
// What goes on at the same time as something else counts to one of the two: to
// the one that comes first in exec, library, environment, session, first_run,
// digest, load.
func Phases() []string { return slices.Clone(phases) }

// busy are the phases that a program reports as intervals, the one that counts
// first where several go on. The same thing has two names: what Lambda does
// before its first invocation is the first run elsewhere.
var busy = []struct{ reported, phase string }{
	{"library", "library"}, {"environment", "environment"}, {"session", "session"},
	{"warmup", "first_run"}, {app.PhaseFirstRun, "first_run"}, {"digest", "digest"}, {"load", "load"},
}

// interval is a line of a program's report.
type interval struct {
	Msg   string `json:"msg"`
	Phase string `json:"phase"`
	From  int64  `json:"from_ns"`
	To    int64  `json:"to_ns"`
}

// split says which phase each moment of a start from begun on, of the length
// total, belongs to. admitted is when the platform began to send requests.
func split(reported []interval, begun time.Time, admitted, total time.Duration) map[string]time.Duration {
	zero := begun.UnixNano()
	at := func(ns int64) time.Duration { return min(max(0, time.Duration(ns-zero)), total) } // clocks may be set
	admitted = min(max(0, admitted), total)
	main, ready := time.Duration(0), admitted
	edges := []time.Duration{0, admitted, total}
	for _, r := range reported {
		switch r.Phase {
		case app.PhaseMain:
			main = at(r.From)
		case "ready":
			ready = min(at(r.To), admitted)
		}
		edges = append(edges, at(r.From), at(r.To))
	}
	edges = append(edges, main, ready)
	slices.Sort(edges)
	took := map[string]time.Duration{}
	for i := 1; i < len(edges); i++ {
		from, to := edges[i-1], edges[i]
		if from == to {
			continue
		}
		phase := "answer"
		switch {
		case to <= main:
			phase = "exec"
		case to <= ready:
			phase = "ready"
		case to <= admitted:
			phase = "probe"
		}
		if phase != "exec" {
			if p := during(reported, at, from, to); p != "" {
				phase = p
			}
		}
		took[phase] += to - from
	}
	return took
}

// during is what a program said it was doing from one edge to the next; "" for nothing.
func during(reported []interval, at func(int64) time.Duration, from, to time.Duration) string {
	for _, b := range busy {
		for _, r := range reported {
			if r.Phase == b.reported && at(r.From) <= from && to <= at(r.To) {
				return b.phase
			}
		}
	}
	return ""
}

// Log is what a function writes: the lines of its report, and the end of the
// rest, to say why it did not start. It may be used by several goroutines.
type Log struct {
	mu       sync.Mutex
	line     []byte
	reported []interval
	rest     [][]byte
}

const (
	maxLine  = 64 << 10
	maxRest  = 20 // lines
	maxParts = 1000
)

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	for {
		line, more, whole := bytes.Cut(b, []byte("\n"))
		if len(l.line)+len(line) <= maxLine {
			l.line = append(l.line, line...)
		}
		if !whole {
			return n, nil
		}
		l.end()
		b = more
	}
}

// end takes a whole line in.
func (l *Log) end() {
	var i interval
	if bytes.Contains(l.line, []byte(`"msg":"`+app.StartMessage+`"`)) && json.Unmarshal(l.line, &i) == nil && i.Msg == app.StartMessage {
		if len(l.reported) < maxParts {
			l.reported = append(l.reported, i)
		}
	} else {
		if len(l.rest) == maxRest {
			l.rest = l.rest[1:]
		}
		l.rest = append(l.rest, bytes.Clone(l.line))
	}
	l.line = l.line[:0]
}

// Last is what the function wrote last, without its report: 20 lines at most.
func (l *Log) Last() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []byte
	for _, line := range l.rest {
		all = append(append(all, line...), '\n')
	}
	return append(all, l.line...)
}

// take returns the report, and begins another.
func (l *Log) take() []interval {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.reported
	l.reported, l.rest, l.line = nil, nil, l.line[:0]
	return all
}
