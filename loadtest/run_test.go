package loadtest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func row(v ...float32) *infer.Request {
	return &infer.Request{Model: "m", Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, int64(len(v))}, v)}}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// pipes is a server in memory: answer is called for each request of each
// connection and returns the bytes to send; "" ends the connection.
func pipes(answer func(*http.Request, []byte) string) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() { // ends when the client closes its side
			defer server.Close()
			r := bufio.NewReader(server)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				body, err := io.ReadAll(req.Body)
				if err != nil {
					return
				}
				text := answer(req, body)
				if _, err := io.WriteString(server, text); err != nil || text == "" {
					return
				}
			}
		}()
		return client, nil
	}
}

// wait takes virtual time.
func wait(d time.Duration) { <-time.After(d) }

// inMemory is a run against pipes in virtual time.
func inMemory(o Options, answer func(*http.Request, []byte) string) *Options {
	o.Target, o.Model, o.Unchecked = "http://memory", "m", true
	if o.Requests == nil {
		o.Requests = []*infer.Request{row(1, 2)}
	}
	o.Dial, o.sleep = pipes(answer), wait
	return &o
}

// A server that stalls for a second delays everybody who came in that second.
// Only one request was under way then, so a client that measures from the
// sending sees one slow request of 300.
func TestLatencyCountsFromWhenARequestWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var slow int
		var mu sync.Mutex
		o := inMemory(Options{Rate: 100, Constant: true, Duration: 3 * time.Second, Connections: 1,
			Observe: func(s Observation) {
				mu.Lock()
				defer mu.Unlock()
				if s.Latency >= 500*time.Millisecond {
					slow++
				}
			}},
			func(*http.Request, []byte) string {
				if d := time.Since(start); d >= time.Second && d < 2*time.Second {
					wait(2*time.Second - d)
				}
				return okAnswer
			})
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK != 300 || slow != 51 {
			t.Errorf("want 300 answers, 51 of them half a second late or more, got %d and %d", r.OK, slow)
		}
		near := func(what string, want, got time.Duration) {
			if math.Abs(float64(got-want)) > 0.01*float64(want)+float64(time.Microsecond) {
				t.Errorf("%s: want %v, got %v", what, want, got)
			}
		}
		near("latency p50", 0, r.Latency.P50)
		near("latency p90", 700*time.Millisecond, r.Latency.P90)
		near("latency max", time.Second, r.Latency.Max)
		near("service p99", 0, r.Service.P99)
		near("service max", time.Second, r.Service.Max)
		if r.Waited < 99 || r.Waited > 101 { // what is due when the stall ends may or may not wait
			t.Errorf("want 99 to 101 requests that waited for the connection, got %d", r.Waited)
		}
		if r.Late != "" {
			t.Errorf("the client was not late, got %q", r.Late)
		}
	})
}

// The closed loop hides the same stall: one request of many was slow.
func TestClosedLoopSendsWhenAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Run(t.Context(), inMemory(Options{Duration: time.Second, Warmup: 500 * time.Millisecond, Connections: 4},
			func(*http.Request, []byte) string { wait(10 * time.Millisecond); return okAnswer }))
		if err != nil {
			t.Fatal(err)
		}
		if r.Loop != "closed" || r.OK != 400 || r.All != 600 || math.Abs(r.Achieved-400) > 5 {
			t.Errorf("want a closed loop of 400 answers, 600 with the warm-up, got %+v", r)
		}
	})
}

