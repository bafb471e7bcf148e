package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/app"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

func TestDeliveriesAreScoredIntoTheOutputFolder(t *testing.T) {
	dir := function(t, "model: addsub.onnx\ntriggers: [queue]\nbatch: {input: rows/, output: scores/}\n")
	f, err := app.Open(dir, engine(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer f.Close(t.Context())
	row := `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`
	ev := &trigger.Event{Kind: "test", Items: []trigger.Item{{ID: "1", Key: "k", Data: []byte(row)}, {ID: "2", Key: "l", Data: []byte("{}")}}}
	var first os.FileInfo
	for range 2 { // the second delivery changes nothing
		out := trigger.Run(t.Context(), f.Events(), ev)
		if out[0].State != trigger.Done || out[1].State != trigger.Permanent {
			t.Fatalf("%v (%v), %v (%v); want done, permanent", out[0].State, out[0].Err, out[1].State, out[1].Err)
		}
		m, err := f.Models.Lookup("addsub", "")
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "scores", batch.Name("k", m.Digest())))
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !os.SameFile(first, info) {
			t.Error("the second delivery wrote the answer again")
		}
		first = info
	}
	if all, err := os.ReadDir(filepath.Join(dir, "scores")); err != nil || len(all) != 1 {
		t.Errorf("want one file, got %v, %v", all, err)
	}
}

func TestDeliveriesNeedAPlaceForScores(t *testing.T) {
	for _, c := range []struct{ yaml, target string }{
		{"triggers: [queue]\nbatch: {input: rows/, output: scores/}\ntargets: {cloudrun: {}}\n", "cloudrun"},
		{"triggers: [queue]\nbatch: {input: s3://bucket/rows/, output: s3://bucket/scores/}\n", ""},
	} {
		dir := function(t, "model: addsub.onnx\n"+c.yaml)
		f, err := app.Open(dir, engine(dir), &app.Options{Target: c.target})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		row := fmt.Sprintf(`{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[%[1]s]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[%[1]s]}]}`, "1,1,1,1")
		out := trigger.Run(t.Context(), f.Events(), &trigger.Event{Kind: "queue", Items: []trigger.Item{{ID: "1", Data: []byte(row)}}})
		if out[0].State != trigger.Permanent || fault.CodeOf(out[0].Err) != fault.Unsupported {
			t.Errorf("%q on %q: %v (%v), want permanent, Unsupported", c.yaml, c.target, out[0].State, out[0].Err)
		}
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	dir := function(t, "model: addsub.onnx\n")
	if f, err := app.Open(dir, engine(dir), nil); err != nil || f.Events() != nil {
		t.Errorf("without triggers: %v, want no handler", err)
	}
}

// shelf is another place for answers, which may be full.
type shelf struct {
	names []string
	full  error
}

func (s *shelf) Put(_ context.Context, name string, _ []byte) error {
	s.names = append(s.names, name)
	return s.full
}

// Answers are where the spec wants them and with whoever else gets them; what
// one of the two cannot take is delivered again.
func TestAnswersGoToWhoeverGetsThem(t *testing.T) {
	row := `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`
	ev := &trigger.Event{Kind: "test", Items: []trigger.Item{{ID: "1", Key: "k", Data: []byte(row)}}}
	for _, c := range []struct {
		output string
		full   error
		want   trigger.State
		asked  int
	}{
		{"scores/", nil, trigger.Done, 1},
		{"scores/", fault.New(fault.Unavailable, "test", "", "full"), trigger.Retry, 1},
		{"s3://bucket/scores/", nil, trigger.Permanent, 0},
	} {
		dir := function(t, "model: addsub.onnx\ntriggers: [queue]\nbatch: {input: rows/, output: "+c.output+"}\n")
		s := &shelf{full: c.full}
		f, err := app.Open(dir, engine(dir), &app.Options{Target: "edge", Answers: s})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if out := trigger.Run(t.Context(), f.Events(), ev); out[0].State != c.want || len(s.names) != c.asked {
			t.Errorf("%s: %v (%v), and %d were handed on; want %v and %d", c.output, out[0].State, out[0].Err, len(s.names), c.want, c.asked)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "scores", "*.json")); len(files) != c.asked {
			t.Errorf("%s: %v in the output", c.output, files)
		}
		f.Close(t.Context())
	}
}
