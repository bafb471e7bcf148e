package codec

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// AppendInferGRPC appends resp, as the answer to req, as the wire bytes of an
// inference.ModelInferResponse. FP16 and BF16 have no typed form, so one such
// output makes all of them raw. req may be nil.
//
// Errors: Internal when resp lacks a requested output. dst is then unchanged.
func AppendInferGRPC(dst []byte, req *infer.Request, resp *infer.Response, raw bool) ([]byte, error) {
	const op = "codec.AppendInferGRPC"
	outs, err := wantedOutputs(op, req, resp)
	if err != nil {
		return dst, err
	}
	b := appendText(dst, fieldModel, resp.Model)
	b = appendText(b, fieldVersion, resp.Version)
	b = appendText(b, fieldID, responseID(req, resp))
	if b, err = appendResponseParams(b, op, resp); err != nil {
		return dst, err
	}
	if b, err = appendTensors(b, op, "output", outs, nil, nil, raw, fieldRawOut); err != nil {
		return dst, err
	}
	return b, nil
}

// AppendInferRequestGRPC appends req as the wire bytes of an
// inference.ModelInferRequest, for clients; raw as in AppendInferGRPC.
//
// Errors: Internal when a tensor's or a parameter's Go value is not one that
// infer describes. dst is then unchanged.
func AppendInferRequestGRPC(dst []byte, req *infer.Request, raw bool) ([]byte, error) {
	const op = "codec.AppendInferRequestGRPC"
	b := appendText(dst, fieldModel, req.Model)
	b = appendText(b, fieldVersion, req.Version)
	b = appendText(b, fieldID, req.ID)
	b, err := appendParams(b, op, fieldParams, req.Params)
	if err != nil {
		return dst, err
	}
	var wanted []byte
	for i := range req.Outputs {
		out := appendText(nil, fieldName, req.Outputs[i].Name)
		if out, err = appendParams(out, op, fieldOParams, req.Outputs[i].Params); err != nil {
			return dst, err
		}
		wanted = protowire.AppendTag(wanted, fieldOutputs, protowire.BytesType)
		wanted = protowire.AppendBytes(wanted, out)
	}
	for i := range req.Inputs {
		if err := req.Inputs[i].Check(); err != nil {
			return dst, fault.New(fault.Internal, op, subjectOf("input", i, req.Inputs[i].Name), "%w", err)
		}
	}
	if b, err = appendTensors(b, op, "input", req.Inputs, req.InputParams, wanted, raw, fieldRawIn); err != nil {
		return dst, err
	}
	return b, nil
}

// appendTensors writes all tensors, then other fields, then, if the tensors are
// raw, their elements: so fields are in the order of their numbers.
func appendTensors(b []byte, op, kind string, ts []tensor.Tensor, params []infer.Params, others []byte, raw bool, rawField protowire.Number) ([]byte, error) {
	size := len(others)
	for i := range ts {
		raw = raw || typedFormOf(ts[i].Type).num == 0
		size += binarySize(&ts[i]) + len(ts[i].Name) + 64
	}
	b = slices.Grow(b, size)
	for i := range ts {
		t := &ts[i]
		var err error
		var encoded []byte
		if i < len(params) {
			if encoded, err = appendParams(nil, op, fieldTParams, params[i]); err != nil {
				err.(*fault.Error).Subject = subjectOf(kind, i, t.Name) + " " + err.(*fault.Error).Subject
				return b, err
			}
		}
		name := strings.ToValidUTF8(t.Name, "\uFFFD")
		dims := 0
		for _, dim := range t.Shape {
			dims += protowire.SizeVarint(uint64(dim))
		}
		length := textSize(fieldName, name) + textSize(fieldType, t.Type.String()) + len(encoded)
		if dims > 0 {
			length += protowire.SizeTag(fieldShape) + protowire.SizeBytes(dims)
		}
		contents := 0
		if !raw {
			contents = contentsSize(t)
			length += protowire.SizeTag(fieldContents) + protowire.SizeBytes(contents)
		}
		b = protowire.AppendTag(b, fieldTensors, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(length))
		b = appendText(b, fieldName, name)
		b = appendText(b, fieldType, t.Type.String())
		if dims > 0 {
			b = protowire.AppendTag(b, fieldShape, protowire.BytesType)
			b = protowire.AppendVarint(b, uint64(dims))
			for _, dim := range t.Shape {
				b = protowire.AppendVarint(b, uint64(dim))
			}
		}
		b = append(b, encoded...)
		if !raw {
			b = protowire.AppendTag(b, fieldContents, protowire.BytesType)
			b = protowire.AppendVarint(b, uint64(contents))
			b = appendContents(b, t)
		}
	}
	b = append(b, others...)
	if raw {
		for i := range ts {
			b = protowire.AppendTag(b, rawField, protowire.BytesType)
			b = protowire.AppendVarint(b, uint64(binarySize(&ts[i])))
			b = appendBinary(b, &ts[i])
		}
	}
	return b, nil
}

