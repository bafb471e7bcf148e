package httpserve_test

import (
	"testing"

	"godwit.dev/adapters/httpserve"
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
