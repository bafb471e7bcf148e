package httpserve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noted is a connection that notes what is written at once.
type noted struct {
	*full
	mu     sync.Mutex
	writes []int
	ended  time.Time // when its side was ended
}

func (n *noted) Write(p []byte) (int, error) {
	n.mu.Lock()
	n.writes = append(n.writes, len(p))
	n.mu.Unlock()
	return n.full.Write(p)
}

func (n *noted) CloseWrite() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = time.Now()
	return n.full.CloseWrite()
}

// taken is what was written since it was asked for last.
func (n *noted) taken() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	got := n.writes
	n.writes = nil
	return got
}

// noting has the server's end of a pipe note its writes.
func noting(t *testing.T, s **noted) func(net.Conn) net.Conn {
	lane := asLane(t)
	return func(c net.Conn) net.Conn {
		*s = &noted{full: lane(c).(*full)}
		return *s
	}
}

// What a handler writes goes out when it is whole, when it is much, and when
// the handler says so; little waits for the rest, and goes out with the head.
func TestWhenAnswersGoOut(t *testing.T) {
	write := func(n int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, n)) }
	}
	says := func(n int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "a/b")
			w.Header().Set("Content-Length", fmt.Sprint(n))
		}
	}
	flush := func(w http.ResponseWriter) { w.(http.Flusher).Flush() }
	none := func(http.ResponseWriter) {}
	// A head with a known length of five digits, one in chunks, and one whose type was found.
	const known, chunked, found = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 12345\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 1234\r\n\r\n"
	k, c, f := len(known), len(chunked), len(found)
	for name, tt := range map[string]struct {
		steps []func(http.ResponseWriter)
		want  [][]int // what went out after each step, and at the end
	}{
		"little":                        {[]func(http.ResponseWriter){write(1000), write(1000)}, [][]int{nil, nil, {f + 2000}}},
		"as much as waits":              {[]func(http.ResponseWriter){write(4000), write(96)}, [][]int{nil, nil, {f + 4096}}},
		"more than waits":               {[]func(http.ResponseWriter){write(4000), write(97), write(10)}, [][]int{nil, {c + 5 + 4000 + 2}, nil, {4 + 97 + 2 + 3 + 10 + 2 + 5}}},
		"more than waits, at once":      {[]func(http.ResponseWriter){write(4097)}, [][]int{{c + 6 + 4097 + 2}, {5}}},
		"little by little":              {[]func(http.ResponseWriter){write(5000), write(1500), write(1500), write(1500)}, [][]int{{c + 6 + 5000 + 2}, nil, nil, {3 * (5 + 1500 + 2)}, {5}}},
		"to the edge of what waits":     {[]func(http.ResponseWriter){flush, write(4089), write(4088), none}, [][]int{{len("HTTP/1.1 200 OK\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nTransfer-Encoding: chunked\r\n\r\n")}, {4096}, nil, nil, {4095 + 5}}},
		"much":                          {[]func(http.ResponseWriter){write(20_000)}, [][]int{{c + 6, 20_000}, {2 + 5}}},
		"as much as is joined":          {[]func(http.ResponseWriter){write(16384 - len(chunked) - 6)}, [][]int{{16384 + 2}, {5}}},
		"one byte more":                 {[]func(http.ResponseWriter){write(16384 - len(chunked) - 6 + 1)}, [][]int{{c + 6, 16384 - c - 6 + 1}, {2 + 5}}},
		"flushed":                       {[]func(http.ResponseWriter){write(10), flush, write(10), flush}, [][]int{nil, {c + 3 + 10 + 2}, nil, {3 + 10 + 2}, {5}}},
		"flushed first":                 {[]func(http.ResponseWriter){says(10), flush, write(10)}, [][]int{nil, {k - 3}, {10}, nil}},
		"of known length":               {[]func(http.ResponseWriter){says(10000), write(4000), write(6000), none}, [][]int{nil, nil, {k + 10000}, nil, nil}},
		"of known length, much":         {[]func(http.ResponseWriter){says(40000), write(40000)}, [][]int{nil, {16384, 40000 + k - 16384}, nil}},
		"of known length, in parts":     {[]func(http.ResponseWriter){says(40000), write(10000), write(10000), write(20000)}, [][]int{nil, nil, {16384, 20000 + k - 16384}, {16384, 20000 - 16384}, nil}},
		"of known length, to the brim":  {[]func(http.ResponseWriter){says(40000), write(16384 - len(known)), write(100)}, [][]int{nil, {16384}, nil, {100}}},
		"of known length, nearly there": {[]func(http.ResponseWriter){says(40000), write(16383 - len(known)), write(1)}, [][]int{nil, nil, {16384}, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				step, done := make(chan func(http.ResponseWriter)), make(chan struct{})
				s := inTime(t, true, nil, func(w http.ResponseWriter, _ *http.Request) {
					for do := range step {
						do(w)
						done <- struct{}{}
					}
				})
				var conn *noted
				s.wrap = noting(t, &conn)
				caller := s.connect()
				go func() { _, _ = io.Copy(io.Discard, caller) }()
				send(caller, getRoot)
				var got [][]int
				for _, do := range tt.steps {
					step <- do
					<-done
					got = append(got, conn.taken())
				}
				close(step)
				synctest.Wait()
				got = append(got, conn.taken())
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An answer says when it was made, once, and a handler may say so itself.
func TestDatesOfAnswers(t *testing.T) {
	eachWay(t, func(t *testing.T, lane bool) {
		own := false
		s := inTime(t, lane, nil, func(w http.ResponseWriter, _ *http.Request) {
			if own {
				w.Header().Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
			}
			_, _ = io.WriteString(w, "a")
		})
		c := s.connect()
		r := bufio.NewReader(c)
		for range 3 {
			want := time.Now().UTC().Format(http.TimeFormat)
			if got := askRoot(t, c, r).Header["Date"]; len(got) != 1 || got[0] != want {
				t.Errorf("Date is %q, want %q", got, want)
			}
			<-time.After(10 * time.Second)
		}
		own = true
		if got := askRoot(t, c, r).Header["Date"]; len(got) != 1 || got[0] != "Mon, 02 Jan 2006 15:04:05 GMT" {
			t.Errorf("Date is %q, want the handler's", got)
		}
	})
}

// A caller who is still sending gets half a second to read an answer that did
// not wait for the rest, and no more than a drain has.
func TestEarlyAnswersLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inTime(t, true, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) })
		var conn *noted
		s.wrap = noting(t, &conn)
		for _, stops := range []bool{false, true} {
			c := s.connect()
			begun := time.Now()
			send(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil || resp.StatusCode != 418 || !resp.Close {
				t.Fatalf("%v, %v, want 418 and the end", resp, err)
			}
			synctest.Wait()
			if !conn.ended.Equal(begun) {
				t.Errorf("its side was ended at %v, want %v", conn.ended, begun)
			}
			want := 500 * time.Millisecond
			if stops {
				<-time.After(100 * time.Millisecond)
				s.stop()
				want = 120 * time.Millisecond // and what a drain waits for the port
			}
			if got, took := ends(r, begun); got != "" || !near(took, want, 10*time.Millisecond) {
				t.Errorf("stops %v: %q, ended after %v, want %v", stops, got, took, want)
			}
		}
		if took, err := s.wait(time.Now()); err != nil || took > 100*time.Millisecond {
			t.Errorf("Serve: %v after %v", err, took)
		}
	})
}

