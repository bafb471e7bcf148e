package awslambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// A delivery is an event as the trigger handler gets it, and what of it belongs
// to which record: a message may hold several items, or none.
type delivery struct {
	event   trigger.Event
	records []record
}

// record is what the platform counts: a message, a record, a task.
type record struct {
	id          string // as the reply names it
	first, many int    // its items
	err         error  // why it has none, other than that nothing is to be done
}

// add appends a record with its items. A record that cannot be read fails alone.
func (d *delivery) add(id string, items []trigger.Item, err error) {
	if err != nil {
		items = nil
	}
	if len(items) > 1 {
		for i := range items {
			items[i].ID += "/" + strconv.Itoa(i)
		}
	}
	d.records = append(d.records, record{id, len(d.event.Items), len(items), err})
	d.event.Items = append(d.event.Items, items...)
}

// deliver does an event's work and answers it in its source's words.
func (h *Handler) deliver(ctx context.Context, e *envelope, payload []byte) ([]byte, error) {
	var d delivery
	read, reply := e.handling()
	if read == nil {
		return nil, e.refuse(payload)
	}
	if err := read(&d, payload); err != nil {
		return nil, err
	}
	if h.opts.SkipGroup && e.kind == kindSQS && d.event.Order == trigger.Ordered {
		d.event.Order = trigger.Grouped
	}
	outcomes := d.run(ctx, h.events)
	h.log(ctx, &d, outcomes)
	return reply(&d, payload, outcomes)
}

// handling is how an event is read and answered.
func (e *envelope) handling() (read func(*delivery, []byte) error, reply func(*delivery, []byte, []trigger.Outcome) ([]byte, error)) {
	switch e.kind {
	case kindSQS:
		return readSQS, replyFailures
	case kindKinesis, kindDynamoDB:
		if e.window != nil {
			return nil, nil // an aggregation, which wants a state back
		}
		if e.kind == kindKinesis {
			return readKinesis, replyCheckpoint
		}
		return readDynamoDB, replyCheckpoint
	case kindS3:
		return readS3, replyWhole
	case kindSNS:
		return readSNS, replyWhole
	case kindEventBridge:
		return readEventBridge, replyWhole
	case kindKafka:
		return readKafka, replyWhole
	case kindS3Batch:
		return readS3Batch, replyS3Batch
	case kindS3Test:
		return func(d *delivery, _ []byte) error { d.event.Kind = "s3"; return nil }, replyWhole
	case kindItems:
		return readItems, replyItems
	}
	return nil, nil
}

// run has events do the work and gives an outcome for each record.
func (d *delivery) run(ctx context.Context, events trigger.Handler) []trigger.Outcome {
	var items []trigger.Outcome
	if len(d.event.Items) > 0 {
		items = trigger.Run(ctx, events, &d.event)
	}
	out := make([]trigger.Outcome, len(d.records))
	for i, r := range d.records {
		out[i] = trigger.Outcome{State: trigger.Done}
		if r.err != nil {
			out[i] = trigger.Of(r.err)
			continue
		}
		for _, o := range items[r.first : r.first+r.many] {
			if r.many == 1 {
				out[i] = o
			} else if o.State != trigger.Done && (out[i].State == trigger.Done || o.State == trigger.Retry) {
				out[i] = trigger.Outcome{State: o.State, Err: o.Err}
			}
		}
	}
	return out
}

// log tells of records that cannot be read, of those that come again, and of an
// event with nothing to do; the handler tells of its own items.
func (h *Handler) log(ctx context.Context, d *delivery, outcomes []trigger.Outcome) {
	for i, o := range outcomes {
		if d.records[i].err != nil || o.State == trigger.Retry {
			h.opts.Log.WarnContext(ctx, "item not done", "kind", d.event.Kind, "source", d.event.Source, "item", d.records[i].id,
				"state", o.State.String(), "code", fault.CodeOf(o.Err).String(), "error", o.Err)
		}
	}
	if len(d.event.Items) == 0 {
		h.opts.Log.InfoContext(ctx, "an event with nothing to do", "kind", d.event.Kind, "source", d.event.Source, "records", len(d.records))
	}
}

// unreadable is why a record or an event cannot be read, whatever encoding/json
// says of it.
func unreadable(subject string, err error) error {
	return fault.New(fault.Invalid, "awslambda.Invoke", subject, "%w", err)
}

