package awslambda_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// A stream goes back to the record with the lowest number, however they stand in
// the batch: numbers are compared, and not their digits.
func TestLowestOfAStream(t *testing.T) {
	for _, c := range []struct {
		numbers []string
		want    string
	}{
		{[]string{"10", "9"}, "9"}, {[]string{"9", "10"}, "9"}, {[]string{"3", "2", "1"}, "1"}, {[]string{"49545115243490985018280067714973144582180062593244200961", "49545115243490985018280067714973144582180062593244200960"}, "49545115243490985018280067714973144582180062593244200960"},
		{[]string{"x", "1"}, "x"}, {[]string{"1", "x"}, "1"}, {[]string{"2", "x", "1"}, "1"},
	} {
		var records []string
		codes := make([]fault.Code, len(c.numbers))
		for i, n := range c.numbers {
			records = append(records, `{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"`+n+`","data":"e30="}}`)
			codes[i] = fault.Unavailable
		}
		reply, err := awslambda.New(http.NotFoundHandler(), ends(codes...), nil).Invoke(t.Context(), []byte(`{"Records":[`+strings.Join(records, ",")+`]}`))
		if want := `{"batchItemFailures":[{"itemIdentifier":"` + c.want + `"}]}`; err != nil || string(reply) != want {
			t.Errorf("%q: got %s, %v, want %s", c.numbers, reply, err, want)
		}
	}
}

// What is nearly an object of a bucket, in a workflow's batch, is a payload.
func TestItemsThatAreNoObjects(t *testing.T) {
	for _, raw := range []string{`{"Key":"k"}`, `{"Size":3}`, `{"Key":"","Size":3}`, `{"Key":"k","Size":"3"}`, `{"Key":7,"Size":3}`, `[1]`, `7`} {
		var items []trigger.Item
		reply, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(`{"Items":[`+raw+`],"BatchInput":{"bucket":"b"}}`))
		if err != nil || string(reply) != `{"Results":[{"state":"done"}]}` || len(items) != 1 || items[0].Object != nil || string(items[0].Data) != raw || items[0].ContentType != "application/json" {
			t.Errorf("%s: %s, %v, %+v", raw, reply, err, items)
		}
	}
	// What was done under a key must be found done by a later version.
	var items []trigger.Item
	if _, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(`{"Items":[7]}`)); err != nil || len(items) != 1 || items[0].Key != "sha256:7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451" {
		t.Errorf("%v, %+v", err, items)
	}
}

// Requests that are wrong in one place are refused, whatever stands beside it.
func TestRequestsWrongInOnePlace(t *testing.T) {
	for name, event := range map[string]string{
		"a header before good cookies": `{"version":"2.0","rawPath":"/","headers":{"a":7},"cookies":["b=c"],` + v2Context("$default") + `}`,
		"a body in base64, a string":   `{"httpMethod":"GET","path":"/","body":"e30","isBase64Encoded":true,` + v1Context + `}`,
		"a body in base64, half one":   `{"httpMethod":"GET","path":"/","body":{},"isBase64Encoded":true,` + v1Context + `}`,
	} {
		api := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Errorf("%s: the api was asked", name) })
		reply, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(event))
		if err != nil || !strings.Contains(string(reply), `"statusCode":400`) {
			t.Errorf("%s: %s, %v", name, reply, err)
		}
	}
	for _, event := range []string{`{"Records":[7]}`, `{"Records":[{"eventSource":"aws:s3"},7]}`, `{"Records":7}`, `{"Records":[{"eventSource":"aws:s3","n":tru}]}`, `{"Records":[{"EventSource":"aws:sns","n":tru}]}`, `{"Records":[{"eventSource":"aws:dynamodb","n":tru}]}`} {
		var items []trigger.Item
		if reply, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(event)); typeOf(err) != "invalid" || len(items) > 0 {
			t.Errorf("%s: %s, %v", event, reply, err)
		}
	}
}

