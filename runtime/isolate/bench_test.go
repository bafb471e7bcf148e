package isolate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/isolate"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// BenchmarkIsolated runs a model in this process and in a worker, taking turns,
// and reports the medians of both, what isolation adds, and the CPU time of
// both processes for each run. ns/op is of a pair.
func BenchmarkIsolated(b *testing.B) {
	direct := drivertest.ONNXRuntime(b)
	for _, c := range []struct {
		name  string
		model testmodels.Model
		in    []tensor.Tensor
	}{
		{"tiny", testmodels.Tiny(), []tensor.Tensor{tensor.Of("x", []int64{1, 4}, make([]float32, 4))}},
		{"small", testmodels.Small(), []tensor.Tensor{tensor.Of("x", []int64{1, 64}, make([]float32, 64))}},
		{"medium", testmodels.Medium(), []tensor.Tensor{tensor.Of("x", []int64{1, 512}, make([]float32, 512))}},
		{"identity-600KB", testmodels.Identity(onnx.Float, "N", 3), []tensor.Tensor{tensor.Of("x", []int64{50000, 3}, make([]float32, 150000))}},
	} {
		b.Run(c.name, func(b *testing.B) {
			file := c.model.File(b, c.name)
			e := newEngine(b, "ort", isolate.Options{})
			worker := open(b, e, file)
			here, err := direct.Open(b.Context(), file, &driver.Options{IntraOp: 1, Runs: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer here.Close()
			side := func(s driver.Session) func() time.Duration {
				out := make([]tensor.Tensor, 1)
				out[0].Name = s.Signature().Outputs[0].Name
				return func() time.Duration {
					start := time.Now()
					if err := s.Run(b.Context(), c.in, out); err != nil {
						b.Fatal(err)
					}
					took := time.Since(start)
					out[0].Release()
					return took
				}
			}
			sides := []struct {
				name string
				run  func() time.Duration
				took []time.Duration
				cpu  time.Duration
			}{{name: "direct", run: side(here)}, {name: "isolated", run: side(worker)}}
			for range 200 {
				for i := range sides {
					sides[i].run()
				}
			}
			b.ResetTimer()
			const turn = 100 // runs, so that reading the clocks costs nothing
			for n := 0; n < b.N; n += turn {
				for k := range sides {
					s := &sides[(k+n/turn)%2] // A B B A
					before := cpu(b, e.Worker())
					for range turn {
						s.took = append(s.took, s.run())
					}
					s.cpu += cpu(b, e.Worker()) - before
				}
			}
			b.StopTimer()
			median := map[string]float64{}
			for i := range sides {
				s := &sides[i]
				slices.Sort(s.took)
				median[s.name] = float64(s.took[len(s.took)/2].Nanoseconds()) / 1000
				b.ReportMetric(median[s.name], s.name+"-p50-µs")
				b.ReportMetric(float64(s.took[len(s.took)*99/100].Nanoseconds())/1000, s.name+"-p99-µs")
				b.ReportMetric(float64(s.cpu.Nanoseconds())/1000/float64(len(s.took)), s.name+"-cpu-µs")
			}
			b.ReportMetric(median["isolated"]-median["direct"], "added-µs")
		})
	}
}

// cpu is the time that this process and the worker have spent.
func cpu(b *testing.B, worker int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	total := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", worker))
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		spent, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(spent, 10, 64)
		total += time.Duration(n)
	}
	return total
}
