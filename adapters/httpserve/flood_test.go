package httpserve_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"godwit.dev/adapters/httpserve"
)

// serves fails the test unless the server still answers, on both transports.
func (s *running) serves(t *testing.T) {
	t.Helper()
	if status, _, err := s.post(h1(t), "flat", flatBody(1)); err != nil || status != 200 {
		t.Errorf("afterwards, HTTP: %d %v", status, err)
	}
	if _, err := s.grpc().ModelInfer(t.Context(), flatRequest(1)); err != nil {
		t.Errorf("afterwards, gRPC: %v", err)
	}
}

// calls are the two kinds of HTTP/2 connection: net/http's and grpc-go's.
var calls = map[string][]string{
	"REST": {":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/v2/models/flat/infer", "content-type", "application/json"},
	"gRPC": {":method", "POST", ":scheme", "http", ":authority", "x", ":path", "/inference.GRPCInferenceService/ModelInfer", "content-type", "application/grpc", "te", "trailers"},
}

// hungUp stands for a connection that the server ended without a word, while
// not all that was sent had been read: on a slow machine all of it may lie in
// the kernel's buffers by then.
const hungUp http2.ErrCode = 1 << 16

// flood sends what write makes until the server hangs up or n are sent, while
// something reads. It returns how many were sent and what the server said at
// the end.
func (s *running) flood(t *testing.T, n int, write func(w *wireClient, out *http2.Framer, i int)) (sent int, goodbye http2.ErrCode) {
	t.Helper()
	w := s.wire(t)
	c := w.conn
	code := make(chan http2.ErrCode, 2)
	go func() {
		defer close(code)
		for {
			f, err := w.framer.ReadFrame()
			if errors.Is(err, syscall.ECONNRESET) {
				code <- hungUp // with bytes of ours that it had not read
			}
			if err != nil {
				return
			}
			if f, ok := f.(*http2.GoAwayFrame); ok && f.ErrCode != http2.ErrCodeNo {
				select {
				case code <- f.ErrCode:
				default:
				}
			}
		}
	}()
	var batch bytes.Buffer
	out := http2.NewFramer(&batch, nil)
	out.AllowIllegalWrites = true
	for ; sent < n; sent++ {
		write(w, out, sent)
		if batch.Len() > 32<<10 || sent == n-1 {
			if _, err := c.Write(batch.Bytes()); err != nil {
				break
			}
			batch.Reset()
		}
	}
	_ = c.CloseWrite()
	goodbye = <-code
	_ = c.Close()
	return sent, goodbye
}

// Streams that are opened and reset at once, settings that must be
// acknowledged, pings that must be answered, and headers that never end: each
// costs its sender less than it could cost a server. The connection ends
// before, and the memory and goroutines that it takes stay few.
func TestHTTP2Floods(t *testing.T) {
	s := start(t, nil, nil, nil)
	for name, fields := range calls {
		floods := []struct {
			name  string
			n     int
			write func(w *wireClient, out *http2.Framer, i int)
		}{
			{"100,000 streams reset at once", 100_000, func(w *wireClient, out *http2.Framer, i int) {
				id := uint32(2*i + 1)
				w.must(out.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: w.headers(fields...)}))
				w.must(out.WriteRSTStream(id, http2.ErrCodeCancel))
			}},
			{"100,000 settings", 100_000, func(w *wireClient, out *http2.Framer, i int) {
				if i == 0 {
					w.must(out.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: w.headers(fields...)}))
				}
				w.must(out.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535}))
			}},
			{"100,000 pings", 100_000, func(w *wireClient, out *http2.Framer, i int) {
				if i == 0 {
					w.must(out.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: w.headers(fields...)}))
				}
				w.must(out.WritePing(false, [8]byte{1}))
			}},
			{"a header without end", 200_000, func(w *wireClient, out *http2.Framer, i int) {
				if i == 0 {
					w.must(out.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: w.headers(fields...)}))
				}
				w.must(out.WriteContinuation(1, false, w.headers("x-more", strings.Repeat("v", 100))))
			}},
		}
		for _, f := range floods {
			t.Run(name+"/"+f.name, func(t *testing.T) {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				routines := runtime.NumGoroutine()
				sent, code := s.flood(t, f.n, f.write)
				if sent == f.n && code == http2.ErrCodeNo && !strings.Contains(f.name, "pings") { // which are cheap to answer
					t.Errorf("all %d were taken", sent)
				}
				if n := runtime.NumGoroutine(); n > routines+1000 {
					t.Errorf("%d goroutines more", n-routines)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 50<<20 {
					t.Errorf("%d MiB more memory", grown>>20)
				}
				t.Logf("%d sent, then %v", sent, code)
				s.serves(t)
			})
		}
	}
}

