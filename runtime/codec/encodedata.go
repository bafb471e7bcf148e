package codec

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// chunk is how many elements are written between two looks at the limit.
const chunk = 1024

// usual is about how many bytes a number or bool takes in JSON, with its comma.
func usual(t tensor.DType) int {
	switch t {
	case tensor.FP64:
		return 20
	case tensor.FP32, tensor.FP16, tensor.BF16:
		return 12
	case tensor.Bool, tensor.Int32, tensor.Int64, tensor.Uint32, tensor.Uint64:
		return 6
	}
	return 4
}

// elements writes all elements of t, flat, without the brackets.
func (e *encoder) elements(t *tensor.Tensor) error {
	n := t.Len()
	least, room := 2*n-1, n*usual(t.Type)
	if t.Type == tensor.Bytes {
		least = t.Bytes() + 3*n - 1
		room = least
	}
	if err := e.full(least); err != nil {
		return err
	}
	if e.most > 0 {
		room = int(min(int64(room), e.most))
	}
	e.dst = slices.Grow(e.dst, room+64)
	for from := 0; from < n; from += chunk {
		if err := e.full(0); err != nil {
			return err
		}
		for k := from; k < min(n, from+chunk); k++ {
			if k > 0 {
				e.dst = append(e.dst, ',')
			}
			if err := e.element(t, k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *encoder) element(t *tensor.Tensor, k int) error {
	switch t.Type {
	case tensor.FP32:
		return e.float(t, k, float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*k:]))), 32)
	case tensor.FP64:
		return e.float(t, k, math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*k:])), 64)
	case tensor.FP16:
		return e.float(t, k, float64(tensor.Float16(binary.LittleEndian.Uint16(t.Data[2*k:]))), 32)
	case tensor.BF16:
		return e.float(t, k, float64(tensor.BFloat16(binary.LittleEndian.Uint16(t.Data[2*k:]))), 32)
	case tensor.Bool:
		e.dst = strconv.AppendBool(e.dst, t.Data[k] != 0)
	case tensor.Uint8:
		e.dst = strconv.AppendUint(e.dst, uint64(t.Data[k]), 10)
	case tensor.Int8:
		e.dst = strconv.AppendInt(e.dst, int64(int8(t.Data[k])), 10)
	case tensor.Uint16:
		e.dst = strconv.AppendUint(e.dst, uint64(binary.LittleEndian.Uint16(t.Data[2*k:])), 10)
	case tensor.Int16:
		e.dst = strconv.AppendInt(e.dst, int64(int16(binary.LittleEndian.Uint16(t.Data[2*k:]))), 10)
	case tensor.Uint32:
		e.dst = strconv.AppendUint(e.dst, uint64(binary.LittleEndian.Uint32(t.Data[4*k:])), 10)
	case tensor.Int32:
		e.dst = strconv.AppendInt(e.dst, int64(int32(binary.LittleEndian.Uint32(t.Data[4*k:]))), 10)
	case tensor.Uint64:
		e.dst = strconv.AppendUint(e.dst, binary.LittleEndian.Uint64(t.Data[8*k:]), 10)
	case tensor.Int64:
		e.dst = strconv.AppendInt(e.dst, int64(binary.LittleEndian.Uint64(t.Data[8*k:])), 10)
	default:
		var ok bool
		if e.dst, ok = appendString(e.dst, t.Strings[k], true); !ok {
			return fault.New(fault.Unprocessable, e.op, subjectOf(e.kind, 0, t.Name), "element %d: want text in UTF-8 for JSON, got %s", k, quote(t.Strings[k])).
				WithHint("Use the binary tensor extension for it: %s.", paramBinary)
		}
	}
	return nil
}

func (e *encoder) float(t *tensor.Tensor, k int, v float64, bits int) error {
	// The exponent of NaN and the infinities, and of nothing else, is all ones.
	if math.Float64bits(v)>>52&0x7ff != 0x7ff {
		e.dst = appendFloat(e.dst, v, bits)
		return nil
	}
	name := "NaN"
	if math.IsInf(v, 0) {
		name = "Infinity"
		if v < 0 {
			name = "-Infinity"
		}
	}
	switch e.nan {
	case NaNNull:
		e.raw("null")
	case NaNString:
		e.dst = append(append(append(e.dst, '"'), name...), '"')
	default:
		return fault.New(fault.Unprocessable, e.op, subjectOf(e.kind, 0, t.Name), "element %d: want a number that JSON can hold, got %s", k, name).
			WithHint("Use the binary tensor extension for it: %s.", paramBinary)
	}
	return nil
}

// appendFloat writes the shortest number that reads back as the same float of
// that many bits, in the form that encoding/json and JavaScript give it.
func appendFloat(dst []byte, v float64, bits int) []byte {
	// Below 2^24 a float32's neighbours are less than 1 away, so a whole
	// number's own digits are the shortest form. -0 keeps its sign below.
	if i := int64(v); v < 1<<24 && v > -1<<24 && float64(i) == v && (i != 0 || !math.Signbit(v)) {
		return strconv.AppendInt(dst, i, 10)
	}
	abs := math.Abs(v)
	small, large := abs < 1e-6, abs >= 1e21
	if bits == 32 {
		small, large = float32(abs) < 1e-6, float32(abs) >= 1e21
	}
	if v == 0 || !small && !large {
		return strconv.AppendFloat(dst, v, 'f', -1, bits)
	}
	dst = strconv.AppendFloat(dst, v, 'e', -1, bits)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // e-09 is e-9
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// appendString writes a JSON string. With strict, what is not UTF-8 makes ok
// false; otherwise U+FFFD stands for it.
func appendString[T string | []byte](dst []byte, s T, strict bool) (_ []byte, ok bool) {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		if r == utf8.RuneError && n == 1 {
			if strict {
				return dst, false
			}
			dst = append(append(dst, s[from:i]...), "\uFFFD"...)
			from = i + 1
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"'), true
}
