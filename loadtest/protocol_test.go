package loadtest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves addsub and the identities in, one of any width, and text until
// the test ends, and returns its URL. handle, if set, is asked instead of the models.
func serve(t *testing.T, handle infer.HandlerFunc, names ...string) string {
	t.Helper()
	engine := memengine.New(map[string]memengine.Model{
		"addsub": memengine.AddSub(), "wide": memengine.Identity(tensor.FP32, -1, -1), "text": memengine.Identity(tensor.Bytes, -1),
	})
	registry := &infer.Registry{}
	for _, name := range names {
		m, err := infer.Load(t.Context(), engine, name, &infer.Options{Name: name, Digest: "sha256:00"})
		if err != nil {
			t.Fatal(err)
		}
		if err := registry.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	h := infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		if handle != nil {
			return handle(ctx, req)
		}
		m, err := registry.Lookup(req.Model, req.Version)
		if err != nil {
			return nil, err
		}
		return m.Infer(ctx, req)
	})
	ln, err := httpserve.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- httpserve.Serve(ctx, ln, nil, oip.New(registry, h, nil), nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		registry.Close(context.Background())
	})
	return "http://" + ln.Addr().String()
}

var protocols = []loadtest.Protocol{loadtest.JSON, loadtest.Binary, loadtest.GRPC}

// Requests made up from the metadata are answered over every protocol, in both loops.
func TestProtocols(t *testing.T) {
	for _, model := range []string{"addsub", "wide", "text"} {
		url := serve(t, nil, model)
		for _, p := range protocols {
			for _, rate := range []float64{0, 2000} {
				t.Run(model+"/"+string(p), func(t *testing.T) {
					r, err := loadtest.Run(t.Context(), &loadtest.Options{Target: url, Protocol: p, Rate: rate, Count: 200, Duration: time.Minute, Connections: 4})
					if err != nil {
						t.Fatal(err)
					}
					if r.OK != 200 || r.Latency.Count != 200 || r.Model != model || r.Payloads != 64 || len(r.Errors) != 0 || r.BytesIn == 0 || r.BytesOut == 0 {
						t.Errorf("want 200 answers of %s to 64 different requests, got %+v", model, r)
					}
				})
			}
		}
	}
}

// What a server answers to the timed protocol must be what it answers to JSON.
func TestAWrongAnswerIsNotTimed(t *testing.T) {
	for _, p := range []loadtest.Protocol{loadtest.Binary, loadtest.GRPC} {
		t.Run(string(p), func(t *testing.T) {
			var asked atomic.Int64
			url := serve(t, func(_ context.Context, req *infer.Request) (*infer.Response, error) {
				answer := req.Inputs[0].Clone()
				answer.Name = "y"
				answer.Data[0] += byte(asked.Add(1)) << 5
				answer.Data[2] += byte(asked.Load())
				return &infer.Response{Model: "wide", Version: "1", Outputs: []tensor.Tensor{answer}}, nil
			}, "wide")
			_, err := loadtest.Run(t.Context(), &loadtest.Options{Target: url, Protocol: p, Duration: time.Minute, Count: 1,
				Requests: []*infer.Request{{Model: "wide", Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, 2}, []float32{1, 2})}}}})
			if fault.CodeOf(err) != fault.Mismatch {
				t.Errorf("want code mismatch, got %v", err)
			}
		})
	}
}

func TestTheFirstAnswerMustBeOne(t *testing.T) {
	url := serve(t, func(context.Context, *infer.Request) (*infer.Response, error) {
		return nil, fault.New(fault.Denied, "test", "", "not you")
	}, "wide")
	for _, p := range protocols {
		_, err := loadtest.Run(t.Context(), &loadtest.Options{Target: url, Protocol: p, Duration: time.Minute, Count: 1})
		if fault.CodeOf(err) == fault.Internal || err == nil {
			t.Errorf("%s: want the server's own error, got %v", p, err)
		}
	}
	several := serve(t, nil, "wide", "text")
	if _, err := loadtest.Run(t.Context(), &loadtest.Options{Target: several}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("two models and none named: want code usage, got %v", err)
	}
	if _, err := loadtest.Run(t.Context(), &loadtest.Options{Target: "http://127.0.0.1:1"}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("nobody there: want code unavailable, got %v", err)
	}
}

