package wire

import (
	"encoding/binary"
	"fmt"
	"math"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/runtime/tensor"
)

// Message is a request over gRPC, with raw contents or typed ones.
func Message(model string, in []tensor.Tensor, raw bool) *oippb.ModelInferRequest {
	req := &oippb.ModelInferRequest{ModelName: model}
	for i := range in {
		t := &in[i]
		p := &oippb.ModelInferRequest_InferInputTensor{Name: t.Name, Datatype: t.Type.String(), Shape: t.Shape}
		if raw {
			req.RawInputContents = append(req.RawInputContents, rawBytes(t))
		} else {
			p.Contents = contents(t)
		}
		req.Inputs = append(req.Inputs, p)
	}
	return req
}

func contents(t *tensor.Tensor) *oippb.InferTensorContents {
	c := &oippb.InferTensorContents{}
	if t.Type == tensor.Bytes {
		c.BytesContents = t.Strings
		return c
	}
	le, size := binary.LittleEndian, t.Type.Size()
	for at := 0; at < len(t.Data); at += size {
		e := t.Data[at : at+size]
		switch t.Type {
		case tensor.Bool:
			c.BoolContents = append(c.BoolContents, e[0] != 0)
		case tensor.Uint8:
			c.UintContents = append(c.UintContents, uint32(e[0]))
		case tensor.Uint16:
			c.UintContents = append(c.UintContents, uint32(le.Uint16(e)))
		case tensor.Uint32:
			c.UintContents = append(c.UintContents, le.Uint32(e))
		case tensor.Uint64:
			c.Uint64Contents = append(c.Uint64Contents, le.Uint64(e))
		case tensor.Int8:
			c.IntContents = append(c.IntContents, int32(int8(e[0])))
		case tensor.Int16:
			c.IntContents = append(c.IntContents, int32(int16(le.Uint16(e))))
		case tensor.Int32:
			c.IntContents = append(c.IntContents, int32(le.Uint32(e)))
		case tensor.Int64:
			c.Int64Contents = append(c.Int64Contents, int64(le.Uint64(e)))
		case tensor.FP32:
			c.Fp32Contents = append(c.Fp32Contents, math.Float32frombits(le.Uint32(e)))
		case tensor.FP64:
			c.Fp64Contents = append(c.Fp64Contents, math.Float64frombits(le.Uint64(e)))
		}
	}
	return c
}

// Tensors are the outputs of an answer over gRPC.
func Tensors(resp *oippb.ModelInferResponse) ([]tensor.Tensor, error) {
	raw := resp.GetRawOutputContents()
	if len(raw) > 0 && len(raw) != len(resp.GetOutputs()) {
		return nil, fmt.Errorf("%d raw contents for %d outputs", len(raw), len(resp.GetOutputs()))
	}
	var all []tensor.Tensor
	for i, o := range resp.GetOutputs() {
		d, _ := tensor.ParseDType(o.GetDatatype())
		t := tensor.Tensor{Name: o.GetName(), Type: d, Shape: o.GetShape()}
		var err error
		if len(raw) > 0 {
			err = setRaw(&t, raw[i])
		} else {
			err = setContents(&t, o.GetContents())
		}
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", o.GetName(), err)
		}
		all = append(all, t)
	}
	return all, nil
}

func setContents(t *tensor.Tensor, c *oippb.InferTensorContents) error {
	le := binary.LittleEndian
	put := func(u uint64) { t.Data = append(t.Data, le.AppendUint64(nil, u)[:t.Type.Size()]...) }
	t.Data = []byte{}
	switch t.Type {
	case tensor.Bool:
		for _, v := range c.GetBoolContents() {
			b := uint64(0)
			if v {
				b = 1
			}
			put(b)
		}
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		for _, v := range c.GetUintContents() {
			put(uint64(v))
		}
	case tensor.Uint64:
		for _, v := range c.GetUint64Contents() {
			put(v)
		}
	case tensor.Int8, tensor.Int16, tensor.Int32:
		for _, v := range c.GetIntContents() {
			put(uint64(v))
		}
	case tensor.Int64:
		for _, v := range c.GetInt64Contents() {
			put(uint64(v))
		}
	case tensor.FP32:
		for _, v := range c.GetFp32Contents() {
			put(uint64(math.Float32bits(v)))
		}
	case tensor.FP64:
		for _, v := range c.GetFp64Contents() {
			put(math.Float64bits(v))
		}
	case tensor.Bytes:
		t.Data, t.Strings = nil, append([][]byte{}, c.GetBytesContents()...)
	default:
		return fmt.Errorf("%v has no typed contents", t.Type)
	}
	return t.Check()
}
