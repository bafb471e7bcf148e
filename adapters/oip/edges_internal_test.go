package oip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
)

func TestParameters(t *testing.T) {
	const most = math.MaxInt64 / 1000
	for _, tt := range []struct {
		given any
		own   time.Duration
		want  time.Duration // -1: refused
	}{
		{nil, 0, 0}, {nil, 5, 5}, {int64(0), 7, 7}, {int64(-1), 7, -1}, {1.5, 0, -1}, {"1", 0, -1},
		{int64(1), 0, time.Microsecond}, {int64(1500), 0, 1500 * time.Microsecond}, {uint64(2), 0, 2 * time.Microsecond},
		{int64(2000), time.Millisecond, time.Millisecond}, {uint64(1000), time.Second, time.Millisecond}, {int64(1), -1, time.Microsecond},
		{int64(most), 0, most * time.Microsecond}, {int64(most + 1), 0, 0}, {uint64(math.MaxUint64), 3, 3},
	} {
		got, err := timeout(infer.Params{"timeout": tt.given}, tt.own)
		if tt.want < 0 {
			if fault.CodeOf(err) != fault.Invalid || got != 0 {
				t.Errorf("timeout %v: %v, %v, want invalid", tt.given, got, err)
			}
		} else if got != tt.want || err != nil {
			t.Errorf("timeout %v, own %v: %v, %v, want %v", tt.given, tt.own, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		given any
		want  infer.Priority
		bad   bool
	}{
		{nil, infer.Interactive, false}, {int64(0), infer.Interactive, false}, {int64(1), infer.Interactive, false}, {int64(2), infer.Batch, false},
		{uint64(1), infer.Interactive, false}, {uint64(2), infer.Batch, false}, {uint64(math.MaxUint64), infer.Batch, false},
		{int64(-1), 0, true}, {1.5, 0, true}, {"2", 0, true}, {true, 0, true},
	} {
		if got, err := priority(infer.Params{"priority": tt.given}); got != tt.want || (fault.CodeOf(err) == fault.Invalid) != tt.bad {
			t.Errorf("priority %v: %v, %v, want %v", tt.given, got, err, tt.want)
		}
	}
}

// A priority is known to the handler, and one that is none is refused before it.
func TestPriorityReachesTheHandler(t *testing.T) {
	var got *infer.Request
	s := New(&infer.Registry{}, infer.HandlerFunc(func(_ context.Context, req *infer.Request) (*infer.Response, error) {
		got = req
		return &infer.Response{Model: "m"}, nil
	}), nil)
	for level, want := range map[any]infer.Priority{int64(1): infer.Interactive, int64(2): infer.Batch} {
		ctx, x := s.Begin(t.Context(), telemetry.ProtocolGRPC, func(string) []string { return nil })
		x.SameCaller(&Exchange{caller: "team"})
		if _, err := x.Infer(ctx, &infer.Request{Params: infer.Params{"priority": level}}); err != nil || got.Priority != want || got.Caller != "team" {
			t.Errorf("priority %v: %v, %+v", level, err, got)
		}
	}
	got = nil
	ctx, x := s.Begin(t.Context(), telemetry.ProtocolGRPC, func(string) []string { return nil })
	for _, bad := range []infer.Params{{"priority": "high"}, {"timeout": "soon"}} {
		if _, err := x.Infer(ctx, &infer.Request{Params: bad}); fault.CodeOf(err) != fault.Invalid || got != nil {
			t.Errorf("%v: %v, the handler got %v", bad, err, got)
		}
	}
	for _, bad := range []infer.Request{{Model: "a b"}, {Model: "a", Version: "1 2"}} {
		if _, err := x.Infer(ctx, &bad); fault.CodeOf(err) != fault.Invalid || got != nil {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// Every request of an exchange has its own time, and is told who asks for it.
func TestTwoRequestsOnOneExchange(t *testing.T) {
	var ends []time.Time
	s := New(&infer.Registry{}, infer.HandlerFunc(func(ctx context.Context, _ *infer.Request) (*infer.Response, error) {
		at, _ := ctx.Deadline()
		ends = append(ends, at)
		return nil, ctx.Err()
	}), &Options{Timeout: time.Hour})
	ctx, x := s.Begin(t.Context(), telemetry.ProtocolGRPC, func(name string) []string {
		return map[string][]string{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "tracestate": {"a=1"}, "x-request-id": {"id-7"}}[name]
	})
	if x.RequestID() != "id-7" || !strings.HasPrefix(x.TraceParent(), "00-4bf92f3577b34da6a3ce929d0e0e4736-") || x.traced.Trace.State != "a=1" {
		t.Errorf("id %q, trace %q, state %q", x.RequestID(), x.TraceParent(), x.traced.Trace.State)
	}
	if age := time.Since(x.start); age < 0 || age > time.Minute {
		t.Errorf("began %v ago", age)
	}
	for _, micros := range []int64{60_000_000, 120_000_000} {
		if _, err := x.Infer(ctx, &infer.Request{Params: infer.Params{"timeout": micros}}); err == nil || fault.CodeOf(err) != fault.Internal {
			t.Errorf("no answer and no error: %v", err)
		}
	}
	want := []time.Time{x.start.Add(time.Minute), x.start.Add(2 * time.Minute)}
	if diff := cmp.Diff(want, ends); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}

func TestIDs(t *testing.T) {
	for id, want := range map[string]bool{
		"": false, "a": true, "!": true, "~": true, " ": false, "a b": false, "\x7f": false, "a\n": false, "ä": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
	} {
		if got := validID(id); got != want {
			t.Errorf("%.20q: %v, want %v", id, got, want)
		}
	}
	if got := len(clip(strings.Repeat("x", 200))); got != 128 {
		t.Errorf("clipped to %d", got)
	}
}

// A header is found by its lower-case name, as gRPC has it.
func TestHeaderOf(t *testing.T) {
	h := http.Header{}
	names := []string{"traceparent", "tracestate", "x-request-id", "authorization", "x-api-key", "x-other"}
	for _, name := range names {
		h.Set(name, "of "+name)
	}
	for _, name := range names {
		if diff := cmp.Diff([]string{"of " + name}, headerOf(h)(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := headerOf(http.Header{})(name); got != nil {
			t.Errorf("%s that is not there: %q", name, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		0: "1", time.Millisecond: "1", time.Second: "1", time.Second + 1: "2", 1500 * time.Millisecond: "2", 2 * time.Second: "2", 90 * time.Second: "90",
	} {
		for _, code := range []fault.Code{fault.Unavailable, fault.RateLimited} {
			w := httptest.NewRecorder()
			WriteError(w, fault.New(code, "", "", "wait").WithRetry(wait))
			if got := w.Header()["Retry-After"]; !cmp.Equal(got, []string{want}) || w.Code != code.HTTP() {
				t.Errorf("%v, %v: %d, Retry-After %q, want %q", code, wait, w.Code, got, want)
			}
		}
	}
	w := httptest.NewRecorder()
	WriteError(w, fault.New(fault.Unauthenticated, "", "", "who?"))
	if got := w.Header()["Www-Authenticate"]; !cmp.Equal(got, []string{`Bearer realm="godwit"`}) || w.Code != 401 || w.Header().Get("Retry-After") != "" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	WriteError(w, fmt.Errorf("around: %w", &methodError{fault.New(fault.Invalid, "", "", "no")}))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Www-Authenticate") != "" {
		t.Errorf("a method: %d, %v", w.Code, w.Header())
	}
}

// What goes wrong while a body is read has the code of who is to blame.
func TestReadErrors(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	coded := fault.New(fault.RateLimited, "", "", "too much")
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want fault.Code
		zip  fault.Code // of the same while it is decompressed
	}{
		{"coded", t.Context(), coded, fault.RateLimited, fault.RateLimited},
		{"coded, the caller gone", gone, coded, fault.RateLimited, fault.RateLimited},
		{"cut", t.Context(), io.ErrUnexpectedEOF, fault.Invalid, fault.Invalid},
		{"cut, the caller gone", gone, io.ErrUnexpectedEOF, fault.Invalid, fault.Invalid},
		{"ended", t.Context(), io.EOF, fault.Invalid, fault.Invalid},
		{"too slow", t.Context(), os.ErrDeadlineExceeded, fault.DeadlineExceeded, fault.DeadlineExceeded},
		{"another, the caller gone", gone, errors.New("reset"), fault.Canceled, fault.Invalid},
		{"another", t.Context(), errors.New("reset"), fault.Invalid, fault.Invalid},
	} {
		if got := readError(tt.ctx, tt.err); fault.CodeOf(got) != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if got := readError(tt.ctx, corrupt("gzip", tt.err)); fault.CodeOf(got) != tt.zip {
			t.Errorf("%s, decompressed: %v, want %v", tt.name, got, tt.zip)
		}
	}
}

// broken is a body that breaks after a few bytes.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// Nothing is counted any more, however a request ends.
func TestBodiesAreGivenBack(t *testing.T) {
	answer := infer.HandlerFunc(func(_ context.Context, req *infer.Request) (*infer.Response, error) {
		switch req.ID {
		case "error":
			return nil, fault.New(fault.Invalid, "", "", "no")
		case "panic":
			panic("told to")
		}
		return &infer.Response{Model: "m"}, nil
	})
	form := &Form{
		Decode: func(body []byte) (*infer.Request, error) {
			if string(body) == "unread" {
				return nil, fault.New(fault.Invalid, "", "", "no")
			}
			return &infer.Request{ID: string(body)}, nil
		},
		Encode: func(dst []byte, req *infer.Request, _ *infer.Response) ([]byte, string, error) {
			switch req.ID {
			case "unwritten":
				return dst, "", fault.New(fault.Unprocessable, "", "", "no")
			case "encoder's panic":
				panic("told to")
			}
			return append(dst, "fine"...), "text/plain", nil
		},
	}
	s := New(&infer.Registry{}, answer, &Options{Limits: &codec.Limits{Body: 64}})
	for body, status := range map[string]int{"fine": 200, "unread": 400, "error": 400, "panic": 500, "unwritten": 422, "encoder's panic": 500, strings.Repeat("x", 65): 413} {
		w := httptest.NewRecorder()
		s.InferAs(w, httptest.NewRequest("POST", "/", strings.NewReader(body)), form)
		if held := s.held.Load(); w.Code != status || held != 0 {
			t.Errorf("%.20q: %d, want %d; %d bytes are counted", body, w.Code, status, held)
		}
		w = httptest.NewRecorder()
		s.ServeBody(w, httptest.NewRequest("POST", "/", strings.NewReader(body)), func(_ context.Context, _ *Exchange, body []byte) ([]byte, string, error) {
			if string(body) == "panic" {
				panic("told to")
			}
			return nil, "", fault.New(fault.Invalid, "", "", "no")
		})
		if held := s.held.Load(); w.Code < 400 || held != 0 {
			t.Errorf("%.20q, whole: %d; %d bytes are counted", body, w.Code, held)
		}
	}
	r := &http.Request{Body: io.NopCloser(broken{os.ErrDeadlineExceeded}), ContentLength: 10}
	if _, err := s.read(t.Context(), r, 0); fault.CodeOf(err) != fault.DeadlineExceeded || s.held.Load() != 0 {
		t.Errorf("one that breaks: %v, %d bytes are counted", err, s.held.Load())
	}
	s.opts.BodyMemory = 10 // less than any body takes
	r = &http.Request{Body: io.NopCloser(strings.NewReader("x")), ContentLength: -1}
	if _, err := s.read(t.Context(), r, 0); fault.CodeOf(err) != fault.Unavailable || s.held.Load() != 0 {
		t.Errorf("no memory: %v, %d bytes are counted", err, s.held.Load())
	}
}

// Buffers of each size have the room that they promise, and numbers their text.
func TestBuffersHaveRoom(t *testing.T) {
	for n, room := range map[int]int{0: 1 << 10, 1: 1 << 10, 1 << 10: 1 << 10, 1<<10 + 1: 2 << 10, 3000: 4 << 10, 4 << 20: 4 << 20, 4<<20 + 1: 4<<20 + 1} {
		if got := roomFor(n); got != room {
			t.Errorf("%d bytes: room for %d, want %d", n, got, room)
		}
		var b Buffers
		buf := b.Get(n)
		if len(*buf) != n || cap(*buf) != room {
			t.Errorf("%d bytes: got %d of %d", n, len(*buf), cap(*buf))
		}
		b.Put(buf)
		for range 3 { // one that is kept, or a new one
			if again := b.Get(n); len(*again) != n || cap(*again) < n {
				t.Errorf("%d bytes again: got %d of %d", n, len(*again), cap(*again))
			}
		}
	}
	var b Buffers
	for _, size := range []int{0, 100, 1<<10 - 1, 1 << 10, 1<<11 - 1, 5 << 20, 8 << 20} {
		made := make([]byte, 0, size)
		b.Put(&made)
	}
	for n := range 12 {
		if buf := b.kept(1 << n); buf != nil && cap(*buf) < 1<<n {
			t.Errorf("for %d bytes a buffer of %d is kept", 1<<n, cap(*buf))
		}
	}
	var texts numbers
	for _, v := range []int{-1, 0, 1, 4095, 4096, 1 << 40} {
		for range 2 {
			if got := texts.text(v); got != strconv.Itoa(v) {
				t.Errorf("%d is written %q", v, got)
			}
		}
	}
}

func TestQuality(t *testing.T) {
	for params, want := range map[string]float64{
		"": 1, " ": 1, "q=1": 1, " Q=0.5 ": 0.5, "q=0": 0, "q=0.001": 0.001, "q=1.1": 0, "q=-1": 0, "q=NaN": 0, "q=": 0, "r=1": 0, "q =1": 0,
	} {
		if got := quality(params); got != want {
			t.Errorf("%q: %v, want %v", params, got, want)
		}
	}
	for accept, want := range map[string]string{"deflate;q=0": "", "gzip;q=0, deflate;q=0": "", "deflate, gzip": "gzip", "gzip;q=0.2, deflate;q=0.3": "deflate"} {
		if got := chooseCoding([]string{accept}); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}

func TestCleanPaths(t *testing.T) {
	for p, want := range map[string]bool{
		"/": true, "/a": true, "/a/": true, "/a/b": true, "": false, "a": false, "//": false, "/a//": false, "/a//b": false, "/./a": false, "/a/..": false,
		"/a\x1f": false, "/a ": true, "/a\x7f": false, "/a\xff": false, "/a~": true,
	} {
		if got := cleanPath(p); got != want {
			t.Errorf("%q: %v, want %v", p, got, want)
		}
	}
}

// A body whose length nobody said is refused where it outgrows what is set aside
// for all, and what it had taken is given back.
func TestBodiesThatOutgrowTheMemory(t *testing.T) {
	s := newServer(2<<20, 1<<20)
	held, err := s.read(t.Context(), &http.Request{Body: io.NopCloser(strings.NewReader(strings.Repeat("a", 900<<10))), ContentLength: 900 << 10}, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := s.held.Load()
	refused := false
	var others []body
	for range 5 {
		b, err := s.read(t.Context(), &http.Request{Body: io.NopCloser(strings.NewReader(strings.Repeat("b", 700<<10))), ContentLength: -1}, 0)
		if err == nil {
			others = append(others, b)
			before = s.held.Load()
			continue
		}
		refused = true
		if got := s.held.Load(); fault.CodeOf(err) != fault.Unavailable || got != before || b.data != nil {
			t.Errorf("%v, %d bytes are counted, want %d", err, got, before)
		}
	}
	if !refused {
		t.Error("five bodies fit that are larger than what is set aside")
	}
	held.release()
	for i := range others {
		others[i].release()
	}
	if got := s.held.Load(); got != 0 {
		t.Errorf("%d bytes are still counted", got)
	}
	var x Exchange
	for i := range 20 {
		if got := x.value(strconv.Itoa(i)); len(got) != 1 || cap(got) != 1 || got[0] != strconv.Itoa(i) {
			t.Errorf("value %d is %q", i, got)
		}
	}
}
