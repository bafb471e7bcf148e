package oip

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
)

// An Exchange is one request and its answer on any wire. Begin starts it and
// End writes its log line and its metrics; it belongs to one goroutine.
type Exchange struct {
	server   *Server
	start    time.Time
	protocol string
	traced   telemetry.Traced
	deadline deadline
	parent   string // the trace's header
	line     telemetry.RequestLog
	// inference tells requests that are counted from probes and metadata.
	inference bool
	header    func(name string) []string // nil over HTTP/1.1 and HTTP/2, where it is fields
	fields    http.Header
	caller    string // as Authorize found it

	// What the path says, checked.
	model, version string

	// What response headers hold, in place: a slice of its own for each would
	// be as many allocations.
	values [8]string
	used   int
}

// value is what a header with the one value v holds.
func (x *Exchange) value(v string) []string {
	if x.used == len(x.values) {
		return []string{v}
	}
	x.used++
	x.values[x.used-1] = v
	return x.values[x.used-1 : x.used : x.used]
}

// Begin starts an exchange. protocol is one of telemetry's Protocol constants;
// header gives the values of a header of the request, by its lower-case name.
// The context that it returns carries the trace.
func (s *Server) Begin(ctx context.Context, protocol string, header func(name string) []string) (context.Context, *Exchange) {
	x := &Exchange{server: s, protocol: protocol, header: header}
	return x.begin(ctx, header("traceparent"), header("tracestate"), header("x-request-id")), x
}

// beginHTTP is Begin for a request of net/http, whose names are looked up as
// that keeps them: it would make them anew each time.
func (s *Server) beginHTTP(r *http.Request) (context.Context, *Exchange) {
	h := r.Header
	x := &Exchange{server: s, protocol: telemetry.ProtocolREST, fields: h}
	return x.begin(r.Context(), h["Traceparent"], h["Tracestate"], h["X-Request-Id"]), x
}

func (x *Exchange) begin(ctx context.Context, parents, states, ids []string) context.Context {
	x.start = time.Now()
	x.line.Target = x.server.opts.Target
	var ok bool
	x.traced.Context = ctx
	if len(parents) == 1 {
		x.traced.Trace, ok = telemetry.ParseTrace(parents[0], strings.Join(states, ","))
	}
	if !ok {
		x.traced.Trace = telemetry.NewTrace()
	}
	x.parent = x.traced.Trace.Header()
	if len(ids) == 1 && validID(ids[0]) {
		x.line.RequestID = ids[0]
	}
	return &x.traced
}

// RequestID is what the log line calls the request: the X-Request-Id of the
// caller, else the id in the body, else the trace's id.
func (x *Exchange) RequestID() string {
	if x.line.RequestID == "" {
		return x.parent[len("00-"):][:2*len(x.traced.Trace.ID)]
	}
	return x.line.RequestID
}

// TraceParent is the traceparent that the answer carries.
func (x *Exchange) TraceParent() string { return x.parent }

// Asked says which model an inference request is for, before it is decoded.
func (x *Exchange) Asked(model, version string) {
	x.inference = true
	x.line.Model, x.line.Version = clip(model), clip(version)
}

// Infer has the handler answer req: within the deadline, whatever it does.
// The caller releases the response. Errors carry a fault code; a panic is
// Internal.
func (x *Exchange) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	x.Asked(req.Model, req.Version)
	if x.line.RequestID == "" {
		x.line.RequestID = clip(req.ID)
	}
	for _, n := range [...]struct{ what, name string }{{"model", req.Model}, {"version", req.Version}} {
		if n.name != "" && !infer.ValidName(n.name) {
			return nil, badName(n.what, n.name)
		}
	}
	limit, err := timeout(req.Params, x.server.opts.Timeout)
	if err != nil {
		return nil, err
	}
	req.Caller = x.caller
	if req.Priority, err = priority(req.Params); err != nil {
		return nil, err
	}
	if limit > 0 {
		// From the request's start: time spent reading a slow body counts.
		at := x.start.Add(limit)
		if e := x.ender(ctx); e != nil && e.EndBy(at) {
			defer e.EndBy(time.Time{})
		} else {
			d := &x.deadline
			if d.Context != nil {
				d = new(deadline) // a second request on this exchange
			}
			d.Context, d.at = ctx, at
			defer d.end()
			ctx = d
		}
	}
	resp, err := x.call(ctx, req)
	if err != nil {
		// A server that stops ends requests with its own reason.
		if stop := fault.Of(context.Cause(ctx)); stop != nil && fault.CodeOf(err) == fault.Canceled {
			return nil, stop
		}
		return nil, err
	}
	x.line.Model, x.line.Version, x.line.PredictionID = resp.Model, resp.Version, resp.Prediction
	if !resp.Cached { // a kept answer was no work of the model
		x.server.opts.Sink.Inference(telemetry.InferenceEvent{
			Model: resp.Model, Version: resp.Version,
			Queue: resp.Timing.Queue, Compute: resp.Timing.Compute, Rows: resp.Timing.BatchRows,
		})
	}
	return resp, nil
}

