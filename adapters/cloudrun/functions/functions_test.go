package functions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

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
