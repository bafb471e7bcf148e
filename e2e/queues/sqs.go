package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit.dev/internal/emulate"
)

// queue is one of SQS.
type queue struct{ root, url, arn string }

const receives = 6 // of a message, before SQS moves it to the dead letters

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
			"md5OfBody": m.MD5OfBody, "eventSource": "aws:sqs", "eventSourceARN": q.arn, "awsRegion": "eu-west-1",
		})
	}
	body, err := json.Marshal(map[string]any{"Records": records})
	return &emulate.Delivery{Body: body}, err
}

// poller is Lambda's event source mapping: it receives, invokes, and deletes
// what the function has not named. What becomes of the function is not its
// problem: a message that nobody deletes comes again.
type poller struct {
	queue *queue

	mu       sync.Mutex
	attempts map[string]int // by message id
	done     map[string]bool
}

// run polls with a worker for each function until the queue is empty.
func (p *poller) run(ctx context.Context, functions []*running) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, function := range functions {
		all.Go(func() {
			for ctx.Err() == nil {
				left, err := p.queue.left(ctx)
				if err == nil && left == 0 {
					return
				}
				if err == nil {
					err = p.poll(ctx, function)
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

func (p *poller) poll(ctx context.Context, function *running) error {
	messages, err := p.queue.receive(ctx, 1)
	if err != nil || len(messages) == 0 {
		return err
	}
	p.mu.Lock()
	var lost []sqsMessage
	for _, m := range messages {
		if p.attempts[m.MessageId]++; p.attempts[m.MessageId] == 1 {
			lost = append(lost, m)
		}
	}
	p.mu.Unlock()
	for _, m := range lost { // the first lease is lost at once: another worker does the same meanwhile
		if err := p.queue.call(ctx, "ChangeMessageVisibility", map[string]any{"QueueUrl": p.queue.url, "ReceiptHandle": m.ReceiptHandle, "VisibilityTimeout": 0}, nil); err != nil {
			return err
		}
	}
	d, err := p.queue.delivery(messages)
	if err != nil {
		return err
	}
	reply, err := function.get().Deliver(ctx, d)
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
		p.done[m.MessageId] = true
		p.mu.Unlock()
	}
	return nil
}

// sqs puts objects into S3, which tells a queue of them, and payloads into the
// same queue; kills the function in between; and has what failed put aside.
func sqs(ctx context.Context, a *addresses) error {
	root := "http://" + a.moto
	b := &s3{root + "/sqs-data"}
	if err := b.create(ctx); err != nil {
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
	env := []string{"AWS_ENDPOINT_URL_S3=" + root, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secretsecret", "AWS_REGION=eu-west-1"}
	var functions []*running
	for range 2 {
		fn := &running{begin: func() (*emulate.Instance, error) { return start(ctx, a, "awslambda", a.fnLambda, dir, nil, env...) }}
		functions = append(functions, fn)
		defer fn.stop()
		if err := fn.restart(); err != nil {
			return err
		}
	}

	all := objects(12)
	for _, o := range all {
		if err := b.put(ctx, "rows/"+o.key, o.data); err != nil {
			return err
		}
	}
	// One is gone before anybody has read it.
	late := object{key: "late.jsonl", rows: digits(97, 10)}
	late.data = lines(late.rows, nil)
	if err := errors.Join(b.put(ctx, "rows/"+late.key, late.data), b.remove(ctx, "rows/"+late.key)); err != nil {
		return err
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

	// Two functions beside each other; one is killed in the middle of what it
	// does, and another takes its place.
	p := &poller{queue: q, attempts: map[string]int{}, done: map[string]bool{}}
	polling, cancel := context.WithCancel(ctx)
	defer cancel()
	polled := make(chan error, 1)
	go func() { polled <- p.run(polling, functions) }()
	for _, fn := range functions {
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
	again := 0
	for _, n := range p.attempts {
		again += n - 1
	}
	fmt.Printf("sqs: %d messages done, %d deliveries that were repeated, each function killed once\n", len(p.done), again)
	if want := len(all) - 1 + len(payloads) + 1; len(p.done) != want { // all but the bad one, and S3's own test event
		return fmt.Errorf("want %d messages done, got %d", want, len(p.done))
	}
	if again < len(p.done)/2 {
		return fmt.Errorf("want most messages to be delivered twice, got %d of %d again", again, len(p.done))
	}

	// What was not there is put back, and redriven; what is bad stays.
	if err := b.put(ctx, "rows/"+late.key, late.data); err != nil {
		return err
	}
	redrive := exec.CommandContext(ctx, a.godwit, "score", dir, dead.url, "s3://sqs-data/scores/", "--redrive")
	redrive.Env = append(os.Environ(), env...)
	out, err := redrive.CombinedOutput()
	if redrive.ProcessState.ExitCode() != 6 || !strings.Contains(string(out), ": 1 done and removed, 2 stay") {
		return fmt.Errorf("want a redrive with 1 message that is done and 2 that stay, got %v: %s", err, out)
	}
	by := functions[0].get()
	if err := check(ctx, b, by, append(all, late)); err != nil {
		return err
	}
	if err := checkPayloads(ctx, b, by, payloads); err != nil {
		return err
	}

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
