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
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/infer"
)

// What holds of HTTP/1.1 holds where net/http answers all of it, too.
func TestWithoutLane(t *testing.T) {
	for _, tt := range []struct {
		name string
		test func(*testing.T)
	}{
		{"HeaderBombs", TestHeaderBombs}, {"LengthsThatLie", TestLengthsThatLie}, {"SlowCallersGoAway", TestSlowCallersGoAway},
		{"SlowReaders", TestSlowReaders}, {"ConnectionLimit", TestConnectionLimit}, {"DisconnectCancels", TestDisconnectCancels},
		{"DrainUnderLoad", TestDrainUnderLoad}, {"DrainEndsLongRequestsWithAnAnswer", TestDrainEndsLongRequestsWithAnAnswer},
		{"DrainCutsOffWhatDoesNotEnd", TestDrainCutsOffWhatDoesNotEnd}, {"DrainDoesNotWaitForTheIdle", TestDrainDoesNotWaitForTheIdle},
	} {
		t.Run(tt.name, tt.test)
	}
}

// both starts two servers of one handler, with lanes and without.
func both(t testing.TB, h http.HandlerFunc) (lane, plain *running) {
	t.Helper()
	wrap := func(http.Handler) http.Handler { return h }
	return start(t, nil, nil, wrap), start(t, nil, &httpserve.Options{NoLane: true}, wrap)
}

// reply is one answer, but for what the time puts into it.
type reply struct {
	Status int
	Header http.Header
	Body   string
	Coding []string
	Close  bool
	Broken bool // it ended too early
}

// talk sends pieces on one connection, ends its side, and reads all answers.
// whole is false when the server's reset may have lost some.
func (s *running) talk(t testing.TB, method string, pieces ...string) (all []reply, whole bool) {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	go func() { // the server may answer before it has read all
		for _, p := range pieces {
			_, _ = io.WriteString(c, p)
		}
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	text, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("after %q: %v", text, err)
	}
	r := bufio.NewReader(bytes.NewReader(text))
	for {
		if _, err := r.Peek(1); err != nil {
			return all, !errors.Is(err, syscall.ECONNRESET)
		}
		resp, readErr := http.ReadResponse(r, &http.Request{Method: method})
		if readErr != nil {
			if err == nil {
				t.Fatalf("%v in %q", readErr, text)
			}
			return all, false
		}
		body, readErr := io.ReadAll(resp.Body)
		resp.Header.Del("Date")
		all = append(all, reply{resp.StatusCode, resp.Header, string(body), resp.TransferEncoding, resp.Close, readErr != nil})
		if err != nil {
			whole = false
		}
	}
}

// echo answers with what it has got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s %d %q %v\n%q %v", r.Method, r.RequestURI, r.Host, r.ContentLength, body, r.Header, r.URL.Path, err != nil)
}

