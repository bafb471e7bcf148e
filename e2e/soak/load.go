package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	_ "godwit.dev/adapters/httpserve" // registers deflate
	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/e2e/wire"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/tensor"
)

const model = "digits"

// load is the callers. Each kind of call checks its own answer.
type load struct {
	opts  *options
	kinds []*kind
	total atomic.Int64

	client *wire.Client
	conn   *grpc.ClientConn
	oip    oippb.GRPCInferenceServiceClient
	http   *http.Client

	// One request for each number of rows, with its right answer.
	in, want [][]tensor.Tensor
}

// kind is one sort of call; share is how often it comes.
type kind struct {
	name  string
	share int
	call  func(ctx context.Context, r *testmodels.Rand) error

	done, wrong atomic.Int64
	first       atomic.Pointer[error]
}

func newLoad(ctx context.Context, o *options) (*load, error) {
	l := &load{opts: o, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.callers}}}
	var err error
	if l.client, err = wire.Dial(o.server); err != nil {
		return nil, err
	}
	l.conn, err = grpc.NewClient("passthrough:///"+o.server, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, err
	}
	l.oip = oippb.NewGRPCInferenceServiceClient(l.conn)
	r := testmodels.NewRand(1)
	for _, rows := range []int64{1, 1, 7, 64, 500} {
		x := testmodels.RandomTensor(r, "pixels", tensor.FP32, rows, 64)
		out, err := l.client.Infer(ctx, wire.GRPCRaw, model, []tensor.Tensor{x})
		if err != nil {
			return nil, err
		}
		l.in, l.want = append(l.in, []tensor.Tensor{x}), append(l.want, out)
	}
	for _, f := range wire.Forms {
		l.add(string(f), 6, func(ctx context.Context, r *testmodels.Rand) error { return l.infer(ctx, f, r) })
	}
	l.add("gRPC stream", 2, l.stream)
	l.add("gRPC compressed", 2, l.compressed)
	l.add("not JSON", 2, l.posts("/v2/models/digits/infer", `{"inputs": [`, http.StatusBadRequest))
	l.add("wrong shape", 2, l.posts("/v2/models/digits/infer",
		`{"inputs":[{"name":"pixels","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`, http.StatusBadRequest))
	l.add("unknown model", 2, l.posts("/v2/models/nosuch/infer", `{"inputs":[]}`, http.StatusNotFound))
	l.add("gRPC unknown", 2, l.unknown)
	l.add("ready", 1, l.gets("/v2/health/ready"))
	l.add("metadata", 1, l.gets("/v2/models/digits"))
	l.add("metrics", 1, l.gets("/metrics"))
	l.add("half a request", 2, l.half)
	l.add("no reader", 2, l.noReader)
	l.add("gRPC given up", 2, l.givenUp)
	l.add("HTTP given up", 2, l.httpGivenUp)
	return l, nil
}

func (l *load) add(name string, share int, call func(context.Context, *testmodels.Rand) error) {
	k := &kind{name: name, share: share, call: call}
	for range share {
		l.kinds = append(l.kinds, k)
	}
}

func (l *load) close() {
	l.client.Close()
	l.conn.Close()
	l.http.CloseIdleConnections()
}

func (l *load) count() int64 { return l.total.Load() }

