// Package handler is a function's own Go for e2e/package: it takes pictures of
// bytes where the model of examples/digits wants rows of numbers, so no recorded
// request of that function is one that its model takes.
package handler

import (
	"context"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// Wrap gives the model what it takes.
func Wrap(next infer.Handler) infer.Handler {
	return infer.HandlerFunc(func(ctx context.Context, req *infer.Request) (*infer.Response, error) {
		if len(req.Inputs) != 1 || req.Inputs[0].Name != "image" || req.Inputs[0].Type != tensor.Uint8 || len(req.Inputs[0].Shape) != 3 {
			return nil, fault.New(fault.Invalid, "handler", "image", "want UINT8 pictures [n 8 8], got %d other inputs", len(req.Inputs))
		}
		image := &req.Inputs[0]
		pixels := make([]float32, len(image.Data))
		for i, b := range image.Data {
			pixels[i] = float32(b)
		}
		own := *req
		own.Inputs = []tensor.Tensor{tensor.Of("pixels", []int64{image.Shape[0], image.Shape[1] * image.Shape[2]}, pixels)}
		own.InputParams = nil
		return next.Infer(ctx, &own)
	})
}
