package adaptertest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// For is New, closed with t.
func For(t testing.TB, how *Setup) *Subject {
	t.Helper()
	s, err := New(how)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Ask has h answer one request, whose header lines are "Name: value".
func Ask(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Answered fails t unless w is an answer with that status and want in its body;
// a want that begins with "=" is the whole body.
func Answered(t testing.TB, w *httptest.ResponseRecorder, status int, want string) {
	t.Helper()
	got := w.Body.String()
	whole, all := strings.CutPrefix(want, "=")
	if w.Code != status || all && got != whole || !all && !strings.Contains(got, want) {
		t.Errorf("want %d and %q, got %d: %s", status, want, w.Code, got)
	}
}

// OneDocument fails t unless w is one JSON document that says so.
func OneDocument(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	if got := w.Header()["Content-Type"]; len(got) != 1 || got[0] != "application/json" {
		t.Errorf("want the type application/json, got %q", got)
	}
	var doc map[string]any
	dec := json.NewDecoder(strings.NewReader(w.Body.String()))
	if err := dec.Decode(&doc); err != nil {
		t.Errorf("want one document, got %q: %v", w.Body, err)
	}
	if err := dec.Decode(&doc); !errors.Is(err, io.EOF) {
		t.Errorf("want one document, got more: %q", w.Body)
	}
}

// Refusing is an Authorizer that lets nobody in, and keeps what they wanted. It
// is for one request at a time.
type Refusing struct{ Scopes []oip.Scope }

// Authorize implements oip.Authorizer.
func (a *Refusing) Authorize(_ context.Context, _ func(string) []string, scope oip.Scope) (string, error) {
	a.Scopes = append(a.Scopes, scope)
	return "", fault.New(fault.Denied, "adaptertest", "", "no")
}
