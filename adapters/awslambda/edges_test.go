package awslambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// done is a handler that finds all well, and keeps the items.
func done(items *[]trigger.Item) trigger.Handler {
	return trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		*items = append(*items, ev.Items...)
		out := make([]trigger.Outcome, len(ev.Items))
		for i := range out {
			out[i].State = trigger.Done
		}
		return out
	})
}

// A record that is not as it should be fails alone where the source takes that,
// and has the others worked on.
func TestRecordsThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		name, event string
		reply, code string // one of them
		items       int
	}{
		{"a message", `{"Records":[{"eventSource":"aws:sqs","messageId":"a","body":7},{"eventSource":"aws:sqs","messageId":"b","body":"{}"}]}`, `{"batchItemFailures":[{"itemIdentifier":"a"}]}`, "", 1},
		{"a record of Kinesis", `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"e30="}},{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"2","data":7}}]}`, `{"batchItemFailures":[{"itemIdentifier":"2"}]}`, "", 1},
		{"a record of DynamoDB", `{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"1","NewImage":7}},{"eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"2","NewImage":{}}}]}`, `{"batchItemFailures":[{"itemIdentifier":"1"}]}`, "", 1},
		{"a record of DynamoDB without its image", `{"Records":[{"eventSource":"aws:dynamodb","eventName":"MODIFY","dynamodb":{"SequenceNumber":"1"}}]}`, `{"batchItemFailures":[{"itemIdentifier":"1"}]}`, "", 0},
		{"a removed item", `{"Records":[{"eventSource":"aws:dynamodb","eventName":"REMOVE","dynamodb":{"SequenceNumber":"1"}}]}`, `{"batchItemFailures":[]}`, "", 0},
		{"a record that its producer has aggregated", `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"84mawgA="}},{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"2","data":"84mawg=="}}]}`, `{"batchItemFailures":[{"itemIdentifier":"1"}]}`, "", 1},
		{"a bucket's key that is not escaped", `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"%zz"}}}]}`, "", "invalid", 0},
		{"an object without a key", `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{}}}]}`, "", "invalid", 0},
		{"an object without a bucket", `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"object":{"key":"k"}}}]}`, "", "invalid", 0},
		{"a message without an id", `{"Records":[{"eventSource":"aws:sqs","body":7}]}`, "", "invalid", 0},
		{"a record without a number", `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"data":7}}]}`, "", "invalid", 0},
		{"a notification", `{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"a","Message":7}}]}`, "", "invalid", 0},
		{"a bucket's record", `{"Records":[{"eventSource":"aws:s3","s3":7}]}`, "", "invalid", 0},
		{"a task", `{"invocationSchemaVersion":"1.0","tasks":[{"taskId":7}]}`, "", "invalid", 0},
		{"a task without a key", `{"invocationSchemaVersion":"1.0","invocationId":"i","tasks":[{"taskId":"t","s3BucketArn":"arn:aws:s3:::b"}]}`, `"resultCode":"PermanentFailure"`, "", 0},
		{"items that are no list", `{"Items":7}`, "", "invalid", 0},
		{"items beside an input of the workflow's own", `{"Items":[{}],"BatchInput":7}`, `{"Results":[{"state":"done"}]}`, "", 1},
		{"an item whose bucket nobody names", `{"Items":[{"Key":"k","Size":1}]}`, `"code":"invalid"`, "", 0},
		{"records of Kafka that are none", `{"eventSource":"aws:kafka","records":7}`, "", "invalid", 0},
		{"a record of Kafka", `{"eventSource":"aws:kafka","records":{"t-0":[7]}}`, "", "invalid", 0},
		{"a tombstone of Kafka", `{"eventSource":"aws:kafka","records":{"t-0":[{"topic":"t","offset":1,"value":null}]}}`, "null", "", 0},
		{"an event of EventBridge", `{"detail-type":"x","source":7}`, "", "invalid", 0},
	} {
		var items []trigger.Item
		reply, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(c.event))
		var said messages.InvokeResponse_Error
		errors.As(err, &said)
		if said.Type != c.code || err == nil && !strings.Contains(string(reply), c.reply) || len(items) != c.items {
			t.Errorf("%s: %s, %v and %d items, want %s%s and %d", c.name, reply, err, len(items), c.reply, c.code, c.items)
		}
	}
}

