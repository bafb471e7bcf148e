package httpserve

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// scripted is a stream that gives what it was told to, and fails to send when it
// was told to.
type scripted struct {
	grpc.ServerStream
	ctx  context.Context
	in   []func(any) error // one for each message; after them, the end
	sent []any
	fail error
}

func (s *scripted) Context() context.Context { return s.ctx }

func (s *scripted) RecvMsg(m any) error {
	if len(s.in) == 0 {
		return io.EOF
	}
	next := s.in[0]
	s.in = s.in[1:]
	return next(m)
}

func (s *scripted) SendMsg(m any) error {
	if s.fail == nil {
		s.sent = append(s.sent, m)
	}
	return s.fail
}

// flat is a server of one model that answers what it is asked.
func flat(t *testing.T, opts *oip.Options) (*oip.Server, *infer.Registry) {
	t.Helper()
	registry := &infer.Registry{}
	m, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"flat": memengine.Identity(tensor.FP32, -1)}), "flat", &infer.Options{Name: "flat", Digest: "sha256:00"})
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Add(m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registry.Close(context.Background()) })
	return oip.New(registry, m, opts), registry
}

// message is an infer request on the wire.
func message(t *testing.T, values ...float32) []byte {
	t.Helper()
	msg, err := codec.AppendInferRequestGRPC(nil, &infer.Request{Model: "flat", Inputs: []tensor.Tensor{tensor.Of("x", []int64{int64(len(values))}, values)}}, true)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// states is the sending side of a watch.
type states struct {
	grpc.ServerStream
	ctx  context.Context
	fail error

	mu  sync.Mutex
	all []healthpb.HealthCheckResponse_ServingStatus
}

// sent are the states that were sent.
func (s *states) sent() []healthpb.HealthCheckResponse_ServingStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

func (s *states) Context() context.Context { return s.ctx }

func (s *states) Send(r *healthpb.HealthCheckResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.all = append(s.all, r.Status)
	}
	return s.fail
}

// A watcher learns the state at once, of a change within a second, and nothing
// else, until it goes away or the server stops.
func TestWatchesOfHealth(t *testing.T) {
	const serving, not, unknown = healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	synctest.Test(t, func(t *testing.T) {
		api, registry := flat(t, nil)
		g := &grpcServer{api: api, stopping: make(chan struct{})}
		h := &health{grpcServer: g}
		watch := func(ctx context.Context, service string) (*states, chan error) {
			s, done := &states{ctx: ctx}, make(chan error, 1)
			go func() { done <- h.Watch(&healthpb.HealthCheckRequest{Service: service}, s) }()
			synctest.Wait()
			return s, done
		}
		ctx, leave := context.WithCancel(t.Context())
		all, left := watch(ctx, "")
		other, stopped := watch(t.Context(), "other")
		<-time.After(time.Hour + time.Second/2) // between two looks
		if err := registry.Declare("loading", "1"); err != nil {
			t.Fatal(err)
		}
		if sent := all.sent(); len(sent) != 1 || sent[0] != serving {
			t.Errorf("sent %v for an hour", sent)
		}
		<-time.After(time.Second)
		synctest.Wait()
		if sent := all.sent(); len(sent) != 2 || sent[1] != not {
			t.Errorf("sent %v a second after a change", sent)
		}
		if leave(); <-left != context.Canceled {
			t.Error("left, and not told so")
		}
		close(g.stopping)
		if err := <-stopped; fault.CodeOf(err) != fault.Unavailable || fault.HintOf(err) == "" {
			t.Errorf("stopped: %v", err)
		}
		if sent := other.sent(); len(sent) != 1 || sent[0] != unknown {
			t.Errorf("of another service: %v", sent)
		}
		gone := &states{ctx: t.Context(), fail: errors.New("gone")}
		if err := h.Watch(&healthpb.HealthCheckRequest{}, gone); err != gone.fail {
			t.Errorf("to nobody: %v", err)
		}
		if _, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{Service: strings.Repeat("s", 1000)}); fault.CodeOf(err) != fault.NotFound || len(err.Error()) > 300 {
			t.Errorf("of a service with a long name: %v", err)
		}
	})
}

