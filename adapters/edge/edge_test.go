package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/edge"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/internal/emulate"
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
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client { return start(t, variant, how) }, adaptertest.Caps{})
		})
	}
}

// sender is another program of the device: one event in binary mode, several in
// a batch.
type sender struct{ i *emulate.Instance }

func (s sender) Deliver(ctx context.Context, items []adaptertest.Item) (*adaptertest.Verdict, error) {
	d := &emulate.Delivery{Header: http.Header{}}
	if len(items) == 1 {
		d.Header = http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {items[0].ID}, "Ce-Source": {"/suite"}, "Ce-Type": {"suite.item"}, "Content-Type": {"application/json"}}
		for name, value := range items[0].Attributes {
			d.Header.Set("Ce-"+name, value)
		}
		if items[0].Broken {
			d.Header.Del("Ce-Type")
		}
		d.Body = items[0].Data
	} else {
		var batch bytes.Buffer
		for i, item := range items {
			e := map[string]any{"specversion": "1.0", "id": item.ID, "source": "/suite", "type": "suite.item", "datacontenttype": "application/json", "data": json.RawMessage(item.Data)}
			for name, value := range item.Attributes {
				e[name] = value
			}
			if item.Broken {
				delete(e, "type")
			}
			text, err := json.Marshal(e)
			if err != nil {
				return nil, err
			}
			batch.WriteByte("[,"[min(i, 1)])
			batch.Write(text)
		}
		batch.WriteByte(']')
		d.Header.Set("Content-Type", "application/cloudevents-batch+json")
		d.Body = batch.Bytes()
	}
	r, err := s.i.Deliver(ctx, d)
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
