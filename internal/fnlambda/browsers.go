package fnlambda

import (
	"net/http"
	"slices"
	"strings"

	"godwit.dev/infra/spec"
)

// browserHeaders are what a page may send: the protocol's, and what callers are
// known by.
const browserHeaders = "authorization,content-type,inference-header-content-length,traceparent,x-amz-content-sha256,x-amz-date,x-amz-security-token,x-api-key,x-request-id"

// browsers is h for pages of the origins that t.CORS names, where the front end
// leaves that to the function: a REST API, which answers preflights alone, and a
// load balancer, which does nothing (Fetch standard, "CORS protocol"). HTTP APIs
// and function URLs do it all themselves, and an origin named twice is refused by
// browsers.
func browsers(h http.Handler, t *spec.AWSLambda) http.Handler {
	if t == nil || len(t.CORS) == 0 || t.API != "rest" && t.API != "alb" {
		return h
	}
	all := slices.Contains(t.CORS, "*")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if !all {
			w.Header().Add("Vary", "Origin")
		}
		if origin == "" || !all && !slices.Contains(t.CORS, origin) {
			h.ServeHTTP(w, r)
			return
		}
		if all {
			origin = "*"
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			w.Header().Set("Access-Control-Allow-Methods", strings.Join([]string{http.MethodGet, http.MethodPost}, ","))
			w.Header().Set("Access-Control-Allow-Headers", browserHeaders)
			w.Header().Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.ServeHTTP(w, r)
	})
}
