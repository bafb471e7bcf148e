//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/internal/testmodels"
	"godwit.dev/loadtest"
	"godwit.dev/loadtest/measure"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// load is one kind of request: the same bytes for every side.
type load struct {
	name     string // for people
	model    string
	protocol loadtest.Protocol
	requests []*infer.Request
	want     [][]float32 // the C program's answers
	shape    []int64     // of an answer
}

// subjects are the two models. Rotating 64 payloads keeps branch predictors
// from learning one; of pictures, 1.6 MB of text each, 16 do.
var subjects = []struct {
	name          string
	make          func() testmodels.Model
	shape, answer []int64
	payloads      int
}{
	{"small", testmodels.Small, []int64{1, 64}, []int64{1, 16}, 64},
	{"image", testmodels.Image, []int64{1, 3, 224, 224}, []int64{1, 3, 1, 1}, 16},
}

// The loads, in the order in which they are measured.
const (
	smallJSON   = "small, JSON of 64 numbers"
	smallBinary = "small, binary"
	smallGRPC   = "small, gRPC"
	imageJSON   = "image, JSON of 150,528 numbers"
)

// makeLoads writes the models and has the C program answer every request.
func (b *bench) makeLoads(ctx context.Context) error {
	if err := os.MkdirAll(b.models, 0o755); err != nil {
		return err
	}
	for _, m := range subjects {
		file := filepath.Join(b.models, m.name+".onnx")
		text := m.make().Bytes()
		if old, err := os.ReadFile(file); err != nil || !bytes.Equal(old, text) {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				return err
			}
		}
		base := load{model: m.name, requests: measure.Requests(m.name, m.shape, m.payloads), shape: m.answer}
		for i, r := range base.requests {
			want, err := b.floor(ctx, file, r.Inputs[0].Data)
			if err != nil {
				return fmt.Errorf("the C program on request %d of %s: %w", i, m.name, err)
			}
			base.want = append(base.want, want)
		}
		for _, kind := range []struct {
			name, model string
			protocol    loadtest.Protocol
		}{{smallJSON, "small", loadtest.JSON}, {smallBinary, "small", loadtest.Binary}, {smallGRPC, "small", loadtest.GRPC}, {imageJSON, "image", loadtest.JSON}} {
			if kind.model == m.name {
				l := base
				l.name, l.protocol = kind.name, kind.protocol
				b.loads = append(b.loads, &l)
			}
		}
	}
	return nil
}

// floor is the answer of ONNX Runtime itself, in C.
func (b *bench) floor(ctx context.Context, model string, data []byte) ([]float32, error) {
	raw := filepath.Join(b.dir, "request.f32")
	if err := os.WriteFile(raw, data, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, b.floorPath, "-l", b.library, "-m", model, "-c", raw)
	cmd.Env = append(os.Environ(), "ORT_DISABLE_TELEMETRY=1")
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	want := make([]float32, len(out)/4)
	for i := range want {
		want[i] = math.Float32frombits(binary.LittleEndian.Uint32(out[4*i:]))
	}
	return want, nil
}

func (b *bench) load(name string) *load {
	return b.loads[slices.IndexFunc(b.loads, func(l *load) bool { return l.name == name })]
}

// wrongAnswer is an answer that came, and is not what the C program says.
type wrongAnswer struct{ err error }

func (w *wrongAnswer) Error() string { return "wrong answer: " + w.err.Error() }
func (w *wrongAnswer) Unwrap() error { return w.err }

// tolerance is how far an answer may be from the C program's: sums of floats
// in another order differ in their last digits.
const tolerance = 1e-5

// check compares an answer to request i.
func (l *load) check(i int, got *infer.Response) error {
	bad := func(format string, args ...any) error {
		return &wrongAnswer{fmt.Errorf("%s, request %d: "+format, append([]any{l.name, i}, args...)...)}
	}
	if len(got.Outputs) != 1 || got.Outputs[0].Name != "y" {
		return bad("want one output y, got %d outputs", len(got.Outputs))
	}
	y := &got.Outputs[0]
	v, ok := tensor.View[float32](y)
	if !ok || !slices.Equal(y.Shape, l.shape) {
		return bad("want FP32 %v, got %v %v", l.shape, y.Type, y.Shape)
	}
	want := l.want[i]
	if len(v) != len(want) {
		return bad("want %d numbers, got %d", len(want), len(v))
	}
	for k := range v {
		if d := math.Abs(float64(v[k]) - float64(want[k])); !(d <= tolerance*max(1, math.Abs(float64(want[k])))) {
			return bad("want number %d to be %g within %g, got %g", k, want[k], tolerance, v[k])
		}
	}
	return nil
}

