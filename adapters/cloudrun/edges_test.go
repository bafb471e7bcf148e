package cloudrun_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// Of an unwrapped message's headers those are attributes that neither HTTP nor
// the platform has put there.
func TestWhichHeadersAreAttributes(t *testing.T) {
	h := headers("x-goog-pubsub-subscription-name: s", "x-goog-pubsub-message-id: 1", "x-goog-pubsub-other: x", "X-Forwarded-Proto: https", "X-Google-Apps: x", "Kind: a", "X-Kind: b", "Content-Kind: c", "X-Goog-Kind: d")
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Length", "Content-Type", "Expect", "Forwarded", "From", "Host", "Te", "Traceparent",
		"Tracestate", "Transfer-Encoding", "Upgrade", "User-Agent", "Via", "X-Cloud-Trace-Context", "X-Request-Id", "X-Serverless-Authorization",
	} {
		h.Set(name, "x")
	}
	h.Set("Content-Encoding", "identity")
	rec := &recorder{}
	if w := push(t, rec, anyone, h, []byte("{}")); w.Code != 204 || len(rec.got) != 1 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	if diff := cmp.Diff(map[string]string{"kind": "a", "x-kind": "b", "content-kind": "c", "x-goog-kind": "d"}, rec.got[0].Items[0].Attributes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is passed on is what was sent: a request's query, an event's attributes
// and the trace that it belongs to.
func TestPassedOnAsItCame(t *testing.T) {
	asked := false
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if asked = true; r.URL.RequestURI() != "/v2/models?a=1&a=2" {
			t.Errorf("the protocol is asked for %s", r.URL.RequestURI())
		}
	})
	cloudrun.New(api, nil, nil).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/models?a=1&a=2", nil))
	if !asked {
		t.Error("the protocol was not asked")
	}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	events := trigger.HandlerFunc(func(ctx context.Context, ev *trigger.Event) []trigger.Outcome {
		trace, ok := telemetry.TraceOf(ctx)
		if item := ev.Items[0]; item.Attributes["subject"] != "a \u00e9" || !ok || trace.TraceID() != "0af7651916cd43dd8448eb211c80319c" || trace.State != "k=1,l=2" {
			t.Errorf("the handler got %+v and %+v", item, trace)
		}
		return []trigger.Outcome{{State: trigger.Done}}
	})
	h := headers("ce-id: 1", "ce-source: /s", "ce-type: t", "ce-specversion: 1.0", "ce-subject: a%20%C3%A9", "traceparent: "+parent, "tracestate: k=1", "tracestate: l=2")
	if w := push(t, events, anyone, h, nil); w.Code != 204 {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestEventsThatCannotBeRead(t *testing.T) {
	batched := headers("Content-Type: application/cloudevents-batch+json")
	object := func(members string) (http.Header, string) {
		return headers("ce-id: 1", "ce-source: /s", "ce-type: google.cloud.storage.object.v1.finalized", "ce-specversion: 1.0"), members
	}
	slash, slashBody := object(`{"bucket":"a/b","name":"n","generation":"1"}`)
	none, noneBody := object(`{"name":"n","generation":"1"}`)
	nameless, namelessBody := object(`{"bucket":"b","generation":"1"}`)
	for _, c := range []struct {
		name   string
		header http.Header
		body   string
		status int
		said   string // of the document nothing may be told
	}{
		{"a batch of one that is none", batched, `[{}]`, 400, "specversion"},
		{"a batch of two that are none", batched, `[{},{}]`, 400, "event 0"},
		{"a bucket with a slash", slash, slashBody, 400, "bucket"},
		{"no bucket", none, noneBody, 400, "bucket"},
		{"no name", nameless, namelessBody, 400, "name"},
		{"no JSON", nil, `{"message": 4111-1111`, 400, "not JSON at byte"},
		{"a number for an id", nil, `{"message":{"messageId":41111111},"subscription":"s"}`, 400, "is a number"},
		{"no base64", nil, `{"message":{"messageId":"1","data":"41111-111"},"subscription":"s"}`, 400, "data that is not base64"},
	} {
		w := push(t, &recorder{}, anyone, c.header, []byte(c.body))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.said) || strings.Contains(w.Body.String(), "4111") {
			t.Errorf("%s: %d %s, want %d and %q", c.name, w.Code, w.Body, c.status, c.said)
		}
	}
}

