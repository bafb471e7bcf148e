package rows

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// checkOutputs says whether tensors are the outputs of the block's rows, and how
// many elements each has in a row.
func checkOutputs(b *Block, want []Output, got []tensor.Tensor, per []int) error {
	if len(got) != len(want) {
		return fault.New(fault.Internal, "rows.Write", "", "want %s, got %d", plural(len(want), "output"), len(got))
	}
	for i := range got {
		t, o := &got[i], &want[i]
		n := t.Len()
		if t.Type != o.Type || len(t.Shape) == 0 || t.Shape[0] != int64(b.Rows) || o.Elements() >= 0 && n != b.Rows*o.Elements() {
			return fault.New(fault.Unprocessable, "rows.Write", "output "+quote(o.Name), "want %v of %s with %s in each, got %v %s",
				o.Type, plural(b.Rows, "row"), tensor.FormatShape(o.Shape), t.Type, tensor.FormatShape(t.Shape))
		}
		per[i] = 0
		if b.Rows > 0 {
			per[i] = n / b.Rows
		}
	}
	return nil
}

// appendInteger writes element k of t, which is neither BYTES nor a float.
func appendInteger(dst []byte, t *tensor.Tensor, k int) []byte {
	le := binary.LittleEndian
	switch t.Type {
	case tensor.Bool:
		return strconv.AppendBool(dst, t.Data[k] != 0)
	case tensor.Uint8:
		return strconv.AppendUint(dst, uint64(t.Data[k]), 10)
	case tensor.Int8:
		return strconv.AppendInt(dst, int64(int8(t.Data[k])), 10)
	case tensor.Uint16:
		return strconv.AppendUint(dst, uint64(le.Uint16(t.Data[2*k:])), 10)
	case tensor.Int16:
		return strconv.AppendInt(dst, int64(int16(le.Uint16(t.Data[2*k:]))), 10)
	case tensor.Uint32:
		return strconv.AppendUint(dst, uint64(le.Uint32(t.Data[4*k:])), 10)
	case tensor.Int32:
		return strconv.AppendInt(dst, int64(int32(le.Uint32(t.Data[4*k:]))), 10)
	case tensor.Uint64:
		return strconv.AppendUint(dst, le.Uint64(t.Data[8*k:]), 10)
	}
	return strconv.AppendInt(dst, int64(le.Uint64(t.Data[8*k:])), 10)
}

// float is element k of t, and how many bits tell it from its neighbours.
func float(t *tensor.Tensor, k int) (v float64, bits int) {
	switch t.Type {
	case tensor.FP32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*k:]))), 32
	case tensor.FP16:
		return float64(tensor.Float16(binary.LittleEndian.Uint16(t.Data[2*k:]))), 32
	case tensor.BF16:
		return float64(tensor.BFloat16(binary.LittleEndian.Uint16(t.Data[2*k:]))), 32
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*k:])), 64
}

// appendCSVFloat and appendJSONFloat write the shortest text that reads back
// as the same float.
func appendCSVFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	return codec.AppendFloat(dst, v, bits)
}

func appendJSONFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "null"...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	return codec.AppendFloat(dst, v, bits)
}

// appendJSONText writes a string, or where it is not UTF-8 an object that
// stands for its bytes.
func appendJSONText(dst, text []byte) []byte {
	out, ok := codec.AppendString(dst, text)
	if ok {
		return out
	}
	dst = append(dst, `{"b64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, text)
	return append(dst, `"}`...)
}

// appendCSVText writes a field, in quotes where it needs them.
func appendCSVText(dst, text []byte) []byte {
	from := len(dst)
	for i, c := range text {
		switch c {
		case '"':
			if len(dst) == from || dst[from] != '"' {
				dst = append(append(dst, '"'), text[:i]...)
			}
			dst = append(dst, '"', '"')
			continue
		case ',', '\n', '\r':
			if len(dst) == from {
				dst = append(append(dst, '"'), text[:i]...)
			}
		}
		if len(dst) > from {
			dst = append(dst, c)
		}
	}
	if len(dst) > from {
		return append(dst, '"')
	}
	return append(dst, text...)
}

// appendValue writes row k's value of a column of numbers that passes through.
func appendValue(dst []byte, v *Values, k int, json bool) []byte {
	switch v.Kind {
	case Bool:
		return strconv.AppendBool(dst, v.Ints[k] != 0)
	case Int:
		return strconv.AppendInt(dst, v.Ints[k], 10)
	case Uint:
		return strconv.AppendUint(dst, v.Uints[k], 10)
	}
	bits := 64
	if v.Kind == Float {
		bits = 32
	}
	if json {
		return appendJSONFloat(dst, v.Floats[k], bits)
	}
	return appendCSVFloat(dst, v.Floats[k], bits)
}
