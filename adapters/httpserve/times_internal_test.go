package httpserve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/telemetry"
)

// pipes is a listener whose connections are made in the process, so that times
// can be looked at where no time passes.
type pipes struct {
	conns  chan net.Conn
	wrap   func(net.Conn) net.Conn // the server's end; may be nil
	once   sync.Once
	closed chan struct{}
	last   chan struct{} // closed when the deadline has been set
	until  time.Time
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{}), last: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	last := p.last
	var over <-chan time.Time
	for {
		select {
		case c := <-p.conns:
			return c, nil
		case <-p.closed:
			return nil, net.ErrClosed
		case <-last:
			last, over = nil, time.After(time.Until(p.until))
		case <-over:
			return nil, &net.OpError{Op: "accept", Err: os.ErrDeadlineExceeded}
		}
	}
}

func (p *pipes) SetDeadline(at time.Time) error {
	p.until = at
	close(p.last)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (p *pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

var errRefused = errors.New("refused")

// dial connects, or says that nobody listens any more.
func (p *pipes) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	if p.wrap != nil {
		theirs = p.wrap(theirs)
	}
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		_, _ = ours.Close(), theirs.Close()
		return nil, errRefused
	}
}

// full is a connection with a socket that takes nothing at once: a lane answers
// on it, and waits for who reads.
type full struct {
	net.Conn
	fd   uintptr
	peer int // what the caller has of it

	mu sync.Mutex
	by time.Time // the deadline for writing
}

// asLane has the server's end of a connection be one that a lane answers. The
// descriptors live until the test ends.
func asLane(t *testing.T) func(net.Conn) net.Conn {
	return func(c net.Conn) net.Conn {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		for err = nil; err == nil; {
			_, err = syscall.Write(fds[0], make([]byte, 4096))
		}
		f := &full{Conn: c, fd: uintptr(fds[0]), peer: fds[1]}
		t.Cleanup(func() { f.hangUp(); _ = syscall.Close(fds[0]) })
		return f
	}
}

// LocalAddr and RemoteAddr are what a lane asks for.
func (f *full) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (f *full) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 7} }

func (f *full) SyscallConn() (syscall.RawConn, error) { return &rawFull{f}, nil }

func (f *full) SetWriteDeadline(at time.Time) error {
	f.mu.Lock()
	f.by = at
	f.mu.Unlock()
	return f.Conn.SetWriteDeadline(at)
}

// hangUp ends the caller's side, so that the socket says so.
func (f *full) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.peer >= 0 {
		_ = syscall.Close(f.peer)
	}
	f.peer = -1
}

// CloseWrite is what a lane calls that lets its caller read an answer.
func (f *full) CloseWrite() error { return nil }

type rawFull struct{ f *full }

func (r *rawFull) Control(do func(uintptr)) error { do(r.f.fd); return nil }

func (r *rawFull) Read(do func(uintptr) bool) error { do(r.f.fd); return nil }

// Write fails at once after the deadline, as that of package net does.
func (r *rawFull) Write(do func(uintptr) bool) error {
	r.f.mu.Lock()
	by := r.f.by
	r.f.mu.Unlock()
	if !by.IsZero() && !time.Now().Before(by) {
		return os.ErrDeadlineExceeded
	}
	do(r.f.fd)
	return nil
}

// timely is a server in a bubble.
type timely struct {
	*pipes
	t      *testing.T
	log    *strings.Builder
	api    *oip.Server
	stop   context.CancelFunc
	result chan error
}

