package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kept is an Upload that keeps its parts, and fails where it is told to.
type kept struct {
	mu          sync.Mutex
	object      []byte
	parts       map[int][]byte
	begun, done int
	dropped     int
	most, now   int
	fail        string
	hold        chan struct{} // where it is not nil, parts wait for it or for their context
}

var errTold = errors.New("told to fail")

func (k *kept) told(what string) error {
	if k.fail == what {
		return errTold
	}
	return nil
}

func (k *kept) Put(_ context.Context, data []byte) error {
	k.object, k.done = bytes.Clone(data), k.done+1
	return k.told("put")
}

func (k *kept) Begin(context.Context) error {
	k.begun++
	k.parts = map[int][]byte{}
	return k.told("begin")
}

func (k *kept) Part(ctx context.Context, index int, from int64, data []byte) error {
	k.mu.Lock()
	if k.now++; k.now > k.most {
		k.most = k.now
	}
	k.mu.Unlock()
	if k.hold != nil {
		select {
		case <-k.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now--
	if from != int64(index)*1000 || len(data) != 1000 {
		return errors.New("part " + strconv.Itoa(index) + " is from " + strconv.FormatInt(from, 10))
	}
	k.parts[index] = bytes.Clone(data)
	return k.told("part")
}

func (k *kept) Finish(_ context.Context, index int, from int64, last []byte) error {
	if from != int64(index)*1000 || len(last) == 0 {
		return errors.New("the last part is from " + strconv.FormatInt(from, 10))
	}
	for i := range index {
		k.object = append(k.object, k.parts[i]...)
	}
	k.object, k.done = append(k.object, last...), k.done+1
	return k.told("finish")
}

func (k *kept) Drop(ctx context.Context) {
	k.dropped++
	if ctx.Err() != nil {
		k.dropped += 100
	}
}

func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func TestWriterCutsObjects(t *testing.T) {
	for _, n := range []int{0, 1, 999, 1000, 1001, 2000, 2001, 9_999} {
		for _, piece := range []int{1, 7, 1000, 5000} {
			k := &kept{}
			w := wire.NewWriter(t.Context(), "op", "key", k, wire.Parts{Size: 1000})
			want := text(n)
			for rest := want; len(rest) > 0; {
				m := min(piece, len(rest))
				if got, err := w.Write(rest[:m]); got != m || err != nil {
					t.Fatalf("Write: %d, %v", got, err)
				}
				rest = rest[m:]
			}
			if err := w.Commit(t.Context()); err != nil {
				t.Fatalf("%d bytes in pieces of %d: %v", n, piece, err)
			}
			begun := 0
			if n > 1000 {
				begun = 1
			}
			if !bytes.Equal(k.object, want) || k.done != 1 || k.begun != begun || k.dropped != 0 || k.most > 2 {
				t.Errorf("%d bytes in pieces of %d: %d are kept, %d times done, %d begun, %d dropped, %d parts at once", n, piece, len(k.object), k.done, k.begun, k.dropped, k.most)
			}
		}
	}
}

func TestWriterThatFails(t *testing.T) {
	for _, c := range []struct {
		fail          string
		n             int
		done, dropped int
	}{{"put", 10, 1, 0}, {"begin", 5000, 0, 0}, {"part", 5000, 0, 1}, {"finish", 5000, 1, 1}} {
		k := &kept{fail: c.fail}
		w := wire.NewWriter(t.Context(), "op", "key", k, wire.Parts{Size: 1000})
		_, early := w.Write(text(c.n))
		err := w.Commit(t.Context())
		if !errors.Is(err, errTold) || fault.CodeOf(err) != fault.Unavailable || early != nil && !errors.Is(early, errTold) {
			t.Errorf("%s: got %v and %v, want what was told, Unavailable", c.fail, early, err)
		}
		if k.done != c.done || k.dropped != c.dropped {
			t.Errorf("%s: %d done, %d dropped; want %d and %d", c.fail, k.done, k.dropped, c.done, c.dropped)
		}
	}
}

func TestWriterThatEndsEarly(t *testing.T) {
	for name, end := range map[string]func(*wire.Writer, context.CancelFunc) error{
		"aborted": func(w *wire.Writer, _ context.CancelFunc) error { w.Abort(); return context.Canceled },
		"canceled": func(w *wire.Writer, cancel context.CancelFunc) error {
			cancel()
			return w.Commit(context.WithoutCancel(t.Context()))
		},
		"commit canceled": func(w *wire.Writer, _ context.CancelFunc) error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			return w.Commit(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := &kept{hold: make(chan struct{})}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := wire.NewWriter(ctx, "op", "key", k, wire.Parts{Size: 1000})
			if _, err := w.Write(text(2500)); err != nil { // two parts that wait
				t.Fatal(err)
			}
			if err := end(w, cancel); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want Canceled", err)
			}
			if k.done != 0 || k.dropped != 1 || k.now != 2 {
				t.Errorf("%d done, %d dropped by a context of its own, %d parts begun; want 0, 1, 2", k.done, k.dropped, k.now)
			}
			if _, err := w.Write([]byte("more")); err == nil {
				t.Error("it takes more")
			}
		})
	}
}

