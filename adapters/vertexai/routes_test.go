package vertexai_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/adapters/vertexai"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

func TestRoutes(t *testing.T) {
	s := adaptertest.For(t, nil)
	const (
		body     = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`
		header   = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"INT8","parameters":{"binary_data_size":3}}],"parameters":{"binary_data_output":true}}`
		redirect = "X-Vertex-Ai-Triton-Redirect"
		json     = "Content-Type: application/json"
		binary   = "Content-Type: " + vertexai.BinaryType
		meta     = `"metadata":{"model_name":"echo-FP32","model_version":"1","parameters":{"model_digest":"sha256:00","prediction_id":"p-1"}}}`
	)
	of := func(model string) *vertexai.Options { return &vertexai.Options{Model: model} }
	own := &vertexai.Options{Health: "/healthz", Predict: "/p", Model: "echo-FP32"}
	for name, c := range map[string]struct {
		opts         *vertexai.Options
		method, path string
		headers      []string
		body         string
		status       int
		want         string // within the answer; begins with "=": the whole
	}{
		"healthy":                                {nil, "GET", "/health", nil, "", 200, `"ready":true`},
		"own health":                             {own, "GET", "/healthz", nil, "", 200, `"ready":true`},
		"the default's":                          {own, "GET", "/health", nil, "", 404, "not_found"},
		"own predict":                            {own, "POST", "/p", []string{json}, `{"instances":[[1,2,3]]}`, 200, `{"predictions":[[1,2,3]]`},
		"rows":                                   {of("echo-FP32"), "POST", "/predict", []string{json}, `{"instances":[[0.1,2,3],[4,5,6]]}`, 200, `={"predictions":[[0.1,2,3],[4,5,6]],` + meta},
		"no content type":                        {of("echo-FP32"), "POST", "/predict", nil, `{"instances":[[0.1,2,3]]}`, 200, `={"predictions":[[0.1,2,3]],` + meta},
		"named":                                  {nil, "POST", "/predict", []string{json}, `{"instances":[[1,2,3]],"parameters":{"model":"echo-FP32","version":"1"}}`, 200, `={"predictions":[[1,2,3]],` + meta},
		"no such version":                        {of("echo-FP32"), "POST", "/predict", []string{json}, `{"instances":[[1,2,3]],"parameters":{"version":"2"}}`, 404, "not_found"},
		"a name like a path":                     {nil, "POST", "/predict", []string{json}, `{"instances":[[1,2,3]],"parameters":{"model":"../x"}}`, 400, "invalid"},
		"a name that is none":                    {nil, "POST", "/predict", []string{json}, `{"instances":[[1,2,3]],"parameters":{"model":1}}`, 400, "want a text, got 1"},
		"none of several":                        {nil, "POST", "/predict", []string{json}, `{"instances":[[1,2,3]]}`, 400, "want a model name"},
		"two outputs":                            {of("addsub"), "POST", "/predict", []string{json}, `{"instances":[{"a":[1,2,3,4],"b":[4,3,2,1]}]}`, 200, `{"predictions":[{"sum":[5,5,5,5],"diff":[-3,-1,1,3]}]`},
		"one input of two":                       {of("addsub"), "POST", "/predict", []string{json}, `{"instances":[{"a":[1,2,3,4]}]}`, 400, `input \"b\"`},
		"large whole numbers":                    {of("echo-INT64"), "POST", "/predict", []string{json}, `{"instances":[[9007199254740993,2,3]]}`, 200, `{"predictions":[[9007199254740993,2,3]]`},
		"bytes":                                  {of("text"), "POST", "/predict", []string{json}, `{"instances":["a",{"b64":"/w=="}]}`, 200, `{"predictions":["a",{"b64":"/w=="}]`},
		"another shape":                          {of("echo-FP32"), "POST", "/predict", []string{json}, `{"instances":[[1,2]]}`, 400, `want FP32 [-1 3], got FP32 [1 2]`},
		"raw":                                    {of("echo-FP32"), "POST", "/predict", []string{json}, body, 200, `"outputs":[{"name":"y"`},
		"raw, none of several":                   {nil, "POST", "/predict", []string{json}, body, 400, redirect},
		"raw, asking binary":                     {of("echo-FP32"), "POST", "/predict", []string{json}, strings.Replace(body, `{"inputs"`, `{"parameters":{"binary_data_output":true},"inputs"`, 1), 200, "\x00\x00\x80\x3f"},
		"redirected":                             {nil, "POST", "/predict", []string{json, redirect + ": v2/models/echo-FP32/versions/1/infer"}, body, 200, `"model_version":"1"`},
		"redirected elsewhere":                   {nil, "POST", "/predict", []string{json, redirect + ": /v2/repository/index"}, "{}", 200, `"echo-FP32"`},
		"redirected to what is asked for by GET": {nil, "POST", "/predict", []string{json, redirect + ": v2/models/echo-FP32"}, "{}", 200, `"name":"echo-FP32"`},
		"redirected to health":                   {nil, "POST", "/predict", []string{json, redirect + ": v2/health/ready"}, "{}", 200, `"ready":true`},
		"redirected by GET":                      {nil, "GET", "/predict", []string{json, redirect + ": v2/models/echo-FP32/infer"}, "", 405, "POST"},
		"redirected out":                         {nil, "POST", "/predict", []string{json, redirect + ": metrics"}, body, 400, "want a path such as"},
		"redirected up":                          {nil, "POST", "/predict", []string{json, redirect + ": v2/../metrics"}, body, 400, "invalid"},
		"redirected nowhere":                     {nil, "POST", "/predict", []string{json, redirect + ": v2/%zz"}, body, 400, redirect},
		"binary tensors":                         {of("echo-INT8"), "POST", "/predict", []string{binary + ";json-header-size=134"}, header + "\x01\x02\x03", 200, "\x01\x02\x03"},
		"binary, several":                        {nil, "POST", "/predict", []string{binary + ";json-header-size=134"}, header + "\x01\x02\x03", 400, redirect},
		"binary, redirected":                     {nil, "POST", "/predict", []string{binary + ";json-header-size=134", redirect + ": v2/models/echo-INT8/infer"}, header + "\x01\x02\x03", 200, "\x01\x02\x03"},
		"binary, no length":                      {of("echo-INT8"), "POST", "/predict", []string{binary}, header + "\x01\x02\x03", 400, "Inference-Header-Content-Length"},
		"another type":                           {of("echo-FP32"), "POST", "/predict", []string{"Content-Type: text/csv"}, "1,2,3", 415, vertexai.BinaryType},
		"a GET":                                  {of("echo-FP32"), "GET", "/predict", nil, "", 405, "POST"},
		"the protocol's route":                   {nil, "POST", "/v2/models/echo-FP32/infer", []string{json}, body, 200, `"outputs":[{"name":"y"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := adaptertest.Ask(vertexai.New(s.API, c.opts), c.method, c.path, c.body, c.headers...)
			adaptertest.Answered(t, w, c.status, c.want)
			if n := w.Header().Get("Inference-Header-Content-Length"); n != "" && !strings.HasPrefix(c.path, "/v2") {
				t.Errorf("want the length in the content type, got a header that would be lost, and %q", w.Header().Get("Content-Type"))
			}
		})
	}
	s.API.Drain()
	adaptertest.Answered(t, adaptertest.Ask(vertexai.New(s.API, nil), http.MethodGet, "/health", ""), http.StatusServiceUnavailable, "")
}

func TestContainer(t *testing.T) {
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	if got := vertexai.Address(getenv); got != ":8080" || vertexai.Here(getenv) {
		t.Errorf("address %s and here %t, want :8080 and false", got, vertexai.Here(getenv))
	}
	none := errors.New("none")
	if err := vertexai.NoFunction(getenv, none); err != none {
		t.Errorf("no function: want %v, got %v", none, err)
	}
	env["AIP_HTTP_PORT"], env["AIP_STORAGE_URI"] = "7080", "gs://bucket/model"
	if got := vertexai.Address(getenv); got != ":7080" || !vertexai.Here(getenv) {
		t.Errorf("address %s and here %t, want :7080 and true", got, vertexai.Here(getenv))
	}
	if err := vertexai.NoFunction(getenv, none); fault.CodeOf(err) != fault.Unsupported || !errors.Is(err, none) || !strings.Contains(err.Error(), "gs://bucket/model") || fault.HintOf(err) == "" {
		t.Errorf("no function: want unsupported, where it is and a hint, got %v", err)
	}
	o := httpserve.Options{Drain: time.Hour}
	vertexai.Limits(&o)
	if o.NoGRPC || o.Drain <= 0 || o.Drain.Seconds() >= 10 {
		t.Errorf("limits %+v, want gRPC and to be drained before 10 s", o)
	}
}

// What names the model is not among what reaches the handler; the rest is.
func TestParameters(t *testing.T) {
	s := adaptertest.For(t, nil)
	var got *infer.Request
	api := oip.New(s.Models, infer.HandlerFunc(func(_ context.Context, req *infer.Request) (*infer.Response, error) {
		got = req
		return nil, fault.New(fault.Unavailable, "", "", "seen")
	}), nil)
	r := httptest.NewRequest(http.MethodPost, "/predict", strings.NewReader(`{"parameters":{"model":"echo-FP32","version":"1","n":7},"instances":[[1,2,3]]}`))
	vertexai.New(api, nil).ServeHTTP(httptest.NewRecorder(), r)
	if got == nil || got.Model != "echo-FP32" || got.Version != "1" {
		t.Fatalf("want a request for echo-FP32, version 1, got %+v", got)
	}
	if diff := cmp.Diff(infer.Params{"n": int64(7)}, got.Params); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
}

// Whatever arrives on the predict route, the answer is one, and never an error of ours.
func FuzzPredict(f *testing.F) {
	for _, text := range []string{"application/json", vertexai.BinaryType + ";json-header-size=7", vertexai.BinaryType + ";json-header-size=-1", ";;", "text/csv"} {
		f.Add(text, "", []byte(`{"instances":[[1,2,3]]}`))
		f.Add(text, "v2/models/echo-FP32/infer", []byte(`{"inputs":[]}`))
	}
	s := adaptertest.For(f, nil)
	h := vertexai.New(s.API, &vertexai.Options{Model: "echo-FP32"})
	f.Fuzz(func(t *testing.T, contentType, redirect string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/predict", strings.NewReader(string(body)))
		r.Header["Content-Type"] = []string{contentType}
		r.Header["X-Vertex-Ai-Triton-Redirect"] = []string{redirect}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%q: status %d: %s", contentType, w.Code, w.Body)
		}
	})
}

// BenchmarkInfer is a request through the adapter, and the same without it.
func BenchmarkInfer(b *testing.B) {
	s := adaptertest.For(b, nil)
	const body = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`
	adapter := vertexai.New(s.API, &vertexai.Options{Model: "echo-FP32"})
	for _, c := range []struct {
		name, path, body string
		h                http.Handler
	}{
		{"bare", "/v2/models/echo-FP32/infer", body, s.API},
		{"raw", "/predict", body, adapter},
		{"predict", "/predict", `{"instances":[[1,2,3]]}`, adapter},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
				r.Header["Content-Type"] = []string{"application/json"}
				c.h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