// inTime starts a server of h whose time the test has in its hands. Connections
// are answered by lanes where lane says so, else by net/http.
func inTime(t *testing.T, lane bool, opts *Options, h http.HandlerFunc) *timely {
	t.Helper()
	s := &timely{pipes: newPipes(), t: t, log: &strings.Builder{}, result: make(chan error, 1)}
	if lane {
		s.wrap = asLane(t)
	}
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.Log = telemetry.NewLogger(s.log, false, slog.LevelDebug)
	registry := &infer.Registry{}
	m, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"addsub": memengine.AddSub()}), "addsub", &infer.Options{Name: "addsub", Digest: "sha256:00"})
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Add(m); err != nil {
		t.Fatal(err)
	}
	s.api = oip.New(registry, m, &oip.Options{Log: o.Log})
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	var handler http.Handler
	if h != nil {
		handler = h
	}
	go func() { s.result <- Serve(ctx, s, handler, s.api, &o) }()
	t.Cleanup(func() {
		cancel()
		if err, more := <-s.result; more && err != nil {
			t.Errorf("Serve: %v", err)
		}
		_ = registry.Close(context.Background())
	})
	return s
}

// connect is a caller's end.
func (s *timely) connect() net.Conn {
	s.t.Helper()
	c, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// wait is what Serve returned, and when after begun.
func (s *timely) wait(begun time.Time) (time.Duration, error) {
	err := <-s.result
	took := time.Since(begun)
	close(s.result)
	return took, err
}

// ends reads until the server hangs up, and says what came and after how long.
func ends(c io.Reader, begun time.Time) (string, time.Duration) {
	b, _ := io.ReadAll(c)
	return string(b), time.Since(begun)
}

const getRoot = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// send writes in the background: a pipe takes what is read of it.
func send(c io.Writer, text string) {
	if text != "" {
		go func() { _, _ = io.WriteString(c, text) }()
	}
}

// ask sends one request on c and reads its answer.
func askRoot(t *testing.T, c net.Conn, r *bufio.Reader) *http.Response {
	t.Helper()
	send(c, getRoot)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp
}

// each runs a test in a bubble for lanes and for net/http.
func eachWay(t *testing.T, test func(t *testing.T, lane bool)) {
	t.Helper()
	for _, lane := range []bool{true, false} {
		t.Run(fmt.Sprintf("lane %v", lane), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, lane) })
		})
	}
}

func near(got, want, more time.Duration) bool { return got >= want && got <= want+more }

