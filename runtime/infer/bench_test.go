package infer_test

import (
	"context"
	"testing"

	"godwit.dev/runtime/driver"
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