// shapes are requests of which two servers in a row may think differently, and
// usual ones. Each is followed by a request that one of them must not see.
var shapes = []struct{ name, text string }{
	{"usual", "POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"},
	{"usual GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"in turn, of other lengths", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\nabcPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\ndefPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nA: b\r\n\r\nabcdefghijkPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nA: b\r\n\r\n"},
	{"the same, with a length that begins like it", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3 \r\n\r\nabcPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3x\r\n\r\nabc"},
	{"CL and TE", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"TE and CL", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
	{"TE alone", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
	{"TE in other words", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
	{"TE with a space before the colon", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
	{"two equal lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
	{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"},
	{"lengths in one", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc"},
	{"a plus", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc"},
	{"a minus", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc"},
	{"hexadecimal", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc"},
	{"leading zeros", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 003\r\n\r\nabc"},
	{"a length of 20 digits", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551617\r\n\r\na"},
	{"an empty length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n"},
	{"a length with spaces", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:   3  \r\n\r\nabc"},
	{"a length with a tab", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\t3\r\n\r\nabc"},
	{"a length in small letters", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"},
	{"a space before a field", "POST / HTTP/1.1\r\nHost: x\r\n Content-Length: 3\r\n\r\nabc"},
	{"a space before the first field", "POST / HTTP/1.1\r\n Host: x\r\nContent-Length: 3\r\n\r\nabc"},
	{"a space before the colon", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc"},
	{"a folded field", "POST / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\nContent-Length: 3\r\n\r\nabc"},
	{"no length", "POST / HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"GET with a body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"},
	{"bare line feeds", "POST / HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc"},
	{"one bare line feed", "POST / HTTP/1.1\r\nHost: x\nContent-Length: 3\r\n\r\nabc"},
	{"a bare line feed at the end", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\nabc"},
	{"a bare carriage return", "POST / HTTP/1.1\r\nHost: x\rContent-Length: 3\r\n\r\nabc"},
	{"a carriage return more", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\r\n\r\nabc"},
	{"an empty line after a POST", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\r\n"},
	{"many empty lines after a POST", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n\r\n"},
	{"an empty line first", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n"},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n"},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n"},
	{"bytes above ASCII", "GET / HTTP/1.1\r\nHost: x\r\nA: \xc3\xa9\r\n\r\n"},
	{"no name", "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n"},
	{"no colon", "GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n"},
	{"no Host", "GET / HTTP/1.1\r\nA: b\r\n\r\n"},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"},
	{"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
	{"a Host with a path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"},
	{"a Host with a port", "GET / HTTP/1.1\r\nHost: x.example:8080\r\n\r\n"},
	{"an absolute target", "GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"an asterisk", "GET * HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"two slashes", "GET //y/a HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"a fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"a bad escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"a target with a space", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: x\r\n\r\n"},
	{"HTTP/1.0, kept", "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n"},
	{"http/1.1", "GET / http/1.1\r\nHost: x\r\n\r\n"},
	{"no version", "GET /\r\nHost: x\r\n\r\n"},
	{"small letters", "get / HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"another method", "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"},
	{"HEAD", "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
	{"OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"expects", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 200-ok\r\n\r\nabc"},
	{"closes", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
	{"closes in capitals", "GET / HTTP/1.1\r\nHost: x\r\nConnection: CLOSE\r\n\r\n"},
	{"keeps and closes", "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n"},
	{"keeps", "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"},
	{"keeps, then closes", "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"},
	{"upgrades", "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
	{"trailers", "POST / HTTP/1.1\r\nHost: x\r\nTrailer: A\r\nContent-Length: 3\r\n\r\nabc"},
	{"pragma", "GET / HTTP/1.1\r\nHost: x\r\nPragma: no-cache\r\n\r\n"},
	{"a field twice", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\na:  c \r\n\r\n"},
	{"99 fields more", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 99) + "\r\n"},
	{"101 fields more", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 101) + "\r\n"},
	{"15 KiB of header", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("b", 15<<10) + "\r\n\r\n"},
	{"30 KiB of header", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("b", 30<<10) + "\r\n\r\n"},
	{"a body of 100 KB", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("0123456789", 10000)},
	{"the same header with something after it", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"a preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"},
}

// A lane answers what net/http answers, whatever comes and however it is cut.
func TestLaneAnswersAsNetHTTP(t *testing.T) {
	lane, plain := both(t, echo)
	const next = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			for _, text := range []string{tt.text, tt.text + next, next + tt.text + next, tt.text + tt.text} {
				for _, cut := range []int{0, 1, 5, len(text) / 3, len(text) / 2, len(text) - 2} {
					compare(t, lane, plain, text, cut)
				}
			}
		})
	}
}

// compare fails the test unless both servers answer text in the same way.
func compare(t testing.TB, lane, plain *running, text string, cut int) {
	t.Helper()
	method := "GET"
	if strings.HasPrefix(text, "HEAD") {
		method = "HEAD"
	}
	cut = max(0, min(cut, len(text)))
	want, wantAll := plain.talk(t, method, text[:cut], text[cut:])
	got, gotAll := lane.talk(t, method, text[:cut], text[cut:])
	if !wantAll || !gotAll { // a reset loses answers that were sent
		n := min(len(want), len(got))
		want, got = want[:n], got[:n]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%.300q, cut at %d (-net/http +lane):\n%s", text, cut, diff)
	}
}

// FuzzLane looks for bytes that a lane answers in another way than net/http.
func FuzzLane(f *testing.F) {
	for _, s := range shapes {
		if len(s.text) < 1000 {
			f.Add([]byte(s.text), 0)
			f.Add([]byte(s.text+s.text), 7)
		}
	}
	lane, plain := both(f, echo)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		if len(data) > 64<<10 || bytes.Contains(data, []byte("HEAD")) || bytes.Contains(data, []byte("PRI * HTTP/2.0")) {
			return // an answer without a body would be read wrongly; HTTP/2 is no lane's
		}
		compare(t, lane, plain, string(data), cut)
	})
}

// What handlers do with an answer has the effect that it has in net/http.
func TestLaneWritesAsNetHTTP(t *testing.T) {
	lines := func(n int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), n) }
	tests := []struct {
		name   string
		handle http.HandlerFunc
	}{
		{"nothing", func(http.ResponseWriter, *http.Request) {}},
		{"a status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }},
		{"a status of no name", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) }},
		{"two statuses", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); _, _ = w.Write(lines(1)) }},
		{"not modified", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "16")
			w.WriteHeader(304)
		}},
		{"little", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(lines(3)) }},
		{"in pieces", func(w http.ResponseWriter, _ *http.Request) {
			for range 5 {
				_, _ = w.Write(lines(1))
			}
		}},
		{"much", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(lines(5000)) }},
		{"much in pieces", func(w http.ResponseWriter, _ *http.Request) {
			for range 500 {
				_, _ = w.Write(lines(20))
			}
		}},
		{"flushed", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(lines(1))
			w.(http.Flusher).Flush()
			_, _ = w.Write(lines(2))
		}},
		{"flushed first", func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(lines(2))
		}},
		{"of known length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "80")
			_, _ = w.Write(lines(2))
			_, _ = w.Write(lines(3))
		}},
		{"of known length, flushed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "80")
			_, _ = w.Write(lines(2))
			w.(http.Flusher).Flush()
			_, _ = w.Write(lines(3))
		}},
		{"of known length, large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1600000")
			_, _ = w.Write(lines(100000))
		}},
		{"longer than it says", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "16")
			_, _ = w.Write(lines(1))
			if n, err := w.Write(lines(1)); n != 0 || !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
		}},
		{"shorter than it says", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(lines(1))
		}},
		{"a type", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			_, _ = w.Write(lines(1))
		}},
		{"no type", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write(lines(1))
		}},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<!DOCTYPE html><p>") }},
		{"a coding", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "x")
			_, _ = w.Write(lines(1))
		}},
		{"values that would be lines", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["A"] = []string{"b\r\nC: d", "\r\n\r\n<p>", " e "}
			w.Header()["B\r\nC"] = []string{"d"}
			w.Header()["C D"] = []string{"e"}
		}},
		{"a field after the status", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			w.Header().Set("A", "b")
			_, _ = w.Write(lines(1))
		}},
		{"close", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }},
		{"hints", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			w.WriteHeader(200)
		}},
		{"a panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") }},
		{"a panic after some", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(lines(1))
			w.(http.Flusher).Flush()
			panic("on purpose")
		}},
		{"an abort", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(lines(1))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{"the body is not read", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(lines(1)) }},
		{"the body is read after", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(lines(1))
			_, _ = io.Copy(io.Discard, r.Body)
		}},
		{"the body is closed", func(w http.ResponseWriter, r *http.Request) {
			_ = r.Body.Close()
			_, err := r.Body.Read(make([]byte, 1))
			fmt.Fprint(w, err)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lane, plain := both(t, tt.handle)
			for _, text := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"} {
				compare(t, lane, plain, text+text, 0)
			}
			for _, s := range []*running{lane, plain} {
				if said := strings.Contains(s.log.String(), "panic serving"); said != strings.HasPrefix(tt.name, "a panic") {
					t.Errorf("the log:\n%s", s.log)
				}
			}
		})
	}
}

