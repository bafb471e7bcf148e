package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit.dev/internal/emulate"
)

// queue is one of SQS.
type queue struct{ root, url, arn string }

const receives = 5 // of a message, before SQS moves it to the dead letters

func (q *queue) call(ctx context.Context, action string, in map[string]any, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return call(ctx, http.MethodPost, q.root, body, out, "Content-Type: application/x-amz-json-1.0", "X-Amz-Target: AmazonSQS."+action, signed("sqs"))
}

func newQueue(ctx context.Context, root, name string, attributes map[string]string) (*queue, error) {
	q := &queue{root: root}
	var made struct{ QueueUrl string }
	if err := q.call(ctx, "CreateQueue", map[string]any{"QueueName": name, "Attributes": attributes}, &made); err != nil {
		return nil, err
	}
	q.url = made.QueueUrl
	var got struct{ Attributes map[string]string }
	err := q.call(ctx, "GetQueueAttributes", map[string]any{"QueueUrl": q.url, "AttributeNames": []string{"All"}}, &got)
	q.arn = got.Attributes["QueueArn"]
	return q, err
}

// left is how many messages there are, received or not.
func (q *queue) left(ctx context.Context) (int, error) {
	var got struct{ Attributes map[string]string }
	err := q.call(ctx, "GetQueueAttributes", map[string]any{"QueueUrl": q.url, "AttributeNames": []string{"All"}}, &got)
	n := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		var k int
		if _, err := fmt.Sscan(got.Attributes[name], &k); err != nil {
			return 0, err
		}
		n += k
	}
	return n, err
}

type sqsMessage struct {
	MessageId, ReceiptHandle, Body, MD5OfBody string
	Attributes                                map[string]string
	MessageAttributes                         map[string]sqsAttribute
}

type sqsAttribute struct{ StringValue, DataType string }

func (q *queue) receive(ctx context.Context, wait int) ([]sqsMessage, error) {
	var got struct{ Messages []sqsMessage }
	err := q.call(ctx, "ReceiveMessage", map[string]any{
		"QueueUrl": q.url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": wait, "AttributeNames": []string{"All"}, "MessageAttributeNames": []string{"All"},
	}, &got)
	return got.Messages, err
}

func (q *queue) remove(ctx context.Context, m *sqsMessage) error {
	return q.call(ctx, "DeleteMessage", map[string]any{"QueueUrl": q.url, "ReceiptHandle": m.ReceiptHandle}, nil)
}

// delivery makes the event that Lambda makes of messages.
func (q *queue) delivery(messages []sqsMessage) (*emulate.Delivery, error) {
	records := []any{}
	for _, m := range messages {
		attributes := map[string]any{}
		for name, a := range m.MessageAttributes {
			attributes[name] = map[string]any{"stringValue": a.StringValue, "dataType": a.DataType, "stringListValues": []any{}, "binaryListValues": []any{}}
		}
		records = append(records, map[string]any{
			"messageId": m.MessageId, "receiptHandle": m.ReceiptHandle, "body": m.Body, "attributes": m.Attributes, "messageAttributes": attributes,
			"md5OfBody": m.MD5OfBody, "eventSource": "aws:sqs", "eventSourceARN": q.arn, "awsRegion": "us-east-1",
		})
	}
	body, err := json.Marshal(map[string]any{"Records": records})
	return &emulate.Delivery{Body: body}, err
}

// poller is Lambda's event source mapping: it receives, invokes, and deletes
// what the function has not named. What becomes of the function is not its
// problem: a message that nobody deletes comes again.
type poller struct {
	queue    *queue
	function *running

	mu       sync.Mutex
	attempts map[string]int // by message id
	done     int
}

