package azurefunctions_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/trigger"
)

// An invocation ends before the host kills the process: a tenth of the limit,
// at most 5 s, is kept. What the proxy hangs up for itself has no limit of ours.
func TestDeadlines(t *testing.T) {
	const request = `{"Data":{"req":{"Url":"https://h/api/v2","Method":"GET","Headers":{},"Body":null}},"Metadata":{}}`
	const message = `{"Data":{"item":"{}"},"Metadata":{"DequeueCount":"1","Id":"a"}}`
	for limit, want := range map[time.Duration]time.Duration{0: 0, 20 * time.Second: 18 * time.Second, 100 * time.Second: 95 * time.Second, 200 * time.Second: 195 * time.Second, 235 * time.Second: 230 * time.Second, time.Hour: time.Hour - 5*time.Second} {
		app := &azurefunctions.App{RoutePrefix: "api", Timeout: limit, Functions: map[string]azurefunctions.Function{
			"http": {Trigger: "httpTrigger", Input: "req", Output: "res"}, "queue": {Trigger: "queueTrigger", Input: "item"},
		}}
		for way, c := range map[string]struct {
			ask  func(http.Handler)
			want time.Duration
		}{
			"a request in an envelope": {func(h http.Handler) { invoke(h, "http", request) }, want},
			"a message":                {func(h http.Handler) { invoke(h, "queue", message) }, want},
			"a request":                {func(h http.Handler) { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/v2", nil)) }, want},
			"a request by the proxy": {func(h http.Handler) {
				r := httptest.NewRequest("GET", "/api/v2", nil)
				r.Header.Set("X-Ms-Invocation-Id", "i")
				h.ServeHTTP(httptest.NewRecorder(), r)
			}, map[bool]time.Duration{true: want}[want < azurefunctions.MaxRequest]},
		} {
			reached, begun := false, time.Now()
			check := func(ctx context.Context) {
				reached = true
				at, ok := ctx.Deadline()
				if ok != (c.want > 0) || ok && (at.Before(begun.Add(c.want)) || at.After(time.Now().Add(c.want))) {
					t.Errorf("%s under %v: a deadline in %v, want one in %v", way, limit, at.Sub(begun), c.want)
				}
			}
			api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { check(r.Context()) })
			events := trigger.HandlerFunc(func(ctx context.Context, _ *trigger.Event) []trigger.Outcome {
				check(ctx)
				return []trigger.Outcome{{State: trigger.Done}}
			})
			if c.ask(azurefunctions.New(api, events, &azurefunctions.Options{App: app})); !reached {
				t.Errorf("%s under %v reached nobody", way, limit)
			}
		}
	}
}

func TestPrefixesOfRoutes(t *testing.T) {
	for _, c := range []struct{ prefix, path, want string }{
		{"", "/v2", "/v2"}, {"", "/x/v2", "/x/v2"}, {"api", "/api/v2", "/v2"}, {"/x/", "/x/v2", "/v2"}, {"x", "/xv2", "/xv2"}, {"x", "/x", "/"}, {"a/b", "/a/b/v2%2F", "/v2%2F"},
	} {
		api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got := r.URL.EscapedPath(); got != c.want {
				t.Errorf("%s below %q: %s, want %s", c.path, c.prefix, got, c.want)
			}
		})
		azurefunctions.New(api, nil, &azurefunctions.Options{App: &azurefunctions.App{RoutePrefix: c.prefix}}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", c.path, nil))
	}
}

// An answer is text in a JSON string, whatever is in it, and the output it goes
// to the one that function.json names.
func TestAnswersInEnvelopes(t *testing.T) {
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "\x00\xff" || r.Proto != "HTTP/1.1" || r.ProtoMajor != 1 || r.ProtoMinor != 1 {
			t.Errorf("%s: %q, %v", r.Proto, body, err)
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "a\"\\\n\x01\x1f\u00e9~ ")
	})
	const multipart = `{"Data":{"req":{"Url":"https://h/v2","Method":"POST","Headers":{"Content-Type":["multipart/form-data; boundary=x"]},"Body":"AP8="}},"Metadata":{}}`
	const res = `{"statusCode":"200","headers":{"Content-Type":"text/plain","X":"y"},"body":"a\"\\\n\u0001\u001fé~ "}`
	for output, want := range map[string]string{
		"":        `{"Outputs":{"res":` + res + `},"Logs":[],"ReturnValue":null}`,
		"out":     `{"Outputs":{"out":` + res + `},"Logs":[],"ReturnValue":null}`,
		"$return": `{"Outputs":{},"Logs":[],"ReturnValue":` + res + `}`,
	} {
		app := &azurefunctions.App{Functions: map[string]azurefunctions.Function{"f": {Trigger: "httpTrigger", Input: "req", Output: output}}}
		w := invoke(azurefunctions.New(api, nil, &azurefunctions.Options{App: app}), "f", multipart)
		if got := w.Body.String(); got != strings.Replace(want, `,"X":"y"`, "", 1) {
			t.Errorf("%q:\n got %s\nwant %s", output, got, want)
		}
	}
	w := invoke(azurefunctions.New(api, nil, &azurefunctions.Options{App: &azurefunctions.App{}}), "none", multipart)
	if w.Code != 404 || strings.Count(w.Body.String(), `"Outputs"`) != 1 {
		t.Errorf("a function that is not there: %d %s", w.Code, w.Body)
	}
}

func TestLimits(t *testing.T) {
	for drain, want := range map[time.Duration]time.Duration{0: time.Second, 5 * time.Second: 5 * time.Second, time.Minute: 9 * time.Second} {
		o := httpserve.Options{Drain: drain, IdleTimeout: time.Second}
		if azurefunctions.Limits(&o); o.Drain != want || !o.NoGRPC || o.IdleTimeout != 150*time.Second {
			t.Errorf("drain %v: want %v, no gRPC and 150 s, got %v, %t, %v", drain, want, o.Drain, o.NoGRPC, o.IdleTimeout)
		}
	}
}

// A delivery goes on in the host's trace, with its state.
func TestTraceOfDeliveries(t *testing.T) {
	events := trigger.HandlerFunc(func(ctx context.Context, _ *trigger.Event) []trigger.Outcome {
		if trace, ok := telemetry.TraceOf(ctx); !ok || trace.TraceID() != "0af7651916cd43dd8448eb211c80319c" || trace.State != "k=1,l=2" {
			t.Errorf("the handler's trace is %+v", trace)
		}
		return []trigger.Outcome{{State: trigger.Done}}
	})
	r := httptest.NewRequest(http.MethodPost, "/queue", strings.NewReader(`{"Data":{"item":"{}"},"Metadata":{"DequeueCount":"1","Id":"a"}}`))
	r.Host = "127.0.0.1:7071"
	for _, line := range []string{"X-Azure-Functions-InvocationId: i", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate: k=1", "Tracestate: l=2"} {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	azurefunctions.New(http.NotFoundHandler(), events, nil).ServeHTTP(w, r)
	if w.Code != 200 || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
		t.Errorf("%d, %q of %d bytes: %s", w.Code, w.Header(), w.Body.Len(), w.Body)
	}
}
