package cloudrun

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/trigger"
)

// FuzzDecode: no push panics the decoder, what it reads has all that a handler
// relies on, and a message that it reads is the same when it is wrapped again.
func FuzzDecode(f *testing.F) {
	for _, s := range emulate.Samples("cloudrun") {
		var head strings.Builder
		for name, values := range s.Delivery.Header {
			head.WriteString(name + ": " + values[0] + "\n")
		}
		f.Add(head.String(), s.Delivery.Body)
	}
	f.Add("", []byte(`{"message":{"messageId":"1","attributes":{"eventType":"OBJECT_FINALIZE","bucketId":"b","objectId":"o","notificationConfig":"c","objectGeneration":"1"}},"subscription":"s"}`))
	f.Add("Content-Type: application/cloudevents-batch+json", []byte(`[{"specversion":"1.0","id":"1","source":"/s","type":"t"},{}]`))
	f.Fuzz(func(t *testing.T, head string, body []byte) {
		h := http.Header{}
		for line := range strings.SplitSeq(head, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				h.Add(name, value)
			}
		}
		d, err := decode(h, bytes.Clone(body))
		if err != nil {
			if d != nil {
				t.Fatalf("something beside %v", err)
			}
			return
		}
		ids := map[string]bool{}
		for i := range d.event.Items {
			item := &d.event.Items[i]
			if item.ID == "" || item.Key == "" || d.event.Kind == "" || d.event.Source == "" {
				t.Fatalf("want id, key, kind and source, got %+v of %+v", item, d.event)
			}
			if ids[item.ID] {
				t.Fatalf("id %q comes twice", item.ID)
			}
			ids[item.ID] = true
			if o := item.Object; o != nil && (o.Bucket == "" || o.Key == "" || o.Version == "" || o.Size < -1) {
				t.Fatalf("want a bucket, a key and a version, got %+v", o)
			}
			if d.event.Kind == kindPubSub {
				wrapAgain(t, &d.event, item)
			}
		}
	})
}

func wrapAgain(t *testing.T, ev *trigger.Event, item *trigger.Item) {
	message := map[string]any{"data": item.Data, "attributes": item.Attributes, "messageId": item.ID, "orderingKey": item.Group, "publishTime": item.Time}
	doc, err := json.Marshal(map[string]any{"message": message, "subscription": ev.Source, "deliveryAttempt": item.Attempt})
	if err != nil {
		return // a year that JSON has no form for
	}
	again, err := decode(http.Header{}, doc)
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	want := *ev
	if len(item.Data) == 0 && len(again.event.Items) == 1 && len(again.event.Items[0].Data) == 0 {
		again.event.Items[0].Data = item.Data
	}
	if strings.ToValidUTF8(string(doc), "") != string(doc) || !cmp.Equal(want, again.event) && !strings.Contains(string(doc), `\ufffd`) {
		t.Fatalf("(-want +got)\n%s", cmp.Diff(want, again.event))
	}
}
