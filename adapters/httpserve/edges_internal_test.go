package httpserve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/tensor"
)

// fakeStream is a call of which the wire is not there.
type fakeStream struct {
	grpc.ServerStream
	ctx     context.Context
	receive error
}

func (f *fakeStream) Context() context.Context { return f.ctx }

func (f *fakeStream) RecvMsg(any) error { return f.receive }

// fakeTransport takes what an answer ends with.
type fakeTransport struct{ trailer metadata.MD }

func (*fakeTransport) Method() string { return "" }

func (*fakeTransport) SetHeader(metadata.MD) error { return nil }

func (*fakeTransport) SendHeader(metadata.MD) error { return nil }

func (f *fakeTransport) SetTrailer(md metadata.MD) error {
	f.trailer = metadata.Join(f.trailer, md)
	return nil
}

// What grpc-go says when it reads a message has the code of who is to blame.
func TestReceiveErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want fault.Code
		text string
	}{
		{nil, fault.OK, ""},
		{io.EOF, fault.Invalid, "want a message, got none"},
		{status.Error(codes.ResourceExhausted, "larger than max"), fault.TooLarge, "larger than max"},
		{status.Error(codes.Unimplemented, "no such coding"), fault.Unsupported, "no such coding"},
		{status.Error(codes.Canceled, "gone"), fault.Canceled, ""},
		{status.Error(codes.DeadlineExceeded, "late"), fault.DeadlineExceeded, ""},
		{status.Error(codes.Internal, "no message"), fault.Invalid, "no message"},
		{errors.New("another"), fault.Invalid, "another"},
	} {
		c := &call{ServerStream: &fakeStream{receive: tt.err}}
		if err := c.receive(nil); fault.CodeOf(err) != tt.want || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%v: %v, want %v and %q", tt.err, err, tt.want, tt.text)
		}
	}
}

// What each method needs; one that nobody knows needs what reading does.
func TestScopesOfMethods(t *testing.T) {
	const service = "/inference.GRPCInferenceService/"
	for method, want := range map[string]oip.Scope{
		"/grpc.health.v1.Health/Check": "", "/grpc.health.v1.Health/Watch": "", service + "ServerLive": "", service + "ServerReady": "",
		service + "ModelInfer": oip.ScopeInfer, service + "ModelStreamInfer": oip.ScopeInfer,
		service + "RepositoryModelLoad": oip.ScopeAdmin, service + "RepositoryModelUnload": oip.ScopeAdmin,
		service + "ModelReady": oip.ScopeMetadata, service + "ServerMetadata": oip.ScopeMetadata, service + "ModelMetadata": oip.ScopeMetadata,
		service + "ModelConfig": oip.ScopeMetadata, service + "ModelStatistics": oip.ScopeMetadata, service + "RepositoryIndex": oip.ScopeMetadata,
		"/grpc.health.v1.Health/List": oip.ScopeMetadata, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": oip.ScopeMetadata, "/a/b": oip.ScopeMetadata, "": oip.ScopeMetadata,
	} {
		if got := scopeOf(method); got != want {
			t.Errorf("%s needs %q, want %q", method, got, want)
		}
	}
}

func TestStatusOfErrors(t *testing.T) {
	g := &grpcServer{}
	own := status.Error(codes.Unimplemented, "unknown method")
	for _, tt := range []struct {
		err     error
		code    codes.Code
		text    string
		trailer metadata.MD
	}{
		{nil, codes.OK, "", nil},
		{own, codes.Unimplemented, "unknown method", nil},
		{fault.New(fault.NotFound, "", "", "no"), codes.NotFound, "no", metadata.Pairs("godwit-code", "not_found")},
		{fault.New(fault.RateLimited, "", "", "wait").WithRetry(1500 * time.Millisecond), codes.ResourceExhausted, "wait", metadata.Pairs("godwit-code", "rate_limited", "grpc-retry-pushback-ms", "1500")},
		{errors.New("secret"), codes.Internal, "", metadata.Pairs("godwit-code", "internal")},
		{context.Canceled, codes.Canceled, "", metadata.Pairs("godwit-code", "canceled")},
	} {
		f := &fakeTransport{}
		err := g.status(grpc.NewContextWithServerTransportStream(t.Context(), f), tt.err)
		if status.Code(err) != tt.code || !strings.Contains(status.Convert(err).Message(), tt.text) || strings.Contains(status.Convert(err).Message(), "secret") {
			t.Errorf("%v: %v, want %v and %q", tt.err, err, tt.code, tt.text)
		}
		if diff := cmp.Diff(tt.trailer, f.trailer); diff != "" {
			t.Errorf("%v: trailer (-want +got):\n%s", tt.err, diff)
		}
	}
}

