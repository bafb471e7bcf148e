package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/adapters/edge"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// codeOf is the code that a handler ends an item with, by its id: fail-CODE.
func codeOf(id string) (fault.Code, bool) {
	name, failed := strings.CutPrefix(id, "fail-")
	for _, c := range fault.Codes() {
		if failed && c.String() == name {
			return c, true
		}
	}
	return 0, false
}

func serve(o *edge.Options, r *http.Request) *httptest.ResponseRecorder {
	events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		out := make([]trigger.Outcome, len(ev.Items))
		for i, item := range ev.Items {
			out[i] = trigger.Outcome{State: trigger.Done}
			if c, failed := codeOf(item.ID); failed {
				out[i] = trigger.Of(fault.New(c, "test", "", "told to"))
			}
		}
		return out
	})
	w := httptest.NewRecorder()
	edge.New(http.NotFoundHandler(), events, o).ServeHTTP(w, r)
	return w
}

func event(id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/s","type":"t","data":{}}`, id)
}

func message(kind, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/cloudevents"+kind+"+json")
	return r
}

// A failure's status asks for the same message again exactly where another
// delivery may end otherwise.
func TestStatusSaysWhetherToSendItAgain(t *testing.T) {
	for _, c := range fault.Codes() {
		w := serve(nil, message("", event("fail-"+c.String())))
		again := w.Code >= 500 || w.Code == 429
		if want := trigger.Of(fault.New(c, "", "", "x")).State == trigger.Retry; again != want || w.Code < 400 || w.Code == 404 {
			t.Errorf("%v: status %d, sent again: %t, want %t", c, w.Code, again, want)
		}
		var body struct{ Error, Code string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Code != c.String() || body.Error == "" {
			t.Errorf("%v: the body is %s (%v)", c, w.Body, err)
		}
	}
}

type refuses struct{ code fault.Code }

func (r refuses) Authorize(context.Context, func(string) []string, oip.Scope) (string, error) {
	return "", fault.New(r.code, "test", "", "told to")
}

func TestMessages(t *testing.T) {
	good, invalid, passing := event("1"), event("fail-invalid"), event("fail-unavailable")
	denied := message("", good)
	denied.Method = http.MethodGet
	asItIs := message("", good)
	asItIs.Header.Set("Content-Encoding", "Identity")
	packed := message("", good)
	packed.Header.Set("Content-Encoding", "gzip")
	bound := &edge.Options{MaxEvents: 2, MaxBody: 400}
	for _, c := range []struct {
		name    string
		options *edge.Options
		request *http.Request
		want    int
	}{
		{"structured", nil, message("", good), 202},
		{"a batch", nil, message("-batch", "["+good+","+event("2")+"]"), 202},
		{"an empty batch", nil, message("-batch", "[]"), 202},
		{"one of a batch fails for good", nil, message("-batch", "["+good+","+invalid+"]"), 400},
		{"one of a batch may pass", nil, message("-batch", "["+invalid+","+passing+"]"), 503},
		{"one of a batch is no event", nil, message("-batch", "[{},"+good+"]"), 400},
		{"one is no event and another may pass", nil, message("-batch", "[{},"+passing+"]"), 503},
		{"too many events", bound, message("-batch", "["+good+","+good+","+good+"]"), 413},
		{"too large", bound, message("", good+strings.Repeat(" ", 400)), 413},
		{"as many as may", bound, message("-batch", "["+event("1")+","+event("2")+"]"), 202},
		{"one is no event and another fails for good", nil, message("-batch", "[{},"+event("fail-unprocessable")+"]"), 400},
		{"no event", nil, message("", "{}"), 400},
		{"no JSON", nil, message("", "x"), 400},
		{"compressed", nil, packed, 415},
		{"as it is", nil, asItIs, 202},
		{"another method", nil, denied, 405},
		{"who may not", &edge.Options{Auth: refuses{fault.Denied}}, message("", good), 403},
		{"who is not known", &edge.Options{Auth: refuses{fault.Unauthenticated}}, message("", good), 401},
		{"no memory", &edge.Options{Admit: func() error { return fault.New(fault.Unavailable, "test", "", "full") }}, message("", good), 503},
		{"another path", &edge.Options{Path: "/in"}, message("", good), 404},
		{"the protocol", nil, httptest.NewRequest("GET", "/v2", http.NoBody), 404},
	} {
		if w := serve(c.options, c.request); w.Code != c.want {
			t.Errorf("%s: status %d, want %d: %s", c.name, w.Code, c.want, w.Body)
		} else if allow := w.Header().Get("Allow"); (allow == "POST") != (w.Code == 405) {
			t.Errorf("%s: status %d, Allow %q", c.name, w.Code, allow)
		}
	}
	w := httptest.NewRecorder()
	if edge.New(http.NotFoundHandler(), nil, nil).ServeHTTP(w, message("", good)); w.Code != 422 {
		t.Errorf("a function without triggers: status %d", w.Code)
	}
}

func TestWhereItListensAndHowItEnds(t *testing.T) {
	for _, c := range []struct{ env, configured, want string }{
		{"", "", "127.0.0.1:8080"},
		{"", "10.0.0.1:80", "10.0.0.1:80"},
		{"0.0.0.0:99", "10.0.0.1:80", "0.0.0.0:99"},
	} {
		got := edge.Address(func(name string) string { return map[string]string{"GODWIT_LISTEN": c.env}[name] }, c.configured)
		if got != c.want {
			t.Errorf("GODWIT_LISTEN=%q over %q: %s, want %s", c.env, c.configured, got, c.want)
		}
	}
	for drain, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Hour: 85 * time.Second} {
		o := httpserve.Options{Drain: drain, PreStop: time.Second}
		if edge.Limits(&o); o.Drain != want || o.PreStop != 0 {
			t.Errorf("a drain of %v: %v after %v, want %v at once", drain, o.Drain, o.PreStop, want)
		}
	}
}

