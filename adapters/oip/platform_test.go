package oip_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// lines is a platform's form: the model, and a number in each further line.
var lines = &oip.Form{
	Decode: func(body []byte) (*infer.Request, error) {
		words := strings.Split(string(body), "\n")
		values := make([]float32, 0, len(words))
		for _, word := range words[1:] {
			v, err := strconv.ParseFloat(word, 32)
			if err != nil {
				return nil, fault.New(fault.Invalid, "test", "body", "want a number, got %q", word)
			}
			values = append(values, float32(v))
		}
		return &infer.Request{Model: words[0], Inputs: []tensor.Tensor{tensor.Of("x", []int64{int64(len(values))}, values)}}, nil
	},
	Encode: func(dst []byte, req *infer.Request, resp *infer.Response) ([]byte, string, error) {
		v, _ := tensor.View[float32](&resp.Outputs[0])
		if v[0] == 13 {
			return dst, "", fault.New(fault.Unprocessable, "test", "", "no 13 here")
		}
		dst = append(dst, req.Model...)
		for _, one := range v {
			dst = fmt.Appendf(dst, " %g", one)
		}
		return dst, "text/lines", nil
	},
}

// Another form of requests is answered as the protocol's own.
func TestInferAs(t *testing.T) {
	f := newFixture(t, &oip.Options{Limits: &codec.Limits{Body: 64}})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.InferAs(w, r, lines) })
	for _, tt := range []struct {
		name, method, body string
		header             []string
		status             int
		code               string
	}{
		{"as it should be", "POST", "flat\n1\n2.5", []string{"X-Request-Id", "id-1"}, 200, ""},
		{"compressed", "POST", gzipped(t, []byte("flat\n1\n2.5")), []string{"X-Request-Id", "id-1", "Content-Encoding", "gzip"}, 200, ""},
		{"another method", "GET", "", nil, 405, "invalid"},
		{"what it does not understand", "POST", "flat\none", nil, 400, "invalid"},
		{"an answer that it does not have", "POST", "flat\n13", nil, 422, "unprocessable"},
		{"a name that is none", "POST", "../flat\n1", nil, 400, "invalid"},
		{"a model that is not there", "POST", "none\n1", nil, 404, "not_found"},
		{"too large", "POST", "flat\n" + strings.Repeat("1", 60), nil, 413, "too_large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := do(h, tt.method, "/anything", tt.body, tt.header...)
			if got := codeIn(t, w.Body.Bytes()); w.Code != tt.status || got != tt.code {
				t.Fatalf("got %d %q, want %d %q: %s", w.Code, got, tt.status, tt.code, w.Body)
			}
			got := w.Header()
			if closes := got.Get("Connection") == "close"; closes != (tt.status == 413) {
				t.Errorf("the connection is closed: %v", closes)
			}
			if allow := got.Get("Allow"); tt.status == 405 && allow != "POST, OPTIONS" {
				t.Errorf("Allow: %q", allow)
			}
			if tt.status != 200 {
				return
			}
			if w.Body.String() != "flat 1 2.5" || got.Get("Content-Type") != "text/lines" || got.Get("Content-Length") != "10" || got.Get("X-Request-Id") != "id-1" {
				t.Errorf("got %q, %v", w.Body, got)
			}
		})
	}
	var codes []string
	for _, e := range f.sink.requests {
		codes = append(codes, e.Model+" "+e.Code.String())
	}
	// What was refused before it said which model it is for is under no name.
	want := []string{"flat ok", "flat ok", "other invalid", "flat unprocessable", "other invalid", "other not_found", "other too_large"}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	guarded := newFixture(t, &oip.Options{Auth: scoped{}})
	for scope, status := range map[string]int{"infer": 200, "metadata": 403, "admin": 403} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/", strings.NewReader("flat\n1"))
		r.Header.Set("X-Scope", scope)
		if guarded.InferAs(w, r, lines); w.Code != status {
			t.Errorf("who may %s: %d, want %d", scope, w.Code, status)
		}
	}
}