// What arrived is given back when it is answered or refused, and not after a
// panic, when somebody may still read it.
func TestMessagesAreGivenBack(t *testing.T) {
	api, _ := flat(t, &oip.Options{Limits: &codec.Limits{Body: 1 << 20, Response: 3000}})
	s := &service{grpcServer: &grpcServer{api: api, base: t.Context()}}
	for name, tt := range map[string]struct {
		data []byte
		want fault.Code
	}{
		"answered":   {message(t, 1, 2), fault.OK},
		"no input":   {[]byte("\x0a\x01x"), fault.Invalid},
		"no message": {[]byte{0xff}, fault.Invalid},
		"too large":  {message(t, make([]float32, 1000)...), fault.TooLarge},
	} {
		in := &request{data: tt.data}
		x, l := begun(t, s), new(life)
		out, err := s.answer(x.ctx, x.x, in, l)
		if fault.CodeOf(err) != tt.want || (out != nil) != (err == nil) || in.data != nil {
			t.Errorf("%s: %v, %v, %d bytes kept; want %v", name, out, err, len(in.data), tt.want)
		}
		if !l.ended || l.Err() != context.Canceled {
			t.Errorf("%s: the run's context goes on: %v", name, l.Err())
		}
		if out != nil && (out.Len() < 10 || cap(out.ReadOnlyData()) < 2<<10) {
			t.Errorf("%s: %d bytes of %d", name, out.Len(), cap(out.ReadOnlyData()))
		}
	}
	broken := oip.New(&infer.Registry{}, infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) { panic("told to") }), nil)
	s = &service{grpcServer: &grpcServer{api: broken, base: t.Context()}}
	in := &request{data: message(t, 1)}
	x := begun(t, s)
	if _, err := s.answer(x.ctx, x.x, in, new(life)); fault.CodeOf(err) != fault.Internal || in.data == nil {
		t.Errorf("a panic: %v, %d bytes kept", err, len(in.data))
	}
}

// begun is a call of s that has begun.
func begun(t *testing.T, s *service) *call {
	c := &call{ServerStream: &scripted{ctx: t.Context()}}
	c.ctx, c.x = s.begin(c)
	return c
}

// A stream ends with what ends it: the caller's side, what cannot be read or
// sent, or the server; what one request does is that request's.
func TestHowStreamsEnd(t *testing.T) {
	api, _ := flat(t, nil)
	give := func(data []byte) func(any) error {
		return func(m any) error { m.(*request).data = data; return nil }
	}
	gone := status.Error(codes.Canceled, "gone")
	fails := func(any) error { return gone }
	for name, tt := range map[string]struct {
		in     []func(any) error
		fail   error
		stops  bool
		want   error
		answer int
	}{
		"with the caller's side": {[]func(any) error{give(message(t, 1)), give([]byte{0xff}), give(message(t, 2))}, nil, false, nil, 3},
		"what cannot be read":    {[]func(any) error{give(message(t, 1)), fails}, nil, false, gone, 1},
		"what cannot be sent":    {[]func(any) error{give(message(t, 1)), give(message(t, 2))}, gone, false, gone, 0},
		"a refusal is not sent":  {[]func(any) error{give([]byte{0xff}), give(message(t, 2))}, gone, false, gone, 0},
	} {
		s := &service{grpcServer: &grpcServer{api: api, base: t.Context(), stopping: make(chan struct{})}}
		stream := &scripted{ctx: t.Context(), in: tt.in, fail: tt.fail}
		c := &call{ServerStream: stream}
		c.ctx, c.x = s.begin(c)
		if err := s.streamInfer(c); err != tt.want || len(stream.sent) != tt.answer {
			t.Errorf("%s: %v after %d answers, want %v after %d", name, err, len(stream.sent), tt.want, tt.answer)
		}
		s.receives.Wait() // who reads ends with the stream
	}
	s := &service{grpcServer: &grpcServer{api: api, base: t.Context(), stopping: make(chan struct{})}}
	waits := make(chan struct{})
	c := &call{ServerStream: &scripted{ctx: t.Context(), in: []func(any) error{func(any) error { <-waits; return gone }}}}
	c.ctx, c.x = s.begin(c)
	close(s.stopping)
	if err := s.streamInfer(c); fault.CodeOf(err) != fault.Unavailable || fault.HintOf(err) == "" {
		t.Errorf("stopped: %v", err)
	}
	close(waits)
	s.receives.Wait()
}

