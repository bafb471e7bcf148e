package cloudrun_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/internal/emulate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, variant string, how *adaptertest.Setup) *emulate.Instance {
	if how == nil {
		how = &adaptertest.Setup{}
	}
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		s, err := adaptertest.New(how)
		if err != nil {
			return err
		}
		defer s.Close()
		ln, err := httpserve.Listen(ctx, cloudrun.Address(getenv))
		if err != nil {
			return err
		}
		var o httpserve.Options
		cloudrun.Limits(&o)
		return httpserve.Serve(ctx, ln, cloudrun.New(s.API, s.Events, &cloudrun.Options{Anyone: true}), s.API, &o)
	})
	i, err := emulate.Start(t.Context(), "cloudrun", launch, &emulate.Options{Variant: variant, Timeout: how.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	for _, variant := range emulate.Variants("cloudrun") {
		t.Run(variant, func(t *testing.T) {
			t.Parallel() // HTTP/2 says goodbye for a second
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client { return start(t, variant, how) }, adaptertest.Caps{})
		})
	}
}

// pushed delivers items in one of the forms that a push has.
type pushed struct {
	*emulate.Instance
	document func(item *adaptertest.Item) *emulate.Delivery
}

func (p pushed) Deliver(ctx context.Context, items []adaptertest.Item) (*adaptertest.Verdict, error) {
	reply, err := p.Instance.Deliver(ctx, p.document(&items[0]))
	if err != nil {
		return nil, err
	}
	return &adaptertest.Verdict{Status: reply.Status, Body: reply.Body, Retry: reply.Retry, Failed: reply.Failed}, nil
}

func envelope(item *adaptertest.Item) []byte {
	data := any(item.Data) // base64 in JSON
	if item.Broken {
		data = "not base64!"
	}
	doc, err := json.Marshal(map[string]any{
		"message":      map[string]any{"data": data, "attributes": item.Attributes, "messageId": item.ID, "publishTime": "2026-11-22T10:00:00Z"},
		"subscription": "projects/p/subscriptions/s",
	})
	if err != nil {
		panic(err)
	}
	return doc
}

func wrapped(item *adaptertest.Item) *emulate.Delivery {
	return &emulate.Delivery{Header: http.Header{"Content-Type": {"application/json"}}, Body: envelope(item)}
}

func unwrapped(item *adaptertest.Item) *emulate.Delivery {
	h := http.Header{}
	h.Set("x-goog-pubsub-subscription-name", "projects/p/subscriptions/s")
	h.Set("x-goog-pubsub-publish-time", "2026-11-22T10:00:00Z")
	if !item.Broken {
		h.Set("x-goog-pubsub-message-id", item.ID)
	}
	for name, value := range item.Attributes {
		h.Set(name, value)
	}
	return &emulate.Delivery{Header: h, Body: item.Data}
}

func eventarc(item *adaptertest.Item) *emulate.Delivery {
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set("ce-id", item.ID)
	h.Set("ce-specversion", "1.0")
	h.Set("ce-type", "google.cloud.pubsub.topic.v1.messagePublished")
	h.Set("ce-source", "//pubsub.googleapis.com/projects/p/topics/t")
	return &emulate.Delivery{Header: h, Body: envelope(item)}
}

func channel(item *adaptertest.Item) *emulate.Delivery {
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set("ce-id", item.ID)
	h.Set("ce-specversion", "1.0")
	h.Set("ce-type", "com.example.rows")
	if !item.Broken {
		h.Set("ce-source", "/rows")
	}
	return &emulate.Delivery{Header: h, Body: item.Data}
}

func TestEventsConformance(t *testing.T) {
	for _, form := range []struct {
		name     string
		document func(*adaptertest.Item) *emulate.Delivery
		caps     adaptertest.EventCaps
	}{
		{"wrapped", wrapped, adaptertest.EventCaps{Items: 1, Binary: true}},
		{"unwrapped", unwrapped, adaptertest.EventCaps{Items: 1, Binary: true}},
		{"Pub/Sub through Eventarc", eventarc, adaptertest.EventCaps{Items: 1, Binary: true}},
		{"an event of one's own through Eventarc", channel, adaptertest.EventCaps{Items: 1, NoAttributes: true}},
	} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			adaptertest.RunEvents(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.EventClient {
				return pushed{start(t, "http1", how), form.document}
			}, form.caps)
		})
	}
}

func itemOf(id string) *adaptertest.Item {
	return &adaptertest.Item{ID: id, Data: []byte(`{"inputs":[]}`)}
}

// TestLargeAnswers: in HTTP/1 the platform lets answers beyond 32 MiB through
// only if they are streamed.
func TestLargeAnswers(t *testing.T) {
	const limit = 32 << 20
	body := bytes.Repeat([]byte("0123456789abcdef"), limit/16+1)
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.Header.Get("Want"))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body[:n])
	})
	for _, variant := range emulate.Variants("cloudrun") {
		i, err := emulate.Start(t.Context(), "cloudrun", emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
			s, err := adaptertest.New(nil)
			if err != nil {
				return err
			}
			defer s.Close()
			ln, err := httpserve.Listen(ctx, cloudrun.Address(getenv))
			if err != nil {
				return err
			}
			return httpserve.Serve(ctx, ln, cloudrun.New(api, nil, nil), s.API, nil)
		}), &emulate.Options{Variant: variant})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(i.Kill)
		for _, n := range []int{100, limit, limit + 1} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://function/v2", nil)
			r.RequestURI = ""
			r.Header.Set("Want", strconv.Itoa(n))
			resp, err := i.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, body[:n]) {
				t.Errorf("%s, %d bytes: got %d with %d bytes, %v", variant, n, resp.StatusCode, len(got), err)
			}
			if told := resp.ContentLength == int64(n); told != (n <= limit || variant == "h2c") {
				t.Errorf("%s, %d bytes: length told %t", variant, n, told)
			}
		}
	}
}
