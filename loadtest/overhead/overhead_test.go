package overhead_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/functions/predict"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/telemetry/prom"
	"godwit.dev/runtime/tensor"
)

// engine has one model, FP32 [-1 64] to FP32 [-1 16], or to [-1 150528] the
// same, which takes no time and no memory.
type engine struct{ width int64 }

func (e *engine) Info() driver.Info { return driver.Info{Name: "none", Version: "1", Platform: "go"} }

func (e *engine) Open(context.Context, string, *driver.Options) (driver.Session, error) {
	return &session{sig: driver.Signature{
		Inputs:  []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: []int64{-1, e.width}}},
		Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Shape: []int64{-1, 16}}},
	}}, nil
}

type session struct{ sig driver.Signature }

var answer = tensor.Of("y", []int64{1, 16}, []float32{0.0625, 0.125, 0.0078125, 0.5, 0.1, 0.2, 0.3, 0.4, 0.011, 0.012, 0.013, 0.014, 0.015, 0.0171, 0.02342, 0.1235})

func (s *session) Signature() *driver.Signature { return &s.sig }
func (s *session) Close() error                 { return nil }
func (s *session) Run(_ context.Context, _, out []tensor.Tensor) error {
	for i := range out {
		out[i].Type = answer.Type
		out[i].Shape = append(out[i].Shape[:0], answer.Shape...)
		out[i].Data = append(out[i].Data[:0], answer.Data...)
	}
	return nil
}

// serve serves the model until the test ends, with metrics and with the log
// lines that go into a file.
func serve(t testing.TB, width int64) (address string) {
	t.Helper()
	m, err := infer.Load(t.Context(), &engine{width}, "m", &infer.Options{Name: "m", Runs: 2, Digest: "sha256:" + strings.Repeat("0123456789abcdef", 4), Deterministic: true})
	if err != nil {
		t.Fatal(err)
	}
	models := &infer.Registry{}
	if err := models.Add(m); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	log := telemetry.NewLogger(null, false, slog.LevelInfo)
	sink := prom.New(nil)
	handler := predict.New(models, &predict.Options{Logger: log, Sink: sink})
	api := oip.New(models, handler, &oip.Options{Log: log, Sink: sink, Metrics: sink.Handler(), Timeout: 30 * time.Second})
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- httpserve.Serve(ctx, ln, nil, api, &httpserve.Options{Log: log}) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = null.Close()
	})
	return ln.Addr().String()
}

// nothing serves a route that reads the body and answers n bytes.
func nothing(t testing.TB, n int) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Repeat([]byte("x"), n)
	buffers := sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := buffers.Get().(*[]byte)
		defer buffers.Put(b)
		for {
			if _, err := r.Body.Read(*b); err != nil {
				break
			}
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(out)
	})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-served
	})
	return ln.Addr().String()
}

// form is one way to ask.
type form struct {
	name    string
	width   int64
	request []byte // with its head
	answer  int    // bytes of the answer, of which the head is not one
}

func forms(t testing.TB) []form {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var all []form
	for _, f := range []struct {
		name   string
		width  int64
		binary bool
	}{{"json/64", 64, false}, {"binary/64", 64, true}, {"binary/150528", 150528, true}, {"json/150528", 150528, false}} {
		values := make([]float32, f.width)
		for i := range values {
			values[i] = rng.Float32()*2 - 1
		}
		body, header, err := codec.EncodeRequest(nil, &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, f.width}, values)}}, f.binary)
		if err != nil {
			t.Fatal(err)
		}
		head := fmt.Sprintf("POST /v2/models/m/infer HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", len(body))
		if header >= 0 {
			head += fmt.Sprintf("Inference-Header-Content-Length: %d\r\n", header)
		}
		all = append(all, form{name: f.name, width: f.width, request: append([]byte(head+"\r\n"), body...)})
	}
	return all
}

// client sends one request again and again. It allocates nothing.
type client struct {
	conn net.Conn
	buf  []byte
}

func dial(t testing.TB, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{conn, make([]byte, 64<<10)}
}

