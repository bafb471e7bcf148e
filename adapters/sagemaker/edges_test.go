package sagemaker_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/adapters/sagemaker"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

const (
	rawBody    = `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`
	attributes = "X-Amzn-Sagemaker-Custom-Attributes"
)

// of is the adapter for one model.
func of(api *oip.Server, model string) http.Handler {
	return sagemaker.New(api, nil, &sagemaker.Options{Model: model})
}

// Every number that JSON has is one here, and nothing else is.
func TestNumbersOfRows(t *testing.T) {
	s := adaptertest.For(t, nil)
	row := func(text, contentType string) *httptest.ResponseRecorder {
		return adaptertest.Ask(of(s.API, "echo-FP64"), http.MethodPost, "/invocations", text, "Content-Type: "+contentType, "Accept: text/csv")
	}
	for text, want := range map[string]string{
		"1e5": "100000", "1E5": "100000", "1e+5": "100000", "1e-5": "0.00001", "-0": "-0", "0.5": "0.5", "0e0": "0", " 10\t": "10",
		"": "", "-": "", "+1": "", ".5": "", "1.": "", "1e": "", "1e+": "", "01": "", "0x1": "", "1 2": "", `"1"`: "", "1;": "", "1:": "", "1d5": "", "x1": "", "1x": "", "Inf": "",
	} {
		w := row("1,"+text+",3\n", "text/csv")
		if want == "" && (w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "line 1, column 2: want a number")) || want != "" && w.Body.String() != "1,"+want+",3\n" {
			t.Errorf("%q: want %q, got %d: %s", text, want, w.Code, w.Body)
		}
	}
	many := strings.Repeat("1,2,3\n", 12)
	if w := row(many, "text/csv"); w.Body.String() != many || !cmp.Equal(w.Header()["Content-Type"], []string{"text/csv"}) {
		t.Errorf("12 rows: got %d, %q: %s", w.Code, w.Header()["Content-Type"], w.Body)
	}
	if w := adaptertest.Ask(of(s.API, "echo-BOOL"), http.MethodPost, "/invocations", "1,0,1", "Content-Type: text/csv"); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("rows of BOOL: want 415, got %d: %s", w.Code, w.Body)
	}
	for contentType, want := range map[string]int{
		"text/csv; label_size=0": 200, "text/csv; header=absent": 200, "text/csv; header=none": 415, "text/csv; charset=latin1": 415, "text/csv; x=1": 415,
	} {
		if w := row("1,2,3\n", contentType); w.Code != want {
			t.Errorf("%s: want %d, got %d: %s", contentType, want, w.Code, w.Body)
		}
	}
}

// Rows are only for answers that are some.
func TestAnswersThatAreNoRows(t *testing.T) {
	s := adaptertest.For(t, nil)
	number := tensor.Of("y", []int64{1}, []float32{1})
	for name, c := range map[string]struct {
		outputs []tensor.Tensor
		want    string
	}{
		"a column":         {[]tensor.Tensor{tensor.Of("y", []int64{2}, []float32{1, 2})}, "1\n2\n"},
		"nothing":          {[]tensor.Tensor{tensor.Of("y", []int64{0, 2}, []float32{})}, ""},
		"a number":         {[]tensor.Tensor{tensor.Of("y", nil, []float32{1})}, "1\n"},
		"two outputs":      {[]tensor.Tensor{number, number}, "unprocessable"},
		"texts":            {[]tensor.Tensor{tensor.OfStrings("y", []int64{1}, "a")}, "unprocessable"},
		"three dimensions": {[]tensor.Tensor{tensor.Of("y", []int64{1, 1, 1}, []float32{1})}, "unprocessable"},
	} {
		api := oip.New(s.Models, infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
			return &infer.Response{Model: "echo-FP32", Outputs: c.outputs}, nil
		}), nil)
		w := adaptertest.Ask(of(api, "echo-FP32"), http.MethodPost, "/invocations", "1,2,3", "Content-Type: text/csv", "Accept: text/csv")
		if got := w.Body.String(); w.Code == http.StatusOK && got != c.want || w.Code != http.StatusOK && !strings.Contains(got, c.want) || c.want == "" && w.Code != http.StatusOK {
			t.Errorf("%s: want %q, got %d: %s", name, c.want, w.Code, got)
		}
	}
}

