package batch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

func TestJobsOfSomeRows(t *testing.T) {
	r := registry(t, true, doubles)
	tests := []struct {
		name string
		job  batch.Job
		want []int
	}{
		{"the first", batch.Job{Limit: 5}, []int{0, 1, 2, 4}}, // row 3 is bad, and one of five
		{"more than there are", batch.Job{Limit: 500}, []int{0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"some", batch.Job{Rows: []int64{2, 4, 11}}, []int{1, 10}},
		{"some parts", batch.Job{From: 1, To: 2}, []int{4, 5, 6, 7, 8}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory()
			m.set("in/a.jsonl", lines(12, 3))
			h := batch.New(ask(r), &batch.Options{Objects: objects(m, r, 80)})
			job := tt.job
			job.Input = "s3://bucket/in/a.jsonl"
			res, err := h.Score(t.Context(), &job)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for key, text := range m.all() {
				if !strings.HasPrefix(key, "out/") || !strings.HasSuffix(key, ".jsonl") || strings.HasSuffix(key, ".bad.jsonl") {
					continue
				}
				for line := range strings.Lines(text) {
					var row struct{ ID int }
					if err := json.Unmarshal([]byte(line), &row); err != nil {
						t.Fatal(err)
					}
					got = append(got, row.ID)
				}
			}
			slices.Sort(got)
			if tt.name == "some parts" { // which rows those are, the file's bytes say
				if res.Manifest != nil || res.Missing == 0 || len(got) == 0 || len(got) > 8 {
					t.Errorf("%+v: %v", res, got)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What a fresh job forgets is scored again; what is complete stays.
func TestFresh(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(30))
	r := registry(t, true, doubles)
	o := objects(m, r, 100)
	h := batch.New(ask(r), &batch.Options{Objects: o})
	job := batch.Job{Input: "s3://bucket/in/a.jsonl", To: 2}
	for _, tt := range []struct {
		fresh  bool
		to     int
		scored int
	}{{false, 2, 2}, {false, 3, 1}, {true, 2, 2}, {false, 0, 3}, {true, 0, 0}} {
		job.Fresh, job.To = tt.fresh, tt.to
		res, err := h.Score(t.Context(), &job)
		if err != nil {
			t.Fatal(err)
		}
		if tt.to == 0 && tt.scored > 0 {
			tt.scored = len(res.Manifest.Parts) - 2
		}
		if res.Scored != tt.scored {
			t.Errorf("%+v: %+v", tt, res)
		}
	}
}

// A model that is replaced while it scores ends the job; the next one is the new model's.
func TestAModelThatIsReplaced(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(30))
	r := registry(t, true, doubles)
	var asks atomic.Int64
	h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		resp, err := ask(r).Infer(ctx, req)
		if n := asks.Add(1); err == nil && n > 3 {
			resp.Digest = "sha256:bb"
		}
		return resp, err
	}), &batch.Options{Objects: objects(m, r, 100)})
	if _, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	if n := asks.Load(); n > 8 {
		t.Errorf("it was asked %d times", n)
	}
}

// The requests of a job are batch work of one version, alone in their runs, and
// want what has a value for each row.
func TestRequestsOfAJob(t *testing.T) {
	m := newMemory()
	m.set("in/a.jsonl", lines(3))
	r := registry(t, true, doubles)
	h := batch.New(infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		want := infer.Request{Model: "doubles", Version: "1", Priority: infer.Batch, Alone: true, Outputs: []infer.OutputRequest{{Name: "y"}}}
		got := *req
		got.Inputs = nil
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(infer.Request{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return ask(r).Infer(ctx, req)
	}), &batch.Options{Objects: objects(m, r, 100)})
	if _, err := h.Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"}); err != nil {
		t.Fatal(err)
	}
}