// A stage's name in front of a path is the API's; the default one's is not there.
func TestStages(t *testing.T) {
	for _, c := range []struct{ stage, path, want string }{
		{"$default", "/$default/x", "/$default/x"}, {"$default", "/x", "/x"}, {"", "/x", "/x"}, {"prod", "/prod/x", "/x"}, {"prod", "/x", "/x"}, {"prod", "/prod", "/"},
	} {
		api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != c.want {
				t.Errorf("%s of %q: %s, want %s", c.path, c.stage, r.URL.Path, c.want)
			}
			for _, name := range []string{"Content-Length", "Transfer-Encoding", "Host"} {
				if v := r.Header[name]; v != nil {
					t.Errorf("the header %s is left: %q", name, v)
				}
			}
		})
		event := `{"version":"2.0","rawPath":"` + c.path + `","headers":{"transfer-encoding":"chunked","content-length":"9","host":"h"},` + v2Context(c.stage) + `}`
		if _, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(event)); err != nil {
			t.Error(err)
		}
	}
}

// What is text goes as text, and what is the connection's is left out.
func TestHeadersOfReplies(t *testing.T) {
	for media, encoded := range map[string]bool{
		"application/json": false, "application/cloudevents+json": false, "Application/Problem+JSON ; a=b": false, "text/csv": false, "": true, "application/octet-stream": true, "image/svg+xml": true, "textual/x": true,
	} {
		api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if media != "" {
				w.Header().Set("Content-Type", media)
			}
			for _, name := range []string{"Connection", "Content-Length", "Date", "Keep-Alive", "Transfer-Encoding", "Upgrade"} {
				w.Header().Set(name, "1")
			}
			w.Header()["X-None"] = nil
			_, _ = io.WriteString(w, "{}")
		})
		want := `{"statusCode":200,"headers":{},"body":"{}","isBase64Encoded":false}`
		if media != "" {
			want = strings.Replace(want, "{}", fmt.Sprintf("{%q:%q}", "Content-Type", media), 1)
		}
		if encoded {
			want = strings.Replace(want, `"{}","isBase64Encoded":false`, `"e30=","isBase64Encoded":true`, 1)
		}
		reply, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(`{"version":"2.0","rawPath":"/",`+v2Context("$default")+`}`))
		if diff := cmp.Diff(want, string(reply)); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", media, err, diff)
		}
	}
}

// No metric is lost for want of room in an object.
func TestManyMetrics(t *testing.T) {
	var out bytes.Buffer
	m := awslambda.NewMetrics(&out, "f", "7")
	for i := range 250 {
		m.Start(fmt.Sprintf("phase%d", i), time.Second)
	}
	m.Flush()
	got := map[string]bool{}
	lines := objects(t, &out)
	for _, o := range lines {
		for name := range o {
			if strings.HasPrefix(name, "StartPhase") || strings.HasPrefix(name, "Startphase") {
				got[name] = true
			}
		}
	}
	if len(got) != 250 || len(lines) != 3 {
		t.Errorf("want 250 metrics in 3 lines, got %d in %d", len(got), len(lines))
	}
}

// Attributes that are no text, and none at all.
func TestAttributesOfMessages(t *testing.T) {
	for attributes, want := range map[string]map[string]string{
		`{}`: nil, `null`: nil, `{"a":{"stringValue":"","dataType":"String"}}`: {"a": ""}, `{"a":{"dataType":"Binary","binaryValue":"AAE="}}`: {"a": "\x00\x01"}, `{"a":{}}`: {"a": ""},
		`{"a":{"stringValue":"x","binaryValue":"AAE="}}`: {"a": "x"},
	} {
		var items []trigger.Item
		reply, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(context.Background(), []byte(`{"Records":[{"eventSource":"aws:sqs","messageId":"m","body":"x","messageAttributes":`+attributes+`}]}`))
		if err != nil || string(reply) != `{"batchItemFailures":[]}` || len(items) != 1 {
			t.Fatalf("%s: %s, %v", attributes, reply, err)
		}
		if diff := cmp.Diff(want, items[0].Attributes); diff != "" || items[0].Key != "/m" || !items[0].Time.IsZero() || items[0].Attempt != 0 {
			t.Errorf("%s: %+v (-want +got):\n%s", attributes, items[0], diff)
		}
	}
}