// An answer is one document, of a refusal too.
func TestOneDocument(t *testing.T) {
	s := adaptertest.For(t, nil)
	if err := s.Models.Declare("loading", "1"); err != nil {
		t.Fatal(err)
	}
	second, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"m": memengine.AddSub()}), "m", &infer.Options{Name: "addsub", Version: "2", Digest: "sha256:00"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Models.Add(second); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		model, method, path, body string
		headers                   []string
		status                    int
		want                      string
	}{
		"no name to invoke":     {"", "POST", "/models//invoke", rawBody, nil, 400, "want /models/NAME/invoke"},
		"invoked by name":       {"", "POST", "/models/echo-FP32/invoke", rawBody, nil, 200, `"model_name":"echo-FP32"`},
		"a name escaped":        {"", "POST", "/models/echo%2DFP32/invoke", rawBody, nil, 200, `"model_name":"echo-FP32"`},
		"a version torn":        {"echo-FP32", "POST", "/invocations", rawBody, []string{attributes + ": version=%zz"}, 400, "encoded as in a URL"},
		"two versions":          {"echo-FP32", "POST", "/invocations", rawBody, []string{attributes + ": version=1&version=1"}, 400, "each once"},
		"a version like a path": {"echo-FP32", "POST", "/invocations", rawBody, []string{attributes + ": version=..%2F1"}, 400, "invalid"},
		"an empty model":        {"echo-FP32", "POST", "/invocations", rawBody, []string{attributes + ": model="}, 400, "want the name of one of several models"},
		"loaded already":        {"", "POST", "/models", `{"model_name":"addsub"}`, nil, 409, `{"error":"the model is loaded already"}`},
		"loading":               {"", "POST", "/models", `{"model_name":"b"}`, nil, 501, "cannot load it"},
		"the models":            {"", "GET", "/models", "", nil, 200, `{"models":[{"modelName":"addsub"`},
		"loading what loads":    {"", "POST", "/models", `{"model_name":"loading"}`, nil, 501, "cannot load it"},
		"a long document":       {"", "POST", "/models", `{"model_name":"b"}` + strings.Repeat(" ", 60<<10), nil, 501, "cannot load it"},
		"rows for no model":     {"", "POST", "/models/none/invoke", "1,2,3", []string{"Content-Type: text/csv"}, 404, "not_found"},
		"unloading":             {"", "DELETE", "/models/addsub", "", nil, 501, "cannot unload it"},
	} {
		t.Run(name, func(t *testing.T) {
			w := adaptertest.Ask(of(s.API, c.model), c.method, c.path, c.body, append([]string{"Content-Type: application/json"}, c.headers...)...)
			adaptertest.Answered(t, w, c.status, c.want)
			adaptertest.OneDocument(t, w)
			if got := w.Body.String(); name == "the models" && (strings.Contains(got, "loading") || strings.Count(got, `"addsub"`) != 1) {
				t.Errorf("want one entry for each model that is ready, got %s", got)
			}
		})
	}
}

// Rows may be as many bytes as any body, are for the input whatever it is
// called, and a number that JSON cannot hold is refused in every form of answer.
func TestRowsAtTheEdges(t *testing.T) {
	m := memengine.Identity(tensor.FP32, -1, 1)
	m.Signature.Inputs[0].Name = `a "name"`
	one, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"m": m}), "m", &infer.Options{Name: "m", Digest: "sha256:00"})
	if err != nil {
		t.Fatal(err)
	}
	wide, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"w": memengine.Identity(tensor.FP32, -1, 12)}), "w", &infer.Options{Name: "wide", Digest: "sha256:00"})
	if err != nil {
		t.Fatal(err)
	}
	models := &infer.Registry{}
	if err := errors.Join(models.Add(one), models.Add(wide)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := models.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	rows := strings.Repeat("1\n", 32)
	api := oip.New(models, one, &oip.Options{Limits: &codec.Limits{Body: int64(len(rows))}})
	adaptertest.Answered(t, adaptertest.Ask(of(api, "m"), "POST", "/invocations", rows, "Content-Type: text/csv", "Accept: text/csv"), 200, "="+rows)
	adaptertest.Answered(t, adaptertest.Ask(of(api, "m"), "POST", "/invocations", rows+"1", "Content-Type: text/csv"), 413, "want at most 64 bytes")

	adaptertest.Answered(t, adaptertest.Ask(of(api, "m"), "POST", "/invocations", "1", "Content-Type: text/csv", "Accept: text/csv, */*"), 200, "=1\n")

	twelve := strings.Repeat("1,2,3,4,5,6,7,8,9,10,11,12\n", 11)
	adaptertest.Answered(t, adaptertest.Ask(of(oip.New(models, wide, nil), "wide"), "POST", "/invocations", twelve, "Content-Type: text/csv", "Accept: text/csv"), 200, "="+twelve)

	none := oip.New(models, infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
		return &infer.Response{Model: "m", Outputs: []tensor.Tensor{tensor.Of("y", []int64{1}, []float32{float32(math.NaN())})}}, nil
	}), nil)
	for _, accept := range []string{"text/csv", "application/json", "application/jsonlines", "*/*, text/csv"} {
		w := adaptertest.Ask(of(none, "m"), "POST", "/invocations", "1", "Content-Type: text/csv", "Accept: "+accept)
		adaptertest.Answered(t, w, 422, "NaN")
		adaptertest.OneDocument(t, w)
	}
	if w := adaptertest.Ask(of(api, "m"), "POST", "/invocations", "1", "Content-Type: text/csv", "Accept: application/json, text/csv"); w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("JSON rather than rows: got %d, %q", w.Code, w.Header())
	}
}

