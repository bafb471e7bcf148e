package awslambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// FuzzInvoke invokes with whatever bytes. Nothing panics, the same event ends
// the same way, an answer is a JSON document, an error has a known code, and a
// partial answer names messages of the batch only.
func FuzzInvoke(f *testing.F) {
	for _, s := range emulate.Samples("awslambda") {
		f.Add(s.Delivery.Body)
	}
	for _, seed := range []string{
		sqs("q.fifo", "x", snsEnvelope(s3Notice), told("undecodable")), s3Notice, bridged("Object Created", `,"version-id":"v"`),
		`{"httpMethod":"GET","path":"/%zz?","multiValueHeaders":{"a":["b",null]},` + albContext + `,"body":"AA==","isBase64Encoded":true}`,
		`{"version":"2.0","rawPath":"//","cookies":[],` + v2Context("x") + `}`, `{"Records":[{"eventSource":"aws:sqs","messageId":""}]}`, `{"Records":[[]]}`,
		`{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{"NewImage":{"a":{"M":{"b":{"L":[{}]}}}}}}]}`,
		`{"eventSource":"SelfManagedKafka","records":{"a":[{"offset":1e99}],"b":null}}`, `{"Items":[null,1],"BatchInput":7}`, `{"model":"a\/","inputs":0}`,
	} {
		f.Add([]byte(seed))
	}
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(body)
	})
	events := trigger.HandlerFunc(func(_ context.Context, ev *trigger.Event) []trigger.Outcome {
		out := make([]trigger.Outcome, len(ev.Items))
		for i, item := range ev.Items {
			out[i].State = trigger.State((len(item.Data) + i) % 3)
			if out[i].State != trigger.Done {
				out[i].Err = fault.New(fault.Unavailable, "test", "", "told to")
			}
			if item.ID == "" && ev.Kind != "sqs" && ev.Kind != "kinesis" && ev.Kind != "dynamodb" && ev.Kind != "sns" && ev.Kind != "eventbridge" && ev.Kind != "s3batch" {
				panic("an item without an id")
			}
		}
		return out
	})
	h := awslambda.New(api, events, &awslambda.Options{Model: "m"})
	f.Fuzz(func(t *testing.T, event []byte) {
		kept := bytes.Clone(event)
		reply, err := h.Invoke(context.Background(), event)
		if !bytes.Equal(kept, event) {
			t.Fatal("the payload was changed")
		}
		again, errAgain := h.Invoke(context.Background(), event)
		if !bytes.Equal(reply, again) || (err == nil) != (errAgain == nil) {
			t.Fatalf("first %s, %v, then %s, %v", reply, err, again, errAgain)
		}
		var told messages.InvokeResponse_Error
		switch {
		case err == nil:
		case !errors.As(err, &told) || fault.OfHTTP(codeOf(told.Type)) == fault.OK:
			t.Fatalf("error %v", err)
		default:
			return
		}
		var answer struct {
			BatchItemFailures []struct{ ItemIdentifier string }
		}
		if bytes.HasPrefix(reply, []byte(`{"batchItemFailures":`)) {
			if err := json.Unmarshal(reply, &answer); err != nil {
				t.Fatalf("%s: %v", reply, err)
			}
			for _, f := range answer.BatchItemFailures {
				if f.ItemIdentifier == "" {
					t.Fatalf("an empty id in %s", reply)
				}
			}
		}
	})
}

func codeOf(name string) int {
	for _, c := range fault.Codes() {
		if c.String() == name {
			return c.HTTP()
		}
	}
	return http.StatusOK
}
