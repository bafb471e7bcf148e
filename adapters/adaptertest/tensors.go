package adaptertest

import (
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// everyType sends two rows of every type that the wire can carry.
func everyType(t *testing.T, c Client, caps *Caps) {
	for _, d := range tensor.DTypes() {
		for _, binary := range []bool{false, true} {
			if binary && caps.NoBinary || !binary && (d == tensor.FP16 || d == tensor.BF16) {
				continue
			}
			in := sample(d)
			resp, code, err := c.Call(t.Context(), &infer.Request{Model: "echo-" + d.String(), Inputs: []tensor.Tensor{in}}, binary)
			if err != nil || code != fault.OK {
				t.Errorf("%v, binary %t: %v, %v", d, binary, code, err)
				continue
			}
			in.Name = "y"
			if diff := tensor.Compare(&in, &resp.Outputs[0], tensor.Tolerance{}); !diff.OK() {
				t.Errorf("%v, binary %t: %v", d, binary, diff)
			}
			resp.Release()
		}
	}
}

// sample is two rows of three elements, "x", each of them different where the
// type has that many values.
func sample(d tensor.DType) tensor.Tensor {
	const n = 6
	t := tensor.Tensor{Name: "x", Type: d, Shape: []int64{2, 3}}
	if d == tensor.Bytes {
		return tensor.OfStrings("x", t.Shape, "", "a", "é", "\"\\\n", "0", "six")
	}
	t.Data = make([]byte, n*d.Size())
	for i := range n {
		t.Data[i*d.Size()] = byte(i + 1)
		if d == tensor.Bool {
			t.Data[i] = byte(i % 2)
		}
	}
	return t
}