func TestEndsAreCounted(t *testing.T) {
	const status = "HTTP/1.1 %s\r\nContent-Length: 0\r\n%s\r\n"
	cases := []string{
		okAnswer,
		fmt.Sprintf(status, "429 Too Many Requests", "Retry-After: 1\r\n"),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nTrailer: t\r\n\r\n",
		fmt.Sprintf(status, "503 Service Unavailable", "retry-after: 1\r\nCONNECTION: Close\r\n"),
		"", // closed without a word
		"SSH-2.0-OpenSSH_9.2p1\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: lots\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("x", 20<<10),
		"late",
	}
	synctest.Test(t, func(t *testing.T) {
		n, dials := 0, 0
		o := inMemory(Options{Rate: 1, Constant: true, Count: int64(len(cases)), Duration: time.Hour, Connections: 1, Timeout: 2 * time.Second},
			func(*http.Request, []byte) string {
				text := cases[n]
				n++
				if text == "late" {
					wait(3 * time.Second)
					return okAnswer
				}
				return text
			})
		dial := o.Dial
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials++
			return dial(ctx, network, address)
		}
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		wait(time.Hour) // the server's end of what came late
		want := map[string]int64{"429": 1, "503": 1, "closed": 1, "malformed": 4, "timeout": 1}
		if diff := cmp.Diff(want, r.Errors); diff != "" {
			t.Errorf("errors (-want +got):\n%s", diff)
		}
		if dials != 7 { // the first, and after the server's close, its end and what is no HTTP
			t.Errorf("want 7 connections, got %d", dials)
		}
		if r.OK != 2 || r.Sent != 10 || r.RetryAfter != 2 {
			t.Errorf("want 2 of 10 answered and 2 Retry-After, got %d of %d and %d", r.OK, r.Sent, r.RetryAfter)
		}
	})
}

// Who waits for a connection waits at most as long as for an answer.
func TestWaitingEndsAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Run(t.Context(), inMemory(Options{Rate: 10, Constant: true, Count: 30, Duration: time.Hour, Connections: 1, Timeout: time.Second},
			func(*http.Request, []byte) string { wait(500 * time.Millisecond); return okAnswer }))
		if err != nil {
			t.Fatal(err)
		}
		wait(time.Hour)
		if r.OK == 0 || r.OK > 5 || r.OK+r.Errors["timeout"] != 30 {
			t.Errorf("want a few answers, and timeouts for the rest of 30, got %+v", r)
		}
		if r.Latency.Max > time.Second+time.Millisecond {
			t.Errorf("want no answer counted after the timeout, got one of %v", r.Latency.Max)
		}
	})
}

func TestAClientThatCannotKeepUpSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := inMemory(Options{Rate: 1000, Duration: time.Minute, Connections: 1}, func(*http.Request, []byte) string { return okAnswer })
		o.sleep = func(d time.Duration) { wait(d + 600*time.Millisecond) }
		r, err := Run(t.Context(), o)
		if fault.CodeOf(err) != fault.Runtime || r == nil {
			t.Fatalf("want a result and an error of code runtime, got %v and %v", r, err)
		}
	})
}

func TestStoppingKeepsWhatWasMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1005*time.Millisecond)
		defer cancel()
		r, err := Run(ctx, inMemory(Options{Rate: 100, Constant: true, Duration: time.Hour, Connections: 2},
			func(*http.Request, []byte) string { return okAnswer }))
		if !errors.Is(err, context.DeadlineExceeded) || r.OK != 101 || math.Abs(r.Achieved-101) > 1 {
			t.Errorf("want the context's error and 101 answers in a second, got %v and %+v", err, r)
		}
	})
}

func TestArrivals(t *testing.T) {
	const n = 100_000
	gaps := func(a *arrivals) (mean, deviation float64) {
		var sum, squares float64
		last := a.next()
		for range n {
			at := a.next()
			gap := float64(at - last)
			last, sum, squares = at, sum+gap, squares+gap*gap
		}
		mean = sum / n
		return mean, math.Sqrt(squares/n - mean*mean)
	}
	if mean, dev := gaps(newArrivals(1000, true, 1)); math.Abs(mean-1e6) > 1 || dev > 1e3 {
		t.Errorf("constant: want gaps of 1e6 ns, got %g ± %g", mean, dev)
	}
	if mean, dev := gaps(newArrivals(1000, false, 1)); math.Abs(mean-1e6) > 2e4 || math.Abs(dev/mean-1) > 0.02 {
		t.Errorf("Poisson: want gaps of mean and deviation 1e6 ns, got %g ± %g", mean, dev)
	}
	first := func(seed uint64) time.Duration { return newArrivals(1000, false, seed).next() }
	if a, again := first(7), first(7); a != again || a == first(8) {
		t.Error("want the same arrivals from the same seed, and others from another")
	}
}