// What a unary call is answered with is what its method said, and nothing is
// answered to who sent nothing.
func TestUnaryCalls(t *testing.T) {
	api, _ := flat(t, nil)
	g := &grpcServer{api: api, base: t.Context()}
	desc := lazily(healthpb.Health_ServiceDesc)
	handle := func(name string) grpc.StreamHandler {
		for _, s := range desc.Streams {
			if s.StreamName == name {
				return s.Handler
			}
		}
		t.Fatalf("no %s", name)
		return nil
	}
	if len(desc.Methods) != 0 || len(desc.Streams) != len(healthpb.Health_ServiceDesc.Methods)+len(healthpb.Health_ServiceDesc.Streams) || len(healthpb.Health_ServiceDesc.Methods) == 0 {
		t.Errorf("%d methods and %d streams", len(desc.Methods), len(desc.Streams))
	}
	gone := errors.New("gone")
	for name, tt := range map[string]struct {
		in    []func(any) error
		fail  error
		want  fault.Code
		sends int
	}{
		"asked":   {[]func(any) error{func(any) error { return nil }}, nil, fault.OK, 1},
		"nothing": {nil, nil, fault.Invalid, 0},
		"gone":    {[]func(any) error{func(any) error { return nil }}, gone, fault.Internal, 0},
	} {
		stream := &scripted{ctx: t.Context(), in: tt.in, fail: tt.fail}
		c := &call{ServerStream: stream}
		c.ctx, c.x = g.begin(c)
		if err := handle("Check")(&health{grpcServer: g}, c); fault.CodeOf(err) != tt.want || len(stream.sent) != tt.sends || !c.ended {
			t.Errorf("%s: %v, sent %v, ended %v; want %v", name, err, stream.sent, c.ended, tt.want)
		}
	}
	if err := unknownMethod(nil, &scripted{ctx: grpc.NewContextWithServerTransportStream(t.Context(), &called{method: "/a/" + strings.Repeat("b", 300)})}); status.Code(err) != codes.Unimplemented ||
		status.Convert(err).Message() != `unknown method "/a/`+strings.Repeat("b", 197)+`"` {
		t.Errorf("no such method: %v", err)
	}
}

// called is the transport of a call of a method.
type called struct {
	fakeTransport
	method string
}

func (n *called) Method() string { return n.method }

// A stream of reflection ends with what cannot be read or sent.
func TestHowReflectionEnds(t *testing.T) {
	gone := errors.New("gone")
	list := func(m any) error {
		m.(*reflectpb.ServerReflectionRequest).MessageRequest = &reflectpb.ServerReflectionRequest_ListServices{}
		return nil
	}
	for name, tt := range map[string]struct {
		in    []func(any) error
		fail  error
		want  error
		sends int
	}{
		"all answered":        {[]func(any) error{list, list}, nil, nil, 2},
		"what cannot be read": {[]func(any) error{list, func(any) error { return gone }, list}, nil, gone, 1},
		"what cannot be sent": {[]func(any) error{list, list}, gone, gone, 0},
	} {
		stream := &scripted{ctx: t.Context(), in: tt.in, fail: tt.fail}
		if err := reflection(nil, stream); err != tt.want || len(stream.sent) != tt.sends {
			t.Errorf("%s: %v after %d answers, want %v after %d", name, err, len(stream.sent), tt.want, tt.sends)
		}
	}
}