// A platform's own route has what all routes have in common.
func TestServe(t *testing.T) {
	f := newFixture(t, &oip.Options{Auth: scoped{}})
	serve := func(scope oip.Scope, method string, e oip.Endpoint) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.Serve(w, r, scope, method, e) })
	}
	fine := func(_ context.Context, _ *oip.Exchange, w http.ResponseWriter, _ *http.Request) error {
		_, _ = w.Write([]byte("fine"))
		return nil
	}
	fails := func(_ context.Context, _ *oip.Exchange, w http.ResponseWriter, _ *http.Request) error {
		for _, name := range []string{"Content-Encoding", "Content-Length", "Inference-Header-Content-Length"} {
			w.Header().Set(name, "7")
		}
		return fault.New(fault.Unavailable, "test", "", "not now").WithRetry(1500 * time.Millisecond)
	}
	panics := func(context.Context, *oip.Exchange, http.ResponseWriter, *http.Request) error { panic(secret) }
	for _, tt := range []struct {
		name     string
		h        http.Handler
		method   string
		scope    string
		status   int
		contains string
	}{
		{"a probe", serve("", "GET", fine), "GET", "", 200, "fine"},
		{"a probe's head", serve("", "GET", fine), "HEAD", "", 200, ""},
		{"a probe, posted by a stranger", serve("", "GET", fine), "POST", "", 403, "denied"},
		{"a probe, posted", serve("", "GET", fine), "POST", "metadata", 405, "GET, OPTIONS"},
		{"a probe's options", serve("", "GET", fine), "OPTIONS", "metadata", 204, ""},
		{"a route", serve(oip.ScopeAdmin, "POST", fine), "POST", "admin", 200, "fine"},
		{"a route for others", serve(oip.ScopeAdmin, "POST", fine), "POST", "infer", 403, "denied"},
		{"no head of what is posted", serve(oip.ScopeAdmin, "POST", fine), "HEAD", "admin", 405, "POST, OPTIONS"},
		{"an error", serve("", "GET", fails), "GET", "", 503, `"code":"unavailable"`},
		{"a panic", serve("", "GET", panics), "GET", "", 500, `"code":"internal"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := do(tt.h, tt.method, "/x", "", "X-Scope", tt.scope)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.contains) || strings.Contains(w.Body.String(), "db-7") {
				t.Errorf("got %d %s, want %d and %q", w.Code, w.Body, tt.status, tt.contains)
			}
			h := w.Header()
			if h.Get("Traceparent") == "" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("header %v", h)
			}
			if tt.status != 503 {
				return
			}
			if h.Get("Content-Encoding") != "" || h.Get("Inference-Header-Content-Length") != "" || h.Get("Content-Length") != strconv.Itoa(w.Body.Len()) || h.Get("Retry-After") != "2" || h.Get("X-Request-Id") == "" {
				t.Errorf("after what the endpoint had prepared: %v", h)
			}
		})
	}
}

func TestSignature(t *testing.T) {
	f := newFixture(t, nil)
	sig, err := f.Signature("addsub", "1")
	if err != nil || len(sig.Inputs) != 2 || sig.Inputs[0].Name != "a" {
		t.Errorf("got %+v, %v", sig, err)
	}
	for _, tt := range []struct {
		model, version string
		want           fault.Code
	}{{"a b", "", fault.Invalid}, {"addsub", "1 2", fault.Invalid}, {"addsub", "3", fault.NotFound}, {"", "", fault.Invalid}} {
		if _, err := f.Signature(tt.model, tt.version); fault.CodeOf(err) != tt.want {
			t.Errorf("%q, %q: %v, want %v", tt.model, tt.version, err, tt.want)
		}
	}
}

// The length of the JSON comes and goes in the content type.
func TestLengthInType(t *testing.T) {
	const typ = oip.LengthInType("application/vnd.test")
	for given, want := range map[string]struct {
		ok     bool
		length string
	}{
		"application/vnd.test; json-header-size=12":            {true, "12"},
		"Application/VND.test ;json-header-size=\"3\"; more=1": {true, "3"},
		"application/vnd.test":                                 {true, ""},
		"application/vnd.test; json-header-size":               {true, ""},
		"application/vnd.tests; json-header-size=12":           {false, ""},
		"application/json":                                     {false, ""},
		"":                                                     {false, ""},
	} {
		r := httptest.NewRequest("POST", "/", http.NoBody)
		r.Header["Content-Type"] = []string{given}
		got, ok := typ.Request(r)
		if ok != want.ok {
			t.Errorf("%q: %v, want %v", given, ok, want.ok)
			continue
		}
		if !ok {
			if got != r {
				t.Errorf("%q: the request is another one", given)
			}
			continue
		}
		if diff := cmp.Diff(http.Header{"Content-Type": {"application/octet-stream"}, "Inference-Header-Content-Length": {want.length}}, got.Header); diff != "" {
			t.Errorf("%q (-want +got):\n%s", given, diff)
		}
		if diff := cmp.Diff(http.Header{"Content-Type": {given}}, r.Header); diff != "" {
			t.Errorf("%q: what was given has changed:\n%s", given, diff)
		}
	}
	for name, tt := range map[string]struct {
		header http.Header
		want   string
	}{
		"binary":      {http.Header{"Content-Type": {"application/octet-stream"}, "Inference-Header-Content-Length": {"12"}}, "application/vnd.test;json-header-size=12"},
		"JSON":        {http.Header{"Content-Type": {"application/json"}}, "application/json"},
		"two lengths": {http.Header{"Content-Type": {"application/json"}, "Inference-Header-Content-Length": {"1", "2"}}, "application/json"},
	} {
		for _, explicit := range []bool{false, true} {
			to := httptest.NewRecorder()
			w := typ.Writer(to)
			if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); !ok || u.Unwrap() != http.ResponseWriter(to) {
				t.Errorf("%s: what is below cannot be reached", name)
			}
			for k, v := range tt.header {
				w.Header()[k] = v
			}
			status := 200
			if explicit {
				status = 207
				w.WriteHeader(status)
			}
			for range 2 {
				if n, err := w.Write([]byte("ab")); n != 2 || err != nil {
					t.Error(n, err)
				}
				// Too late for what has gone out: the next answer's.
				w.Header()["Inference-Header-Content-Length"] = []string{"99"}
			}
			got := to.Result()
			if got.StatusCode != status || got.Header.Get("Content-Type") != tt.want || to.Body.String() != "abab" {
				t.Errorf("%s, explicit %v: got %d %q %q, want %q", name, explicit, got.StatusCode, got.Header, to.Body, tt.want)
			}
			if has := got.Header["Inference-Header-Content-Length"] != nil; has != (name == "two lengths") {
				t.Errorf("%s: the header is there: %v", name, has)
			}
			if got := w.Header().Get("Content-Type"); got != tt.want {
				t.Errorf("%s: the type was made twice: %q", name, got)
			}
		}
	}
}
