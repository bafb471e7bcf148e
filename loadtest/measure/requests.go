package measure

import (
	"math/rand/v2"

	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// Requests are n different ones for a model with one input x of FP32 in that
// shape: random numbers in [-1, 1), the same in every run.
func Requests(model string, shape []int64, n int) []*infer.Request {
	random := rand.New(rand.NewPCG(1, uint64(len(model))))
	size, _ := tensor.Elements(shape)
	var all []*infer.Request
	for range n {
		v := make([]float32, size)
		for i := range v {
			v[i] = random.Float32()*2 - 1
		}
		all = append(all, &infer.Request{Model: model, Inputs: []tensor.Tensor{tensor.Of("x", shape, v)}})
	}
	return all
}
