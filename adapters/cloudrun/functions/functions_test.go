package functions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/adapters/cloudrun/functions"
	"godwit.dev/internal/emulate"
)

// child says that this process is a function: the framework's server owns its
// process and has no end but the process's.
const child = "FUNCTIONS_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	s, err := adaptertest.New(adaptertest.SetupOf(os.Getenv))
	if err == nil {
		functions.HTTP("requests", cloudrun.New(s.API, s.Events, &cloudrun.Options{Anyone: true}))
		functions.CloudEvent("events", s.Events, nil)
		err = funcframework.StartHostPort("127.0.0.1", os.Getenv("PORT"))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func start(t *testing.T, target string, how *adaptertest.Setup) *emulate.Instance {
	if how == nil {
		how = &adaptertest.Setup{}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	launch := emulate.Command(self, nil, []string{child + "=1", "FUNCTION_TARGET=" + target, how.Env()}, nil, nil)
	i, err := emulate.Start(t.Context(), "cloudrun", launch, &emulate.Options{Timeout: how.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	// The framework's server ends at once, whatever it is doing, and its routes
	// are a http.ServeMux's.
	adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client { return start(t, "requests", how) },
		adaptertest.Caps{NoDrain: true, CleansPaths: true})
}

type triggered struct {
	*emulate.Instance
	document func(item *adaptertest.Item) *emulate.Delivery
}

func (d triggered) Deliver(ctx context.Context, items []adaptertest.Item) (*adaptertest.Verdict, error) {
	reply, err := d.Instance.Deliver(ctx, d.document(&items[0]))
	if err != nil {
		return nil, err
	}
	return &adaptertest.Verdict{Status: reply.Status, Body: reply.Body, Retry: reply.Retry, Failed: reply.Failed}, nil
}

func head(item *adaptertest.Item, kind string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set("ce-id", item.ID)
	h.Set("ce-specversion", "1.0")
	h.Set("ce-type", kind)
	h.Set("ce-source", "//pubsub.googleapis.com/projects/p/topics/t")
	return h
}

func message(item *adaptertest.Item) *emulate.Delivery {
	data := any(item.Data) // base64 in JSON
	if item.Broken {
		data = 17
	}
	doc, err := json.Marshal(map[string]any{
		"message":      map[string]any{"data": data, "attributes": item.Attributes, "messageId": item.ID},
		"subscription": "projects/p/subscriptions/s",
	})
	if err != nil {
		panic(err)
	}
	return &emulate.Delivery{Header: head(item, "google.cloud.pubsub.topic.v1.messagePublished"), Body: doc}
}

func own(item *adaptertest.Item) *emulate.Delivery {
	d := &emulate.Delivery{Header: head(item, "com.example.rows"), Body: item.Data}
	if item.Broken {
		d.Header.Del("ce-source")
	}
	return d
}

func TestEventsConformance(t *testing.T) {
	for _, form := range []struct {
		name     string
		document func(*adaptertest.Item) *emulate.Delivery
		caps     adaptertest.EventCaps
	}{
		// One at a time: the framework's receivers mix requests up.
		{"a message", message, adaptertest.EventCaps{Items: 1, NoConcurrency: true}},
		{"an event of one's own", own, adaptertest.EventCaps{Items: 1, NoAttributes: true, NoConcurrency: true}},
	} {
		t.Run(form.name, func(t *testing.T) {
			adaptertest.RunEvents(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.EventClient {
				return triggered{start(t, "events", how), form.document}
			}, form.caps)
		})
	}
}

// Everything that an event says reaches the handler, in both of its forms on the
// wire, through the framework's own reading.
func TestAttributes(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	payload := `{"test_tell":"` + ln.Addr().String() + `"}`
	i := start(t, "events", nil)
	for name, d := range map[string]emulate.Delivery{
		"binary": {Header: http.Header{
			"Ce-Specversion": {"1.0"}, "Ce-Id": {"7"}, "Ce-Source": {"/devices/3"}, "Ce-Type": {"com.example.rows"}, "Ce-Subject": {"readings"},
			"Ce-Time": {"2026-11-22T10:00:00Z"}, "Ce-Dataschema": {"https://example.com/rows"}, "Content-Type": {"application/json"},
			"Ce-Model": {"iris"}, "Ce-Rows": {"12"}, "Ce-Final": {"true"},
		}, Body: []byte(payload)},
		"structured": {Header: http.Header{"Content-Type": {"application/cloudevents+json"}}, Body: []byte(`{"specversion":"1.0","id":"7","source":"/devices/3","type":"com.example.rows","subject":"readings",` +
			`"time":"2026-11-22T10:00:00Z","dataschema":"https://example.com/rows","datacontenttype":"application/json","model":"iris","rows":12,"final":true,"data":` + payload + `}`)},
	} {
		reply, err := i.Deliver(t.Context(), &d)
		if err != nil || reply.Status != http.StatusOK {
			t.Fatalf("%s: want 200, got %+v, %v", name, reply, err)
		}
		conn, err := ln.Accept() // of the delivery that was answered
		if err != nil {
			t.Fatal(err)
		}
		var got adaptertest.Answer
		err = json.NewDecoder(conn).Decode(&got)
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		want := adaptertest.Answer{
			Kind: "cloudevents", Source: "/devices/3", ID: "7", Key: "/devices/3 7", ContentType: "application/json", Data: []byte(payload), Time: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
			Attributes: map[string]string{
				"source": "/devices/3", "type": "com.example.rows", "subject": "readings", "dataschema": "https://example.com/rows", "model": "iris", "rows": "12", "final": "true",
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