// A reader that was used before reads what is right, refuses what is not, and is
// used again.
func TestReadersOfDeflate(t *testing.T) {
	d := &deflate{}
	var packed bytes.Buffer
	for range 3 {
		packed.Reset()
		w, err := d.Compress(&packed)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, "some text")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if z, err := zlib.NewReader(bytes.NewReader(packed.Bytes())); err != nil {
			t.Errorf("no zlib: %v", err)
		} else if text, err := io.ReadAll(z); string(text) != "some text" || err != nil {
			t.Errorf("written %q, %v", text, err)
		}
		for range 20 { // a pool may forget
			r, err := d.Decompress(bytes.NewReader(packed.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(r); string(text) != "some text" || err != nil {
				t.Errorf("read %q, %v", text, err)
			}
			if err := r.(io.Closer).Close(); err != nil {
				t.Error(err)
			}
			if r, err := d.Decompress(strings.NewReader("no zlib")); err == nil || r != nil {
				t.Errorf("what is no zlib: %v, %v", r, err)
			}
		}
	}
}

// A connection that is handed over counts until its server has it in its books,
// and gives its place back when it ends.
func TestConnectionsThatAreHandedOver(t *testing.T) {
	for text, to := range map[string]string{getRoot: "HTTP", string(open(grpcCall...)): "gRPC", "": "nobody"} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{opts: (&Options{MaxConns: 1}).withDefaults(), httpConns: newHandoff(nil), grpcConns: newHandoff(nil), grpc: &grpcServer{}}
			s.opts.Log = slog.New(slog.DiscardHandler)
			l := newPipes()
			go func() { s.admit(<-l.conns) }()
			caller, err := l.dial()
			if err != nil {
				t.Fatal(err)
			}
			send(caller, text)
			go func() { _, _ = io.Copy(io.Discard, caller) }()
			if text == "" {
				_ = caller.Close()
			}
			synctest.Wait()
			waits := int64(1)
			if text == "" {
				waits = 0
			}
			if s.unsettled.Load() != waits || s.open.Load() != waits || s.sniffing.size() != 0 {
				t.Errorf("to %s: %d unsettled, %d open, %d sniffed", to, s.unsettled.Load(), s.open.Load(), s.sniffing.size())
			}
			if text == "" {
				return
			}
			var c *conn
			select {
			case got := <-s.httpConns.conns:
				if c = got.(*conn); to != "HTTP" || c.stall != 0 || c.lines == nil {
					t.Errorf("%q went to HTTP", text)
				}
			case got := <-s.grpcConns.conns:
				if c = got.(*conn); to != "gRPC" || c.stall != 30*time.Second || s.grpc.conns.size() != 1 || c.frames == nil {
					t.Errorf("%q went to gRPC, %d known", text, s.grpc.conns.size())
				}
			}
			_, _ = c.Write([]byte("x"))
			if s.unsettled.Load() != 0 || s.open.Load() != 1 {
				t.Errorf("to %s, settled: %d unsettled, %d open", to, s.unsettled.Load(), s.open.Load())
			}
			_ = c.Close()
			if s.open.Load() != 0 || s.grpc.conns.size() != 0 {
				t.Errorf("to %s, closed: %d open, %d known", to, s.open.Load(), s.grpc.conns.size())
			}
			_ = caller.Close()
			s.sniffers.Wait()
		})
	}
}

// Half a header that is there when a drain begins may turn out to be net/http's:
// it waits until that is known.
func TestDrainsWaitForHeaders(t *testing.T) {
	for name, pause := range map[string]time.Duration{"behind a request": 0, "on an idle connection": time.Second} {
		t.Run(name, func(t *testing.T) { drainsWait(t, pause) })
	}
}

func drainsWait(t *testing.T, pause time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		s := inTime(t, true, &Options{Drain: time.Minute}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
		c := s.connect()
		go func() {
			text := getRoot + "GET / HTTP/1.1\r\nHo"
			if pause > 0 {
				_, _ = io.WriteString(c, getRoot)
				<-time.After(pause)
				text = text[len(getRoot):]
			}
			_, _ = io.WriteString(c, text)
		}()
		r := make(chan string, 1)
		go func() {
			got, _ := ends(c, time.Now())
			r <- got
		}()
		<-time.After(2 * time.Second)
		begun := time.Now()
		s.stop()
		<-time.After(time.Second)
		if _, err := io.WriteString(c, "st: y\r\nTE: trailers\r\nExpect: \r\n\r\n"); err != nil { // unusual
			t.Fatal(err)
		}
		if got := <-r; strings.Count(got, "HTTP/1.1 200 OK") != 2 || !strings.HasSuffix(got, "y") {
			t.Errorf("answered %q", got)
		}
		if took, err := s.wait(begun); err != nil || !near(took, time.Second, 600*time.Millisecond) {
			t.Errorf("Serve: %v after %v", err, took)
		}
	})
}
