package cloudrun_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/trigger"
)

func BenchmarkRequest(b *testing.B) {
	adaptertest.BenchHandler(b, func(s *adaptertest.Subject) http.Handler { return cloudrun.New(s.API, s.Events, anyone) })
}

// BenchmarkLog is the line of a request in the platform's format, and in ours.
func BenchmarkLog(b *testing.B) {
	trace, _ := telemetry.ParseTrace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "")
	ctx := telemetry.WithTrace(b.Context(), trace)
	line := telemetry.RequestLog{Target: "cloudrun", Model: "digits", Version: "1", RequestID: "0af7651916cd43dd8448eb211c80319c", PredictionID: "p-1", Duration: time.Millisecond}
	for _, l := range []struct {
		name string
		log  *slog.Logger
	}{{"ours", telemetry.NewLogger(io.Discard, false, nil)}, {"platform", cloudrun.NewLogger(io.Discard, &cloudrun.LogOptions{Project: "demo"})}} {
		b.Run(l.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				line.Write(ctx, l.log)
			}
		})
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v2/models/digits/infer", nil)
	log := cloudrun.NewLogger(io.Discard, &cloudrun.LogOptions{Project: "demo", Requests: true})
	s := cloudrun.New(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { line.Write(r.Context(), log) }), nil, &cloudrun.Options{Log: log})
	b.Run("platform, with the request", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.ServeHTTP(nil, r)
		}
	})
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
