package httpserve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// faulty is a connection of which some calls fail.
type faulty struct {
	*fakeConn
	read, write, deadline error // of setting a deadline, or of writing
}

func (c *faulty) SetReadDeadline(time.Time) error { return c.read }

func (c *faulty) SetWriteDeadline(time.Time) error { return c.deadline }

func (c *faulty) Write(p []byte) (int, error) {
	if c.write != nil {
		return 0, c.write
	}
	return c.fakeConn.Write(p)
}

// A sniffer says what both servers would say, once: the settings before it
// waits, and the acknowledgement when there is something to acknowledge.
func TestWhatASnifferSays(t *testing.T) {
	opts := (*Options)(nil).withDefaults()
	settings := string(settingsFrames(&opts))
	const theirs, ack = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x04\x01\x00\x00\x00\x00"
	for name, tt := range map[string]struct {
		pieces []string
		want   string
	}{
		"nothing":              {[]string{""}, ""},
		"half a preface":       {[]string{preface[:20]}, ""},
		"a preface":            {[]string{preface}, settings},
		"with settings":        {[]string{preface + theirs}, settings + ack},
		"settings after it":    {[]string{preface, theirs}, settings + ack},
		"and a frame":          {[]string{preface, theirs, ack, "\x00\x00"}, settings + ack},
		"and half a header":    {[]string{preface + theirs + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82"}, settings + ack},
		"a whole call at once": {[]string{string(open(grpcCall...))}, ""},
		"HTTP/1.1":             {[]string{getRoot}, ""},
	} {
		var all []io.Reader
		for _, p := range tt.pieces {
			all = append(all, strings.NewReader(p))
		}
		fake := &fakeConn{Reader: io.MultiReader(all...)}
		sniff(&conn{Conn: fake, onClose: func() {}}, &opts, true)
		if got := fake.sent.String(); got != tt.want {
			t.Errorf("%s: said %q, want %q", name, got, tt.want)
		}
	}
	// What it cannot say, or cannot wait for, is the end.
	for name, c := range map[string]*faulty{
		"no deadline for writing": {deadline: errors.New("no")}, "no writing": {write: errors.New("no")}, "no deadline for reading": {read: errors.New("no")},
	} {
		c.fakeConn = &fakeConn{Reader: strings.NewReader(preface)}
		if k := sniff(&conn{Conn: c, onClose: func() {}}, &opts, true); k != nobody {
			t.Errorf("%s: given to %v", name, k)
		}
		c.fakeConn = &fakeConn{Reader: strings.NewReader(getRoot)}
		if k := sniff(&conn{Conn: c, onClose: func() {}}, &opts, false); (k == nobody) != (c.read != nil) {
			t.Errorf("%s, not split: given to %v", name, k)
		}
	}
	if k := sniff(&conn{Conn: &fakeConn{Reader: strings.NewReader("")}, onClose: func() {}}, &opts, false); k != nobody {
		t.Errorf("nothing, not split: given to %v", k)
	}
	for text, one := range map[string]bool{getRoot: true, preface: false, preface[:10]: false, "P": false, "POST / ": true} {
		c := &conn{Conn: &fakeConn{Reader: strings.NewReader(text)}, onClose: func() {}}
		if k := sniff(c, &opts, false); k != toHTTP || (c.lines != nil) != one || (c.frames != nil) == one || string(c.replay.pending) != text || c.acked != nil {
			t.Errorf("%q, not split: given to %v, of HTTP/1.1 %v", text, k, c.lines != nil)
		}
	}
}

// A deadline for writing is set where it does not reach far enough, and what
// cannot be written says so.
func TestHowConnectionsWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &recorder{Conn: &fakeConn{}}
		c := &conn{Conn: wire, stall: 30 * time.Second}
		begun := time.Now()
		for _, tt := range []struct {
			at   time.Duration
			n    int
			want time.Duration // of a deadline that is set, from the beginning
		}{{0, 0, time.Minute}, {time.Second, 0, 0}, {30 * time.Second, 0, 0}, {31 * time.Second, 0, 91 * time.Second}, {60 * time.Second, 64 << 10, 0}, {60 * time.Second, 128 << 10, 122 * time.Second}} {
			<-time.After(tt.at - time.Since(begun))
			n := len(wire.write)
			if wrote, err := c.Write(make([]byte, tt.n)); wrote != tt.n || err != nil {
				t.Errorf("wrote %d, %v", wrote, err)
			}
			if set := len(wire.write) - n; (set == 1) != (tt.want > 0) || set == 1 && wire.write[n].Sub(begun) != tt.want {
				t.Errorf("after %v: set %v, want %v", tt.at, wire.write[n:], tt.want)
			}
		}
	})
	no := errors.New("no")
	for name, c := range map[string]*conn{
		"without a deadline":        {Conn: &faulty{fakeConn: &fakeConn{}, deadline: no}, stall: time.Second},
		"nothing":                   {Conn: &faulty{fakeConn: &fakeConn{}, write: no}},
		"behind what was said once": {Conn: &faulty{fakeConn: &fakeConn{}, write: no}, said: said{settings: true}},
	} {
		if n, err := c.Write([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x01")); n != 0 || err != no {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

// Who gets a lane: HTTP/1.1 that begins as usual, on a socket.
func TestWhoGetsALane(t *testing.T) {
	s := &server{opts: (*Options)(nil).withDefaults()}
	s.lanes = newLaneSet(s, t.Context(), nil)
	socket := asLane(t)(nil).(*full)
	fresh := func() *conn {
		return &conn{Conn: socket, lines: &lines{}, replay: replay{pending: []byte("GET / ")}}
	}
	c := fresh()
	if l := s.newLane(c); l == nil || string(l.in) != "GET / " || l.state.Load() != laneHead || c.replay.pending != nil || l.remote != "192.0.2.7:7" || l.local.String() != "127.0.0.1:8080" || l.write == nil {
		t.Errorf("got %+v", l)
	}
	for name, change := range map[string]func(c *conn){
		"HTTP/2":       func(c *conn) { c.lines = nil },
		"unusual":      func(c *conn) { c.replay.pending = []byte("PUT / ") },
		"no socket":    func(c *conn) { c.Conn = &fakeConn{} },
		"a bad socket": func(c *conn) { c.Conn = badSocket{} },
	} {
		c := fresh()
		change(c)
		before := string(c.replay.pending)
		if l := s.newLane(c); l != nil || string(c.replay.pending) != before {
			t.Errorf("%s: %+v", name, l)
		}
	}
	s.opts.NoLane = true
	if s.newLane(fresh()) != nil {
		t.Error("a lane where there shall be none")
	}
}

type badSocket struct{ net.Conn }

func (badSocket) SyscallConn() (syscall.RawConn, error) { return nil, errors.New("no") }

// A lane writes what the socket takes, and what is wrong with it is known.
func TestTry(t *testing.T) {
	socket := asLane(t)(nil).(*full)
	l := &lane{out: []byte("abc")}
	if !l.try(socket.fd) || l.wrote != 0 || l.fault != nil {
		t.Errorf("a full socket: %d, %v", l.wrote, l.fault)
	}
	buf := make([]byte, 1<<20)
	for {
		if n, err := syscall.Read(socket.peer, buf); n <= 0 || err != nil {
			break
		}
	}
	if !l.try(socket.fd) || l.wrote != 3 || l.fault != nil {
		t.Errorf("an empty socket: %d, %v", l.wrote, l.fault)
	}
	l = &lane{out: make([]byte, 64<<20)}
	if !l.try(socket.fd) || l.wrote == 0 || l.wrote == len(l.out) || l.fault != nil {
		t.Errorf("more than it takes: %d, %v", l.wrote, l.fault)
	}
	l = &lane{out: []byte("abc")}
	if !l.try(1<<20) || l.wrote != 0 || l.fault != syscall.EBADF {
		t.Errorf("no socket: %d, %v", l.wrote, l.fault)
	}
}

// Who is there is there, with and without bytes of theirs.
func TestHungUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	theirs, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ours.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if hungUp(raw) {
		t.Error("who says nothing has gone")
	}
	_, _ = theirs.Write([]byte("a"))
	one := make([]byte, 1)
	if hungUp(raw) {
		t.Error("who says something has gone")
	}
	if n, err := ours.Read(one); n != 1 || err != nil || one[0] != 'a' {
		t.Errorf("read %q, %v: looking took it", one[:n], err)
	}
	_ = theirs.Close()
	if n, err := ours.Read(one); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if !hungUp(raw) {
		t.Error("who has gone is there")
	}
	_ = ours.Close()
	if !hungUp(raw) {
		t.Error("a closed connection has somebody")
	}
}

// short is a listener that fails, and then has a connection, and fails again.
type short struct {
	*pipes
	at   []time.Time
	fine int // which one succeeds
	end  error
}

func (s *short) Accept() (net.Conn, error) {
	s.at = append(s.at, time.Now())
	switch n := len(s.at); {
	case n == s.fine:
		c, _ := net.Pipe()
		return c, nil
	case n > 14:
		return nil, s.end
	}
	return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
}

// The pauses of a server that cannot accept double up to a second, and begin
// anew when it could.
func TestPausesOfAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &short{pipes: newPipes(), fine: 11, end: net.ErrClosed}
		s := &server{opts: (*Options)(nil).withDefaults(), stopAccept: make(chan struct{}), httpConns: newHandoff(nil), grpcConns: newHandoff(nil)}
		if err := s.accept(l); err != nil {
			t.Error(err)
		}
		var got []time.Duration
		for i := range l.at[1:] {
			got = append(got, l.at[i+1].Sub(l.at[i])/time.Millisecond)
		}
		if diff := cmp.Diff([]time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 0, 5, 10, 20}, got); diff != "" {
			t.Errorf("pauses in ms (-want +got):\n%s", diff)
		}
		s.sniffing.closeAll()
		s.sniffers.Wait()
		l = &short{pipes: newPipes(), end: net.ErrClosed}
		time.AfterFunc(7*time.Millisecond, func() { close(s.stopAccept) })
		begun := time.Now()
		if err := s.accept(l); err != nil || time.Since(begun) != 7*time.Millisecond {
			t.Errorf("stopped: %v after %v", err, time.Since(begun))
		}
		l = &short{pipes: newPipes(), end: syscall.EINVAL}
		s.stopAccept = make(chan struct{})
		if err := s.accept(l); fault.CodeOf(err) != fault.Internal || !errors.Is(err, syscall.EINVAL) || len(l.at) != 15 {
			t.Errorf("failed: %v after %d", err, len(l.at))
		}
	})
}

