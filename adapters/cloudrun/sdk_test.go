package cloudrun_test

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

var target = &url.URL{Path: "/events"}

// TestVendorsClient has the CloudEvents SDK's own client deliver what our
// emulator delivers: the handler gets the same, and the client understands
// the reply as Eventarc does.
func TestVendorsClient(t *testing.T) {
	rec := &recorder{}
	server := httptest.NewServer(cloudrun.New(nil, rec, anyone))
	defer server.Close()
	protocol, err := cloudevents.NewHTTP(cloudevents.WithTarget(server.URL + "/events"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := cloudevents.NewClient(protocol)
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range []string{"storage", "pubsub-eventarc"} {
		ours, ok := emulate.SampleOf("cloudrun", sample)
		if !ok {
			t.Fatalf("no sample %q", sample)
		}
		rec.got = nil
		if w := push(t, rec, anyone, ours.Delivery.Header, ours.Delivery.Body); w.Code != 204 {
			t.Fatalf("%s: %d", sample, w.Code)
		}
		want := rec.got
		h := ours.Delivery.Header
		e := cloudevents.NewEvent()
		e.SetID(h.Get("ce-id"))
		e.SetSource(h.Get("ce-source"))
		e.SetType(h.Get("ce-type"))
		if at, err := time.Parse(time.RFC3339Nano, h.Get("ce-time")); err == nil {
			e.SetTime(at)
		}
		if err := e.SetData(cloudevents.ApplicationJSON, ours.Delivery.Body); err != nil {
			t.Fatal(err)
		}
		for name, ctx := range map[string]func() cloudevents.Result{
			"binary":     func() cloudevents.Result { return client.Send(cloudevents.WithEncodingBinary(t.Context()), e) },
			"structured": func() cloudevents.Result { return client.Send(cloudevents.WithEncodingStructured(t.Context()), e) },
		} {
			rec.got = nil
			if result := ctx(); !cloudevents.IsACK(result) {
				t.Errorf("%s, %s: want it acknowledged, got %v", sample, name, result)
			}
			if diff := cmp.Diff(want, rec.got); diff != "" {
				t.Errorf("%s, %s: ours and the client's (-ours +client)\n%s", sample, name, diff)
			}
		}
		rec.answer = []trigger.Outcome{trigger.Of(fault.New(fault.Unavailable, "test", "", "later"))}
		if result := client.Send(t.Context(), e); !cloudevents.IsNACK(result) {
			t.Errorf("%s: want it not acknowledged, got %v", sample, result)
		}
		rec.answer = nil
	}
}
