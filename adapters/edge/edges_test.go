package edge_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/edge"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// A refusal is a document of its length and kind, and says when to come again
// where that helps.
func TestRefusalsAreWholeDocuments(t *testing.T) {
	for id, again := range map[string]string{"fail-invalid": "", "fail-unavailable": "1", "fail-rate_limited": "1", "fail-internal": ""} {
		w := serve(nil, message("", event(id)))
		h := w.Result().Header
		if got := h.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: Content-Type %q", id, got)
		}
		if got := h.Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%s: Content-Length %q of %d bytes", id, got, w.Body.Len())
		}
		if got := h.Get("Retry-After"); got != again {
			t.Errorf("%s: status %d with Retry-After %q, want %q", id, w.Code, got, again)
		}
		if w.Code < http.StatusBadRequest {
			t.Errorf("%s: status %d", id, w.Code)
		}
	}
}

// The status of each code, and when to come again.
func TestStatusOfEachCode(t *testing.T) {
	got := map[string]string{}
	for _, c := range fault.Codes() {
		w := serve(nil, message("", event("fail-"+c.String())))
		got[c.String()] = strings.TrimSpace(strconv.Itoa(w.Code) + " " + w.Header().Get("Retry-After"))
	}
	want := map[string]string{
		"invalid": "400", "usage": "503 1", "not_found": "422", "too_large": "413", "unsupported_media": "415", "unprocessable": "422", "unsupported": "422",
		"unauthenticated": "503 1", "denied": "403", "rate_limited": "429 1", "unavailable": "503 1", "deadline_exceeded": "504", "canceled": "503 1",
		"bad_model": "500", "bad_config": "500", "runtime": "500", "mismatch": "422", "internal": "500",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// asks is an authorizer that remembers what for it was asked.
type asks struct{ scope oip.Scope }

func (a *asks) Authorize(_ context.Context, _ func(string) []string, scope oip.Scope) (string, error) {
	a.scope = scope
	return "", nil
}

// What is behind the adapter gets what it is for, and nothing else.
func TestWhoGetsWhat(t *testing.T) {
	auth := &asks{}
	var seen *trigger.Event
	h := edge.New(http.NotFoundHandler(), trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		seen = ev
		return []trigger.Outcome{{State: trigger.Done}}
	}), &edge.Options{Auth: auth})
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, message("", event("1"))); w.Code != http.StatusAccepted || auth.scope != oip.ScopeInfer {
		t.Errorf("status %d, asked for %q", w.Code, auth.scope)
	}
	if seen.Kind != "cloudevents" || seen.Source != "/s" || len(seen.Items) != 1 || seen.Replies {
		t.Errorf("the handler gets %+v", seen)
	}
	seen, w = nil, httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2", http.NoBody)); w.Code != http.StatusNotFound || w.Body.String() != "404 page not found\n" || seen != nil {
		t.Errorf("the protocol's: %d %q", w.Code, w.Body)
	}
}

// A message that did not arrive whole is sent again.
func TestHalfMessages(t *testing.T) {
	r := message("", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"specversion":`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if w := serve(nil, r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("status %d, come again after %q", w.Code, w.Header().Get("Retry-After"))
	}
}
