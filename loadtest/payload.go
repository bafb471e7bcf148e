package loadtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// maxPayloads bounds the bytes of all made-up payloads of a run.
const maxPayloads = 128 << 20

// encode returns the bytes that send req: a whole HTTP request, or a gRPC message.
func encode(ctx context.Context, u *url.URL, o *Options, p Protocol, req *infer.Request) ([]byte, error) {
	if p == GRPC {
		r := *req
		r.Model, r.Version = o.Model, o.Version
		return codec.AppendInferRequestGRPC(nil, &r, true)
	}
	body, header, err := codec.EncodeRequest(nil, req, p == Binary)
	if err != nil {
		return nil, err
	}
	h := o.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h["Content-Type"] = []string{"application/json"}
	if header >= 0 {
		h["Content-Type"] = []string{"application/octet-stream"}
		h["Inference-Header-Content-Length"] = []string{strconv.Itoa(header)}
	}
	if o.Sign != nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.Scheme+"://"+u.Host+inferPath(u, o), bytes.NewReader(body))
		if err != nil {
			return nil, fault.New(fault.Usage, "loadtest.Run", o.Target, "%w", err)
		}
		r.Header = h
		if err := o.Sign(ctx, r, body); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", inferPath(u, o), u.Host)
	for _, name := range slices.Sorted(maps.Keys(h)) { // as a client does that sends one header again and again
		for _, v := range h[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	return b.Bytes(), nil
}

func inferPath(u *url.URL, o *Options) string {
	path := strings.TrimRight(u.EscapedPath(), "/") + "/v2/models/" + url.PathEscape(o.Model)
	if o.Version != "" {
		path += "/versions/" + url.PathEscape(o.Version)
	}
	return path + "/infer"
}

// rotate returns n requests: those given, and then more that are made from
// them in turn. Each element is that of some given request whose tensors have
// the same shapes, at the same place, so it is a value that occurs there. Where
// there is only one of those shapes its floating-point numbers are made up to
// one per cent smaller. fewer says how many there were room for.
func rotate(given []*infer.Request, n int, seed uint64) []*infer.Request {
	all := slices.Clone(given)
	total := 0
	for _, r := range given {
		total += size(r)
	}
	for k := 0; len(all) < n; k++ {
		base := given[k%len(given)]
		if total += size(base); total > maxPayloads {
			break
		}
		peers := slices.DeleteFunc(slices.Clone(given), func(r *infer.Request) bool { return !sameShapes(base, r) })
		random := rand.New(rand.NewPCG(seed, uint64(k)))
		next := *base
		next.Inputs = make([]tensor.Tensor, len(base.Inputs))
		for i := range base.Inputs {
			next.Inputs[i] = mix(peers, i, random)
		}
		all = append(all, &next)
	}
	return all
}

func size(r *infer.Request) int {
	n := 0
	for i := range r.Inputs {
		n += r.Inputs[i].Bytes()
	}
	return n
}

func sameShapes(a, b *infer.Request) bool {
	return slices.EqualFunc(a.Inputs, b.Inputs, func(x, y tensor.Tensor) bool {
		return x.Name == y.Name && x.Type == y.Type && slices.Equal(x.Shape, y.Shape)
	})
}

func mix(peers []*infer.Request, input int, random *rand.Rand) tensor.Tensor {
	t := peers[0].Inputs[input].Clone()
	if t.Type == tensor.Bytes {
		for k := range t.Strings {
			t.Strings[k] = peers[random.IntN(len(peers))].Inputs[input].Strings[k]
		}
		return t
	}
	w := t.Type.Size()
	for at := 0; len(peers) > 1 && at < len(t.Data); at += w {
		copy(t.Data[at:at+w], peers[random.IntN(len(peers))].Inputs[input].Data[at:])
	}
	if len(peers) > 1 {
		return t
	}
	if v, ok := tensor.View[float32](&t); ok {
		for k := range v {
			v[k] *= 1 - 0.01*random.Float32()
		}
		t = tensor.Of(t.Name, t.Shape, v) // a view of unaligned data is a copy
	} else if v, ok := tensor.View[float64](&t); ok {
		for k := range v {
			v[k] *= 1 - 0.01*random.Float64()
		}
		t = tensor.Of(t.Name, t.Shape, v)
	}
	return t
}

// same compares an answer with the one over JSON, up to what another run of
// the same model may differ by.
func same(want, got *infer.Response) error {
	for i := range want.Outputs {
		w := &want.Outputs[i]
		at := slices.IndexFunc(got.Outputs, func(t tensor.Tensor) bool { return t.Name == w.Name })
		if at < 0 {
			return fault.New(fault.Mismatch, "loadtest.Run", w.Name, "want the output that the answer over JSON has, got none")
		}
		if d := tensor.Compare(w, &got.Outputs[at], tolerance(w.Type)); !d.OK() {
			return fault.New(fault.Mismatch, "loadtest.Run", w.Name, "the answer differs from that over JSON: %s", d.String())
		}
	}
	return nil
}

func tolerance(d tensor.DType) tensor.Tolerance {
	exponent := map[tensor.DType]int{tensor.FP64: -23, tensor.FP32: -13, tensor.FP16: -7, tensor.BF16: -4}
	e, ok := exponent[d]
	if !ok {
		return tensor.Tolerance{}
	}
	r := math.Ldexp(1, e)
	return tensor.Tolerance{Relative: r, Absolute: r / 16}
}
