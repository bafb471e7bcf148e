package infer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// free is a model x → y of FP32 [-1 4] that costs nothing, for what the rest costs.
func free() memengine.Model {
	shape := []int64{-1, 4}
	y := []tensor.Tensor{tensor.Of("y", []int64{1, 4}, make([]float32, 4))}
	return memengine.Model{
		Signature: driver.Signature{
			Inputs:  []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: shape}},
			Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Shape: shape}},
		},
		Run: func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error) { return y, nil },
	}
}

// BenchmarkIdle is one caller at a time: checks, admission and statistics,
// with an engine that costs nothing.
func BenchmarkIdle(b *testing.B) {
	m := load(b, free(), &infer.Options{Name: "m", Runs: 2})
	req := &infer.Request{Inputs: []tensor.Tensor{floats("x", 1, 4)}}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := m.Infer(ctx, req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Release()
	}
}

// BenchmarkBusy is callers of one row each, with shared runs, against the
// best of runs whose rows are given: batched/best is goal 7 of the performance
// notes. Both take turns in one process; engines in C count in both.
func BenchmarkBusy(b *testing.B) {
	for _, bench := range []struct {
		name    string
		model   func() testmodels.Model
		width   int64
		callers int // enough for two runs to be filled while two go on
		rows    []int
	}{
		{"small", testmodels.Small, 64, 256, []int{32, 64, 128}},
		{"medium", testmodels.Medium, 512, 128, []int{8, 16, 32, 128}},
		{"wide", testmodels.Wide, 1024, 320, []int{32, 64, 128}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			m := onnx(b, bench.model(), infer.Options{Name: "m", Runs: 2, Queue: 1 << 12})
			one := random(1, bench.width)
			if err := m.ProbeBatching(b.Context(), []*infer.Request{one, random(2, bench.width)}); err != nil {
				b.Fatal(err)
			}
			const block = 500 * time.Millisecond
			rate(b, m, one, bench.callers, 4*block) // learns
			var wall, cpu []float64
			refused := int64(0)
			for b.Loop() {
				shared := rate(b, m, one, bench.callers, block)
				var best speed
				for _, rows := range bench.rows {
					fixed := rate(b, m, random(rows, bench.width), 2, block/2)
					best = speed{max(best.wall, fixed.wall), max(best.cpu, fixed.cpu), 0}
				}
				again := rate(b, m, one, bench.callers, block)
				refused += shared.refused + again.refused
				wall = append(wall, max(shared.wall, again.wall)/best.wall)
				cpu = append(cpu, max(shared.cpu, again.cpu)/best.cpu)
			}
			b.ReportMetric(float64(refused), "refused")
			slices.Sort(wall)
			slices.Sort(cpu)
			b.ReportMetric(wall[len(wall)/2], "batched/best")
			b.ReportMetric(cpu[len(cpu)/2], "batched/best-by-CPU")
			_, why := m.Batching()
			b.Log(why)
		})
	}
}

// BenchmarkLinear is a model that gains nothing: latencies with shared runs
// turned on, in terms of those without; goal 8.
func BenchmarkLinear(b *testing.B) {
	model := testmodels.ResNet50()
	v := make([]float32, 3*224*224)
	req := numbers([]int64{1, 3, 224, 224}, v...)
	other := numbers([]int64{1, 3, 224, 224}, slices.Clone(v)...)
	other.Inputs[0].Data[7] = 63
	off := onnx(b, model, infer.Options{Name: "m", Runs: 2, Batch: infer.Batching{Off: true}})
	on := onnx(b, model, infer.Options{Name: "m", Runs: 2})
	if err := on.ProbeBatching(b.Context(), []*infer.Request{req, other}); err != nil {
		b.Fatal(err)
	}
	var all [2][]time.Duration
	for b.Loop() {
		for i, m := range []*infer.Model{off, on} {
			all[i] = append(all[i], latencies(b, m, req, 4, 40)...)
		}
	}
	for i := range all {
		slices.Sort(all[i])
	}
	for _, q := range []int{50, 99} {
		at := len(all[0]) * q / 100
		b.ReportMetric(float64(all[1][at])/float64(all[0][at]), fmt.Sprintf("p%d-on/off", q))
	}
	_, why := on.Batching()
	b.Log(why)
}

func random(rows int, width int64) *infer.Request {
	r := rand.New(rand.NewPCG(uint64(rows), 1))
	v := make([]float32, int64(rows)*width)
	for i := range v {
		v[i] = r.Float32()*2 - 1
	}
	return numbers([]int64{int64(rows), width}, v...)
}

// speed is rows a second, of the clock and of the process's CPU time: the
// second is worth more where other processes want the same cores.
type speed struct {
	wall, cpu float64
	refused   int64
}

// rate is what callers get who ask again at once.
func rate(b *testing.B, m *infer.Model, req *infer.Request, callers int, d time.Duration) speed {
	var rows, refused atomic.Int64
	var all sync.WaitGroup
	begin, used := time.Now(), cpuTime()
	for range callers {
		all.Go(func() {
			for time.Since(begin) < d {
				resp, err := m.Infer(b.Context(), req)
				if fault.CodeOf(err) == fault.Unavailable {
					refused.Add(1)
					<-time.After(time.Millisecond)
					continue
				} else if err != nil {
					b.Error(err)
					return
				}
				rows.Add(int64(resp.Timing.Rows))
				resp.Release()
				runtime.Gosched() // as reading the next request would
			}
		})
	}
	all.Wait()
	return speed{float64(rows.Load()) / time.Since(begin).Seconds(), float64(rows.Load()) / (cpuTime() - used).Seconds(), refused.Load()}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func latencies(b *testing.B, m *infer.Model, req *infer.Request, callers, n int) []time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range n / callers {
				start := time.Now()
				resp, err := m.Infer(b.Context(), req)
				if err != nil {
					b.Error(err)
					return
				}
				resp.Release()
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return took
}
