package queue

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

// pubsubLetters is a subscription to a dead-letter topic of Pub/Sub.
type pubsubLetters struct{ *Letters }

func (l *pubsubLetters) call(ctx context.Context, verb string, in, out any) (http.Header, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fault.New(fault.Internal, "pubsub."+verb, l.at.Path, "%w", err)
	}
	answer, text, err := l.client.Text(ctx, &wire.Call{
		Op: "pubsub." + verb, Key: l.at.Path, Method: http.MethodPost, Body: body, Header: http.Header{"Content-Type": {"application/json"}},
		URL: func() *url.URL {
			return &url.URL{Scheme: l.at.Scheme, Host: l.at.Host, Path: "/v1" + l.at.Path + ":" + verb}
		},
	})
	if err != nil {
		return nil, err
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			return nil, fault.New(fault.Unavailable, "pubsub."+verb, l.at.Path, "want an answer of Pub/Sub, got something else")
		}
	}
	return answer.Header, nil
}

// emptyPulls is how often a pull may bring nothing until there is nothing: one
// may do so although there is something.
const emptyPulls = 3

func (l *pubsubLetters) receive(ctx context.Context, most int) ([]Letter, http.Header, error) {
	var all []Letter
	var header http.Header
	for range emptyPulls {
		var got struct {
			Received []struct {
				AckID   string `json:"ackId"`
				Message struct {
					Data        []byte            `json:"data"`
					Attributes  map[string]string `json:"attributes"`
					ID          string            `json:"messageId"`
					PublishTime time.Time         `json:"publishTime"`
					OrderingKey string            `json:"orderingKey"`
				} `json:"message"`
			} `json:"receivedMessages"`
		}
		var err error
		// It would wait for messages for up to 90 s otherwise.
		if header, err = l.call(ctx, "pull", map[string]any{"maxMessages": min(most, 1000), "returnImmediately": true}, &got); err != nil {
			return nil, nil, err
		}
		for _, r := range got.Received {
			m := &r.Message
			all = append(all, Letter{ID: m.ID, Data: m.Data, Attributes: m.Attributes, Key: m.OrderingKey, Since: m.PublishTime, receipt: r.AckID})
		}
		if len(all) > 0 {
			return all, header, l.deadline(ctx, all, hidden)
		}
	}
	return nil, header, nil
}

func (l *pubsubLetters) deadline(ctx context.Context, all []Letter, seconds int) error {
	_, err := l.call(ctx, "modifyAckDeadline", map[string]any{"ackIds": receipts(all), "ackDeadlineSeconds": seconds}, nil)
	return err
}

func receipts(all []Letter) []string {
	var ids []string
	for _, m := range all {
		ids = append(ids, m.receipt)
	}
	return ids
}

func (l *pubsubLetters) remove(ctx context.Context, all []Letter) error {
	_, err := l.call(ctx, "acknowledge", map[string]any{"ackIds": receipts(all)}, nil)
	return err
}

func (l *pubsubLetters) show(ctx context.Context, all []Letter) error { return l.deadline(ctx, all, 0) }

func (l *pubsubLetters) resend(ctx context.Context, to *Queue, all []Letter) error {
	if to.publish == nil {
		return other(to, "a topic of Pub/Sub")
	}
	var messages []pubsubMessage
	size := 0
	for i := range all {
		m := sentAgain(&all[i])
		// A request has messages of one ordering key, and so many bytes.
		if n := len(messages); n > 0 && (messages[0].Key != m.Key || size+len(m.Data) > to.bytes) {
			if err := to.publish(ctx, messages); err != nil {
				return err
			}
			messages, size = nil, 0
		}
		messages, size = append(messages, m), size+len(m.Data)
	}
	if len(messages) == 0 {
		return nil
	}
	return to.publish(ctx, messages)
}

// sentAgain is a letter as its sender wrote it: without what says why it was put
// aside. An object that the function itself has put aside, which has no data, is
// told of as its bucket does.
func sentAgain(l *Letter) pubsubMessage {
	m := pubsubMessage{Data: l.Data, Key: l.Key, Attributes: map[string]string{}}
	for name, value := range l.Attributes {
		if !strings.HasPrefix(name, "CloudPubSubDeadLetterSource") && !strings.HasPrefix(name, "godwit_") {
			m.Attributes[name] = value
		}
	}
	rest, ok := strings.CutPrefix(l.Attributes["godwit_object"], "gs://")
	bucket, object, _ := strings.Cut(rest, "/")
	_, generation, _ := strings.Cut(l.Attributes["godwit_item"], "#")
	if ok && len(l.Data) == 0 && bucket != "" && object != "" && generation != "" {
		for name, value := range map[string]string{
			"notificationConfig": "projects/_/buckets/" + bucket + "/notificationConfigs/godwit", "eventType": "OBJECT_FINALIZE", "payloadFormat": "NONE",
			"bucketId": bucket, "objectId": object, "objectGeneration": generation,
		} {
			m.Attributes[name] = value
		}
	}
	return m
}
