package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// deadLetters is an SQS queue of what failed for good.
type deadLetters struct {
	queue  *url.URL
	region string
	chain  *awsauth.Chain
	http   *http.Client
}

// isQueue reports whether SRC of a redrive is a queue and not what was written.
func isQueue(src string) bool {
	return strings.HasPrefix(src, "https://") || strings.HasPrefix(src, "http://")
}

func (p *program) deadLetters(src string) (*deadLetters, error) {
	u, err := url.Parse(src)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || strings.Count(strings.Trim(u.Path, "/"), "/") != 1 {
		return nil, fault.New(fault.Usage, "", "", "want the URL of an SQS queue, such as https://sqs.eu-west-1.amazonaws.com/123456789012/rows-dlq, got %q", src).
			WithHint("What is in a poison queue of Azure Storage or a subscription of Pub/Sub goes back to its queue or topic: name that as DST.")
	}
	d := &deadLetters{queue: u, chain: awsauth.NewChain(&awsauth.Options{Getenv: p.Getenv}), http: &http.Client{Timeout: time.Minute}}
	if rest, ok := strings.CutPrefix(u.Hostname(), "sqs."); ok {
		d.region, _, _ = strings.Cut(rest, ".")
	}
	d.region = cmp.Or(d.region, d.chain.Region(), "us-east-1")
	return d, nil
}

// call does one action of SQS's JSON protocol.
func (d *deadLetters) call(ctx context.Context, action string, in map[string]any, out any) error {
	in["QueueUrl"] = d.queue.String()
	body, err := json.Marshal(in)
	if err != nil {
		return fault.New(fault.Internal, "", action, "%w", err)
	}
	at := url.URL{Scheme: d.queue.Scheme, Host: d.queue.Host, Path: "/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.Internal, "", action, "%w", err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	keys, err := d.chain.Credentials(ctx)
	if err != nil {
		return err
	}
	if keys == nil {
		return fault.New(fault.Unauthenticated, "", d.queue.Host, "want credentials of AWS, got none").
			WithHint("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.")
	}
	awsauth.Sign(req, keys, "sqs", d.region, awsauth.Sum(body), time.Now())
	resp, err := d.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return fault.New(fault.CodeOf(ctx.Err()), "", d.queue.Host, "%w", ctx.Err())
		}
		return fault.New(fault.Unavailable, "", d.queue.Host, "%w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
	if err != nil {
		return fault.New(fault.Unavailable, "", d.queue.Host, "%w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return sqsError(d.queue, resp.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fault.New(fault.Unavailable, "", d.queue.Host, "want an answer of SQS, got something else: %w", err)
	}
	return nil
}

func sqsError(queue *url.URL, status int, answer []byte) error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &e) // what is no JSON has a status all the same
	code := fault.Unavailable
	switch _, kind, _ := strings.Cut(e.Type, "#"); {
	case strings.Contains(e.Type, "QueueDoesNotExist"), strings.Contains(kind, "NonExistentQueue"):
		code = fault.NotFound
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		code = fault.Denied
	case status < http.StatusInternalServerError:
		code = fault.Invalid
	}
	return fault.New(code, "", queue.String(), "SQS answered %d %s %s", status, e.Type, e.Message)
}

// A letter is one message of the queue.
type letter struct {
	MessageId, ReceiptHandle, Body string
	Attributes                     map[string]string
	MessageAttributes              map[string]struct {
		DataType    string
		StringValue *string `json:",omitempty"`
		BinaryValue []byte  `json:",omitempty"`
	}
}

// The time that messages are hidden while they are scored, in seconds, and how
// long it is waited for some.
const (
	letterHidden = 900
	letterWait   = 2
)

// failure is an item that is not done.
type failure struct {
	ID    string `json:"item"`
	Code  string `json:"code"`
	Error string `json:"error"`
}

// redriven is the document of `godwit score --redrive --json` for dead letters.
type redriven struct {
	Queue  string `json:"queue"` // or prefix
	Output string `json:"output"`
	Done   int    `json:"done"`
	// Failed are those that stay where they were, at most 100.
	Failed []failure `json:"failed"`
	Left   int       `json:"left"` // how many stay
}

func newRedriven(src, dst string) *redriven {
	return &redriven{Queue: src, Output: dst, Failed: []failure{}}
}

// note remembers why an item stays.
func (r *redriven) note(id string, err error) {
	if len(r.Failed) < 100 {
		r.Failed = append(r.Failed, failure{id, fault.CodeOf(err).String(), app.Problems(err)[0].Error})
	}
}

// fail counts an item that stays.
func (r *redriven) fail(id string, err error) {
	r.note(id, err)
	r.Left++
}

// printRedriven says what came of dead letters; what stays is told, and the exit code.
func (p *program) printRedriven(r *redriven, done string) error {
	if p.json {
		writeJSON(p.Stdout, r)
	} else {
		fmt.Fprintf(p.Stdout, "%s: %d %s, %d stay\n", r.Queue, r.Done, done, r.Left)
		t := newTable("item", "code", "why")
		for _, one := range r.Failed {
			t.add(one.ID, one.Code, firstLine(one.Error))
		}
		if len(r.Failed) > 0 {
			t.print(p.Stdout, "  ")
		}
	}
	if r.Left > 0 {
		return exited(fault.Unprocessable.Exit()) // what stays has been told
	}
	return nil
}

