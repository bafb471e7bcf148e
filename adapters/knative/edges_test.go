package knative_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/knative"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

const structuredType, batchedType = "application/cloudevents+json", "application/cloudevents-batch+json"

// batch is a message of events, each at least size bytes.
func batch(size int, ids ...string) *http.Request {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/s","type":"t","data":"%s"}`, id, strings.Repeat("x", size)))
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("["+strings.Join(all, ",")+"]"))
	r.Header.Set("Content-Type", batchedType)
	return r
}

// answered is a whole answer: one JSON document of the length that is told, or nothing.
func answered(t *testing.T, r *http.Response) (text, code string) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) == 0 {
		return "", ""
	}
	var said struct{ Error, Code string }
	if err := json.Unmarshal(body, &said); err != nil {
		t.Errorf("want one JSON document, got %v: %s", err, body)
	}
	if got, want := r.Header.Get("Content-Length"), strconv.Itoa(len(body)); got != want {
		t.Errorf("Content-Length: %q, want %q", got, want)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: %q", got)
	}
	return said.Error, said.Code
}

func TestStatuses(t *testing.T) {
	type answer struct {
		Status int
		After  string
	}
	got := map[string]answer{}
	for _, c := range fault.Codes() {
		resp := serve(t, nil, binaryEvent("fail-"+c.String()))
		text, code := answered(t, resp)
		if code != c.String() || strings.Contains(text, "of 1 events") {
			t.Errorf("%v: %s: %s", c, code, text)
		}
		got[c.String()] = answer{resp.StatusCode, resp.Header.Get("Retry-After")}
	}
	want := map[string]answer{}
	for _, c := range fault.Codes() {
		switch want[c.String()] = (answer{422, ""}); c {
		case fault.Invalid, fault.Unauthenticated, fault.Denied, fault.TooLarge, fault.UnsupportedMedia:
			want[c.String()] = answer{c.HTTP(), ""}
		case fault.RateLimited:
			want[c.String()] = answer{429, "1"}
		}
		if trigger.Of(fault.New(c, "", "", "x")).State == trigger.Retry && c != fault.RateLimited {
			want[c.String()] = answer{max(c.HTTP(), 500), ""}
			if s := c.HTTP(); s < 500 || s == 503 {
				want[c.String()] = answer{503, "1"}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of those who may not send, nothing is worked on.
func TestSendersRefused(t *testing.T) {
	for code, want := range map[fault.Code]int{
		fault.Unavailable: 503, fault.RateLimited: 429, fault.DeadlineExceeded: 504, fault.Canceled: 503, fault.Internal: 500,
		fault.Unauthenticated: 401, fault.Denied: 403, fault.NotFound: 422,
	} {
		events := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
			t.Errorf("%v: the event reached the handler", code)
			return nil
		})
		w := httptest.NewRecorder()
		knative.New(http.NotFoundHandler(), events, &knative.Options{Auth: denies{code}}).ServeHTTP(w, binaryEvent("1"))
		resp := w.Result()
		if _, said := answered(t, resp); resp.StatusCode != want || said != code.String() {
			t.Errorf("%v: %d %s, want %d", code, resp.StatusCode, said, want)
		}
	}
}

type denies struct{ code fault.Code }

func (d denies) Authorize(context.Context, func(string) []string, oip.Scope) (string, error) {
	return "", fault.New(d.code, "test", "", "told to")
}

func TestHandshakesAndMethods(t *testing.T) {
	ask := func(method, path string, header ...string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		return serve(t, nil, r)
	}
	for _, resp := range []*http.Response{ask("OPTIONS", "/events", "Webhook-Request-Origin", "shop.example"), ask("OPTIONS", "/", "Webhook-Request-Origin", "shop.example")} {
		if resp.StatusCode != 200 || resp.Header.Get("Webhook-Allowed-Rate") != "*" || resp.Header.Get("Webhook-Allowed-Origin") != "shop.example" || resp.Header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("a handshake: %d %v", resp.StatusCode, resp.Header)
		}
	}
	for name, resp := range map[string]*http.Response{
		"OPTIONS without an origin": ask("OPTIONS", "/events"),
		"two origins":               ask("OPTIONS", "/events", "Webhook-Request-Origin", "a", "Webhook-Request-Origin", "b"),
		"DELETE":                    ask("DELETE", "/events", "Webhook-Request-Origin", "a"),
		"GET of the events":         ask("GET", "/events"),
	} {
		if _, code := answered(t, resp); resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST, OPTIONS" || code != "unsupported" || resp.Header.Get("Webhook-Allowed-Origin") != "" {
			t.Errorf("%s: %d %s %v", name, resp.StatusCode, code, resp.Header)
		}
	}
	if resp := ask("HEAD", "/"); resp.StatusCode != 404 {
		t.Errorf("HEAD / is not the page's: %d", resp.StatusCode)
	}
}