// broke is a listener that breaks when it is told to.
type broke struct {
	*pipes
	now chan struct{}
}

func (b *broke) Accept() (net.Conn, error) {
	select {
	case <-b.now:
		return nil, syscall.EINVAL
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

// A server that fails while the balancer is to notice its end does not wait for
// that.
func TestFailsBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &broke{pipes: newPipes(), now: make(chan struct{})}
		api, _ := flat(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- Serve(ctx, l, nil, api, &Options{PreStop: 10 * time.Second}) }()
		<-time.After(time.Second)
		cancel()
		<-time.After(5 * time.Second)
		close(l.now)
		begun := time.Now()
		if err := <-result; fault.CodeOf(err) != fault.Internal || !errors.Is(err, syscall.EINVAL) || time.Since(begun) > 50*time.Millisecond {
			t.Errorf("Serve: %v after %v", err, time.Since(begun))
		}
	})
}

// Where nothing is measured, there is nothing to see.
func TestNoMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := newPipes()
		inTime(t, false, &Options{MetricsListener: metrics}, nil)
		c, err := metrics.dial()
		if err != nil {
			t.Fatal(err)
		}
		send(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if got, _ := ends(c, time.Now()); !strings.HasPrefix(got, "HTTP/1.1 404") {
			t.Errorf("got %q", got)
		}
	})
}

