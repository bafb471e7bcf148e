package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// pushed is the body of a push (Google, "Push subscriptions"): names in both
// forms, as the service writes them.
type pushed struct {
	Message struct {
		Data         []byte            `json:"data,omitempty"`
		Attributes   map[string]string `json:"attributes,omitempty"`
		MessageID    string            `json:"messageId"`
		MessageID2   string            `json:"message_id"`
		PublishTime  string            `json:"publishTime"`
		PublishTime2 string            `json:"publish_time"`
		OrderingKey  string            `json:"orderingKey,omitempty"`
	} `json:"message"`
	Subscription    string `json:"subscription"`
	DeliveryAttempt int32  `json:"deliveryAttempt,omitempty"`
}

// push does what the service does for a push subscription: several deliveries at
// a time, each over after the ack deadline; 102, 200, 201, 202 and 204 are
// acknowledgements, everything else is delivered again, after 200 ms.
func (s *service) push(ctx context.Context, sub *pubsubpb.Subscription) {
	client := &http.Client{Timeout: time.Duration(sub.AckDeadlineSeconds) * time.Second}
	free := make(chan struct{}, 16)
	for ctx.Err() == nil {
		got, err := s.GServer.Pull(ctx, &pubsubpb.PullRequest{Subscription: sub.Name, MaxMessages: 16})
		if err != nil {
			return
		}
		for _, m := range got.ReceivedMessages {
			// pstest's own goroutine writes to m when it delivers again.
			id, attempt := m.AckId, m.DeliveryAttempt
			free <- struct{}{}
			go func() {
				defer func() { <-free }()
				status, err := deliver(ctx, client, sub, m.Message, attempt)
				fmt.Fprintf(os.Stderr, "push %s %s attempt %d: %d %v\n", sub.Name, m.Message.MessageId, attempt, status, err)
				switch status {
				case 102, 200, 201, 202, 204:
					_, _ = s.GServer.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: sub.Name, AckIds: []string{id}})
				default:
					time.Sleep(200 * time.Millisecond)
					_, _ = s.GServer.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: sub.Name, AckIds: []string{id}})
				}
			}()
		}
	}
}

func deliver(ctx context.Context, client *http.Client, sub *pubsubpb.Subscription, m *pubsubpb.PubsubMessage, attempt int32) (int, error) {
	var p pushed
	at := m.PublishTime.AsTime().Format(time.RFC3339Nano)
	p.Message.Data, p.Message.Attributes, p.Message.OrderingKey = m.Data, m.Attributes, m.OrderingKey
	p.Message.MessageID, p.Message.MessageID2, p.Message.PublishTime, p.Message.PublishTime2 = m.MessageId, m.MessageId, at, at
	p.Subscription, p.DeliveryAttempt = sub.Name, attempt
	body, err := json.Marshal(&p)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.PushConfig.PushEndpoint, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "CloudPubSub-Google")
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}
