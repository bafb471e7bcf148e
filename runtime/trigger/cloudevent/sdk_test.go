package cloudevent_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"godwit.dev/runtime/trigger/cloudevent"
)

// TestSDK has the CloudEvents SDK write events, in every mode, and reads them;
// then the other way round. Values are those that the SDK can write: it does
// not encode headers.
func TestSDK(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 3).Draw(t, "events")
		e := events[0]
		sdk := toSDK(t, e)
		for _, mode := range []struct {
			name string
			ctx  func() (*http.Request, error)
			want []cloudevent.Event
		}{
			{"binary", func() (*http.Request, error) { return request(t, sdk, binding.WithForceBinary) }, events[:1]},
			{"structured", func() (*http.Request, error) { return request(t, sdk, binding.WithForceStructured) }, events[:1]},
			{"batched", func() (*http.Request, error) {
				var all []event.Event
				for _, e := range events {
					all = append(all, toSDK(t, e))
				}
				return cehttp.NewHTTPRequestFromEvents(t.Context(), "http://x/", all)
			}, events},
		} {
			req, err := mode.ctx()
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cloudevent.Decode(req.Header, body)
			if err != nil {
				t.Fatalf("%s: %v\n%v\n%s", mode.name, err, req.Header, body)
			}
			if diff := cmp.Diff(mode.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s (-want +got)\n%s\n%s", mode.name, diff, body)
			}
		}

		h := http.Header{}
		if err := e.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		doc, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, req := range map[string]*http.Request{
			"our binary":     {Header: h, Body: io.NopCloser(bytes.NewReader(e.Data))},
			"our structured": {Header: http.Header{"Content-Type": {cloudevent.StructuredType}}, Body: io.NopCloser(bytes.NewReader(doc))},
		} {
			read, err := cehttp.NewEventFromHTTPRequest(req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(e, ofSDK(t, read), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s (-want +got)\n%s", name, diff)
			}
		}
	})
}

func request(t *rapid.T, e event.Event, force func(context.Context) context.Context) (*http.Request, error) {
	return cehttp.NewHTTPRequestFromEvent(force(t.Context()), "http://x/", e)
}

func drawEvent(t *rapid.T) cloudevent.Event {
	word := rapid.StringMatching(`[!#$&'()*+,./:;=?@\[\]^_{|}~0-9A-Za-z-]{1,12}`)
	e := cloudevent.Event{
		ID: word.Draw(t, "id"), Source: rapid.StringMatching(`(/[a-z0-9._-]{1,8}){1,3}`).Draw(t, "source"), Type: word.Draw(t, "type"),
		DataContentType: rapid.SampledFrom([]string{"application/json", "text/plain", "application/octet-stream", "application/x+json"}).Draw(t, "content type"),
	}
	if rapid.Bool().Draw(t, "subject") {
		e.Subject = word.Draw(t, "subject")
	}
	if rapid.Bool().Draw(t, "time") {
		e.Time = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).UTC()
	}
	if rapid.Bool().Draw(t, "schema") {
		e.DataSchema = "https://example.com/" + rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "schema")
	}
	e.Extensions = rapid.MapOfN(rapid.StringMatching(`x[a-z0-9]{1,8}`), word, 0, 3).Draw(t, "extensions")
	switch e.DataContentType {
	case "application/json", "application/x+json":
		e.Data = []byte(rapid.SampledFrom([]string{`{}`, `[1,2]`, `"a"`, `{"a":{"b":"é<\u0000"}}`, `17`, `true`}).Draw(t, "JSON"))
	case "text/plain":
		e.Data = []byte(rapid.StringN(1, 20, 60).Draw(t, "text"))
	default:
		e.Data = rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "bytes")
	}
	return e
}

func toSDK(t *rapid.T, e cloudevent.Event) event.Event {
	out := event.New(event.CloudEventsVersionV1)
	out.SetID(e.ID)
	out.SetSource(e.Source)
	out.SetType(e.Type)
	if e.Subject != "" {
		out.SetSubject(e.Subject)
	}
	if !e.Time.IsZero() {
		out.SetTime(e.Time)
	}
	if e.DataSchema != "" {
		out.SetDataSchema(e.DataSchema)
	}
	for name, value := range e.Extensions {
		out.SetExtension(name, value)
	}
	if err := out.SetData(e.DataContentType, e.Data); err != nil {
		t.Fatal(err)
	}
	if err := out.Validate(); err != nil {
		t.Fatal(err)
	}
	return out
}

func ofSDK(t *rapid.T, e *event.Event) cloudevent.Event {
	out := cloudevent.Event{ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), Time: e.Time(), DataSchema: e.DataSchema(), DataContentType: e.DataContentType(), Data: e.Data()}
	for name, value := range e.Extensions() {
		text, err := types.ToString(value)
		if err != nil {
			t.Fatal(err)
		}
		if out.Extensions == nil {
			out.Extensions = map[string]string{}
		}
		out.Extensions[name] = text
	}
	return out
}