// A topic without an ARN is known by its brokers, and partitions come in the
// order of their names.
func TestTopicsWithoutAnARN(t *testing.T) {
	for arn, source := range map[string]string{"": "b1:9092,b2:9092", `"eventSourceArn":"arn:k",`: "arn:k"} {
		var got *trigger.Event
		events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
			got = ev
			return make([]trigger.Outcome, len(ev.Items))
		})
		var records []string
		for _, p := range []string{"t-3", "t-1", "t-2", "t-0"} {
			records = append(records, `"`+p+`":[{"offset":1,"value":"e30="}]`)
		}
		_, _ = awslambda.New(http.NotFoundHandler(), events, nil).Invoke(t.Context(), []byte(`{"eventSource":"SelfManagedKafka",`+arn+`"bootstrapServers":"b1:9092,b2:9092","records":{`+strings.Join(records, ",")+`}}`))
		if got == nil || got.Source != source || len(got.Items) != 4 {
			t.Fatalf("got %+v, want the source %s", got, source)
		}
		for i, item := range got.Items {
			if want := fmt.Sprintf("t-%d", i); item.Group != want || item.Key != source+"/"+want+"@1" {
				t.Errorf("item %d: %+v, want of %s", i, item, want)
			}
		}
	}
}

// A body can be copied as it can be read, as long as it is there.
func TestBodiesAreCopied(t *testing.T) {
	var kept io.ReadCloser
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		if n, err := b.ReadFrom(strings.NewReader("")); n != 0 || err != nil {
			t.Error(n, err)
		}
		if n, err := r.Body.(io.WriterTo).WriteTo(&b); err != nil || n != 4 || b.String() != "body" {
			t.Errorf("%d bytes, %q, %v", n, b.String(), err)
		}
		kept = r.Body
	})
	if _, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(`{"httpMethod":"POST","path":"/","body":"body",`+v1Context+`}`)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := kept.(io.WriterTo).WriteTo(&b); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) || b.Len() > 0 {
		t.Errorf("behind the request: %d bytes, %q, %v", n, b.String(), err)
	}
}

// Who drains a handler that does nothing is answered at once, again and again,
// and nothing begins behind that.
func TestDrainOfNothing(t *testing.T) {
	h := awslambda.New(http.NotFoundHandler(), nil, &awslambda.Options{Model: "m"})
	for range 2 {
		if err := h.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := h.Invoke(t.Context(), []byte(`{"inputs":[]}`)); typeOf(err) != "unavailable" {
			t.Errorf("want a refusal, got %v", err)
		}
	}
}

// What a job's report says of a task is short, and cut between characters.
func TestReportsAreShort(t *testing.T) {
	events := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
		return []trigger.Outcome{{State: trigger.Done, Result: []byte(`"` + strings.Repeat("é", 1000) + `"`)}}
	})
	reply, err := awslambda.New(http.NotFoundHandler(), events, nil).Invoke(t.Context(), []byte(`{"invocationSchemaVersion":"2.0","tasks":[{"taskId":"t","s3Key":"k","s3Bucket":"b"}]}`))
	if want := `"resultString":"\"` + strings.Repeat("é", 511) + `"`; err != nil || !strings.Contains(string(reply), want) {
		t.Errorf("%v, got %d bytes: %.200s", err, len(reply), reply)
	}
}

// Bytes behind a header that says where they begin are bytes, text or not; and a
// request that is the whole event belongs to the invocation's trace.
func TestTensorsAreBytes(t *testing.T) {
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Traceparent"); got != "00-5bef4de7ad49b0e87f6ef6c87fc2e700-9a9197af755a6419-01" {
			t.Errorf("got the trace %q", got)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Inference-Header-Content-Length", "2")
		w.WriteHeader(299)
		_, _ = io.WriteString(w, "{}text")
	})
	h := awslambda.New(api, nil, &awslambda.Options{Model: "m"})
	reply, err := h.Invoke(invocation(t.Context()), []byte(`{"httpMethod":"POST","path":"/",`+v1Context+`}`))
	if err != nil || !strings.Contains(string(reply), `"body":"e310ZXh0","isBase64Encoded":true`) {
		t.Errorf("%s, %v", reply, err)
	}
	if reply, err := h.Invoke(invocation(t.Context()), []byte(`{"inputs":[]}`)); err != nil || string(reply) != "{}text" {
		t.Errorf("%s, %v", reply, err)
	}
}