// Every payload differs, and none has a value that was not given at its place.
func TestPayloadsRotate(t *testing.T) {
	given := []*infer.Request{row(1, 10, 100, 1000, 1e4, 1e5, 1e6, 1e7), row(2, 20, 200, 2000, 2e4, 2e5, 2e6, 2e7), row(3, 30, 300)}
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]int{}
		r, err := Run(t.Context(), inMemory(Options{Requests: given, Count: 128, Duration: time.Hour, Connections: 1},
			func(req *http.Request, body []byte) string {
				seen[string(body)]++
				if req.URL.Path != "/v2/models/m/infer" {
					t.Errorf("asked at %s", req.URL.Path)
				}
				return okAnswer
			}))
		if err != nil {
			t.Fatal(err)
		}
		if r.Payloads != 64 || len(seen) < 60 {
			t.Errorf("want 64 different bodies, got %d of %d", len(seen), r.Payloads)
		}
		for body := range seen {
			req, err := codec.DecodeRequest([]byte(body), -1, nil)
			if err != nil {
				t.Fatal(err)
			}
			v, _ := tensor.View[float32](&req.Inputs[0])
			for i, x := range v {
				ten := float32(math.Pow10(i))
				if k := x / ten; len(v) == 8 && k != 1 && k != 2 || len(v) == 3 && (k < 2.9 || k > 3) {
					t.Fatalf("element %d of %v was not given", i, v)
				}
			}
		}
	})
}

// What a request shows is made for that request, from all that it sends.
func TestEveryRequestIsSigned(t *testing.T) {
	sum := func(path, kind string, body []byte) string {
		return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(body, path, kind)))
	}
	for _, p := range []Protocol{JSON, Binary} {
		o := inMemory(Options{Requests: []*infer.Request{row(1, 2, 3)}, Model: "m", Protocol: p, Unchecked: true, Count: 10, Duration: time.Hour, Connections: 1,
			Header: http.Header{"X-Given": {"g"}}}, nil)
		signed := 0
		o.Sign = func(_ context.Context, r *http.Request, body []byte) error {
			signed++
			r.Header.Set("X-Signature", sum(r.URL.Path, r.Header.Get("Content-Type"), body))
			return nil
		}
		bad := 0
		o.Dial = inMemory(Options{}, func(r *http.Request, body []byte) string {
			if got := r.Header.Get("X-Signature"); got != sum(r.URL.Path, r.Header.Get("Content-Type"), body) || r.Header.Get("X-Given") != "g" {
				bad++
			}
			return okAnswer
		}).Dial
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.OK != 10 || bad != 0 || signed != 64 {
			t.Errorf("%s: %d answers, %d with another's signature, %d signed; want 10, 0, and 64 payloads", p, r.OK, bad, signed)
		}
	}
	o := inMemory(Options{Requests: []*infer.Request{row(1)}, Model: "m", Unchecked: true}, func(*http.Request, []byte) string { return okAnswer })
	o.Sign = func(context.Context, *http.Request, []byte) error {
		return fault.New(fault.Unauthenticated, "", "", "no credentials")
	}
	if _, err := Run(t.Context(), o); fault.CodeOf(err) != fault.Unauthenticated {
		t.Errorf("without credentials: %v, want Unauthenticated", err)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"no URL":        {Target: "localhost:8080"},
		"protocol":      {Target: "http://a", Protocol: "soap"},
		"rate":          {Target: "http://a", Rate: -1},
		"connections":   {Target: "http://a", Connections: 1 << 20},
		"two lines":     {Target: "http://a", Header: http.Header{"X": {"a\r\nHost: b"}}},
		"nothing asked": {Target: "http://a", Unchecked: true},
		"duration":      {Target: "http://a", Duration: -1},
	} {
		if _, err := Run(t.Context(), &o); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%s: want code usage, got %v", name, err)
		}
	}
}
