package fnlambda

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/awslambda"
	"godwit.dev/infra/spec"
)

// What the spec says of the wire reaches the adapter.
func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name, yaml, stream string
		want               awslambda.Options
	}{
		{"nothing said", "", "", awslambda.Options{}},
		{"a REST API that streams, below a path", "targets: {awslambda: {api: rest, responseStreaming: true, basePath: /models}}", "", awslambda.Options{Stream: true, BasePath: "/models"}},
		{"played without streams", "targets: {awslambda: {api: url, responseStreaming: true}}", "false", awslambda.Options{}},
		{"played with streams", "", "true", awslambda.Options{Stream: true}},
		{"queues without order", "batch: {input: rows/, output: scores/}", "", awslambda.Options{}},
		{"queues that stop", "batch: {input: rows/, output: scores/, order: stop}", "", awslambda.Options{}},
		{"queues that skip", "batch: {input: rows/, output: scores/, order: skip-group}", "", awslambda.Options{SkipGroup: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\n"+c.yaml+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			got := options(func(string) string { return c.stream }, s)
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
