package awslambda_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/runtime/trigger"
)

// Both sides agree: a queue whose event source mapping, in the templates of
// cdk, asks for failures by name is answered by name, with those that came to
// nothing and no others. cdk's rules hold every mapping to ReportBatchItemFailures.
func TestMappingsOfTemplatesAreAnsweredByName(t *testing.T) {
	paths, err := filepath.Glob("../../cdk/testdata/golden/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("want golden templates in cdk, got none: %v", err)
	}
	half := trigger.HandlerFunc(func(_ context.Context, e *trigger.Event) []trigger.Outcome {
		out := make([]trigger.Outcome, len(e.Items))
		for i := range out {
			out[i].State = []trigger.State{trigger.Done, trigger.Retry, trigger.Permanent}[i%3]
		}
		return out
	})
	mappings := 0
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var template struct {
			Resources map[string]struct {
				Type       string
				Properties struct {
					FifoQueue             bool
					FunctionResponseTypes []string
					EventSourceArn        struct {
						Attribute []string `json:"Fn::GetAtt"`
					}
				}
			}
		}
		if err := json.Unmarshal(raw, &template); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for id, r := range template.Resources {
			if r.Type != "AWS::Lambda::EventSourceMapping" {
				continue
			}
			mappings++
			if len(r.Properties.EventSourceArn.Attribute) != 2 {
				t.Errorf("%s: %s: want a source of this template, got none", path, id)
				continue
			}
			source := template.Resources[r.Properties.EventSourceArn.Attribute[0]]
			if source.Type != "AWS::SQS::Queue" || len(r.Properties.FunctionResponseTypes) != 1 || r.Properties.FunctionResponseTypes[0] != "ReportBatchItemFailures" {
				t.Errorf("%s: %s: want a queue whose failures are named, got a %s with %v", path, id, source.Type, r.Properties.FunctionResponseTypes)
			}
			// A queue with order delivers again from the first failure on.
			name, want := "q", `{"batchItemFailures":[{"itemIdentifier":"m-1"},{"itemIdentifier":"m-2"}]}`
			if source.Properties.FifoQueue {
				name = "q.fifo"
			}
			reply, err := awslambda.New(nil, half, nil).Invoke(t.Context(), []byte(sqs(name, "{}", "{}", "{}")))
			if err != nil || string(reply) != want {
				t.Errorf("%s: %s: want the two that failed, got %s, %v", path, id, reply, err)
			}
		}
	}
	if mappings == 0 {
		t.Error("want event source mappings in the templates, got none")
	}
}
