package edge_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"godwit.dev/adapters/edge"
	"godwit.dev/runtime/fault"
)

// A network's own login page takes no answers, however kindly it speaks.
func TestRedirectsTakeNothing(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/login" {
				t.Errorf("%d was followed with %s", status, r.Method)
				return
			}
			http.Redirect(w, r, "/login", status)
		}))
		post, err := edge.Post(server.URL, "/test")
		if err != nil {
			t.Fatal(err)
		}
		if err := post(t.Context(), "a", []byte("{}")); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("%d: %v, want that it may pass", status, err)
		}
		server.Close()
	}
}

// What a receiver says is quoted, but not without end, and the password of the
// address is not.
func TestRefusalsAreQuoted(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("no\x00 such" + strings.Repeat("x", 1<<20)))
	}))
	defer server.Close()
	post, err := edge.Post(strings.Replace(server.URL, "http://", "http://u:geheim@", 1), "/test")
	if err != nil {
		t.Fatal(err)
	}
	err = post(t.Context(), "a", []byte("{}"))
	if text := err.Error(); !strings.Contains(text, `no\x00 such`) || len(text) > 500 || strings.Contains(text, "geheim") {
		t.Errorf("%d bytes: %.300s", len(text), text)
	}
}
