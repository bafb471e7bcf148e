package cloudrun_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/runtime/trigger"
)

func BenchmarkRequest(b *testing.B) {
	adaptertest.BenchHandler(b, func(s *adaptertest.Subject) http.Handler { return cloudrun.New(s.API, s.Events, anyone) })
}

// BenchmarkEvent is one push of a small message, and of one with 100 KB, to a
// handler that does nothing.
func BenchmarkEvent(b *testing.B) {
	done := []trigger.Outcome{{State: trigger.Done}}
	h := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome { return done })
	s := cloudrun.New(nil, h, anyone)
	for _, size := range []struct {
		name string
		n    int
	}{{"small", 100}, {"100KB", 100 << 10}} {
		item := itemOf("1")
		item.Data = bytes.Repeat([]byte("x"), size.n)
		b.Run(size.name, func(b *testing.B) {
			document := wrapped(item).Body
			body := bytes.NewReader(document)
			b.SetBytes(int64(size.n))
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(document)
				r := &http.Request{Method: http.MethodPost, URL: target, Header: http.Header{}, Body: io.NopCloser(body), ContentLength: int64(len(document))}
				w := httptest.NewRecorder()
				if s.ServeHTTP(w, r); w.Code != http.StatusNoContent {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
