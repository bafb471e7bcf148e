package awslambda_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
	"godwit.dev/runtime/trigger"
)

// typeOf is the type of a function error, as callers see it.
func typeOf(err error) string {
	var said messages.InvokeResponse_Error
	errors.As(err, &said)
	return said.Type
}

// ends answers items with these codes, by their places.
func ends(codes ...fault.Code) trigger.Handler {
	return trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		out := make([]trigger.Outcome, len(ev.Items))
		for i := range out {
			out[i].State = trigger.Done
			if codes[i] != fault.OK {
				out[i] = trigger.Of(fault.New(codes[i], "test", "", "told to"))
			}
		}
		return out
	})
}

// Where all comes again or nothing, the error is that of what may pass, else
// the first of what never will: of records, and of the objects in one message.
func TestWhichErrorOfMany(t *testing.T) {
	record := func(key string) string {
		return `{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"` + key + `"}}}`
	}
	records := `{"Records":[` + record("1") + `,` + record("2") + `]}`
	for name, event := range map[string]string{
		"two records":              records,
		"two objects in a message": `{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"a","TopicArn":"t","Message":` + quoted(records) + `}}]}`,
	} {
		for _, c := range []struct {
			codes []fault.Code
			want  string
		}{
			{[]fault.Code{fault.OK, fault.OK}, ""},
			{[]fault.Code{fault.Invalid, fault.OK}, "invalid"}, {[]fault.Code{fault.OK, fault.Invalid}, "invalid"},
			{[]fault.Code{fault.Invalid, fault.Unprocessable}, "invalid"}, {[]fault.Code{fault.Unprocessable, fault.Invalid}, "unprocessable"},
			{[]fault.Code{fault.Unavailable, fault.Invalid}, "unavailable"}, {[]fault.Code{fault.Invalid, fault.Unavailable}, "unavailable"},
			{[]fault.Code{fault.OK, fault.Unavailable}, "unavailable"}, {[]fault.Code{fault.Unavailable, fault.OK}, "unavailable"},
		} {
			reply, err := awslambda.New(http.NotFoundHandler(), ends(c.codes...), nil).Invoke(t.Context(), []byte(event))
			if typeOf(err) != c.want || err == nil && string(reply) != "null" {
				t.Errorf("%s, %v: got %s, %v, want %q", name, c.codes, reply, err, c.want)
			}
		}
	}
}

// An event that is no JSON behind what tells its kind is refused, and is not a
// delivery of nothing; and the kind is the first record's.
func TestEventsThatAreNoJSON(t *testing.T) {
	for _, event := range []string{
		`{"Records":[{"eventSource":"aws:sqs","messageId":"a","n":01x}]}`, `{"Records":[{"eventSource":"aws:kinesis","n":tru}]}`, `{"eventSource":"aws:kafka","records":{"t-0":[nul]}}`,
		`{"invocationSchemaVersion":"1.0","tasks":[nul]}`, `{"Items":[nul]}`, `{"detail-type":"x","source":"s","detail":nul}`,
	} {
		var items []trigger.Item
		reply, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(event))
		if typeOf(err) != "invalid" || len(items) > 0 {
			t.Errorf("%s: %s, %v, %d items", event, reply, err, len(items))
		}
	}
	var items []trigger.Item
	reply, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(`{"Records":[{"eventSource":"aws:sqs","messageId":"a","body":"{}"},{"eventSource":"aws:s3"}]}`))
	if err != nil || string(reply) != `{"batchItemFailures":[]}` || len(items) != 2 {
		t.Errorf("two kinds of records: %s, %v, %d items", reply, err, len(items))
	}
	if _, err := awslambda.New(http.NotFoundHandler(), done(&items), nil).Invoke(t.Context(), []byte(`{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"a","Message":`+quoted(snsEnvelope(snsEnvelope(snsEnvelope(snsEnvelope("x")))))+`}}]}`)); typeOf(err) != "invalid" {
		t.Errorf("too many envelopes: %v", err)
	}
}

