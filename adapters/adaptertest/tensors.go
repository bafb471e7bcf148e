package adaptertest

import (
	"context"
	"fmt"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// echo sends a tensor to a model that answers what it is given, and says what
// is wrong with the answer.
func echo(ctx context.Context, c Client, model string, in tensor.Tensor, binary bool) error {
	resp, code, err := c.Call(ctx, &infer.Request{Model: model, ID: "echo", Inputs: []tensor.Tensor{in}}, binary)
	if err != nil || code != fault.OK {
		return fmt.Errorf("%s, binary %t: want an answer, got %v, %v", model, binary, code, err)
	}
	defer resp.Release()
	in.Name = "y"
	if len(resp.Outputs) != 1 || resp.ID != "echo" || resp.Model != model {
		return fmt.Errorf("%s, binary %t: want one output for id %q, got %d for %q of %q", model, binary, "echo", len(resp.Outputs), resp.ID, resp.Model)
	}
	if diff := tensor.Compare(&in, &resp.Outputs[0], tensor.Tolerance{}); !diff.OK() {
		return fmt.Errorf("%s, binary %t: %v", model, binary, diff)
	}
	return nil
}

// wires are the forms of a request that the platform and the type have.
func wires(caps *Caps, d tensor.DType) []bool {
	var all []bool
	if d != tensor.FP16 && d != tensor.BF16 { // JSON has no such numbers
		all = append(all, false)
	}
	if !caps.NoBinary {
		all = append(all, true)
	}
	return all
}

// everyType sends two rows of every type that the wire can carry.
func everyType(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	for _, d := range tensor.DTypes() {
		for _, binary := range wires(caps, d) {
			if err := echo(t.Context(), c, "echo-"+d.String(), sample(d), binary); err != nil {
				t.Error(err)
			}
		}
	}
}

// shapes sends tensors without elements and without dimensions, and texts that
// a wire may change.
func shapes(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	for _, d := range tensor.DTypes() {
		for _, binary := range wires(caps, d) {
			empty, scalar := tensor.Tensor{Name: "x", Type: d, Shape: []int64{0, 3}, Data: []byte{}}, sample(d)
			if d == tensor.Bytes {
				empty = tensor.OfStrings("x", []int64{0, 3})
				scalar = tensor.OfStrings("x", nil, "+/=%20 é")
			} else {
				scalar.Shape, scalar.Data = nil, scalar.Data[:d.Size()]
			}
			if err := echo(t.Context(), c, "echo-"+d.String(), empty, binary); err != nil {
				t.Errorf("without elements: %v", err)
			}
			if err := echo(t.Context(), c, "scalar-"+d.String(), scalar, binary); err != nil {
				t.Errorf("without dimensions: %v", err)
			}
		}
	}
	texts := []string{"", "\x00", "\r\n", "\u2028", "\\u0041", "\"", "AAEC", "{\"a\":1}", "%41+", "\U0001F426", "<&>'", "\ufeff"}
	for _, binary := range wires(caps, tensor.Bytes) {
		if err := echo(t.Context(), c, "text", tensor.OfStrings("x", []int64{int64(len(texts))}, texts...), binary); err != nil {
			t.Error(err)
		}
	}
}

// largeTensors sends a megabyte and more in one request, or as much as gets through.
func largeTensors(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	size := 3 << 20
	if caps.MaxBody > 0 {
		size = min(size, caps.MaxBody/2)
	}
	for _, binary := range wires(caps, tensor.Int32) {
		rows := size / 12
		if !binary {
			rows = size / 36 // digits
		}
		values := make([]int32, rows*3)
		for i := range values {
			values[i] = int32(i * 2654435761)
		}
		if err := echo(t.Context(), c, "echo-INT32", tensor.Of("x", []int64{int64(rows), 3}, values), binary); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// sample is two rows of three elements, "x", each of them different where the
// type has that many values, of bytes that are no text.
func sample(d tensor.DType) tensor.Tensor {
	const n = 6
	t := tensor.Tensor{Name: "x", Type: d, Shape: []int64{2, 3}}
	if d == tensor.Bytes {
		return tensor.OfStrings("x", t.Shape, "", "a", "é", "\"\\\n", "0", "six")
	}
	size := d.Size()
	t.Data = make([]byte, n*size)
	for i := range t.Data {
		t.Data[i] = byte(0xff - 37*i)
		switch {
		case d == tensor.Bool:
			t.Data[i] = byte(i % 2)
		case i%size == size-1 && isFloat(d):
			t.Data[i] = byte(0x3f + 0x80*(i/size%2)) // about 1, or -1
		}
	}
	return t
}

func isFloat(d tensor.DType) bool {
	return d == tensor.FP16 || d == tensor.BF16 || d == tensor.FP32 || d == tensor.FP64
}

// ask sends rows that nobody else sends: mark is in each of them.
func ask(ctx context.Context, c Client, dtype string, binary bool, mark string) error {
	in := tensor.OfStrings("x", []int64{1, 3}, "a"+mark, "b"+mark, "c"+mark)
	return echo(ctx, c, "echo-"+dtype, in, binary)
}
