package awslambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/awslambda"
	"godwit.dev/runtime/trigger"
)

const s3Notice = `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1","eventTime":"2026-11-22T10:00:00.000Z","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"in/caf%C3%A9+1%2B.npy","size":10,"eTag":"e","sequencer":"0055"}}}]}`

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func snsEnvelope(message string) string {
	return `{"Type":"Notification","MessageId":"n","TopicArn":"arn:t","Message":` + quoted(message) + `,"MessageAttributes":{"model":{"Type":"String","Value":"iris"}}}`
}

func bridged(kind, extra string) string {
	return `{"version":"0","id":"i","detail-type":"` + kind + `","source":"aws.s3","time":"2026-11-22T10:00:00Z","region":"eu-west-1","resources":[],"detail":{"version":"0","bucket":{"name":"b"},"object":{"key":"in/a b%2B.npy","size":10,"etag":"e"` + extra + `,"sequencer":"0055"},"request-id":"r"}}`
}

// sqs is a batch of messages with these bodies and ids m-0, m-1, ….
func sqs(queue string, bodies ...string) string {
	var records []string
	for i, body := range bodies {
		records = append(records, fmt.Sprintf(`{"messageId":"m-%d","receiptHandle":"h","body":%s,"attributes":{"ApproximateReceiveCount":"2","SentTimestamp":"1795341600000","MessageGroupId":"g%d"},
			"messageAttributes":{"a":{"stringValue":"1","dataType":"Number"},"b":{"binaryValue":"AAE=","dataType":"Binary"}},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:123456789012:%s","awsRegion":"eu-west-1"}`, i, quoted(body), i%2, queue))
	}
	return `{"Records":[` + strings.Join(records, ",") + `]}`
}

