package oip_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// scoped lets in who names the scope that is needed.
type scoped struct{}

func (scoped) Authorize(_ context.Context, header func(string) []string, scope oip.Scope) (string, error) {
	if strings.Join(header("x-scope"), "") != string(scope) {
		return "", fault.New(fault.Denied, "test", "", "not for you")
	}
	return "somebody", nil
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name, model, body, scope string
		auth                     oip.Authorizer
		fixed                    bool
		err                      error
		want                     int
		loads                    string
	}{
		{"by an administrator", "addsub", "", "admin", scoped{}, false, nil, 200, "addsub"},
		{"with an empty object", "addsub", " {}\n", "admin", scoped{}, false, nil, 200, "addsub"},
		{"by who may only infer", "addsub", "", "infer", scoped{}, false, nil, 403, ""},
		{"where nobody checks who asks", "addsub", "", "", nil, false, nil, 501, ""},
		{"where models are fixed", "addsub", "", "admin", scoped{}, true, nil, 501, ""},
		{"with a URL", "addsub", `{"parameters": {"config": "http://10.0.0.1/m.onnx"}}`, "admin", scoped{}, false, nil, 400, ""},
		{"with no JSON", "addsub", "hello", "admin", scoped{}, false, nil, 400, ""},
		{"a name that is a path", "a%20b", "", "admin", scoped{}, false, nil, 400, ""},
		{"one that is refused", "addsub", "", "admin", scoped{}, false, fault.New(fault.BadModel, "app.Reload", "/secret/m.onnx", "cut off"), 500, "addsub"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			loads := ""
			o := &oip.Options{Auth: tt.auth}
			if !tt.fixed {
				o.Reload = func(_ context.Context, model string) error { loads += model; return tt.err }
			}
			f := newFixture(t, o)
			r := httptest.NewRequest(http.MethodPost, "/v2/repository/models/"+tt.model+"/load", strings.NewReader(tt.body))
			r.Header.Set("X-Scope", tt.scope)
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			if w.Code != tt.want || loads != tt.loads {
				t.Errorf("status %d %s, loaded %q; want %d and %q", w.Code, w.Body, loads, tt.want, tt.loads)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the caller is told %s", w.Body)
			}
			r = httptest.NewRequest(http.MethodPost, "/v2/repository/models/addsub/unload", nil)
			r.Header.Set("X-Scope", "admin")
			w = httptest.NewRecorder()
			if f.ServeHTTP(w, r); w.Code != 501 {
				t.Errorf("unload: status %d, want 501", w.Code)
			}
		})
	}
}

// Who is not let in costs nothing: the body is not read.
func TestAdmitComesBeforeTheBody(t *testing.T) {
	full := fault.New(fault.Unavailable, "app.Admit", "", "memory is full").WithRetry(time.Second)
	f := newFixture(t, &oip.Options{Admit: func() error { return full }})
	body := &unread{}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v2/models/addsub/infer", body))
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" || body.read {
		t.Errorf("status %d, Retry-After %q, body read %v; want 503, 1, and that it was not read", w.Code, w.Header().Get("Retry-After"), body.read)
	}
	for _, path := range []string{"/v2/health/live", "/v2/health/ready", "/v2/models/addsub"} {
		w := httptest.NewRecorder()
		if f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != 200 {
			t.Errorf("%s: status %d, want 200", path, w.Code)
		}
	}
}

type unread struct{ read bool }

func (u *unread) Read([]byte) (int, error) {
	u.read = true
	return 0, errors.Join(io.EOF)
}
