package rows

import (
	"bytes"
	"encoding/binary"
	"math"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/tensor"
)

// textNumber decodes a field of text that codec's scanner did not take: one that
// is empty, has spaces around it, a plus sign, zeros in front, no digit before
// or after the point, or a word such as NaN. reason is "" or what was wanted and got.
func textNumber(t tensor.DType, text, dst []byte, noMissing bool) (reason string) {
	given := text
	text = bytes.Trim(text, " \t")
	if len(text) == 0 {
		if noMissing || !isFloat(t) {
			return "want " + codec.ElementOf(t) + ", got an empty field"
		}
		putFloat(t, math.NaN(), dst)
		return ""
	}
	if codec.Number(t, text, 0, len(text), dst) {
		return ""
	}
	if t == tensor.Bool {
		switch {
		case bytes.EqualFold(text, []byte("true")), string(text) == "1":
			dst[0] = 1
			return ""
		case bytes.EqualFold(text, []byte("false")), string(text) == "0":
			dst[0] = 0
			return ""
		}
		return "want true or false, got " + quote(given)
	}
	sign := []byte(nil)
	rest := text
	if rest[0] == '+' || rest[0] == '-' {
		if rest[0] == '-' {
			sign = rest[:1]
		}
		rest = rest[1:]
	}
	if isFloat(t) {
		v, ok := math.Inf(1), true
		switch {
		case bytes.EqualFold(rest, []byte("nan")):
			v = math.NaN()
		case bytes.EqualFold(rest, []byte("inf")), bytes.EqualFold(rest, []byte("infinity")):
		default:
			ok = false
		}
		if ok {
			if sign != nil {
				v = -v
			}
			putFloat(t, v, dst)
			return ""
		}
	}
	if usual, ok := usualForm(sign, rest); ok && (isFloat(t) || bytes.IndexByte(rest, '.') < 0) && codec.Number(t, usual, 0, len(usual), dst) {
		return ""
	}
	return "want " + codec.ElementOf(t) + ", got " + quote(given)
}

// usualForm is an unsigned number as JSON writes it: 007 is 7, .5 is 0.5 and 1. is 1.
func usualForm(sign, rest []byte) (_ []byte, ok bool) {
	digits := 0
	for digits < len(rest) && rest[digits]-'0' <= 9 {
		digits++
	}
	zeros := 0
	for zeros+1 < digits && rest[zeros] == '0' {
		zeros++
	}
	out := append(make([]byte, 0, len(rest)+2), sign...)
	out = append(out, rest[zeros:digits]...)
	rest = rest[digits:]
	if len(rest) > 0 && rest[0] == '.' {
		fraction := 0
		for fraction+1 < len(rest) && rest[fraction+1]-'0' <= 9 {
			fraction++
		}
		if digits == 0 && fraction == 0 {
			return nil, false
		}
		if digits == 0 {
			out = append(out, '0')
		}
		if fraction > 0 {
			out = append(out, rest[:fraction+1]...)
		}
		rest = rest[fraction+1:]
	} else if digits == 0 {
		return nil, false
	}
	return append(out, rest...), true
}

func isFloat(t tensor.DType) bool { return t >= tensor.FP16 && t <= tensor.FP64 }

// putFloat writes NaN or an infinity.
func putFloat(t tensor.DType, v float64, dst []byte) {
	switch t {
	case tensor.FP32:
		binary.LittleEndian.PutUint32(dst, math.Float32bits(float32(v)))
	case tensor.FP64:
		binary.LittleEndian.PutUint64(dst, math.Float64bits(v))
	case tensor.FP16:
		binary.LittleEndian.PutUint16(dst, tensor.ToFloat16(v))
	default:
		binary.LittleEndian.PutUint16(dst, tensor.ToBFloat16(v))
	}
}
