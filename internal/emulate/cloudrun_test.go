package emulate

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
)

// serving is a function that answers on PORT with h, in this process.
func serving(h http.Handler) Launch {
	return InProcess(func(ctx context.Context, getenv func(string) string) error {
		ln, err := net.Listen("tcp", "127.0.0.1:"+getenv("PORT"))
		if err != nil {
			return err
		}
		s := &http.Server{Handler: h, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
		s.Protocols.SetHTTP1(true)
		s.Protocols.SetUnencryptedHTTP2(true)
		context.AfterFunc(ctx, func() { _ = s.Close() })
		if err := s.Serve(ln); err != http.ErrServerClosed { //nolint:errorlint // as documented
			return err
		}
		return nil
	})
}

func cloudRun(t *testing.T, o *Options, h http.HandlerFunc) *Instance {
	t.Helper()
	i, err := Start(t.Context(), "cloudrun", serving(h), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func ask(t *testing.T, i *Instance, body []byte, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://function/x", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	resp, err := i.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestCloudRunBodies(t *testing.T) {
	var got int64
	count := func(_ http.ResponseWriter, r *http.Request) { got, _ = io.Copy(io.Discard, r.Body) }
	body := make([]byte, cloudRunBody+1)
	for _, c := range []struct {
		variant string
		n       int
		status  int
	}{{"http1", cloudRunBody, 200}, {"http1", cloudRunBody + 1, 413}, {"h2c", cloudRunBody + 1, 200}} {
		got = -1
		status, _ := ask(t, cloudRun(t, &Options{Variant: c.variant}, count), body[:c.n])
		if status != c.status || (got == int64(c.n)) != (c.status == 200) {
			t.Errorf("%s, %d bytes: want %d, got %d with %d bytes", c.variant, c.n, c.status, status, got)
		}
	}
}

// TestCloudRunTime: what takes longer than the service's timeout is answered by
// the front end, and the function sees its caller leave.
func TestCloudRunTime(t *testing.T) {
	left := make(chan struct{})
	i := cloudRun(t, &Options{Timeout: 50 * time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // net/http watches the connection from then on
		<-r.Context().Done()
		close(left)
	})
	if status, _ := ask(t, i, nil); status != http.StatusGatewayTimeout {
		t.Errorf("want 504, got %d", status)
	}
	<-left
}

// TestCloudRunConcurrency: one request more than the instance takes waits, and
// is refused when that takes too long.
func TestCloudRunConcurrency(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	i := cloudRun(t, &Options{Concurrency: 1}, func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-leave
	})
	answers := make(chan int, 2)
	go func() { s, _ := ask(t, i, nil); answers <- s }()
	<-entered
	go func() { s, _ := ask(t, i, nil); answers <- s }()
	select {
	case <-entered:
		t.Fatal("two requests at once")
	case s := <-answers:
		t.Fatalf("a request in the queue was answered %d", s)
	default:
	}
	leave <- struct{}{}
	<-entered // the second
	i.platform.(*container).queue = time.Millisecond
	if status, _ := ask(t, i, nil); status != http.StatusTooManyRequests {
		t.Errorf("want 429, got %d", status)
	}
	leave <- struct{}{}
	for range 2 {
		if s := <-answers; s != 200 {
			t.Errorf("want 200, got %d", s)
		}
	}
}

func TestCloudRunHeaders(t *testing.T) {
	var got http.Header
	i := cloudRun(t, nil, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })
	ask(t, i, nil, "X-Forwarded-For", "203.0.113.9", "X-Own", "1")
	for name, want := range map[string]string{
		"X-Forwarded-For": `^203\.0\.113\.9, 192\.0\.2\.1$`, "X-Forwarded-Proto": "^https$", "X-Own": "^1$",
		"X-Cloud-Trace-Context": `^[0-9a-f]{32}/[0-9]+$`, "Traceparent": `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`,
	} {
		if !regexp.MustCompile(want).MatchString(got.Get(name)) {
			t.Errorf("%s: want %s, got %q", name, want, got.Get(name))
		}
	}
	ask(t, i, nil, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if got.Get("Traceparent") != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" || got.Get("X-Cloud-Trace-Context") != "" {
		t.Errorf("a caller's trace was changed: %v", got)
	}
}

// TestCloudRunAcks walks all statuses: Pub/Sub takes five for an acknowledgement.
func TestCloudRunAcks(t *testing.T) {
	var path, token string
	status := 0
	i := cloudRun(t, &Options{Identity: func() (string, error) { return "t", nil }}, func(w http.ResponseWriter, r *http.Request) {
		path, token = r.URL.Path, r.Header.Get("Authorization")
		w.WriteHeader(status)
	})
	acks := map[int]bool{200: true, 201: true, 202: true, 204: true}
	for status = 200; status < 600; status++ {
		reply, err := i.Deliver(t.Context(), &Delivery{Body: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		if reply.Status != status || reply.Retry == acks[status] {
			t.Errorf("status %d: got %d, delivered again %t", status, reply.Status, reply.Retry)
		}
	}
	if path != "/events" || token != "Bearer t" {
		t.Errorf("want /events with a token, got %q with %q", path, token)
	}
	status = 204
	if _, err := i.Deliver(t.Context(), &Delivery{Path: "/other"}); err != nil || path != "/other" {
		t.Errorf("want the path that the delivery names, got %q, %v", path, err)
	}
}

func TestStartFailures(t *testing.T) {
	dead := InProcess(func(context.Context, func(string) string) error { return fault.New(fault.BadModel, "test", "", "x") })
	for _, c := range []struct {
		name, target, variant string
		launch                Launch
		code                  fault.Code
	}{
		{"unknown target", "nowhere", "", dead, fault.Usage},
		{"unknown variant", "cloudrun", "fax", dead, fault.Usage},
		{"a function that ends", "cloudrun", "", dead, fault.Unavailable},
	} {
		if _, err := Start(t.Context(), c.target, c.launch, &Options{Variant: c.variant}); err == nil || fault.CodeOf(err) != c.code {
			t.Errorf("%s: want %v, got %v", c.name, c.code, err)
		}
	}
	silent := InProcess(func(ctx context.Context, _ func(string) string) error { <-ctx.Done(); return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, "cloudrun", silent, nil); fault.CodeOf(err) != fault.Unavailable || err == nil {
		t.Errorf("a function that never listens: want unavailable, got %v", err)
	}
}