// A connection that says nothing, or not enough, ends in time: the first header
// has its time from when the connection came, later ones from their first byte,
// and what waits for the next request has its own from the last answer.
func TestTimesOfHeaders(t *testing.T) {
	eachWay(t, func(t *testing.T, lane bool) {
		s := inTime(t, lane, nil, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") })
		half := getRoot[:len(getRoot)-2]
		for name, tt := range map[string]struct {
			answers int
			pause   time.Duration // before the text
			text    string
			want    time.Duration // from when the connection came, or from the last answer
		}{
			"nothing":                      {0, 0, "", 5 * time.Second},
			"half a header":                {0, 0, half, 5 * time.Second},
			"idle":                         {1, 0, "", 75 * time.Second},
			"idle after three":             {3, 0, "", 75 * time.Second},
			"half of the next":             {1, 0, half, 5 * time.Second},
			"half of the next, late":       {1, 10 * time.Second, half, 15 * time.Second},
			"half of the next, at the end": {2, 74 * time.Second, half, 79 * time.Second},
		} {
			c := s.connect()
			begun := time.Now()
			r := bufio.NewReader(c)
			for i := range tt.answers {
				if i > 0 {
					<-time.After(70 * time.Second) // not for as long as it may be
				}
				askRoot(t, c, r)
				begun = time.Now()
			}
			<-time.After(tt.pause)
			send(c, tt.text)
			if got, took := ends(r, begun); got != "" || took != tt.want {
				t.Errorf("%s: %q, ended after %v, want %v", name, got, took, tt.want)
			}
		}
		c, want := s.connect(), 5*time.Second
		<-time.After(3 * time.Second)
		if send(c, half); !lane {
			want += 3 * time.Second // net/http counts from when it is given the connection
		}
		if _, took := ends(c, time.Now().Add(-3*time.Second)); took != want {
			t.Errorf("half a header, late: ended after %v, want %v", took, want)
		}
	})
}

// strides reads n bytes of a stride from c, pause before each, and returns how
// many strides came.
func strides(c io.Reader, n int, pause time.Duration) int {
	buf := make([]byte, stride)
	for i := range n {
		<-time.After(pause)
		if _, err := io.ReadFull(c, buf); err != nil {
			return i
		}
	}
	return n
}

// A body may take as long as its size takes at 64 KiB a second and half a minute
// more, and not one that stops for longer than half a minute and a second.
func TestTimesOfBodies(t *testing.T) {
	eachWay(t, func(t *testing.T, lane bool) {
		type outcome struct {
			n    int64
			err  error
			took time.Duration
		}
		done := make(chan outcome, 1)
		own := time.Duration(0)
		s := inTime(t, lane, nil, func(w http.ResponseWriter, r *http.Request) {
			begun := time.Now()
			if own > 0 {
				_ = http.NewResponseController(w).SetReadDeadline(begun.Add(own))
			}
			n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{r.Body}, make([]byte, 1000))
			done <- outcome{n, err, time.Since(begun)}
		})
		for name, tt := range map[string]struct {
			pauses  []time.Duration // before each stride
			length  int
			own     time.Duration // the handler's own deadline
			strides int64         // that came
			want    time.Duration // until it ended
			code    fault.Code
		}{
			"nothing":                   {nil, 1, 0, 0, 31 * time.Second, fault.DeadlineExceeded},
			"one at once, then nothing": {[]time.Duration{0}, 2, 0, 1, 31 * time.Second, fault.DeadlineExceeded},
			"one late, then nothing":    {[]time.Duration{10 * time.Second}, 2, 0, 1, 32 * time.Second, fault.DeadlineExceeded},
			"as slow as may be":         {slices.Repeat([]time.Duration{time.Second}, 100), 100, 0, 100, 100 * time.Second, fault.OK},
			"half as fast":              {slices.Repeat([]time.Duration{1990 * time.Millisecond}, 100), 100, 0, 30, 61 * time.Second, fault.DeadlineExceeded},
			"fast, then nothing":        {slices.Repeat([]time.Duration{0}, 50), 100, 0, 50, 31 * time.Second, fault.DeadlineExceeded},
			"all at once":               {slices.Repeat([]time.Duration{0}, 50), 50, 0, 50, 0, fault.OK},
			"the handler's own time":    {nil, 1, 3 * time.Second, 0, 3 * time.Second, fault.DeadlineExceeded},
			"more than the server's":    {nil, 1, time.Hour, 0, 31 * time.Second, fault.DeadlineExceeded},
		} {
			if name == "more than the server's" && !lane {
				continue // there the handler's own holds
			}
			own = tt.own
			c := s.connect()
			gone := make(chan struct{})
			go func() { // fails when the server hangs up
				defer close(gone)
				fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", tt.length*stride)
				for _, pause := range tt.pauses {
					<-time.After(pause)
					if _, err := c.Write(make([]byte, stride)); err != nil {
						return
					}
				}
			}()
			got := <-done
			if got.n != tt.strides*stride || fault.CodeOf(got.err) != tt.code || got.took != tt.want {
				t.Errorf("%s: %d strides and %d bytes, %v, after %v; want %d, %v, %v", name, got.n/stride, got.n%stride, got.err, got.took, tt.strides, tt.code, tt.want)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.Close != (tt.code != fault.OK) {
				t.Errorf("%s: answered %v, %v; want it to close the connection: %v", name, resp, err, tt.code != fault.OK)
			}
			_ = c.Close()
			<-gone
		}
	})
}

// An answer has the same time as a body; a caller who takes none of it, or too
// little, loses the connection, and one who does keeps it.
func TestTimesOfAnswers(t *testing.T) {
	eachWay(t, func(t *testing.T, lane bool) {
		own, pieces := time.Duration(0), 100
		done := make(chan error, 1)
		s := inTime(t, lane, nil, func(w http.ResponseWriter, _ *http.Request) {
			if own > 0 {
				_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(own))
			}
			w.Header().Set("Content-Type", "a/b")
			w.Header().Set("Content-Length", fmt.Sprint(pieces*stride))
			_, err := w.Write(make([]byte, pieces*stride))
			done <- err
		})
		for name, tt := range map[string]struct {
			reads       int
			pause       time.Duration
			own         time.Duration
			least, most time.Duration // until the handler is done
			whole       bool
		}{
			"nothing is read":        {0, 0, 0, 31 * time.Second, 31 * time.Second, false},
			"at once":                {100, 0, 0, 0, 0, true},
			"as slow as may be":      {100, time.Second, 0, 100 * time.Second, 100 * time.Second, true},
			"half as fast":           {100, 2 * time.Second, 0, 59 * time.Second, 63 * time.Second, false},
			"fast, then nothing":     {50, 0, 0, 30 * time.Second, 32 * time.Second, false},
			"the handler's own time": {0, 0, 3 * time.Second, 3 * time.Second, 3 * time.Second, false},
		} {
			if own = tt.own; own > 0 && !lane {
				continue // each stride of the server's sets another
			}
			c := s.connect()
			begun := time.Now()
			send(c, getRoot)
			r := bufio.NewReader(c)
			if tt.reads > 0 {
				if _, err := http.ReadResponse(r, nil); err != nil {
					t.Fatal(err)
				}
			}
			read := make(chan int, 1)
			go func() { read <- strides(r, tt.reads, tt.pause) }()
			err := <-done
			if took := time.Since(begun); took < tt.least || took > tt.most || (err == nil) != tt.whole {
				t.Errorf("%s: %v after %v; want it whole: %v, after %v to %v", name, err, took, tt.whole, tt.least, tt.most)
			}
			if !tt.whole {
				_ = c.Close()
			}
			if n := <-read; tt.whole && n != tt.reads {
				t.Errorf("%s: %d strides were read", name, n)
			}
		}
		// What took a while does not count as idle, and its time is not the next one's.
		own, pieces = 0, 2
		c := s.connect()
		r := bufio.NewReader(c)
		for i := range 3 {
			send(c, getRoot)
			<-time.After(20 * time.Second)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("answer %d: %v", i, err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); n != 2*stride || err != nil {
				t.Errorf("answer %d: %d bytes, %v", i, n, err)
			}
			if err := <-done; err != nil {
				t.Errorf("answer %d: %v", i, err)
			}
			<-time.After(74 * time.Second)
		}
		if got, took := ends(r, time.Now()); got != "" || took != time.Second {
			t.Errorf("%q, ended after %v more, want 1s", got, took)
		}
	})
}

