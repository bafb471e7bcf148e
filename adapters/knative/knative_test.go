package knative_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/knative"
	"godwit.dev/adapters/oip"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, variant string, how *adaptertest.Setup) *emulate.Instance {
	if how == nil {
		how = &adaptertest.Setup{}
	}
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		s, err := adaptertest.New(how)
		if err != nil {
			return err
		}
		defer s.Close()
		ln, err := httpserve.Listen(ctx, knative.Address(getenv))
		if err != nil {
			return err
		}
		var o httpserve.Options
		knative.Limits(&o)
		return httpserve.Serve(ctx, ln, knative.New(s.API, s.Events, nil), s.API, &o)
	})
	i, err := emulate.Start(t.Context(), "knative", launch, &emulate.Options{Variant: variant, Timeout: how.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	for _, variant := range emulate.Variants("knative") {
		t.Run(variant, func(t *testing.T) {
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client { return start(t, variant, how) }, adaptertest.Caps{})
		})
	}
}

// broker delivers items as a Broker does.
type broker struct{ *emulate.Instance }

func (b broker) Deliver(ctx context.Context, items []adaptertest.Item) (*adaptertest.Verdict, error) {
	header, body, err := adaptertest.CloudEvents(items)
	if err != nil {
		return nil, err
	}
	r, err := b.Instance.Deliver(ctx, &emulate.Delivery{Header: header, Body: body})
	if err != nil {
		return nil, err
	}
	return &adaptertest.Verdict{Status: r.Status, Body: r.Body, Retry: r.Retry, Failed: r.Failed}, nil
}

func TestEvents(t *testing.T) {
	adaptertest.RunEvents(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.EventClient {
		return broker{start(t, "http1", how)}
	}, adaptertest.EventCaps{Whole: true, Aside: true})
}

// serve answers one request with a handler that ends every item as its id says.
func serve(t *testing.T, o *knative.Options, r *http.Request) *http.Response {
	t.Helper()
	events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		out := make([]trigger.Outcome, len(ev.Items))
		for i, item := range ev.Items {
			out[i] = trigger.Outcome{State: trigger.Done}
			if name, failed := strings.CutPrefix(item.ID, "fail-"); failed {
				for _, c := range fault.Codes() {
					if c.String() == name {
						out[i] = trigger.Of(fault.New(c, "test", "", "told to"))
					}
				}
			} else if ev.Replies {
				out[i].Result = []byte(`{"answer":"` + item.ID + `"}`)
			}
		}
		return out
	})
	w := httptest.NewRecorder()
	knative.New(http.NotFoundHandler(), events, o).ServeHTTP(w, r)
	return w.Result()
}

