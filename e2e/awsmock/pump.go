package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"godwit.dev/internal/emulate"
)

// queue is one of moto's, by its URL.
type queue struct{ url string }

func (q *queue) call(ctx context.Context, as *client, action string, in map[string]any, out any) error {
	in["QueueUrl"] = q.url
	return as.json(ctx, "sqs", "AmazonSQS."+action, in, out)
}

func (q *queue) attributes(ctx context.Context, as *client) (map[string]string, error) {
	var got struct{ Attributes map[string]string }
	err := q.call(ctx, as, "GetQueueAttributes", map[string]any{"AttributeNames": []string{"All"}}, &got)
	return got.Attributes, err
}

// left is how many messages there are, received or not.
func (q *queue) left(ctx context.Context, moto *client) (n int, err error) {
	all, err := q.attributes(ctx, moto)
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		k, _ := strconv.Atoi(all[name])
		n += k
	}
	return n, err
}

type message struct {
	MessageId, ReceiptHandle, Body, MD5OfBody string
	Attributes                                map[string]string
}

func (q *queue) receive(ctx context.Context, as *client, most int) ([]message, error) {
	var got struct{ Messages []message }
	err := q.call(ctx, as, "ReceiveMessage", map[string]any{"MaxNumberOfMessages": min(most, 10), "WaitTimeSeconds": 0, "AttributeNames": []string{"All"}}, &got)
	return got.Messages, err
}

// pump is what Lambda is between the queue and the function: it does what the
// event source mapping says, with the function's role. Time passes faster: what
// was not done is seen again at once.
type pump struct {
	as, moto *client
	queue    queue
	mapping  *mapping
	attempts map[string]int // by message id
	handles  []string       // of all that was received
}

// begin does what Lambda does before it makes a mapping: it asks for the queue,
// and wants it to hide messages for as long as the function may take.
func (p *pump) begin(ctx context.Context, f *function) error {
	all, err := p.queue.attributes(ctx, p.as)
	if err != nil {
		return err
	}
	if hidden, _ := strconv.Atoi(all["VisibilityTimeout"]); hidden < 6*f.Timeout {
		return fmt.Errorf("want messages hidden for 6 times the function's %d s, got %d s", f.Timeout, hidden)
	}
	return nil
}

// poll receives once, invokes, and deletes what is done. It reports how many were
// received, and the ids of those that were not done.
func (p *pump) poll(ctx context.Context, by *emulate.Instance) (received int, failed []string, err error) {
	messages, err := p.queue.receive(ctx, p.as, p.mapping.BatchSize)
	if err != nil || len(messages) == 0 {
		return 0, nil, err
	}
	var records []any
	for _, m := range messages {
		p.attempts[m.MessageId]++
		p.handles = append(p.handles, m.ReceiptHandle)
		records = append(records, map[string]any{
			"messageId": m.MessageId, "receiptHandle": m.ReceiptHandle, "body": m.Body, "attributes": m.Attributes, "messageAttributes": map[string]any{},
			"md5OfBody": m.MD5OfBody, "eventSource": "aws:sqs", "eventSourceARN": p.mapping.EventSourceArn, "awsRegion": "eu-west-1",
		})
	}
	event, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return 0, nil, err
	}
	reply, err := by.Deliver(ctx, &emulate.Delivery{Body: event})
	if err != nil {
		return 0, nil, err
	}
	partial := slices.Contains(p.mapping.FunctionResponseTypes, "ReportBatchItemFailures")
	for _, m := range messages {
		if reply.Retry || partial && slices.Contains(reply.Failed, m.MessageId) {
			failed = append(failed, m.MessageId)
			if err := p.queue.call(ctx, p.moto, "ChangeMessageVisibility", map[string]any{"ReceiptHandle": m.ReceiptHandle, "VisibilityTimeout": 0}, nil); err != nil {
				return 0, nil, err
			}
			continue
		}
		if err := p.queue.call(ctx, p.as, "DeleteMessage", map[string]any{"ReceiptHandle": m.ReceiptHandle}, nil); err != nil {
			return 0, nil, err
		}
	}
	return len(messages), failed, nil
}

// drain polls until nothing is left, at most so often, and wants so many
// messages not done, each time that they are delivered.
func (p *pump) drain(ctx context.Context, by *emulate.Instance, most, failures int) error {
	left, got := 1, 0
	for range most {
		_, failed, err := p.poll(ctx, by)
		if err != nil {
			return err
		}
		got += len(failed)
		if left, err = p.queue.left(ctx, p.moto); err != nil {
			return err
		}
		if left == 0 {
			break
		}
	}
	if left > 0 || got != failures {
		return fmt.Errorf("want all messages done after at most %d deliveries and %d failures, got %d left after %d failures", most, failures, left, got)
	}
	return nil
}

// take removes up to ten messages.
func (p *pump) take(ctx context.Context, q *queue) ([]message, error) {
	messages, err := q.receive(ctx, p.moto, 10)
	for _, m := range messages {
		err = errors.Join(err, q.call(ctx, p.moto, "DeleteMessage", map[string]any{"ReceiptHandle": m.ReceiptHandle}, nil))
	}
	return messages, err
}

// clear removes all messages, also those that were received and not deleted.
// PurgeQueue can be called once a minute only.
func (p *pump) clear(ctx context.Context, queues ...queue) error {
	for _, h := range p.handles {
		_ = p.queue.call(ctx, p.moto, "DeleteMessage", map[string]any{"ReceiptHandle": h}, nil) // most are deleted
	}
	for i := range queues {
		for {
			if messages, err := p.take(ctx, &queues[i]); err != nil || len(messages) == 0 {
				if err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}