// A connection ends when it was idle for as long as it may be, counted from its
// last answer, and in time when a header is begun and not ended.
func TestLaneTimes(t *testing.T) {
	opts := &httpserve.Options{IdleTimeout: 300 * time.Millisecond, HeaderTimeout: 250 * time.Millisecond}
	s := start(t, nil, opts, nil)
	get := "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, half := range map[string]string{"idle": "", "half a header": "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.tcp()
			r := bufio.NewReader(c)
			var last time.Time
			for begun := time.Now(); time.Since(begun) < 2*opts.IdleTimeout; { // not idle, for longer than it may be
				last = time.Now()
				if _, err := io.WriteString(c, get); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			if _, err := io.WriteString(c, half); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
				t.Errorf("%q %v, want the end", b, err)
			}
			if took := time.Since(last); half == "" && took < opts.IdleTimeout {
				t.Errorf("ended after %v, want %v at least", took, opts.IdleTimeout)
			}
		})
	}
}

// A caller that sends requests and reads no answer does not keep a handler.
func TestLaneSlowReaders(t *testing.T) {
	t.Parallel() // it waits most of the time
	var handled atomic.Int64
	s := start(t, nil, &httpserve.Options{BodyTimeout: 50 * time.Millisecond}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			handled.Add(1)
			_, _ = w.Write(make([]byte, 4000))
		})
	})
	c := s.tcp()
	piece := strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
	for {
		if _, err := io.WriteString(c, piece); err != nil {
			if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
				break
			}
			t.Fatalf("after %d requests: %v", handled.Load(), err)
		}
	}
}

// A deadline is kept although no timer is set for it.
func TestLaneDeadline(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, &oip.Options{Timeout: 1100 * time.Millisecond}, nil, nil)
	s.use(func(ctx context.Context, _ *infer.Request) (*infer.Response, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		<-child.Done()
		return nil, child.Err()
	})
	if status, body, err := s.post(h1(t), "flat", flatBody(1)); err != nil || status != 504 {
		t.Errorf("%d %v %s, want 504", status, err, body)
	}
}

// Nothing of a request is there for the next one: neither its context, nor its
// body, nor the fields of its answer.
func TestLaneSharesNothing(t *testing.T) {
	var before *http.Request
	s := start(t, nil, nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(w.Header()) > 0 {
				t.Errorf("fields of another answer: %v", w.Header())
			}
			w.Header().Set("A", "b")
			if r.Context().Err() != nil {
				t.Error("the context has ended")
			}
			if before != nil {
				if before.Context().Err() == nil {
					t.Error("the context of the request before has not ended")
				}
				if b, err := io.ReadAll(before.Body); len(b) > 0 || err == nil {
					t.Errorf("the body before reads %q, %v", b, err)
				}
				if want := "1"; before.Header.Get("Content-Length") != want || before.ContentLength != 1 {
					t.Errorf("the length before is %q, want %q", before.Header.Get("Content-Length"), want)
				}
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			before = r
			_, _ = w.Write(body)
		})
	})
	c := s.tcp()
	r := bufio.NewReader(c)
	for _, body := range []string{"a", "bc"} {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); string(got) != body || err != nil {
			t.Errorf("%q %v, want %q", got, err, body)
		}
	}
}
