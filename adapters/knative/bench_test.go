package knative_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/knative"
)

// BenchmarkInfer is a request through the adapter, and the same without it.
func BenchmarkInfer(b *testing.B) {
	s, err := adaptertest.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const body = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`
	for name, h := range map[string]http.Handler{"bare": s.API, "adapter": knative.New(s.API, s.Events, nil)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v2/models/echo-FP32/infer", strings.NewReader(body)))
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
