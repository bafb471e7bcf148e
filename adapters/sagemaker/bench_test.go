package sagemaker_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/sagemaker"
)

// BenchmarkInfer is a request through the adapter, and the same without it.
func BenchmarkInfer(b *testing.B) {
	s := adaptertest.For(b, nil)
	const json = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`
	adapter := sagemaker.New(s.API, s.Events, &sagemaker.Options{Model: "echo-FP32"})
	for _, c := range []struct {
		name, path, contentType, body string
		h                             http.Handler
	}{
		{"bare", "/v2/models/echo-FP32/infer", "application/json", json, s.API},
		{"adapter", "/invocations", "application/json", json, adapter},
		{"csv", "/invocations", "text/csv", "1,2,3\n", adapter},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
				r.Header["Content-Type"] = []string{c.contentType}
				c.h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
