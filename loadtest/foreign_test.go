package loadtest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
)

// foreign answers as a server of another make does, which knows only these routes.
func foreign(t *testing.T, routes map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := routes[r.Method+" "+r.URL.Path]
		if !ok {
			http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/infer") {
			body, _ := io.ReadAll(r.Body)
			var req struct{ Inputs []json.RawMessage }
			if json.Unmarshal(body, &req) != nil || len(req.Inputs) != 1 || r.Header.Get("Content-Type") != "application/json" {
				http.Error(w, `{"error":"bad"}`, http.StatusBadRequest)
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// What servers of other makes answer, in their own words, is enough to find the
// model, make requests up and say who was asked.
func TestServersOfOtherMakes(t *testing.T) {
	const answer = `{"model_name":"m","model_version":null,"id":"7","parameters":{"x":1},"outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[1.5],"parameters":null}]}`
	const meta = `{"name":"m","versions":[],"platform":"","inputs":[{"name":"x","datatype":"FP32","shape":[-1,4],"parameters":{}}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1]}]}`
	for name, c := range map[string]struct {
		routes map[string]string
		server string
	}{
		"with a list of models, as KServe's": {map[string]string{"GET /v2": `{"name":"kserve","version":"0.15","extensions":["model_repository_extension"]}`,
			"GET /v2/models": `{"models":["m"]}`, "GET /v2/models/m": meta, "POST /v2/models/m/infer": answer}, "kserve 0.15"},
		"with an index, as MLServer's and Triton's": {map[string]string{"GET /v2": `{"name":"mlserver","version":"1.7","extensions":[]}`,
			"POST /v2/repository/index": `[{"name":"m","version":null,"state":"READY","reason":""}]`, "GET /v2/models/m": meta, "POST /v2/models/m/infer": answer}, "mlserver 1.7"},
		"that says nothing of itself": {map[string]string{"POST /v2/repository/index": `[{"name":"m"}]`, "GET /v2/models/m": meta, "POST /v2/models/m/infer": answer}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := loadtest.Open(t.Context(), &loadtest.Options{Target: foreign(t, c.routes), Duration: time.Minute, Count: 20, Connections: 2})
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Run(t.Context())
			if err != nil || r.OK != 20 || r.Model != "m" || r.Payloads != 64 {
				t.Errorf("want 20 answers of m to made-up requests, got %+v, %v", r, err)
			}
			if about := s.About(t.Context()); about.Server != c.server || about.Model != "m" || about.Digest != "" {
				t.Errorf("want the server's name %q, got %+v", c.server, about)
			}
		})
	}
	_, err := loadtest.Open(t.Context(), &loadtest.Options{Target: foreign(t, map[string]string{"GET /v2/models/m": meta})})
	if err == nil || fault.HintOf(err) != "Name the model; not every server lists its models." {
		t.Errorf("want to be asked for the name, got %v", err)
	}
}