// Only what is of our type and from us comes back from us.
func TestWhoseAnswers(t *testing.T) {
	for _, c := range []struct {
		source, kind string
		reached      bool
	}{{"/godwit", knative.ReplyType, false}, {"/other", knative.ReplyType, true}, {"/godwit", "t", true}} {
		reached := false
		events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
			reached = true
			if ev.Source != c.source || ev.Kind != "cloudevents" {
				t.Errorf("the event is from %q, of %q", ev.Source, ev.Kind)
			}
			return []trigger.Outcome{{State: trigger.Done}}
		})
		w := httptest.NewRecorder()
		knative.New(http.NotFoundHandler(), events, nil).ServeHTTP(w, binaryEvent("1", "Ce-Source", c.source, "Ce-Type", c.kind))
		if w.Code != 202 || reached != c.reached {
			t.Errorf("%+v: %d, reached: %t", c, w.Code, reached)
		}
	}
	if knative.ReplyType != "dev.godwit.answer" {
		t.Errorf("filters of Triggers know the type as dev.godwit.answer, not as %q", knative.ReplyType)
	}
}

func TestReplies(t *testing.T) {
	for _, c := range []struct {
		name, prefer string
		result       []byte
		options      *knative.Options
		want         int
	}{
		{"wanted", "reply", []byte("{}"), nil, 200},
		{"wanted among others", "respond-async, REPLY; x=1", []byte("{}"), nil, 200},
		{"not wanted", "", []byte("{}"), nil, 202},
		{"something else is wanted", "replying", []byte("{}"), nil, 202},
		{"nothing to say", "reply", nil, nil, 202},
		{"from nobody", "reply", []byte("{}"), &knative.Options{Source: "a\nb"}, 503},
	} {
		events := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
			return []trigger.Outcome{{State: trigger.Done, Result: c.result}}
		})
		w := httptest.NewRecorder()
		knative.New(http.NotFoundHandler(), events, c.options).ServeHTTP(w, binaryEvent("1", "Prefer", c.prefer))
		resp := w.Result()
		answered(t, resp)
		if resp.StatusCode != c.want || len(resp.Header["Ce-Traceparent"]) > 0 || (resp.Header.Get("Ce-Id") != "") != (c.want == 200) {
			t.Errorf("%s: %d %v, want %d", c.name, resp.StatusCode, resp.Header, c.want)
		}
	}
}

