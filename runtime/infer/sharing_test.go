package infer_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

func TestBatchable(t *testing.T) {
	info := func(shape []int64, symbols ...string) driver.TensorInfo {
		return driver.TensorInfo{Name: "t", Type: tensor.FP32, Shape: shape, Symbols: symbols}
	}
	unranked := driver.TensorInfo{Name: "t", Type: tensor.FP32, Unranked: true}
	tests := []struct {
		name    string
		in, out []driver.TensorInfo
		want    string // in the reason; "": batchable
	}{
		{"free", []driver.TensorInfo{info([]int64{-1, 4})}, []driver.TensorInfo{info([]int64{-1})}, ""},
		{"same symbol", []driver.TensorInfo{info([]int64{-1, 4}, "N", ""), info([]int64{-1}, "N")}, []driver.TensorInfo{info([]int64{-1, 2}, "N", "")}, ""},
		{"one nameless", []driver.TensorInfo{info([]int64{-1, 4}, "N", "")}, []driver.TensorInfo{info([]int64{-1, 2})}, ""},
		{"no inputs", nil, []driver.TensorInfo{info([]int64{-1})}, "no inputs"},
		{"fixed input", []driver.TensorInfo{info([]int64{1, 4})}, []driver.TensorInfo{info([]int64{-1})}, "FP32 [1 4]"},
		{"fixed output", []driver.TensorInfo{info([]int64{-1, 4})}, []driver.TensorInfo{info([]int64{3})}, "FP32 [3]"},
		{"scalar", []driver.TensorInfo{info([]int64{-1, 4}), info(nil)}, []driver.TensorInfo{info([]int64{-1})}, "not free"},
		{"unranked", []driver.TensorInfo{unranked}, []driver.TensorInfo{info([]int64{-1})}, "any shape"},
		{"two symbols", []driver.TensorInfo{info([]int64{-1}, "N"), info([]int64{-1}, "M")}, []driver.TensorInfo{info([]int64{-1}, "N")}, `"M"`},
		{"output of another", []driver.TensorInfo{info([]int64{-1}, "N")}, []driver.TensorInfo{info([]int64{-1}, "M")}, `"M"`},
		{"pairs of rows", []driver.TensorInfo{info([]int64{-1, 4}, "N", "")}, []driver.TensorInfo{info([]int64{-1, -1}, "N", "N")}, "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := load(t, memengine.Model{Signature: driver.Signature{Inputs: tt.in, Outputs: tt.out}}, nil)
			err := m.Batchable()
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if fault.CodeOf(err) != fault.Unsupported || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Batchable() = %v, want Unsupported with %q", err, tt.want)
			}
			if on, why := m.Batching(); on || !strings.Contains(why, tt.want) {
				t.Errorf("Batching() = %v, %q; want off with %q", on, why, tt.want)
			}
		})
	}
}

// onnx loads a model file with ONNX Runtime.
func onnx(t testing.TB, model testmodels.Model, o infer.Options) *infer.Model {
	t.Helper()
	eng := drivertest.ONNXRuntime(t)
	m, err := infer.Load(t.Context(), eng, model.File(t, "m"), &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func numbers(shape []int64, v ...float32) *infer.Request {
	return &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", shape, v)}}
}

// TestTheProbeFindsModelsWhoseRowsDepend is over the engine that serves.
func TestTheProbeFindsModelsWhoseRowsDepend(t *testing.T) {
	tests := []struct {
		name    string
		model   testmodels.Model
		samples []*infer.Request
		code    fault.Code
		want    string // in the reason
	}{
		{"rows alone", testmodels.DynamicBatch(), []*infer.Request{numbers([]int64{1, 3}, 1, 2, 3)}, fault.OK, "same"},
		{"two samples", testmodels.DynamicBatch(), []*infer.Request{numbers([]int64{1, 3}, 1, 1, 1), numbers([]int64{1, 3}, 4, 5, 7)}, fault.OK, "same"},
		{"equal elements", testmodels.DynamicBatch(), []*infer.Request{numbers([]int64{1, 3}, 1, 1, 1)}, fault.OK, "same"},
		{"mixes rows, one sample of one", testmodels.MixesRows(), []*infer.Request{numbers([]int64{1, 3}, 1, 2, 3)}, fault.Mismatch, "differs alone and in a batch"},
		{"mixes rows, equal elements", testmodels.MixesRows(), []*infer.Request{numbers([]int64{1, 3}, 2, 2, 2)}, fault.Mismatch, "differs alone and in a batch"},
		{"mixes rows, a sample of two", testmodels.MixesRows(), []*infer.Request{numbers([]int64{2, 3}, 1, 2, 3, 4, 5, 6)}, fault.Mismatch, "differs alone and in a batch"},
		{"mixes rows, two samples", testmodels.MixesRows(), []*infer.Request{numbers([]int64{1, 3}, 1, 2, 3), numbers([]int64{1, 3}, 1, 2, 4)}, fault.Mismatch, "differs alone and in a batch"},
		{"random", testmodels.Random(), []*infer.Request{numbers([]int64{1, 3}, 1, 2, 3)}, fault.Mismatch, "two equal requests"},
		{"no sample", testmodels.DynamicBatch(), nil, fault.Unsupported, "recorded request"},
		{"no rows", testmodels.DynamicBatch(), []*infer.Request{numbers([]int64{0, 3})}, fault.Unsupported, "recorded request"},
		{"does not fit", testmodels.DynamicBatch(), []*infer.Request{numbers([]int64{1, 4}, 1, 2, 3, 4)}, fault.Invalid, "[1 4]"},
		{"pairs of rows", testmodels.MatMul(3, 5, 1), []*infer.Request{numbers([]int64{2, 3}, 1, 2, 3, 4, 5, 6)}, fault.OK, "same"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := onnx(t, tt.model, infer.Options{Name: "m"})
			err := m.ProbeBatching(t.Context(), tt.samples)
			if fault.CodeOf(err) != tt.code {
				t.Errorf("ProbeBatching() = %v, want %v", err, tt.code)
			}
			if on, why := m.Batching(); on != (tt.code == fault.OK) || !strings.Contains(why, tt.want) {
				t.Errorf("Batching() = %v, %q; want %q", on, why, tt.want)
			}
			if s := m.Stats(); s.Executions != 0 || s.Inferences != 0 || s.Success.Count != 0 {
				t.Errorf("the probe is in the statistics: %+v", s)
			}
		})
	}
	m := onnx(t, testmodels.DynamicBatch(), infer.Options{Name: "m", Batch: infer.Batching{Off: true}})
	if err := m.ProbeBatching(t.Context(), []*infer.Request{numbers([]int64{1, 3}, 1, 2, 3)}); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("turned off: %v, want Unsupported", err)
	}
}

