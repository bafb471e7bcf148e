package httpserve

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// lanes serves h on a lane for one connection and returns the caller's end.
func lanes(t *testing.T, h http.HandlerFunc) (*laneSet, net.Conn) {
	t.Helper()
	s := &server{opts: (*Options)(nil).withDefaults(), http: &http.Server{}, httpConns: newHandoff(nil)}
	s.lanes = newLaneSet(s, t.Context(), h)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{Conn: in, since: time.Now(), onClose: func() {}, lines: &lines{}, replay: replay{pending: []byte("GET /")}}
	l := s.newLane(c)
	if l == nil {
		t.Fatal("no lane")
	}
	s.lanes.add(l)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		s.lanes.watch()
	}()
	go l.run()
	t.Cleanup(func() {
		_ = out.Close()
		s.lanes.close()
		<-watching
	})
	return s.lanes, out
}

// A request like the one before it is not parsed, whatever its length, and all
// that is made for it is what it alone may use.
func TestLaneAllocations(t *testing.T) {
	kind, length, body := []string{"a/b"}, []string{"10"}, []byte("0123456789")
	_, c := lanes(t, func(w http.ResponseWriter, r *http.Request) {
		var b [16]byte
		for {
			if _, err := r.Body.Read(b[:]); err != nil {
				break
			}
		}
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = kind, length
		_, _ = w.Write(body)
	})
	buf := make([]byte, 1<<10)
	ask := func(text []byte) {
		if _, err := c.Write(text); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil { // an answer of this size comes whole
			t.Fatal(err)
		}
	}
	ask([]byte(" HTTP/1.1\r\nHost: x\r\n\r\n"))
	short := []byte("POST / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\nContent-Type: z\r\nContent-Length: 3\r\n\r\nabc")
	other := []byte("POST / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\nContent-Type: z\r\nContent-Length: 11\r\n\r\nabcdefghijk")
	for _, tt := range []struct {
		name string
		turn [][]byte
		most float64 // for each request
	}{
		{"the same", [][]byte{short}, 4},
		{"other lengths", [][]byte{short, other}, 9},
	} {
		got := testing.AllocsPerRun(200, func() {
			for _, text := range tt.turn {
				ask(text)
			}
		}) / float64(len(tt.turn))
		if got > tt.most {
			t.Errorf("%s: %v allocations for a request, want at most %v", tt.name, got, tt.most)
		}
	}
}

// An answer that began before the drain said nothing of an end: its connection
// ends with it all the same.
func TestLaneEndsWithItsAnswer(t *testing.T) {
	began, end := make(chan struct{}), make(chan struct{})
	set, c := lanes(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		close(began)
		<-end
	})
	if _, err := io.WriteString(c, " HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	set.settle(ctx) // nobody reads a header
	close(end)
	set.drained(ctx)
	if ctx.Err() != nil {
		t.Error("the connection is kept")
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.Close {
		t.Fatalf("%v %v, want an answer that does not close", resp, err)
	}
}
