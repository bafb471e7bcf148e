package oip_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
)

func withParam(param string) string {
	return strings.Replace(addsubBody, `"id":"r-1"`, `"id":"r-1","parameters":{`+param+`}`, 1)
}

func TestTimeout(t *testing.T) {
	tests := []struct {
		name  string
		opts  *oip.Options
		param string
		want  fault.Code // of a handler that never ends by itself
	}{
		{"server's", &oip.Options{Timeout: time.Millisecond}, "", fault.DeadlineExceeded},
		{"caller's", nil, `"timeout":1000`, fault.DeadlineExceeded},
		{"the shorter", &oip.Options{Timeout: time.Millisecond}, `"timeout":60000000`, fault.DeadlineExceeded},
		{"the shorter, the other way", &oip.Options{Timeout: long}, `"timeout":1000`, fault.DeadlineExceeded},
		{"huge is none", &oip.Options{Timeout: time.Millisecond}, `"timeout":18446744073709551615`, fault.DeadlineExceeded},
		{"zero is none", &oip.Options{Timeout: time.Millisecond}, `"timeout":0`, fault.DeadlineExceeded},
		{"negative", nil, `"timeout":-1`, fault.Invalid},
		{"fraction", nil, `"timeout":1.5`, fault.Invalid},
		{"text", nil, `"timeout":"1"`, fault.Invalid},
		{"bool", nil, `"timeout":true`, fault.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, tt.opts)
			f.use(sleeper(nil))
			body := addsubBody
			if tt.param != "" {
				body = withParam(tt.param)
			}
			wantError(t, infers(f, "addsub", body), tt.want.HTTP(), tt.want)
		})
	}
}

func TestCallerGoneAndServerStopping(t *testing.T) {
	f := newFixture(t, nil)
	stop := fault.New(fault.Unavailable, "", "", "the server is stopping")
	for _, tt := range []struct {
		cause error
		want  fault.Code
	}{{nil, fault.Canceled}, {stop, fault.Unavailable}} {
		began := make(chan struct{}, 1)
		f.use(sleeper(began))
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan *httptest.ResponseRecorder)
		go func() {
			r := httptest.NewRequest("POST", "/v2/models/addsub/infer", strings.NewReader(addsubBody)).WithContext(ctx)
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			done <- w
		}()
		<-began
		cancel(tt.cause)
		wantError(t, <-done, tt.want.HTTP(), tt.want)
	}
}

func TestTraceAndRequestID(t *testing.T) {
	f := newFixture(t, nil)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	var seen telemetry.Trace
	f.use(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		seen, _ = telemetry.TraceOf(ctx)
		return nil, fault.New(fault.Invalid, "", "", "no")
	})
	w := infers(f, "addsub", addsubBody, "Traceparent", parent, "Tracestate", "a=1", "Tracestate", "b=2", "X-Request-Id", "req-7")
	got, ok := telemetry.ParseTrace(w.Header().Get("Traceparent"), "")
	if !ok || got.TraceID() != parent[3:35] || got.Parent != seen.Span || seen.State != "a=1,b=2" || !seen.Sampled {
		t.Errorf("answered %q, the handler saw %+v", w.Header().Get("Traceparent"), seen)
	}
	tests := []struct {
		name   string
		header []string
		body   string
		want   string // "" is the trace's id
	}{
		{"header", []string{"X-Request-Id", "req-7"}, addsubBody, "req-7"},
		{"body", nil, addsubBody, "r-1"},
		{"neither", nil, strings.Replace(addsubBody, `"id":"r-1",`, "", 1), ""},
		{"too long", []string{"X-Request-Id", strings.Repeat("x", 129)}, `{`, ""},
		{"control", []string{"X-Request-Id", "a\x01b"}, `{`, ""},
		{"twice", []string{"X-Request-Id", "a", "X-Request-Id", "b"}, `{`, ""},
		{"bad trace", []string{"Traceparent", "00-x"}, `{`, ""},
		{"two traces", []string{"Traceparent", parent, "Traceparent", parent}, `{`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := infers(f, "addsub", tt.body, tt.header...)
			want := tt.want
			if want == "" {
				want = w.Header().Get("Traceparent")[3:35]
			}
			if got := w.Header().Get("X-Request-Id"); got != want {
				t.Errorf("X-Request-Id %q, want %q", got, want)
			}
			if strings.HasPrefix(w.Header().Get("Traceparent"), parent[:35]) {
				t.Error("an invalid trace was continued")
			}
		})
	}
}