// TestSharedAnswersOfARealModel: within a float's rounding of those alone,
// also where the answer lives in native memory.
func TestSharedAnswersOfARealModel(t *testing.T) {
	m := onnx(t, testmodels.Medium(), infer.Options{Name: "m", QueueShare: 100})
	r := rand.New(rand.NewPCG(1, 1))
	request := func(rows int) *infer.Request {
		v := make([]float32, rows*512)
		for i := range v {
			v[i] = r.Float32()*2 - 1
		}
		return numbers([]int64{int64(rows), 512}, v...)
	}
	if err := m.ProbeBatching(t.Context(), []*infer.Request{request(2), request(1)}); err != nil {
		t.Fatal(err)
	}
	type one struct {
		req  *infer.Request
		want tensor.Tensor
	}
	all := make([]one, 400)
	for i := range all {
		all[i].req = request(1 + i%3)
		resp, err := m.Infer(t.Context(), all[i].req)
		if err != nil {
			t.Fatal(err)
		}
		all[i].want = resp.Outputs[0].Clone()
		resp.Release()
	}
	var wg sync.WaitGroup
	var together atomic.Int32
	for begin := range 16 {
		wg.Go(func() {
			for i := begin; i < len(all); i += 16 {
				resp, err := m.Infer(t.Context(), all[i].req)
				if err != nil {
					t.Error(err)
					return
				}
				if resp.Timing.BatchRows > resp.Timing.Rows {
					together.Add(1)
				}
				d := tensor.Compare(&all[i].want, &resp.Outputs[0], tensor.Tolerance{Relative: 1e-4, Absolute: 1e-5})
				if !d.OK() {
					t.Errorf("request %d: %v", i, d)
				}
				resp.Release()
			}
		})
	}
	wg.Wait()
	if together.Load() < 100 {
		t.Errorf("only %d of 400 shared a run", together.Load())
	}
}

// TestAModelThatLiesIsUnmasked: one whose outputs have other numbers of rows
// for some inputs shares no more runs, and everybody still gets an answer.
func TestAModelThatLiesIsUnmasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: flat(time.Second)}
		model := d.model(1)
		double := model.Run
		// Leaves out what is not a number.
		model.Run = func(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
			out, err := double(ctx, in)
			if err != nil {
				return nil, err
			}
			y, _ := tensor.View[float32](&out[0])
			y = slices.DeleteFunc(y, func(v float32) bool { return v != v })
			return []tensor.Tensor{tensor.Of("y", []int64{int64(len(y)), 1}, y)}, nil
		}
		m := load(t, model, &infer.Options{Name: "m", Queue: 1 << 10, QueueShare: 100})
		if err := m.ProbeBatching(t.Context(), []*infer.Request{values(1, 2), values(3)}); err != nil {
			t.Fatal(err)
		}
		learn(t, m, 4)
		holding := ask(t.Context(), m, values(0))
		synctest.Wait()
		var waiting []<-chan result
		for _, v := range []float32{1, float32(math.NaN()), 3} {
			waiting = append(waiting, ask(t.Context(), m, values(v)))
			synctest.Wait()
		}
		get(t, <-holding)
		for i, want := range [][]float32{{2}, {}, {6}} {
			if got := get(t, <-waiting[i]); !slices.Equal(got, want) {
				t.Errorf("request %d got %v, want %v", i, got, want)
			}
		}
		if on, why := m.Batching(); on || !strings.Contains(why, `"y": want 3 rows`) {
			t.Errorf("Batching() = %v, %q; want off, with the rows", on, why)
		}
	})
}

// A model with one run that is asked without a break from its first moment on
// still comes to share runs: the probe has a part of them that ends soon.
func TestProbeIsNotStarvedByTheFirstRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &timed{took: flat(3 * time.Millisecond)}
		m := load(t, d.model(1), &infer.Options{Name: "m", QueueShare: 100})
		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				for ctx.Err() == nil {
					m.Infer(ctx, values(1))
				}
			})
		}
		start := time.Now()
		err := m.ProbeBatching(t.Context(), []*infer.Request{values(1, 2), values(3)})
		took := time.Since(start)
		stop()
		callers.Wait()
		if err != nil || took > time.Second {
			t.Errorf("%v after %v, want a probe that ends within a second", err, took)
		}
	})
}
