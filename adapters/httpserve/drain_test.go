package httpserve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// outcome is how a request of a draining server ended.
type outcome struct {
	name string
	err  error
}

// ask returns what sends one request, for each of the ways there are.
func (s *running) ask(t *testing.T) map[string]func() error {
	one, two, c := h1(t), h2(t), s.grpc()
	s.get(two, "/v2") // this connection is net/http's, so that both may use it
	rest := func(client *http.Client) func() error {
		return func() error {
			st, body, err := s.post(client, "flat", flatBody(1))
			if err == nil && st != 200 {
				err = fmt.Errorf("%d: %s", st, body)
			}
			return err
		}
	}
	return map[string]func() error{
		"HTTP/1.1": rest(one), "HTTP/2": rest(two),
		"gRPC": func() error { _, err := c.ModelInfer(context.Background(), flatRequest(1)); return err },
		"mixed gRPC": func() error {
			if st, _ := s.call(t, two, "ModelInfer", flatRequest(1)); st != "0" {
				return fmt.Errorf("grpc-status %s", st)
			}
			return nil
		},
	}
}

// Requests in progress are answered although the server has been told to
// stop; readiness falls first, and new connections come until PreStop is over.
func TestDrainAnswersWhatIsInProgress(t *testing.T) {
	s := start(t, nil, &httpserve.Options{PreStop: time.Second}, nil)
	warm := h1(t)
	if status, _ := s.get(warm, "/v2/health/ready"); status != 200 {
		t.Fatalf("ready: %d", status)
	}
	hold := newHolder()
	s.use(hold.handle)
	done := make(chan outcome)
	const each = 5
	ways := s.ask(t)
	for name, ask := range ways {
		for range each {
			go func() { done <- outcome{name, ask()} }()
		}
	}
	for range each * len(ways) {
		<-hold.began
	}
	s.stop()
	for deadline := time.Now().Add(long); ; { // readiness falls at once, on old connections and on new ones
		status, _ := s.get(warm, "/v2/health/ready")
		fresh, _ := s.get(h1(t), "/v2/health/ready")
		if status == 503 && fresh == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("still ready")
		}
	}
	close(hold.go_)
	for range each * len(ways) {
		if o := <-done; o.err != nil {
			t.Errorf("%s: %v", o.name, o.err)
		}
	}
	if err := s.wait(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if c, err := net.Dial("tcp", s.address); err == nil {
		_ = c.Close()
		t.Error("the port is still open")
	}
}

// Under load nothing is dropped: each request that reached the server has been
// answered. What finds the port closed, or is reset in its queue, was not
// sent to this server in time.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, &httpserve.Options{PreStop: 100 * time.Millisecond}, nil)
	var taken, answered atomic.Int64
	s.use(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		taken.Add(1)
		m, err := s.registry.Lookup(req.Model, req.Version)
		if err != nil {
			return nil, err
		}
		return m.Infer(ctx, req)
	})
	var wg sync.WaitGroup
	busy := make(chan struct{})
	const enough = 200
	ways := s.ask(t)
	delete(ways, "mixed gRPC") // it ends the test where others return an error
	for name, ask := range ways {
		for range 4 {
			wg.Go(func() {
				for {
					err := ask()
					if err == nil {
						if answered.Add(1) == enough {
							close(busy)
						}
						continue
					}
					if status.Code(err) != codes.Unavailable && !gone(err) {
						t.Errorf("%s: %v", name, err)
					}
					return
				}
			})
		}
	}
	<-busy
	s.stop()
	wg.Wait()
	if err := s.wait(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if taken.Load() != answered.Load() {
		t.Errorf("%d requests were taken and %d answered", taken.Load(), answered.Load())
	}
}

// gone says whether the request met a port or a connection that was closed.
// Who writes twice to a connection that is reset between sees a broken pipe.
func gone(err error) bool {
	return slices.ContainsFunc([]error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF}, func(e error) bool {
		return errors.Is(err, e)
	})
}

// What takes longer than Drain gets an answer shortly before the end.
func TestDrainEndsLongRequestsWithAnAnswer(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, &httpserve.Options{Drain: 500 * time.Millisecond}, nil)
	hold := newHolder()
	s.use(hold.handle)
	done := make(chan outcome)
	one, two, c := h1(t), h2(t), s.grpc()
	rest := func(name string, client *http.Client) {
		st, body, err := s.post(client, "flat", flatBody(1))
		if err == nil && (st != 503 || !strings.Contains(body, "stopping")) {
			err = fmt.Errorf("%d: %s", st, body)
		}
		done <- outcome{name, err}
	}
	go rest("HTTP/1.1", one)
	go rest("HTTP/2", two)
	go func() {
		_, err := c.ModelInfer(context.Background(), flatRequest(1))
		if status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "stopping") {
			err = nil
		}
		done <- outcome{"gRPC", err}
	}()
	for range 3 {
		<-hold.began
	}
	s.stop()
	for range 3 {
		if o := <-done; o.err != nil {
			t.Errorf("%s: %v", o.name, o.err)
		}
		if cause := <-hold.ended; fault.CodeOf(cause) != fault.Unavailable {
			t.Errorf("the handler was told %v", cause)
		}
	}
	if err := s.wait(); err != nil {
		t.Errorf("Serve: %v, want nil: every request was answered", err)
	}
}

// A handler that listens to nobody cannot hold the process.
func TestDrainCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, &httpserve.Options{Drain: 100 * time.Millisecond}, nil)
	began, end := make(chan struct{}, 2), make(chan struct{})
	var handlers sync.WaitGroup
	handlers.Add(2)
	s.use(func(context.Context, *infer.Request) (*infer.Response, error) {
		defer handlers.Done()
		began <- struct{}{}
		<-end
		return nil, errors.New("too late")
	})
	var calls sync.WaitGroup
	one, c := h1(t), s.grpc()
	calls.Go(func() {
		if _, _, err := s.post(one, "flat", flatBody(1)); err == nil {
			t.Error("HTTP: answered")
		}
	})
	calls.Go(func() {
		if _, err := c.ModelInfer(context.Background(), flatRequest(1)); status.Code(err) != codes.Unavailable {
			t.Errorf("gRPC: %v", err)
		}
	})
	<-began
	<-began
	s.stop()
	err := s.wait()
	if fault.CodeOf(err) != fault.Canceled || !strings.Contains(fmt.Sprint(err), "2 requests") {
		t.Errorf("Serve: %v, want 2 requests cut off", err)
	}
	calls.Wait()
	close(end)
	handlers.Wait()
}

// Connections and streams without work do not make a drain wait.
func TestDrainDoesNotWaitForTheIdle(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, &httpserve.Options{Drain: long}, nil)
	for _, ask := range s.ask(t) {
		if err := ask(); err != nil { // leaves an idle connection
			t.Fatal(err)
		}
	}
	silent := s.tcp()
	w := s.wire(t)
	w.next() // the server has seen the preface, and waits for a request
	stream, err := s.grpc().ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(flatRequest(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	watch, err := healthpb.NewHealthClient(s.dial()).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	s.stop()
	if err := s.wait(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(begun); took > long/2 {
		t.Errorf("the drain took %v", took)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	for err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ended with %v", err)
	}
	if n, err := silent.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the silent connection: %d %v", n, err)
	}
}

// A server that has answered nothing yet stops as well: while models load.
func TestDrainBeforeReady(t *testing.T) {
	s := start(t, nil, nil, nil)
	if err := s.registry.Declare("loading", "1"); err != nil {
		t.Fatal(err)
	}
	s.stop()
	if err := s.wait(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}