// A payload may be in three envelopes, and in no more.
func TestEnvelopesInEnvelopes(t *testing.T) {
	wrap := func(n int, payload string) string {
		for range n {
			payload = snsEnvelope(payload)
		}
		return payload
	}
	direct := func(message string) string {
		return `{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"a","TopicArn":"t","Message":` + quoted(message) + `}}]}`
	}
	for _, c := range []struct {
		name, event string
		fits        bool
	}{
		{"a queue, three", sqs("q", wrap(3, `{"x":1}`)), true},
		{"a queue, four", sqs("q", wrap(4, `{"x":1}`)), false},
		{"a topic, three", direct(wrap(3, `{"x":1}`)), true},
		{"a topic, four", direct(wrap(4, `{"x":1}`)), false},
	} {
		var items []trigger.Item
		reply, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(c.event))
		fits := err == nil && !strings.Contains(string(reply), "itemIdentifier")
		if fits != c.fits || fits != (len(items) == 1) || fits && (string(items[0].Data) != `{"x":1}` || items[0].ContentType != "") {
			t.Errorf("%s: %s, %v, %+v", c.name, reply, err, items)
		}
	}
	var items []trigger.Item
	if _, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(sqs("q", `{"Type":"Notification"}`))); err != nil || len(items) != 1 || string(items[0].Data) != `{"Type":"Notification"}` {
		t.Errorf("a notification without a message is a payload: %v, %+v", err, items)
	}
}

func TestPathsOfRequests(t *testing.T) {
	for _, c := range []struct{ base, path, want, raw string }{
		{"/models", "/models", "/", ""}, {"/models/", "/models/x", "/x", ""}, {"/models", "/modelsx", "/modelsx", ""}, {"", "", "/", ""},
		{"", "/a%2Fb", "/a/b", "/a%2Fb"}, {"", "/a%zz", "/a%zz", ""}, {"", "/a b", "/a b", ""},
	} {
		api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != c.want || r.URL.RawPath != c.raw || r.Proto != "HTTP/1.1" || r.ProtoMajor != 1 || r.ProtoMinor != 1 {
				t.Errorf("%s below %q: %q, %q, %s", c.path, c.base, r.URL.Path, r.URL.RawPath, r.Proto)
			}
		})
		if _, err := awslambda.New(api, nil, &awslambda.Options{BasePath: c.base}).Invoke(t.Context(), []byte(`{"httpMethod":"GET","path":"`+c.path+`",`+v1Context+`}`)); err != nil {
			t.Error(err)
		}
	}
}

func TestRequestsWithListsOfOtherThings(t *testing.T) {
	for name, event := range map[string]string{
		"a header":              `{"httpMethod":"GET","path":"/","multiValueHeaders":{"a":[7]},` + v1Context + `}`,
		"a header after a good": `{"httpMethod":"GET","path":"/","multiValueHeaders":{"a":["b",{}],"c":["d"]},` + v1Context + `}`,
		"a query's value":       `{"httpMethod":"GET","path":"/","multiValueQueryStringParameters":{"a":[7]},` + v1Context + `}`,
		"a query's lone value":  `{"httpMethod":"GET","path":"/","queryStringParameters":{"a":7},` + v1Context + `}`,
		"a raw query":           `{"version":"2.0","rawPath":"/","rawQueryString":7,` + v2Context("$default") + `}`,
		"a cookie":              `{"version":"2.0","rawPath":"/","cookies":[7],` + v2Context("$default") + `}`,
		"cookies":               `{"version":"2.0","rawPath":"/","cookies":{},` + v2Context("$default") + `}`,
		"a body in base64":      `{"httpMethod":"GET","path":"/","body":7,"isBase64Encoded":true,` + v1Context + `}`,
		"a lone body":           `{"httpMethod":"GET","path":"/","body":7,` + v1Context + `}`,
	} {
		api := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Errorf("%s: the api was asked", name) })
		reply, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(event))
		if err != nil || !strings.Contains(string(reply), `"statusCode":400`) {
			t.Errorf("%s: %s, %v", name, reply, err)
		}
	}
}