// A body whose time is over must not end the request that follows it, over any
// wire.
func TestBodyDeadlineEndsWithTheBody(t *testing.T) {
	for name, tt := range map[string]struct{ lane, two bool }{"lane": {true, false}, "HTTP/1.1": {false, false}, "HTTP/2": {false, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inTime(t, tt.lane, nil, func(w http.ResponseWriter, r *http.Request) {
					b, err := io.ReadAll(r.Body)
					select {
					case <-time.After(5 * time.Minute):
					case <-r.Context().Done():
						t.Errorf("ended by %v", context.Cause(r.Context()))
					}
					fmt.Fprint(w, len(b), err)
				})
				p := new(http.Protocols)
				p.SetHTTP1(!tt.two)
				p.SetUnencryptedHTTP2(tt.two)
				tr := &http.Transport{Protocols: p, DialContext: func(context.Context, string, string) (net.Conn, error) { return s.dial() }}
				defer tr.CloseIdleConnections()
				for range 2 {
					resp, err := (&http.Client{Transport: tr}).Post("http://x/", "a/b", strings.NewReader("body"))
					if err != nil {
						t.Fatal(err)
					}
					if got, err := io.ReadAll(resp.Body); string(got) != "4 <nil>" || err != nil {
						t.Errorf("got %q, %v", got, err)
					}
					_ = resp.Body.Close()
				}
			})
		})
	}
}
