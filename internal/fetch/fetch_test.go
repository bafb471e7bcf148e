package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/runtime/fault"
)

func TestMain(m *testing.M) {
	if os.Getenv("FETCH_TEST_PROCESS") != "" {
		os.Exit(process())
	}
	goleak.VerifyTestMain(m)
}

// bytesOf are n bytes that look like nothing, the same every time.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func sumOfBytes(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// server is a TLS server on loopback whose handler is what a test wants of a place.
func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func trust(servers ...*httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	for _, s := range servers {
		pool.AddCert(s.Certificate())
	}
	return &tls.Config{RootCAs: pool, ServerName: "example.com"}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// newTest is a Fetcher that may reach s, waits for nothing, and caches in dir.
func newTest(s *httptest.Server, dir string, change func(*Options)) *Fetcher {
	o := &Options{Dirs: []string{dir}, Getenv: env(PrivateHosts, "127.0.0.1")}
	if s != nil {
		o.TLS = trust(s)
	}
	if change != nil {
		change(o)
	}
	f := New(o)
	f.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return f
}

// names are the files in dir, the sum of one model taken out of them.
func names(t *testing.T, dir, sum string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, e := range list {
		all = append(all, strings.ReplaceAll(e.Name(), sum, "SUM"))
	}
	return all
}

// behaviour is what a place does with the nth request, from 0.
type behaviour func(n int, w http.ResponseWriter, r *http.Request, content []byte)

// good serves as it should, with a strong ETag.
func good(w http.ResponseWriter, r *http.Request, content []byte) {
	w.Header().Set("ETag", `"`+sumOfBytes(content)[:8]+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// cut sends the header of the whole and n bytes, and hangs up.
func cut(w http.ResponseWriter, content []byte, etag string, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	_, _ = w.Write(content[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// A download ends with the right bytes or a clean failure, whatever the other
// side does, and at no time is there a model that is not whole.
func TestDownload(t *testing.T) {
	content := bytesOf(3 << 20)
	const half = 3 << 19
	tag := func(b []byte) string { return `"` + sumOfBytes(b)[:8] + `"` }
	other := bytes.Repeat([]byte("x"), len(content))
	for _, c := range []struct {
		name     string
		do       behaviour
		code     fault.Code
		want     string   // in the error
		requests []string // Range of each
		change   func(*Options)
	}{
		{name: "as it should be", do: func(_ int, w http.ResponseWriter, r *http.Request, b []byte) { good(w, r, b) }, requests: []string{""}},
		{name: "of unknown length", do: func(_ int, w http.ResponseWriter, _ *http.Request, b []byte) {
			for p := range slices.Chunk(b, 100_000) {
				_, _ = w.Write(p)
				w.(http.Flusher).Flush()
			}
		}, requests: []string{""}},
		{name: "503, then 200", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n < 2 {
				w.WriteHeader(503)
				return
			}
			good(w, r, b)
		}, requests: []string{"", "", ""}},
		{name: "503 for ever", do: func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(503) }, code: fault.Unavailable, want: "503", requests: []string{"", "", "", "", "", ""}},
		{name: "429, then 200", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(429)
				return
			}
			good(w, r, b)
		}, requests: []string{"", ""}},
		{name: "not there", do: func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(404) }, code: fault.BadConfig, want: "404", requests: []string{""}},
		{name: "not for us", do: func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(403) }, code: fault.BadConfig, want: "403", requests: []string{""}},
		{name: "cut in the middle, then resumed", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				cut(w, b, tag(b), half)
			}
			if r.Header.Get("If-Range") != tag(b) {
				w.WriteHeader(400)
				return
			}
			good(w, r, b)
		}, requests: []string{"", "bytes=1572864-"}},
		{name: "cut again and again", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			cut(w, b, tag(b), 0)
		}, code: fault.Unavailable, want: "unexpected EOF", requests: []string{"", "", "", "", "", ""}},
		{name: "changed in the middle, told by If-Range", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				cut(w, other, tag(other), half)
			}
			good(w, r, b)
		}, requests: []string{"", "bytes=1572864-"}},
		{name: "another ETag on 206", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				cut(w, other, tag(other), half)
			}
			r.Header.Del("If-Range")
			good(w, r, b)
		}, requests: []string{"", "bytes=1572864-", ""}},
		{name: "changed in the middle, told by nothing", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				cut(w, other, "", half)
			}
			r.Header.Del("If-Range")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		}, requests: []string{"", "bytes=1572864-", ""}},
		{name: "206 when 200 was asked", do: func(_ int, w http.ResponseWriter, r *http.Request, b []byte) {
			r.Header.Set("Range", "bytes=0-")
			good(w, r, b)
		}, code: fault.Unavailable, want: "want status 200 for the whole, got 206", requests: []string{"", "", "", "", "", ""}},
		{name: "206 of another place", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			switch n {
			case 0:
				cut(w, b, tag(b), half)
			case 1:
				r.Header.Set("Range", "bytes=100-")
			}
			good(w, r, b)
		}, requests: []string{"", "bytes=1572864-", ""}},
		{name: "416", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			switch n {
			case 0:
				cut(w, b, tag(b), half)
			case 1:
				w.WriteHeader(416)
				return
			}
			good(w, r, b)
		}, requests: []string{"", "bytes=1572864-", ""}},
		{name: "200 when the rest was asked", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				cut(w, b, tag(b), half)
			}
			r.Header.Del("Range")
			good(w, r, b)
		}, requests: []string{"", "bytes=1572864-"}},
		{name: "shorter than it should be", do: func(_ int, w http.ResponseWriter, r *http.Request, b []byte) { good(w, r, b[:100]) }, code: fault.BadModel, want: "want sha256:", requests: []string{""}},
		{name: "longer than it says", do: func(_ int, w http.ResponseWriter, _ *http.Request, b []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)-1))
			_, _ = w.Write(b[:len(b)-1])
		}, code: fault.BadModel, want: "want sha256:", requests: []string{""}},
		{name: "another file", do: func(_ int, w http.ResponseWriter, r *http.Request, _ []byte) { good(w, r, other) }, code: fault.BadModel, want: "want sha256:", requests: []string{""}},
		{name: "larger than allowed, and says so", do: func(_ int, w http.ResponseWriter, r *http.Request, b []byte) { good(w, r, b) }, code: fault.BadModel,
			want: "want a model of at most 1048576 bytes, got 3145728", requests: []string{""}, change: func(o *Options) { o.MaxBytes = 1 << 20 }},
		{name: "larger than allowed, without an end", do: func(_ int, w http.ResponseWriter, r *http.Request, b []byte) {
			for {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, code: fault.BadModel, want: "want a model of at most 1048576 bytes", requests: []string{""}, change: func(o *Options) { o.MaxBytes = 1 << 20 }},
		{name: "compressed all the same", do: func(_ int, w http.ResponseWriter, r *http.Request, b []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			good(w, r, b)
		}, code: fault.BadConfig, want: "Content-Encoding", requests: []string{""}},
		{name: "a drip", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				w.Header().Set("Content-Length", fmt.Sprint(len(b)))
				w.Header().Set("ETag", tag(b))
				_, _ = w.Write(b[:half])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return
			}
			good(w, r, b)
		}, requests: []string{"", "bytes=1572864-"}, change: func(o *Options) { o.Stall = 300 * time.Millisecond }},
		{name: "no answer", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				<-r.Context().Done()
				return
			}
			good(w, r, b)
		}, requests: []string{"", ""}, change: func(o *Options) { o.Stall = 300 * time.Millisecond }},
		{name: "hung up before an answer", do: func(n int, w http.ResponseWriter, r *http.Request, b []byte) {
			if n == 0 {
				panic(http.ErrAbortHandler)
			}
			good(w, r, b)
		}, requests: []string{"", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "models")
			sum := sumOfBytes(content)
			var n atomic.Int32
			requests := make(chan string, 20)
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				requests <- r.Header.Get("Range")
				if _, err := os.Stat(filepath.Join(dir, sum+".onnx")); err == nil {
					t.Error("the model was there before all of it had come")
				}
				c.do(int(n.Add(1))-1, w, r, content)
			})
			f := newTest(s, dir, c.change)
			got, err := f.Get(t.Context(), s.URL+"/m.onnx?sig=secret", sum)
			close(requests)
			var asked []string
			for r := range requests {
				asked = append(asked, r)
			}
			if diff := cmp.Diff(c.requests, asked); diff != "" {
				t.Errorf("ranges (-want +got):\n%s", diff)
			}
			if c.code != fault.OK {
				if fault.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.want) || strings.Contains(fmt.Sprint(err), "secret") {
					t.Fatalf("want %v with %q and without the query, got %v: %v", c.code, c.want, fault.CodeOf(err), err)
				}
				if c.code == fault.BadModel {
					if diff := cmp.Diff([]string{}, names(t, dir, sum)); diff != "" {
						t.Errorf("files (-want +got):\n%s", diff)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(got.Path)
			if err != nil || !bytes.Equal(b, content) {
				t.Errorf("want the content, got %d bytes (%v)", len(b), err)
			}
			if diff := cmp.Diff([]string{"SUM.onnx"}, names(t, dir, sum)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if err := got.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Handshakes that fail are tried again; a certificate that is not trusted is not.
func TestDownloadTLS(t *testing.T) {
	content := bytesOf(1000)
	s := server(t, func(w http.ResponseWriter, r *http.Request) { good(w, r, content) })
	var dials atomic.Int32
	// A place whose first two connections end in the middle of the handshake.
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	go func() {
		for {
			in, err := front.Accept()
			if err != nil {
				return
			}
			switch dials.Add(1) {
			case 1:
				in.Close()
				continue
			case 2:
				_, _ = in.Write([]byte("HTTP/1.1 400 this is no TLS\r\n\r\n"))
				in.Close()
				continue
			}
			out, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				in.Close()
				return
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
	url := "https://" + front.Addr().String() + "/m.onnx"
	file, err := newTest(s, t.TempDir(), nil).Get(t.Context(), url, sumOfBytes(content))
	if err != nil || dials.Load() != 3 {
		t.Fatalf("want a model after three connections, got %d: %v", dials.Load(), err)
	}
	file.Close()

	dials.Store(2)
	_, err = newTest(nil, t.TempDir(), func(o *Options) { o.TLS = nil }).Get(t.Context(), url, sumOfBytes(content))
	if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "certificate") || dials.Load() != 3 {
		t.Errorf("want bad_config about the certificate after one connection, got %d connections: %v", dials.Load()-2, err)
	}
}

// What one process leaves, the next one goes on with, if it is of the same object.
func TestResumeAcross(t *testing.T) {
	content := bytesOf(1 << 20)
	sum := sumOfBytes(content)
	for _, c := range []struct {
		name  string
		spoil func(part, state string) error
		want  string
	}{
		{"as it was left", func(_, _ string) error { return nil }, "bytes=600000-"},
		{"damaged", func(part, _ string) error {
			return os.WriteFile(part, bytes.Repeat([]byte{7}, 600_000), 0o600)
		}, "bytes=600000-,"},
		{"too long", func(part, _ string) error { return os.Truncate(part, 2<<20) }, ""},
		{"state torn", func(_, state string) error { return os.Truncate(state, 20) }, ""},
		{"state lost", func(_, state string) error { return os.Remove(state) }, ""},
		{"whole", func(part, _ string) error { return os.WriteFile(part, content, 0o600) }, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			asked := make(chan string, 10)
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Header.Get("Range")
				if len(asked) == 1 {
					cut(w, content, `"a"`, 600_000)
				}
				w.Header().Set("ETag", `"a"`)
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			})
			f := newTest(s, dir, func(o *Options) { o.Attempts = 1 })
			if _, err := f.Get(t.Context(), s.URL+"/m", sum); fault.CodeOf(err) != fault.Unavailable {
				t.Fatalf("want unavailable, got %v", err)
			}
			if diff := cmp.Diff([]string{"SUM.part", "SUM.state"}, names(t, dir, sum)); diff != "" {
				t.Fatalf("files (-want +got):\n%s", diff)
			}
			if err := c.spoil(filepath.Join(dir, sum+".part"), filepath.Join(dir, sum+".state")); err != nil {
				t.Fatal(err)
			}
			file, err := newTest(s, dir, nil).Get(t.Context(), s.URL+"/m", sum)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			close(asked)
			<-asked
			var got []string
			for r := range asked {
				got = append(got, r)
			}
			ranges := strings.Join(got, ",")
			if len(got) == 0 {
				ranges = "-"
			}
			if ranges != c.want {
				t.Errorf("want ranges %q, got %q", c.want, ranges)
			}
		})
	}
}
