package httpserve_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
)

// TestGRPCDeflate sends several calls, since readers and writers are reused.
func TestGRPCDeflate(t *testing.T) {
	s := start(t, nil, nil, nil)
	c := s.grpc()
	for i := range 5 {
		values := make([]float32, 1000*i+1)
		for k := range values {
			values[k] = float32(k + i)
		}
		got, err := c.ModelInfer(t.Context(), flatRequest(values...), grpc.UseCompressor("deflate"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Outputs[0].Contents.Fp32Contents, values) {
			t.Errorf("call %d: contents differ", i)
		}
	}
}

// TestGRPCDeflateBomb sends a message that is small until it is decompressed.
func TestGRPCDeflateBomb(t *testing.T) {
	s := start(t, &oip.Options{Limits: &codec.Limits{Body: 1 << 20}}, nil, nil)
	_, err := s.grpc().ModelInfer(t.Context(), flatRequest(make([]float32, 1<<20)...), grpc.UseCompressor("deflate"))
	if got := status.Code(err); got != codes.ResourceExhausted {
		t.Errorf("4 MiB of zeros, compressed: %v, want %v: %v", got, codes.ResourceExhausted, err)
	}
	if _, err := s.grpc().ModelInfer(t.Context(), flatRequest(1), grpc.UseCompressor("deflate")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