// A caller that takes one byte at a time holds its own answer up and nothing else.
func TestOneByteWindows(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, &httpserve.Options{BodyTimeout: 200 * time.Millisecond}, nil)
	w := s.frames(t)
	if _, err := io.WriteString(w.conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	w.must(w.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}))
	for id := uint32(1); id < 20; id += 2 {
		w.must(w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, EndStream: true,
			BlockFragment: w.headers(":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/openapi.json")}))
	}
	s.serves(t)
	for resets := 0; resets < 10; { // the handlers gave up
		if f, ok := w.next().(*http2.RSTStreamFrame); ok && f.ErrCode != http2.ErrCodeNo {
			resets++
		}
	}
}

// Callers that send slowly lose their connections in time, and those who do
// not are answered meanwhile.
func TestSlowCallersHarmNobody(t *testing.T) {
	s := start(t, nil, &httpserve.Options{HeaderTimeout: 300 * time.Millisecond, BodyTimeout: 300 * time.Millisecond}, nil)
	const each = 200
	var slow []*net.TCPConn
	for range each {
		for _, text := range []string{"POST /v2 HTTP/1.1\r\nHost: x\r\nX-A: b\r\n", inferHead + "Content-Length: 1000\r\n\r\n{"} {
			c := s.tcp()
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			slow = append(slow, c)
		}
	}
	stop := make(chan struct{})
	var good sync.WaitGroup
	good.Go(func() {
		client := h1(t)
		for answered := 0; ; answered++ {
			select {
			case <-stop:
				if answered == 0 {
					t.Error("nobody was answered meanwhile")
				}
				return
			default:
			}
			if status, body, err := s.post(client, "flat", flatBody(1)); err != nil || status != 200 {
				t.Errorf("meanwhile: %d %v %s", status, err, body)
				return
			}
		}
	})
	for _, c := range slow {
		if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("a slow caller keeps its connection")
			break
		}
	}
	close(stop)
	good.Wait()
	s.serves(t)
}

// Two ways to say where a body ends, or a line that goes on in the next, are
// what a proxy in front may read differently: one of them smuggles a request.
func TestNothingToSmuggleWith(t *testing.T) {
	s := start(t, nil, nil, nil)
	body := chunks(flatBody(1), 100)
	chunked := "Transfer-Encoding: chunked\r\n"
	next := "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
	load := "POST /v2/repository/models/flat/load HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	pad := "X-Pad: " + strings.Repeat("v", 6000) + "\r\n"
	tests := []struct{ name, text, want string }{
		{"chunked", inferHead + chunked + "\r\n" + body, "200"},
		{"length and chunked", inferHead + "Content-Length: 4\r\n" + chunked + "\r\n" + body, "400"},
		{"chunked and length", inferHead + chunked + "content-length : 4\r\n\r\n" + body, "400"},
		{"length and chunked, far apart", inferHead + "content-length: 4\r\n" + pad + pad + chunked + "\r\n" + body, "400"},
		{"two encodings", inferHead + "Transfer-Encoding: gzip, chunked\r\n\r\n" + body, "501"},
		{"chunked twice", inferHead + chunked + chunked + "\r\n" + body, "501"},
		{"a tab before the value", inferHead + "Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n\r\n" + body, "400"},
		{"a vertical tab", inferHead + "Transfer-Encoding: \x0bchunked\r\n\r\n" + body, "400"},
		{"a folded field", inferHead + "X-A: b\r\n c\r\n" + chunked + "\r\n" + body, "400"},
		{"a folded field with a tab", inferHead + "X-A: b\r\n\tc\r\n" + chunked + "\r\n" + body, "400"},
		{"a folded field without a body", "GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n", "400"},
		{"bare line feeds", "GET /v2/health/live HTTP/1.1\nHost: x\nX-A: b\n c\n\n", "400"},
		{"in a body it is text", inferHead + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(flatBody(1))+6, flatBody(1)+"\r\n  \r\n"), "200"},
		{"in a body in chunks too", inferHead + chunked + "\r\n" + chunks(flatBody(1)+"\r\n  \r\n", 100), "200"},
		{"fields in a body in chunks", load + chunked + "\r\n" + chunks("A: b\r\nContent-Length: 4\r\n\r\n", 100), "501"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, pieces := range []int{1, 2, 3} { // and after a good request, and cut in pieces
				c := s.tcp()
				text := tt.text
				if pieces > 1 {
					text = next + text
				}
				go func() {
					for len(text) > 0 {
						n := min(len(text), (len(tt.text)+pieces)/pieces)
						_, _ = io.WriteString(c, text[:n])
						text = text[n:]
						runtime.Gosched()
					}
				}()
				r := bufio.NewReader(c)
				want := []string{tt.want}
				if pieces > 1 {
					want = []string{"200", tt.want}
				}
				for i, status := range want {
					resp, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Fatalf("answer %d: %v", i, err)
					}
					b, _ := io.ReadAll(resp.Body)
					if got := fmt.Sprint(resp.StatusCode); got != status {
						t.Fatalf("answer %d: %s %s, want %s", i, got, b, status)
					}
				}
				if tt.want == "400" { // nothing that follows is answered
					if rest, _ := io.ReadAll(r); len(rest) > 0 {
						t.Errorf("afterwards: %.200q", rest)
					}
				}
				_ = c.Close()
			}
		})
	}
}