// appendText writes a string field; an empty one is left out, as proto3 does.
func appendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, strings.ToValidUTF8(s, "\uFFFD"))
}

func textSize(num protowire.Number, s string) int {
	if s == "" {
		return 0
	}
	return protowire.SizeTag(num) + protowire.SizeBytes(len(s))
}

// appendParams writes a map<string, InferParameter>, its keys sorted.
func appendParams(b []byte, op string, num protowire.Number, p infer.Params) ([]byte, error) {
	for _, name := range sortedNames(p) {
		var v []byte
		switch value := p[name].(type) {
		case bool:
			v = protowire.AppendTag(v, 1, protowire.VarintType)
			v = protowire.AppendVarint(v, protowire.EncodeBool(value))
		case int:
			v = protowire.AppendTag(v, 2, protowire.VarintType)
			v = protowire.AppendVarint(v, uint64(value))
		case int64:
			v = protowire.AppendTag(v, 2, protowire.VarintType)
			v = protowire.AppendVarint(v, uint64(value))
		case string:
			v = protowire.AppendTag(v, 3, protowire.BytesType)
			v = protowire.AppendString(v, strings.ToValidUTF8(value, "\uFFFD"))
		case float64:
			v = protowire.AppendTag(v, 4, protowire.Fixed64Type)
			v = protowire.AppendFixed64(v, math.Float64bits(value))
		case uint64:
			v = protowire.AppendTag(v, 5, protowire.VarintType)
			v = protowire.AppendVarint(v, value)
		default:
			return b, fault.New(fault.Internal, op, "parameter "+quote([]byte(name)), "want a string, bool, int64, uint64 or float64, got %T", value)
		}
		entry := appendText(nil, 1, name)
		entry = protowire.AppendTag(entry, 2, protowire.BytesType)
		entry = protowire.AppendBytes(entry, v)
		b = protowire.AppendTag(b, num, protowire.BytesType)
		b = protowire.AppendBytes(b, entry)
	}
	return b, nil
}

// contentsSize is the number of bytes that appendContents writes.
func contentsSize(t *tensor.Tensor) int {
	form := typedFormOf(t.Type)
	if t.Type == tensor.Bytes {
		n := 0
		for _, s := range t.Strings {
			n += protowire.SizeTag(form.num) + protowire.SizeBytes(len(s))
		}
		return n
	}
	if n := packedSize(t); n > 0 {
		return protowire.SizeTag(form.num) + protowire.SizeBytes(n)
	}
	return 0
}

// appendContents writes t as the inside of an InferTensorContents.
func appendContents(b []byte, t *tensor.Tensor) []byte {
	form := typedFormOf(t.Type)
	if t.Type == tensor.Bytes {
		for _, s := range t.Strings {
			b = protowire.AppendTag(b, form.num, protowire.BytesType)
			b = protowire.AppendBytes(b, s)
		}
		return b
	}
	size := packedSize(t)
	if size == 0 {
		return b
	}
	b = protowire.AppendTag(b, form.num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	if form.size > 1 {
		return append(b, t.Data...)
	}
	for k := range t.Len() {
		b = protowire.AppendVarint(b, varint(t, k))
	}
	return b
}

// packedSize is the number of bytes of t's elements in a packed field.
func packedSize(t *tensor.Tensor) int {
	if typedFormOf(t.Type).size > 1 {
		return len(t.Data)
	}
	n := 0
	for k := range t.Len() {
		n += protowire.SizeVarint(varint(t, k))
	}
	return n
}

// varint is element k of an integer or BOOL tensor; protobuf extends the sign
// of negative numbers to 64 bits.
func varint(t *tensor.Tensor, k int) uint64 {
	switch t.Type {
	case tensor.Int8:
		return uint64(int8(t.Data[k]))
	case tensor.Int16:
		return uint64(int16(binary.LittleEndian.Uint16(t.Data[2*k:])))
	case tensor.Uint16:
		return uint64(binary.LittleEndian.Uint16(t.Data[2*k:]))
	case tensor.Int32:
		return uint64(int32(binary.LittleEndian.Uint32(t.Data[4*k:])))
	case tensor.Uint32:
		return uint64(binary.LittleEndian.Uint32(t.Data[4*k:]))
	case tensor.Int64, tensor.Uint64:
		return binary.LittleEndian.Uint64(t.Data[8*k:])
	}
	return uint64(t.Data[k])
}