// eachRecord decodes the records of an event, one by one, so that one that is
// not as it should be fails alone.
func eachRecord[R any](payload []byte, f func(i int, r *R, err error)) error {
	var e struct{ Records []json.RawMessage }
	if err := json.Unmarshal(payload, &e); err != nil {
		return unreadable("event", err)
	}
	for i, raw := range e.Records {
		var r R
		err := json.Unmarshal(raw, &r)
		f(i, &r, err)
	}
	return nil
}

// sqsRecord is a message (AWS, "Using Lambda with Amazon SQS").
type sqsRecord struct {
	MessageID      string `json:"messageId"`
	Body           string
	EventSourceARN string
	Attributes     struct {
		ApproximateReceiveCount, SentTimestamp string
		MessageGroupID                         string `json:"MessageGroupId"`
	}
	MessageAttributes map[string]struct {
		StringValue *string
		BinaryValue []byte
	}
}

func readSQS(d *delivery, payload []byte) error {
	d.event.Kind = "sqs"
	return eachRecord(payload, func(i int, r *sqsRecord, err error) {
		if r.EventSourceARN != "" && d.event.Source == "" {
			d.event.Source = r.EventSourceARN
			if fifo(r.EventSourceARN) {
				d.event.Order = trigger.Ordered
			}
		}
		if err != nil {
			d.add(r.MessageID, nil, unreadable(fmt.Sprintf("Records[%d]", i), err))
			return
		}
		item := trigger.Item{
			ID: r.MessageID, Key: r.EventSourceARN + "/" + r.MessageID, Group: r.Attributes.MessageGroupID, Data: []byte(r.Body),
			Attempt: number(r.Attributes.ApproximateReceiveCount), Time: millis(r.Attributes.SentTimestamp),
		}
		for name, a := range r.MessageAttributes {
			value := string(a.BinaryValue)
			if a.StringValue != nil {
				value = *a.StringValue
			}
			item.Attributes = with(item.Attributes, name, value)
		}
		items, err := unwrap(item, layers)
		d.add(r.MessageID, items, err)
	})
}

