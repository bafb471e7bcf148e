package oip_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// What every route answers, and what is near a route but none.
var routes = []struct {
	method, path, body string
	status             int
	code               string // of an error
	contains           string
}{
	{"GET", "/v2/health/live", "", 200, "", `{"live":true}`},
	{"GET", "/v2/health/ready", "", 503, "", `{"live":true,"ready":false}`},
	{"GET", "/v2", "", 200, "", `{"name":"godwit","version":"dev","extensions":["binary_tensor_data",`},
	{"GET", "/v2/", "", 200, "", `"name":"godwit"`},
	{"GET", "/v2/models/addsub", "", 200, "", `{"name":"addsub","versions":["1","2"],"platform":"go","inputs":[{"name":"a","datatype":"FP32","shape":[-1,4]},`},
	{"GET", "/v2/models/addsub/versions/1", "", 200, "", `"properties":{"digest":"sha256:00","engine":"memengine","provider":"cpu","triton_platform":"memengine_onnx"}`},
	{"GET", "/v2/models/addsub/versions/3", "", 404, "not_found", `version \"3\"`},
	{"GET", "/v2/models/loading", "", 503, "unavailable", "still loading"},
	{"GET", "/v2/models/nosuch", "", 404, "not_found", `nosuch`},
	{"GET", "/v2/models/addsub/ready", "", 200, "", `{"name":"addsub","ready":true}`},
	{"GET", "/v2/models/addsub/versions/2/ready", "", 200, "", `{"name":"addsub","ready":true}`},
	{"GET", "/v2/models/loading/ready", "", 503, "", `{"name":"loading","ready":false}`},
	{"GET", "/v2/models/nosuch/ready", "", 404, "not_found", ""},
	{"GET", "/v2/models/addsub/config", "", 200, "", `{"name":"addsub","platform":"memengine_onnx","backend":"memengine","max_batch_size":0,"input":[{"name":"a","data_type":"TYPE_FP32","dims":[-1,4]},`},
	{"GET", "/v2/models/text/versions/1/config", "", 200, "", `"data_type":"TYPE_STRING"`},
	{"GET", "/v2/models/nosuch/config", "", 404, "not_found", ""},
	{"GET", "/v2/models/stats", "", 200, "", `{"model_stats":[{"name":"addsub","version":"1","last_inference":0,"inference_count":0,"execution_count":0,"inference_stats":{"success":{"count":0,"ns":0},`},
	{"GET", "/v2/models/addsub/stats", "", 200, "", `"version":"2"`},
	{"GET", "/v2/models/addsub/versions/1/stats", "", 200, "", `"version":"1"`},
	{"GET", "/v2/models/nosuch/stats", "", 404, "not_found", ""},
	{"POST", "/v2/models/addsub/infer", addsubBody, 200, "", `"model_name":"addsub","model_version":"2"`},
	{"POST", "/v2/models/addsub/versions/1/infer", addsubBody, 200, "", `"model_version":"1"`},
	{"POST", "/v2/models/addsub/infer", `{`, 400, "invalid", ""},
	{"POST", "/v2/models/addsub/infer", "", 400, "invalid", ""},
	{"POST", "/v2/models/nosuch/infer", addsubBody, 404, "not_found", ""},
	{"POST", "/v2/models/addsub/versions/9/infer", addsubBody, 404, "not_found", ""},
	{"POST", "/v2/models/loading/infer", addsubBody, 503, "unavailable", ""},
	{"POST", "/v2/repository/index", "", 200, "", `[{"name":"addsub","version":"1","state":"READY","reason":""},`},
	{"POST", "/v2/repository/index", `{"ready":false}`, 200, "", `{"name":"loading","version":"1","state":"LOADING","reason":""}`},
	{"POST", "/v2/repository/index", `{"ready":1}`, 400, "invalid", ""},
	{"POST", "/v2/repository/index", `{`, 400, "invalid", ""},
	{"POST", "/v2/repository/index", strings.Repeat(" ", 65<<10), 413, "too_large", ""},
	{"POST", "/v2/repository/models/addsub/load", "", 501, "unsupported", ""},
	{"POST", "/v2/repository/models/addsub/unload", `{"parameters":{}}`, 501, "unsupported", ""},
	{"POST", "/v2/repository/models/..%2fx/load", "", 400, "invalid", ""},
	{"GET", "/openapi.json", "", 200, "", `"openapi": "3.1.0"`},
	{"GET", "/metrics", "", 200, "", "the metrics"},
	{"GET", "/", "", 200, "", "the page"},

	{"GET", "/v2/models", "", 404, "not_found", ""},
	{"GET", "/v3", "", 404, "not_found", ""},
	{"GET", "/v2/health", "", 404, "not_found", ""},
	{"GET", "/v2/health/live/", "", 404, "not_found", ""},
	{"GET", "/index.html", "", 404, "not_found", ""},
	{"GET", "/../etc/passwd", "", 400, "invalid", ""},
	{"GET", "/v2/models/%2e%2e/ready", "", 400, "invalid", ""},
	{"GET", "/v2/models/..%2f..%2fetc%2fpasswd", "", 400, "invalid", ""},
	{"GET", "/v2//models", "", 400, "invalid", ""},
	{"GET", "//", "", 400, "invalid", ""},
	{"GET", "/v2/models/a%00b", "", 400, "invalid", ""},
	{"GET", "/v2/models/a%0ab", "", 400, "invalid", ""},
	{"GET", "/v2/models/%ff", "", 400, "invalid", ""},
	{"GET", "/v2/models/%c3%a4", "", 400, "invalid", ""},
	{"GET", "/v2/models/%20", "", 400, "invalid", ""},
	{"GET", "/v2/models/.hidden", "", 400, "invalid", ""},
	{"GET", "/v2/models/-x", "", 400, "invalid", ""},
	{"GET", "/v2/models/a%5cb", "", 400, "invalid", ""},
	{"GET", "/v2/models/d%D1%96gits", "", 400, "invalid", ""}, // a Cyrillic look-alike
	{"GET", "/v2/models/" + strings.Repeat("m", 129), "", 400, "invalid", ""},
	{"GET", "/v2/models/" + strings.Repeat("m", 128), "", 404, "not_found", ""},
	{"GET", "/v2/models/a..b", "", 404, "not_found", ""},
	{"GET", "/v2/models/addsub/versions/..%2f", "", 400, "invalid", ""},

	{"DELETE", "/v2", "", 405, "invalid", ""},
	{"POST", "/v2/models/addsub", "{}", 405, "invalid", ""},
	{"GET", "/v2/models/addsub/infer", "", 405, "invalid", ""},
	{"HEAD", "/v2/models/addsub/infer", "", 405, "invalid", ""},
	{"PUT", "/v2/models/addsub/infer", addsubBody, 405, "invalid", ""},
	{"TRACE", "/v2/models/addsub/infer", "", 405, "invalid", ""},
	{"BREW\x7f", "/v2", "", 405, "invalid", ""},
	{"GET", "/v2/repository/index", "", 405, "invalid", ""},
	{"DELETE", "/nowhere", "", 404, "not_found", ""},
	{"OPTIONS", "/nowhere", "", 404, "not_found", ""},
	{"OPTIONS", "/v2/models/addsub/infer", "", 204, "", ""},
	{"OPTIONS", "/v2", "", 204, "", ""},
	{"HEAD", "/v2/health/live", "", 200, "", ""},
	{"HEAD", "/v2/models/addsub", "", 200, "", ""},
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) })
}

