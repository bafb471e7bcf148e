package ort_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/ort/cloop"
	"godwit.dev/runtime/ort/mallocs"
	"godwit.dev/runtime/tensor"
)

// A run whose caller keeps the outputs' memory makes no garbage, and asks for
// native memory exactly as often as a C loop with values of its own.
func TestRunAllocatesNothing(t *testing.T) {
	tests := []struct {
		name  string
		model testmodels.Model
		rows  int64
		width int64
		outs  int64
	}{
		{"tiny", testmodels.Tiny(), 1, 4, 3},
		{"small", testmodels.Small(), 8, 64, 16},
		{"an input that is pinned", testmodels.Small(), 100, 64, 16},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := tt.model.File(t, "m")
			s := open(t, file)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			x := make([]float32, tt.rows*tt.width)
			in, out := []tensor.Tensor{tensor.Of("x", []int64{tt.rows, tt.width}, x)}, []tensor.Tensor{{Name: "y"}}
			run := func() {
				x[0]++
				if err := s.Run(ctx, in, out); err != nil {
					t.Fatal(err)
				}
			}
			if n := testing.AllocsPerRun(200, run); n != 0 {
				t.Errorf("%v Go allocations a run, want none", n)
			}
			loop, err := cloop.Open(ort.Library(), file, "x", []int64{tt.rows, tt.width}, x, "y", []int64{tt.rows, tt.outs}, true)
			if err != nil {
				t.Fatal(err)
			}
			defer loop.Close()
			floor := perRun(t, func(n int) {
				if err := loop.Run(n); err != nil {
					t.Fatal(err)
				}
			})
			got := perRun(t, func(n int) {
				for range n {
					run()
				}
			})
			t.Logf("native allocations a run: %.2f, C %.2f", got, floor)
			if got > floor+0.1 {
				t.Errorf("%.2f native allocations a run, want the C loop's %.2f", got, floor)
			}
		})
	}
}

// perRun counts the native allocations of 500 runs after some to warm up.
func perRun(t testing.TB, run func(n int)) float64 {
	t.Helper()
	run(20)
	before, ok := mallocs.Count()
	if !ok {
		t.Log("native allocations are not counted here")
		return 0
	}
	run(500)
	after, _ := mallocs.Count()
	return float64(after-before) / 500
}

// Of every kind of model: the native allocations of one run do not grow with
// the runs before it.
func TestNativeAllocationsAreFlat(t *testing.T) {
	for _, name := range []string{"addsub", "noinputs", "multiio", "maps-BYTES", "nonzero", "passed", "identity-BYTES-2"} {
		t.Run(name, func(t *testing.T) {
			s := open(t, drivertest.ONNX(t, name))
			var in, out []tensor.Tensor
			for _, o := range s.Signature().Outputs {
				out = append(out, tensor.Tensor{Name: o.Name})
			}
			for _, i := range s.Signature().Inputs {
				shape := append([]int64{}, i.Shape...)
				for j, d := range shape {
					if d < 0 {
						shape[j] = 3
					}
				}
				n, _ := tensor.Elements(shape)
				x := tensor.Tensor{Name: i.Name, Type: i.Type, Shape: shape, Data: make([]byte, n*max(i.Type.Size(), 1))}
				if i.Type == tensor.Bytes {
					x.Data, x.Strings = nil, make([][]byte, n)
				}
				in = append(in, x)
			}
			run := func(n int) {
				for range n {
					if err := s.Run(t.Context(), in, out); err != nil {
						t.Fatal(err)
					}
				}
			}
			first := perRun(t, run)
			run(2000)
			if later := perRun(t, run); later > first+0.5 {
				t.Errorf("%.2f native allocations a run at first, %.2f later", first, later)
			}
		})
	}
}

// Runs that are stopped at any moment, their end included, never stop the run
// that gets their memory next.
func TestStopReachesNoOtherRun(t *testing.T) {
	s := open(t, testmodels.Slow(3).File(t, "slow"))
	var all sync.WaitGroup
	for g := range 3 {
		all.Go(func() {
			in, out := []tensor.Tensor{tensor.Of("x", []int64{1}, []float32{1})}, []tensor.Tensor{{Name: "y"}}
			stopped := 0
			for i := range 20 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(g+3*i)*time.Millisecond)
				if err := s.Run(ctx, in, out); err != nil {
					stopped++
				}
				cancel()
				// One that can be stopped, and is not.
				ctx, cancel = context.WithCancel(context.Background())
				if err := s.Run(ctx, in, out); err != nil {
					t.Errorf("caller %d, round %d: %v", g, i, err)
				} else if y, _ := tensor.View[float32](&out[0]); len(y) != 1 || y[0] < 0.99 || y[0] > 1.01 {
					t.Errorf("caller %d, round %d: %v, want 1", g, i, y)
				}
				cancel()
			}
			t.Logf("caller %d: %d of 20 were stopped", g, stopped)
		})
	}
	all.Wait()
}

// A model that is passed through random graphs of shapes answers each run as
// a session does that has run nothing before.
func TestRunsDoNotDependOnTheRunsBefore(t *testing.T) {
	for seed := range uint64(60) {
		model, in := testmodels.RandomGraph(seed)
		file := model.File(t, "m")
		s, err := drivertest.ONNXRuntime(t).Open(t.Context(), file, &driver.Options{IntraOp: 1, Runs: 1})
		if err != nil {
			t.Fatal(err)
		}
		outputs := func(s driver.Session, in []tensor.Tensor) []tensor.Tensor {
			out := make([]tensor.Tensor, len(s.Signature().Outputs))
			for i := range out {
				out[i].Name = s.Signature().Outputs[i].Name
			}
			if err := s.Run(t.Context(), in, out); err != nil {
				return nil
			}
			return out
		}
		other := make([]tensor.Tensor, len(in))
		for i := range in {
			other[i] = in[i].Clone()
			clear(other[i].Data)
		}
		outputs(s, in)
		outputs(s, other)
		later := outputs(s, in)
		fresh, err := drivertest.ONNXRuntime(t).Open(t.Context(), file, &driver.Options{IntraOp: 1, Runs: 1})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range outputs(fresh, in) {
			if len(later) == 0 || string(later[i].Data) != string(want.Data) {
				t.Errorf("graph %d output %q: another answer after other runs", seed, want.Name)
			}
		}
		s.Close()
		fresh.Close()
	}
}
