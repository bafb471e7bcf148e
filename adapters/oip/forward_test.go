package oip_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// Names stay one segment of the path, whatever they are, and what the request
// was before stays as it is.
func TestForward(t *testing.T) {
	for _, c := range []struct{ model, version, want, plain string }{
		{"a", "", "/v2/models/a/infer", "/v2/models/a/infer"},
		{"a", "1", "/v2/models/a/versions/1/infer", "/v2/models/a/versions/1/infer"},
		{"a/b", "1/2", "/v2/models/a%2Fb/versions/1%2F2/infer", "/v2/models/a/b/versions/1/2/infer"},
		{"a%", "", "/v2/models/a%25/infer", "/v2/models/a%/infer"},
		{"a b?", "", "/v2/models/a%20b%3F/infer", "/v2/models/a b?/infer"},
		{"..", "", "/v2/models/../infer", "/v2/models/../infer"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/score%2F?model=x", http.NoBody)
		was := *r.URL
		other := oip.Forward(r, oip.InferPath(c.model, c.version))
		if got := other.URL.RequestURI(); got != c.want || other.URL.Path != c.plain || other.URL.RawQuery != "" {
			t.Errorf("%q, %q: want %s, got %s (%q)", c.model, c.version, c.want, got, other.URL.Path)
		}
		if *r.URL != was || other.Method != http.MethodPost || other.Body != r.Body {
			t.Errorf("%q: the request has changed: %s", c.model, r.URL)
		}
	}
	if got := oip.Forward(httptest.NewRequest(http.MethodGet, "/", http.NoBody), "/%zz").URL; got.Path != "/%zz" || got.RawPath != "" {
		t.Errorf("a path that is none: got %+v", got)
	}
}

// body is a server's handler that answers a body with itself.
func echoed(s *oip.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeBody(w, r, func(ctx context.Context, x *oip.Exchange, body []byte) ([]byte, string, error) {
			if string(body) == "wait" {
				<-ctx.Done()
				return nil, "", fault.New(fault.CodeOf(ctx.Err()), "", "", "%w", ctx.Err())
			}
			if string(body) == "panic" {
				panic("told to")
			}
			return bytes.Clone(body), "text/plain", nil
		})
	})
}

// A body is read as everywhere: decompressed, bounded in size and in time, and
// for those only who may ask.
func TestServeBody(t *testing.T) {
	s := oip.New(&infer.Registry{}, nil, &oip.Options{Limits: &codec.Limits{Body: 64}, Timeout: time.Millisecond})
	var zipped strings.Builder
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("a body"))
	_ = z.Close()
	for name, c := range map[string]struct {
		method, body string
		headers      []string
		status       int
		want         string
	}{
		"as it is":   {"POST", "a body", []string{"X-Request-Id: 7"}, 200, "=a body"},
		"compressed": {"POST", zipped.String(), []string{"Content-Encoding: gzip"}, 200, "=a body"},
		"nothing":    {"POST", "", nil, 200, "="},
		"too large":  {"POST", strings.Repeat("a", 65), nil, 413, "want at most 64 bytes"},
		"too long":   {"POST", "wait", nil, 504, "deadline_exceeded"},
		"a panic":    {"POST", "panic", nil, 500, "internal"},
		"a GET":      {"GET", "", nil, 405, "POST"},
	} {
		t.Run(name, func(t *testing.T) {
			w := adaptertest.Ask(echoed(s), c.method, "/x", c.body, c.headers...)
			adaptertest.Answered(t, w, c.status, c.want)
			if w.Code == 200 {
				if h := w.Header(); h.Get("Content-Type") != "text/plain" || h.Get("Content-Length") != "6" && c.body != "" || h.Get("X-Request-Id") == "" {
					t.Errorf("header %v", h)
				}
				return
			}
			adaptertest.OneDocument(t, w)
		})
	}
	if w := adaptertest.Ask(echoed(s), "POST", "/x", strings.Repeat("a", 65)); !cmp.Equal(w.Header()["Connection"], []string{"close"}) {
		t.Errorf("a body that is left unread: want the connection closed, got %v", w.Header())
	}
	var auth adaptertest.Refusing
	guarded := oip.New(&infer.Registry{}, nil, &oip.Options{Auth: &auth})
	for _, h := range []http.Handler{echoed(guarded), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guarded.Refuse(w, r, fault.New(fault.Invalid, "", "", "the model's name"))
	})} {
		auth.Scopes = nil
		if w := adaptertest.Ask(h, "POST", "/x", "a"); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "name") || !cmp.Equal(auth.Scopes, []oip.Scope{oip.ScopeInfer}) {
			t.Errorf("who may not ask: got %d after %q: %s", w.Code, auth.Scopes, w.Body)
		}
	}
}

// What callers may not read is in no error.
func TestErrorJSON(t *testing.T) {
	for err, want := range map[error]string{
		fault.New(fault.Invalid, "op", "x", "want 1, got %q", `"`): `{"error":"x: want 1, got \"\\\"\"","code":"invalid"}`,
	} {
		if got := string(oip.ErrorJSON(err)); got != want {
			t.Errorf("want %s, got %s", want, got)
		}
	}
	if got := string(oip.ErrorJSON(fault.New(fault.Internal, "op", secret, "told to"))); strings.Contains(got, secret) || !strings.HasSuffix(got, `"code":"internal"}`) {
		t.Errorf("an internal error: got %s", got)
	}
}