// ask returns the answer, head and all.
func (c *client) ask(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	got, want := 0, 0
	for want == 0 || got < want {
		n, err := c.conn.Read(c.buf[got:])
		if err != nil {
			return nil, err
		}
		got += n
		if end := bytes.Index(c.buf[:got], []byte("\r\n\r\n")); want == 0 && end >= 0 {
			const name = "Content-Length: "
			at := bytes.Index(c.buf[:end], []byte(name))
			if at < 0 {
				return nil, io.ErrUnexpectedEOF
			}
			for _, digit := range c.buf[at+len(name) : end] {
				if digit < '0' || digit > '9' {
					break
				}
				want = want*10 + int(digit-'0')
			}
			want += end + 4
		}
	}
	return c.buf[:got], nil
}

// check asks once and checks the answer.
func (f *form) check(t testing.TB, address string) {
	t.Helper()
	got, err := dial(t, address).ask(f.request)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(got), "\r\n\r\n")
	f.answer = len(body)
	if _, value, ok := strings.Cut(head, "Inference-Header-Content-Length: "); ok {
		value, _, _ = strings.Cut(value, "\r\n")
		n, _ := strconv.Atoi(value)
		body = body[:n]
	}
	if !strings.HasPrefix(head, "HTTP/1.1 200 ") || !json.Valid([]byte(body)) || !strings.Contains(body, `"prediction_id"`) {
		t.Fatalf("got %s\n%s", head, body)
	}
}

// cpu is the time that this process has spent, in its own code and in the
// kernel's for it.
func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load has n clients ask count times in all and says what CPU that took.
func load(t testing.TB, address string, request []byte, clients, count int) time.Duration {
	conns := make([]*client, clients)
	for i := range conns {
		conns[i] = dial(t, address)
	}
	var wg sync.WaitGroup
	before := cpu(t)
	for _, c := range conns {
		wg.Go(func() {
			for range count / clients {
				if _, err := c.ask(request); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := cpu(t) - before
	for _, c := range conns {
		_ = c.conn.Close()
	}
	return took / time.Duration(count/clients*clients)
}

// BenchmarkInfer reports the CPU of one request, the client's included, and
// what is left of it when that of a route that does nothing, measured in turn,
// is taken away: then the client's is gone too.
func BenchmarkInfer(b *testing.B) {
	for _, f := range forms(b) {
		b.Run(f.name, func(b *testing.B) {
			ours := serve(b, f.width)
			f.check(b, ours)
			theirs := nothing(b, f.answer)
			count := 4000
			if len(f.request) > 1<<16 {
				count = 320
			}
			var added, total []float64
			for b.Loop() {
				a := load(b, ours, f.request, 16, count)
				n := load(b, theirs, f.request, 16, count)
				added = append(added, float64((a-n).Nanoseconds())/1e3)
				total = append(total, float64(a.Nanoseconds())/1e3)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(total), "cpu-µs/request")
			b.ReportMetric(median(added), "added-µs/request")
			c := dial(b, ours)
			ask := func() {
				if _, err := c.ask(f.request); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(testing.AllocsPerRun(500, ask), "allocs/request")
			c = dial(b, theirs)
			b.ReportMetric(testing.AllocsPerRun(500, ask), "net/http-allocs")
		})
	}
}

// A request takes at most twenty allocations more than a route that does
// nothing, logs, metrics and limits included.
func TestAllocations(t *testing.T) {
	for _, f := range forms(t) {
		if f.width > 64 {
			continue // the same, and slower
		}
		ours := serve(t, f.width)
		f.check(t, ours)
		count := func(address string) float64 {
			c := dial(t, address)
			return testing.AllocsPerRun(300, func() {
				if _, err := c.ask(f.request); err != nil {
					t.Fatal(err)
				}
			})
		}
		got, floor := count(ours), count(nothing(t, f.answer))
		if got-floor > 20 {
			t.Errorf("%s: %v allocations, want at most 20 more than the %v of net/http", f.name, got, floor)
		}
	}
}

func median(v []float64) float64 {
	for i := range v {
		for j := i; j > 0 && v[j] < v[j-1]; j-- {
			v[j], v[j-1] = v[j-1], v[j]
		}
	}
	return v[len(v)/2]
}
