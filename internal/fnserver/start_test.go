package fnserver_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fnserver"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/memengine"
)

// TestMain is, for tests that need one, a device's process as well.
func TestMain(m *testing.M) {
	if os.Getenv("EDGE_TEST_DEVICE") != "" {
		os.Exit(device())
	}
	goleak.VerifyTestMain(m)
}

// slow is an engine whose models are open when it is told.
type slow struct {
	driver.Engine
	asked chan struct{} // closed by the first Open
	open  chan struct{}
}

func (e *slow) Open(ctx context.Context, path string, o *driver.Options) (driver.Session, error) {
	close(e.asked)
	select {
	case <-e.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return e.Engine.Open(ctx, path, o)
}

// serving is a function that is being started.
type serving struct {
	t      *testing.T
	engine *slow
	addr   string
	stop   context.CancelFunc
	done   chan error
}

func serve(t *testing.T, start fnserver.Start) *serving {
	dir := t.TempDir()
	model := filepath.Join(dir, "addsub.onnx")
	for path, data := range map[string][]byte{model: testmodels.AddSub().Bytes(), filepath.Join(dir, "godwit.yaml"): []byte("model: addsub.onnx\n")} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	s := &serving{t: t, addr: ln.Addr().String(), done: make(chan error, 1),
		engine: &slow{Engine: memengine.New(map[string]memengine.Model{model: memengine.AddSub()}), asked: make(chan struct{}), open: make(chan struct{})}}
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	p := &app.Process{Getenv: func(string) string { return "" }, Stdout: io.Discard, Stderr: io.Discard}
	go func() {
		s.done <- fnserver.Serve(ctx, &fnserver.Options{Process: p, Path: dir, Engine: func(*driver.Setup) driver.Engine { return s.engine },
			Log: slog.New(slog.DiscardHandler), Listen: s.addr, Start: start})
	}()
	t.Cleanup(func() {
		stop()
		<-s.done
		http.DefaultClient.CloseIdleConnections()
	})
	<-s.engine.asked
	return s
}

// ask asks the model, and gives the status, or 0 where nobody listens.
func (s *serving) ask(method, path string) int {
	const body = `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// until asks again and again until the status is as wanted.
func (s *serving) until(want int, method, path string) {
	s.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for got := s.ask(method, path); got != want; got = s.ask(method, path) {
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("%s %s: status %d, want %d", method, path, got, want)
		}
	}
}

const (
	ready = "/v2/health/ready"
	infer = "/v2/models/addsub/infer"
)

// A platform that probes is told 503 until the models are there.
func TestProbedPlatformsAreToldWhenItIsReady(t *testing.T) {
	s := serve(t, fnserver.Probed)
	s.until(http.StatusServiceUnavailable, "GET", ready)
	if got := s.ask("POST", infer); got != http.StatusServiceUnavailable {
		t.Errorf("a request before: %d, want 503", got)
	}
	close(s.engine.open)
	s.until(http.StatusOK, "GET", ready)
	if got := s.ask("POST", infer); got != http.StatusOK {
		t.Errorf("a request then: %d, want 200", got)
	}
}

// A platform for which a connection is enough finds no port before every
// request is answered.
func TestConnectedPlatformsFindNoPortTooEarly(t *testing.T) {
	s := serve(t, fnserver.Connected)
	if got := s.ask("GET", ready); got != 0 {
		t.Errorf("while models load: %d, want nobody who listens", got)
	}
	close(s.engine.open)
	s.until(http.StatusOK, "POST", infer)
}

// A platform that sends requests as soon as the port is open has them wait.
func TestImpatientPlatformsWait(t *testing.T) {
	s := serve(t, fnserver.Impatient)
	s.until(http.StatusServiceUnavailable, "GET", ready)
	answered := make(chan int, 1)
	go func() { answered <- s.ask("POST", infer) }()
	s.until(http.StatusServiceUnavailable, "GET", ready) // others are told meanwhile
	select {
	case got := <-answered:
		t.Errorf("answered %d before the models were there", got)
	default:
	}
	close(s.engine.open)
	if got := <-answered; got != http.StatusOK {
		t.Errorf("answered %d, want 200", got)
	}
}

// A signal while models load ends the process at once, and as it should.
func TestStopWhileLoading(t *testing.T) {
	for _, start := range []fnserver.Start{fnserver.Probed, fnserver.Connected, fnserver.Impatient} {
		s := serve(t, start)
		s.stop()
		if err := <-s.done; err != nil {
			t.Errorf("start %d: %v", start, err)
		}
		s.done <- nil // for the cleanup
	}
}
