package cloudevent_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"godwit.dev/runtime/trigger/cloudevent"
)

// FuzzDecode: no input panics, and what is accepted is the same event after it
// was written and read again, in both modes.
func FuzzDecode(f *testing.F) {
	f.Add("ce-id: 1\nce-source: /s\nce-type: t\nce-specversion: 1.0\nce-subject: \"a%20\\\"\"\nContent-Type: text/plain", []byte("data"))
	f.Add("Content-Type: application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2026-11-22T10:00:00Z","data":{"a":[1]},"ext":7}`))
	f.Add("Content-Type: application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"a/b","data_base64":"AP8="}`))
	f.Add("Content-Type: application/cloudevents-batch+json", []byte(`[{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"\ud800"},{}]`))
	f.Fuzz(func(t *testing.T, head string, body []byte) {
		h := http.Header{}
		for line := range strings.SplitSeq(head, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				h.Add(name, value)
			}
		}
		events, err := cloudevent.Decode(h, bytes.Clone(body))
		if err != nil && events != nil {
			t.Fatalf("events beside %v", err)
		}
		items := cloudevent.Items(events)
		ids := map[string]bool{}
		for i := range items {
			if ids[items[i].ID] {
				t.Fatalf("id %q comes twice", items[i].ID)
			}
			ids[items[i].ID] = true
		}
		for i := range events {
			if events[i].Err == nil {
				again(t, &events[i])
			}
		}
	})
}

func again(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, e *cloudevent.Event) {
	equal := cmp.Options{cmpopts.EquateEmpty()}
	h := http.Header{}
	if err := e.WriteHeader(h); err != nil {
		t.Fatalf("%+v was read and cannot be written: %v", e, err)
	}
	got, err := cloudevent.Decode(h, e.Data)
	if cloudevent.ModeOf(h) != cloudevent.Binary { // data of an event's own type
		return
	}
	if err != nil {
		t.Fatalf("%+v as %v: %v", e, h, err)
	}
	if diff := cmp.Diff([]cloudevent.Event{*e}, got, equal); diff != "" {
		t.Fatalf("binary (-want +got)\n%s", diff)
	}
	doc, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err = cloudevent.Decode(http.Header{"Content-Type": {cloudevent.StructuredType}}, doc)
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	if len(got) == 1 && e.DataContentType == "" && got[0].DataContentType == "application/json" {
		got[0].DataContentType = "" // said, where it was only meant
	}
	if e.Data != nil && len(bytes.TrimSpace(e.Data)) < len(e.Data) && len(got) == 1 && bytes.Equal(bytes.TrimSpace(e.Data), got[0].Data) {
		got[0].Data = e.Data // space around JSON is no part of the value
	}
	if diff := cmp.Diff([]cloudevent.Event{*e}, got, equal); diff != "" {
		t.Fatalf("structured (-want +got)\n%s", diff)
	}
}