// An event that came in another way is worked on as a push of it would be.
func TestDo(t *testing.T) {
	e := func() *cloudevent.Event {
		return &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Data: []byte("{}")}
	}
	ends := func(o trigger.Outcome) trigger.Handler { return &recorder{answer: []trigger.Outcome{o}} }
	full := fault.New(fault.Unavailable, "test", "", "full")
	bad := fault.New(fault.Invalid, "test", "", "bad")
	aside := 0
	for _, c := range []struct {
		name   string
		event  *cloudevent.Event
		events trigger.Handler
		opts   *cloudrun.Options
		code   fault.Code
	}{
		{"done", e(), ends(trigger.Outcome{State: trigger.Done}), nil, fault.OK},
		{"later", e(), ends(trigger.Of(full)), nil, fault.Unavailable},
		{"never", e(), ends(trigger.Of(bad)), nil, fault.Invalid},
		{"never, and put aside", e(), ends(trigger.Of(bad)), &cloudrun.Options{Aside: func(_ context.Context, item *trigger.Item, why error) error {
			if aside++; item.ID != "1" || !errors.Is(why, bad) {
				t.Errorf("put aside: %+v, %v", item, why)
			}
			return nil
		}}, fault.OK},
		{"not let in", e(), ends(trigger.Outcome{State: trigger.Done}), &cloudrun.Options{Admit: func() error { return full }}, fault.Unavailable},
		{"let in", e(), ends(trigger.Outcome{State: trigger.Done}), &cloudrun.Options{Admit: func() error { return nil }}, fault.OK},
		{"a panic", e(), trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome { panic("x") }), nil, fault.Internal},
		{"a panic of who lets in", e(), ends(trigger.Outcome{State: trigger.Done}), &cloudrun.Options{Admit: func() error { panic("x") }}, fault.Internal},
		{"no triggers", e(), nil, nil, fault.Unsupported},
		{"a message in protobuf", &cloudevent.Event{ID: "1", Source: "/s", Type: "google.cloud.pubsub.topic.v1.messagePublished", DataContentType: "application/protobuf"}, &recorder{}, nil, fault.UnsupportedMedia},
	} {
		err := cloudrun.Do(t.Context(), c.event, c.events, c.opts)
		if fault.CodeOf(err) != c.code || (err == nil) != (c.code == fault.OK) {
			t.Errorf("%s: %v, want %v", c.name, err, c.code)
		}
	}
	if aside != 1 {
		t.Errorf("put aside %d times", aside)
	}
	for timeout, want := range map[time.Duration]bool{0: false, time.Hour: true} {
		limited := false
		events := trigger.HandlerFunc(func(ctx context.Context, _ *trigger.Event) []trigger.Outcome {
			_, limited = ctx.Deadline()
			return []trigger.Outcome{{State: trigger.Done}}
		})
		if err := cloudrun.Do(context.WithoutCancel(t.Context()), e(), events, &cloudrun.Options{Timeout: timeout}); err != nil || limited != want {
			t.Errorf("a limit of %v: %v, with a deadline: %t", timeout, err, limited)
		}
	}
}

