package cloudrun_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

func env(kv ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return func(name string) string { return m[name] }
}

func TestAddressAndLimits(t *testing.T) {
	for port, want := range map[string]string{"": ":8080", "9000": ":9000"} {
		if got := cloudrun.Address(env("PORT", port)); got != want {
			t.Errorf("PORT %q: want %q, got %q", port, want, got)
		}
	}
	for drain, want := range map[time.Duration]time.Duration{0: time.Second, 5 * time.Second: 5 * time.Second, time.Minute: 9 * time.Second} {
		o := httpserve.Options{Drain: drain}
		if cloudrun.Limits(&o); o.Drain != want {
			t.Errorf("drain %v: want %v, got %v", drain, want, o.Drain)
		}
	}
}

func TestTaskOf(t *testing.T) {
	task := func(index, count string, more ...string) func(string) string {
		return env(append([]string{"CLOUD_RUN_JOB", "j", "CLOUD_RUN_EXECUTION", "j-1", "CLOUD_RUN_TASK_INDEX", index, "CLOUD_RUN_TASK_COUNT", count}, more...)...)
	}
	for _, c := range []struct {
		name string
		env  func(string) string
		want cloudrun.Task
		ok   bool
		bad  bool
	}{
		{"a service", env("K_SERVICE", "s"), cloudrun.Task{}, false, false},
		{"the only task", task("0", "1"), cloudrun.Task{Job: "j", Execution: "j-1", Count: 1}, true, false},
		{"the last of many, again", task("9999", "10000", "CLOUD_RUN_TASK_ATTEMPT", "3"), cloudrun.Task{Job: "j", Execution: "j-1", Index: 9999, Count: 10000, Attempt: 3}, true, false},
		{"behind the last", task("3", "3"), cloudrun.Task{}, true, true},
		{"before the first", task("-1", "3"), cloudrun.Task{}, true, true},
		{"no tasks", task("0", "0"), cloudrun.Task{}, true, true},
		{"too many", task("0", "10001"), cloudrun.Task{}, true, true},
		{"no number", task("0x1", "3"), cloudrun.Task{}, true, true},
		{"no index", task("", "3"), cloudrun.Task{}, true, true},
		{"no count", task("0", ""), cloudrun.Task{}, true, true},
		{"a bad attempt", task("0", "1", "CLOUD_RUN_TASK_ATTEMPT", "x"), cloudrun.Task{}, true, true},
	} {
		got, ok, err := cloudrun.TaskOf(c.env)
		if ok != c.ok || (err != nil) != c.bad || c.bad && fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%s: want ok %t and an error %t, got %t, %v", c.name, c.ok, c.bad, ok, err)
		}
		if !c.bad {
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", c.name, diff)
			}
		}
	}
}

func TestLegacyTrace(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for _, c := range []struct{ legacy, parent, want string }{
		{id + "/74;o=1", "", "00-" + id + "-000000000000004a-01"},
		{strings.ToUpper(id) + "/18446744073709551615;o=0", "", "00-" + id + "-ffffffffffffffff-00"},
		{id + "/74", "", "00-" + id + "-000000000000004a-00"},
		{id + "/74;o=1", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
		{id, "", ""}, {id + "/0", "", ""}, {id + "/x;o=1", "", ""}, {"x/1", "", ""}, {id[1:] + "/1", "", ""}, {id[2:] + "/1", "", ""}, {id + "zz/1", "", ""}, {id + "00/1", "", ""}, {id + "/18446744073709551616", "", ""}, {"", "", ""},
	} {
		var got string
		api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Traceparent") })
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2", nil)
		r.Header.Set("X-Cloud-Trace-Context", c.legacy)
		if c.parent != "" {
			r.Header.Set("Traceparent", c.parent)
		}
		cloudrun.New(api, nil, nil).ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%q beside %q: want %q, got %q", c.legacy, c.parent, c.want, got)
		}
	}
}