// verify asks the side every request of l, and compares every answer. Some
// sides load their models one after another and answer for the first meanwhile,
// so a model's first request may be refused for a while.
func (s *server) verify(ctx context.Context, l *load) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ask := func(i int) (*infer.Response, error) { return askHTTP(ctx, s.http, l, i) }
	if l.protocol == loadtest.GRPC {
		conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(s.grpc, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{})))
		if err != nil {
			return err
		}
		defer conn.Close()
		ask = func(i int) (*infer.Response, error) { return askGRPC(ctx, conn, l, i) }
	}
	for i := range l.requests {
		got, err := ask(i)
		for began := time.Now(); i == 0 && err != nil && time.Since(began) < s.loading && ctx.Err() == nil; {
			if wrong := (*wrongAnswer)(nil); errors.As(err, &wrong) {
				break
			}
			pause := time.NewTimer(50 * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
			got, err = ask(i)
		}
		if err != nil {
			return fmt.Errorf("%s, request %d: %w", l.name, i, err)
		}
		if err := l.check(i, got); err != nil {
			return err
		}
	}
	return nil
}

// askHTTP sends request i on a connection of its own, so that each may meet
// another worker.
func askHTTP(ctx context.Context, target string, l *load, i int) (*infer.Response, error) {
	body, header, err := codec.EncodeRequest(nil, l.requests[i], l.protocol == loadtest.Binary)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target+"/v2/models/"+l.model+"/infer", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if header >= 0 {
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Inference-Header-Content-Length", strconv.Itoa(header))
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, tail(text))
	}
	at := -1
	if h := resp.Header.Get("Inference-Header-Content-Length"); h != "" {
		if at, err = strconv.Atoi(h); err != nil {
			return nil, &wrongAnswer{err}
		}
	}
	got, err := codec.DecodeResponse(text, at, nil)
	if err != nil {
		return nil, &wrongAnswer{fmt.Errorf("%w: %s", err, tail(text))}
	}
	return got, nil
}

func askGRPC(ctx context.Context, conn *grpc.ClientConn, l *load, i int) (*infer.Response, error) {
	r := *l.requests[i]
	r.Model = l.model
	message, err := codec.AppendInferRequestGRPC(nil, &r, true)
	if err != nil {
		return nil, err
	}
	var reply []byte
	if err := conn.Invoke(ctx, "/inference.GRPCInferenceService/ModelInfer", message, &reply, grpc.WaitForReady(true)); err != nil {
		return nil, err
	}
	got, err := codec.DecodeInferResponseGRPC(withoutEmpty(reply), nil)
	if err != nil {
		return nil, &wrongAnswer{err}
	}
	return got, nil
}

// withoutEmpty leaves out of a ModelInferResponse the contents of outputs that
// hold nothing: MLServer sends them beside the raw contents, where the protocol
// wants none and our decoder refuses them.
func withoutEmpty(message []byte) []byte {
	const outputs, contents = 5, 5 // fields of the response, and of an output
	return filtered(message, func(field protowire.Number, value []byte) []byte {
		if field != outputs {
			return value
		}
		return filtered(value, func(field protowire.Number, value []byte) []byte {
			if field == contents && len(value) == 0 {
				return nil
			}
			return value
		})
	})
}

// filtered is the message with each field of bytes as edit gives it; nil leaves
// it out. What is no message stays as it is.
func filtered(message []byte, edit func(protowire.Number, []byte) []byte) []byte {
	out := []byte{}
	for rest := message; len(rest) > 0; {
		field, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return message
		}
		whole := n + protowire.ConsumeFieldValue(field, typ, rest[n:])
		if whole < n {
			return message
		}
		if typ != protowire.BytesType {
			out = append(out, rest[:whole]...)
		} else {
			value, _ := protowire.ConsumeBytes(rest[n:])
			if value = edit(field, value); value != nil {
				out = protowire.AppendBytes(protowire.AppendTag(out, field, typ), value)
			}
		}
		rest = rest[whole:]
	}
	return out
}

// bytesCodec sends and gives messages as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