func (x *Exchange) call(ctx context.Context, req *infer.Request) (resp *infer.Response, err error) {
	defer Recover(&err)
	resp, err = x.server.handler.Infer(ctx, req)
	if err == nil && resp == nil {
		err = fault.New(fault.Internal, "oip.Infer", "", "the handler returned neither a response nor an error")
	}
	return resp, err
}

// End writes the log line and counts the request. err is what the caller got.
func (x *Exchange) End(ctx context.Context, err error) {
	x.line.Err, x.line.Duration = err, time.Since(x.start)
	x.line.RequestID, x.line.Caller = x.RequestID(), x.caller
	x.line.Quiet = !x.inference
	if x.inference {
		model, version := telemetry.Other, ""
		if m, err := x.server.registry.Lookup(x.line.Model, x.line.Version); err == nil {
			model, version = m.Name(), m.Version()
		} else if fault.CodeOf(err) == fault.Unavailable {
			model, version = x.line.Model, x.line.Version
		} else {
			// What a caller made up is neither counted nor logged: it may be anything.
			x.line.Model, x.line.Version = model, version
		}
		x.server.opts.Sink.Request(telemetry.RequestEvent{
			Model: model, Version: version, Protocol: x.protocol, Code: fault.CodeOf(err), Duration: x.line.Duration,
		})
	}
	x.line.Write(ctx, x.server.opts.Log)
}

// Recover, deferred, turns a panic into an Internal error in *err, with the
// stack as its cause: for the log, never for the caller, who gets fault.Public.
func Recover(err *error) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p) // net/http's own way to drop a connection
	default:
		*err = fault.New(fault.Internal, "oip.Recover", "", "panic: %v\n%s", p, debug.Stack())
	}
}

// timeout is the shorter of the caller's timeout parameter, in microseconds
// as Triton has it, and the server's own; 0 is none.
func timeout(params infer.Params, own time.Duration) (time.Duration, error) {
	var micros uint64
	switch v := params["timeout"].(type) {
	case nil:
	case int64:
		if v < 0 {
			return 0, badTimeout(v)
		}
		micros = uint64(v)
	case uint64:
		micros = v
	default:
		return 0, badTimeout(v)
	}
	if micros == 0 || micros > math.MaxInt64/1000 {
		return own, nil
	}
	asked := time.Duration(micros) * time.Microsecond
	if own > 0 {
		asked = min(asked, own)
	}
	return asked, nil
}

// priority reads the parameter of this name as Triton has it: a whole number,
// where 1 is the most urgent, more is less so, and 0 is the server's default.
// There are two kinds of urgency here.
func priority(params infer.Params) (infer.Priority, error) {
	var level uint64
	switch v := params["priority"].(type) {
	case nil:
	case int64:
		if v < 0 {
			return 0, badPriority(v)
		}
		level = uint64(v)
	case uint64:
		level = v
	default:
		return 0, badPriority(v)
	}
	if level >= 2 {
		return infer.Batch, nil
	}
	return infer.Interactive, nil
}

func badPriority(got any) error {
	return fault.New(fault.Invalid, "oip.Infer", `parameter "priority"`, "want a whole number of at least 0, got %v", got).
		WithHint("Leave it out, or send 2 for work that may wait.")
}

func badTimeout(got any) error {
	return fault.New(fault.Invalid, "oip.Infer", `parameter "timeout"`, "want a whole number of microseconds, got %v", got)
}

func badName(what, got string) error {
	return fault.New(fault.Invalid, "oip.Infer", fmt.Sprintf("%s %q", what, clip(got)),
		"want a name of 1 to 128 letters, digits, '_', '.' and '-' that begins with a letter or digit")
}

// maxID bounds what of a caller's names and ids gets into logs and headers.
const maxID = 128

func validID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func clip(s string) string { return s[:min(len(s), maxID)] }
