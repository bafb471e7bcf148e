package httpserve_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const long = time.Minute // more than any test takes

// running is a server on a loopback port.
type running struct {
	t        testing.TB
	address  string
	registry *infer.Registry
	log      *buffer
	stop     context.CancelFunc // as SIGTERM does
	result   chan error

	mu     sync.Mutex
	handle infer.HandlerFunc // replaces the models, if set
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (s *running) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	s.mu.Lock()
	handle := s.handle
	s.mu.Unlock()
	if handle != nil {
		return handle(ctx, req)
	}
	m, err := s.registry.Lookup(req.Model, req.Version)
	if err != nil {
		return nil, err
	}
	return m.Infer(ctx, req)
}

func (s *running) use(h infer.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = h
}

// start serves addsub, flat (FP32 [-1]) and text (BYTES [-1]) until the test
// ends. wrap, if set, is put around the HTTP side.
func start(t testing.TB, api *oip.Options, opts *httpserve.Options, wrap func(http.Handler) http.Handler) *running {
	t.Helper()
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, ln, api, opts, wrap)
}

func startOn(t testing.TB, ln net.Listener, api *oip.Options, opts *httpserve.Options, wrap func(http.Handler) http.Handler) *running {
	t.Helper()
	s := &running{t: t, address: ln.Addr().String(), registry: &infer.Registry{}, log: &buffer{}, result: make(chan error, 1)}
	engine := memengine.New(map[string]memengine.Model{
		"addsub": memengine.AddSub(), "flat": memengine.Identity(tensor.FP32, -1), "text": memengine.Identity(tensor.Bytes, -1),
	})
	for _, name := range []string{"addsub", "flat", "text"} {
		m, err := infer.Load(t.Context(), engine, name, &infer.Options{Name: name, Digest: "sha256:00"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.registry.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	var a oip.Options
	if api != nil {
		a = *api
	}
	log := telemetry.NewLogger(s.log, false, slog.LevelDebug)
	a.Log = log
	var o httpserve.Options
	if opts != nil {
		o = *opts
	}
	o.Log = log
	o.NoLane = o.NoLane || strings.HasPrefix(t.Name(), "TestWithoutLane/")
	if o.Drain == 0 {
		o.Drain = long
	}
	front := oip.New(s.registry, s, &a)
	var h http.Handler
	if wrap != nil {
		h = wrap(front)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	go func() { s.result <- httpserve.Serve(ctx, ln, h, front, &o) }()
	t.Cleanup(func() {
		cancel()
		if err, ok := <-s.result; ok && err != nil {
			t.Errorf("Serve: %v", err)
		}
		_ = s.registry.Close(context.Background())
	})
	return s
}

// wait is what Serve returned, after stop.
func (s *running) wait() error {
	err := <-s.result
	close(s.result)
	return err
}

// h1 and h2 return clients with connections of their own.
func h1(t testing.TB) *http.Client { return client(t, true) }
func h2(t testing.TB) *http.Client { return client(t, false) }

func client(t testing.TB, one bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(one)
	p.SetUnencryptedHTTP2(!one)
	tr := &http.Transport{Protocols: p, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (s *running) url(path string) string { return "http://" + s.address + path }

// post sends a JSON inference; body is what came back.
func (s *running) post(c *http.Client, model, body string) (status int, answer string, err error) {
	resp, err := c.Post(s.url("/v2/models/"+model+"/infer"), "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (s *running) get(c *http.Client, path string) (int, string) {
	s.t.Helper()
	resp, err := c.Get(s.url(path))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (s *running) dial(opts ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+s.address, append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func (s *running) grpc(opts ...grpc.DialOption) oippb.GRPCInferenceServiceClient {
	s.t.Helper()
	return oippb.NewGRPCInferenceServiceClient(s.dial(opts...))
}

// tcp is a bare connection, for what no client library would send.
func (s *running) tcp() *net.TCPConn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(long)); err != nil {
		s.t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// flatRequest asks flat for the values, as typed contents.
func flatRequest(values ...float32) *oippb.ModelInferRequest {
	return &oippb.ModelInferRequest{ModelName: "flat", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{
		Name: "x", Datatype: "FP32", Shape: []int64{int64(len(values))}, Contents: &oippb.InferTensorContents{Fp32Contents: values},
	}}}
}

func flatBody(v float32) string {
	return fmt.Sprintf(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[%g]}]}`, v)
}

// holder is a handler whose requests wait until they are let go, or until
// their context ends.
type holder struct {
	began chan struct{} // one for each request that waits
	go_   chan struct{} // closed to let them go
	ended chan error    // the context's cause, for each that ended early
}

func newHolder() *holder {
	return &holder{began: make(chan struct{}, 1000), go_: make(chan struct{}), ended: make(chan error, 1000)}
}

func (h *holder) handle(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	h.began <- struct{}{}
	select {
	case <-h.go_:
		y := req.Inputs[0].Clone()
		y.Name = "y"
		return &infer.Response{Model: req.Model, Version: "1", Outputs: []tensor.Tensor{y}}, nil
	case <-ctx.Done():
		h.ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}
}
