package examples_test

import (
	"context"
	"fmt"
	"log"

	"godwit.dev"
	"godwit.dev/functions/predict"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// A Go program that asks a model, without our command line or server.
func Example_library() {
	ctx := context.Background()
	model, err := infer.Load(ctx, godwit.Engine(), "digits/digits.onnx", nil)
	if err != nil {
		log.Fatal(err)
	}
	var models infer.Registry
	models.Add(model)
	defer models.Close(ctx)

	pixels := tensor.Of("pixels", []int64{1, 64}, one[:])
	answer, err := predict.New(&models, nil).Infer(ctx, &infer.Request{Inputs: []tensor.Tensor{pixels}})
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Release()
	label, _ := tensor.View[int64](&answer.Outputs[0])
	fmt.Println("a", label[0], "with", model.Digest()[:15])
	// Output: a 1 with sha256:a8b82a1f
}

// one is a handwritten 1.
var one = [64]float32{
	0, 0, 0, 12, 13, 5, 0, 0,
	0, 0, 0, 11, 16, 9, 0, 0,
	0, 0, 3, 15, 16, 6, 0, 0,
	0, 7, 15, 16, 16, 2, 0, 0,
	0, 0, 1, 16, 16, 3, 0, 0,
	0, 0, 1, 16, 16, 6, 0, 0,
	0, 0, 1, 16, 16, 6, 0, 0,
	0, 0, 0, 11, 16, 10, 0, 0,
}