// line is the only line of a log, decoded, less what differs each time.
func line(t *testing.T, log *bytes.Buffer) map[string]any {
	t.Helper()
	var got map[string]any
	dec := json.NewDecoder(log)
	if err := dec.Decode(&got); err != nil {
		t.Fatalf("want one JSON object a line: %v", err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Fatalf("want one line, got more: %v", err)
	}
	if at, err := time.Parse(time.RFC3339Nano, got["time"].(string)); err != nil || time.Since(at) > time.Hour {
		t.Errorf("want a time as in RFC 3339, got %v", got["time"])
	}
	delete(got, "time")
	return got
}

func TestLog(t *testing.T) {
	trace, _ := telemetry.ParseTrace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "")
	ctx := telemetry.WithTrace(t.Context(), trace)
	fields := map[string]any{
		"logging.googleapis.com/trace": "projects/demo/traces/0af7651916cd43dd8448eb211c80319c", "logging.googleapis.com/spanId": trace.SpanID(), "logging.googleapis.com/trace_sampled": true,
	}
	add := func(more map[string]any) map[string]any {
		all := map[string]any{}
		for _, m := range []map[string]any{fields, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	for _, c := range []struct {
		name    string
		project string
		ctx     context.Context
		write   func(ctx context.Context, l *slog.Logger)
		want    map[string]any
	}{
		{"info", "demo", t.Context(), func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "m", "a", 1) }, map[string]any{"severity": "INFO", "message": "m", "a": 1.0}},
		{"debug", "demo", t.Context(), func(ctx context.Context, l *slog.Logger) { l.DebugContext(ctx, "m") }, map[string]any{"severity": "DEBUG", "message": "m"}},
		{"warn", "demo", t.Context(), func(ctx context.Context, l *slog.Logger) { l.WarnContext(ctx, "m") }, map[string]any{"severity": "WARNING", "message": "m"}},
		{"error", "demo", t.Context(), func(ctx context.Context, l *slog.Logger) {
			l.ErrorContext(ctx, "m", "error", errors.New("\u202ex\x1b[31m\n"))
		}, map[string]any{"severity": "ERROR", "message": "m", "error": "\\u202ex\x1b[31m\n"}},
		{"a trace", "demo", ctx, func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "m", "trace_id", "x", "span_id", "y") }, add(map[string]any{"severity": "INFO", "message": "m"})},
		{"a trace of no project", "", ctx, func(ctx context.Context, l *slog.Logger) { l.InfoContext(ctx, "m", "trace_id", "x") }, map[string]any{"severity": "INFO", "message": "m", "trace_id": "x"}},
		{"with attributes", "demo", ctx, func(ctx context.Context, l *slog.Logger) { l.With("k", "v").InfoContext(ctx, "m") }, add(map[string]any{"severity": "INFO", "message": "m", "k": "v"})},
		{"text to escape", "", t.Context(), func(ctx context.Context, l *slog.Logger) {
			l.InfoContext(ctx, "a\"\\\n\x00", "k\"", "\u202e\x1b[31m\xff\u009bé<&>", "b", true, "n", int64(-7), "f", 0.125)
		}, map[string]any{"severity": "INFO", "message": "a\"\\\n\x00", "k\"": "\\u202e\x1b[31m\\xff\\u009bé<&>", "b": true, "n": -7.0, "f": 0.125}},
		{"numbers that slog writes", "demo", ctx, func(ctx context.Context, l *slog.Logger) {
			l.InfoContext(ctx, "m", "f", 1e30, "g", -0.5, "d", time.Second)
		}, add(map[string]any{"severity": "INFO", "message": "m", "f": 1e30, "g": -0.5, "d": 1e9})},
		{"a group's own names", "demo", t.Context(), func(ctx context.Context, l *slog.Logger) {
			l.InfoContext(ctx, "m", slog.Group("g", "level", 1, "msg", "x"))
		}, map[string]any{"severity": "INFO", "message": "m", "g": map[string]any{"level": 1.0, "msg": "x"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			c.write(c.ctx, cloudrun.NewLogger(&log, &cloudrun.LogOptions{Level: slog.LevelDebug, Project: c.project}))
			if diff := cmp.Diff(c.want, line(t, &log)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestRequestInLog is the line of a request as Cloud Logging shows it.
func TestRequestInLog(t *testing.T) {
	var log bytes.Buffer
	logger := cloudrun.NewLogger(&log, &cloudrun.LogOptions{Project: "demo", Requests: true})
	s, err := adaptertest.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o := s.API.Options()
	o.Log = logger
	server := oip.New(s.Models, nil, &o) // the handler fails, whatever is asked
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://score.example/v2/models/text/infer?key=secret", strings.NewReader(`{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["a"]}],"id":"i"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "curl\u202e")
	r.Header.Set("X-Forwarded-For", "203.0.113.9, 192.0.2.1")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Cloud-Trace-Context", "0af7651916cd43dd8448eb211c80319c/74;o=1")
	cloudrun.New(server, nil, &cloudrun.Options{Log: logger}).ServeHTTP(httptest.NewRecorder(), r)
	got := line(t, &log)
	if got["severity"] != "ERROR" || got["logging.googleapis.com/trace"] != "projects/demo/traces/0af7651916cd43dd8448eb211c80319c" || got["logging.googleapis.com/trace_sampled"] != true {
		t.Errorf("want an error with its trace, got %v", got)
	}
	request, _ := got["httpRequest"].(map[string]any)
	if latency, _ := request["latency"].(string); !strings.HasSuffix(latency, "s") || !strings.Contains(latency, ".") {
		t.Errorf("want a latency in seconds, got %q", latency)
	}
	delete(request, "latency")
	want := map[string]any{
		"requestMethod": "POST", "requestUrl": "https://score.example/v2/models/text/infer", "status": 500.0, "protocol": "HTTP/1.1",
		"userAgent": `curl\u202e`, "remoteIp": "192.0.2.1", "requestSize": "78",
	}
	if diff := cmp.Diff(want, request); diff != "" {
		t.Errorf("httpRequest (-want +got)\n%s", diff)
	}
}

// TestLogWritesAsSlog: a line that we write and the same line by slog are equal.
func TestLogWritesAsSlog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var own, slogs bytes.Buffer
		message, value, number := rapid.String().Draw(t, "message"), rapid.String().Draw(t, "value"), rapid.Float64().Draw(t, "number")
		l := cloudrun.NewLogger(&own, nil)
		l.Info(message, "s", value, "f", number)
		// With has slog write the line.
		cloudrun.NewLogger(&slogs, nil).With("s", value).Info(message, "f", number)
		var a, b map[string]any
		if err := json.Unmarshal(own.Bytes(), &a); err != nil {
			t.Fatalf("%q: %v", own.Bytes(), err)
		}
		if err := json.Unmarshal(slogs.Bytes(), &b); err != nil {
			t.Fatalf("%q: %v", slogs.Bytes(), err)
		}
		delete(a, "time")
		delete(b, "time")
		if diff := cmp.Diff(b, a); diff != "" {
			t.Fatalf("(-slog +ours)\n%s", diff)
		}
	})
}