// keyed lets in who shows the scope.
type keyed struct{}

func (keyed) Authorize(_ context.Context, header func(string) []string, scope oip.Scope) (string, error) {
	if strings.Join(header("x-scope"), "") != string(scope) {
		return "", fault.New(fault.Denied, "", "", "not for you")
	}
	return "somebody", nil
}

// counts counts requests.
type counts struct {
	telemetry.Discard
	events []telemetry.RequestEvent
}

func (c *counts) Request(e telemetry.RequestEvent) { c.events = append(c.events, e) }

// Nobody gets past the interceptor who may not; a call has one line in the log,
// a stream one for each request in it, and a panic is the server's fault.
func TestIntercept(t *testing.T) {
	for name, tt := range map[string]struct {
		method, scope string
		streams       bool
		do            func(c *call) error
		want          codes.Code
		called        bool
		counted       int
		failed        int // lines that a stream failed
	}{
		"let in":                     {"/inference.GRPCInferenceService/ModelInfer", "infer", false, func(c *call) error { c.x.Asked("", ""); return nil }, codes.OK, true, 1, 0},
		"ended by itself":            {"/inference.GRPCInferenceService/ModelInfer", "infer", false, func(c *call) error { c.x.Asked("", ""); c.end(nil); return nil }, codes.OK, true, 1, 0},
		"not let in":                 {"/inference.GRPCInferenceService/ModelInfer", "metadata", false, nil, codes.PermissionDenied, false, 1, 0},
		"a stream not let in":        {"/inference.GRPCInferenceService/ModelStreamInfer", "metadata", true, nil, codes.PermissionDenied, false, 1, 0},
		"a stream":                   {"/inference.GRPCInferenceService/ModelStreamInfer", "infer", true, func(*call) error { return nil }, codes.OK, true, 0, 0},
		"a stream that panics":       {"/inference.GRPCInferenceService/ModelStreamInfer", "infer", true, func(*call) error { panic("told to") }, codes.Internal, true, 0, 1},
		"a stream of a bad caller":   {"/inference.GRPCInferenceService/ModelStreamInfer", "infer", true, func(*call) error { return fault.New(fault.Invalid, "", "", "no") }, codes.InvalidArgument, true, 0, 0},
		"a stream that grpc ends":    {"/inference.GRPCInferenceService/ModelStreamInfer", "infer", true, func(*call) error { return status.Error(codes.Internal, "reset") }, codes.Internal, true, 0, 0},
		"open to all":                {"/grpc.health.v1.Health/Check", "", false, func(*call) error { return nil }, codes.OK, true, 0, 0},
		"metadata":                   {"/inference.GRPCInferenceService/ModelReady", "metadata", false, func(*call) error { return nil }, codes.OK, true, 0, 0},
		"a call that panics":         {"/inference.GRPCInferenceService/ModelReady", "metadata", false, func(*call) error { panic("told to") }, codes.Internal, true, 0, 0},
		"no such method, a stranger": {"/a/b", "", true, nil, codes.PermissionDenied, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &counts{}
			var log bytes.Buffer
			g := &grpcServer{api: oip.New(&infer.Registry{}, nil, &oip.Options{Auth: keyed{}, Sink: sink, Log: telemetry.NewLogger(&log, false, slog.LevelInfo)})}
			ctx := grpc.NewContextWithServerTransportStream(metadata.NewIncomingContext(t.Context(), metadata.Pairs("x-scope", tt.scope)), &fakeTransport{})
			called, inFlight := false, int64(0)
			err := g.intercept(nil, &fakeStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: tt.method, IsClientStream: tt.streams, IsServerStream: tt.streams}, func(_ any, s grpc.ServerStream) error {
				called, inFlight = true, g.inFlight.Load()
				return tt.do(s.(*call))
			})
			if status.Code(err) != tt.want || called != tt.called || called && inFlight != 1 || g.inFlight.Load() != 0 {
				t.Errorf("%v, called %v with %d in flight and %d after it; want %v and %v", err, called, inFlight, g.inFlight.Load(), tt.want, tt.called)
			}
			if len(sink.events) != tt.counted || tt.counted > 0 && sink.events[0].Protocol != telemetry.ProtocolGRPC {
				t.Errorf("counted %+v, want %d", sink.events, tt.counted)
			}
			if got := strings.Count(log.String(), "stream failed"); got != tt.failed {
				t.Errorf("%d lines of failed streams, want %d:\n%s", got, tt.failed, &log)
			}
		})
	}
}