// One line and one count for each inference, whatever becomes of it; names
// that callers make up are counted together.
func TestLogAndMetrics(t *testing.T) {
	f := newFixture(t, &oip.Options{Target: "knative"})
	if err := f.registry.Declare("loading", "1"); err != nil {
		t.Fatal(err)
	}
	infers(f, "addsub", addsubBody)
	infers(f, "addsub", `{`)
	infers(f, "loading", addsubBody)
	for i := range 3 {
		infers(f, fmt.Sprintf("made-up-%d", i), addsubBody)
	}
	infers(f, "-x", addsubBody)
	do(f, "GET", "/v2/health/ready", "")
	do(f, "GET", "/v2/models/addsub", "")

	event := func(model, version string, code fault.Code) telemetry.RequestEvent {
		return telemetry.RequestEvent{Model: model, Version: version, Protocol: "rest", Code: code}
	}
	want := []telemetry.RequestEvent{
		event("addsub", "2", fault.OK), event("addsub", "2", fault.Invalid), event("loading", "", fault.Unavailable),
		event("other", "", fault.NotFound), event("other", "", fault.NotFound), event("other", "", fault.NotFound),
		event("other", "", fault.Invalid),
	}
	if diff := cmp.Diff(want, f.sink.requests, cmpopts.IgnoreFields(telemetry.RequestEvent{}, "Duration")); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if len(f.sink.inferences) != 1 || f.sink.inferences[0].Model != "addsub" || f.sink.inferences[0].Rows != 1 {
		t.Errorf("inferences: %+v", f.sink.inferences)
	}
	lines := bytes.Split(bytes.TrimSpace(f.log.Bytes()), []byte("\n"))
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), f.log)
	}
	var first struct {
		Target, Model, Version string
		RequestID              string `json:"request_id"`
		PredictionID           string `json:"prediction_id"`
		Code                   string
	}
	if err := json.Unmarshal(lines[0], &first); err != nil {
		t.Fatal(err)
	}
	if first.Target != "knative" || first.Model != "addsub" || first.Version != "2" || first.RequestID != "r-1" || first.PredictionID != "p-1" || first.Code != "ok" {
		t.Errorf("first line: %+v", first)
	}
	for i, line := range lines {
		if !json.Valid(line) || bytes.Contains(line, []byte("datatype")) {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

// What is logged is told by keys; values are never in it.
func TestNothingOfARequestIsLogged(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, &oip.Options{Log: telemetry.NewLogger(&log, false, slog.LevelDebug)})
	const canary = "4242421"
	for _, body := range []string{
		strings.Replace(addsubBody, "[1,2,3,4]", "["+canary+",2,3,4]", 1),
		strings.Replace(addsubBody, "[1,2,3,4]", `["`+canary+`",2,3,4]`, 1),
		strings.Replace(addsubBody, "[1,2,3,4]", "["+canary+"]", 1),
		strings.Replace(addsubBody, `"r-1"`, `"r-1","parameters":{"secret":"`+canary+`"}`, 1),
	} {
		infers(f, "addsub", body, "Authorization", "Bearer "+canary, "Cookie", canary)
	}
	if strings.Contains(log.String(), canary) || log.Len() == 0 {
		t.Errorf("the log holds what was sent, or nothing:\n%s", log.String())
	}
}

// What else calls Infer, on another wire, need not expect panics.
func TestExchangeRecovers(t *testing.T) {
	f := newFixture(t, nil)
	f.use(func(context.Context, *infer.Request) (*infer.Response, error) { panic("boom") })
	ctx, x := f.Begin(t.Context(), telemetry.ProtocolGRPC, func(string) []string { return nil })
	if _, err := x.Infer(ctx, &infer.Request{Model: "flat"}); fault.CodeOf(err) != fault.Internal || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v, want Internal with the cause", err)
	}
}

// Who asked is on the line where the access check told it, and no key is there
// where nobody is told apart.
func TestLogNamesTheCaller(t *testing.T) {
	for _, caller := range []string{"team-a", ""} {
		var log bytes.Buffer
		f := newFixture(t, &oip.Options{Log: telemetry.NewLogger(&log, false, slog.LevelInfo), Auth: letsIn(caller)})
		infers(f, "addsub", addsubBody)
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if got, has := line["caller"]; has != (caller != "") || has && got != caller {
			t.Errorf("want caller %q, got %v", caller, line)
		}
	}
}

// letsIn lets everybody in as the caller that it names.
type letsIn string

func (l letsIn) Authorize(context.Context, func(string) []string, oip.Scope) (string, error) {
	return string(l), nil
}
