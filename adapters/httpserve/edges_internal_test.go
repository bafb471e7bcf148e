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
	"syscall"
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
func (f *fakeStream) RecvMsg(any) error        { return f.receive }

// fakeTransport takes what an answer ends with.
type fakeTransport struct{ trailer metadata.MD }

func (*fakeTransport) Method() string               { return "" }
func (*fakeTransport) SetHeader(metadata.MD) error  { return nil }
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

func TestUsualHeads(t *testing.T) {
	opts := (&Options{MaxHeaderFields: 3, MaxHeaderBytes: 200}).withDefaults()
	const first = "POST /a HTTP/1.1\r\n"
	padded := func(n int) string {
		const begun = "GET / HTTP/1.1\r\nHost: x\r\nA: "
		return begun + strings.Repeat("a", n-len(begun))
	}
	for text, want := range map[string]headVerdict{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                           headWhole,
		first + "Host: x\r\nContent-Length: 0\r\n\r\n":                headWhole,
		first + "Host: x\r\nContent-Length: 5\r\n\r\nabcde":           headWhole,
		first + "host:x\r\ncontent-length:  5\r\n\r\n":                headWhole,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n": headWhole,
		"GET / HTTP/1.1\r\nHost: x\r\nA: b\tc\r\nB: \r\n\r\n":         headWhole,
		"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n":   headUnusual, // a field too many
		padded(200):                     headPartial,
		padded(201):                     headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\n": headPartial,
		"GET / HTTP/1.1\r\n\r\n":        headUnusual, // no host
		"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n":                      headUnusual,
		"GET / HTTP/1.1\nHost: x\r\n\r\n":                                   headUnusual,
		"GET / HTTP/1.1\r\n\nHost: x\r\n\r\n":                               headUnusual,
		"GET / HTTP/1.0\r\nHost: x\r\n\r\n":                                 headUnusual,
		"GET  / HTTP/1.1\r\nHost: x\r\n\r\n":                                headUnusual,
		"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n":                             headUnusual,
		"GET /~ HTTP/1.1\r\nHost: x\r\n\r\n":                                headWhole,
		"GET /! HTTP/1.1\r\nHost: x\r\n\r\n":                                headWhole,
		"GET / x HTTP/1.1\r\nHost: x\r\n\r\n":                               headUnusual,
		"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n":                                headUnusual,
		first + "Host: x\r\n\r\n":                                           headUnusual, // no length
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n":            headUnusual,
		first + "Host: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n": headUnusual,
		first + "Host: x\r\nContent-Length: 05\r\n\r\n":                     headUnusual,
		first + "Host: x\r\nContent-Length: 5 \r\n\r\n":                     headUnusual,
		first + "Host: x\r\nContent-Length: 123456789012345\r\n\r\n":        headWhole,
		first + "Host: x\r\nContent-Length: 1234567890123456\r\n\r\n":       headUnusual,
		first + "Host: x\r\nTransfer-Encoding: chunked\r\n\r\n":             headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n":         headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n":                 headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nTrailer: a\r\n\r\n":                   headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n":          headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n":                          headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n":                       headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n":                            headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n":                      headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n":                      headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\n A: b\r\n\r\n":                        headUnusual,
		"GET / HTTP/1.1\r\nHost: x y\r\n\r\n":                               headUnusual,
	} {
		for _, whole := range []bool{true, false} {
			h, got := headScan{}, headPartial
			if whole {
				got = h.scan([]byte(text), &opts)
			} else {
				for n := 5; n <= len(text) && got == headPartial; n++ { // as it comes
					got = h.scan([]byte(text[:n]), &opts)
				}
			}
			if got != want {
				t.Errorf("%q, whole %v: %v, want %v", text, whole, got, want)
			}
			if body := strings.Index(text, "\r\n\r\n"); got == headWhole && h.end != body+4 {
				t.Errorf("%q: ends at %d, want %d", text, h.end, body+4)
			}
		}
	}
	h := headScan{}
	if text := first + "Host: x\r\nContent-Length:  42\r\nConnection: close\r\n\r\n"; h.scan([]byte(text), &opts) != headWhole || !h.post || !h.close || !h.host || h.fields != 3 || h.length != 42 || text[h.from:h.to] != "42" {
		t.Errorf("got %+v", h)
	}
	for text, want := range map[string]bool{"": false, "G": false, "GET": false, "GET ": true, "GET /": true, "GET x": false, "POS": false, "POST": true, "POST /x": true, "PUT /": false, "POST x": false} {
		if got := promising([]byte(text)); got != want {
			t.Errorf("%q is promising: %v", text, got)
		}
	}
	for host, want := range map[string]bool{"": false, "a": true, "AZ.az-0_9:80": true, "[::1]:1": true, "a/b": false, "a@b": false, "a b": false, "ä": false, "a;b": false, "a`": false, "a{": false, "/": false} {
		if got := usualHost([]byte(host)); got != want {
			t.Errorf("%q is a usual host: %v", host, got)
		}
	}
	for digits, want := range map[string]int{"": 0, "0": 1, "5": 1, "12x": 2, "x": 0, "00": 0, "012": 0, "0x": 1, "123456789012345": 15, "1234567890123456": 0, "9:": 1, "/": 0} {
		if got := parseLength([]byte(digits)); got != want {
			t.Errorf("%q begins with %d digits, want %d", digits, got, want)
		}
	}
}

