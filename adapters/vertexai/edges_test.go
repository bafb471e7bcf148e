package vertexai_test

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/adapters/vertexai"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

const rawBody = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`

// ask sends body to the predict route of an adapter for one model.
func ask(api *oip.Server, contentType, redirect, body string) *httptest.ResponseRecorder {
	headers := []string{"Content-Type: " + contentType}
	if redirect != "" {
		headers = append(headers, "X-Vertex-Ai-Triton-Redirect: "+redirect)
	}
	return adaptertest.Ask(vertexai.New(api, &vertexai.Options{Model: "echo-FP32"}), http.MethodPost, "/predict", body, headers...)
}

// An answer is one document with one content type, in every form.
func TestAnswers(t *testing.T) {
	s := adaptertest.For(t, nil)
	for name, c := range map[string]struct {
		contentType, redirect, body string
		status                      int
	}{
		"predict":               {"application/json", "", `{"instances":[[1,2,3]]}`, 200},
		"raw":                   {"application/json; charset=utf-8", "", rawBody, 200},
		"redirected":            {"application/json", "v2/models/echo-FP32/infer", rawBody, 200},
		"a name escaped":        {"application/json", "v2/models/echo%2DFP32/infer", rawBody, 200},
		"a path in a name":      {"application/json", "v2/models/a%2Fb/infer", rawBody, 400},
		"a version in a name":   {"application/json", "v2/models/echo-FP32%2Fversions%2F1/infer", rawBody, 400},
		"a version, no text":    {"application/json", "", `{"instances":[[1,2,3]],"parameters":{"version":1}}`, 400},
		"another type":          {"text/csv", "", "1,2,3", 415},
		"no path of ours":       {"application/json", "metrics", rawBody, 400},
		"a path torn":           {"application/json", "v2/%zz", rawBody, 400},
		"binary, no such model": {vertexai.BinaryType + ";json-header-size=7", "v2/models/none/infer", rawBody, 404},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(s.API, c.contentType, c.redirect, c.body)
			adaptertest.Answered(t, w, c.status, "")
			adaptertest.OneDocument(t, w)
		})
	}
	w := ask(s.API, "application/json", "", strings.Replace(rawBody, `{"inputs"`, `{"parameters":{"binary_data_output":true},"inputs"`, 1))
	header, ok := strings.CutPrefix(w.Header().Get("Content-Type"), vertexai.BinaryType+";json-header-size=")
	if n, err := strconv.Atoi(header); !ok || err != nil || n != w.Body.Len()-12 || !json.Valid(w.Body.Bytes()[:n]) {
		t.Errorf("binary tensors from JSON: want the length of the JSON in the type, got %q of %d bytes", w.Header().Get("Content-Type"), w.Body.Len())
	}
}

// Binary tensors have their length in the type, wherever the request was sent on to.
func TestRedirectedBinary(t *testing.T) {
	s := adaptertest.For(t, nil)
	body := strings.Replace(rawBody, `{"inputs"`, `{"parameters":{"binary_data_output":true},"inputs"`, 1)
	for _, redirect := range []string{"", "v2/models/echo-FP32/infer"} {
		w := ask(s.API, vertexai.BinaryType+";json-header-size="+strconv.Itoa(len(body)), redirect, body)
		if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != vertexai.BinaryType+";json-header-size="+strconv.Itoa(w.Body.Len()-12) {
			t.Errorf("%q: got %d, %q of %d bytes", redirect, w.Code, got, w.Body.Len())
		}
	}
	echo := infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
		return &infer.Response{Model: "echo-FP32", Outputs: []tensor.Tensor{tensor.Of("y", []int64{100}, make([]float32, 100))}}, nil
	})
	small := oip.New(s.Models, echo, &oip.Options{Limits: &codec.Limits{Response: 300}})
	if w := ask(small, "application/json", "", body); w.Code == http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("an answer that is too large: got %d, %q", w.Code, w.Header())
	}
}

func TestHere(t *testing.T) {
	for _, name := range []string{"AIP_HTTP_PORT", "AIP_PREDICT_ROUTE"} {
		if !vertexai.Here(func(asked string) string { return map[string]string{name: "1"}[asked] }) {
			t.Errorf("%s: not recognised", name)
		}
	}
}

func TestLimits(t *testing.T) {
	for drain, want := range map[time.Duration]time.Duration{0: time.Second, 5 * time.Second: 5 * time.Second, time.Minute: 9 * time.Second} {
		o := httpserve.Options{Drain: drain}
		if vertexai.Limits(&o); o.Drain != want || o.NoGRPC {
			t.Errorf("drain %v: want %v and gRPC, got %v, %t", drain, want, o.Drain, o.NoGRPC)
		}
	}
}

// The headers of a connection's requests may be shared.
func TestRequestsStayAsTheyAre(t *testing.T) {
	s := adaptertest.For(t, nil)
	for _, c := range [][3]string{
		{"application/json", "", `{"instances":[[1,2,3]]}`},
		{"application/json", "v2/models/echo-FP32/infer", rawBody},
		{vertexai.BinaryType + ";json-header-size=" + strconv.Itoa(len(rawBody)), "", rawBody},
		{"text/csv", "", "1,2,3"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/predict?a=b", strings.NewReader(c[2]))
		r.Header.Set("Content-Type", c[0])
		if c[1] != "" {
			r.Header.Set("X-Vertex-Ai-Triton-Redirect", c[1])
		}
		header, u := r.Header.Clone(), *r.URL
		vertexai.New(s.API, &vertexai.Options{Model: "echo-FP32"}).ServeHTTP(httptest.NewRecorder(), r)
		if diff := cmp.Diff(header, r.Header); diff != "" || *r.URL != u || r.Method != http.MethodPost {
			t.Errorf("%s: %s %s (-want +got):\n%s", c[0], r.Method, r.URL, diff)
		}
	}
}

// Who may not ask learns that and nothing else, whatever is wrong with what they ask.
func TestAccessComesFirst(t *testing.T) {
	var auth adaptertest.Refusing
	api := oip.New(&infer.Registry{}, nil, &oip.Options{Auth: &auth})
	for _, c := range [][2]string{{"application/json", ""}, {"text/csv", ""}, {"application/json", "metrics"}, {"application/json", "v2/%zz"}, {vertexai.BinaryType, ""}} {
		auth.Scopes = nil
		w := ask(api, c[0], c[1], "x")
		if w.Code != http.StatusForbidden || !cmp.Equal(auth.Scopes, []oip.Scope{oip.ScopeInfer}) {
			t.Errorf("%q: want 403 after one look for infer, got %d after %q", c, w.Code, auth.Scopes)
		}
	}
	auth.Scopes = nil
	if w := ask(api, "application/json", "v2/repository/models/m/load", "{}"); w.Code != http.StatusForbidden || !cmp.Equal(auth.Scopes, []oip.Scope{oip.ScopeAdmin}) {
		t.Errorf("to load a model: want 403 after one look for admin, got %d after %q", w.Code, auth.Scopes)
	}
}

// An answer that JSON cannot hold is refused in either form, and one without
// rows is the protocol's only.
func TestAnswersThatAreNone(t *testing.T) {
	s := adaptertest.For(t, nil)
	var out tensor.Tensor
	api := oip.New(s.Models, infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
		return &infer.Response{Model: "echo-FP32", Outputs: []tensor.Tensor{out}}, nil
	}), nil)
	const predict = `{"instances":[[1,2,3]]}`
	out = tensor.Of("y", []int64{1}, []float32{float32(math.NaN())})
	for _, body := range []string{predict, rawBody} {
		if w := ask(api, "application/json", "", body); w.Code != fault.Unprocessable.HTTP() || strings.Contains(w.Body.String(), "outputs") {
			t.Errorf("NaN for %s: want %d, got %d: %s", body, fault.Unprocessable.HTTP(), w.Code, w.Body)
		}
	}
}

// One path may be for both routes: GET asks for health, and POST for predictions.
func TestOneRouteForBoth(t *testing.T) {
	s := adaptertest.For(t, nil)
	h := vertexai.New(s.API, &vertexai.Options{Health: "/", Predict: "/", Model: "echo-FP32"})
	for method, want := range map[string]string{http.MethodGet: `"ready":true`, http.MethodPost: `"predictions":[[1,2,3]]`} {
		r := httptest.NewRequest(method, "/", strings.NewReader(`{"instances":[[1,2,3]]}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: want %s, got %d: %s", method, want, w.Code, w.Body)
		}
	}
}