// One side that streams is a stream.
func TestEitherSideStreams(t *testing.T) {
	for _, info := range []grpc.StreamServerInfo{{IsClientStream: true}, {IsServerStream: true}} {
		sink := &counts{}
		g := &grpcServer{api: oip.New(&infer.Registry{}, nil, &oip.Options{Sink: sink})}
		info.FullMethod = "/inference.GRPCInferenceService/ModelInfer"
		_ = g.intercept(nil, &fakeStream{ctx: t.Context()}, &info, func(_ any, s grpc.ServerStream) error {
			s.(*call).x.Asked("", "")
			return nil
		})
		if len(sink.events) != 0 {
			t.Errorf("%+v: counted as a call: %+v", info, sink.events)
		}
	}
}

// The headers of an answer are those of the kind that the caller sent.
func TestIDsOfAnswers(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, tt := range map[string]struct {
		sent metadata.MD
		few  []string
	}{
		"nothing": {nil, nil}, "an id": {metadata.Pairs("x-request-id", "7"), []string{"x-request-id"}},
		"a trace": {metadata.Pairs("traceparent", parent), []string{"traceparent"}},
		"both":    {metadata.Pairs("x-request-id", "7", "traceparent", parent), []string{"traceparent", "x-request-id"}},
	} {
		g := &grpcServer{api: oip.New(&infer.Registry{}, nil, nil)}
		c := &call{ServerStream: &fakeStream{ctx: metadata.NewIncomingContext(t.Context(), tt.sent)}}
		c.ctx, c.x = g.begin(c)
		for _, all := range []bool{false, true} {
			want := tt.few
			if all {
				want = []string{"traceparent", "x-request-id"}
			}
			var got []string
			for _, name := range []string{"traceparent", "x-request-id"} {
				if v := c.ids(all)[name]; len(v) == 1 && v[0] != "" {
					got = append(got, name)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, all %v (-want +got):\n%s", name, all, diff)
			}
		}
		if name == "both" && (c.ids(true)["x-request-id"][0] != "7" || !strings.HasPrefix(c.ids(true)["traceparent"][0], parent[:36])) {
			t.Errorf("not the caller's: %v", c.ids(true))
		}
	}
}

func TestOptionsOfServers(t *testing.T) {
	got := (*Options)(nil).withDefaults()
	if got.Log == nil {
		t.Error("no log")
	}
	got.Log = nil
	want := Options{Drain: 10 * time.Second, MaxConns: 4096, MaxStreams: 100, MaxHeaderBytes: 65536, MaxHeaderFields: 100, MaxChunks: 65536,
		HeaderTimeout: 5 * time.Second, IdleTimeout: 75 * time.Second, BodyTimeout: 30 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	given := Options{Drain: 1, MaxConns: 2, MaxStreams: 3, MaxHeaderBytes: 4, MaxHeaderFields: 5, MaxChunks: 6, HeaderTimeout: 7, IdleTimeout: 8, BodyTimeout: 9, PreStop: 10, Log: slog.New(slog.DiscardHandler)}
	if got := given.withDefaults(); got != given {
		t.Errorf("as given: %+v", got)
	}
	if got := (&Options{PreStop: -1, MaxConns: -1, Drain: -1}).withDefaults(); got.PreStop != 0 || got.MaxConns != 4096 || got.Drain != 10*time.Second {
		t.Errorf("less than nothing: %+v", got)
	}
}

// A body has its base and the time that its size takes at 64 KiB a second, and
// never less from now on than the next stride takes.
func TestDeadlines(t *testing.T) {
	for n, want := range map[int64]time.Duration{0: 30 * time.Second, 64 << 10: 31 * time.Second, 32 << 10: 30500 * time.Millisecond, 640 << 10: 40 * time.Second} {
		if got := patience(30*time.Second, n); got != want {
			t.Errorf("%d bytes: %v, want %v", n, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) { // where no time passes
		now := time.Now()
		for _, tt := range []struct {
			ago  time.Duration
			n    int64
			want time.Duration
		}{
			{0, 0, 31 * time.Second}, {10 * time.Second, 0, 21 * time.Second}, {0, 100 << 20, 31 * time.Second}, // what is there already earns nothing
			{20 * time.Second, 640 << 10, 21 * time.Second}, {10 * time.Second, 640 << 10, 31 * time.Second}, {time.Hour, 0, 31*time.Second - time.Hour},
		} {
			if got := deadline(now.Add(-tt.ago), 30*time.Second, tt.n).Sub(now); got != tt.want {
				t.Errorf("begun %v ago, %d bytes: %v from now, want %v", tt.ago, tt.n, got, tt.want)
			}
		}
	})
	now := time.Now()
	var none time.Time
	if earlier(now, none) != now || earlier(now, now.Add(1)) != now || earlier(now.Add(1), now) != now {
		t.Error("not the earlier one")
	}
	for chunks, want := range map[int]int64{0: 16 << 10, 1000: 16 << 10, 65536: 5*65536 - 8<<10, 4916: 16388} {
		if got := framing(chunks); got != want {
			t.Errorf("%d chunks may have %d bytes around them, want %d", chunks, got, want)
		}
	}
}

// A header that is refused is refused in the protocol's words, and its
// connection ends where nobody else uses it.
func TestRefusedHeaders(t *testing.T) {
	for major, closes := range map[int]string{1: "close", 2: ""} {
		w := httptest.NewRecorder()
		refuseHeader(w, &http.Request{ProtoMajor: major}, 431, fault.New(fault.TooLarge, "", "header", "want at most 3"))
		var body struct{ Error, Code string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Code != "too_large" || !strings.Contains(body.Error, "want at most 3") {
			t.Errorf("%v: %s", err, w.Body)
		}
		if h := w.Header(); w.Code != 431 || h.Get("Content-Type") != "application/json" || h.Get("Connection") != closes {
			t.Errorf("HTTP/%d: %d %v", major, w.Code, h)
		}
	}
	s := &server{opts: (&Options{MaxHeaderFields: 3}).withDefaults()}
	reached := 0
	h := s.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++; s.inFlight.Load() }))
	for _, tt := range []struct {
		header http.Header
		status int
	}{
		{http.Header{"A": {"1"}, "B": {"2"}, "C": {"3"}}, 200}, {http.Header{"A": {"1", "2", "3"}}, 200},
		{http.Header{"A": {"1", "2", "3", "4"}}, 431}, {http.Header{"A": {"1", "2"}, "B": {"3", "4"}}, 431},
	} {
		r := httptest.NewRequest("GET", "/", http.NoBody)
		r.Header = tt.header
		w := httptest.NewRecorder()
		before := reached
		h.ServeHTTP(w, r)
		if w.Code != tt.status || (reached > before) != (tt.status == 200) || s.inFlight.Load() != 0 {
			t.Errorf("%v: %d, want %d; %d in flight", tt.header, w.Code, tt.status, s.inFlight.Load())
		}
	}
	for text, want := range map[string]bool{"application/grpc": true, "application/grpc+proto": true, "application/grpc;x": true, "application/grpc-web": false, "application/json": false, "": false, "application/grpcx": false} {
		if got := isGRPC(text); got != want {
			t.Errorf("%q is gRPC: %v", text, got)
		}
	}
}

// The reader of a body in chunks refuses a flood of small ones, and says when
// the whole body was read.
func TestGuardedBodies(t *testing.T) {
	s := &server{opts: (&Options{MaxChunks: 10}).withDefaults()}
	begin := func(r *http.Request, c *conn) *writer {
		w := &writer{ResponseWriter: httptest.NewRecorder(), server: s, http1: true}
		w.control = *http.NewResponseController(w.ResponseWriter)
		w.guardBody(r, c)
		return w
	}
	body := func() io.ReadCloser { return io.NopCloser(strings.NewReader("abc")) }
	chunked := &http.Request{ProtoMajor: 1, TransferEncoding: []string{"chunked"}, Body: body()}
	c := &conn{}
	c.read.Store(1000)
	w := begin(chunked, c)
	if w.body.wire != c || w.body.before != 1000 || w.body.chunks != 10 || w.body.base != 30*time.Second {
		t.Errorf("a body in chunks: %+v", &w.body)
	}
	c.read.Store(1000 + framing(10) + 3) // as much as may be
	var buf [10]byte
	if n, err := w.body.Read(buf[:]); n != 3 || err != nil {
		t.Errorf("as many as may be: %d, %v", n, err)
	}
	c.read.Store(1000 + framing(10) + 4)
	if _, err := w.body.Read(buf[:]); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("more: %v", err)
	}
	for name, r := range map[string]*http.Request{"a length": {ProtoMajor: 1, Body: body()}, "HTTP/2": {ProtoMajor: 2, TransferEncoding: []string{"chunked"}, Body: body()}} {
		w := begin(r, c)
		if w.body.wire != nil {
			t.Errorf("%s: the wire is counted", name)
		}
		if n, err := w.body.Read(buf[:]); n != 3 || err != nil || w.body.ended {
			t.Errorf("%s: %d, %v, ended %v", name, n, err, w.body.ended)
		}
		if _, err := w.body.Read(buf[:]); err != io.EOF || !w.body.ended || w.body.n != 3 {
			t.Errorf("%s: %v, ended %v", name, err, w.body.ended)
		}
	}
	if w := begin(chunked, nil); w.body.wire != nil {
		t.Error("no connection is counted")
	}
}

