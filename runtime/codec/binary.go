package codec

import (
	"encoding/binary"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

const headerName = "Inference-Header-Content-Length"

// sections gives the bytes after the JSON to the tensors that announced them,
// in their order.
func (d *decoder) sections(kind string, l *tensorList, rest []byte, header int) error {
	total := len(rest)
	for i, size := range l.sizes {
		if size < 0 {
			continue
		}
		d.kind, d.index, d.name = kind, i, l.tensors[i].Name
		if header < 0 {
			return d.fail(fault.Invalid, "want the header %s with the parameter %q, got none", headerName, paramSize)
		}
		if size > len(rest) {
			return d.fail(fault.Invalid, "want the %d bytes of %s, got only %d after the JSON and the tensors before", size, paramSize, len(rest))
		}
		if err := d.binary(&l.tensors[i], rest[:size:size]); err != nil {
			return err
		}
		rest = rest[size:]
	}
	d.kind = ""
	if len(rest) > 0 {
		return d.fail(fault.Invalid, "want %d bytes after the JSON, the sum of %s, got %d", total-len(rest), paramSize, total).
			WithHint("Check %s: the JSON ended at byte %d.", headerName, header)
	}
	return nil
}

// binary lets t, whose type and shape are known, borrow its elements from b.
func (d *decoder) binary(t *tensor.Tensor, b []byte) error {
	n, err := d.count(t)
	if err != nil {
		return err
	}
	if t.Type == tensor.Bytes {
		return d.binaryStrings(t, n, b)
	}
	if want := n * t.Type.Size(); want != len(b) {
		return d.fail(fault.Invalid, "want %d bytes for %v %s, got %d", want, t.Type, tensor.FormatShape(t.Shape), len(b))
	}
	if t.Type == tensor.Bool {
		for i, v := range b {
			if v > 1 {
				return d.fail(fault.Invalid, "element %d: want the byte 0 or 1 for BOOL, got %d", i, v)
			}
		}
	}
	t.Data = b
	return nil
}

// binaryStrings splits b into n elements, each after its length in four bytes.
func (d *decoder) binaryStrings(t *tensor.Tensor, n int, b []byte) error {
	if n > len(b)/4 {
		return d.fail(fault.Invalid, "want %d elements of at least 4 bytes for BYTES %s, got %d bytes", n, tensor.FormatShape(t.Shape), len(b))
	}
	t.Strings = make([][]byte, n)
	for i := range t.Strings {
		if len(b) < 4 {
			return d.fail(fault.Invalid, "element %d: want 4 bytes with its length, got %d", i, len(b))
		}
		size := int64(binary.LittleEndian.Uint32(b))
		b = b[4:]
		if size > int64(d.lim.StringBytes) {
			return d.fail(fault.Invalid, "element %d: want at most %d bytes, got a length of %d", i, d.lim.StringBytes, size)
		}
		if size > int64(len(b)) {
			return d.fail(fault.Invalid, "element %d: want %d bytes as its length says, got only %d", i, size, len(b))
		}
		t.Strings[i] = b[:size:size]
		b = b[size:]
	}
	if len(b) > 0 {
		return d.fail(fault.Invalid, "want %s for BYTES %s, got %d more bytes", plural(n, "element"), tensor.FormatShape(t.Shape), len(b))
	}
	return nil
}

// DecodeRaw decodes a raw request (Inference-Header-Content-Length: 0), whose
// whole body is the one input of a model with the signature sig: little-endian
// elements, or for BYTES the one element itself, without a length. A single
// variable dimension follows from the body's length; where there are two and
// one is the first, that one is 1. Answer it with EncodeOptions.Binary. The
// request borrows body.
//
// Errors: Invalid, also when the signature does not allow raw requests; TooLarge.
func DecodeRaw(body []byte, sig *driver.Signature, lim *Limits) (*infer.Request, error) {
	const hint = "Send JSON with " + paramSize + " before the bytes, and its length in " + headerName + "."
	d := decoder{op: "codec.DecodeRaw", document: "request body", lim: lim.WithDefaults()}
	if int64(len(body)) > d.lim.Body {
		return nil, d.fail(fault.TooLarge, "want at most %d bytes, got %d", d.lim.Body, len(body))
	}
	if len(sig.Inputs) != 1 {
		return nil, d.fail(fault.Invalid, "want a model with one input for a request without JSON, got %d", len(sig.Inputs)).WithHint(hint)
	}
	in := &sig.Inputs[0]
	d.kind, d.name = "input", in.Name
	shape, ok := rawShape(in, len(body))
	if !ok {
		return nil, d.fail(fault.Invalid, "want a shape that follows from the length of a request without JSON, got %v %s and %d bytes",
			in.Type, tensor.FormatShape(in.Shape), len(body)).WithHint(hint)
	}
	t := tensor.Tensor{Name: in.Name, Type: in.Type, Shape: shape}
	if t.Type != tensor.Bytes {
		if err := d.binary(&t, body[:len(body):len(body)]); err != nil {
			return nil, err
		}
	} else {
		if len(body) > d.lim.StringBytes {
			return nil, d.fail(fault.Invalid, "element 0: want at most %d bytes, got %d", d.lim.StringBytes, len(body))
		}
		t.Strings = [][]byte{body[:len(body):len(body)]}
	}
	return &infer.Request{Inputs: []tensor.Tensor{t}}, nil
}

// rawShape is the shape of an input of n bytes.
func rawShape(in *driver.TensorInfo, n int) (shape []int64, ok bool) {
	shape = append(make([]int64, 0, len(in.Shape)), in.Shape...)
	variable, at := 0, -1
	for i, dim := range shape {
		if dim < 0 {
			variable++
			at = i
		}
	}
	if variable == 2 && shape[0] < 0 {
		shape[0] = 1
		variable = 1
	}
	if in.Type == tensor.Bytes && variable == 1 {
		shape[at] = 1
		variable = 0
	}
	switch {
	case variable > 1:
		return nil, false
	case variable == 1:
		shape[at] = 1
		row, ok := tensor.ByteSize(in.Type, shape)
		if !ok || row == 0 || n%row != 0 {
			return nil, false
		}
		shape[at] = int64(n / row)
	case in.Type == tensor.Bytes:
		elements, ok := tensor.Elements(shape)
		return shape, ok && elements == 1
	}
	return shape, true
}