func fifo(arn string) bool { return len(arn) > 5 && arn[len(arn)-5:] == ".fifo" }

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func millis(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

// seconds is a time as streams have it: seconds with a fraction.
func seconds(s float64) time.Time {
	if s <= 0 || s > 1e11 {
		return time.Time{}
	}
	return time.UnixMicro(int64(s * 1e6)).UTC()
}

// kinesisRecord is a record of a stream (AWS, "Using Lambda with Kinesis").
type kinesisRecord struct {
	EventSourceARN string
	Kinesis        struct {
		Data                        []byte
		PartitionKey                string
		SequenceNumber              string
		ApproximateArrivalTimestamp float64
	}
}

// aggregated is what records of the Kinesis Producer Library begin with that
// hold several.
const aggregated = "\xf3\x89\x9a\xc2"

func readKinesis(d *delivery, payload []byte) error {
	d.event.Kind, d.event.Order = "kinesis", trigger.Ordered
	return eachRecord(payload, func(i int, r *kinesisRecord, err error) {
		k := &r.Kinesis
		if d.event.Source == "" {
			d.event.Source = r.EventSourceARN
		}
		if err == nil && len(k.Data) > 4 && string(k.Data[:4]) == aggregated {
			err = fault.New(fault.Unsupported, "awslambda.Invoke", "record "+k.SequenceNumber, "want one payload, got records that the Kinesis Producer Library has aggregated").
				WithHint("Turn off AggregationEnabled in the producer.")
		} else if err != nil {
			err = unreadable(fmt.Sprintf("Records[%d]", i), err)
		}
		d.add(k.SequenceNumber, []trigger.Item{{
			ID: k.SequenceNumber, Key: r.EventSourceARN + "/" + k.SequenceNumber, Data: k.Data, Time: seconds(k.ApproximateArrivalTimestamp),
		}}, err)
	})
}

// dynamoRecord is a change of a table (AWS, "Using Lambda with DynamoDB").
type dynamoRecord struct {
	EventName, EventSourceARN string
	DynamoDB                  struct {
		NewImage                    map[string]json.RawMessage
		SequenceNumber              string
		ApproximateCreationDateTime float64
	}
}

// readDynamoDB takes the items as they were written; what was removed is
// nothing to do.
func readDynamoDB(d *delivery, payload []byte) error {
	d.event.Kind, d.event.Order = "dynamodb", trigger.Ordered
	return eachRecord(payload, func(i int, r *dynamoRecord, err error) {
		c := &r.DynamoDB
		if d.event.Source == "" {
			d.event.Source = r.EventSourceARN
		}
		if err != nil {
			d.add(c.SequenceNumber, nil, unreadable(fmt.Sprintf("Records[%d]", i), err))
			return
		}
		if r.EventName == "REMOVE" {
			d.add(c.SequenceNumber, nil, nil)
			return
		}
		item := trigger.Item{ID: c.SequenceNumber, Key: r.EventSourceARN + "/" + c.SequenceNumber, ContentType: "application/json", Time: seconds(c.ApproximateCreationDateTime)}
		if c.NewImage == nil {
			err = fault.New(fault.Unsupported, "awslambda.Invoke", "record "+c.SequenceNumber, "want the new image of the item, got none").
				WithHint("Set the stream's view type to NEW_IMAGE.")
		} else {
			item.Data, err = plainImage(c.NewImage)
		}
		d.add(c.SequenceNumber, []trigger.Item{item}, err)
	})
}

// kafkaRecord is a record of a topic (AWS, "Using Lambda with Amazon MSK").
type kafkaRecord struct {
	Topic             string
	Partition, Offset int64
	Timestamp         int64
	Value             []byte
	Headers           []map[string][]int8 // Kafka's Java client has signed bytes
}

func readKafka(d *delivery, payload []byte) error {
	var e struct {
		EventSourceARN   string
		BootstrapServers string
		Records          map[string][]json.RawMessage
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return unreadable("event", err)
	}
	d.event.Kind, d.event.Order, d.event.Source = "kafka", trigger.Grouped, e.EventSourceARN
	if d.event.Source == "" {
		d.event.Source = e.BootstrapServers
	}
	var partitions []string
	for name := range e.Records {
		partitions = append(partitions, name)
	}
	slices.Sort(partitions)
	for _, name := range partitions {
		for i, raw := range e.Records[name] {
			var r kafkaRecord
			if err := json.Unmarshal(raw, &r); err != nil {
				subject := fmt.Sprintf("records[%q][%d]", name, i)
				d.add(subject, nil, unreadable(subject, err))
				continue
			}
			id := name + "@" + strconv.FormatInt(r.Offset, 10)
			if r.Value == nil { // a tombstone
				d.add(id, nil, nil)
				continue
			}
			item := trigger.Item{ID: id, Key: d.event.Source + "/" + id, Group: name, Data: r.Value, Time: time.UnixMilli(r.Timestamp).UTC()}
			for _, h := range r.Headers {
				for key, value := range h {
					item.Attributes = with(item.Attributes, key, signed(value))
				}
			}
			d.add(id, []trigger.Item{item}, nil)
		}
	}
	return nil
}

func signed(value []int8) string {
	b := make([]byte, len(value))
	for i, v := range value {
		b[i] = byte(v)
	}
	return string(b)
}

// s3Batch is a job's invocation (AWS, "Invoke AWS Lambda function" of S3 Batch
// Operations), in both of its schemas.
type s3Batch struct {
	InvocationSchemaVersion string
	InvocationID            string `json:"invocationId"`
	Job                     struct{ ID string }
	Tasks                   []struct {
		TaskID      string `json:"taskId"`
		S3Key       string
		S3VersionID string `json:"s3VersionId"`
		S3BucketARN string `json:"s3BucketArn"`
		S3Bucket    string
	}
}

func readS3Batch(d *delivery, payload []byte) error {
	var e s3Batch
	if err := json.Unmarshal(payload, &e); err != nil {
		return unreadable("event", err)
	}
	d.event.Kind, d.event.Source = "s3batch", e.Job.ID
	for _, t := range e.Tasks {
		bucket := t.S3Bucket
		if bucket == "" {
			bucket = lastOf(t.S3BucketARN, ':')
		}
		// A manifest's keys are escaped; one that is no such text is a key as it is.
		key, err := url.PathUnescape(t.S3Key)
		if err != nil {
			key = t.S3Key
		}
		o := &trigger.Object{Store: "s3", Bucket: bucket, Key: key, Version: t.S3VersionID, Size: -1}
		err = nil
		if bucket == "" || key == "" {
			err = fault.New(fault.Invalid, "awslambda.Invoke", fmt.Sprintf("task %q", t.TaskID), "want a bucket and a key, got %q and %q", bucket, key)
		}
		d.add(t.TaskID, []trigger.Item{{ID: t.TaskID, Key: objectKey(o, "", ""), Object: o}}, err)
	}
	return nil
}

func lastOf(s string, sep byte) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == sep {
			return s[i+1:]
		}
	}
	return s
}