func TestValuesOfFields(t *testing.T) {
	for value, want := range map[string]string{"a": "a", " a\t": "a", "a\nb": "a b", "a\r\nB: c": "a  B: c", "\n": "", "\r\na ": "a", "": "", "a\r": "a"} {
		if got := string(appendValue([]byte("x: "), value)); got != "x: "+want {
			t.Errorf("%q is written %q, want %q", value, got, "x: "+want)
		}
	}
	for value, want := range map[string]bool{"close": true, "Keep-Alive, Close": true, "closed": false, "": false} {
		if got := hasClose(value); got != want {
			t.Errorf("%q closes: %v", value, got)
		}
	}
	for _, tt := range []struct {
		h    http.Header
		want bool
	}{{http.Header{}, false}, {http.Header{"Content-Type": nil}, true}, {http.Header{"Content-Encoding": {"gzip"}}, true}, {http.Header{"Content-Encoding": nil}, false}} {
		if got := typed(tt.h); got != tt.want {
			t.Errorf("%v is typed: %v", tt.h, got)
		}
	}
	var d dates
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		at   time.Time
		want string
	}{{noon, "Mon, 23 Nov 2026 11:00:00 GMT"}, {noon.Add(999 * time.Millisecond), "Mon, 23 Nov 2026 11:00:00 GMT"}, {noon.Add(time.Second), "Mon, 23 Nov 2026 11:00:01 GMT"}} {
		if got := d.date(tt.at); got != tt.want {
			t.Errorf("%v is written %q", tt.at, got)
		}
	}
}

