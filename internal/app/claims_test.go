package app_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// What the spec says of claims holds: a second function that is opened over the
// same place, as a second process has it, answers what the first has scored, and
// refuses another payload under the same key.
func TestClaims(t *testing.T) {
	table := &store.MemoryTable{}
	var opened []string
	tables := map[string]func(string) (store.Table, error){"dynamodb": func(name string) (store.Table, error) {
		opened = append(opened, name)
		return table, nil
	}}
	row := func(x string) string {
		return `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,` + x + `]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`
	}
	for _, claims := range []string{"file:claims/here", "file://" + filepath.ToSlash(t.TempDir()) + "/claims", "dynamodb://acme.claims"} {
		dir := function(t, "model: addsub.onnx\ntriggers: [queue]\nbatch: {input: rows/, output: scores/, claims: '"+claims+"'}\n")
		var first []trigger.Outcome
		for i := range 3 {
			func() {
				f, err := app.Open(dir, engine(dir), &app.Options{Tables: tables})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close(t.Context())
				if err := f.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
				ev := &trigger.Event{Kind: "test", Replies: true, Items: []trigger.Item{{ID: "1", Key: "k", Data: []byte(row("4"))}}}
				if i == 2 {
					ev.Items[0].Data = []byte(row("5"))
				}
				out := trigger.Run(t.Context(), f.Events(), ev)
				switch {
				case i == 2:
					if out[0].State != trigger.Permanent || fault.CodeOf(out[0].Err) != fault.Mismatch {
						t.Errorf("%s: another payload under the key: %v, %v", claims, out[0].State, out[0].Err)
					}
				case out[0].State != trigger.Done:
					t.Fatalf("%s: %v, %v", claims, out[0].State, out[0].Err)
				case i == 1 && string(out[0].Result) != string(first[0].Result):
					t.Errorf("%s: answered %s, and then %s", claims, first[0].Result, out[0].Result)
				}
				first = out
			}()
		}
	}
	if got := strings.Join(opened, " "); got != "acme.claims acme.claims acme.claims" {
		t.Errorf("opened %s, want the table once for each function", got)
	}
}

// Nothing is there before it is needed, and what cannot be there is said at once.
func TestClaimsAreOpenedLate(t *testing.T) {
	spec := func(claims string) string {
		return "model: addsub.onnx\ntriggers: [queue]\nbatch: {input: rows/, output: s3://bucket/scores/, claims: '" + claims + "'}\ntargets: {cloudrun: {}}\n"
	}
	dir := function(t, spec("file:claims"))
	if _, err := app.Open(dir, engine(dir), &app.Options{Target: "cloudrun"}); fault.CodeOf(err) != fault.BadConfig || fault.HintOf(err) == "" {
		t.Errorf("a folder that does not last: want BadConfig and a hint, got %v", err)
	}
	f, err := app.Open(dir, engine(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Events()
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "claims")); !os.IsNotExist(err) {
		t.Errorf("a folder for claims is there before one is made: %v", err)
	}

	dir = function(t, spec("dynamodb://claims"))
	if f, err = app.Open(dir, engine(dir), nil); err != nil {
		t.Fatal(err) // as predict and package do
	}
	defer f.Close(t.Context())
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ev := &trigger.Event{Kind: "test", Replies: true, Items: []trigger.Item{{ID: "1", Key: "k", Data: []byte(`{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`)}}}
	if out := trigger.Run(t.Context(), f.Events(), ev); out[0].State != trigger.Retry || fault.CodeOf(out[0].Err) != fault.Unavailable {
		t.Errorf("a table that this program cannot open: %v, %v; want it delivered again", out[0].State, out[0].Err)
	}
}

// messages is a queue that keeps what it gets.
type messages [][]byte

func (m *messages) Send(_ context.Context, all [][]byte) error {
	*m = append(*m, all...)
	return nil
}

// What the spec says of splitting holds: a file of many parts is handed out, and
// scored by whoever gets its messages.
func TestSplit(t *testing.T) {
	dir := function(t, "model: addsub.onnx\ntriggers: [objects, queue]\nbatch: {input: rows/, output: scores/, split: {queue: 'https://sqs.eu-west-1.amazonaws.com/123456789012/rows'}}\n")
	if err := os.Mkdir(filepath.Join(dir, "rows"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "rows", "a.jsonl")
	// Parts are of 64 MiB, so a row of it is mostly what nobody reads.
	row := `{"a": [1, 2, 3, 4], "b": [1, 1, 1, 1], "rest": "` + strings.Repeat("x", 1<<20) + "\"}\n"
	if err := os.WriteFile(file, []byte(strings.Repeat(row, 66)), 0o644); err != nil {
		t.Fatal(err)
	}
	var sent messages
	var opened string
	f, err := app.Open(dir, engine(dir), &app.Options{Queue: func(url string) (batch.Queue, error) {
		opened = url
		return &sent, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(t.Context())
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ev := &trigger.Event{Kind: "file", Items: []trigger.Item{{ID: "1", Key: "k", Object: &trigger.Object{Store: "file", Key: filepath.ToSlash(file), Size: -1}}}}
	if out := trigger.Run(t.Context(), f.Events(), ev); out[0].State != trigger.Done {
		t.Fatal(out[0].Err)
	}
	if opened != "https://sqs.eu-west-1.amazonaws.com/123456789012/rows" || len(sent) != 2 {
		t.Fatalf("%d messages to %s, want 2", len(sent), opened)
	}
	for i, m := range sent {
		out := trigger.Run(t.Context(), f.Events(), &trigger.Event{Kind: "queue", Items: []trigger.Item{{ID: "1", Key: string(rune('a' + i)), Data: m}}})
		if out[0].State != trigger.Done {
			t.Fatal(out[0].Err)
		}
	}
	if all, err := filepath.Glob(filepath.Join(dir, "scores", "a.jsonl.*", "manifest.json")); err != nil || len(all) != 1 {
		t.Errorf("want a manifest, got %v, %v", all, err)
	}
}
