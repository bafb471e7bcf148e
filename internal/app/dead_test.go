package app_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/trigger"
)

// What fails for good is kept below the output where the spec says so, unless the
// platform has a better place for it or tells somebody.
func TestDeadLetters(t *testing.T) {
	const row = `{"inputs":[]}`
	for _, c := range []struct {
		dead string
		kind string
		want []string // of a message and an object
	}{
		{"true", "kinesis", []string{"done", "done"}},
		{"true", "kafka", []string{"done", "done"}},
		{"true", "cloudevents", []string{"done", "done"}},
		{"true", "eventgrid", []string{"done", "done"}},
		{"true", "s3", []string{"done", "done"}},
		{"true", "sqs", []string{"permanent", "done"}},
		{"true", "pubsub", []string{"permanent", "done"}},
		{"true", "azurequeue", []string{"permanent", "done"}},
		{"true", "servicebus", []string{"permanent", "done"}},
		{"true", "s3batch", []string{"permanent", "permanent"}},
		{"true", "stepfunctions", []string{"permanent", "permanent"}},
		{"true", "sagemaker", []string{"permanent", "permanent"}},
		{"false", "kinesis", []string{"permanent", "permanent"}},
	} {
		dir := function(t, "model: addsub.onnx\ntriggers: [queue]\nbatch: {input: rows/, output: scores/, deadLetter: "+c.dead+"}\n")
		f, err := app.Open(dir, engine(dir), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		kept := 0
		for _, o := range trigger.Run(t.Context(), f.Events(), &trigger.Event{Kind: c.kind, Items: []trigger.Item{
			{ID: "1", Key: "k", Data: []byte(row)},
			{ID: "2", Key: "l", Object: &trigger.Object{Store: "file", Bucket: "/", Key: filepath.ToSlash(dir)[1:] + "/rows/a.csv", Version: "1", Size: -1}},
		}}) {
			got = append(got, o.State.String())
			if o.State == trigger.Done {
				kept++
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", c.kind, c.dead, diff)
		}
		files, err := filepath.Glob(filepath.Join(dir, "scores", app.Dead, "*.json"))
		if err != nil || len(files) != kept {
			t.Errorf("%s, %s: want %d records, got %v, %v", c.kind, c.dead, kept, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d, err := batch.ParseDead(text); err != nil || d.Kind != c.kind {
				t.Errorf("%s, %v", text, err)
			}
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