// Base64 may be in a string with escapes, and nothing else may.
func TestBodiesInBase64(t *testing.T) {
	for body, want := range map[string]string{
		`"////"`: "\xff\xff\xff", `"\/\/\/\/"`: "\xff\xff\xff", `"/\/\u002f/"`: "\xff\xff\xff", `""`: "", `"e30="`: "{}",
		`"\x"`: "400", `"e30"`: "400", `7`: "400", `{}`: "400",
	} {
		got := "400"
		api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if got = string(b); err != nil || r.ContentLength != int64(len(b)) {
				t.Errorf("%s: %d bytes of %d, %v", body, len(b), r.ContentLength, err)
			}
		})
		reply, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(`{"httpMethod":"POST","path":"/","body":`+body+`,"isBase64Encoded":true,`+v1Context+`}`))
		if err != nil || got != want || (got == "400") != strings.Contains(string(reply), `"statusCode":400`) {
			t.Errorf("%s: %q, %s, %v", body, got, reply, err)
		}
	}
}

// A trace is the caller's, else that of the invocation, else what the header of
// a load balancer says.
func TestWhoseTrace(t *testing.T) {
	const amzn = "Root=1-00000000-ad49b0e87f6ef6c87fc2e700;Parent=0a9197af755a6419;Sampled=0"
	for header, want := range map[string]string{
		`"x-amzn-trace-id":"` + amzn + `"`:                             "00-00000000ad49b0e87f6ef6c87fc2e700-0a9197af755a6419-00",
		`"x-amzn-trace-id":"` + amzn + `","traceparent":"00-mine"`:     "00-mine",
		`"x-amzn-trace-id":"Root=1-00000000-ad49b0e87f6ef6c87fc2e700"`: "",
	} {
		for _, ctx := range []context.Context{t.Context(), invocation(t.Context())} {
			want := want
			if ctx != t.Context() && want != "00-mine" {
				want = "00-5bef4de7ad49b0e87f6ef6c87fc2e700-9a9197af755a6419-01"
			}
			api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Traceparent"); got != want {
					t.Errorf("%s: got %q, want %q", header, got, want)
				}
			})
			if _, err := awslambda.New(api, nil, nil).Invoke(ctx, []byte(`{"httpMethod":"GET","path":"/","headers":{`+header+`},`+albContext+`}`)); err != nil {
				t.Error(err)
			}
		}
	}
}

// Answers fit to the byte.
func TestAnswersToTheByte(t *testing.T) {
	for _, c := range []struct {
		size int
		code string
	}{{6 << 20, ""}, {6<<20 + 1, "too_large"}, {200 << 20, "too_large"}} {
		api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for left := c.size; left > 0; left -= 1 << 20 {
				_, _ = w.Write(make([]byte, min(left, 1<<20)))
			}
		})
		reply, err := awslambda.New(api, nil, &awslambda.Options{Model: "m"}).Invoke(t.Context(), []byte(`{"inputs":[]}`))
		if typeOf(err) != c.code || err == nil && len(reply) != c.size {
			t.Errorf("%d bytes: %d, %v, want %q", c.size, len(reply), err, c.code)
		}
	}
	for form, event := range map[string]string{
		"all values": `{"httpMethod":"GET","path":"/","multiValueHeaders":{},` + albContext + `}`, "one value": `{"httpMethod":"GET","path":"/","headers":{},` + albContext + `}`,
	} {
		for size, status := range map[int]string{1<<20 - 200: "200", 1 << 20: "413"} {
			api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				_, _ = w.Write(bytes.Repeat([]byte("a"), size))
			})
			reply, err := awslambda.New(api, nil, nil).Invoke(t.Context(), []byte(event))
			if err != nil || !strings.Contains(string(reply[:100]), `"statusCode":`+status) {
				t.Errorf("%s, %d bytes: %.100s, %v, want %s", form, size, reply, err, status)
			}
		}
	}
	for size, code := range map[int]string{200 << 10: "", 300 << 10: "too_large"} {
		events := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
			return []trigger.Outcome{{State: trigger.Done, Result: []byte(`"` + strings.Repeat("x", size) + `"`)}}
		})
		if _, err := awslambda.New(http.NotFoundHandler(), events, nil).Invoke(t.Context(), []byte(`{"Items":[1]}`)); typeOf(err) != code {
			t.Errorf("%d bytes for a workflow: %v, want %q", size, err, code)
		}
	}
	notJSON := trigger.HandlerFunc(func(context.Context, *trigger.Event) []trigger.Outcome {
		return []trigger.Outcome{{State: trigger.Done, Result: []byte("x")}}
	})
	if _, err := awslambda.New(http.NotFoundHandler(), notJSON, nil).Invoke(t.Context(), []byte(`{"Items":[1]}`)); typeOf(err) != "internal" {
		t.Errorf("a result that is no JSON: %v", err)
	}
}