// What a handler writes to a caller who has gone is an error from then on, also
// what would only have waited.
func TestWritesToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []error
		began, over := make(chan struct{}), make(chan struct{})
		s := inTime(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
			defer close(over)
			close(began)
			<-time.After(time.Second)
			w.WriteHeader(http.StatusEarlyHints)
			for range 3 {
				n, err := io.WriteString(w, "a")
				if errs = append(errs, err); n != 0 {
					t.Errorf("wrote %d", n)
				}
			}
			errs = append(errs, http.NewResponseController(w).Flush())
		})
		c := s.connect()
		if _, err := io.WriteString(c, getRoot); err != nil {
			t.Fatal(err)
		}
		<-began
		_ = c.Close()
		<-over
		if len(errs) != 4 || errs[0] == nil || errs[1] == nil || errs[2] == nil || errs[3] == nil {
			t.Errorf("got %v", errs)
		}
	})
}

// The address and the version of who asks, and of who answers, are there.
func TestWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got string
		s := inTime(t, true, nil, func(_ http.ResponseWriter, r *http.Request) {
			got = fmt.Sprint(r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey), r.Proto, r.ProtoMajor, r.ProtoMinor)
		})
		c := s.connect()
		askRoot(t, c, bufio.NewReader(c))
		if want := "192.0.2.7:7127.0.0.1:8080HTTP/1.111"; strings.ReplaceAll(got, " ", "") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// taking is a socket that takes some bytes at once.
type taking struct {
	*rawFull
	l     *lane
	takes int
}

func (r *taking) Write(func(uintptr) bool) error {
	r.l.wrote = min(r.takes, len(r.l.out))
	return nil
}

// nowhere is a connection that takes nothing.
type nowhere struct{ net.Conn }

func (nowhere) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func (nowhere) SetWriteDeadline(time.Time) error { return io.ErrNoProgress }

