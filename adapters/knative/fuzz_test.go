package knative_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"godwit.dev/adapters/knative"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/trigger"
)

// Whatever is sent, the answer is one that the data plane has a meaning for: a
// success is empty or an event, and what reached the handler had an id and a key.
func FuzzReceive(f *testing.F) {
	for _, s := range emulate.Samples("knative") {
		var head bytes.Buffer
		if err := s.Delivery.Header.Write(&head); err != nil {
			f.Fatal(err)
		}
		f.Add(head.String(), s.Delivery.Body)
	}
	f.Add("Content-Type: application/cloudevents-batch+json", []byte(`[{"specversion":"1.0"},{}]`))
	f.Fuzz(func(t *testing.T, head string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		for line := range strings.Lines(head) {
			if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
				r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
			}
		}
		events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
			out := make([]trigger.Outcome, len(ev.Items))
			ids := map[string]bool{}
			for i, item := range ev.Items {
				if item.ID == "" || item.Key == "" || ids[item.ID] {
					t.Errorf("item %d of %q has the id %q and the key %q", i, head, item.ID, item.Key)
				}
				ids[item.ID] = true
				out[i] = trigger.Outcome{State: trigger.Done, Result: []byte("{}")}
			}
			return out
		})
		w := httptest.NewRecorder()
		knative.New(http.NotFoundHandler(), events, nil).ServeHTTP(w, r)
		resp := w.Result()
		got, _ := io.ReadAll(resp.Body)
		if resp.StatusCode < 300 && len(got) > 0 && resp.Header.Get("Ce-Type") != knative.ReplyType {
			t.Errorf("status %d with %q, which is no event", resp.StatusCode, got)
		}
		if resp.StatusCode >= 300 && resp.StatusCode < 400 || resp.StatusCode == 500 {
			t.Errorf("status %d: %s", resp.StatusCode, got)
		}
	})
}