// readItems reads a batch of a distributed map of Step Functions: each item is a
// payload, or names an object as S3 lists them, in the bucket of BatchInput.
func readItems(d *delivery, payload []byte) error {
	var e struct {
		Items      []json.RawMessage
		BatchInput struct{ Bucket string }
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		// BatchInput is the workflow's own and may be anything.
		var only struct{ Items []json.RawMessage }
		if err := json.Unmarshal(payload, &only); err != nil {
			return unreadable("Items", err)
		}
		e.Items = only.Items
	}
	d.event.Kind, d.event.Source, d.event.Replies = "stepfunctions", "stepfunctions", true
	for i, raw := range e.Items {
		id := strconv.Itoa(i)
		item := trigger.Item{ID: id, Key: contentKey(raw), Data: raw, ContentType: "application/json"}
		var listed struct {
			Key, Bucket string
			Etag        string
			Size        *int64
		}
		if json.Unmarshal(raw, &listed) == nil && listed.Key != "" && listed.Size != nil {
			if listed.Bucket == "" {
				listed.Bucket = e.BatchInput.Bucket
			}
			if listed.Bucket == "" {
				d.add(id, nil, fault.New(fault.Invalid, "awslambda.Invoke", "item "+id, "want the bucket of key %q in the item or in BatchInput, got none", listed.Key))
				continue
			}
			item.Object = &trigger.Object{Store: "s3", Bucket: listed.Bucket, Key: listed.Key, Version: trimQuotes(listed.Etag), Size: *listed.Size}
			item.Key, item.Data, item.ContentType = objectKey(item.Object, "", ""), nil, ""
		}
		d.add(id, []trigger.Item{item}, nil)
	}
	return nil
}

func trimQuotes(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// plainImage is a DynamoDB item as plain JSON: {"x":{"N":"1"}} is {"x":1}.
func plainImage(image map[string]json.RawMessage) ([]byte, error) {
	plain := make(map[string]any, len(image))
	for name, raw := range image {
		v, err := plainValue(raw, 0)
		if err != nil {
			return nil, fault.New(fault.Invalid, "awslambda.Invoke", fmt.Sprintf("attribute %q", name), "%w", err)
		}
		plain[name] = v
	}
	return json.Marshal(plain)
}

// maxNesting is DynamoDB's own (AWS, "Quotas in Amazon DynamoDB").
const maxNesting = 32

func plainValue(raw []byte, depth int) (any, error) {
	var v struct {
		S    *string
		N    *json.Number
		Bool *bool `json:"BOOL"`
		B    *[]byte
		L    []json.RawMessage
		M    map[string]json.RawMessage
		SS   []string
		NS   []json.Number
		BS   [][]byte
		Null *bool `json:"NULL"`
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("want at most %d levels", maxNesting)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	switch {
	case v.S != nil:
		return *v.S, nil
	case v.N != nil:
		return *v.N, nil
	case v.Bool != nil:
		return *v.Bool, nil
	case v.B != nil:
		return base64.StdEncoding.EncodeToString(*v.B), nil
	case v.M != nil:
		m := make(map[string]any, len(v.M))
		for name, raw := range v.M {
			one, err := plainValue(raw, depth+1)
			if err != nil {
				return nil, err
			}
			m[name] = one
		}
		return m, nil
	case v.L != nil:
		l := make([]any, len(v.L))
		for i, raw := range v.L {
			one, err := plainValue(raw, depth+1)
			if err != nil {
				return nil, err
			}
			l[i] = one
		}
		return l, nil
	case v.SS != nil:
		return v.SS, nil
	case v.NS != nil:
		return v.NS, nil
	case v.BS != nil:
		return v.BS, nil
	}
	return nil, nil
}