func TestDirectsModel(t *testing.T) {
	for _, c := range []struct{ event, path, code string }{
		{`{"model":"m","inputs":[]}`, "/v2/models/m/infer", ""},
		{`{"model_name":"a/b","model_version":"2","inputs":[]}`, "/v2/models/a%2Fb/versions/2/infer", ""},
		{`{"inputs":[]}`, "/v2/models/only/infer", ""},
		{`{"model":null,"inputs":[]}`, "/v2/models/only/infer", ""},
		{`{"model":"","inputs":[]}`, "", "invalid"},
		{`{"model":7,"inputs":[]}`, "", "invalid"},
		{`{"model":"m","model_version":7,"inputs":[]}`, "", "invalid"},
	} {
		path := ""
		api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if path = r.URL.Path; err != nil || string(body) != `{"inputs":[]}` || r.RequestURI == "" || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s %s, %v", c.event, r.Method, body, err)
			}
			_, _ = io.WriteString(w, "{}")
		})
		reply, err := awslambda.New(api, nil, &awslambda.Options{Model: "only"}).Invoke(t.Context(), []byte(c.event))
		var said messages.InvokeResponse_Error
		errors.As(err, &said)
		if path != c.path || said.Type != c.code || (err == nil) != (string(reply) == "{}") {
			t.Errorf("%s: %q, %s, %v", c.event, path, reply, err)
		}
	}
}

func TestResultsForAWorkflow(t *testing.T) {
	for size, code := range map[int]string{100: "", 256 << 10: "too_large"} {
		events := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
			result, _ := json.Marshal(strings.Repeat("x", size))
			return []trigger.Outcome{{State: trigger.Done, Result: result}}
		})
		_, err := awslambda.New(http.NotFoundHandler(), events, nil).Invoke(t.Context(), []byte(`{"Items":[1]}`))
		var said messages.InvokeResponse_Error
		if errors.As(err, &said); said.Type != code {
			t.Errorf("%d bytes: %v, want %q", size, err, code)
		}
	}
}

// An answer whose size is told keeps all of what was written, however it was.
func TestAnswersOfAToldSize(t *testing.T) {
	for _, told := range []string{"", "5", "1", "x", "99999999999999999999"} {
		api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			if told != "" {
				w.Header().Set("Content-Length", told)
			}
			w.WriteHeader(103)
			w.WriteHeader(200)
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "ab")
			_, _ = io.WriteString(w, "cde")
		})
		reply, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(`{"httpMethod":"GET","path":"/",`+v1Context+`}`))
		if err != nil || !bytes.Contains(reply, []byte(`"body":"abcde"`)) || !bytes.Contains(reply, []byte(`"statusCode":200`)) {
			t.Errorf("Content-Length %q: %s, %v", told, reply, err)
		}
	}
}

// A topic's line is printed only if there is something to say.
func TestNothingIsPrintedWithoutMetrics(t *testing.T) {
	printed := 0
	m := awslambda.NewMetrics(writerFunc(func(p []byte) (int, error) { printed++; return len(p), nil }), "f", "7")
	m.Flush()
	m.Start("", 0)
	m.Flush()
	if printed > 0 {
		t.Error("something was printed")
	}
	m.Restarted()
	m.Flush()
	m.Flush()
	if printed != 1 {
		t.Errorf("printed %d times, want once", printed)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Each task of a job is told how it ended, and why if it did not end well.
func TestResultsOfAJob(t *testing.T) {
	events := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
		return []trigger.Outcome{
			{State: trigger.Done, Result: []byte("fine")},
			{State: trigger.Retry, Err: fault.New(fault.RateLimited, "", "", "later")},
			{State: trigger.Permanent, Err: fault.New(fault.Invalid, "", "", "never")},
		}
	})
	task := func(id string) string {
		return `{"taskId":"` + id + `","s3Key":"k%20` + id + `","s3BucketArn":"arn:aws:s3:::b"}`
	}
	reply, err := awslambda.New(http.NotFoundHandler(), events, nil).Invoke(t.Context(), []byte(`{"invocationSchemaVersion":"1.0","invocationId":"i","job":{"id":"j"},"tasks":[`+task("1")+`,`+task("2")+`,`+task("3")+`]}`))
	const want = `{"invocationSchemaVersion":"1.0","treatMissingKeysAs":"PermanentFailure","invocationId":"i","results":[` +
		`{"taskId":"1","resultCode":"Succeeded","resultString":"fine"},{"taskId":"2","resultCode":"TemporaryFailure","resultString":"later"},{"taskId":"3","resultCode":"PermanentFailure","resultString":"never"}]}`
	if err != nil || string(reply) != want {
		t.Errorf("%v\n got %s\nwant %s", err, reply, want)
	}
}