func TestBodiesThatEndTooEarly(t *testing.T) {
	send := func(ctx context.Context, length int64, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/events", body)
		r.ContentLength = length
		w := httptest.NewRecorder()
		cloudrun.New(http.NotFoundHandler(), &recorder{}, anyone).ServeHTTP(w, r)
		return w
	}
	const document = `{"message":{"messageId":"1"},"subscription":"s"}`
	if w := send(t.Context(), -1, strings.NewReader(document)); w.Code != 204 {
		t.Errorf("in chunks: %d %s", w.Code, w.Body)
	}
	if w := send(t.Context(), int64(len(document))+1, strings.NewReader(document)); w.Code != 400 || !strings.Contains(w.Body.String(), "ends too early") {
		t.Errorf("too short: %d %s", w.Code, w.Body)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if w := send(late, 100, strings.NewReader(document)); w.Code != 504 {
		t.Errorf("too late: %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events", strings.NewReader(document))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	cloudrun.New(http.NotFoundHandler(), &recorder{}, &cloudrun.Options{Anyone: true, MaxBody: 1, BodyMemory: 1}).ServeHTTP(w, r)
	if w.Code != 413 {
		t.Errorf("more than a byte: %d %s", w.Code, w.Body)
	}
}

func TestTasksOfJobs(t *testing.T) {
	for name, vars := range map[string][]string{
		"CLOUD_RUN_TASK_COUNT":   {"CLOUD_RUN_TASK_INDEX", "0"},
		"CLOUD_RUN_TASK_INDEX":   {"CLOUD_RUN_TASK_COUNT", "2"},
		"CLOUD_RUN_TASK_ATTEMPT": {"CLOUD_RUN_TASK_INDEX", "0", "CLOUD_RUN_TASK_COUNT", "1", "CLOUD_RUN_TASK_ATTEMPT", "2147483648"},
	} {
		task, ok, err := cloudrun.TaskOf(env(vars...))
		if !ok || fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %+v, %t, %v", name, task, ok, err)
		}
	}
	for _, attempt := range []string{"0", "2147483647"} {
		if task, ok, err := cloudrun.TaskOf(env("CLOUD_RUN_TASK_INDEX", "0", "CLOUD_RUN_TASK_COUNT", "1", "CLOUD_RUN_TASK_ATTEMPT", attempt)); !ok || err != nil || (task.Attempt == 0) != (attempt == "0") {
			t.Errorf("attempt %s: %+v, %t, %v", attempt, task, ok, err)
		}
	}
}

// Whose request it was is what the front end saw, without one the peer.
func TestWhoseRequestTheLogShows(t *testing.T) {
	for _, c := range []struct {
		forwarded []string
		peer      string
		want      string
	}{
		{nil, "192.0.2.7:1234", "192.0.2.7"}, {nil, "nowhere", ""}, {[]string{"203.0.113.9"}, "192.0.2.7:1234", "203.0.113.9"},
		{[]string{"1.1.1.1, 203.0.113.9"}, "192.0.2.7:1234", "203.0.113.9"}, {[]string{"1.1.1.1", "2.2.2.2,203.0.113.9"}, "192.0.2.7:1234", "203.0.113.9"},
	} {
		var log bytes.Buffer
		logger := cloudrun.NewLogger(&log, &cloudrun.LogOptions{Requests: true})
		api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			logger.InfoContext(r.Context(), "request", slog.String("code", "not_found"), slog.Float64("duration_ms", 1500))
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/v2", nil)
		r.RemoteAddr, r.ContentLength = c.peer, -1
		for _, v := range c.forwarded {
			r.Header.Add("X-Forwarded-For", v)
		}
		cloudrun.New(api, nil, &cloudrun.Options{Log: logger}).ServeHTTP(httptest.NewRecorder(), r)
		want := map[string]any{"requestMethod": "GET", "requestUrl": "http://h/v2", "protocol": "HTTP/1.1", "userAgent": "", "remoteIp": c.want, "latency": "1.500000s", "status": 404.0}
		if diff := cmp.Diff(want, line(t, &log)["httpRequest"]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// The one line of a delivery says what it was and how it ended, as Cloud
// Logging's queries and alerts look for it.
func TestLineOfADelivery(t *testing.T) {
	h := headers("ce-id: 1", "ce-source: /s", "ce-type: t", "ce-specversion: 1.0")
	for _, c := range []struct {
		code     fault.Code
		severity string
	}{{fault.OK, "INFO"}, {fault.Unavailable, "INFO"}, {fault.Internal, "ERROR"}} {
		for _, way := range []string{"pushed", "done"} {
			var log bytes.Buffer
			opts := &cloudrun.Options{Anyone: true, Log: cloudrun.NewLogger(&log, nil)}
			out := trigger.Outcome{State: trigger.Done}
			if c.code != fault.OK {
				out = trigger.Of(fault.New(c.code, "test", "", "no"))
			}
			rec := &recorder{answer: []trigger.Outcome{out}}
			if way == "pushed" {
				push(t, rec, opts, h, nil)
			} else if err := cloudrun.Do(t.Context(), &cloudevent.Event{ID: "1", Source: "/s", Type: "t"}, rec, opts); fault.CodeOf(err) != c.code {
				t.Errorf("%v: %v", c.code, err)
			}
			got := line(t, &log)
			if took, _ := got["duration_ms"].(float64); took < 0 || took > 60_000 {
				t.Errorf("it took %v ms", got["duration_ms"])
			}
			if _, failed := got["error"]; failed != (c.severity == "ERROR") {
				t.Errorf("%v, %s: %v", c.code, way, got)
			}
			delete(got, "duration_ms")
			delete(got, "error")
			want := map[string]any{"severity": c.severity, "message": "event", "target": "cloudrun", "kind": "cloudevents", "source": "/s", "items": 1.0, "code": c.code.String()}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", way, diff)
			}
		}
	}
}