func TestBounds(t *testing.T) {
	ids := make([]string, 1001)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	whole := func(size int) *http.Request { // as many bytes
		r := batch(0, "1")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(body)+strings.Repeat(" ", size-len(body)))), int64(size)
		return r
	}
	chunked := func(r *http.Request) *http.Request { r.ContentLength = -1; return r }
	read := false
	unread := httptest.NewRequest(http.MethodPost, "/", readFunc(func([]byte) (int, error) { read = true; return 0, io.EOF }))
	unread.ContentLength = 201
	unread.Header.Set("Content-Type", batchedType)
	breaks := func(err error) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", readFunc(func([]byte) (int, error) { return 0, err }))
		r.Header.Set("Content-Type", batchedType)
		return r
	}
	coded := func(r *http.Request, coding string) *http.Request {
		r.Header.Set("Content-Encoding", coding)
		return r
	}
	for _, c := range []struct {
		name    string
		options knative.Options
		request *http.Request
		want    int
	}{
		{"as many events as are taken", knative.Options{}, batch(0, ids[:1000]...), 202},
		{"one event more", knative.Options{}, batch(0, ids...), 413},
		{"two where one is taken", knative.Options{MaxEvents: 1}, batch(0, "1", "2"), 413},
		{"10 MiB", knative.Options{}, whole(10 << 20), 202},
		{"10 MiB and a byte", knative.Options{}, whole(10<<20 + 1), 413},
		{"10 MiB and a byte, in chunks", knative.Options{}, chunked(whole(10<<20 + 1)), 413},
		{"more than a byte", knative.Options{MaxBody: 1}, whole(100), 413},
		{"as many bytes as are taken", knative.Options{MaxBody: 200}, whole(200), 202},
		{"what says itself that it is too large", knative.Options{MaxBody: 200}, unread, 413},
		{"not compressed", knative.Options{}, coded(whole(100), "Identity"), 202},
		{"compressed", knative.Options{}, coded(whole(100), "br"), 415},
		{"broken off", knative.Options{}, breaks(io.ErrUnexpectedEOF), 503},
		{"too slow", knative.Options{}, breaks(fault.New(fault.DeadlineExceeded, "test", "", "slow")), 504},
	} {
		resp := serve(t, &c.options, c.request)
		answered(t, resp)
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.name, resp.StatusCode, c.want)
		}
	}
	if read {
		t.Error("a body that says itself that it is too large was read")
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Who reads the dead letters learns which events failed, and of the first why.
func TestWhatFailedIsNamed(t *testing.T) {
	resp := serve(t, nil, batch(0, "a", "fail-invalid", "fail-too_large"))
	text, code := answered(t, resp)
	if resp.StatusCode != 400 || code != "invalid" || !strings.Contains(text, "2 of 3 events") || !strings.Contains(text, "(fail-invalid, fail-too_large)") {
		t.Errorf("%d %s: %s", resp.StatusCode, code, text)
	}
	events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		return []trigger.Outcome{trigger.Of(fault.New(fault.Invalid, "", "", "no")), {State: trigger.Done}}
	})
	w := httptest.NewRecorder()
	knative.New(http.NotFoundHandler(), events, nil).ServeHTTP(w, batch(0, strings.Repeat("~", 300), "2"))
	if text, _ := answered(t, w.Result()); strings.Count(text, "~") != 256 {
		t.Errorf("%d bytes of ids are told, want 256", strings.Count(text, "~"))
	}
}

func TestAddress(t *testing.T) {
	for port, want := range map[string]string{"": ":8080", "9090": ":9090"} {
		if got := knative.Address(func(name string) string { return map[string]string{"PORT": port}[name] }); got != want {
			t.Errorf("PORT=%q: %q, want %q", port, got, want)
		}
	}
}

func TestJobsEvent(t *testing.T) {
	var asked string
	events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		if ev.Source != "/s" || ev.Kind != "cloudevents" || ev.Replies {
			t.Errorf("the handler got %+v", ev)
		}
		return []trigger.Outcome{{State: trigger.Done}}
	})
	err := knative.Job(t.Context(), events, func(string) string { return "" }, func(path string) ([]byte, error) {
		asked = path
		return []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t"}`), nil
	})
	if err != nil || asked != "/etc/jobsink-event/event" {
		t.Errorf("read %q: %v", asked, err)
	}
	gone := errors.New("gone")
	if err := knative.Job(t.Context(), events, func(string) string { return "" }, func(string) ([]byte, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("want what reading said, got %v", err)
	}
}

// What is passed on is what was sent: a request with its query, an event's bytes
// whatever they are, and attributes as they were before HTTP had them encoded.
func TestPassedOnAsItCame(t *testing.T) {
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/v2/models?a=1&a=2" || r.URL.RawQuery != "a=1&a=2" {
			t.Errorf("the protocol is asked for %s (%q)", r.RequestURI, r.URL.RawQuery)
		}
	})
	knative.New(api, nil, nil).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v2/models?a=1&a=2", nil))
	reached := false
	events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		reached = true
		item := &ev.Items[0]
		if string(item.Data) != "\x00\xff\xfe" || item.Attributes["subject"] != "a \u00e9" || item.Key != "/s 1%" && item.Key != "/s 1%25" || item.ID != "1%" {
			t.Errorf("the handler got %+v", item)
		}
		return []trigger.Outcome{{State: trigger.Done}}
	})
	r := binaryEvent("1%25", "Ce-Subject", "a%20%C3%A9", "Content-Type", "application/octet-stream")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("\x00\xff\xfe")), 3
	w := httptest.NewRecorder()
	knative.New(http.NotFoundHandler(), events, nil).ServeHTTP(w, r)
	if w.Code != 202 || !reached {
		t.Errorf("%d, reached: %t", w.Code, reached)
	}
}
