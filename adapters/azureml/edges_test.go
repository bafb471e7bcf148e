package azureml_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/azureml"
	"godwit.dev/adapters/httpserve"
)

// What a request on the platform's routes is for the protocol: nothing of the
// query goes on, and names stay one segment.
func TestWhatTheProtocolIsAsked(t *testing.T) {
	for target, want := range map[string]string{
		"/v2/health/live?x=1":              "/v2/health/live",
		"/v2/health/ready":                 "/v2/health/ready",
		"/score?model=a&x=1":               "/v2/models/a/infer",
		"/score?model=a%2Fb&version=1%2F2": "/v2/models/a%2Fb/versions/1%2F2/infer",
		"/score?model=a%25":                "/v2/models/a%25/infer",
		"/score?model=a%20b":               "/v2/models/a%20b/infer",
		"/v2/models/a/infer?x=1":           "/v2/models/a/infer?x=1",
	} {
		asked := 0
		api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			asked++
			if got := r.URL.RequestURI(); got != want || strings.Contains(r.URL.Path, "%") != strings.Contains(want, "%25") {
				t.Errorf("%s: asked for %s (%q), want %s", target, got, r.URL.Path, want)
			}
		})
		azureml.New(api, nil).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, target, http.NoBody))
		if asked != 1 {
			t.Errorf("%s: asked %d times", target, asked)
		}
	}
	api := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked without a model") })
	w := httptest.NewRecorder()
	azureml.New(api, nil).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/score", http.NoBody))
	if w.Code != http.StatusBadRequest {
		t.Errorf("without a model: %d", w.Code)
	}
}

func TestLimits(t *testing.T) {
	for drain, want := range map[time.Duration]time.Duration{0: time.Second, 5 * time.Second: 5 * time.Second, time.Minute: 29 * time.Second} {
		o := httpserve.Options{Drain: drain}
		if azureml.Limits(&o); o.Drain != want || !o.NoGRPC {
			t.Errorf("drain %v: want %v and no gRPC, got %v, %t", drain, want, o.Drain, o.NoGRPC)
		}
	}
}
