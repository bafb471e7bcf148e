package cloudrun_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// Whatever is in a line, it is JSON and says what it should: values that we
// write, and those that are slog's.
func TestLinesAreJSON(t *testing.T) {
	trace, _ := telemetry.ParseTrace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "")
	ctx := telemetry.WithTrace(t.Context(), trace)
	for name, c := range map[string]struct {
		write func(l *slog.Logger)
		want  map[string]any
	}{
		"a backslash":              {func(l *slog.Logger) { l.Info(`\`, "a", `\\`) }, map[string]any{"message": `\`, "a": `\\`}},
		"a quote":                  {func(l *slog.Logger) { l.Info(`"`, "a", `""`) }, map[string]any{"message": `"`, "a": `""`}},
		"numbers":                  {func(l *slog.Logger) { l.Info("m", "a", 1234567, "b", -1234, "c", 123456.75) }, map[string]any{"message": "m", "a": 1234567.0, "b": -1234.0, "c": 123456.75}},
		"a time span":              {func(l *slog.Logger) { l.Info("m", "a", time.Second) }, map[string]any{"message": "m", "a": 1e9}},
		"a group":                  {func(l *slog.Logger) { l.WithGroup("g").Info("m", "a", 1) }, map[string]any{"message": "m", "g": map[string]any{"a": 1.0}}},
		"fields behind a trace's":  {func(l *slog.Logger) { l.InfoContext(ctx, "m", "trace_id", "x", "a", 1) }, map[string]any{"message": "m", "a": 1.0}},
		"the same, beside another": {func(l *slog.Logger) { l.With("k", "v").InfoContext(ctx, "m", "trace_id", "x", "a", 1) }, map[string]any{"message": "m", "k": "v", "a": 1.0}},
	} {
		var log bytes.Buffer
		c.write(cloudrun.NewLogger(&log, &cloudrun.LogOptions{Project: "demo"}))
		got := line(t, &log)
		for _, name := range []string{"severity", "logging.googleapis.com/trace", "logging.googleapis.com/spanId", "logging.googleapis.com/trace_sampled"} {
			delete(got, name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		var log bytes.Buffer
		if cloudrun.NewLogger(&log, nil).Info("m", "f", f); !json.Valid(log.Bytes()) {
			t.Errorf("%v: want JSON, got %s", f, log.Bytes())
		}
	}
}

// The line of a request that was answered, and had nothing to send.
func TestLineOfARequest(t *testing.T) {
	var log bytes.Buffer
	logger := cloudrun.NewLogger(&log, &cloudrun.LogOptions{Requests: true})
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		logger.InfoContext(r.Context(), "request", slog.String("code", fault.OK.String()), slog.String("duration_ms", "no number"))
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/v2", http.NoBody)
	r.Header.Set("X-Forwarded-Proto", "ftp")
	cloudrun.New(api, nil, &cloudrun.Options{Log: logger}).ServeHTTP(httptest.NewRecorder(), r)
	want := map[string]any{"requestMethod": "GET", "requestUrl": "http://h/v2", "protocol": "HTTP/1.1", "userAgent": "", "remoteIp": "192.0.2.1", "latency": "0.000000s", "status": 200.0, "requestSize": "0"}
	if diff := cmp.Diff(want, line(t, &log)["httpRequest"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A delivery that belongs to no trace begins one; what is done for it ends with
// it; and an answer that says why it is refused is not to be guessed at.
func TestWhatADeliveryHas(t *testing.T) {
	const document = `{"message":{"messageId":"1"},"subscription":"s"}`
	var got context.Context
	events := trigger.HandlerFunc(func(ctx context.Context, _ *trigger.Event) []trigger.Outcome {
		got = ctx
		return []trigger.Outcome{trigger.Of(fault.New(fault.Invalid, "test", "", "no"))}
	})
	w := push(t, events, &cloudrun.Options{Anyone: true, Timeout: time.Hour}, nil, []byte(document))
	if w.Code != http.StatusBadRequest || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("want 400 and nosniff, got %d, %q", w.Code, w.Header())
	}
	if trace, ok := telemetry.TraceOf(got); !ok || trace.TraceID() == "" || trace.TraceID() == "00000000000000000000000000000000" {
		t.Errorf("want a trace, got %+v, %t", trace, ok)
	}
	if got.Err() == nil {
		t.Error("what was done for the delivery goes on behind it")
	}
	if err := cloudrun.Do(t.Context(), &cloudevent.Event{ID: "1", Source: "/s", Type: "t"}, events, &cloudrun.Options{Timeout: time.Hour}); err == nil || got.Err() == nil {
		t.Errorf("what was done for the event goes on behind it: %v", err)
	}
}

// What lacks what it must have is refused, and nothing reaches the handler.
func TestDeliveriesThatLackSomething(t *testing.T) {
	const notification = `{"subscription":"s","message":{"messageId":"9","attributes":{"notificationConfig":"c","eventType":"OBJECT_FINALIZE","bucketId":"b","objectId":"k"`
	for name, c := range map[string]struct {
		header http.Header
		body   string
	}{
		"a message without its id":           {headers("x-goog-pubsub-subscription-name: s"), "{}"},
		"a message without its subscription": {headers("x-goog-pubsub-subscription-name: ", "x-goog-pubsub-message-id: 1"), "{}"},
		"an object without its generation":   {nil, notification + `}}}`},
		"an object that is none":             {nil, notification + `,"objectGeneration":"1","payloadFormat":"JSON_API_V1"},"data":"Nw=="}}`},
		"an event of a message that is none": {headers("ce-id: 1", "ce-source: /s", "ce-type: google.cloud.pubsub.topic.v1.messagePublished", "ce-specversion: 1.0"), `{"message":7}`},
	} {
		rec := &recorder{}
		if w := push(t, rec, anyone, c.header, []byte(c.body)); w.Code != http.StatusBadRequest || len(rec.got) != 0 || w.Header().Get("Allow") != "" {
			t.Errorf("%s: want 400, got %d, %q: %s", name, w.Code, w.Header(), w.Body)
		}
	}
	// How often a bucket's notification came is what the subscription says.
	rec := &recorder{}
	if w := push(t, rec, anyone, nil, []byte(notification+`,"objectGeneration":"1"}},"deliveryAttempt":4}`)); w.Code != http.StatusNoContent || len(rec.got) != 1 || rec.got[0].Items[0].Attempt != 4 {
		t.Errorf("want the fourth attempt, got %d: %+v", w.Code, rec.got)
	}
}

// everybody finds every token good.
type everybody struct{}

func (everybody) Authorize(context.Context, func(string) []string, oip.Scope) (string, error) {
	return "somebody", nil
}

// Whoever finds tokens good, whose they are is looked at: one that is not there,
// or is no token, is nobody's.
func TestTokensOfNobody(t *testing.T) {
	opts := &cloudrun.Options{Push: &cloudrun.Push{Tokens: everybody{}, Emails: []string{"", email}}}
	for _, h := range []http.Header{nil, headers("Authorization: Bearer"), headers("Authorization: Bearer a.b"), headers("Authorization: Bearer a.%.c"), headers("Authorization: Bearer a.e30.c"),
		headers("Authorization: Bearer a." + base64.RawURLEncoding.EncodeToString([]byte(`{"email":"`+email+`"}`)) + ".c"),
		headers("Authorization: Bearer a." + base64.RawURLEncoding.EncodeToString([]byte(`{"email_verified":true}`)) + ".c"),
	} {
		rec := &recorder{}
		if w := push(t, rec, opts, h, []byte(`{"message":{"messageId":"1"},"subscription":"s"}`)); w.Code != http.StatusForbidden || len(rec.got) != 0 {
			t.Errorf("%q: want 403, got %d: %s", h, w.Code, w.Body)
		}
	}
}

// When an object was written is what it says itself, if it does.
func TestWhenAnObjectWasWritten(t *testing.T) {
	const event, own = "2026-11-22T10:00:00Z", "2026-11-22T09:59:58.125Z"
	for created, want := range map[string]string{own: own, "": event, "yesterday": event} {
		object := `{"bucket":"b","name":"k","generation":"1","timeCreated":"` + created + `"}`
		rec := &recorder{}
		h := headers("ce-id: 1", "ce-source: /s", "ce-type: google.cloud.storage.object.v1.finalized", "ce-specversion: 1.0", "ce-time: "+event)
		if w := push(t, rec, anyone, h, []byte(object)); w.Code != http.StatusNoContent || len(rec.got) != 1 {
			t.Fatalf("%q: want 204, got %d: %s", created, w.Code, w.Body)
		}
		if got := rec.got[0].Items[0].Time.Format(time.RFC3339Nano); got != want {
			t.Errorf("%q: got %s, want %s", created, got, want)
		}
	}
}
