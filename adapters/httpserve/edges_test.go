package httpserve_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// More of what handlers write: sizes at the edges of what is held back, joined
// and sniffed, and fields that frame an answer.
func TestLaneWritesAtItsEdges(t *testing.T) {
	type form struct {
		name   string
		handle http.HandlerFunc
		framed bool // in another way than by net/http, which holds less back
	}
	text := func(n int) string { return strings.Repeat("x", n) }
	tests := []form{
		{"a type told by the second piece", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "  ")
			_, _ = io.WriteString(w, "<html>"+text(6000))
		}, false},
		{"a type told by the first piece", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>"+text(600))
			_, _ = io.WriteString(w, "\x00"+text(6000))
		}, false},
		{"a type told by one byte", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\x00") }, false},
		{"flushed before its type", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, text(5000))
		}, false},
		{"no bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) }, false},
		{"no bytes before some", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil); _, _ = io.WriteString(w, "a") }, false},
		{"a date", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
			_, _ = io.WriteString(w, "a")
		}, false},
		{"keep-alive", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "keep-alive")
			_, _ = io.WriteString(w, "a")
		}, false},
		{"many values", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["B"] = []string{"1", "2"}
			w.Header()["A"] = []string{"3"}
			w.Header()["lower"] = []string{"4"}
		}, false},
		{"a length of nothing", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") }, false},
		{"a length of nothing, with a type", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "0")
			w.Header().Set("Content-Type", "a/b")
			w.WriteHeader(201)
		}, false},
		{"a status and a length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			w.Header().Set("Content-Type", "a/b")
			w.WriteHeader(201)
			_, _ = io.WriteString(w, "ab")
		}, false},
		{"reset content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(205) }, false},
		{"processing, twice", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(102)
			w.WriteHeader(102)
			w.WriteHeader(404)
		}, false},
		{"a status too small", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) }, false},
		{"a status too large", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(1000) }, false},
		{"the largest status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(999) }, false},
		{"what the writer says", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			n1, err1 := w.Write([]byte("ab"))
			n2, err2 := w.Write([]byte("cd"))
			n3, err3 := w.Write(nil)
			if n1 != 2 || err1 != nil || n2 != 0 || err2 == nil || n3 != 0 || err3 != nil {
				panic(fmt.Sprint(n1, err1, n2, err2, n3, err3))
			}
		}, false},
		{"the body in pieces", func(w http.ResponseWriter, r *http.Request) {
			var b [2]byte
			for {
				n, err := r.Body.Read(b[:])
				fmt.Fprintf(w, "%q %v;", b[:n], n > 0)
				if err != nil {
					break
				}
			}
		}, false},
		{"what the request says", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Method, r.RequestURI, r.URL, r.Proto, r.Host, r.Close, r.ContentLength, r.TransferEncoding, r.Header, r.RemoteAddr != "",
				r.Context().Value(http.ServerContextKey) != nil, r.Context().Value(http.LocalAddrContextKey) != nil, r.Pattern)
		}, false},
		{"deadlines of its own", func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			err1, err2 := c.SetReadDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(time.Now().Add(time.Hour))
			b, err := io.ReadAll(r.Body)
			fmt.Fprint(w, err1, err2, string(b), err, text(100_000))
		}, false},
	}
	for _, n := range []int{1, 511, 512, 513, 2047, 2048, 4095, 4096, 4097, 8192, 16383, 16384, 16385, 65536, 70000} {
		for _, pieces := range []int{1, 2, 7} {
			tests = append(tests, form{fmt.Sprintf("%d bytes in %d", n, pieces), func(w http.ResponseWriter, _ *http.Request) {
				writePieces(w, n, pieces)
			}, true}, form{fmt.Sprintf("%d bytes of known length in %d", n, pieces), func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(n))
				w.Header().Set("Content-Type", "a/b")
				writePieces(w, n, pieces)
			}, false})
		}
	}
	// One server of each kind serves all of them.
	lane, plain := both(t, func(w http.ResponseWriter, r *http.Request) {
		var i int
		_, _ = fmt.Sscanf(r.URL.RawQuery, "%d", &i)
		tests[i].handle(w, r)
	})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			get, post := fmt.Sprintf("GET /a?%d HTTP/1.1\r\nHost: x\r\nB: c\r\n\r\n", i), fmt.Sprintf("POST /?%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", i)
			for _, text := range []string{get + get, post + get + post} {
				if !tt.framed {
					compare(t, lane, plain, text, 0)
					continue
				}
				want, _ := plain.talk(t, "GET", text)
				got, _ := lane.talk(t, "GET", text)
				for _, all := range [][]reply{want, got} {
					for i := range all {
						all[i].Coding = nil
						all[i].Header.Del("Content-Length")
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-net/http +lane):\n%s", diff)
				}
			}
		})
	}
}