// gRPC is HTTP/2's.
func TestGRPCOverHTTP1(t *testing.T) {
	s := &server{opts: (*Options)(nil).withDefaults(), grpc: &grpcServer{}}
	reached := false
	h := s.guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = true }))
	r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
	r.Header.Set("Content-Type", "application/grpc")
	if h.ServeHTTP(httptest.NewRecorder(), r); !reached || s.inFlight.Load() != 0 {
		t.Errorf("reached %v, %d in flight", reached, s.inFlight.Load())
	}
}

// What a handler is given of a body: the server's where there is one.
func TestBodiesThatAreGuarded(t *testing.T) {
	s := &server{opts: (*Options)(nil).withDefaults()}
	var got io.ReadCloser
	h := s.guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Body }))
	for name, tt := range map[string]struct {
		length  int64
		body    io.ReadCloser
		guarded bool
	}{"known": {4, io.NopCloser(strings.NewReader("body")), true}, "unknown": {-1, io.NopCloser(strings.NewReader("body")), true}, "none": {0, http.NoBody, false}, "nothing": {5, nil, false}} {
		r := httptest.NewRequest("POST", "/", http.NoBody)
		r.ContentLength, r.Body = tt.length, tt.body
		h.ServeHTTP(httptest.NewRecorder(), r)
		if _, is := got.(*guardedBody); is != tt.guarded {
			t.Errorf("%s: %T", name, got)
		}
	}
}

