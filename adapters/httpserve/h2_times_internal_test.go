package httpserve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frameClient speaks HTTP/2 over a pipe by hand.
type frameClient struct {
	t      *testing.T
	c      net.Conn
	framer *http2.Framer
	enc    *hpack.Encoder
	block  bytes.Buffer
	seen   chan http2.Frame // what comes; closed with the connection
}

// speak reads all that comes on c.
func speak(t *testing.T, c net.Conn) *frameClient {
	f := &frameClient{t: t, c: c, framer: http2.NewFramer(c, c), seen: make(chan http2.Frame, 1000)}
	f.enc = hpack.NewEncoder(&f.block)
	go func() {
		defer close(f.seen)
		reader := http2.NewFramer(nil, c)
		for {
			frame, err := reader.ReadFrame()
			if err != nil {
				return
			}
			switch kept := frame.(type) { // the reader uses its buffer again
			case *http2.PingFrame:
				f.seen <- &http2.PingFrame{FrameHeader: kept.FrameHeader, Data: kept.Data}
			case *http2.GoAwayFrame:
				f.seen <- &http2.GoAwayFrame{FrameHeader: kept.FrameHeader, ErrCode: kept.ErrCode, LastStreamID: kept.LastStreamID}
			case *http2.RSTStreamFrame, *http2.HeadersFrame:
				f.seen <- kept
			}
		}
	}()
	return f
}

// begin sends the preface, no settings, and a call where fields are given.
func (f *frameClient) begin(fields ...string) {
	f.t.Helper()
	if _, err := io.WriteString(f.c, preface); err != nil {
		f.t.Fatal(err)
	}
	if err := f.framer.WriteSettings(); err != nil {
		f.t.Fatal(err)
	}
	if len(fields) > 0 {
		f.call(1, false, fields...)
	}
}

// call opens a stream.
func (f *frameClient) call(id uint32, end bool, fields ...string) {
	f.t.Helper()
	f.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, EndStream: end, BlockFragment: f.block.Bytes()}); err != nil {
		f.t.Fatal(err)
	}
}

// next is the next frame of the kind, and when it came; nil is the end.
func next[F http2.Frame](f *frameClient, begun time.Time) (got F, took time.Duration) {
	for frame := range f.seen {
		if kept, ok := frame.(F); ok {
			return kept, time.Since(begun)
		}
	}
	return got, time.Since(begun)
}

var (
	restCall   = []string{":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/"}
	inferCall  = []string{":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/inference.GRPCInferenceService/ModelStreamInfer", "content-type", "application/grpc", "te", "trailers"}
	healthCall = []string{":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/grpc.health.v1.Health/Watch", "content-type", "application/grpc", "te", "trailers"}
)

// An HTTP/2 connection that says nothing, or not enough, ends in time, and who
// keeps to the rules is told so.
func TestTimesOfHTTP2(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		call    []string
		goodbye time.Duration // 0: none
		want    time.Duration
		more    time.Duration
	}{
		"half a preface":             {preface[:10], nil, 0, 5 * time.Second, 0},
		"a preface":                  {preface, nil, 75 * time.Second, 75 * time.Second, 0},
		"a preface and settings":     {preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", nil, 75 * time.Second, 75 * time.Second, 0},
		"half a frame":               {preface + "\x00\x00", nil, 0, 5 * time.Second, 0},
		"half a header":              {preface + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82", nil, 0, 5 * time.Second, 0},
		"an answered request":        {"", restCall, 75 * time.Second, 75 * time.Second, 2 * time.Second},
		"a gRPC call that goes on":   {"", healthCall, 0, 80 * time.Second, 0}, // asked after a minute whether it is there
		"a stream that says nothing": {"", inferCall, 0, 80 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inTime(t, false, &Options{Drain: 10 * time.Second}, func(http.ResponseWriter, *http.Request) {})
				begun := time.Now()
				f := speak(t, s.connect())
				if send(f.c, tt.text); tt.text == "" {
					f.begin()
					f.call(1, tt.call[1] == "GET", tt.call...)
				}
				goodbye := time.Duration(0)
				for frame := range f.seen {
					if away, ok := frame.(*http2.GoAwayFrame); ok && goodbye == 0 {
						goodbye = time.Since(begun)
						if away.ErrCode != http2.ErrCodeNo || away.StreamID != 0 {
							t.Errorf("told %v of stream %d", away.ErrCode, away.StreamID)
						}
					}
				}
				if took := time.Since(begun); goodbye != tt.goodbye || !near(took, tt.want, tt.more) {
					t.Errorf("told after %v, ended after %v; want %v and %v", goodbye, took, tt.goodbye, tt.want)
				}
			})
		})
	}
}