// run calls until ctx ends and waits for the calls in progress.
func (l *load) run(ctx context.Context) {
	tokens := make(chan struct{})
	go func() {
		defer close(tokens)
		tick := time.NewTicker(time.Second / time.Duration(l.opts.rate))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select { // a tick without a free caller is lost
			case <-ctx.Done():
				return
			case tokens <- struct{}{}:
			}
		}
	}()
	var callers sync.WaitGroup
	for i := range l.opts.callers {
		callers.Go(func() {
			r := testmodels.NewRand(uint64(i))
			for range tokens {
				k := l.kinds[r.IntN(len(l.kinds))]
				// Not ctx: the end of the soak must not look like a failure.
				call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
				err := k.call(call, r)
				cancel()
				k.done.Add(1)
				l.total.Add(1)
				if err != nil {
					k.wrong.Add(1)
					k.first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	callers.Wait()
}

func (l *load) report(w io.Writer) error {
	var errs []error
	fmt.Fprintf(w, "\n%-16s %9s %6s\n", "call", "times", "wrong")
	seen := map[*kind]bool{}
	for _, k := range l.kinds {
		if seen[k] {
			continue
		}
		seen[k] = true
		fmt.Fprintf(w, "%-16s %9d %6d\n", k.name, k.done.Load(), k.wrong.Load())
		if err := k.first.Load(); err != nil {
			errs = append(errs, fmt.Errorf("%s, %d times, first: %w", k.name, k.wrong.Load(), *err))
		}
	}
	return errors.Join(errs...)
}

func (l *load) pick(r *testmodels.Rand) (in, want []tensor.Tensor) {
	i := r.IntN(len(l.in))
	return l.in[i], l.want[i]
}

// same wants equal bits: whoever else calls must not change an answer.
func same(want, got []tensor.Tensor) error {
	if len(want) != len(got) {
		return fmt.Errorf("want %d outputs, got %d", len(want), len(got))
	}
	for i := range want {
		if d := tensor.Compare(&want[i], &got[i], tensor.Tolerance{}); !d.OK() || want[i].Name != got[i].Name {
			return fmt.Errorf("output %q: %v", got[i].Name, d)
		}
	}
	return nil
}

func (l *load) infer(ctx context.Context, f wire.Form, r *testmodels.Rand) error {
	in, want := l.pick(r)
	got, err := l.client.Infer(ctx, f, model, in)
	if err != nil {
		return err
	}
	return same(want, got)
}

func (l *load) compressed(ctx context.Context, r *testmodels.Rand) error {
	in, want := l.pick(r)
	name := []string{gzip.Name, "deflate"}[r.IntN(2)]
	resp, err := l.oip.ModelInfer(ctx, wire.Message(model, in, true), grpc.UseCompressor(name))
	if err != nil {
		return err
	}
	got, err := wire.Tensors(resp)
	if err != nil {
		return err
	}
	return same(want, got)
}

func (l *load) stream(ctx context.Context, r *testmodels.Rand) error {
	s, err := l.oip.ModelStreamInfer(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		in, want := l.pick(r)
		if err := s.Send(wire.Message(model, in, true)); err != nil {
			return err
		}
		resp, err := s.Recv()
		if err != nil {
			return err
		}
		if resp.GetErrorMessage() != "" {
			return errors.New(resp.GetErrorMessage())
		}
		got, err := wire.Tensors(resp.GetInferResponse())
		if err != nil {
			return err
		}
		if err := same(want, got); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("want the stream's end, got %v", err)
	}
	return nil
}

func (l *load) unknown(ctx context.Context, r *testmodels.Rand) error {
	in, _ := l.pick(r)
	_, err := l.client.Infer(ctx, wire.GRPCRaw, "nosuch", in)
	if status.Code(err) != codes.NotFound {
		return fmt.Errorf("want NotFound, got %v", err)
	}
	return nil
}

func (l *load) posts(path, body string, want int) func(context.Context, *testmodels.Rand) error {
	return func(ctx context.Context, _ *testmodels.Rand) error {
		return l.ask(ctx, http.MethodPost, path, body, want)
	}
}

func (l *load) gets(path string) func(context.Context, *testmodels.Rand) error {
	return func(ctx context.Context, _ *testmodels.Rand) error {
		return l.ask(ctx, http.MethodGet, path, "", http.StatusOK)
	}
}

func (l *load) ask(ctx context.Context, method, path, body string, want int) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.opts.server+path, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	resp, err := l.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: want %d, got %d: %s", method, path, want, resp.StatusCode, got)
	}
	return nil
}

// half sends part of a body and leaves.
func (l *load) half(ctx context.Context, r *testmodels.Rand) error {
	head := "POST /v2/models/digits/infer HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{\"inputs\":"
	return l.leave(ctx, []byte(head)[:1+r.IntN(len(head)-1)], r)
}

// noReader sends a whole request and leaves without its answer.
func (l *load) noReader(ctx context.Context, r *testmodels.Rand) error {
	in, _ := l.pick(r)
	body, err := wire.Body(in)
	if err != nil {
		return err
	}
	head := fmt.Sprintf("POST /v2/models/digits/infer HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	return l.leave(ctx, slices.Concat([]byte(head), body), r)
}

// leave ends the connection in the clean way or with a reset. That the server
// has refused the bytes meanwhile is its right.
func (l *load) leave(ctx context.Context, b []byte, r *testmodels.Rand) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", l.opts.server)
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = c.Write(b)
	if r.IntN(2) == 0 {
		return c.(*net.TCPConn).SetLinger(0)
	}
	return nil
}

func (l *load) givenUp(ctx context.Context, r *testmodels.Rand) error {
	in, _ := l.pick(r)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
	defer cancel()
	_, err := l.client.Infer(ctx, wire.GRPCRaw, model, in)
	if c := status.Code(err); c != codes.OK && c != codes.DeadlineExceeded && c != codes.Canceled {
		return err
	}
	return nil
}

func (l *load) httpGivenUp(ctx context.Context, r *testmodels.Rand) error {
	in, _ := l.pick(r)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
	defer cancel()
	_, err := l.client.Infer(ctx, wire.Binary, model, in)
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
