package httpserve_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/runtime/fault"
)

// exchange writes text and reads what comes until the connection ends.
func exchange(t *testing.T, c *net.TCPConn, text string) string {
	t.Helper()
	go func() { _, _ = io.WriteString(c, text) }() // the server may answer before it has read all
	got, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %.200s: %v", got, err)
	}
	return string(got)
}

// statusOf reads one answer's status, "" when there is none.
func statusOf(answer string) string {
	if len(answer) < 12 {
		return ""
	}
	return answer[9:12]
}

const inferHead = "POST /v2/models/flat/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

// chunks is body in chunks of n bytes.
func chunks(body string, n int) string {
	var b strings.Builder
	for len(body) > 0 {
		piece := body[:min(n, len(body))]
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(piece), piece)
		body = body[len(piece):]
	}
	return b.String() + "0\r\n\r\n"
}

func TestChunkFloods(t *testing.T) {
	s := start(t, nil, nil, nil)
	pad := func(n int) string { return strings.Repeat(" ", n-len(flatBody(1))) + flatBody(1) }
	tests := []struct {
		name string
		body string
		want string
	}{
		{"60,000 chunks of one byte", chunks(pad(60_000), 1), "200"},
		{"65,537 chunks of one byte", chunks(pad(65_537), 1), "413"},
		{"1 MiB in chunks of one byte", chunks(pad(1<<20), 1), "413"},
		{"16 MiB in chunks of 1 KiB", chunks(pad(16<<20), 1<<10), "200"},
		{"extensions", strings.Repeat("1;"+strings.Repeat("x", 2000)+"\r\n \r\n", 200) + chunks(pad(100), 100), "400"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := exchange(t, s.tcp(), inferHead+"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"+tt.body)
			if st := statusOf(got); st != tt.want && !(tt.want != "200" && st == "400") {
				t.Errorf("got %.300q, want %s", got, tt.want)
			}
		})
	}
	if status, _, err := s.post(h1(t), "flat", flatBody(1)); err != nil || status != 200 {
		t.Errorf("afterwards: %d %v", status, err)
	}
}

func TestHeaderBombs(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, nil, nil)
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X-%d: v\r\n", i)
		}
		return b.String()
	}
	get := "GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	tests := []struct{ name, text, want string }{
		{"99 fields", get + fields(98) + "\r\n", "200"},
		{"101 fields", get + fields(100) + "\r\n", "431"},
		{"one field 101 times", get + strings.Repeat("A: b\r\n", 100) + "\r\n", "431"},
		{"10,000 fields", get + fields(10_000) + "\r\n", "431"},
		{"1 MiB of header", get + "X: " + strings.Repeat("v", 1<<20) + "\r\n\r\n", "431"},
		{"a cookie of 64 KiB", get + "Cookie: " + strings.Repeat("v", 70<<10) + "\r\n\r\n", "431"},
		{"a path of 128 KiB", "GET /" + strings.Repeat("v", 128<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "431"},
		{"a path of 60 KiB", "GET /" + strings.Repeat("v", 60<<10) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"},
		{"two lengths", inferHead + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}", "400"},
		{"chunked misspelt", inferHead + "Transfer-Encoding: chunke\r\n\r\n", "501"},
		{"bad length", inferHead + "Content-Length: -1\r\n\r\n", "400"},
		{"folded", get + "A: b\r\n c\r\n\r\n", "400"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
		{"NUL", get + "A: \x00\r\n\r\n", "400"},
		{"not HTTP", "\x00\x01\x02\x03" + strings.Repeat("\r\n", 10), "400"},
		{"HTTP/3.0", "GET / HTTP/3.0\r\n\r\n", "505"},
		{"CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "400"},
		{"TRACE", "TRACE /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200"},
		{"dots", "GET /v2/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "400"},
		{"bad escape", "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "400"},
	}
	// All at once: net/http waits half a second before it hangs up on some.
	answers := make([]func() string, len(tests))
	for i, tt := range tests {
		c := s.tcp()
		answer := make(chan string, 1)
		go func() { answer <- exchange(t, c, tt.text) }()
		answers[i] = func() string { return <-answer }
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := answers[i](); statusOf(got) != tt.want {
				t.Errorf("got %.300q, want %s", got, tt.want)
			}
		})
	}
	two := h2(t)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.url("/v2/health/live"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 101 {
		r.Header.Add("X", fmt.Sprint(i))
	}
	resp, err := two.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 431 {
		t.Errorf("101 fields over HTTP/2: %d, want 431", resp.StatusCode)
	}
	if status, _ := s.get(two, "/v2/health/live"); status != 200 {
		t.Errorf("the same connection afterwards: %d", status)
	}
}

// A length that the body does not keep is an error of that request, and what
// follows the length is not taken for part of it.
func TestLengthsThatLie(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, &httpserve.Options{BodyTimeout: 50 * time.Millisecond}, nil)
	body := flatBody(1)
	long := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", inferHead, len(body)+100, body)
	if got := exchange(t, s.tcp(), long); statusOf(got) != "504" || !strings.Contains(got, "too slowly") || !strings.Contains(got, "Connection: close") {
		t.Errorf("longer, then silence: %.300q, want 504 and a closed connection", got)
	}
	half := s.tcp()
	go func() {
		_, _ = io.WriteString(half, long)
		_ = half.CloseWrite()
	}()
	if got, _ := io.ReadAll(half); statusOf(string(got)) != "400" && len(got) > 0 {
		t.Errorf("longer, then the end: %.300q", got)
	}
	short := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%sBAD REQUEST LINE\r\n\r\n", inferHead, len(body), body)
	got := exchange(t, s.tcp(), short)
	if statusOf(got) != "200" || !strings.Contains(got, "HTTP/1.1 400") || strings.Count(got, "HTTP/1.1") != 2 {
		t.Errorf("shorter: %.500q, want an answer and 400 for the rest", got)
	}
}

func TestSlowCallersGoAway(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, &httpserve.Options{HeaderTimeout: 250 * time.Millisecond, BodyTimeout: 50 * time.Millisecond, IdleTimeout: 400 * time.Millisecond}, nil)
	tests := []struct {
		name, text string
		want       string // the status of an answer, if there is one
	}{
		{"nothing", "", ""},
		{"half a method", "PO", "400"},
		{"half a header", "GET /v2 HTTP/1.1\r\nHost: x\r\n", ""},
		{"half a preface", http2.ClientPreface[:10], ""},
		{"a preface alone", http2.ClientPreface, ""},
		{"half a frame", http2.ClientPreface + "\x00\x00", ""},
		{"no body", inferHead + "Content-Length: 100\r\n\r\n", "504"},
		{"half a chunk", inferHead + "Transfer-Encoding: chunked\r\n\r\n5\r\n{", "504"},
		{"a body for a route that reads none", "POST /v2/models/flat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", "405"},
	}
	const n = 20
	conns := make([][n]*net.TCPConn, len(tests))
	for i, tt := range tests { // all at once: each takes as long as the longest
		for k := range n {
			conns[i][k] = s.tcp()
			if _, err := io.WriteString(conns[i][k], tt.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range conns[i] {
				got, err := io.ReadAll(c) // ends when the server hangs up
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("the connection stays open")
				}
				if st := statusOf(string(got)); st != tt.want && !strings.HasPrefix(tt.text, "PRI") {
					t.Errorf("got %.300q, want status %q", got, tt.want)
				}
			}
		})
	}
}