func TestLimits(t *testing.T) {
	for drain, want := range map[time.Duration]time.Duration{0: time.Second, 5 * time.Second: 5 * time.Second, time.Minute: 29 * time.Second} {
		o := httpserve.Options{Drain: drain}
		if sagemaker.Limits(&o); o.Drain != want || !o.NoGRPC {
			t.Errorf("drain %v: want %v and no gRPC, got %v, %t", drain, want, o.Drain, o.NoGRPC)
		}
	}
}

// The headers of a connection's requests may be shared.
func TestRequestsStayAsTheyAre(t *testing.T) {
	s := adaptertest.For(t, nil)
	for _, c := range [][3]string{
		{"/invocations?a=b", "application/json", rawBody},
		{"/invocations", sagemaker.BinaryType + ";json-header-size=72", rawBody},
		{"/invocations", "text/csv", "1,2,3"},
		{"/models/echo-FP32/invoke", "application/json", rawBody},
		{"/invocations", "application/jsonlines", rawBody},
	} {
		r := httptest.NewRequest(http.MethodPost, c[0], strings.NewReader(c[2]))
		r.Header.Set("Content-Type", c[1])
		r.Header.Set("X-Amzn-SageMaker-Inference-Id", "7")
		header, u := r.Header.Clone(), *r.URL
		of(s.API, "echo-FP32").ServeHTTP(httptest.NewRecorder(), r)
		if diff := cmp.Diff(header, r.Header); diff != "" || *r.URL != u {
			t.Errorf("%s: %s (-want +got):\n%s", c, r.URL, diff)
		}
	}
}

func TestHere(t *testing.T) {
	for _, name := range []string{"SAGEMAKER_BIND_TO_PORT", "SAGEMAKER_SAFE_PORT_RANGE", "SAGEMAKER_BATCH", "SAGEMAKER_MULTI_MODEL"} {
		if !sagemaker.Here(func(asked string) string { return map[string]string{name: "1"}[asked] }) {
			t.Errorf("%s: not recognised", name)
		}
	}
}

// Who may not ask learns that and nothing else, whatever is wrong with what
// they ask. A ping is everybody's, and says nothing.
func TestAccessComesFirst(t *testing.T) {
	s := adaptertest.For(t, nil)
	var auth adaptertest.Refusing
	h := sagemaker.New(oip.New(s.Models, nil, &oip.Options{Auth: &auth}), s.Events, nil)
	for _, c := range []struct {
		method, path, contentType string
		want                      oip.Scope
	}{
		{"POST", "/invocations", "application/json", oip.ScopeInfer},
		{"POST", "/invocations", "text/csv", oip.ScopeInfer},
		{"POST", "/invocations", "application/jsonlines", oip.ScopeInfer},
		{"POST", "/models/none/invoke", "application/jsonlines", oip.ScopeInfer},
		{"POST", "/models//invoke", "application/json", oip.ScopeInfer},
		{"GET", "/invocations", "application/json", oip.ScopeInfer},
		{"GET", "/execution-parameters", "", oip.ScopeMetadata},
		{"GET", "/models", "", oip.ScopeMetadata},
		{"GET", "/models/a", "", oip.ScopeMetadata},
		{"POST", "/models", "application/json", oip.ScopeAdmin},
		{"DELETE", "/models/a", "", oip.ScopeAdmin},
	} {
		auth.Scopes = nil
		w := adaptertest.Ask(h, c.method, c.path, "x", "Content-Type: "+c.contentType)
		if w.Code != http.StatusForbidden || !cmp.Equal(auth.Scopes, []oip.Scope{c.want}) {
			t.Errorf("%s %s: want 403 after one look for %s, got %d after %q", c.method, c.path, c.want, w.Code, auth.Scopes)
		}
	}
	auth.Scopes = nil
	w := adaptertest.Ask(h, http.MethodGet, "/ping", "")
	if w.Code != http.StatusOK || w.Body.Len() != 0 || !cmp.Equal(w.Header()["Content-Length"], []string{"0"}) || auth.Scopes != nil {
		t.Errorf("a ping: want 200 and nothing, unasked, got %d, %q, after %q", w.Code, w.Body, auth.Scopes)
	}
}
