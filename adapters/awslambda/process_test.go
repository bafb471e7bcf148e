package awslambda_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

func predict(t *testing.T, i *emulate.Instance) {
	t.Helper()
	x := tensor.OfStrings("x", []int64{1}, "a")
	resp, code, err := i.Call(t.Context(), &infer.Request{Model: "text", Inputs: []tensor.Tensor{x}}, false)
	if err != nil || code != fault.OK {
		t.Fatalf("%v, %v", code, err)
	}
	resp.Release()
}

// A function that cannot start says why, and ends with another code than 0.
func TestInitError(t *testing.T) {
	_, err := emulate.Start(t.Context(), "awslambda", launch(nil, "TEST_FAIL=1"), nil)
	if err == nil || !strings.Contains(err.Error(), "Runtime.bad_model: ") || !strings.Contains(err.Error(), "x.onnx: want a model") {
		t.Errorf("want the function's own reason, got %v", err)
	}
}

// What panics outside of the api's own care is reported, and the process ends,
// as Lambda's runtimes do.
func TestPanicEndsTheProcess(t *testing.T) {
	i, err := emulate.Start(t.Context(), "awslambda", launch(nil, "TEST_PANIC=1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	reply, err := i.Deliver(t.Context(), &emulate.Delivery{Body: []byte(`{"version":"2.0","rawPath":"/",` + v2Context("$default") + `}`)})
	if err != nil || !reply.Retry || !strings.Contains(string(reply.Body), `"errorMessage":"outside of the api"`) {
		t.Errorf("want the panic reported, got %+v, %v", reply, err)
	}
	<-i.Done()
}

// Between invocations nothing runs, and sockets that were idle are dead after
// that: the next request is answered all the same.
func TestFrozen(t *testing.T) {
	i := start(t, nil, &emulate.Options{Freeze: true})
	for range 5 {
		predict(t, i)
	}
	if state := stateOf(t, i.PID()); state != 'T' {
		t.Errorf("want the process stopped between invocations, got state %c", state)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// stateOf waits until the process is stopped, or gives up and says what it is.
func stateOf(t *testing.T, pid int) byte {
	t.Helper()
	var state byte
	for begun := time.Now(); time.Since(begun) < 10*time.Second; {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		if state = b[bytes.LastIndexByte(b, ')')+2]; state == 'T' {
			break
		}
		runtime.Gosched() // it is stopped as soon as it asks for more
	}
	return state
}

// Many invocations at a time do not mix, and a mixed batch beside them neither.
func TestManagedInstance(t *testing.T) {
	i := start(t, nil, &emulate.Options{Concurrency: 8})
	batch := sqs("q", told("ok"), told("permanent"), told("retry"))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 10 {
				predict(t, i)
				if n%3 != 0 {
					continue
				}
				reply, err := i.Deliver(t.Context(), &emulate.Delivery{Body: []byte(batch)})
				if err != nil || reply.Retry {
					t.Errorf("%+v, %v", reply, err)
				} else if diff := cmp.Diff([]string{"m-1", "m-2"}, reply.Failed); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
	all.Wait()
}

// Every sample event is taken, and nothing of it would come again.
func TestSampleEvents(t *testing.T) {
	i := start(t, nil, &emulate.Options{})
	samples := emulate.Samples("awslambda")
	if len(samples) < 15 {
		t.Fatalf("want the samples, got %d", len(samples))
	}
	for _, s := range samples {
		t.Run(s.Name, func(t *testing.T) {
			reply, err := i.Deliver(t.Context(), &s.Delivery)
			if err != nil {
				t.Fatal(err)
			}
			// A direct invocation for a model that is not there is an error.
			if want := s.Name == "direct"; reply.Retry != want || len(reply.Failed) > 0 {
				t.Errorf("got %+v, %s", reply, reply.Body)
			}
		})
	}
}

// Errors tell callers nothing of the inside, whatever the wire.
func TestNothingLeaks(t *testing.T) {
	for _, variant := range []string{"http-v2", "direct"} {
		i := start(t, nil, &emulate.Options{Variant: variant})
		for _, how := range []string{`{"inputs":[],"parameters":{"` + adaptertest.Panic + `":true}}`, `{"inputs":[],"parameters":{"` + adaptertest.Fail + `":"internal"}}`} {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://f/v2/models/text/infer", strings.NewReader(how))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := i.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			_, _ = text.ReadFrom(resp.Body)
			if resp.StatusCode != http.StatusInternalServerError || strings.Contains(text.String(), adaptertest.Secret) {
				t.Errorf("%s: got %d, %s", variant, resp.StatusCode, text.String())
			}
		}
	}
}

// gated is an api that writes the second part of its answer when the one at the
// URL has answered; by then the first is to be on its way.
func gated(url string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first,")
		resp, err := http.Get(url) //nolint:noctx // a test's own process
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		resp.Body.Close()
		switch r.URL.Path {
		case "/breaks":
			panic(http.ErrAbortHandler)
		case "/crashes":
			panic("crash")
		}
		_, _ = io.WriteString(w, "second")
	})
}

// Callers get an answer as it is made, by a function URL and by a REST API. The
// environment is busy until the last byte: a request that comes meanwhile is
// refused, as AWS does.
func TestStreamsArriveAsTheyAreMade(t *testing.T) {
	for _, variant := range []string{"stream", "rest-stream"} {
		t.Run(variant, func(t *testing.T) {
			open := make(chan struct{}, 3)
			gate := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-open:
				case <-r.Context().Done():
				}
			}))
			t.Cleanup(gate.Close)
			i, err := emulate.Start(t.Context(), "awslambda", launch(nil, "TEST_STREAM="+gate.URL), &emulate.Options{Variant: variant})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(i.Kill)
			ask := func(path string) *http.Response {
				t.Helper()
				resp, err := i.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://f"+path, http.NoBody))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { resp.Body.Close() })
				return resp
			}
			first := func(resp *http.Response) {
				t.Helper()
				part := make([]byte, len("first,"))
				if _, err := io.ReadFull(resp.Body, part); err != nil || string(part) != "first," {
					t.Errorf("got %q, %v", part, err)
				}
			}
			resp := ask("/")
			first(resp)
			if busy := ask("/"); busy.StatusCode != http.StatusTooManyRequests {
				t.Errorf("while it is busy: %d, want 429", busy.StatusCode)
			}
			open <- struct{}{}
			if rest, err := io.ReadAll(resp.Body); string(rest) != "second" || err != nil {
				t.Errorf("then %q, %v", rest, err)
			}
			for _, path := range []string{"/breaks", "/crashes"} {
				resp := ask(path)
				first(resp)
				open <- struct{}{}
				if rest, err := io.ReadAll(resp.Body); err == nil {
					t.Errorf("%s: want an answer that is not whole, got %q more", path, rest)
				}
			}
			<-i.Done() // the crash
		})
	}
}

// An event that finds the environment busy comes when it is free, as its source
// tries again.
func TestEventsWaitForTheEnvironment(t *testing.T) {
	entered, open := make(chan struct{}, 1), make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-open
	}))
	t.Cleanup(gate.Close)
	i, err := emulate.Start(t.Context(), "awslambda", launch(nil, "TEST_STREAM="+gate.URL), &emulate.Options{Variant: "stream"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	resp, err := i.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://f/", http.NoBody))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	<-entered
	var event sync.WaitGroup
	event.Go(func() {
		reply, err := i.Deliver(t.Context(), &emulate.Delivery{Body: []byte(`{"Service":"Amazon S3","Event":"s3:TestEvent"}`)})
		if err != nil || reply.Retry {
			t.Errorf("%+v, %v", reply, err)
		}
	})
	close(open)
	if all, err := io.ReadAll(resp.Body); string(all) != "first,second" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
	event.Wait()
}