// run polls with some workers until the queue is empty.
func (p *poller) run(ctx context.Context, workers int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for ctx.Err() == nil {
				left, err := p.queue.left(ctx)
				if err == nil && left == 0 {
					return
				}
				if err == nil {
					err = p.poll(ctx)
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (p *poller) poll(ctx context.Context) error {
	messages, err := p.queue.receive(ctx, 1)
	if err != nil || len(messages) == 0 {
		return err
	}
	p.mu.Lock()
	for _, m := range messages {
		p.attempts[m.MessageId]++
	}
	p.mu.Unlock()
	d, err := p.queue.delivery(messages)
	if err != nil {
		return err
	}
	reply, err := p.function.get().Deliver(ctx, d)
	if err != nil || reply.Retry {
		return ctx.Err()
	}
	for _, m := range messages {
		if slices.Contains(reply.Failed, m.MessageId) {
			continue
		}
		if err := p.queue.remove(ctx, &m); err != nil {
			return err
		}
		p.mu.Lock()
		p.done++
		p.mu.Unlock()
	}
	return nil
}

// sqs puts objects into S3, which tells a queue of them, and payloads into the
// same queue; kills the function in between; and has what failed put aside.
func sqs(ctx context.Context, a *addresses) error {
	root := "http://" + a.moto
	b := &s3{root + "/sqs-data"}
	if err := call(ctx, http.MethodPut, b.root, nil, nil, signed("s3")); err != nil {
		return err
	}
	dead, err := newQueue(ctx, root, "rows-dead", nil)
	if err != nil {
		return err
	}
	q, err := newQueue(ctx, root, "rows", map[string]string{
		"VisibilityTimeout": "3", "RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.arn, receives),
	})
	if err != nil {
		return err
	}
	notify := `<NotificationConfiguration><QueueConfiguration><Id>rows</Id><Queue>` + q.arn + `</Queue><Event>s3:ObjectCreated:*</Event>` +
		`<Filter><S3Key><FilterRule><Name>prefix</Name><Value>rows/</Value></FilterRule></S3Key></Filter></QueueConfiguration></NotificationConfiguration>`
	if err := call(ctx, http.MethodPut, b.root+"?notification", []byte(notify), nil, signed("s3")); err != nil {
		return err
	}
	dir, err := function(a, "sqs", "triggers: [objects, queue]\nbatch: {input: s3://sqs-data/rows/, output: s3://sqs-data/scores/, passThrough: [id]}\ntargets: {awslambda: {}}\n")
	if err != nil {
		return err
	}
	fn := &running{begin: func() (*emulate.Instance, error) {
		return start(ctx, a, "awslambda", a.fnLambda, dir, nil, "AWS_ENDPOINT_URL_S3="+root, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secretsecret")
	}}
	defer fn.stop()
	if err := fn.restart(); err != nil {
		return err
	}

	all := objects(12)
	for _, o := range all {
		if err := b.put(ctx, "rows/"+o.key, o.data); err != nil {
			return err
		}
	}
	var payloads [][]digit
	for n := range 8 {
		rows := digits(uint64(n), 1+n)
		payloads = append(payloads, rows)
		if err := q.call(ctx, "SendMessage", map[string]any{"QueueUrl": q.url, "MessageBody": string(request(rows))}, nil); err != nil {
			return err
		}
	}
	poison := map[string]any{"QueueUrl": q.url, "MessageBody": "no request", "MessageAttributes": map[string]any{"from": sqsAttribute{"somebody", "String"}}}
	if err := q.call(ctx, "SendMessage", poison, nil); err != nil {
		return err
	}

	// Two pollers beside each other; the function is killed in the middle of what
	// it does, and another takes its place.
	p := &poller{queue: q, function: fn, attempts: map[string]int{}}
	polling, cancel := context.WithCancel(ctx)
	defer cancel()
	polled := make(chan error, 1)
	go func() { polled <- p.run(polling, 2) }()
	for range 2 {
		err := until(ctx, func() (bool, error) { p.mu.Lock(); defer p.mu.Unlock(); return len(p.attempts) >= 5, nil })
		if err == nil {
			err = fn.restart()
		}
		if err != nil {
			cancel()
			<-polled
			return err
		}
	}
	if err := <-polled; err != nil {
		return err
	}
	if err := check(ctx, b, fn.get(), all); err != nil {
		return err
	}
	if err := checkPayloads(ctx, b, fn.get(), payloads); err != nil {
		return err
	}
	again := 0
	for _, n := range p.attempts {
		again += n - 1
	}
	fmt.Printf("sqs: %d messages done, %d deliveries that were repeated, the function killed twice\n", p.done, again)

	// What is left is with the dead letters, as it was sent.
	var aside []string
	for {
		messages, err := dead.receive(ctx, 0)
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			break
		}
		for _, m := range messages {
			switch {
			case m.Body == "no request" && m.MessageAttributes["from"].StringValue == "somebody":
				aside = append(aside, "payload")
			case strings.Contains(m.Body, "cut.parquet"):
				aside = append(aside, "object")
			default:
				return fmt.Errorf("this was put aside: %.200s", m.Body)
			}
			if n := p.attempts[m.MessageId]; n != receives {
				return fmt.Errorf("want %d deliveries of what is put aside, got %d", receives, n)
			}
		}
	}
	slices.Sort(aside)
	if !slices.Equal(aside, []string{"object", "payload"}) {
		return fmt.Errorf("want the bad object and the bad payload with the dead letters, got %q", aside)
	}
	return nil
}

// until asks again and again until it is so.
func until(ctx context.Context, so func() (bool, error)) error {
	for {
		is, err := so()
		if is || err != nil {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
