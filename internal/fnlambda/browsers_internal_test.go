package fnlambda

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"godwit.dev/infra/spec"
)

// Pages of the named origins read answers where the front end adds no headers,
// and no others do.
func TestBrowsers(t *testing.T) {
	const a, b = "https://a.example", "https://b.example"
	for _, c := range []struct {
		name, api, method, origin, asks string
		cors                            []string
		allowed, vary                   string
		status                          int
	}{
		{"an answer", "rest", "POST", a, "", []string{b, a}, a, "Origin", 200},
		{"behind a load balancer", "alb", "GET", a, "", []string{a}, a, "Origin", 200},
		{"everybody", "rest", "GET", a, "", []string{"*"}, "*", "", 200},
		{"another page", "rest", "GET", b, "", []string{a}, "", "Origin", 200},
		{"no page", "rest", "GET", "", "", []string{a}, "", "Origin", 200},
		{"a preflight", "alb", "OPTIONS", a, "POST", []string{a}, a, "Origin", 204},
		{"another page's preflight", "alb", "OPTIONS", b, "POST", []string{a}, "", "Origin", 200},
		{"OPTIONS that are no preflight", "alb", "OPTIONS", a, "", []string{a}, a, "Origin", 200},
		{"an API that does it itself", "http", "GET", a, "", []string{a}, "", "", 200},
		{"a function URL", "url", "OPTIONS", a, "POST", []string{a}, "", "", 200},
		{"nobody named", "rest", "GET", a, "", nil, "", "", 200},
	} {
		r := httptest.NewRequest(c.method, "/v2", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.asks != "" {
			r.Header.Set("Access-Control-Request-Method", c.asks)
		}
		w := httptest.NewRecorder()
		asked := false
		browsers(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }), &spec.AWSLambda{API: c.api, CORS: c.cors}).ServeHTTP(w, r)
		h := w.Header()
		if w.Code != c.status || asked != (c.status == 200) || h.Get("Access-Control-Allow-Origin") != c.allowed || h.Get("Vary") != c.vary ||
			(h.Get("Access-Control-Allow-Methods") == "GET,POST") != (c.status == 204) {
			t.Errorf("%s: %d, asked %v, %v", c.name, w.Code, asked, h)
		}
	}
}
