package codec

import (
	"encoding/binary"
	"math"

	"godwit.dev/runtime/tensor"
)

// numbers decodes JSON numbers (for BOOL, true and false) separated by commas
// into dst, whose length says how many. It stops at the first that is not a
// value of type t: next is then where that one, or what should have been a
// comma, begins, and done how many came before it.
func numbers(t tensor.DType, b []byte, i int, dst []byte) (next, done int) {
	switch t {
	case tensor.FP32:
		return float32s(b, i, dst)
	case tensor.FP64:
		return float64s(b, i, dst)
	case tensor.FP16, tensor.BF16:
		return halves(t, b, i, dst)
	case tensor.Bool:
		return bools(b, i, dst)
	}
	return integers(t, b, i, dst)
}

// separator skips white space and, if comma, one comma. next is where the
// value begins, or where the comma is missing. It is small enough to be
// inlined for the usual "1,2".
func separator(b []byte, i int, comma bool) (next int, ok bool) {
	if comma && i+1 < len(b) && b[i] == ',' && b[i+1] > ' ' {
		return i + 1, true
	}
	return separatorAndSpace(b, i, comma)
}

func separatorAndSpace(b []byte, i int, comma bool) (next int, ok bool) {
	for ; i < len(b); i++ {
		switch b[i] {
		case ' ', '\n', '\t', '\r':
		case ',':
			if !comma {
				return i, true
			}
			comma = false
		default:
			return i, !comma
		}
	}
	return i, false
}

func float32s(b []byte, i int, dst []byte) (next, done int) {
	for k := 0; k+4 <= len(dst); k += 4 {
		var ok bool
		if i, ok = separator(b, i, k > 0); !ok {
			return i, k / 4
		}
		mant, exp, found, end := scan(b, i)
		if end == 0 {
			return i, k / 4
		}
		v, ok := usualFloat32(mant, exp, found)
		if !ok {
			if v, ok = toFloat32(mant, exp, found, b[i:end]); !ok {
				return i, k / 4
			}
		}
		binary.LittleEndian.PutUint32(dst[k:], math.Float32bits(v))
		i = end
	}
	return i, len(dst) / 4
}

func float64s(b []byte, i int, dst []byte) (next, done int) {
	for k := 0; k+8 <= len(dst); k += 8 {
		var ok bool
		if i, ok = separator(b, i, k > 0); !ok {
			return i, k / 8
		}
		mant, exp, found, end := scan(b, i)
		if end == 0 {
			return i, k / 8
		}
		v, ok := toFloat64(mant, exp, found, b[i:end])
		if !ok {
			return i, k / 8
		}
		binary.LittleEndian.PutUint64(dst[k:], math.Float64bits(v))
		i = end
	}
	return i, len(dst) / 8
}

func halves(t tensor.DType, b []byte, i int, dst []byte) (next, done int) {
	for k := 0; k+2 <= len(dst); k += 2 {
		var ok bool
		if i, ok = separator(b, i, k > 0); !ok {
			return i, k / 2
		}
		mant, exp, found, end := scan(b, i)
		if end == 0 {
			return i, k / 2
		}
		half, ok := toHalf(t, mant, exp, found, b[i:end])
		if !ok {
			return i, k / 2
		}
		binary.LittleEndian.PutUint16(dst[k:], half)
		i = end
	}
	return i, len(dst) / 2
}

func integers(t tensor.DType, b []byte, i int, dst []byte) (next, done int) {
	size := t.Size()
	for k := 0; k+size <= len(dst); k += size {
		var ok bool
		if i, ok = separator(b, i, k > 0); !ok {
			return i, k / size
		}
		mant, _, found, end := scan(b, i)
		if end == 0 {
			return i, k / size
		}
		v, ok := toInteger(t, mant, found, b[i:end])
		if !ok {
			return i, k / size
		}
		switch size {
		case 1:
			dst[k] = byte(v)
		case 2:
			binary.LittleEndian.PutUint16(dst[k:], uint16(v))
		case 4:
			binary.LittleEndian.PutUint32(dst[k:], uint32(v))
		default:
			binary.LittleEndian.PutUint64(dst[k:], v)
		}
		i = end
	}
	return i, len(dst) / size
}

func bools(b []byte, i int, dst []byte) (next, done int) {
	for k := range dst {
		var ok bool
		if i, ok = separator(b, i, k > 0); !ok {
			return i, k
		}
		switch rest := b[i:]; {
		case len(rest) >= 4 && string(rest[:4]) == "true":
			dst[k] = 1
			i += 4
		case len(rest) >= 5 && string(rest[:5]) == "false":
			dst[k] = 0
			i += 5
		default:
			return i, k
		}
	}
	return i, len(dst)
}
