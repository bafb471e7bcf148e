package edge_test

import (
	"net/http"
	"strconv"
	"testing"
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
