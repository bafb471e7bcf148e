package predict

import (
	"context"
	"fmt"
	"testing"
	"time"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// constant answers one row of 10 numbers without looking at what is asked.
func constant(b *testing.B) (*infer.Registry, *infer.Model) {
	y := tensor.Of("y", []int64{1, 10}, make([]float32, 10))
	m := memengine.Model{
		Signature: driver.Signature{
			Inputs:  []driver.TensorInfo{{Name: "x", Type: tensor.FP32, Shape: []int64{1, -1}}},
			Outputs: []driver.TensorInfo{{Name: "y", Type: tensor.FP32, Shape: []int64{1, 10}}},
		},
		Run: func(context.Context, []tensor.Tensor) ([]tensor.Tensor, error) { return []tensor.Tensor{y}, nil },
	}
	model, err := infer.Load(b.Context(), memengine.New(map[string]memengine.Model{"m": m}), "m",
		&infer.Options{Name: "m", Digest: "sha256:1", Deterministic: true, Runs: 4})
	if err != nil {
		b.Fatal(err)
	}
	r := &infer.Registry{}
	if err := r.Add(model); err != nil {
		b.Fatal(err)
	}
	return r, model
}

func asking(numbers int64) *infer.Request {
	return &infer.Request{Model: "m", Inputs: []tensor.Tensor{tensor.Of("x", []int64{1, numbers}, make([]float32, numbers))}}
}

// BenchmarkSolo is what a request costs that nobody else asks, above "model",
// the model without a handler.
func BenchmarkSolo(b *testing.B) {
	models, model := constant(b)
	ctx, cancel := context.WithCancel(b.Context()) // as every request of a server has
	defer cancel()
	for _, numbers := range []int64{64, 150_528} {
		req := asking(numbers)
		run := func(name string, h infer.Handler, compute time.Duration) {
			b.Run(fmt.Sprintf("%s/%d bytes", name, 4*numbers), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if l, ok := h.(*Handler); ok && compute > 0 {
						l.lane(model).compute.Store(int64(compute)) // learned
					}
					resp, err := h.Infer(ctx, req)
					if err != nil || resp.Shared {
						b.Fatal(err)
					}
				}
			})
		}
		run("model", model, 0)
		run("sharing off", New(models, &Options{NoShare: true}), 0)
		run("does not pay", New(models, nil), time.Microsecond)
		run("shared", New(models, nil), 900*time.Microsecond*time.Duration(max(1, numbers/10_000)))
		run("shared, outlives", New(models, nil), time.Second)
	}
}

// BenchmarkHit is what a kept answer costs.
func BenchmarkHit(b *testing.B) {
	models, _ := constant(b)
	for _, numbers := range []int64{64, 150_528} {
		for _, wrap := range []func(infer.Handler) infer.Handler{nil, func(h infer.Handler) infer.Handler { return h }} {
			h := New(models, &Options{Cache: func(*infer.Model) int64 { return 1 << 20 }, Wrap: wrap})
			req := asking(numbers)
			b.Run(fmt.Sprintf("%d bytes/wrap %v", 4*numbers, wrap != nil), func(b *testing.B) {
				if _, err := h.Infer(b.Context(), req); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if resp, err := h.Infer(b.Context(), req); err != nil || !resp.Cached {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
