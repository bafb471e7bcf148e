package azurefunctions_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/trigger"
)

// source hands items to one function of the app, as its trigger would.
type source struct {
	instance *emulate.Instance
	function string
}

func (s *source) Deliver(ctx context.Context, items []adaptertest.Item) (*adaptertest.Verdict, error) {
	var messages []emulate.AzureMessage
	for _, item := range items {
		messages = append(messages, message(s.function, &item))
	}
	d, err := emulate.AzureDelivery(s.instance, s.function, 1, messages...)
	if err != nil {
		return nil, err
	}
	r, err := s.instance.Deliver(ctx, d)
	if err != nil {
		return nil, err
	}
	return &adaptertest.Verdict{Status: r.Status, Body: r.Body, Retry: r.Retry}, nil
}

// message is an item as it lies at its source.
func message(function string, item *adaptertest.Item) emulate.AzureMessage {
	m := emulate.AzureMessage{ID: item.ID, Body: item.Data, Session: item.Group, Properties: item.Attributes, Number: int64(crc32.ChecksumIEEE([]byte(item.ID)))}
	switch function {
	case "queue":
		m.Body = base64.StdEncoding.AppendEncode(nil, item.Data)
	case "eventgrid", "eventgrid-batch":
		event := map[string]any{"specversion": "1.0", "id": item.ID, "source": "/tests", "type": "test", "data_base64": item.Data}
		for name, value := range item.Attributes {
			event[name] = value
		}
		if item.Broken {
			delete(event, "source")
		}
		m.Body, _ = json.Marshal(event)
	}
	return m
}

func TestEventConformance(t *testing.T) {
	for function, caps := range map[string]adaptertest.EventCaps{
		"queue":            {Items: 1, NoAttributes: true, NoBroken: true},
		"servicebus":       {Items: 1, NoBroken: true},
		"servicebus-batch": {Order: trigger.Grouped, NoBroken: true},
		"eventgrid":        {Items: 1},
		"eventgrid-batch":  {},
		"eventhub":         {Order: trigger.Ordered, NoBroken: true},
		"kafka":            {NoBroken: true}, // its groups are partitions, with names of their own
	} {
		caps.Whole = true // one status for all
		t.Run(function, func(t *testing.T) {
			adaptertest.RunEvents(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.EventClient {
				return &source{start(t, how, &emulate.Options{}), function}
			}, caps)
		})
	}
}
