package prom_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/telemetry/prom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(t *testing.T, s *prom.Sink, accept string) (body, contentType string) {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String(), w.Header().Get("Content-Type")
}

func TestExposition(t *testing.T) {
	s := prom.New(&prom.Options{Dropped: func() uint64 { return 5 }})
	s.Request(telemetry.RequestEvent{Model: "digits", Version: "1", Protocol: "rest", Code: fault.OK, Duration: 20 * time.Millisecond})
	s.Request(telemetry.RequestEvent{Model: "digits", Version: "1", Protocol: "rest", Code: fault.OK, Duration: 2 * time.Minute})
	s.Request(telemetry.RequestEvent{Model: telemetry.Other, Protocol: "grpc", Code: fault.NotFound})
	s.Request(telemetry.RequestEvent{Protocol: "rest", Code: fault.TooLarge})
	s.Inference(telemetry.InferenceEvent{Model: "digits", Version: "1", Queue: time.Microsecond, Compute: time.Millisecond, Rows: 3})
	s.Start("load", 1500*time.Millisecond)
	s.Cache(telemetry.CacheEvent{Model: "digits", Version: "1", Bytes: 1024, Hits: 2})
	s.Cache(telemetry.CacheEvent{Model: "digits", Version: "1", Bytes: 4096, Misses: 1})
	s.Runtime(telemetry.RuntimeInfo{Version: "old"})
	s.Runtime(telemetry.RuntimeInfo{Version: "dev", Engine: "onnxruntime", EngineVersion: "1.30.0", Provider: "cpu", Target: "knative"})
	s.Restarted()

	want := []string{
		`godwit_requests_total{code="ok",model="digits",protocol="rest",version="1"} 2`,
		`godwit_requests_total{code="not_found",model="other",protocol="grpc",version=""} 1`,
		`godwit_requests_total{code="too_large",model="other",protocol="rest",version=""} 1`,
		`godwit_request_seconds_bucket{model="digits",protocol="rest",version="1",le="0.025"} 1`,
		`godwit_request_seconds_bucket{model="digits",protocol="rest",version="1",le="+Inf"} 2`,
		`godwit_request_seconds_sum{model="digits",protocol="rest",version="1"} 120.02`,
		`godwit_queue_seconds_count{model="digits",version="1"} 1`,
		`godwit_compute_seconds_sum{model="digits",version="1"} 0.001`,
		`godwit_batch_rows_bucket{model="digits",version="1",le="4"} 1`,
		`godwit_start_seconds{phase="load"} 1.5`,
		`godwit_cache_bytes{model="digits",version="1"} 4096`,
		`godwit_cache_lookups_total{model="digits",result="hit",version="1"} 2`,
		`godwit_cache_lookups_total{model="digits",result="miss",version="1"} 1`,
		`godwit_runtime_info{engine="onnxruntime",engine_version="1.30.0",provider="cpu",target="knative",version="dev"} 1`,
		`godwit_telemetry_dropped_total 5`,
		`godwit_worker_restarts_total 1`,
	}
	body, contentType := scrape(t, s, "text/plain")
	if !strings.HasPrefix(contentType, "text/plain; version=0.0.4; charset=utf-8") {
		t.Errorf("content type %q", contentType)
	}
	for _, line := range want {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(body, `version="old"`) {
		t.Error("a replaced runtime info is still there")
	}
	if t.Failed() {
		t.Log(body)
	}
	body, contentType = scrape(t, s, "application/openmetrics-text;version=1.0.0")
	if !strings.HasPrefix(contentType, "application/openmetrics-text; version=1.0.0") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("content type %q, end %q", contentType, body[len(body)-20:])
	}
}

// Names that callers make up must not become series, even when an adapter
// passes them on; and a name must not be able to break the exposition.
func TestCardinalityIsCapped(t *testing.T) {
	s := prom.New(&prom.Options{Models: 10})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2500 {
				name := fmt.Sprintf("m%d\"\n\xff", g*2500+i)
				s.Request(telemetry.RequestEvent{Model: name, Protocol: "rest"})
				s.Request(telemetry.RequestEvent{Model: name[:len(name)-1], Protocol: "rest"})
				s.Inference(telemetry.InferenceEvent{Model: name})
				s.Cache(telemetry.CacheEvent{Model: name})
			}
		})
	}
	wg.Wait()
	body, _ := scrape(t, s, "text/plain")
	if n := strings.Count(body, "\ngodwit_requests_total{"); n != 11 {
		t.Errorf("%d series, want 10 models and \"other\"", n)
	}
	if !strings.Contains(body, `godwit_requests_total{code="ok",model="other",protocol="rest",version=""} 19990`) {
		t.Error("the rest was not counted as other")
	}
}

func BenchmarkRequest(b *testing.B) {
	s := prom.New(nil)
	b.ReportAllocs()
	for b.Loop() {
		s.Request(telemetry.RequestEvent{Model: "m", Version: "1", Protocol: "rest", Duration: time.Millisecond})
		s.Inference(telemetry.InferenceEvent{Model: "m", Version: "1", Rows: 1})
	}
}
