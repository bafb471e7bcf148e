package loadtest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"godwit.dev/runtime/infer"
)

// A server that closes what was idle costs its clients a new connection, and
// no error.
func TestClosedIdleConnectionsAreOpenedAgain(t *testing.T) {
	for name, farewell := range map[string]string{"silently": "", "with a word": "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var dialled atomic.Int64
		closed := make(chan struct{})
		go func() { // ends with the listener
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				if dialled.Add(1) == 1 { // the first is closed before it is used
					io.WriteString(conn, farewell)
					conn.Close()
					close(closed)
					continue
				}
				go func() {
					defer conn.Close()
					r := bufio.NewReader(conn)
					for {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						io.Copy(io.Discard, req.Body)
						io.WriteString(conn, okAnswer)
					}
				}()
			}
		}()
		opts := &Options{Target: "http://" + ln.Addr().String(), Model: "m", Unchecked: true, Requests: []*infer.Request{row(1)}, Payloads: -1}
		o, err := opts.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		p, err := prepare(t.Context(), &o)
		if err != nil {
			t.Fatal(err)
		}
		c := &httpConn{dial: o.Dial, url: p.url, payloads: p.payloads}
		if err := c.open(t.Context(), time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		<-closed
		for end := time.Now().Add(10 * time.Second); !closedByPeer(c.conn); runtime.Gosched() { // the farewell is on its way
			if time.Now().After(end) {
				t.Fatalf("%s: the other side's end is not seen", name)
			}
		}
		if a := c.call(t.Context(), 0, time.Now().Add(time.Minute), false); !a.ok || dialled.Load() != 2 {
			t.Errorf("%s: want an answer over a new connection, got %q over %d", name, a.outcome, dialled.Load())
		}
		if a := c.call(t.Context(), 0, time.Now().Add(2*time.Minute), false); !a.ok || dialled.Load() != 2 {
			t.Errorf("%s: want the connection to stay, got %q over %d", name, a.outcome, dialled.Load())
		}
		c.close()
		ln.Close()
	}
}