// What the socket takes at once counts for the time that the rest has.
func TestTimeForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for takes, want := range map[int]time.Duration{0: 31 * time.Second, 5 * stride: 16 * time.Second} {
			wire := &recorder{Conn: nowhere{}}
			l := &lane{server: &server{opts: (*Options)(nil).withDefaults()}, c: &conn{Conn: wire}}
			l.raw = &taking{l: l, takes: takes}
			now := time.Now()
			a := &answer{lane: l, begun: now.Add(-20 * time.Second)} // late already
			_ = l.send(a, make([]byte, takes+10))
			if takes == 0 {
				want -= 20 * time.Second
			}
			if len(wire.write) != 1 || wire.write[0].Sub(now) != want || a.sent != int64(takes) {
				t.Errorf("%d bytes at once: until %v, %d sent; want %v more", takes, wire.write, a.sent, want)
			}
		}
	})
}

// Without a deadline nothing is written that may have to wait.
func TestNoDeadlineNoWrite(t *testing.T) {
	l := &lane{server: &server{opts: (*Options)(nil).withDefaults()}, c: &conn{Conn: nowhere{}}}
	l.raw = &taking{l: l, takes: 1}
	if err := l.send(&answer{lane: l}, []byte("abc")); err != io.ErrNoProgress {
		t.Errorf("the rest: %v", err)
	}
	if err := l.send(&answer{lane: l}, []byte("a")); err != io.ErrNoProgress { // which cannot be lifted either
		t.Errorf("the next: %v", err)
	}
}

// The head of an answer, byte for byte: fields in order, and none that says
// where it ends but the server's own.
func TestHeadsOfAnswers(t *testing.T) {
	const date = "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
	for name, tt := range map[string]struct {
		request string
		handle  http.HandlerFunc
		want    string
	}{
		"fields": {getRoot, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["Transfer-Encoding"], h["Trailer"], h["Trailer:X"], h["B"], h["A"], h["A b"], h["Content-Length"] = []string{"gzip"}, []string{"X"}, []string{"y"}, []string{" 2\t", "3\r\nC: 4"}, []string{"1"}, []string{"5"}, []string{" 2 "}
			_, _ = io.WriteString(w, "ab")
		}, "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nB: 3  C: 4\r\nContent-Type: text/plain; charset=utf-8\r\n" + date + "Content-Length: 2\r\n\r\nab"},
		"it ends":       {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "keep-alive") }, "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 0\r\nConnection: close\r\n\r\n"},
		"it goes on":    {getRoot, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "keep-alive") }, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n" + date + "Content-Length: 0\r\n\r\n"},
		"the handler's": {getRoot, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "x, Close") }, "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 0\r\nConnection: close\r\n\r\n"},
		"no length": {getRoot, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "-1")
			_, _ = io.WriteString(w, "{}")
		}, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n" + date + "Content-Length: 2\r\n\r\n{}"},
		"nothing at all": {getRoot, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, "HTTP/1.1 304 Not Modified\r\n" + date + "\r\n"},
		"hints": {getRoot, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			w.Header().Del("Link")
			w.WriteHeader(404)
		}, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\n" + date + "Content-Length: 0\r\n\r\n"},
		"goes on": {getRoot, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(100) }, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + date + "Content-Length: 0\r\n\r\n"},
		"more than nothing": {getRoot, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "0")
			if n, err := w.Write([]byte("a")); n != 0 || err != http.ErrContentLength {
				panic(err)
			}
		}, "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 0\r\n\r\n"},
		"chunks": {getRoot, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ab")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "0123456789abcdefg")
		}, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n"},
		"of a name":    {getRoot, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }, "HTTP/1.1 201 Created\r\n" + date + "Content-Length: 0\r\n\r\n"},
		"of no name":   {getRoot, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) }, "HTTP/1.1 299 status code 299\r\n" + date + "Content-Length: 0\r\n\r\n"},
		"switched off": {getRoot, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(101) }, "HTTP/1.1 101 Switching Protocols\r\n" + date + "\r\n"},
		"hidden type": {getRoot, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "a")
		}, "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 1\r\n\r\na"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inTime(t, true, nil, tt.handle)
				c := s.connect()
				got := make(chan string)
				go func() { b, _ := ends(c, time.Now()); got <- b }()
				send(c, tt.request)
				synctest.Wait()
				s.stop()
				if text := <-got; text != tt.want {
					t.Errorf("got  %q\nwant %q", text, tt.want)
				}
			})
		})
	}
}

// What has no body takes none, and says so.
func TestNoBody(t *testing.T) {
	eachWay(t, func(t *testing.T, lane bool) {
		s := inTime(t, lane, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if n, err := w.Write([]byte("a")); n != 0 || err != http.ErrBodyNotAllowed {
				t.Errorf("wrote %d, %v", n, err)
			}
		})
		c := s.connect()
		if resp := askRoot(t, c, bufio.NewReader(c)); resp.StatusCode != 204 || resp.ContentLength != 0 {
			t.Errorf("got %d and %d bytes", resp.StatusCode, resp.ContentLength)
		}
	})
}
