package oip_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is what no caller may read.
const secret = "/srv/models/x.onnx on db-7"

// fixture is a server over a few small models.
type fixture struct {
	*oip.Server
	registry *infer.Registry
	log      *bytes.Buffer // JSON lines
	sink     *record

	mu     sync.Mutex
	handle infer.HandlerFunc // replaces the models, if set
}

func (f *fixture) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	f.mu.Lock()
	handle := f.handle
	f.mu.Unlock()
	if handle != nil {
		return handle(ctx, req)
	}
	m, err := f.registry.Lookup(req.Model, req.Version)
	if err != nil {
		return nil, err
	}
	resp, err := m.Infer(ctx, req)
	if err == nil {
		resp.Prediction = "p-1"
	}
	return resp, err
}

func (f *fixture) use(h infer.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handle = h
}

// newFixture serves addsub (versions 1 and 2), text (BYTES [-1]), flat (FP32
// [-1]) and nan, or those of them that are named.
func newFixture(t testing.TB, opts *oip.Options, only ...string) *fixture {
	t.Helper()
	var o oip.Options
	if opts != nil {
		o = *opts
	}
	f := &fixture{registry: &infer.Registry{}, log: &bytes.Buffer{}, sink: &record{}}
	if o.Log == nil {
		o.Log = telemetry.NewLogger(&locked{w: f.log}, false, slog.LevelInfo)
	}
	o.Sink = f.sink
	nan := memengine.Identity(tensor.FP32, 1)
	nan.Run = func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error) {
		return []tensor.Tensor{tensor.Of("y", []int64{1}, []float32{float32(math.NaN())})}, nil
	}
	engine := memengine.New(map[string]memengine.Model{
		"addsub": memengine.AddSub(), "text": memengine.Identity(tensor.Bytes, -1), "flat": memengine.Identity(tensor.FP32, -1), "nan": nan,
	})
	for _, m := range []struct{ name, version string }{{"addsub", "1"}, {"addsub", "2"}, {"text", "1"}, {"flat", "1"}, {"nan", "1"}} {
		if only != nil && !slices.Contains(only, m.name) {
			continue
		}
		model, err := infer.Load(t.Context(), engine, m.name, &infer.Options{Name: m.name, Version: m.version, Digest: "sha256:00"})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.registry.Add(model); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = f.registry.Close(context.Background()) })
	f.Server = oip.New(f.registry, f, &o)
	return f
}

// locked makes a buffer safe for a logger that several requests share.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// record is a sink that remembers.
type record struct {
	telemetry.Discard
	mu         sync.Mutex
	requests   []telemetry.RequestEvent
	inferences []telemetry.InferenceEvent
}

func (r *record) Request(e telemetry.RequestEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, e)
}

func (r *record) Inference(e telemetry.InferenceEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inferences = append(r.inferences, e)
}

const addsubBody = `{"id":"r-1","inputs":[` +
	`{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},` +
	`{"name":"b","shape":[1,4],"datatype":"FP32","data":[10,20,30,40]}]}`

// do sends one request straight to the handler.
func do(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
		r.ContentLength = 0
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func infers(h http.Handler, model, body string, header ...string) *httptest.ResponseRecorder {
	return do(h, "POST", "/v2/models/"+model+"/infer", body, append([]string{"Content-Type", "application/json"}, header...)...)
}

// codeIn is the code of an error body, "" for none.
func codeIn(t testing.TB, body []byte) string {
	t.Helper()
	var e struct{ Error, Code string }
	if json.Unmarshal(body, &e) == nil && e.Code != "" && e.Error == "" {
		t.Errorf("error body without a text: %s", body)
	}
	return e.Code
}

func wantError(t testing.TB, w *httptest.ResponseRecorder, status int, code fault.Code) {
	t.Helper()
	if got := codeIn(t, w.Body.Bytes()); w.Code != status || got != code.String() {
		t.Errorf("got %d %q, want %d %q: %s", w.Code, got, status, code, w.Body)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type of the error: %q", ct)
	}
}

func gzipped(t testing.TB, b []byte) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func deflated(t testing.TB, b []byte) string {
	t.Helper()
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	_, _ = z.Write(b)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// sleeper is a handler that ends with its context and tells when it began.
func sleeper(began chan<- struct{}) infer.HandlerFunc {
	return func(ctx context.Context, _ *infer.Request) (*infer.Response, error) {
		if began != nil {
			began <- struct{}{}
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

const long = time.Minute // more than any test takes