// A request's context has its deadline, its server's values, and one end.
func TestExchangeIsAContext(t *testing.T) {
	base, cut := context.WithCancel(context.WithValue(t.Context(), connKey{}, "value"))
	defer cut()
	s := &server{opts: (*Options)(nil).withDefaults(), http: &http.Server{}}
	s.lanes = newLaneSet(s, base, nil)
	s.lanes.start = time.Now().Add(-time.Hour)
	local := &net.TCPAddr{Port: 7}
	x := newExchange(&lane{server: s, local: local})
	if _, ok := x.Deadline(); ok || x.Err() != nil || !x.ended.Load() {
		t.Error("it ends from the start, or waits for a body")
	}
	if x.Value(connKey{}) != "value" || x.Value(http.ServerContextKey) != s.http || x.Value(http.LocalAddrContextKey) != net.Addr(local) {
		t.Error("values are missing")
	}
	if x.EndBy(time.Now().Add(nearDeadline / 2)) {
		t.Error("a near deadline is kept")
	}
	at := time.Now().Add(time.Minute)
	if !x.EndBy(at) || x.EndBy(at.Add(time.Hour)) {
		t.Error("no deadline, or two")
	}
	if got, ok := x.Deadline(); !ok || got.Sub(at).Abs() > time.Millisecond || x.Err() != nil {
		t.Errorf("ends at %v, %v, want %v; %v", got, ok, at, x.Err())
	}
	if !x.EndBy(time.Time{}) {
		t.Error("it cannot be taken away")
	}
	if _, ok := x.Deadline(); ok {
		t.Error("it was not taken away")
	}
	x.until.Store(int64(time.Minute)) // an hour ago and a minute
	if err := x.Err(); err != context.DeadlineExceeded {
		t.Errorf("over: %v", err)
	}
	x.end(context.Canceled)
	if err := x.Err(); err != context.DeadlineExceeded {
		t.Errorf("ended twice: %v", err)
	}
	<-x.Done()
	waited := newExchange(&lane{server: s})
	done := waited.Done()
	select {
	case <-done:
		t.Error("done before its end")
	default:
	}
	waited.end(context.Canceled)
	<-done
	late := newExchange(&lane{server: s})
	cut()
	if err := late.Err(); err != context.Canceled {
		t.Errorf("after the base: %v", err)
	}
	<-late.Done()
}