// redriveQueue scores the messages of a dead-letter queue as its function would
// have, and removes what is done. What fails again stays.
func (p *program) redriveQueue(ctx context.Context, f *app.Function, src, dst string, o *scoreOptions) error {
	d, err := p.deadLetters(src)
	if err != nil {
		return err
	}
	r := newRedriven(src, dst)
	handler, err := f.Deliveries(dst, &o.app)
	if err != nil {
		return err
	}
	h := awslambda.New(http.NotFoundHandler(), r.noting(handler), nil)
	show := p.counting("scoring " + src)
	left, err := d.each(ctx, h, r, o.limit, show)
	show.end()
	if len(left) > 0 { // visible again at once
		err = errors.Join(err, d.show(context.WithoutCancel(ctx), left))
	}
	if err != nil {
		return err
	}
	r.Left = len(left)
	return p.printRedriven(r, "done and removed")
}

// noting hands deliveries on, and notes what is not done.
func (r *redriven) noting(next trigger.Handler) trigger.Handler {
	return trigger.HandlerFunc(func(ctx context.Context, ev *trigger.Event) []trigger.Outcome {
		out := next.Handle(ctx, ev)
		for i := range out {
			if out[i].State != trigger.Done {
				r.note(ev.Items[i].ID, out[i].Err)
			}
		}
		return out
	})
}

// each scores messages until the queue gives no new ones, or it were more than
// limit if that is not 0; left are those that are not done.
func (d *deadLetters) each(ctx context.Context, h *awslambda.Handler, r *redriven, limit int64, show *counting) (left []letter, err error) {
	seen := map[string]bool{}
	if limit == 0 {
		limit = math.MaxInt64
	}
	for {
		most := min(limit-int64(len(seen)), 10)
		if most == 0 {
			return left, nil
		}
		var got struct{ Messages []letter }
		err := d.call(ctx, "ReceiveMessage", map[string]any{
			"MaxNumberOfMessages": most, "WaitTimeSeconds": letterWait, "VisibilityTimeout": letterHidden,
			"MessageSystemAttributeNames": []string{"All"}, "AttributeNames": []string{"All"}, "MessageAttributeNames": []string{"All"},
		}, &got)
		if err != nil {
			return left, err
		}
		fresh := slices.DeleteFunc(got.Messages, func(l letter) bool { return seen[l.MessageId] })
		if len(fresh) == 0 {
			return left, nil
		}
		for _, l := range fresh {
			seen[l.MessageId] = true
		}
		done, again, err := d.deliver(ctx, h, fresh)
		left = append(left, again...)
		if err == nil {
			err = d.remove(ctx, done)
		}
		if err != nil {
			return append(left, done...), err
		}
		r.Done += len(done)
		show.at(r.Done, len(left))
	}
}

// deliver hands messages over as Lambda's event source does.
func (d *deadLetters) deliver(ctx context.Context, h *awslambda.Handler, all []letter) (done, again []letter, err error) {
	type record struct {
		MessageID         string            `json:"messageId"`
		Body              string            `json:"body"`
		Attributes        map[string]string `json:"attributes"`
		MessageAttributes any               `json:"messageAttributes"`
		EventSource       string            `json:"eventSource"`
		EventSourceARN    string            `json:"eventSourceARN"`
	}
	var event struct{ Records []record }
	for _, l := range all {
		// The queue that it came from names its answer, which may be there.
		event.Records = append(event.Records, record{l.MessageId, l.Body, l.Attributes, l.MessageAttributes, "aws:sqs",
			cmp.Or(l.Attributes["DeadLetterQueueSourceArn"], "arn:aws:sqs:"+d.region+":"+strings.ReplaceAll(strings.Trim(d.queue.Path, "/"), "/", ":"))})
	}
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, all, fault.New(fault.Internal, "", d.queue.String(), "%w", err)
	}
	reply, err := h.Invoke(ctx, payload)
	if err != nil {
		return nil, all, err
	}
	var failed struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(reply, &failed); err != nil {
		return nil, all, fault.New(fault.Internal, "", d.queue.String(), "%w", err)
	}
	for _, l := range all {
		bad := false
		for _, one := range failed.BatchItemFailures {
			bad = bad || one.ItemIdentifier == l.MessageId
		}
		if bad {
			again = append(again, l)
		} else {
			done = append(done, l)
		}
	}
	return done, again, nil
}

// remove takes messages out of the queue.
func (d *deadLetters) remove(ctx context.Context, all []letter) error {
	return d.entries(ctx, "DeleteMessageBatch", all, nil)
}

// show makes messages visible again.
func (d *deadLetters) show(ctx context.Context, all []letter) error {
	return d.entries(ctx, "ChangeMessageVisibilityBatch", all, map[string]any{"VisibilityTimeout": 0})
}

// entries does an action on messages, ten at a time as SQS takes them.
func (d *deadLetters) entries(ctx context.Context, action string, all []letter, more map[string]any) error {
	for ten := range slices.Chunk(all, 10) {
		var entries []map[string]any
		for i, l := range ten {
			e := map[string]any{"Id": fmt.Sprint(i), "ReceiptHandle": l.ReceiptHandle}
			for name, value := range more {
				e[name] = value
			}
			entries = append(entries, e)
		}
		var answer struct {
			Failed []struct{ Code, Message string }
		}
		if err := d.call(ctx, action, map[string]any{"Entries": entries}, &answer); err != nil {
			return err
		}
		if len(answer.Failed) > 0 {
			return fault.New(fault.Unavailable, "", d.queue.String(), "%s failed for %d of %d messages: %s %s", action, len(answer.Failed), len(ten), answer.Failed[0].Code, answer.Failed[0].Message)
		}
	}
	return nil
}