// A model whose shapes have no dimension for rows is asked about one at a time,
// several at once, and the rows keep their order.
func TestModelsOfOneRow(t *testing.T) {
	info := func(name string, shape ...int64) []driver.TensorInfo {
		return []driver.TensorInfo{{Name: name, Type: tensor.FP32, Shape: shape}}
	}
	var mu sync.Mutex
	together, most := 0, 0
	both := make(chan struct{})
	sum := memengine.Model{Signature: driver.Signature{Inputs: info("x", 2), Outputs: info("y")}, Run: func(_ context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
		mu.Lock()
		if together++; together == 2 && most < 2 {
			close(both)
		}
		most = max(most, together)
		mu.Unlock()
		<-both
		defer func() { mu.Lock(); together--; mu.Unlock() }()
		x, _ := tensor.View[float32](&in[0])
		return []tensor.Tensor{tensor.Of("y", nil, []float32{x[0] + x[1]})}, nil
	}}
	model, err := infer.Load(t.Context(), memengine.New(map[string]memengine.Model{"sum.onnx": sum}), "sum.onnx", &infer.Options{Digest: "sha256:cc", Runs: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close(context.Background())
	r := &infer.Registry{}
	if err := r.Add(model); err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	m.set("in/a.jsonl", lines(50))
	res, err := batch.New(ask(r), &batch.Options{Objects: objects(m, r, 200)}).Score(t.Context(), &batch.Job{Input: "s3://bucket/in/a.jsonl"})
	if err != nil {
		t.Fatal(err)
	}
	scores, _ := result(t, m, res)
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf(`{"id":%d,"y":%d}`, i, i+1))
	}
	if diff := cmp.Diff(want, scores); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The rows of all formats get the answers that they get one by one, and those
// that are no rows are told of, line by line; a file that is cut off is none.
func TestFilesOfTenThousandRows(t *testing.T) {
	const n, columns = 10_000, 64
	ctx := t.Context()
	path := testmodels.Small().File(t, "m")
	model, err := infer.Load(ctx, drivertest.ONNXRuntime(t), path, &infer.Options{Deterministic: true})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close(context.Background())
	sample := &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, columns}, ascending(columns))}}
	if err := model.ProbeBatching(ctx, []*infer.Request{sample}); err != nil {
		t.Fatal(err)
	}
	r := &infer.Registry{}
	if err := r.Add(model); err != nil {
		t.Fatal(err)
	}
	var wants []string
	for _, format := range []rows.Format{rows.CSV, rows.JSONL, rows.Parquet} {
		t.Run(string(format), func(t *testing.T) {
			text := table(t, format, n, columns)
			var bad []int64
			if format != rows.Parquet {
				lines := strings.SplitAfter(text, "\n")
				for i := 7; i < n; i += 333 {
					bad = append(bad, int64(i)+1)
					lines[i] = "this is {no row\n"
				}
				text = strings.Join(lines, "")
			}
			m := newMemory()
			key := "in/a." + string(format)
			m.set(key, text)
			o := &batch.Objects{Models: r, Stores: inMemory{m}, PartBytes: 1 << 20, Format: rows.JSONL}
			h := batch.New(ask(r), &batch.Options{Objects: o})
			job := &batch.Job{Input: "s3://bucket/" + key, Output: "s3://bucket/out/", To: 1}
			if _, err := h.Score(ctx, job); err != nil { // a run that ends early
				t.Fatal(err)
			}
			job.To = 0
			res, err := h.Score(ctx, job)
			if err != nil {
				t.Fatal(err)
			}
			scores, badRows := result(t, m, res)
			var got []int64
			for i := range badRows {
				got = append(got, badRows[i].Row)
			}
			if diff := cmp.Diff(bad, got); diff != "" {
				t.Errorf("bad rows (-want +got):\n%s", diff)
			}
			if len(scores)+len(bad) != n || res.Manifest.Rows+res.Manifest.Bad != n {
				t.Errorf("%d scores and %d bad rows of %d: %+v", len(scores), len(bad), n, res.Manifest)
			}
			if format == rows.Parquet {
				wants = scores
			}
			again, err := h.Score(ctx, job)
			if err != nil || !again.Already {
				t.Errorf("again: %+v, %v", again, err)
			}
			cut := []byte(text)[:len(text)/2]
			m.set(key, string(cut))
			switch res, err := h.Score(ctx, job); {
			case format == rows.Parquet && fault.CodeOf(err) != fault.Invalid:
				t.Errorf("half of a file: %+v, %v", res, err)
			case format != rows.Parquet && (err != nil || res.Manifest.Rows+res.Manifest.Bad != int64(bytes.Count(cut, []byte("\n")))+lastHalf(format)):
				t.Errorf("half of a file: %+v, %v", res, err)
			}
		})
	}
	// A few of them against what the model answers alone.
	reader := table(t, rows.JSONL, n, columns)
	all := strings.Split(reader, "\n")
	for i := 0; i < n; i += 997 {
		values := make([]float32, columns)
		var row map[string]float32
		if err := json.Unmarshal([]byte(all[i]), &row); err != nil {
			t.Fatal(err)
		}
		for c := range values {
			values[c] = row[fmt.Sprintf("x_%d", c)]
		}
		resp, err := model.Infer(ctx, &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, columns}, values)}})
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Y []float32 }
		if err := json.Unmarshal([]byte(wants[i]), &got); err != nil {
			t.Fatal(err)
		}
		g := tensor.Of("y", []int64{1, int64(len(got.Y))}, got.Y)
		if d := tensor.Compare(&resp.Outputs[0], &g, tensor.Tolerance{Relative: 1e-4, Absolute: 1e-5}); !d.OK() {
			t.Errorf("row %d: %v", i, d)
		}
		resp.Release()
	}
}

// lastHalf is the line that a file cut in the middle ends with; of CSV the
// header is none of the rows.
func lastHalf(f rows.Format) int64 {
	if f == rows.CSV {
		return 0
	}
	return 1
}