// A body of known length is read from what is there and then from the wire, and
// not one byte of the next request.
func TestLaneBodies(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s := &server{opts: (*Options)(nil).withDefaults()}
	s.lanes = newLaneSet(s, t.Context(), nil)
	l := &lane{server: s, c: &conn{Conn: ours, onClose: func() {}}, in: []byte("xxabcnext"), at: 2}
	defer l.c.Close()
	l.head.length = 3
	x := newExchange(l)
	if x.ended.Load() || x.answer.length != -1 {
		t.Errorf("a body of three bytes has ended: %+v", x)
	}
	var buf [8]byte
	if n, err := x.body.Read(buf[:2]); n != 2 || err != nil || string(buf[:2]) != "ab" {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := x.body.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	if n, err := x.body.Read(buf[:]); n != 1 || err != io.EOF || !x.ended.Load() || string(l.in[l.at:]) != "next" {
		t.Errorf("got %d, %v, and %q is left", n, err, l.in[l.at:])
	}
	if n, err := x.body.Read(buf[:]); n != 0 || err != io.EOF {
		t.Errorf("at its end: %d, %v", n, err)
	}
	_ = x.body.Close()
	if _, err := x.body.Read(buf[:]); err != http.ErrBodyReadAfterClose {
		t.Errorf("after it was closed: %v", err)
	}
	// Dropped where all of it is there, and only then.
	for have, want := range map[string]bool{"abc": true, "abcd": true, "ab": false} {
		l.in, l.at = []byte(have), 0
		x = newExchange(l)
		if x.body.discard(); x.ended.Load() != want || want && l.at != 3 || !want && l.at != 0 {
			t.Errorf("%q: ended %v, at %d", have, x.ended.Load(), l.at)
		}
	}
	// From the wire, and cut.
	l.in, l.at = nil, 0
	x = newExchange(l)
	go func() {
		_, _ = theirs.Write([]byte("a"))
		_ = theirs.Close()
	}()
	if n, err := x.body.Read(buf[:]); n != 1 || err != nil || x.body.n != 1 || l.reading != limitBody {
		t.Errorf("from the wire: %d, %v", n, err)
	}
	for range 2 {
		if n, err := x.body.Read(buf[:]); n != 0 || err != io.ErrUnexpectedEOF || x.ended.Load() {
			t.Errorf("cut: %d, %v", n, err)
		}
	}
}

// Who is in the set is in it once.
func TestSetsOfLanes(t *testing.T) {
	s := &server{opts: (*Options)(nil).withDefaults()}
	set := newLaneSet(s, t.Context(), nil)
	all := []*lane{{}, {}, {}, {}}
	for _, l := range all {
		set.add(l)
	}
	for k, gone := range []int{1, 0, 3, 2} {
		set.remove(all[gone])
		if len(set.all) != 3-k {
			t.Fatalf("%d are left", len(set.all))
		}
		for i, l := range set.all {
			if l == nil || l.index != i || l == all[gone] {
				t.Errorf("number %d is %+v", i, l)
			}
		}
	}
	set.begin()
	if s.inFlight.Load() != 1 || len(set.wake) != 0 {
		t.Errorf("%d in flight, woken %d", s.inFlight.Load(), len(set.wake))
	}
	set.asleep.Store(true)
	set.begin()
	set.begin() // does not wait for who is woken already
	if s.inFlight.Load() != 3 || len(set.wake) != 1 {
		t.Errorf("%d in flight, woken %d", s.inFlight.Load(), len(set.wake))
	}
	x := newExchange(&lane{server: &server{lanes: set}})
	l := &lane{}
	l.current.Store(x)
	set.add(l)
	set.cut(context.DeadlineExceeded)
	if x.Err() != context.DeadlineExceeded {
		t.Errorf("cut: %v", x.Err())
	}
}

// The hint is at least what the answer takes.
func TestSizeHints(t *testing.T) {
	for _, resp := range []infer.Response{
		{}, {Model: "m", Version: "1", Outputs: []tensor.Tensor{tensor.Of("y", []int64{1000}, make([]float32, 1000))}},
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

// recorder is a connection that remembers what deadlines are set.
type recorder struct {
	net.Conn
	read, write []time.Time
}

func (r *recorder) SetReadDeadline(at time.Time) error  { r.read = append(r.read, at); return nil }
func (r *recorder) SetWriteDeadline(at time.Time) error { r.write = append(r.write, at); return nil }

// The time for a header counts from when the connection came, for later ones
// from when they begin, and idle time from the last answer; each is set once.
func TestLimitsOfHeaders(t *testing.T) {
	s := &server{opts: (&Options{HeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}).withDefaults()}
	wire := &recorder{}
	came := time.Now().Add(-time.Hour)
	l := &lane{server: s, c: &conn{Conn: wire, since: came}}
	step := func(what string, idle bool, want time.Time, sets bool) {
		t.Helper()
		n := len(wire.read)
		if err := l.limitHeader(idle); err != nil {
			t.Fatal(err)
		}
		if set := len(wire.read) - n; set > 1 || (set == 1) != sets {
			t.Errorf("%s: set %d times, want %v", what, set, sets)
		} else if sets && wire.read[n].Sub(want).Abs() > 2*time.Second {
			t.Errorf("%s: %v, want %v", what, wire.read[n], want)
		}
	}
	step("the first", false, came.Add(5*time.Second), true)
	step("the first, again", false, came, false)
	l.since = time.Now().Add(-10 * time.Second)
	step("idle", true, l.since.Add(time.Minute), true)
	step("idle, again", true, came, false)
	step("the next", false, time.Now().Add(5*time.Second), true)
	step("the next, again", false, came, false)
	l.reading = limitBody
	step("after a body", true, l.since.Add(time.Minute), true)
}

// Deadlines are set for each stride, not for each piece.
func TestStrides(t *testing.T) {
	s := &server{opts: (*Options)(nil).withDefaults()}
	to := &timed{ResponseRecorder: httptest.NewRecorder()}
	w := &writer{ResponseWriter: to, server: s}
	w.control = *http.NewResponseController(to)
	w.guardBody(&http.Request{ProtoMajor: 2, Body: io.NopCloser(io.LimitReader(zeros{}, 10*stride))}, nil)
	var buf [stride / 4]byte
	for {
		if _, err := w.body.Read(buf[:]); err != nil {
			break
		}
	}
	if to.reads != 11 || w.body.n != 10*stride { // at first, and for each stride
		t.Errorf("%d deadlines for reading %d bytes, want 11", to.reads, w.body.n)
	}
	for range 3 {
		_, _ = w.Write(make([]byte, 2*stride))
		w.extend() // at the same place: none
	}
	if to.writes != 7 { // the same
		t.Errorf("%d deadlines for writing six strides, want 7", to.writes)
	}
	b := &w.body
	b.ReadCloser = io.NopCloser(broken{})
	b.wire = nil
	if _, err := b.Read(buf[:]); fault.CodeOf(err) != fault.DeadlineExceeded {
		t.Errorf("too slow: %v", err)
	}
	b.ReadCloser = io.NopCloser(strings.NewReader(""))
	if _, err := b.Read(buf[:]); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
	wire := &recorder{Conn: readOnly{zeros{}}}
	l := &lane{server: s, c: &conn{Conn: wire}}
	s.lanes = newLaneSet(s, t.Context(), nil)
	l.head.length = 4 * stride
	x := newExchange(l)
	for range 16 {
		if _, err := x.body.Read(buf[:]); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	if len(wire.read) != 4 || !x.ended.Load() {
		t.Errorf("%d deadlines for a body of four strides, want 4", len(wire.read))
	}
	x = newExchange(l)
	_, _ = x.body.Read(buf[:])
	by := time.Now().Add(time.Second)
	_ = x.answer.SetReadDeadline(by)
	_, _ = x.body.Read(buf[:])
	if last := wire.read[len(wire.read)-1]; !last.Equal(by) {
		t.Errorf("the handler's own deadline is %v, want %v", last, by)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

type readOnly struct{ io.Reader }

func (readOnly) Write([]byte) (int, error)        { return 0, nil }
func (readOnly) Close() error                     { return nil }
func (readOnly) LocalAddr() net.Addr              { return nil }
func (readOnly) RemoteAddr() net.Addr             { return nil }
func (readOnly) SetDeadline(time.Time) error      { return nil }
func (readOnly) SetReadDeadline(time.Time) error  { return nil }
func (readOnly) SetWriteDeadline(time.Time) error { return nil }

// timed counts deadlines.
type timed struct {
	*httptest.ResponseRecorder
	reads, writes int
}

func (w *timed) SetReadDeadline(time.Time) error  { w.reads++; return nil }
func (w *timed) SetWriteDeadline(time.Time) error { w.writes++; return nil }

// A connection gives its place back once, settles once, and replays what was
// read before what is still to come.
func TestConnections(t *testing.T) {
	ours, theirs := net.Pipe()
	closed, settled, acked := 0, 0, 0
	c := &conn{Conn: ours, onClose: func() { closed++ }, settled: func() { settled++ }, acked: func() { acked++ }, replay: replay{pending: []byte("abc")}}
	go func() { _, _ = theirs.Write([]byte("def")) }()
	var buf [2]byte
	var got string
	for len(got) < 6 {
		n, err := c.Read(buf[:])
		if err != nil {
			t.Fatal(err)
		}
		got += string(buf[:n])
	}
	if got != "abcdef" || c.read.Load() != 3 {
		t.Errorf("read %q, %d bytes of it off the wire", got, c.read.Load())
	}
	go func() { _, _ = io.ReadFull(theirs, make([]byte, 2)) }()
	for range 2 {
		if n, err := c.Write([]byte("x")); n != 1 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if settled != 1 {
		t.Errorf("settled %d times by writing", settled)
	}
	for range 2 {
		_ = c.Close()
	}
	if closed != 1 || settled != 1 || acked != 2 {
		t.Errorf("closed %d, settled %d, acknowledged %d", closed, settled, acked)
	}
	_ = theirs.Close()
	ours, theirs = net.Pipe()
	defer theirs.Close()
	early := &conn{Conn: ours, onClose: func() {}, settled: func() { settled++ }}
	if _ = early.Close(); settled != 2 {
		t.Error("what is closed is not settled")
	}
	flooded := &conn{Conn: readOnly{strings.NewReader(strings.Repeat("\x00\x00\x00\x03\x00\x00\x00\x00\x01", 5000))}, frames: newFrames()}
	flooded.frames.rest = 0
	for {
		var big [900]byte
		n, err := flooded.Read(big[:])
		if err == nil {
			continue
		}
		if fault.CodeOf(err) != fault.RateLimited || n != 0 {
			t.Errorf("a flood: %d, %v", n, err)
		}
		break
	}
	for _, s := range []said{{settings: true}, {window: true}, {ack: true}, {rest: 1}} {
		if s.all() {
			t.Errorf("%+v: nothing is left out", s)
		}
	}
	if !(&said{}).all() {
		t.Error("something is left out where nothing was said")
	}
	var set connSet
	other := &conn{Conn: readOnly{}}
	set.add(c)
	set.add(other)
	set.add(c)
	if set.size() != 2 {
		t.Errorf("%d in the set", set.size())
	}
	set.remove(c)
	if set.size() != 1 {
		t.Errorf("%d in the set", set.size())
	}
	gone := 0
	set.closeIf(func(c *conn) bool { gone++; return c == other })
	if gone != 1 {
		t.Errorf("asked %d times", gone)
	}
	h := newHandoff(&net.TCPAddr{Port: 5})
	_ = h.Close()
	_ = h.Close()
	if _, err := h.Accept(); !errors.Is(err, net.ErrClosed) || h.Addr().String() != ":5" {
		t.Errorf("after its end: %v, %v", err, h.Addr())
	}
	ours, theirs = net.Pipe()
	h.give(ours)
	if _, err := theirs.Read(buf[:]); err != io.EOF {
		t.Errorf("given to nobody: %v", err)
	}
	for err, want := range map[error]bool{syscall.EMFILE: true, syscall.ENFILE: true, syscall.ENOBUFS: true, syscall.ENOMEM: true, syscall.ECONNABORTED: true,
		syscall.EINTR: true, syscall.EPROTO: true, syscall.EINVAL: false, syscall.EACCES: false, io.EOF: false} {
		if got := passing(&net.OpError{Err: err}); got != want {
			t.Errorf("%v passes: %v", err, got)
		}
	}
}

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

// A header is read to its end, and what is wrong with it is seen wherever it is.
func TestFieldsOfHeaders(t *testing.T) {
	const first = "GET / HTTP/1.1\r\n"
	for text, want := range map[string]bool{
		"\r\n": true, "\n": true, "A: b\r\n\r\n": true, "A: b\n\n": true, "A: b\r\n": true, "A: b": true, "": true,
		"Content-Length: 1\r\n\r\n": true, "Transfer-Encoding: chunked\r\n\r\n": true,
		"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": false, "transfer-encoding: chunked\r\nX: y\r\ncontent-length: 1\r\n\r\n": false,
		"Content-Length : 1\r\nTransfer-Encoding\t: chunked\r\n\r\n": false, "Content-Lengths: 1\r\nTransfer-Encoding: chunked\r\n\r\n": true,
		"Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n": true, "Cookie: 1\r\nTE: 2\r\n\r\n": true,
		"A: b\r\n c\r\n\r\n": false, "A: b\r\n\tc\r\n\r\n": false, "A: b\r\n\r\n c\r\n": true,
		"A: b\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": true, // of the body
	} {
		n, err := checkFields([]byte(first + text))
		if (err == nil) != want || err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v, want it taken: %v", text, err, want)
		}
		end := len(first + text)
		for _, mark := range []string{"\r\n\r\n", "\n\n"} {
			if i := strings.Index(first+text, mark); i >= 0 {
				end = min(end, i+len(mark))
			}
		}
		if n != end {
			t.Errorf("%q: ends at %d, want %d", text, n, end)
		}
	}
	for line, want := range map[string]bool{"Content-Length:": true, "content-length: 1": true, "CONTENT-LENGTH\t": true, "Content-Length ": true, "Content-Length": false, "Content-LengthX": false, "Content": false, "": false} {
		if got := named([]byte(line), "Content-Length"); got != want {
			t.Errorf("%q is named so: %v", line, got)
		}
	}
	r := &http.Request{Method: "GET", RequestURI: "/a"}
	for text, want := range map[string]bool{"GET /a HTTP/1.1": true, "GET /a ": true, "GET /a": false, "GET /ab ": false, "GET  /a ": false, "GETX/a ": false, "POST /a ": false, "GET ": false, "": false, "GET /a\t": false} {
		if got := begins([]byte(text), r); got != want {
			t.Errorf("%q begins with it: %v", text, got)
		}
	}
}

// Requests one after another are each found where they begin, however their
// bytes come, and a bad one is seen after bodies of both kinds.
func TestLinesOfRequests(t *testing.T) {
	const (
		get     = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
		post    = "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab\ncd"
		chunked = "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\ncd\r\n0\r\n\r\n"
		bad     = "GET /d HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"
	)
	requests := map[string]*http.Request{
		get: {Method: "GET", RequestURI: "/a"}, post: {Method: "POST", RequestURI: "/b", ContentLength: 5},
		chunked: {Method: "POST", RequestURI: "/c", ContentLength: -1, TransferEncoding: []string{"chunked"}}, bad: {Method: "GET", RequestURI: "/d"},
	}
	for _, order := range [][]string{
		{get, get, bad}, {post, get, bad}, {post, post, post, bad}, {chunked, get, bad}, {chunked, chunked, post, bad}, {bad}, {get, chunked, bad}, {chunked, bad, get}, {post, bad, get},
	} {
		for _, piece := range []int{1, 7, 40, 10_000} {
			l := &lines{}
			for i, text := range order {
				header := strings.Index(text, "\r\n\r\n") + 4
				feed := func(part string) {
					for len(part) > 0 {
						n := min(piece, len(part))
						l.read([]byte(part[:n]))
						part = part[n:]
					}
				}
				feed(text[:header])
				err := l.check(requests[text])
				if (err != nil) != (text == bad) {
					t.Errorf("%.10q number %d in pieces of %d: %v", text, i, piece, err)
				}
				feed(text[header:])
				l.idle()
			}
		}
	}
	l := &lines{}
	l.read([]byte(chunked[:strings.Index(chunked, "\r\n\r\n")+4]))
	if err := l.check(requests[chunked]); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		l.read(make([]byte, readAhead))
	}
	if len(l.buf) > readAhead {
		t.Errorf("%d bytes of a body are kept", len(l.buf))
	}
	l = &lines{}
	l.read([]byte("POST /b HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"))
	if err := l.check(&http.Request{Method: "POST", RequestURI: "/b", ContentLength: 1_000_000}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		l.read(make([]byte, 100_000))
	}
	if len(l.buf) != 0 || l.base != l.next {
		t.Errorf("%d bytes of a body are kept; at %d, the next begins at %d", len(l.buf), l.base, l.next)
	}
	l.read([]byte(bad))
	if err := l.check(requests[bad]); err == nil {
		t.Error("after a long body nothing is seen")
	}
}

// What is wrong with an address says what would be right.
func TestAddresses(t *testing.T) {
	for address, want := range map[string][2]string{
		"8080":                 {"want host:port, missing port in address", "Give a host and a port"},
		"a:b:c":                {"want host:port, too many colons in address", "Give a host and a port"},
		"127.0.0.1:65536":      {`want a port from 0 to 65535, got "65536"`, "Give a host and a port"},
		"127.0.0.1:http":       {`want a port from 0 to 65535, got "http"`, "Give a host and a port"},
		"192.0.2.1:7":          {`this machine has no address "192.0.2.1"`, "Use an address of this machine, or :7 for all of them, IPv4 and IPv6."},
		"nowhere.invalid.:700": {`no such host "nowhere.invalid."`, "Use an address of this machine, or :700 for all of them, IPv4 and IPv6."},
	} {
		_, err := Listen(t.Context(), address)
		if fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), want[0]) || !strings.HasPrefix(fault.HintOf(err), want[1]) {
			t.Errorf("%s: %v (%s), want %q", address, err, fault.HintOf(err), want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Listen(ctx, "localhost:0"); err != nil && fault.CodeOf(err) != fault.Canceled {
		t.Errorf("canceled: %v", err)
	}
}
