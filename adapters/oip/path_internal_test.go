package oip

import (
	"net/http"
	"net/url"
	"testing"
)

// What is read without the mux is what the mux reads.
func TestInferPath(t *testing.T) {
	mux, want := http.NewServeMux(), [2]string{}
	note := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		want = [2]string{r.PathValue("model"), r.PathValue("version")}
	})
	mux.Handle("/v2/models/{model}/infer", note)
	mux.Handle("/v2/models/{model}/versions/{version}/infer", note)
	for path, quick := range map[string]bool{
		"/v2/models/a/infer":                          true,
		"/v2/models/a.b-c_1/versions/2/infer":         true,
		"/v2/models/versions/versions/versions/infer": true,
		"/v2/models/infer/infer":                      true,
		"/v2/models/versions/1/infer":                 false,
		"/v2/models/a/versions/infer":                 false,
		"/v2/models/a/versions//infer":                false,
		"/v2/models/a/versions/1/versions/2/infer":    false,
		"/v2/models//infer":                           false,
		"/v2/models/infer":                            false,
		"/v2/models/./infer":                          false,
		"/v2/models/../infer":                         false,
		"/v2/models/a/infer/":                         false,
		"/v2/models/a//infer":                         false,
		"/v2/models/a%2Fb/infer":                      false,
		"/v2/models/%61/infer":                        false,
		"/v2/models/a%20b/infer":                      false,
		"/v2/models/a/ready":                          false,
		"/V2/models/a/infer":                          false,
	} {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			t.Fatal(err)
		}
		model, version, ok := inferPath(u)
		if ok != quick {
			t.Errorf("%s: %v, want %v", path, ok, quick)
		}
		if want = [2]string{}; ok {
			mux.ServeHTTP(nil, &http.Request{Method: "POST", URL: u})
			if got := [2]string{model, version}; got != want {
				t.Errorf("%s: %q, the mux says %q", path, got, want)
			}
		}
	}
}