func TestWriterBoundsParts(t *testing.T) {
	k := &kept{}
	w := wire.NewWriter(t.Context(), "op", "key", k, wire.Parts{Size: 1000, Most: 3})
	if _, err := w.Write(text(3000)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text(1)); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("a fourth part: got %v, want TooLarge", err)
	}
	if err := w.Commit(t.Context()); fault.CodeOf(err) != fault.TooLarge || k.dropped != 1 {
		t.Errorf("Commit: got %v, dropped %d", err, k.dropped)
	}
}

func client(t *testing.T, h http.HandlerFunc) (*wire.Client, func() *url.URL) {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &wire.Client{HTTP: wire.NewHTTP(), Pause: time.Millisecond, Read: func(*http.Response, []byte) (string, string) { return "", "" }}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c, func() *url.URL { return wire.At(u, "a b", "") }
}

func TestAttempts(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []int
		want    fault.Code
		tries   int
	}{
		{"at once", []int{200}, fault.OK, 1},
		{"in the end", []int{500, 503, 429, 408, 200}, fault.OK, 5},
		{"never", []int{500, 500, 500, 500, 500, 200}, fault.Unavailable, 5},
		{"denied", []int{403, 200}, fault.Denied, 1},
		{"not there", []int{404, 200}, fault.NotFound, 1},
		{"wrong", []int{400, 200}, fault.Invalid, 1},
		{"fine though", []int{412, 200}, fault.OK, 1},
		{"a redirect", []int{301, 200}, fault.Invalid, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			cl, at := client(t, func(w http.ResponseWriter, r *http.Request) {
				n := asked.Add(1)
				body, _ := io.ReadAll(r.Body)
				if string(body) != "body" || r.URL.EscapedPath() != "/a%20b" {
					t.Errorf("attempt %d has body %q and path %q", n, body, r.URL.EscapedPath())
				}
				w.WriteHeader(c.answers[n-1])
			})
			a, _, err := cl.Text(t.Context(), &wire.Call{Op: "op", Key: "key", Method: http.MethodPut, URL: at, Body: []byte("body"), Fine: []int{412}})
			if fault.CodeOf(err) != c.want || int(asked.Load()) != c.tries || err == nil && a.Tries != c.tries {
				t.Errorf("got %v after %d attempts, want %v after %d", err, asked.Load(), c.want, c.tries)
			}
		})
	}
}

// A server that stops sending without a word is asked again.
func TestReaderLeavesWhatStalls(t *testing.T) {
	data := text(100_000)
	var asked atomic.Int32
	cl, at := client(t, func(w http.ResponseWriter, r *http.Request) {
		from := 0
		if v := r.Header.Get("Range"); v != "" {
			from, _ = strconv.Atoi(v[len("bytes=") : len(v)-1])
		}
		w.Header().Set("ETag", "one")
		w.Header().Set("Content-Length", strconv.Itoa(len(data)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		if asked.Add(1) == 1 {
			w.Write(data[:70_000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		w.Write(data[from:])
	})
	cl.Idle = 20 * time.Millisecond
	r, err := cl.Open(t.Context(), &wire.Range{
		Op: "op", Key: "key", Length: -1,
		Call: func(_ string, h http.Header) *wire.Call {
			return &wire.Call{Op: "op", Key: "key", Method: http.MethodGet, URL: at, Header: h}
		},
		VersionOf: func(h http.Header) string { return h.Get("ETag") },
		Stat:      func(context.Context) (*store.Object, error) { return nil, errTold },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) || asked.Load() < 2 {
		t.Errorf("%d bytes, %v, after %d requests", len(got), err, asked.Load())
	}
}

func TestHostThatIsNotThere(t *testing.T) {
	c := &wire.Client{HTTP: &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "nobody.example", IsNotFound: true}
	}}}, Pause: time.Millisecond}
	_, _, err := c.Text(t.Context(), &wire.Call{Op: "op", Key: "key", Method: http.MethodGet, URL: func() *url.URL { return &url.URL{Scheme: "http", Host: "nobody.example"} }})
	if fault.CodeOf(err) != fault.Unavailable || fault.HintOf(err) == "" || err.Error() != `op key: there is no host "nobody.example"` {
		t.Errorf("got %v (%v), hint %q", err, fault.CodeOf(err), fault.HintOf(err))
	}
}

// Credentials that cannot be had for a moment are asked for again; wrong ones are not.
func TestSignThatFails(t *testing.T) {
	for code, want := range map[fault.Code]int{fault.Unavailable: 5, fault.BadConfig: 1} {
		n := 0
		c := &wire.Client{HTTP: http.DefaultClient, Pause: time.Millisecond, Sign: func(context.Context, *http.Request, []byte) error {
			n++
			return fault.New(code, "sign", "", "told to fail")
		}}
		_, _, err := c.Text(t.Context(), &wire.Call{Op: "op", Key: "key", Method: http.MethodGet, URL: func() *url.URL { return &url.URL{Scheme: "http", Host: "nobody.example"} }})
		if fault.CodeOf(err) != code || n != want {
			t.Errorf("got %v after %d attempts, want %v after %d", err, n, code, want)
		}
	}
}