// A caller that does not read its answer gives its handler back.
func TestSlowReaders(t *testing.T) {
	t.Parallel() // it waits most of the time
	done := make(chan error, 2)
	s := start(t, nil, &httpserve.Options{BodyTimeout: 20 * time.Millisecond}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			piece := make([]byte, 1<<20)
			for range 64 {
				if _, err := w.Write(piece); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		})
	})
	one := s.tcp()
	if _, err := io.WriteString(one, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	two := s.wire(t)
	two.must(two.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true,
		BlockFragment: two.headers(":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/")}))
	for range 2 {
		if err := <-done; err == nil {
			t.Error("64 MiB were written to a caller that reads nothing")
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, &httpserve.Options{MaxConns: 3}, nil)
	get := "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
	ask := func(c *net.TCPConn) error {
		if _, err := io.WriteString(c, get); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	var open []*net.TCPConn
	for range 3 {
		c := s.tcp()
		if err := ask(c); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	for range 20 {
		if err := ask(s.tcp()); err == nil {
			t.Fatal("a fourth connection was answered")
		}
	}
	if err := ask(open[0]); err != nil {
		t.Errorf("an open connection: %v", err)
	}
	_ = open[1].Close()
	for deadline := time.Now().Add(long); ask(s.tcp()) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("a closed connection's place was not given back")
		}
	}
}

func TestStreamLimit(t *testing.T) {
	s := start(t, nil, &httpserve.Options{MaxStreams: 7}, nil)
	for _, path := range []string{"/v2/health/live", "/grpc"} {
		w := s.wire(t)
		fields := []string{":method", "POST", ":scheme", "http", ":authority", "x", ":path", path}
		if path == "/grpc" {
			fields = append(fields, "content-type", "application/grpc")
		}
		w.must(w.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: w.headers(fields...)}))
		limit := uint32(0)
		for limit == 0 {
			if f, ok := w.next().(*http2.SettingsFrame); ok {
				limit, _ = f.Value(http2.SettingMaxConcurrentStreams)
			}
		}
		if limit != 7 {
			t.Errorf("%s: %d streams allowed, want 7", path, limit)
		}
	}
}

// A caller that hangs up ends its inference, on every wire.
func TestDisconnectCancels(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, nil, nil, nil)
	h := newHolder()
	s.use(h.handle)
	for _, hangUp := range []struct {
		name string
		call func(ctx context.Context)
	}{
		{"HTTP/1.1", func(ctx context.Context) { s.postCtx(ctx, h1(t)) }},
		{"HTTP/2", func(ctx context.Context) { s.postCtx(ctx, h2(t)) }},
		{"gRPC", func(ctx context.Context) { _, _ = s.grpc().ModelInfer(ctx, flatRequest(1)) }},
		{"gRPC stream", func(ctx context.Context) {
			stream, err := s.grpc().ModelStreamInfer(ctx)
			if err == nil && stream.Send(flatRequest(1)) == nil {
				_, _ = stream.Recv()
			}
		}},
		{"TCP", func(ctx context.Context) {
			c := s.tcp()
			body := flatBody(1)
			_, _ = fmt.Fprintf(c, "%sContent-Length: %d\r\n\r\n%s", inferHead, len(body), body)
			<-ctx.Done()
			_ = c.Close()
		}},
	} {
		t.Run(hangUp.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				hangUp.call(ctx)
			}()
			<-h.began
			cancel()
			if cause := <-h.ended; fault.Of(cause) != nil {
				t.Errorf("ended because of %v, want the caller's hanging up", cause)
			}
			<-done
		})
	}
	s.use(nil)
	if _, err := s.grpc().ModelInfer(t.Context(), flatRequest(1)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func (s *running) postCtx(ctx context.Context, c *http.Client) {
	r, err := http.NewRequestWithContext(ctx, "POST", s.url("/v2/models/flat/infer"), bytes.NewReader([]byte(flatBody(1))))
	if err != nil {
		s.t.Error(err)
		return
	}
	if resp, err := c.Do(r); err == nil {
		_ = resp.Body.Close()
	}
}