// What a line is of, and what it is searched by.
func TestLinesOfMetrics(t *testing.T) {
	var out bytes.Buffer
	m := awslambda.NewMetrics(&out, "", "7")
	m.Request(telemetry.RequestEvent{Model: "iris", Code: fault.Invalid})
	m.Request(telemetry.RequestEvent{Model: "iris", Code: fault.Invalid})
	m.Request(telemetry.RequestEvent{Model: "iris", Code: fault.Unavailable})
	m.Request(telemetry.RequestEvent{Model: "iris"})
	m.Cache(telemetry.CacheEvent{Model: "iris", Version: "2", Bytes: 1, Hits: 2, Misses: 3})
	m.Restarted()
	m.Start("Load", time.Millisecond)
	m.Start("~", time.Millisecond)
	m.Flush()
	got := objects(t, &out)
	for _, o := range got {
		o["_aws"] = o["_aws"].(map[string]any)["CloudWatchMetrics"].([]any)[0].(map[string]any)["Dimensions"]
	}
	want := []map[string]any{
		{"_aws": []any{[]any{"Function", "Model"}, []any{"Function"}}, "Function": "function", "Model": "iris", "Requests": []any{1.0, 1.0, 1.0, 1.0}, "Errors": []any{1.0, 1.0, 1.0, 0.0},
			"RequestTime": []any{0.0, 0.0, 0.0, 0.0}, "codes": []any{"invalid", "unavailable"}},
		{"_aws": []any{[]any{"Function"}, []any{"Function", "ExecutedVersion"}}, "Function": "function", "ExecutedVersion": "7", "Faults": 1.0},
		{"_aws": []any{[]any{"Function", "Model", "Version"}, []any{"Function"}}, "Function": "function", "Model": "iris", "Version": "2", "CacheBytes": 1.0, "CacheHits": 2.0, "CacheMisses": 3.0},
		{"_aws": []any{[]any{"Function"}}, "Function": "function", "EngineRestarts": 1.0, "StartLoad": 1.0, "Start~": 1.0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Why a function cannot start reaches the Runtime API in its words, or it is
// said why not.
func TestFail(t *testing.T) {
	status := http.StatusAccepted
	var kind, body string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		kind, body = r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Lambda-Runtime-Function-Error-Type"), string(b)
		w.WriteHeader(status)
	}))
	address := strings.TrimPrefix(api.URL, "http://")
	why := fault.New(fault.BadModel, "test", "x.onnx", "want a model")
	if err := awslambda.Fail(t.Context(), address, why); err != nil {
		t.Fatal(err)
	}
	if want := "POST /2018-06-01/runtime/init/error application/json Runtime.bad_model"; kind != want {
		t.Errorf("got %s, want %s", kind, want)
	}
	if want := `{"errorMessage":` + strconv.Quote(why.Error()) + `,"errorType":"Runtime.bad_model"}`; body != want {
		t.Errorf("got %s, want %s", body, want)
	}
	status = http.StatusForbidden
	if err := awslambda.Fail(t.Context(), address, why); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("status 403: %v", err)
	}
	api.Close()
	if err := awslambda.Fail(t.Context(), address, why); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
	if err := awslambda.Fail(t.Context(), "no address %", why); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("no address: %v", err)
	}
}
