package azurefunctions_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/runtime/trigger"
)

// discard is a writer of answers that costs next to nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkRequest is a small request to the bare handler, and in each form that
// the host gives it: the difference is what the adapter adds.
func BenchmarkRequest(b *testing.B) {
	s, err := adaptertest.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	app := &azurefunctions.App{RoutePrefix: "api", Timeout: 30 * time.Minute, Functions: map[string]azurefunctions.Function{"http": {Trigger: "httpTrigger", Input: "req", Output: "res"}}}
	adapter := azurefunctions.New(s.API, s.Events, &azurefunctions.Options{App: app})
	const body = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`
	const envelope = `{"Data":{"req":{"Url":"https://h/api/v2/models/echo-FP32/infer","Method":"POST","Query":{},"Headers":{"Content-Type":["application/json"],"Host":["h"],"User-Agent":["curl/8"],"Content-Length":["72"]},"Params":{"path":"v2/models/echo-FP32/infer"},"Identities":[],"Body":"{\"inputs\":[{\"name\":\"x\",\"shape\":[1,3],\"datatype\":\"FP32\",\"data\":[1,2,3]}]}"}},"Metadata":{"Headers":{"Content-Type":["application/json"]},"sys":{"MethodName":"http","UtcNow":"2026-11-22T10:00:00Z","RandGuid":"0"}}}`
	for _, c := range []struct {
		name, host, path, body string
		h                      http.Handler
		proxied                bool
	}{
		{"bare", "h", "/v2/models/echo-FP32/infer", body, s.API, true},
		{"proxied", "h", "/api/v2/models/echo-FP32/infer", body, adapter, true},
		{"forwarded", "h", "/api/v2/models/echo-FP32/infer", body, adapter, false},
		{"envelope", "127.0.0.1:1", "/http", envelope, adapter, false},
	} {
		b.Run(c.name, func(b *testing.B) { call(b, c.h, c.host, c.path, c.body, c.proxied) })
	}
}

// BenchmarkMessage is a message of a queue, whose handler does nothing.
func BenchmarkMessage(b *testing.B) {
	nothing := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		return []trigger.Outcome{{State: trigger.Done}}
	})
	app := &azurefunctions.App{Timeout: 30 * time.Minute, Functions: functions}
	h := azurefunctions.New(http.NotFoundHandler(), nothing, &azurefunctions.Options{App: app})
	call(b, h, "127.0.0.1:1", "/queue", `{"Data":{"item":"\"{\\\"inputs\\\":[{\\\"name\\\":\\\"x\\\",\\\"shape\\\":[1,3],\\\"datatype\\\":\\\"FP32\\\",\\\"data\\\":[1,2,3]}]}\""},"Metadata":{"DequeueCount":"1","Id":"\"800ae4b3\"","InsertionTime":"2026-11-22T10:00:00Z","PopReceipt":"\"p\"","sys":{"MethodName":"queue"}}}`, false)
}

func call(b *testing.B, h http.Handler, host, path, body string, proxied bool) {
	b.Helper()
	b.ReportAllocs()
	w := &discard{http.Header{}}
	src := bytes.NewReader(nil)
	r, err := http.NewRequest(http.MethodPost, "http://"+host+path, io.NopCloser(src))
	if err != nil {
		b.Fatal(err)
	}
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Azure-Functions-InvocationId", "0f8fad5b-d9cb-469f-a165-70867728950e")
	if proxied {
		r.Header.Set("X-Ms-Invocation-Id", "0f8fad5b-d9cb-469f-a165-70867728950e")
	}
	for b.Loop() {
		src.Reset([]byte(body))
		clear(w.header)
		h.ServeHTTP(w, r)
		if w.header["Content-Type"] == nil {
			b.Fatal("no answer")
		}
	}
}