// informed leaves out what comes before an answer.
type informed struct{ *httptest.ResponseRecorder }

func (w *informed) WriteHeader(status int) {
	if status >= 200 {
		w.ResponseRecorder.WriteHeader(status)
	}
}

// An answer that begins before the body's end, or while the server drains, ends
// its connection; time is given by size.
func TestWritersOfAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		http1, draining, body, ended bool
		want                         string
	}{
		"usual": {true, false, false, false, ""}, "draining": {true, true, false, false, "close"}, "early": {true, false, true, false, "close"},
		"after the body": {true, false, true, true, ""}, "HTTP/2, draining": {false, true, true, false, ""},
	} {
		s := &server{opts: (*Options)(nil).withDefaults()}
		s.draining.Store(tt.draining)
		to := &informed{ResponseRecorder: httptest.NewRecorder()}
		w := &writer{ResponseWriter: to, server: s, http1: tt.http1}
		w.control = *http.NewResponseController(to)
		if tt.body {
			w.body = guardedBody{ReadCloser: http.NoBody, ended: tt.ended}
		}
		w.WriteHeader(100)
		if !w.begun.IsZero() {
			t.Errorf("%s: it began with what comes before it", name)
		}
		text := strings.Repeat("x", stride+10)
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil || w.n != int64(len(text)) || w.until != stride {
			t.Errorf("%s: %d, %v, at %d of %d", name, n, err, w.until, w.n)
		}
		if n, err := w.Write(nil); n != 0 || err != nil {
			t.Errorf("%s: nothing: %d, %v", name, n, err)
		}
		w.Flush()
		if got := w.Header().Get("Connection"); got != tt.want || to.Body.String() != text || !to.Flushed || w.Unwrap() != http.ResponseWriter(to) {
			t.Errorf("%s: Connection %q, want %q; %d bytes", name, got, tt.want, to.Body.Len())
		}
	}
}