func writePieces(w io.Writer, n, pieces int) {
	text := strings.Repeat("0123456789abcde\n", n/16+1)[:n]
	for i := range pieces {
		_, _ = io.WriteString(w, text[i*n/pieces:(i+1)*n/pieces])
	}
}

// Headers at the edges of what a lane reads at once, remembers and takes.
func TestLaneReadsAtItsEdges(t *testing.T) {
	lane, plain := both(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, len(r.Header.Get("A")), r.Header.Get("Content-Length"), r.ContentLength, len(b), err)
	})
	for _, n := range []int{10, 3900, 4000, 4096, 4097, 5000, 8150, 16300, 16384, 16385, 17000, 40000} {
		head := "\r\nHost: x\r\nA: "
		head += strings.Repeat("a", max(n-len("GET / HTTP/1.1")-len(head)-4, 1)) + "\r\n"
		get := "GET / HTTP/1.1" + head + "\r\n"
		post := func(length int) string {
			return "POST / HTTP/1.1" + head + fmt.Sprintf("Content-Length: %d\r\n\r\n", length) + strings.Repeat("b", length)
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			for _, text := range []string{get + get, post(0) + post(9) + post(10) + post(5) + post(5), get + post(5000) + get, post(3) + "\r\n" + get, post(3) + "\r\n\r\n" + get, post(3) + "\r\n\r\n\r\n" + get, post(3) + "\r\n\r\n\n" + get, get + "\r\n" + get} {
				for _, cut := range []int{0, 5, 20, n / 2, n - 1, n, n + 1} {
					compare(t, lane, plain, text, cut)
				}
			}
		})
	}
}

// A header that is refused is refused behind a body of known length too that
// came after one in chunks, whatever that body ends with.
func TestNothingHidesBehindABody(t *testing.T) {
	s := start(t, nil, nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, r.URL.Path, len(b))
		})
	})
	const (
		chunked = "POST /1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\ncd\r\n0\r\n\r\n"
		known   = "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab\ncd"
		bad     = "POST /3 HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
	)
	far := "POST /3 HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\nB: " + strings.Repeat("b", 20_000) + "\r\nContent-Length: 0\r\n\r\n" // more than is read ahead
	for _, pieces := range [][]string{{chunked, known, bad}, {chunked, known, far}, {chunked, chunked, far}} {
		all, _ := s.talk(t, "POST", pieces...)
		var got []int
		for _, r := range all {
			got = append(got, r.Status)
		}
		if diff := cmp.Diff([]int{200, 200, 400}, got); diff != "" {
			t.Errorf("%.60q (-want +got):\n%s", pieces, diff)
		}
	}
}

// What the socket does not take at once is written all the same, and the next
// answer on the connection too.
func TestLaneWritesWhatTheSocketDoesNotTake(t *testing.T) {
	began := make(chan struct{}, 2)
	text := strings.Repeat("0123456789abcdef", 1<<20)
	s := start(t, nil, nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			began <- struct{}{}
			w.Header().Set("Content-Type", "a/b")
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			if n, err := io.WriteString(w, text); n != len(text) || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
		})
	})
	c := s.tcp()
	r := bufio.NewReader(c)
	for range 2 {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-began // nothing is read before: 16 MiB are more than the kernel keeps
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != text {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
}
