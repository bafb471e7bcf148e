package awslambda_test

import (
	"bytes"
	"context"
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
	m := awslambda.NewMetrics(&out, "f")
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