// The hint is at least what the answer takes.
func TestSizeHints(t *testing.T) {
	for _, resp := range []infer.Response{
		{}, {Model: "m", Outputs: []tensor.Tensor{tensor.Of("y", []int64{}, []float32{1})}}, {Model: "m", Version: "1", Outputs: []tensor.Tensor{tensor.Of("y", []int64{1000}, make([]float32, 1000))}},
		{Model: "m", Outputs: []tensor.Tensor{tensor.Of("a", []int64{10, 10}, make([]int64, 100)), tensor.Of("b", []int64{3}, []float64{1, 2, 3})}},
		{Model: "m", Outputs: []tensor.Tensor{{Name: "s", Type: tensor.Bytes, Shape: []int64{100}, Strings: make([][]byte, 100)}}},
	} {
		data, err := codec.AppendInferGRPC(nil, &infer.Request{}, &resp, true)
		if err != nil {
			t.Fatal(err)
		}
		if hint := sizeHint(&resp); hint < len(data) || hint > 2*len(data)+1024 {
			t.Errorf("%d bytes, hint %d", len(data), hint)
		}
	}
}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func (broken) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func (readOnly) Write([]byte) (int, error) { return 0, nil }

func (readOnly) Close() error { return nil }

func (readOnly) LocalAddr() net.Addr { return nil }

