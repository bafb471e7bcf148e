package httpserve_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// A small request over each way in; the client's cost is in all of them.
func BenchmarkSmall(b *testing.B) {
	b.Run("REST", func(b *testing.B) {
		s, c := start(b, nil, nil, nil), h1(b)
		b.ReportAllocs()
		for b.Loop() {
			if status, _, err := s.post(c, "flat", flatBody(1)); err != nil || status != 200 {
				b.Fatal(status, err)
			}
		}
	})
	for name, mixed := range map[string]bool{"gRPC": false, "gRPC through net/http": true} {
		b.Run(name, func(b *testing.B) {
			c := start(b, nil, &httpserve.Options{Mixed: mixed}, nil).grpc()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.ModelInfer(b.Context(), flatRequest(1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A raw tensor of 600 KB and an answer of as much: two copies each way over
// the wire, one into place, and the engine's.
func BenchmarkLarge(b *testing.B) {
	req := &infer.Request{Model: "flat", Inputs: []tensor.Tensor{tensor.Of("x", []int64{150528}, make([]float32, 150528))}}
	msg, err := codec.AppendInferRequestGRPC(nil, req, true)
	if err != nil {
		b.Fatal(err)
	}
	in := new(oippb.ModelInferRequest)
	if err := proto.Unmarshal(msg, in); err != nil {
		b.Fatal(err)
	}
	c := start(b, nil, nil, nil).grpc()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ModelInfer(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
