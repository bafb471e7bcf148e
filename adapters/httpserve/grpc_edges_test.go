package httpserve_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// counting lets the first n requests for an inference in, and counts all.
type counting struct{ asked, most atomic.Int64 }

func (c *counting) Authorize(_ context.Context, _ func(string) []string, scope oip.Scope) (string, error) {
	if scope == oip.ScopeInfer && c.asked.Add(1) > c.most.Load() {
		return "", fault.New(fault.RateLimited, "", "", "enough")
	}
	return "somebody", nil
}

// A stream and its first request are asked for together, and each further one
// by itself: its refusal is its answer, and the stream goes on.
func TestStreamsAreAskedForEachRequest(t *testing.T) {
	who := &counting{}
	who.most.Store(2)
	s := start(t, &oip.Options{Auth: who}, nil, nil)
	stream, err := s.grpc().ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range 4 {
		if err := stream.Send(flatRequest(float32(i))); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, answer.ErrorMessage)
		if (answer.ErrorMessage != "") != (i >= 2) {
			t.Errorf("number %d: %q", i, answer.ErrorMessage)
		}
	}
	_ = stream.CloseSend()
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	if n := who.asked.Load(); n != 4 {
		t.Errorf("asked %d times for four requests in a stream: %q", n, got)
	}
}

// Answers that outgrow what was guessed are whole, and nobody else's.
func TestAnswersThatOutgrowTheirRoom(t *testing.T) {
	s := start(t, nil, nil, nil)
	s.use(func(_ context.Context, req *infer.Request) (*infer.Response, error) {
		v, _ := tensor.View[float32](&req.Inputs[0])
		return &infer.Response{Model: "flat", Version: "1", Params: infer.Params{"note": strings.Repeat(fmt.Sprint(int(v[0])%10), 20_000+int(v[0]))},
			Outputs: []tensor.Tensor{tensor.Of("y", []int64{1}, []float32{v[0]})}}, nil
	})
	c := s.grpc()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 10 {
				n := g*10 + i
				resp, err := c.ModelInfer(t.Context(), flatRequest(float32(n)))
				if err != nil {
					t.Error(err)
					return
				}
				if got := resp.Parameters["note"].GetStringParam(); got != strings.Repeat(fmt.Sprint(n%10), 20_000+n) || resp.Outputs[0].Contents.Fp32Contents[0] != float32(n) {
					t.Errorf("number %d: %d other bytes", n, len(got))
				}
			}
		})
	}
	wg.Wait()
}

// The line of a status is written as net/http writes it.
func TestStatusLines(t *testing.T) {
	s := start(t, nil, nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var status int
			_, _ = fmt.Sscanf(r.URL.RawQuery, "%d", &status)
			w.WriteHeader(status)
		})
	})
	c := s.tcp()
	r := bufio.NewReader(c)
	for status, want := range map[int]string{200: "200 OK", 404: "404 Not Found", 299: "299 status code 299", 599: "599 status code 599", 204: "204 No Content"} {
		if _, err := fmt.Fprintf(c, "GET /?%d HTTP/1.1\r\nHost: x\r\n\r\n", status); err != nil {
			t.Fatal(err)
		}
		line, err := r.ReadString('\n')
		if err != nil || line != "HTTP/1.1 "+want+"\r\n" {
			t.Errorf("%q, %v, want %q", line, err, want)
		}
		for strings.TrimSpace(line) != "" {
			if line, err = r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A model is read again by who may, over gRPC too, and by its name alone.
func TestGRPCLoad(t *testing.T) {
	var loaded []string
	s := start(t, &oip.Options{Auth: &counting{}, Reload: func(_ context.Context, model string) error { loaded = append(loaded, model); return nil }}, nil, nil)
	c := s.grpc()
	for _, tt := range []struct {
		in   *oippb.RepositoryModelLoadRequest
		want bool
	}{
		{&oippb.RepositoryModelLoadRequest{ModelName: "flat"}, true},
		{&oippb.RepositoryModelLoadRequest{ModelName: "flat", RepositoryName: "x"}, false},
		{&oippb.RepositoryModelLoadRequest{ModelName: "flat", Parameters: map[string]*oippb.ModelRepositoryParameter{"config": {}}}, false},
	} {
		if _, err := c.RepositoryModelLoad(t.Context(), tt.in); (err == nil) != tt.want {
			t.Errorf("%v: %v", tt.in, err)
		}
	}
	if _, err := c.RepositoryModelUnload(t.Context(), &oippb.RepositoryModelUnloadRequest{ModelName: "flat"}); err == nil {
		t.Error("a model is unloaded")
	}
	if len(loaded) != 1 || loaded[0] != "flat" {
		t.Errorf("loaded %q", loaded)
	}
}

// An answer larger than answers may be is refused, over gRPC too.
func TestGRPCAnswersThatAreTooLarge(t *testing.T) {
	s := start(t, &oip.Options{Limits: &codec.Limits{Response: 2000}}, nil, nil)
	for n, want := range map[int]codes.Code{300: codes.OK, 600: codes.Code(fault.TooLarge.GRPC())} {
		var trailer metadata.MD
		_, err := s.grpc().ModelInfer(t.Context(), flatRequest(make([]float32, n)...), grpc.Trailer(&trailer))
		if status.Code(err) != want || want != codes.OK && strings.Join(trailer.Get("godwit-code"), "") != "too_large" {
			t.Errorf("%d numbers: %v, %v, want %v", n, err, trailer, want)
		}
	}
}

// Who is refused for being one too many counts no more afterwards than before.
func TestRefusedConnectionsAreNotCounted(t *testing.T) {
	s := start(t, nil, &httpserve.Options{MaxConns: 2}, nil)
	serves := func(c io.ReadWriter) bool {
		if _, err := io.WriteString(c, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return false
		}
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil
	}
	for i := range 2 {
		if !serves(s.tcp()) {
			t.Errorf("connection %d is refused", i)
		}
	}
	for i := range 6 {
		if serves(s.tcp()) {
			t.Errorf("connection %d beyond the limit is served", i)
		}
	}
}