func (readOnly) RemoteAddr() net.Addr { return nil }

func (readOnly) SetDeadline(time.Time) error { return nil }

func (readOnly) SetReadDeadline(time.Time) error { return nil }

func (readOnly) SetWriteDeadline(time.Time) error { return nil }

// Where the first raw tensor begins is found only in what is such a message.
func TestRawOffsets(t *testing.T) {
	field := func(number byte, text string) string { return string([]byte{number<<3 | 2, byte(len(text))}) + text }
	for text, want := range map[string]int{
		"":                           0,
		field(7, "abcd"):             2,
		field(1, "m") + field(7, ""): 5,
		field(1, "m") + field(5, "xx") + field(7, "abcd") + field(7, "efgh"): 9,
		field(1, "m"):                0,
		"\x08\x01" + field(7, "a"):   0, // a number
		"\x08\x01x" + field(7, "ab"): 0, // one that says how much to leave out
		"\x3a\x05ab":                 0, // cut
		"\x0a\x05ab" + field(7, "a"): 0,
		"\x3a":                       0,
		"\xff":                       0,
		strings.Repeat(field(1, "m"), 63) + field(7, "a"): 63*3 + 2,
		strings.Repeat(field(1, "m"), 64) + field(7, "a"): 0,
	} {
		for _, pieces := range []int{1, 2, 3} {
			var data mem.BufferSlice
			for i := range pieces {
				data = append(data, mem.SliceBuffer(text[i*len(text)/pieces:(i+1)*len(text)/pieces]))
			}
			if got := rawOffset(data); got != want {
				t.Errorf("%q in %d pieces: %d, want %d", text, pieces, got, want)
			}
		}
	}
	r := request{data: []byte("x")}
	if err := newCodec(&oip.Buffers{}).Unmarshal(nil, &r); err == nil {
		t.Error("received into twice")
	}
	if r.free(); r.data != nil {
		t.Error("what was given back is still there")
	}
	h := headScan{}
	opts := (*Options)(nil).withDefaults()
	begun := "GET / HTTP/1.1\r\nHost: x\r\nA: "
	for n, want := range map[int]headVerdict{mostHead: headPartial, mostHead + 1: headUnusual} {
		h = headScan{}
		if got := h.scan([]byte(begun+strings.Repeat("a", n-len(begun))), &opts); got != want {
			t.Errorf("%d bytes: %v, want %v", n, got, want)
		}
		h = headScan{}
		want = map[headVerdict]headVerdict{headPartial: headWhole, headUnusual: headUnusual}[want]
		if got := h.scan([]byte(begun+strings.Repeat("a", n-len(begun)-4)+"\r\n\r\n"), &opts); got != want {
			t.Errorf("a header of %d bytes: %v, want %v", n, got, want)
		}
	}
}
