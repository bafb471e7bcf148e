package queue

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"godwit.dev/adapters/stores/gcpauth"
	"godwit.dev/adapters/stores/wire"
	"godwit.dev/runtime/fault"
)

// pubsubMessage is what a topic takes.
type pubsubMessage struct {
	Data       []byte            `json:"data,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Key        string            `json:"orderingKey,omitempty"`
}

// pubsub publishes to a topic of Google Cloud Pub/Sub.
func (q *Queue) pubsub(o *Options) {
	tokens := gcpauth.New(&gcpauth.Options{Getenv: o.Getenv, Scope: "https://www.googleapis.com/auth/pubsub"})
	q.most, q.bytes = 1000, 6<<20 // of 10 MB, in base64
	q.client.Sign = func(ctx context.Context, req *http.Request, _ []byte) error {
		if q.at.Scheme == "http" {
			return nil // an emulator
		}
		token, err := tokens.Token(ctx)
		if err == nil && token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		return err
	}
	q.client.Read = func(_ *http.Response, body []byte) (name, text string) {
		var e struct {
			Error struct{ Status, Message string }
		}
		_ = json.Unmarshal(body, &e)
		return e.Error.Status, e.Error.Message
	}
	q.client.Hint = func(code fault.Code, _ string) string {
		if code == fault.Denied || code == fault.Unauthenticated {
			return "The service account needs roles/pubsub.publisher on the topic, and roles/pubsub.subscriber on a subscription."
		}
		return ""
	}
	q.send = func(ctx context.Context, messages [][]byte) error {
		var all []pubsubMessage
		for _, m := range messages {
			all = append(all, pubsubMessage{Data: m})
		}
		return q.publish(ctx, all)
	}
	q.publish = func(ctx context.Context, messages []pubsubMessage) error {
		body, err := json.Marshal(map[string][]pubsubMessage{"messages": messages})
		if err != nil {
			return fault.New(fault.Internal, "pubsub.Send", q.at.Host, "%w", err)
		}
		_, text, err := q.client.Text(ctx, &wire.Call{
			Op: "pubsub.Send", Key: q.at.Path, Method: http.MethodPost, Body: body, Header: http.Header{"Content-Type": {"application/json"}},
			URL: func() *url.URL {
				return &url.URL{Scheme: q.at.Scheme, Host: q.at.Host, Path: "/v1" + q.at.Path + ":publish"}
			},
		})
		if err != nil {
			return err
		}
		var out struct {
			MessageIDs []string `json:"messageIds"`
		}
		if err := json.Unmarshal(text, &out); err != nil || len(out.MessageIDs) != len(messages) {
			return fault.New(fault.Unavailable, "pubsub.Send", q.at.Path, "want ids of %d messages, got %d", len(messages), len(out.MessageIDs))
		}
		return nil
	}
}