func TestRoutes(t *testing.T) {
	f := newFixture(t, &oip.Options{Metrics: text("the metrics"), Page: text("the page")})
	if err := f.registry.Declare("loading", "1"); err != nil {
		t.Fatal(err)
	}
	hit := map[oip.Route]bool{}
	for _, tt := range routes {
		t.Run(tt.method+" "+tt.path[:min(len(tt.path), 60)], func(t *testing.T) {
			method := strings.TrimSuffix(tt.method, "\x7f")
			r := make([]string, 0, 2)
			if tt.body != "" {
				r = append(r, "Content-Type", "application/json")
			}
			w := do(f, method, tt.path, tt.body, r...)
			if got := codeIn(t, w.Body.Bytes()); w.Code != tt.status || got != tt.code {
				t.Fatalf("got %d %q, want %d %q: %s", w.Code, got, tt.status, tt.code, w.Body)
			}
			if !strings.Contains(w.Body.String(), tt.contains) {
				t.Errorf("body lacks %s:\n%s", tt.contains, w.Body)
			}
			h := w.Header()
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Traceparent") == "" {
				t.Errorf("header %v", h)
			}
			if wantAllow := tt.status == 405 || tt.status == 204; (h.Get("Allow") != "") != wantAllow {
				t.Errorf("Allow: %q", h.Get("Allow"))
			}
			if tt.status == 503 && tt.code != "" && h.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
		for _, route := range f.Routes() {
			if route.Method == tt.method && matches(route.Pattern, tt.path) {
				hit[route] = true
			}
		}
	}
	for _, route := range f.Routes() {
		if !hit[route] && route.Method != "HEAD" {
			t.Errorf("no case for %+v", route)
		}
		if route.Probe != strings.HasPrefix(route.Pattern, "/v2/health/") {
			t.Errorf("%+v: only health is a probe", route)
		}
	}
}

func matches(pattern, path string) bool {
	p, q := strings.Split(strings.ReplaceAll(pattern, "{$}", ""), "/"), strings.Split(path, "/")
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] && !strings.HasPrefix(p[i], "{") {
			return false
		}
	}
	return true
}

func TestOptionalRoutes(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"/", "/metrics"} {
		wantError(t, do(f, "GET", path, ""), 404, fault.NotFound)
	}
}

func TestReadiness(t *testing.T) {
	var reason error
	f := newFixture(t, &oip.Options{Ready: func() error { return reason }})
	status := func() int { return do(f, "GET", "/v2/health/ready", "").Code }
	if got := status(); got != 200 {
		t.Errorf("ready: %d, want 200", got)
	}
	reason = fault.New(fault.Unavailable, "", "", secret)
	if w := do(f, "GET", "/v2/health/ready", ""); w.Code != 503 || strings.Contains(w.Body.String(), "db-7") {
		t.Errorf("not ready: %d %s, want 503 without a reason", w.Code, w.Body)
	}
	if got := do(f, "GET", "/v2/health/live", "").Code; got != 200 {
		t.Errorf("live although not ready: %d, want 200", got)
	}
	reason = nil
	f.Drain()
	if got := status(); got != 503 {
		t.Errorf("draining: %d, want 503", got)
	}
	if got := infers(f, "addsub", addsubBody).Code; got != 200 {
		t.Errorf("infer while draining: %d, want 200", got)
	}
}
