package edge_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/edge"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/trigger"
)

var quiet = slog.New(slog.DiscardHandler)

// TestMain is, for tests that kill one, a process with a queue as well.
func TestMain(m *testing.M) {
	if os.Getenv("EDGE_TEST_DIR") != "" {
		child()
	}
	if os.Getenv("EDGE_TEST_SMALL") != "" {
		smallDisk()
	}
	goleak.VerifyTestMain(m)
}

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
		service, err := edge.NewService(getenv, os.Getpid(), quiet)
		if err != nil {
			return err
		}
		defer service.Close()
		ln, err := httpserve.Listen(ctx, edge.Address(getenv, ""))
		if err != nil {
			return err
		}
		ran := make(chan struct{})
		go func() { defer close(ran); service.Run(ctx, s.API.Ready, nil) }()
		defer func() { <-ran }()
		var o httpserve.Options
		edge.Limits(&o)
		return httpserve.Serve(ctx, ln, edge.New(s.API, s.Events, nil), s.API, &o)
	})
	i, err := emulate.Start(t.Context(), "edge", launch, &emulate.Options{Variant: variant, Timeout: how.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	for _, variant := range emulate.Variants("edge") {
		t.Run(variant, func(t *testing.T) {
			t.Parallel() // HTTP/2 says goodbye for a second
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client { return start(t, variant, how) }, adaptertest.Caps{})
		})
	}
}

// sender is another program of the device.
type sender struct{ *emulate.Instance }

func (s sender) Deliver(ctx context.Context, items []adaptertest.Item) (*adaptertest.Verdict, error) {
	header, body, err := adaptertest.CloudEvents(items)
	if err != nil {
		return nil, err
	}
	r, err := s.Instance.Deliver(ctx, &emulate.Delivery{Header: header, Body: body})
	if err != nil {
		return nil, err
	}
	return &adaptertest.Verdict{Status: r.Status, Body: r.Body, Retry: r.Retry, Failed: r.Failed}, nil
}

func TestEvents(t *testing.T) {
	adaptertest.RunEvents(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.EventClient {
		return sender{start(t, "http1", how)}
	}, adaptertest.EventCaps{Whole: true, Aside: true})
}

// Every sample is taken, each of its events once.
func TestSamples(t *testing.T) {
	i := start(t, "http1", nil)
	want := map[string]int{"reading": 1, "reading-structured": 1, "reading-batch": 2}
	samples := emulate.Samples("edge")
	if len(samples) != len(want) {
		t.Errorf("%d samples, want %d", len(samples), len(want))
	}
	for _, s := range samples {
		reply, err := i.Deliver(t.Context(), &s.Delivery)
		if err != nil {
			t.Fatal(err)
		}
		if reply.Status != http.StatusAccepted || reply.Retry {
			t.Errorf("%s: status %d, sent again: %t: %s", s.Name, reply.Status, reply.Retry, reply.Body)
		}
		seen := map[string]bool{}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/events", bytes.NewReader(s.Delivery.Body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = s.Delivery.Header
		w := httptest.NewRecorder()
		edge.New(nil, trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
			for _, item := range ev.Items {
				if seen[item.Key] = true; item.Attributes["model"] != "iris" || !strings.HasPrefix(string(item.Data), `{"inputs":`) {
					t.Errorf("%s: %+v", s.Name, item)
				}
			}
			return slices.Repeat([]trigger.Outcome{{State: trigger.Done}}, len(ev.Items))
		}), nil).ServeHTTP(w, r)
		if len(seen) != want[s.Name] || w.Code != http.StatusAccepted {
			t.Errorf("%s: status %d, events %v, want %d", s.Name, w.Code, seen, want[s.Name])
		}
	}
}
