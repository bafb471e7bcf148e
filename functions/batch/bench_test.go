package batch_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"godwit.dev/functions/batch"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// table is a file of n rows with the columns x_0 … of random numbers.
func table(tb testing.TB, format rows.Format, n, columns int) string {
	tb.Helper()
	var outputs []rows.Output
	s := &rows.Schema{}
	for i := range columns {
		outputs = append(outputs, rows.Output{Name: fmt.Sprintf("x_%d", i), Type: tensor.FP32, Shape: []int64{}})
		s.Columns = append(s.Columns, rows.Column{Name: outputs[i].Name, Kind: rows.Float})
	}
	var text bytes.Buffer
	w, err := rows.NewWriter(&text, format, s, outputs, nil)
	if err != nil {
		tb.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for done := 0; done < n; done += 1000 {
		k := min(1000, n-done)
		values := make([]tensor.Tensor, columns)
		for i := range values {
			v := make([]float32, k)
			for j := range v {
				v[j] = rnd.Float32()
			}
			values[i] = tensor.Of(outputs[i].Name, []int64{int64(k)}, v)
		}
		if err := w.Write(&rows.Block{Rows: k}, values); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return text.String()
}

// processor is the time that this process has had of all processors.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScore says how many rows are scored in the time, and in the processor
// time, in which the engine alone runs as many in batches of 128.
func BenchmarkScore(b *testing.B) {
	for _, model := range []struct {
		name    string
		onnx    testmodels.Model
		columns int
		rows    int
	}{{"small", testmodels.Small(), 64, 100_000}, {"medium", testmodels.Medium(), 512, 8_000}} {
		for _, format := range []rows.Format{rows.Parquet, rows.CSV, rows.JSONL} {
			b.Run(model.name+"/"+string(format), func(b *testing.B) {
				ctx := b.Context()
				path := model.onnx.File(b, "m")
				m, err := infer.Load(ctx, drivertest.ONNXRuntime(b), path, &infer.Options{Deterministic: true})
				if err != nil {
					b.Fatal(err)
				}
				defer m.Close(context.Background())
				if err := m.ProbeBatching(ctx, []*infer.Request{{Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, int64(model.columns)}, ascending(model.columns))}}}); err != nil {
					b.Fatal(err)
				}
				r := &infer.Registry{}
				if err := r.Add(m); err != nil {
					b.Fatal(err)
				}
				raw, err := drivertest.ONNXRuntime(b).Open(ctx, path, &driver.Options{IntraOp: 1, Runs: 1})
				if err != nil {
					b.Fatal(err)
				}
				defer raw.Close()
				file := table(b, format, model.rows, model.columns)
				in := []tensor.Tensor{tensor.Of("x", []int64{128, int64(model.columns)}, ascending(128*model.columns))}
				out := []tensor.Tensor{{Name: "y"}}
				var alone, aloneCPU, all, allCPU time.Duration
				var before, after runtime.MemStats
				var garbage uint64
				for b.Loop() {
					at, cpu := time.Now(), processor()
					for n := 0; n < model.rows; n += 128 {
						if err := raw.Run(ctx, in, out); err != nil {
							b.Fatal(err)
						}
						out[0].Release()
					}
					alone, aloneCPU = alone+time.Since(at), aloneCPU+processor()-cpu
					mem := newMemory()
					mem.set("in/a."+string(format), file)
					h := batch.New(ask(r), &batch.Options{Objects: &batch.Objects{Models: r, Stores: inMemory{mem}, Parallel: 1}})
					runtime.ReadMemStats(&before)
					at, cpu = time.Now(), processor()
					res, err := h.Score(ctx, &batch.Job{Input: "s3://bucket/in/a." + string(format), Output: "s3://bucket/out/"})
					if err != nil || res.Rows != int64(model.rows) {
						b.Fatal(res, err)
					}
					all, allCPU = all+time.Since(at), allCPU+processor()-cpu
					runtime.ReadMemStats(&after)
					garbage += after.Mallocs - before.Mallocs
				}
				done := float64(b.N * model.rows)
				b.ReportMetric(done/all.Seconds(), "rows/s")
				b.ReportMetric(alone.Seconds()/all.Seconds(), "of-raw")
				b.ReportMetric(aloneCPU.Seconds()/allCPU.Seconds(), "of-raw-cpu")
				b.ReportMetric(float64(garbage)/done, "allocs/row")
			})
		}
	}
}

func ascending(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i%97) / 97
	}
	return v
}
