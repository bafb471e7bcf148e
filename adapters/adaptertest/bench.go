package adaptertest

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// BenchHandler measures what an adapter that is an http.Handler adds to a small
// request: "bare" is the subject's server alone, "adapted" the adapter around it.
// Of an adapter with a wire of its own, adapted does the whole way.
func BenchHandler(b *testing.B, adapt func(s *Subject) http.Handler) {
	s, err := New(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	m := inference(b, &infer.Request{Model: "echo-FP32", Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, 3}, []float32{1, 2, 3})}}, false)
	for _, h := range []struct {
		name    string
		handler http.Handler
	}{{"bare", s.API}, {"adapted", adapt(s)}} {
		b.Run(h.name, func(b *testing.B) {
			r, body := m.request(b), bytes.NewReader(m.body)
			r.Body = io.NopCloser(body)
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(m.body)
				clear(w.header)
				w.status = http.StatusOK
				h.handler.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatalf("want 200, got %d", w.status)
				}
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