// Every source's events as the handler gets them.
func TestEvents(t *testing.T) {
	const queue = "arn:aws:sqs:eu-west-1:123456789012:q"
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	sent := map[string]string{"a": "1", "b": "\x00\x01"}
	object := &trigger.Object{Store: "s3", Bucket: "b", Key: "in/café 1+.npy", Version: "e", Size: 10}
	objectKey := "s3://b/in/café 1+.npy#e#0055"
	message := func(data string) trigger.Item {
		return trigger.Item{ID: "m-0", Key: queue + "/m-0", Group: "g0", Data: []byte(data), Attributes: sent, Attempt: 2, Time: at}
	}
	inMessage := func(o *trigger.Object, key string) trigger.Item {
		return trigger.Item{ID: "m-0", Key: key, Group: "g0", Object: o, Attributes: sent, Attempt: 2, Time: at}
	}
	withModel := inMessage(object, objectKey)
	withModel.Attributes = map[string]string{"a": "1", "b": "\x00\x01", "model": "iris"}
	bridgedObject := &trigger.Object{Store: "s3", Bucket: "b", Key: "in/a b%2B.npy", Version: "e", Size: 10}
	for _, tt := range []struct {
		name, event string
		want        *trigger.Event // nil: nothing to do
		reply       string
	}{
		{"SQS", sqs("q", `{"inputs":[]}`), &trigger.Event{Source: queue, Kind: "sqs", Items: []trigger.Item{message(`{"inputs":[]}`)}}, `{"batchItemFailures":[]}`},
		{"SQS with text", sqs("q", "x"), &trigger.Event{Source: queue, Kind: "sqs", Items: []trigger.Item{message("x")}}, `{"batchItemFailures":[]}`},
		{"SQS FIFO", strings.Replace(sqs("q.fifo", "x"), "g0", "g", 1), &trigger.Event{Source: queue + ".fifo", Kind: "sqs", Order: trigger.Ordered, Items: []trigger.Item{
			{ID: "m-0", Key: queue + ".fifo/m-0", Group: "g", Data: []byte("x"), Attributes: sent, Attempt: 2, Time: at}}}, `{"batchItemFailures":[]}`},
		{"S3 through SQS", sqs("q", s3Notice), &trigger.Event{Source: queue, Kind: "sqs", Items: []trigger.Item{inMessage(object, objectKey)}}, `{"batchItemFailures":[]}`},
		{"S3 through SNS and SQS", sqs("q", snsEnvelope(s3Notice)), &trigger.Event{Source: queue, Kind: "sqs", Items: []trigger.Item{withModel}}, `{"batchItemFailures":[]}`},
		{"EventBridge through SQS", sqs("q", bridged("Object Created", "")), &trigger.Event{Source: queue, Kind: "sqs", Items: []trigger.Item{inMessage(bridgedObject, "s3://b/in/a b%2B.npy#e#0055")}}, `{"batchItemFailures":[]}`},
		{"a try-out of a bucket through SQS", sqs("q", `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-22T10:00:00Z","Bucket":"b"}`), nil, `{"batchItemFailures":[]}`},
		{"two objects in a message", sqs("q", strings.Replace(s3Notice, `]}`, `,`+s3Notice[len(`{"Records":[`):], 1)), &trigger.Event{Source: queue, Kind: "sqs", Items: []trigger.Item{
			{ID: "m-0/0", Key: objectKey, Group: "g0", Object: object, Attributes: sent, Attempt: 2, Time: at},
			{ID: "m-0/1", Key: objectKey, Group: "g0", Object: object, Attributes: sent, Attempt: 2, Time: at}}}, `{"batchItemFailures":[]}`},
		{"S3", s3Notice, &trigger.Event{Source: "b", Kind: "s3", Items: []trigger.Item{{ID: "0", Key: objectKey, Object: object, Time: at}}}, "null"},
		{"S3 with versions", strings.Replace(s3Notice, `"eTag":"e"`, `"eTag":"e","versionId":"v"`, 1), &trigger.Event{Source: "b", Kind: "s3", Items: []trigger.Item{
			{ID: "0", Key: "s3://b/in/café 1+.npy#v#0055", Object: &trigger.Object{Store: "s3", Bucket: "b", Key: "in/café 1+.npy", Version: "e", Size: 10}, Time: at}}}, "null"},
		{"an empty object", strings.Replace(s3Notice, `"size":10`, `"size":0`, 1), &trigger.Event{Source: "b", Kind: "s3", Items: []trigger.Item{
			{ID: "0", Key: objectKey, Object: &trigger.Object{Store: "s3", Bucket: "b", Key: "in/café 1+.npy", Version: "e"}, Time: at}}}, "null"},
		{"a folder", strings.Replace(strings.Replace(s3Notice, `"size":10`, `"size":0`, 1), ".npy", "/", 1), nil, "null"},
		{"an object that was removed", strings.Replace(s3Notice, "ObjectCreated:Put", "ObjectRemoved:Delete", 1), nil, "null"},
		{"a try-out of a bucket", `{"Service":"Amazon S3","Event":"s3:TestEvent"}`, nil, "null"},
		{"EventBridge", bridged("Object Created", `,"version-id":"v"`), &trigger.Event{Source: "aws.s3", Kind: "eventbridge", Items: []trigger.Item{
			{ID: "i", Key: "s3://b/in/a b%2B.npy#v#0055", Object: &trigger.Object{Store: "s3", Bucket: "b", Key: "in/a b%2B.npy", Version: "e", Size: 10}, Time: at}}}, "null"},
		{"EventBridge, removed", bridged("Object Deleted", ""), nil, "null"},
		{"EventBridge, somebody's own", `{"id":"i","detail-type":"score","source":"shop","time":"2026-11-22T10:00:00Z","detail":{"inputs":[]}}`, &trigger.Event{Source: "shop", Kind: "eventbridge", Items: []trigger.Item{
			{ID: "i", Key: "shop/i", Data: []byte(`{"inputs":[]}`), ContentType: "application/json", Time: at}}}, "null"},
		{"SNS", `{"Records":[{"EventSource":"aws:sns","EventVersion":"1.0","Sns":{"MessageId":"n","TopicArn":"arn:t","Message":"x","Timestamp":"2026-11-22T10:00:00.000Z","MessageAttributes":{"model":{"Type":"String","Value":"iris"}}}}]}`,
			&trigger.Event{Source: "arn:t", Kind: "sns", Items: []trigger.Item{{ID: "n", Key: "arn:t/n", Data: []byte("x"), Attributes: map[string]string{"model": "iris"}, Time: at}}}, "null"},
		{"Kafka", `{"eventSource":"aws:kafka","eventSourceArn":"arn:k","records":{"t-1":[{"topic":"t","partition":1,"offset":7,"timestamp":1795341600000,"key":"aw==","value":"AAE=","headers":[{"h":[104,-61,-87]}]},{"topic":"t","partition":1,"offset":8,"timestamp":1795341600000,"value":null}],"t-0":[{"topic":"t","partition":0,"offset":9,"timestamp":1795341600000,"value":"eA=="}]}}`,
			&trigger.Event{Source: "arn:k", Kind: "kafka", Order: trigger.Grouped, Items: []trigger.Item{
				{ID: "t-0@9", Key: "arn:k/t-0@9", Group: "t-0", Data: []byte("x"), Time: at},
				{ID: "t-1@7", Key: "arn:k/t-1@7", Group: "t-1", Data: []byte("\x00\x01"), Attributes: map[string]string{"h": "hé"}, Time: at}}}, "null"},
		{"Kinesis", `{"Records":[{"eventSource":"aws:kinesis","eventSourceARN":"arn:s","kinesis":{"data":"eA==","partitionKey":"p","sequenceNumber":"12","approximateArrivalTimestamp":1795341600.5}}]}`,
			&trigger.Event{Source: "arn:s", Kind: "kinesis", Order: trigger.Ordered, Items: []trigger.Item{{ID: "12", Key: "arn:s/12", Data: []byte("x"), Time: at.Add(time.Second / 2)}}}, `{"batchItemFailures":[]}`},
		{"DynamoDB", `{"Records":[{"eventSource":"aws:dynamodb","eventSourceARN":"arn:d","eventName":"INSERT","dynamodb":{"SequenceNumber":"12","ApproximateCreationDateTime":1795341600,
			"NewImage":{"s":{"S":"x"},"n":{"N":"1.50"},"t":{"BOOL":true},"l":{"L":[{"N":"1"},{"NULL":true}]},"m":{"M":{"b":{"B":"AAE="}}},"ns":{"NS":["1","2"]}}}},
			{"eventSource":"aws:dynamodb","eventName":"REMOVE","dynamodb":{"SequenceNumber":"13"}}]}`,
			&trigger.Event{Source: "arn:d", Kind: "dynamodb", Order: trigger.Ordered, Items: []trigger.Item{{ID: "12", Key: "arn:d/12", ContentType: "application/json", Time: at,
				Data: []byte(`{"l":[1,null],"m":{"b":"AAE="},"n":1.50,"ns":[1,2],"s":"x","t":true}`)}}}, `{"batchItemFailures":[]}`},
		{"S3 Batch Operations", `{"invocationSchemaVersion":"1.0","invocationId":"inv","job":{"id":"j"},"tasks":[{"taskId":"t","s3Key":"a+b%20c","s3VersionId":null,"s3BucketArn":"arn:aws:s3:::b"}]}`,
			&trigger.Event{Source: "j", Kind: "s3batch", Items: []trigger.Item{{ID: "t", Key: "s3://b/a+b c##", Object: &trigger.Object{Store: "s3", Bucket: "b", Key: "a+b c", Size: -1}}}},
			`{"invocationSchemaVersion":"1.0","treatMissingKeysAs":"PermanentFailure","invocationId":"inv","results":[{"taskId":"t","resultCode":"Succeeded","resultString":"{\"ok\":1}"}]}`},
		{"S3 Batch Operations, schema 2", `{"invocationSchemaVersion":"2.0","invocationId":"inv","job":{"id":"j","userArguments":{"k":"v"}},"tasks":[{"taskId":"t","s3Key":"100%.npy","s3VersionId":"v","s3Bucket":"b"}]}`,
			&trigger.Event{Source: "j", Kind: "s3batch", Items: []trigger.Item{{ID: "t", Key: "s3://b/100%.npy#v#", Object: &trigger.Object{Store: "s3", Bucket: "b", Key: "100%.npy", Version: "v", Size: -1}}}},
			`{"invocationSchemaVersion":"2.0","treatMissingKeysAs":"PermanentFailure","invocationId":"inv","results":[{"taskId":"t","resultCode":"Succeeded","resultString":"{\"ok\":1}"}]}`},
		{"a distributed map", `{"BatchInput":{"bucket":"b"},"Items":[{"inputs":[]},{"Key":"a b.npy","Etag":"\"e\"","Size":3,"LastModified":1}]}`,
			&trigger.Event{Source: "stepfunctions", Kind: "stepfunctions", Replies: true, Items: []trigger.Item{
				{ID: "0", Key: "sha256:c75e28f5", Data: []byte(`{"inputs":[]}`), ContentType: "application/json"},
				{ID: "1", Key: "s3://b/a b.npy#e#", Object: &trigger.Object{Store: "s3", Bucket: "b", Key: "a b.npy", Version: "e", Size: 3}}}},
			`{"Results":[{"state":"done","result":{"ok":1}},{"state":"done","result":{"ok":1}}]}`},
		{"an empty map", `{"Items":[]}`, nil, `{"Results":[]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen *trigger.Event
			h := awslambda.New(nil, trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
				seen = ev
				out := make([]trigger.Outcome, len(ev.Items))
				for i := range out {
					out[i] = trigger.Outcome{State: trigger.Done, Result: []byte(`{"ok":1}`)}
				}
				return out
			}), nil)
			reply, err := h.Invoke(t.Context(), []byte(tt.event))
			if err != nil {
				t.Fatal(err)
			}
			short := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Key" }, cmp.Comparer(func(a, b string) bool {
				return a == b || strings.HasPrefix(a, "sha256:") && strings.HasPrefix(b, "sha256:")
			}))
			if diff := cmp.Diff(tt.want, seen, short); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.reply, string(reply)); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
		})
	}
}

// told is a payload that says how it ends.
func told(how string) string {
	switch how {
	case "ok":
		return `{}`
	case "permanent":
		return `{"` + adaptertest.Fail + `":"invalid"}`
	case "panic":
		return `{"` + adaptertest.Panic + `":true}`
	case "undecodable":
		return strings.Replace(s3Notice, "%C3", "%ZZ", 1)
	}
	return `{"` + adaptertest.Fail + `":"unavailable"}`
}

func deliver(t interface {
	Context() context.Context
	Fatal(...any)
}, o *awslambda.Options, event string) (string, error) {
	s, err := adaptertest.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	reply, err := awslambda.New(s.API, s.Events, o).Invoke(t.Context(), []byte(event))
	return string(reply), err
}

// What is not done is named, and nothing else: in a queue each by itself, in a
// FIFO queue with all behind it, in a stream the first.
func TestPartialReplies(t *testing.T) {
	failed := func(ids ...string) string {
		list := []map[string]string{}
		for _, id := range ids {
			list = append(list, map[string]string{"itemIdentifier": id})
		}
		b, _ := json.Marshal(map[string]any{"batchItemFailures": list})
		return string(b)
	}
	bodies := func(hows ...string) []string {
		var all []string
		for _, how := range hows {
			all = append(all, told(how))
		}
		return all
	}
	kinesis := func(hows ...string) string {
		var records []string
		for i, how := range hows {
			data, _ := json.Marshal([]byte(told(how)))
			records = append(records, `{"eventSource":"aws:kinesis","eventSourceARN":"arn:s","kinesis":{"data":`+string(data)+`,"sequenceNumber":"`+strconv.Itoa(98+i)+`"}}`)
		}
		return `{"Records":[` + strings.Join(records, ",") + `]}`
	}
	for _, tt := range []struct {
		name, event string
		opts        *awslambda.Options
		want        string
	}{
		{"all done", sqs("q", bodies("ok", "ok")...), nil, failed()},
		{"all failed", sqs("q", bodies("retry", "permanent")...), nil, failed("m-0", "m-1")},
		{"mixed", sqs("q", bodies("ok", "permanent", "retry", "undecodable", "ok", "panic")...), nil, failed("m-1", "m-2", "m-3", "m-5")},
		{"a panic at the third of ten", sqs("q", bodies("ok", "ok", "panic", "ok", "ok", "ok", "ok", "ok", "ok", "ok")...), nil, failed("m-2")},
		{"a record that is none", strings.Replace(sqs("q", bodies("ok", "ok")...), `"body":"{}"`, `"body":{}`, 1), nil, failed("m-0")},
		{"FIFO stops", sqs("q.fifo", bodies("ok", "retry", "ok", "ok")...), nil, failed("m-1", "m-2", "m-3")},
		{"FIFO, what fails for good holds nobody up", sqs("q.fifo", bodies("permanent", "ok")...), nil, failed("m-0")},
		{"FIFO stops the group", sqs("q.fifo", bodies("ok", "retry", "ok", "ok")...), &awslambda.Options{SkipGroup: true}, failed("m-1", "m-3")},
		{"a stream names the first", kinesis("ok", "ok", "retry", "ok", "retry"), nil, failed("100")},
		{"a stream names the first, by number", kinesis("ok", "permanent", "retry"), nil, failed("99")},
		{"a stream that is through", kinesis("ok"), nil, failed()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reply, err := deliver(t, tt.opts, tt.event)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, reply); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A queue whose messages all wait for something that is away gets an error, for
// which Lambda slows its polling down.
func TestAllAway(t *testing.T) {
	for _, hows := range [][]string{{"retry"}, {"retry", "retry", "retry"}} {
		var bodies []string
		for _, how := range hows {
			bodies = append(bodies, told(how))
		}
		for _, queue := range []string{"q", "q.fifo"} {
			if reply, err := deliver(t, nil, sqs(queue, bodies...)); err == nil || !strings.Contains(err.Error(), "told to") {
				t.Errorf("%s of %d: want an error, got %s, %v", queue, len(hows), reply, err)
			}
		}
	}
}

// Sources that take no partial answer get an error, in words for callers.
func TestWholeReplies(t *testing.T) {
	sns := func(body string) string {
		return `{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"n","TopicArn":"arn:t","Message":` + quoted(body) + `}}]}`
	}
	for _, tt := range []struct{ name, event, reply, err string }{
		{"done", sns(told("ok")), "null", ""},
		{"to be tried again", sns(told("retry")), "", "unavailable: the subject: told to"},
		{"never", sns(told("permanent")), "", "invalid: the subject: told to"},
		{"a panic tells nothing", sns(told("panic")), "", "internal: internal error; the server's log has the cause under this request's id"},
		{"a broken key", strings.Replace(s3Notice, "%C3", "%ZZ", 1), "", `invalid: key "in/caf%ZZ%A9+1%2B.npy": invalid URL escape "%ZZ"`},
		{"a queue's message without an id", strings.Replace(sqs("q", told("retry")), "m-0", "", 1), "", "unavailable: the subject: told to"},
		{"a job's task", `{"invocationSchemaVersion":"1.0","invocationId":"i","job":{"id":"j"},"tasks":[{"taskId":"t","s3Key":"k"}]}`,
			`{"invocationSchemaVersion":"1.0","treatMissingKeysAs":"PermanentFailure","invocationId":"i","results":[{"taskId":"t","resultCode":"PermanentFailure","resultString":"task \"t\": want a bucket and a key, got \"\" and \"k\""}]}`, ""},
		{"a map's item for good", `{"Items":[` + told("permanent") + `]}`, `{"Results":[{"state":"permanent","code":"invalid","error":"the subject: told to"}]}`, ""},
		{"a map's item again", `{"Items":[` + told("ok") + `,` + told("retry") + `]}`, "", "unavailable: the subject: told to"},
		{"a map's item without a bucket", `{"Items":[{"Key":"k","Size":1}]}`, `{"Results":[{"state":"permanent","code":"invalid","error":"item 0: want the bucket of key \"k\" in the item or in BatchInput, got none"}]}`, ""},
		{"too many envelopes", sqs("q", snsEnvelope(snsEnvelope(snsEnvelope(snsEnvelope(`{}`))))), `{"batchItemFailures":[{"itemIdentifier":"m-0"}]}`, ""},
		{"a durable execution", `{"DurableExecutionArn":"arn:x","CheckpointToken":"t","InitialExecutionState":{"Operations":[]}}`, "", "unsupported: event: want a request or an event to score, got a durable execution's. Invoke the function from a durable step; it needs no checkpoints of its own."},
		{"no document", `x`, "", "invalid: event: want a JSON object"},
		{"a list", `[]`, "", "invalid: event: want a JSON object"},
		{"nothing", ``, "", "invalid: event: want a JSON object"},
		{"an empty object", `{}`, "", "unsupported: event: want a request, an event or an inference request with inputs, got an object with nothing in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reply, err := deliver(t, nil, tt.event)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff([]string{tt.reply, tt.err}, []string{reply, shortError(err, text)}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A function without triggers says so, and loses nothing.
func TestNoTriggers(t *testing.T) {
	reply, err := awslambda.New(nil, nil, nil).Invoke(t.Context(), []byte(sqs("q", "x")))
	if err != nil || string(reply) != `{"batchItemFailures":[{"itemIdentifier":"m-0"}]}` {
		t.Errorf("got %s, %v", reply, err)
	}
}

// With no time left nothing begins, and all of it comes again.
func TestNoTime(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	h := awslambda.New(nil, trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
		t.Error("it has begun")
		return nil
	}), nil)
	reply, err := h.Invoke(ctx, []byte(sqs("q", "x", "y")))
	if err != nil || string(reply) != `{"batchItemFailures":[{"itemIdentifier":"m-0"},{"itemIdentifier":"m-1"}]}` {
		t.Errorf("got %s, %v", reply, err)
	}
}

// Whatever becomes of the items of whatever batch, the ids of the reply are the
// batch's, each once, and those of items that are not done are among them.
func TestIDsAreTheBatchs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hows := rapid.SliceOfN(rapid.SampledFrom([]string{"ok", "permanent", "retry", "undecodable", "panic"}), 1, 12).Draw(t, "hows")
		queue := rapid.SampledFrom([]string{"q", "q.fifo"}).Draw(t, "queue")
		var bodies []string
		for _, how := range hows {
			bodies = append(bodies, told(how))
		}
		reply, err := deliver(t, &awslambda.Options{SkipGroup: rapid.Bool().Draw(t, "skip")}, sqs(queue, bodies...))
		if err != nil {
			// All come again: only where all are to, or wait behind one that is.
			other := slices.ContainsFunc(hows, func(how string) bool { return how != "retry" })
			if other && (queue == "q" || hows[0] != "retry") {
				t.Fatal(err)
			}
			return
		}
		var r struct {
			BatchItemFailures *[]struct{ ItemIdentifier string }
		}
		if err := json.NewDecoder(bytes.NewReader([]byte(reply))).Decode(&r); err != nil || r.BatchItemFailures == nil {
			t.Fatalf("got %s, %v", reply, err)
		}
		named := map[string]bool{}
		for _, f := range *r.BatchItemFailures {
			n, err := strconv.Atoi(strings.TrimPrefix(f.ItemIdentifier, "m-"))
			if err != nil || n < 0 || n >= len(hows) || named[f.ItemIdentifier] {
				t.Fatalf("%q of %s", f.ItemIdentifier, reply)
			}
			named[f.ItemIdentifier] = true
		}
		for i, how := range hows {
			if how != "ok" && !named[fmt.Sprintf("m-%d", i)] {
				t.Errorf("m-%d is %s, and not named: %s", i, how, reply)
			}
		}
	})
}

// shortError is a function error's type and message.
func shortError(err error, text string) string {
	if e, ok := err.(messages.InvokeResponse_Error); ok {
		return e.Type + ": " + e.Message
	}
	return text
}