// Every number of a model's statistics is where the protocol has it.
func TestStatisticsOfModels(t *testing.T) {
	n := uint64(0)
	next := func() oip.DurationStats { n += 2; return oip.DurationStats{Count: n - 1, NS: n} }
	in := &oip.ModelStats{Name: "m", Version: "v", LastInference: 100, InferenceCount: 101, ExecutionCount: 102,
		InferenceStats: oip.InferenceStats{Success: next(), Fail: next(), Queue: next(), ComputeInput: next(), ComputeInfer: next(), ComputeOutput: next(), CacheHit: next(), CacheMiss: next()},
		BatchStats:     []oip.BatchStats{{BatchSize: 103, ComputeInput: next(), ComputeInfer: next(), ComputeOutput: next()}, {BatchSize: 104}}}
	d := func(count uint64) *oippb.StatisticDuration {
		return &oippb.StatisticDuration{Count: count, Ns: count + 1}
	}
	zero := func() *oippb.StatisticDuration { return &oippb.StatisticDuration{} }
	want := &oippb.ModelStatistics{Name: "m", Version: "v", LastInference: 100, InferenceCount: 101, ExecutionCount: 102,
		InferenceStats: &oippb.InferStatistics{Success: d(1), Fail: d(3), Queue: d(5), ComputeInput: d(7), ComputeInfer: d(9), ComputeOutput: d(11), CacheHit: d(13), CacheMiss: d(15)},
		BatchStats:     []*oippb.InferBatchStatistics{{BatchSize: 103, ComputeInput: d(17), ComputeInfer: d(19), ComputeOutput: d(21)}, {BatchSize: 104, ComputeInput: zero(), ComputeInfer: zero(), ComputeOutput: zero()}}}
	if diff := cmp.Diff(want, modelStatistics(in), protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, want := range map[string]oippb.DataType{"TYPE_FP32": oippb.DataType_TYPE_FP32, "TYPE_STRING": oippb.DataType_TYPE_STRING, "odd": oippb.DataType_TYPE_INVALID} {
		if got := dataType(oip.TensorConfig{DataType: name}); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if diff := cmp.Diff([]*oippb.ModelMetadataResponse_TensorMetadata{{Name: "x", Datatype: "FP32", Shape: []int64{-1, 3}}, {Name: "y"}},
		tensorMetadata([]oip.TensorMetadata{{Name: "x", Datatype: "FP32", Shape: []int64{-1, 3}}, {Name: "y"}}), protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A header is remembered with any length, where it is short enough; a handler's
// own stays as it was.
func TestMemo(t *testing.T) {
	s := &server{opts: (*Options)(nil).withDefaults()}
	s.lanes = newLaneSet(s, t.Context(), nil)
	remember := func(text string) (*memo, *lane) {
		l := &lane{server: s, remote: "192.0.2.7:7"}
		if l.head.scan([]byte(text), &s.opts) != headWhole || !l.memo.parse(l, []byte(text)) {
			t.Fatalf("%q is not read", text)
		}
		return &l.memo, l
	}
	post := func(length, more string) string {
		return "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + "\r\nA: b\r\n\r\n" + more
	}
	m, _ := remember(post("3", "abc"))
	if m.req.RemoteAddr != "192.0.2.7:7" || m.req.Body != http.NoBody || m.req.Host != "x" || m.header.Get("A") != "b" {
		t.Errorf("remembered %+v", m.req)
	}
	was := m.header
	for _, tt := range []struct {
		length string
		n      int64
	}{{"3", 3}, {"5", 5}, {"12345", 12345}, {"0", 0}, {"12", 12}, {"999999999999999", 999999999999999}, {"3", 3}} {
		text := post(tt.length, "more")
		var h headScan
		if !m.match([]byte(text), &h) || h.length != tt.n || text[h.from:h.to] != tt.length || text[h.end:] != "more" || m.header.Get("Content-Length") != tt.length || !h.post {
			t.Errorf("%s: %+v, %v", tt.length, h, m.header)
		}
	}
	if was.Get("Content-Length") != "3" {
		t.Errorf("a handler's header says %v now", was)
	}
	for _, other := range []string{post("", ""), post("03", ""), post("1234567890123456", ""), post("3x", ""), strings.Replace(post("3", ""), "A: b", "A: c", 1), strings.Replace(post("3", ""), "/a", "/b", 1), post("3", "")[:50], "POST /a", ""} {
		var h headScan
		if m.match([]byte(other), &h) || h != (headScan{}) {
			t.Errorf("%q is taken for it: %+v", other, h)
		}
	}
	m, _ = remember(getRoot)
	var h headScan
	if !m.match([]byte(getRoot+"more"), &h) || h.end != len(getRoot) || h.length != 0 || h.post {
		t.Errorf("%+v", h)
	}
	if m.match([]byte(getRoot[:len(getRoot)-1]), &h) {
		t.Error("a part is taken for it")
	}
	for n, kept := range map[int]bool{mostMemo: true, mostMemo + 1: false} {
		begun := "GET / HTTP/1.1\r\nHost: x\r\nA: "
		text := begun + strings.Repeat("a", n-len(begun)-4) + "\r\n\r\n"
		if m, _ := remember(text); (len(m.text) == n) != kept || m.match([]byte(text), &h) != kept {
			t.Errorf("a header of %d bytes: %d are remembered", n, len(m.text))
		}
	}
	// What net/http reads in another way is not remembered.
	for _, change := range []func(h *headScan){func(h *headScan) { h.length = 4 }, func(h *headScan) { h.close = true }, func(h *headScan) { h.end -= 2 }} {
		text := post("3", "abc")
		l := &lane{server: s}
		l.head.scan([]byte(text), &s.opts)
		l.memo.text = []byte("old")
		if change(&l.head); l.memo.parse(l, []byte(text)) || l.memo.text != nil {
			t.Errorf("%+v is read", l.head)
		}
	}
}

// Bytes that cannot be a request's end a lane without an answer, or are net/http's.
func TestHowLanesEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		text  string
		http  bool // net/http gets it
		count int  // answers before
	}{
		"nothing more":           {getRoot, false, 1},
		"few bytes more":         {getRoot + "PUT", false, 1},
		"enough to tell":         {getRoot + "PUT ", true, 1},
		"a header without end":   {getRoot + "GET / HTTP/1.1\r\nHost: x\r\n", true, 1},
		"an end of a line first": {getRoot + "\r\n" + getRoot, true, 1},
		"closes":                 {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + getRoot, false, 1},
		"after a body":           {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na\r\n\r\n" + getRoot, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answered := 0
				s := &server{opts: (*Options)(nil).withDefaults(), http: &http.Server{}, httpConns: newHandoff(nil)}
				s.opts.Log = slog.New(slog.DiscardHandler)
				s.lanes = newLaneSet(s, t.Context(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					answered++
				}))
				closed := 0
				c := &conn{Conn: asLane(t)(&fakeConn{Reader: strings.NewReader(tt.text)}), since: time.Now(), onClose: func() { closed++ }, lines: &lines{}}
				c.replay.pending = []byte(tt.text[:6])
				c.Conn.(*full).Conn = &endless{fakeConn: &fakeConn{Reader: strings.NewReader(tt.text[6:])}}
				l := s.newLane(c)
				if l == nil {
					t.Fatal("no lane")
				}
				s.lanes.add(l)
				done := make(chan struct{})
				go func() { defer close(done); l.run() }()
				synctest.Wait()
				given := false
				select {
				case got := <-s.httpConns.conns:
					given = got == net.Conn(c)
					if rest := string(c.replay.pending); !strings.HasSuffix(tt.text, rest) || rest == "" || c.lines == nil || c.settled == nil || s.unsettled.Load() != 1 {
						t.Errorf("net/http gets %q, %d unsettled", rest, s.unsettled.Load())
					}
				case <-done:
				}
				<-done
				if given != tt.http || answered != tt.count || (closed == 1) == tt.http || len(s.lanes.all) != 0 || s.inFlight.Load() != 0 {
					t.Errorf("net/http gets it: %v, %d answered, closed %d times, %d in the set, %d in flight", given, answered, closed, len(s.lanes.all), s.inFlight.Load())
				}
			})
		})
	}
}

// endless is a connection whose deadlines may be set.
type endless struct{ *fakeConn }

func (*endless) SetDeadline(time.Time) error { return nil }

// A machine short of descriptors does not hold up who is told to stop.
func TestStopsWhileItCannotAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &shortListener{begun: time.Now(), short: time.Hour, conns: make(chan net.Conn), closed: make(chan struct{})}
		api, _ := flat(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- Serve(ctx, l, nil, api, nil) }()
		<-time.After(time.Minute + 100*time.Millisecond)
		cancel()
		begun := time.Now()
		if err := <-result; err != nil || time.Since(begun) > 100*time.Millisecond {
			t.Errorf("Serve: %v after %v", err, time.Since(begun))
		}
	})
}
