package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"godwit.dev/runtime/tensor"
)

type restTensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int64        `json:"shape"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       any            `json:"data,omitempty"`
}

// Body is a request over REST in JSON.
func Body(in []tensor.Tensor) ([]byte, error) {
	body, _, err := restRequest(in, false)
	return body, err
}

// restRequest is a body, and the length of its JSON or -1 without binary tensors.
func restRequest(in []tensor.Tensor, asBinary bool) (body []byte, jsonLength int, err error) {
	req := map[string]any{}
	inputs := []restTensor{}
	var tail []byte
	for i := range in {
		t := &in[i]
		r := restTensor{Name: t.Name, Datatype: t.Type.String(), Shape: shapeOf(t)}
		if asBinary {
			b := rawBytes(t)
			r.Parameters = map[string]any{"binary_data_size": len(b)}
			tail = append(tail, b...)
		} else {
			r.Data = numbers(t)
		}
		inputs = append(inputs, r)
	}
	req["inputs"] = inputs
	if asBinary {
		req["parameters"] = map[string]any{"binary_data_output": true}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(req); err != nil {
		return nil, 0, err
	}
	if !asBinary {
		return b.Bytes(), -1, nil
	}
	n := b.Len()
	return append(b.Bytes(), tail...), n, nil
}

func shapeOf(t *tensor.Tensor) []int64 { return append([]int64{}, t.Shape...) }

// numbers are the elements as they stand in a JSON array.
func numbers(t *tensor.Tensor) []any {
	all := []any{}
	if t.Type == tensor.Bytes {
		for _, s := range t.Strings {
			all = append(all, string(s))
		}
		return all
	}
	le, size := binary.LittleEndian, t.Type.Size()
	for at := 0; at < len(t.Data); at += size {
		e := t.Data[at : at+size]
		switch t.Type {
		case tensor.Bool:
			all = append(all, e[0] != 0)
		case tensor.Uint8:
			all = append(all, int(e[0])) // []uint8 would become base64
		case tensor.Int8:
			all = append(all, int8(e[0]))
		case tensor.Uint16:
			all = append(all, le.Uint16(e))
		case tensor.Int16:
			all = append(all, int16(le.Uint16(e)))
		case tensor.Uint32:
			all = append(all, le.Uint32(e))
		case tensor.Int32:
			all = append(all, int32(le.Uint32(e)))
		case tensor.Uint64:
			all = append(all, le.Uint64(e))
		case tensor.Int64:
			all = append(all, int64(le.Uint64(e)))
		case tensor.FP16:
			all = append(all, tensor.Float16(le.Uint16(e)))
		case tensor.BF16:
			all = append(all, tensor.BFloat16(le.Uint16(e)))
		case tensor.FP32:
			all = append(all, math.Float32frombits(le.Uint32(e)))
		case tensor.FP64:
			all = append(all, math.Float64frombits(le.Uint64(e)))
		}
	}
	return all
}

// rawBytes are the elements as the binary extension has them.
func rawBytes(t *tensor.Tensor) []byte {
	if t.Type != tensor.Bytes {
		return t.Data
	}
	b := []byte{}
	for _, s := range t.Strings {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

func fromREST(head, tail []byte) ([]tensor.Tensor, error) {
	var resp struct {
		Outputs []struct {
			Name, Datatype string
			Shape          []int64
			Parameters     struct {
				Size *int `json:"binary_data_size"`
			}
			Data []any
		}
	}
	dec := json.NewDecoder(bytes.NewReader(head))
	dec.UseNumber()
	if err := dec.Decode(&resp); err != nil {
		return nil, fmt.Errorf("the answer is no protocol body: %w: %s", err, head)
	}
	var all []tensor.Tensor
	for _, o := range resp.Outputs {
		d, _ := tensor.ParseDType(o.Datatype)
		t := tensor.Tensor{Name: o.Name, Type: d, Shape: o.Shape}
		var err error
		if size := o.Parameters.Size; size != nil {
			if *size < 0 || *size > len(tail) {
				return nil, fmt.Errorf("output %q: binary_data_size is %d, and %d bytes are left", o.Name, *size, len(tail))
			}
			err = setRaw(&t, tail[:*size])
			tail = tail[*size:]
		} else {
			err = setNumbers(&t, o.Data)
		}
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", o.Name, err)
		}
		all = append(all, t)
	}
	if len(tail) > 0 {
		return nil, fmt.Errorf("%d bytes are left behind the last output", len(tail))
	}
	return all, nil
}

func setRaw(t *tensor.Tensor, b []byte) error {
	if t.Type != tensor.Bytes {
		t.Data = b
		return t.Check()
	}
	t.Strings = [][]byte{}
	for len(b) > 0 {
		if len(b) < 4 || len(b)-4 < int(binary.LittleEndian.Uint32(b)) {
			return fmt.Errorf("a string is cut short")
		}
		n := 4 + int(binary.LittleEndian.Uint32(b))
		t.Strings, b = append(t.Strings, b[4:n]), b[n:]
	}
	return t.Check()
}

// setNumbers parses each number at the width of its own type, without a
// detour through float64.
func setNumbers(t *tensor.Tensor, data []any) error {
	le := binary.LittleEndian
	t.Data = []byte{}
	if t.Type == tensor.Bytes {
		t.Data, t.Strings = nil, [][]byte{}
	}
	for _, v := range data {
		var err error
		switch v := v.(type) {
		case bool:
			b := byte(0)
			if v {
				b = 1
			}
			t.Data = append(t.Data, b)
		case string:
			t.Strings = append(t.Strings, []byte(v))
		case json.Number:
			var f float64
			var u uint64
			bits := 8 * t.Type.Size()
			switch t.Type {
			case tensor.FP16, tensor.BF16, tensor.FP64:
				f, err = strconv.ParseFloat(v.String(), 64)
			case tensor.FP32:
				f, err = strconv.ParseFloat(v.String(), 32)
			case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
				u, err = strconv.ParseUint(v.String(), 10, bits)
			default:
				var i int64
				i, err = strconv.ParseInt(v.String(), 10, bits)
				u = uint64(i)
			}
			switch t.Type {
			case tensor.FP16:
				u = uint64(tensor.ToFloat16(f))
			case tensor.BF16:
				u = uint64(tensor.ToBFloat16(f))
			case tensor.FP32:
				u = uint64(math.Float32bits(float32(f)))
			case tensor.FP64:
				u = math.Float64bits(f)
			}
			t.Data = append(t.Data, le.AppendUint64(nil, u)[:t.Type.Size()]...)
		default:
			err = fmt.Errorf("unexpected element %v", v)
		}
		if err != nil {
			return err
		}
	}
	return t.Check()
}