// systemd's own side: a datagram socket, in the file system or abstract.
func systemd(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func heard(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestSystemdIsTold(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "n"), "@godwit-test-" + strings.ReplaceAll(t.TempDir(), "/", "-")} {
		c := systemd(t, path)
		env := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": "7"}
		s, err := edge.NewService(func(name string) string { return env[name] }, 7, quiet)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		asked, fails, ended := make(chan struct{}), make(chan error), make(chan struct{})
		go func() {
			defer close(ended)
			s.Run(ctx, func() error {
				select {
				case asked <- struct{}{}:
					return <-fails
				case <-ctx.Done():
					return ctx.Err()
				}
			}, nil)
		}()
		if got := heard(t, c); got != "READY=1" {
			t.Errorf("first %q", got)
		}
		// Of one that is not ready there is no sign of life: the next message is
		// the one after it.
		<-asked
		fails <- fault.New(fault.Unavailable, "test", "", "not ready")
		<-asked
		fails <- nil
		if got := heard(t, c); got != "WATCHDOG=1" {
			t.Errorf("while it is ready: %q", got)
		}
		<-asked
		fails <- fault.New(fault.Unavailable, "test", "", "not ready")
		cancel()
		if got := heard(t, c); got != "STOPPING=1" {
			t.Errorf("last %q, want STOPPING=1 and no sign of life before it", got)
		}
		<-ended
		s.Close()
	}
}

func TestServicesOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	c := systemd(t, path)
	for _, tt := range []struct {
		name string
		env  map[string]string
		want fault.Code
		told []string
	}{
		{"nobody asks", nil, fault.OK, nil},
		{"no watchdog", map[string]string{"NOTIFY_SOCKET": path}, fault.OK, []string{"READY=1", "STOPPING=1"}},
		{"another's watchdog", map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000", "WATCHDOG_PID": "8"}, fault.OK, []string{"READY=1", "STOPPING=1"}},
		{"no time", map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "0"}, fault.BadConfig, nil},
		{"a long time", map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "9223372036854775"}, fault.OK, []string{"READY=1", "STOPPING=1"}},
		{"a bit too much", map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "9223372036854776"}, fault.BadConfig, nil},
		{"too much time", map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "9223372036854775807"}, fault.BadConfig, nil},
		{"no path", map[string]string{"NOTIFY_SOCKET": "vsock:2:1"}, fault.BadConfig, nil},
		{"no socket", map[string]string{"NOTIFY_SOCKET": path + "x"}, fault.BadConfig, nil},
	} {
		s, err := edge.NewService(func(name string) string { return tt.env[name] }, 7, quiet)
		if fault.CodeOf(err) != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if err != nil {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // of the bubble's clock
			defer cancel()
			s.Run(ctx, func() error { t.Errorf("%s: asked whether it is ready", tt.name); return nil }, nil)
		})
		for _, want := range tt.told {
			if got := heard(t, c); got != want {
				t.Errorf("%s: %q, want %q", tt.name, got, want)
			}
		}
		s.Close()
	}
}

// FuzzEvents: whatever is POSTed, there is one whole answer, and the same for
// the same message.
func FuzzEvents(f *testing.F) {
	f.Add("application/cloudevents+json", "", event("1"))
	f.Add("application/cloudevents-batch+json", "", "["+event("fail-invalid")+"]")
	f.Add("application/json", "1", "{}")
	f.Fuzz(func(t *testing.T, kind, id, body string) {
		var codes [2]int
		for i := range codes {
			r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(body))
			r.Header.Set("Content-Type", kind)
			if id != "" {
				r.Header["Ce-Specversion"], r.Header["Ce-Id"], r.Header["Ce-Source"], r.Header["Ce-Type"] = []string{"1.0"}, []string{id}, []string{"/s"}, []string{"t"}
			}
			w := serve(nil, r)
			if codes[i] = w.Code; w.Code != 202 && !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%d: %s", w.Code, w.Body)
			}
		}
		if codes[0] != codes[1] {
			t.Fatalf("%d, then %d", codes[0], codes[1])
		}
	})
}
