package azurefunctions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/trigger"
)

// FuzzEnvelope sends anything as an envelope: the answer is one that the host
// can read, a success only if the handler said so of every item, and the same
// envelope always is the same items, with ids of their own.
func FuzzEnvelope(f *testing.F) {
	for _, s := range emulate.Samples("azurefunctions") {
		f.Add(s.Delivery.Function, s.Delivery.Body)
	}
	f.Add("http", []byte(`{"Data":{"req":{"Url":"https://h/v2","Method":"GET","Headers":{"a":["b"],"c":"d"},"Body":"x"}},"Metadata":{}}`))
	f.Add("queue", []byte(`{"Data":{"m":"\"\\\"x\\\"\""},"Metadata":{"Id":"\"1\"","DequeueCount":"1"}}`))
	f.Add("f", []byte(`{"Data":{"m":"[\"{}\",\"x\"]"},"Metadata":{"MessageIdArray":"[1,1]","LockTokenArray":"[]"}}`))
	f.Fuzz(func(t *testing.T, function string, body []byte) {
		var got []*trigger.Event
		events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
			copied := *ev
			got = append(got, &copied)
			return make([]trigger.Outcome, len(ev.Items)) // all again
		})
		api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL == nil || r.Body == nil || r.Header == nil {
				t.Error("want a whole request")
			}
			w.WriteHeader(http.StatusTeapot)
		})
		name := "f"
		if _, ok := functions[function]; ok {
			name = function
		}
		for _, app := range []*azurefunctions.App{nil, {Functions: map[string]azurefunctions.Function{name: functions[name]}}} {
			got = nil
			h := azurefunctions.New(api, events, &azurefunctions.Options{App: app})
			for range 2 {
				r := httptest.NewRequest(http.MethodPost, "/"+name, bytes.NewReader(body))
				r.Host = "127.0.0.1:1"
				r.Header.Set("X-Azure-Functions-InvocationId", "inv-1")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if !json.Valid(w.Body.Bytes()) || w.Body.Len() < 2 || w.Header().Get("Content-Type") != "application/json" {
					t.Fatalf("want JSON, got %q %q", w.Header(), w.Body)
				}
				if len(got) > 0 && w.Code < 300 {
					t.Fatalf("nothing is done, and the host is told so: %d %s", w.Code, w.Body)
				}
			}
			if len(got) == 1 || len(got) > 2 || len(got) == 2 && !same(got[0], got[1]) {
				t.Fatalf("the same envelope is not the same delivery: %+v", got)
			}
		}
	})
}

// same compares two deliveries, and that ids within them differ.
func same(a, b *trigger.Event) bool {
	one, _ := json.Marshal(a)
	two, _ := json.Marshal(b)
	ids := map[string]bool{}
	for _, item := range a.Items {
		ids[item.ID] = true
	}
	return bytes.Equal(one, two) && len(ids) == len(a.Items)
}
