package oip_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// cacheable serves the deterministic addsub, version 1, and random, which is not.
type cacheable struct {
	*oip.Server
	runs atomic.Int64
}

func newCacheable(t *testing.T, digest string, o *oip.Options) *cacheable {
	t.Helper()
	c := &cacheable{}
	counted := memengine.AddSub()
	run := counted.Run
	counted.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		c.runs.Add(1)
		return run(ctx, in)
	}
	engine := memengine.New(map[string]memengine.Model{"addsub": counted, "random": memengine.Identity(tensor.FP32, -1)})
	registry := &infer.Registry{}
	for name, same := range map[string]bool{"addsub": true, "random": false} {
		m, err := infer.Load(t.Context(), engine, name, &infer.Options{Name: name, Version: "1", Digest: digest, Deterministic: same})
		if err != nil {
			t.Fatal(err)
		}
		if err := registry.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = registry.Close(context.Background()) })
	c.Server = oip.New(registry, infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		m, err := registry.Lookup(req.Model, req.Version)
		if err != nil {
			return nil, err
		}
		return m.Infer(ctx, req)
	}), o)
	return c
}

func hour() *oip.Options { return &oip.Options{MaxAge: time.Hour} }

func TestCacheableAnswers(t *testing.T) {
	c := newCacheable(t, "sha256:00", hour())
	for _, path := range []string{oip.CacheablePath("addsub", "", []byte(addsubBody)), oip.CacheablePath("addsub", "1", []byte(addsubBody))} {
		want := infers(c, "addsub", addsubBody)
		got := do(c, "GET", path, "")
		if got.Code != 200 || got.Body.String() != want.Body.String() {
			t.Fatalf("%s: %d %s, want what POST gives: %s", path, got.Code, got.Body, want.Body)
		}
		h := got.Header()
		tag := h.Get("Etag")
		if h.Get("Cache-Control") != "public, max-age=3600" || !strings.HasPrefix(tag, `W/"`) || h.Get("Vary") != "Accept-Encoding" {
			t.Errorf("header %v", h)
		}
		if w := do(c, "HEAD", path, ""); w.Code != 200 || w.Header().Get("Etag") != tag {
			t.Errorf("HEAD: %d %v", w.Code, w.Header())
		}
		for _, has := range []string{tag, "*", `"x", ` + tag, strings.TrimPrefix(tag, "W/")} {
			before := c.runs.Load()
			w := do(c, "GET", path, "", "If-None-Match", has)
			if w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("Etag") != tag || w.Header().Get("Cache-Control") != "public, max-age=3600" || c.runs.Load() != before {
				t.Errorf("If-None-Match %s: %d %q %v after %d runs", has, w.Code, w.Body, w.Header(), c.runs.Load()-before)
			}
		}
		if w := do(c, "GET", path, "", "If-None-Match", `W/"another"`); w.Code != 200 {
			t.Errorf("another tag: %d", w.Code)
		}
	}
	binary := strings.Replace(addsubBody, `"inputs"`, `"parameters":{"binary_data_output":true},"inputs"`, 1)
	w := do(c, "GET", oip.CacheablePath("addsub", "", []byte(binary)), "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/octet-stream" || w.Header().Get("Inference-Header-Content-Length") == "" {
		t.Errorf("binary outputs: %d %v", w.Code, w.Header())
	}
	if post := infers(c, "addsub", addsubBody); post.Header().Get("Etag") != "" || post.Header().Get("Cache-Control") != "" {
		t.Errorf("POST: %v", post.Header())
	}
}

// What an answer depends on besides its path is in its tag.
func TestCacheableTags(t *testing.T) {
	path := oip.CacheablePath("addsub", "", []byte(addsubBody))
	seen := map[string]string{}
	for what, c := range map[string]*cacheable{
		"the model":   newCacheable(t, "sha256:01", hour()),
		"the program": newCacheable(t, "sha256:00", &oip.Options{MaxAge: time.Hour, Version: "2"}),
		"NaN":         newCacheable(t, "sha256:00", &oip.Options{MaxAge: time.Hour, NaN: codec.NaNString}),
		"nothing":     newCacheable(t, "sha256:00", hour()),
	} {
		tag := do(c, "GET", path, "").Header().Get("Etag")
		if other, there := seen[tag]; there || tag == "" {
			t.Errorf("%s and %s have the tag %s", what, other, tag)
		}
		seen[tag] = what
	}
	again := do(newCacheable(t, "sha256:00", &oip.Options{MaxAge: time.Minute}), "GET", path, "")
	if seen[again.Header().Get("Etag")] != "nothing" {
		t.Errorf("another process has the tag %s for the same", again.Header().Get("Etag"))
	}
}

type openDoor struct{}

func (openDoor) Authorize(context.Context, func(string) []string, oip.Scope) (string, error) {
	return "somebody", nil
}

// An answer to somebody who had to show who he is is no answer for everybody.
func TestCacheableForCallers(t *testing.T) {
	c := newCacheable(t, "sha256:00", &oip.Options{MaxAge: time.Hour, Auth: openDoor{}})
	w := do(c, "GET", oip.CacheablePath("addsub", "", []byte(addsubBody)), "")
	if got := w.Header().Get("Cache-Control"); w.Code != 200 || got != "private, max-age=3600" {
		t.Errorf("%d, Cache-Control %q", w.Code, got)
	}
	i := slices.IndexFunc(c.Routes(), func(r oip.Route) bool { return strings.HasSuffix(r.Pattern, "/infer/{request}") })
	if i < 0 || c.Routes()[i].Scope != oip.ScopeInfer {
		t.Errorf("the route has not the scope infer: %v", c.Routes())
	}
}

func TestNotCacheable(t *testing.T) {
	c := newCacheable(t, "sha256:00", hour())
	path := func(model, text string) string { return "/v2/models/" + model + "/infer/" + text }
	good := base64.RawURLEncoding.EncodeToString([]byte(addsubBody))
	for _, tt := range []struct {
		name, path string
		status     int
		code       fault.Code
	}{
		{"a model with random operators", path("random", good), 501, fault.Unsupported},
		{"no such model", path("nosuch", good), 404, fault.NotFound},
		{"no base64", path("addsub", "{}"), 400, fault.Invalid},
		{"base64 with padding", path("addsub", "e30="), 400, fault.Invalid},
		{"base64 of the other alphabet", path("addsub", "e+30"), 400, fault.Invalid},
		{"bits that do not count", path("addsub", "e31"), 400, fault.Invalid},
		{"no JSON", path("addsub", "aGk"), 400, fault.Invalid},
		{"no request", path("addsub", "e30"), 400, fault.Invalid},
		{"too long", path("addsub", strings.Repeat("A", 7501)), 413, fault.TooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := do(c, "GET", tt.path, "")
			wantError(t, w, tt.status, tt.code)
			if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("Etag") != "" {
				t.Errorf("header %v", h)
			}
		})
	}
	wantError(t, do(c, "POST", path("addsub", good), addsubBody), 405, fault.Invalid)
	wantError(t, do(newCacheable(t, "sha256:00", nil), "GET", path("addsub", good), ""), 404, fault.NotFound)
	if got := oip.CacheablePath("addsub", "", []byte(strings.Repeat("x", 5626))); got != "" {
		t.Errorf("a path of %d bytes", len(got))
	}
}

// A failed run is not kept, and neither is an answer that cannot be written.
func TestFailuresAreNotKept(t *testing.T) {
	registry := &infer.Registry{}
	nan := memengine.Identity(tensor.FP32, 1)
	nan.Run = func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error) {
		return nil, fault.New(fault.Runtime, "", "", "broken")
	}
	m, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"bad": nan}), "bad", &infer.Options{Name: "bad", Version: "1", Digest: "sha256:00", Deterministic: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Add(m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registry.Close(context.Background()) })
	s := oip.New(registry, infer.HandlerFunc(m.Infer), hour())
	w := httptest.NewRecorder()
	body := `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, oip.CacheablePath("bad", "", []byte(body)), nil))
	if w.Code != 500 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v: %s", w.Code, w.Header(), w.Body)
	}
}
