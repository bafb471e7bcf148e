package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
	"godwit.dev/runtime/trigger"
)

// doubles is a model of one input "x" of two numbers and one output "y" = 2x.
// It refuses rows whose first number is negative, one bad row all of a run.
func doubles(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	x, _ := tensor.View[float32](&in[0])
	y := make([]float32, len(x))
	for i := range x {
		if i%2 == 0 && x[i] < 0 {
			return nil, fault.New(fault.Invalid, "doubles", "", "want a number of 0 and more, got %v", x[i])
		}
		y[i] = 2 * x[i]
	}
	return []tensor.Tensor{tensor.Of("y", in[0].Shape, y)}, nil
}

// registry has the model doubles, which takes several rows at a time if many.
func registry(t testing.TB, many bool, run func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error)) *infer.Registry {
	t.Helper()
	r, err := register(t.Context(), many, run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func register(ctx context.Context, many bool, run func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error)) (*infer.Registry, error) {
	shape := []int64{-1, 2}
	if !many {
		shape = []int64{1, 2}
	}
	m := memengine.Model{Run: run, Signature: driver.Signature{
		Inputs:  []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: shape}},
		Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Shape: shape}},
	}}
	model, err := infer.Load(ctx, memengine.New(map[string]memengine.Model{"doubles.onnx": m}), "doubles.onnx", &infer.Options{Digest: "sha256:aa", Deterministic: true})
	if err != nil {
		return nil, err
	}
	if many {
		sample := &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, 2}, []float32{1, 2})}}
		if err := model.ProbeBatching(ctx, []*infer.Request{sample}); err != nil {
			return nil, err
		}
	}
	r := &infer.Registry{}
	return r, r.Add(model)
}

// ask is a handler over a registry, as predict is.
func ask(r *infer.Registry) infer.Handler {
	return infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		m, lease, err := r.Acquire(req.Model, req.Version)
		if err != nil {
			return nil, err
		}
		defer lease.Release()
		return m.Infer(ctx, req)
	})
}

// lines are n rows of JSON Lines; those in bad are so.
func lines(n int, bad ...int) string {
	var b strings.Builder
	for i := range n {
		if slices.Contains(bad, i) {
			fmt.Fprintf(&b, "{\"id\":%d,\"x\":[1,\"no number\"]}\n", i)
		} else {
			fmt.Fprintf(&b, "{\"id\":%d,\"x\":[%d,1]}\n", i, i)
		}
	}
	return b.String()
}

func objects(m *memory, r *infer.Registry, partBytes int64) *batch.Objects {
	return &batch.Objects{Models: r, Stores: inMemory{m}, Input: "in/", Output: "out/", Pass: []string{"id"}, PartBytes: partBytes, Rows: 4}
}

func TestObjectBecomesScores(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(10, 3)+"{\"id\":10,\"x\":[-1,0]}\n")
	r := registry(t, true, doubles)
	h := batch.New(ask(r), &batch.Options{Objects: objects(m, r, 100)})
	for delivery := range 3 {
		item := trigger.Item{ID: "1", Key: "k", Object: &trigger.Object{Store: "s3", Bucket: "bucket", Key: "in/a.jsonl", Size: -1}}
		out := trigger.Run(t.Context(), h, &trigger.Event{Kind: "s3", Items: []trigger.Item{item}})
		if out[0].State != trigger.Done {
			t.Fatalf("delivery %d: %v", delivery, out[0].Err)
		}
	}
	var manifest batch.Manifest
	var scored, bad []string
	var dir string
	all := m.all()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		switch {
		case strings.HasSuffix(key, "/manifest.json"):
			dir = strings.TrimSuffix(key, "manifest.json")
			if err := json.Unmarshal([]byte(all[key]), &manifest); err != nil {
				t.Fatal(err)
			}
		case strings.HasSuffix(key, ".bad.jsonl"):
			bad = append(bad, strings.Split(strings.TrimSpace(all[key]), "\n")...)
		case strings.HasSuffix(key, ".jsonl") && key != "in/a.jsonl":
			scored = append(scored, strings.Split(strings.TrimSpace(all[key]), "\n")...)
		}
	}
	if !strings.HasPrefix(dir, "out/a.jsonl.") || len(dir) != len("out/a.jsonl.")+17 {
		t.Errorf("scores lie below %q", dir)
	}
	want := []string{}
	for i := range 10 {
		if i != 3 {
			want = append(want, fmt.Sprintf(`{"id":%d,"y":[%d,2]}`, i, 2*i))
		}
	}
	if diff := cmp.Diff(want, scored); diff != "" {
		t.Errorf("scores (-want +got):\n%s", diff)
	}
	var rows []int64
	for _, line := range bad {
		var b batch.BadRow
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, b.Row)
	}
	if !slices.Equal(rows, []int64{4, 11}) {
		t.Errorf("want rows 4 and 11 bad, got %s", bad)
	}
	if manifest.Rows != 9 || manifest.Bad != 2 || manifest.Lines != 11 || len(manifest.Parts) < 2 {
		t.Errorf("the manifest says %+v", manifest)
	}
	for key, n := range m.changed {
		if n != 1 {
			t.Errorf("%s changed %d times", key, n)
		}
	}
}

// Whoever scores an object at the same time as others finds what they have done.
func TestManyAtOnceAreOne(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(100, 5, 50))
	r := registry(t, true, doubles)
	var all sync.WaitGroup
	for range 6 {
		h := batch.New(ask(r), &batch.Options{Objects: objects(m, r, 100)}) // a process of its own
		for range 2 {
			all.Go(func() {
				res, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"})
				if err != nil || res.Manifest == nil || res.Manifest.Rows != 98 || res.Manifest.Bad != 2 {
					t.Errorf("%+v, %v", res, err)
				}
			})
		}
	}
	all.Wait()
	for key, n := range m.changed {
		if n != 1 {
			t.Errorf("%s changed %d times", key, n)
		}
	}
}