func binaryEvent(id string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"inputs":[]}`))
	for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Source": "/s", "Ce-Type": "t", "Content-Type": "application/json"} {
		r.Header.Set(name, value)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// Every code's status has the event delivered again exactly where another
// delivery may end otherwise.
func TestStatusSaysWhetherItIsDeliveredAgain(t *testing.T) {
	for _, c := range fault.Codes() {
		resp := serve(t, nil, binaryEvent("fail-"+c.String()))
		again := resp.StatusCode >= 500 || resp.StatusCode == 404 || resp.StatusCode == 408 || resp.StatusCode == 409 || resp.StatusCode == 429
		if want := trigger.Of(fault.New(c, "", "", "x")).State == trigger.Retry; again != want {
			t.Errorf("%v: status %d, which is delivered again: %t, want %t", c, resp.StatusCode, again, want)
		}
		var body struct{ Error, Code string }
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.Code != c.String() {
			t.Errorf("%v: the body names %q (%v)", c, body.Code, err)
		}
	}
}

// The answer is an event as the vendor's own library reads it, and only for who
// passes it on; everybody else gets nothing that could be taken for a failure.
func TestAnswersAreEvents(t *testing.T) {
	resp := serve(t, nil, binaryEvent("1", "Prefer", "respond-async, reply", "Ce-Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	e, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpResponse(resp))
	if err != nil {
		t.Fatalf("%v: %v", resp.Header, err)
	}
	want := event.New()
	want.SetID("answer-1")
	want.SetSource("/godwit")
	want.SetType(knative.ReplyType)
	want.SetSubject("/s")
	want.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if err := want.SetData("application/json", json.RawMessage(`{"answer":"1"}`)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), e.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	resp = serve(t, nil, binaryEvent("1"))
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted || len(body) > 0 {
		t.Errorf("without Prefer: reply: %d %q, want 202 and nothing", resp.StatusCode, body)
	}
}

func TestMessages(t *testing.T) {
	structured := `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}}`
	failing := `{"specversion":"1.0","id":"fail-invalid","source":"/s","type":"t","data":{}}`
	passing := `{"specversion":"1.0","id":"fail-unavailable","source":"/s","type":"t","data":{}}`
	broken := `{"specversion":"1.0","id":"3","source":"/s","data":{}}`
	for _, c := range []struct {
		name, method, path, contentType, body string
		header                                []string
		want                                  int
	}{
		{"structured", "POST", "/", "application/cloudevents+json", structured, nil, 202},
		{"at the path of its own", "POST", "/events", "application/cloudevents+json; charset=utf-8", structured, nil, 202},
		{"a batch", "POST", "/", "application/cloudevents-batch+json", "[" + structured + "]", []string{"Prefer", "reply"}, 202},
		{"an empty batch", "POST", "/", "application/cloudevents-batch+json", "[]", nil, 202},
		{"a batch in which one fails for good", "POST", "/", "application/cloudevents-batch+json", "[" + structured + "," + failing + "]", nil, 400},
		{"a batch in which one may pass", "POST", "/", "application/cloudevents-batch+json", "[" + failing + "," + passing + "]", nil, 503},
		{"a batch in which one is no event", "POST", "/", "application/cloudevents-batch+json", "[" + broken + "," + structured + "]", nil, 400},
		{"too many events", "POST", "/", "application/cloudevents-batch+json", "[" + structured + "," + structured + "," + structured + "]", nil, 413},
		{"too large", "POST", "/", "application/cloudevents+json", structured + strings.Repeat(" ", 500), nil, 413},
		{"no event", "POST", "/", "application/json", "{}", nil, 400},
		{"an attribute is missing", "POST", "/", "application/json", "{}", []string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s"}, 400},
		{"compressed", "POST", "/", "application/cloudevents+json", structured, []string{"Content-Encoding", "gzip"}, 415},
		{"our own answer", "POST", "/", "application/json", "{}", []string{"Ce-Specversion", "1.0", "Ce-Id", "answer-1", "Ce-Source", "/godwit", "Ce-Type", knative.ReplyType}, 202},
		{"a record that deletes its key", "POST", "/", "", "", []string{"Ce-Specversion", "1.0", "Ce-Id", "fail-invalid", "Ce-Source", "/s", "Ce-Type", "dev.knative.kafka.event"}, 202},
		{"a record with a value", "POST", "/", "application/json", "{}", []string{"Ce-Specversion", "1.0", "Ce-Id", "fail-invalid", "Ce-Source", "/s", "Ce-Type", "dev.knative.kafka.event"}, 400},
		{"an event without data", "POST", "/", "", "", []string{"Ce-Specversion", "1.0", "Ce-Id", "fail-invalid", "Ce-Source", "/s", "Ce-Type", "t"}, 400},
		{"another method", "DELETE", "/", "", "", nil, 405},
		{"a handshake", "OPTIONS", "/events", "", "", []string{"Webhook-Request-Origin", "shop.example"}, 200},
		{"the page", "GET", "/", "", "", nil, 404},
		{"the protocol", "POST", "/v2/models/m/infer", "application/json", "{}", []string{"Ce-Specversion", "1.0"}, 404},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.contentType)
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		resp := serve(t, &knative.Options{MaxBody: 400, MaxEvents: 2}, r)
		if resp.StatusCode != c.want {
			body, _ := io.ReadAll(resp.Body)
			t.Errorf("%s: status %d, want %d: %s", c.name, resp.StatusCode, c.want, body)
		}
		if c.name == "a handshake" && resp.Header.Get("Webhook-Allowed-Origin") != "shop.example" {
			t.Errorf("the handshake allows %q", resp.Header.Get("Webhook-Allowed-Origin"))
		}
	}
}

type nobody struct{}

func (nobody) Authorize(_ context.Context, header func(string) []string, scope oip.Scope) (string, error) {
	if v := header("authorization"); len(v) == 1 && v[0] == "Bearer k" && scope == oip.ScopeInfer {
		return "k", nil
	}
	return "", fault.New(fault.Unauthenticated, "test", "", "want a key")
}

func TestEventsAreAskedWhoSendsThem(t *testing.T) {
	o := &knative.Options{Auth: nobody{}}
	if resp := serve(t, o, binaryEvent("1")); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a key: %d, want 401", resp.StatusCode)
	}
	if resp := serve(t, o, binaryEvent("1", "Authorization", "Bearer k")); resp.StatusCode != http.StatusAccepted {
		t.Errorf("with a key: %d, want 202", resp.StatusCode)
	}
}

// Every sample reaches the handler, through a Broker that takes the reply.
func TestSamples(t *testing.T) {
	i := start(t, "http1", nil)
	samples := emulate.Samples("knative")
	if len(samples) == 0 {
		t.Fatal("no samples")
	}
	for _, s := range samples {
		reply, err := i.Deliver(t.Context(), &s.Delivery)
		if err != nil {
			t.Fatal(err)
		}
		if reply.Retry || reply.Status >= 300 {
			t.Errorf("%s: status %d, delivered again: %t: %s", s.Name, reply.Status, reply.Retry, reply.Body)
		}
		if s.Name != "kafka" {
			continue
		}
		var got adaptertest.Answer
		if err := json.Unmarshal(reply.Body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Kind != "cloudevents" || got.ID != "partition:2/offset:41" || got.Attributes["key"] != "order-17" || !strings.HasPrefix(string(got.Data), `{"inputs":`) {
			t.Errorf("the handler got %+v", got)
		}
	}
}

func TestJob(t *testing.T) {
	env := map[string]string{"K_EXECUTION_MODE": "batch", "K_EVENT_PATH": "/ev"}
	getenv := func(name string) string { return env[name] }
	read := func(text string) func(string) ([]byte, error) {
		return func(path string) ([]byte, error) {
			if path != "/ev/event" {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		}
	}
	seen := 0
	events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		seen += len(ev.Items)
		if ev.Items[0].ID == "bad" {
			return []trigger.Outcome{trigger.Of(fault.New(fault.Invalid, "test", "", "bad"))}
		}
		return []trigger.Outcome{{State: trigger.Done}}
	})
	if !knative.IsJob(getenv) || knative.IsJob(func(string) string { return "" }) {
		t.Error("a Job is not told from a service")
	}
	for _, c := range []struct {
		name, event string
		want        error
		code        fault.Code
	}{
		{"done", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}}`, nil, fault.OK},
		{"fails", `{"specversion":"1.0","id":"bad","source":"/s","type":"t","data":{}}`, nil, fault.Invalid},
		{"no event", `{}`, nil, fault.Invalid},
	} {
		err := knative.Job(t.Context(), events, getenv, read(c.event))
		if (err == nil) != (c.code == fault.OK) || err != nil && fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %v", c.name, err, c.code)
		}
	}
	if seen != 2 {
		t.Errorf("%d events reached the handler, want 2", seen)
	}
	env["K_EVENT_PATH"] = ""
	if err := knative.Job(t.Context(), events, getenv, read("")); fault.CodeOf(err) != fault.BadConfig || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without an event: %v, want BadConfig", err)
	}
}
