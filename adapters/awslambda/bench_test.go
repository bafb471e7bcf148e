package awslambda_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/awslambda"
)

// BenchmarkInvoke is what an HTTP API's event costs over the request in it.
func BenchmarkInvoke(b *testing.B) {
	s, err := adaptertest.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const path = "/v2/models/echo-FP32/infer"
	body := []byte(`{"inputs":[{"name":"x","shape":[2,3],"datatype":"FP32","data":[1.5,2.5,3.5,4.5,5.5,6.5]}]}`)
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
		"headers": map[string]string{"accept": "*/*", "content-type": "application/json", "host": "a1.execute-api.eu-west-1.amazonaws.com", "user-agent": "curl/8",
			"x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678", "x-forwarded-for": "192.0.2.1", "x-forwarded-port": "443", "x-forwarded-proto": "https", "content-length": "93"},
		"requestContext": map[string]any{"accountId": "123456789012", "apiId": "a1", "domainName": "a1.execute-api.eu-west-1.amazonaws.com", "domainPrefix": "a1",
			"http":      map[string]any{"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "curl/8"},
			"requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default", "time": "22/Nov/2026:10:00:00 +0000", "timeEpoch": 1795341600000},
		"body": string(body), "isBase64Encoded": false,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("event", func(b *testing.B) {
		h := awslambda.New(s.API, s.Events, nil)
		ctx := invocation(b.Context())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.Invoke(ctx, event); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		header := http.Header{"Content-Type": {"application/json"}, "Traceparent": {"00-5bef4de7ad49b0e87f6ef6c87fc2e700-9a9197af755a6419-01"}, "X-Request-Id": {"1"}}
		w := &nothing{header: http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, bytes.NewReader(body))
			r.Header = header
			clear(w.header)
			s.API.ServeHTTP(w, r)
		}
	})
	b.Run("request alone", func(b *testing.B) { // of the bare one, what httptest takes
		b.ReportAllocs()
		for b.Loop() {
			_ = httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, bytes.NewReader(body))
		}
	})
	b.Run("event, empty api", func(b *testing.B) {
		h := awslambda.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), nil, nil)
		ctx := invocation(b.Context())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.Invoke(ctx, event); err != nil {
				b.Fatal(err)
			}
		}
	})
}

type nothing struct{ header http.Header }

func (n *nothing) Header() http.Header         { return n.header }
func (n *nothing) WriteHeader(int)             {}
func (n *nothing) Write(p []byte) (int, error) { return len(p), nil }