// Refusals under load are counted by code, whatever the protocol calls them.
func TestRefusalsAreCounted(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(_ context.Context, req *infer.Request) (*infer.Response, error) {
		if n.Add(1) > 2 {
			return nil, fault.New(fault.Unavailable, "test", "", "full")
		}
		answer := req.Inputs[0].Clone()
		answer.Name = "y"
		return &infer.Response{Model: "wide", Version: "1", Outputs: []tensor.Tensor{answer}}, nil
	}, "wide")
	for p, code := range map[loadtest.Protocol]string{loadtest.Binary: "503", loadtest.GRPC: "Unavailable"} {
		n.Store(0)
		header := http.Header{"X-Caller": {"me"}}
		r, err := loadtest.Run(t.Context(), &loadtest.Options{Target: url, Protocol: p, Duration: time.Minute, Count: 20, Header: header,
			Requests: []*infer.Request{{Model: "wide", Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, 2}, []float32{1, 2})}}}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Errors[code] != 20 || r.OK != 0 {
			t.Errorf("%s: want 20 of %s, got %v and %d answers", p, code, r.Errors, r.OK)
		}
	}
}

// Of several models the one named is asked, over every protocol, also where
// the requests do not name it.
func TestTheModelNamedIsAsked(t *testing.T) {
	url := serve(t, nil, "wide", "addsub", "text")
	requests := []*infer.Request{{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, 2}, []float32{1, 2})}}}
	for _, p := range protocols {
		r, err := loadtest.Run(t.Context(), &loadtest.Options{Target: url, Protocol: p, Model: "wide", Version: "1", Requests: requests, Duration: time.Minute, Count: 10})
		if err != nil || r.OK != 10 {
			t.Errorf("%s: want 10 answers, got %+v and %v", p, r, err)
		}
	}
}

// What is sent is what the protocol says, with the caller's headers.
func TestBodies(t *testing.T) {
	want := tensor.Of("x", []int64{1, 3}, []float32{1.5, -2, 0.1})
	for _, p := range []loadtest.Protocol{loadtest.JSON, loadtest.Binary} {
		var bad atomic.Value
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			header := -1
			if h := r.Header.Get("Inference-Header-Content-Length"); h != "" {
				header, _ = strconv.Atoi(h)
			}
			req, err := codec.DecodeRequest(body, header, nil)
			switch kind := r.Header.Get("Content-Type"); {
			case err != nil:
				bad.Store(err.Error())
			case p == loadtest.JSON && (header >= 0 || kind != "application/json"), p == loadtest.Binary && (header < 0 || kind != "application/octet-stream"):
				bad.Store("header " + strconv.Itoa(header) + " and type " + kind)
			case !tensor.Compare(&want, &req.Inputs[0], tensor.Tolerance{}).OK():
				bad.Store("another tensor")
			case r.Header.Get("X-Key") != "secret" || r.URL.EscapedPath() != "/front/v2/models/a%2Fb/versions/2/infer":
				bad.Store("key or path: " + r.URL.EscapedPath())
			}
		}))
		r, err := loadtest.Run(t.Context(), &loadtest.Options{Target: server.URL + "/front/", Protocol: p, Model: "a/b", Version: "2", Unchecked: true, Payloads: -1,
			Requests: []*infer.Request{{Inputs: []tensor.Tensor{want}}}, Header: http.Header{"X-Key": {"secret"}}, Duration: time.Minute, Count: 3})
		server.Close()
		if err != nil || r.OK != 3 || bad.Load() != nil {
			t.Errorf("%s: want 3 answers, got %+v, %v and %v", p, r, err, bad.Load())
		}
	}
}

// Requests differ in their bodies alone: a server that remembers a connection's
// last header, or a proxy, sees one client and not several.
func TestHeadersComeInOneOrder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heads := make(chan string)
	go func() {
		defer close(heads)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for r := bufio.NewReader(c); ; {
			head := ""
			for !strings.HasSuffix(head, "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				head += line
			}
			heads <- head
			var n int64
			fmt.Sscanf(head[strings.LastIndex(head, "Content-Length:"):], "Content-Length: %d", &n)
			io.CopyN(io.Discard, r, n)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}()
	all := map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for h := range heads {
			all[h] = true
		}
	}()
	header := http.Header{}
	for i := range 8 {
		header.Set(fmt.Sprintf("X-%d", i), "v")
	}
	x := tensor.Of("x", []int64{1, 3}, []float32{1.5, -2, 0.1})
	r, err := loadtest.Run(t.Context(), &loadtest.Options{Target: "http://" + l.Addr().String(), Protocol: loadtest.Binary, Model: "m", Unchecked: true,
		Requests: []*infer.Request{{Inputs: []tensor.Tensor{x}}}, Header: header, Connections: 1, Duration: time.Minute, Count: 40, Payloads: 20})
	l.Close()
	<-done
	if err != nil || r.OK != 40 || len(all) != 1 {
		t.Errorf("want 40 answers to one header, got %+v, %v and %d headers", r, err, len(all))
	}
}