// A gRPC connection without calls ends after the time that others have, one
// with calls is asked once a minute, and who asks the server all the time is
// sent away.
func TestTimesOfGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inTime(t, false, &Options{Drain: 10 * time.Second}, nil)
		begun := time.Now()
		f := speak(t, s.connect())
		f.begin(inferCall...)
		<-time.After(10 * time.Second)
		if err := f.framer.WriteRSTStream(1, http2.ErrCodeCancel); err != nil {
			t.Fatal(err)
		}
		if away, took := next[*http2.GoAwayFrame](f, begun); away == nil || away.ErrCode != http2.ErrCodeNo || !near(took, 85*time.Second, time.Second) {
			t.Errorf("idle: %v after %v, want it after 85s", away, took)
		}
		begun = time.Now()
		f = speak(t, s.connect())
		f.begin(inferCall...)
		for i := range 5 {
			ping, took := next[*http2.PingFrame](f, begun)
			if want := time.Duration(i+1) * time.Minute; ping == nil || ping.IsAck() || !near(took, want, time.Second) {
				t.Fatalf("number %d: asked %v after %v, want %v", i, ping, took, want)
			}
			if err := f.framer.WritePing(true, ping.Data); err != nil {
				t.Fatal(err)
			}
		}
	})
	for every, calm := range map[time.Duration]bool{11 * time.Second: true, 9 * time.Second: false} {
		t.Run(fmt.Sprint("pings every ", every), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inTime(t, false, &Options{Drain: 10 * time.Second}, nil)
				f := speak(t, s.connect())
				f.begin(inferCall...)
				for range 6 {
					<-time.After(every)
					if f.framer.WritePing(false, [8]byte{1}) != nil {
						break
					}
				}
				synctest.Wait()
				_ = f.c.Close()
				away, _ := next[*http2.GoAwayFrame](f, time.Now())
				if sent := away != nil && away.ErrCode == http2.ErrCodeEnhanceYourCalm; sent == calm {
					t.Errorf("told %v", away)
				}
			})
		})
	}
}

// A caller of HTTP/2 who is not there any more is noticed: what is sent to it
// for half a minute, and what waits for it as idle connections do.
func TestHTTP2CallersWhoAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		s := inTime(t, false, &Options{Drain: 10 * time.Second, NoGRPC: true}, func(_ http.ResponseWriter, r *http.Request) {
			begun := time.Now()
			<-r.Context().Done()
			if context.Cause(r.Context()) != context.Canceled {
				t.Errorf("ended by %v", context.Cause(r.Context()))
			}
			ended <- time.Since(begun)
		})
		f := speak(t, s.connect())
		f.begin()
		f.call(1, true, restCall...) // asked after 75 s, and has 15 s to answer
		if took := <-ended; took != 90*time.Second {
			t.Errorf("silent: ended after %v, want 90s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		s := inTime(t, false, &Options{Drain: 10 * time.Second, NoGRPC: true}, func(w http.ResponseWriter, r *http.Request) {
			begun := time.Now()
			_, _ = w.Write(make([]byte, 1<<20))
			<-r.Context().Done()
			ended <- time.Since(begun)
		})
		c := s.connect()
		f := &frameClient{t: t, c: c, framer: http2.NewFramer(c, c)}
		f.enc = hpack.NewEncoder(&f.block)
		f.begin()
		f.call(1, true, restCall...)
		if took := <-ended; !near(took, 30*time.Second, 2*time.Second) {
			t.Errorf("reads nothing: ended after %v, want 30s", took)
		}
	})
}

// What is measured is served until every request has been answered, and to no
// slow caller for longer than others have.
func TestTimesOfMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := newPipes()
		began := make(chan struct{})
		s := inTime(t, false, &Options{Drain: time.Minute, MetricsListener: metrics, Metrics: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				_, _ = w.Write(make([]byte, 1<<20))
			}
			_, _ = io.Copy(io.Discard, r.Body)
		})}, func(http.ResponseWriter, *http.Request) {
			close(began)
			<-time.After(30 * time.Second)
		})
		for name, tt := range map[string]struct {
			text string
			want time.Duration
		}{
			"nothing": {"", 5 * time.Second}, "half a header": {getRoot[:len(getRoot)-2], 5 * time.Second}, "idle": {getRoot, 75 * time.Second},
			"no body":          {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 30 * time.Second},
			"nothing is read":  {"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", 30 * time.Second},
			"a header too big": {"GET / HTTP/1.1\r\nHost: x\r\nA: " + string(bytes.Repeat([]byte{'a'}, 80<<10)) + "\r\n\r\n", 500 * time.Millisecond},
		} {
			c, err := metrics.dial()
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			send(c, tt.text)
			if name == "nothing is read" {
				<-time.After(tt.want - time.Second)
				synctest.Wait()
				_, _ = io.ReadFull(c, make([]byte, 4096))
				<-time.After(time.Second + 1)
			}
			if got, took := ends(c, begun); !near(took, tt.want, time.Second) {
				t.Errorf("%s: %.100q, ended after %v, want %v", name, got, took, tt.want)
			}
		}
		send(s.connect(), getRoot)
		<-began
		begun := time.Now()
		s.stop()
		<-time.After(29 * time.Second)
		c, err := metrics.dial()
		if err != nil {
			t.Fatal(err)
		}
		send(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if got, _ := ends(c, begun); !bytes.HasPrefix([]byte(got), []byte("HTTP/1.1 200")) {
			t.Errorf("while requests are answered: %q", got)
		}
		if took, err := s.wait(begun); err != nil && !near(took, 30*time.Second, time.Second) {
			t.Errorf("Serve: %v after %v", err, took)
		}
		if _, err := metrics.dial(); err != errRefused {
			t.Errorf("afterwards: %v", err)
		}
	})
}
