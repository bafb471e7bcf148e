package samples

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit.dev/runtime/tensor"
)

// newTensor is a tensor of zeros, whose shape fits into memory.
func newTensor(name string, d tensor.DType, shape []int64) tensor.Tensor {
	t := tensor.Tensor{Name: name, Type: d, Shape: shape}
	n := t.Len()
	if d == tensor.Bytes {
		t.Strings = make([][]byte, n)
		for i := range t.Strings {
			t.Strings[i] = []byte{}
		}
		return t
	}
	t.Data = make([]byte, n*d.Size())
	return t
}

// wanted says what element of type d must be.
func wanted(d tensor.DType) string {
	size := 8 * d.Size()
	switch {
	case d == tensor.Bool:
		return "true, false, 1 or 0 for BOOL"
	case d == tensor.Bytes:
		return "text for BYTES"
	case isFloat(d):
		return "a number within the range of " + d.String()
	case d >= tensor.Int8:
		return fmt.Sprintf("a whole number from %d to %d for %v", int64(-1)<<(size-1), int64(1)<<(size-1)-1, d)
	}
	return fmt.Sprintf("a whole number from 0 to %d for %v", uint64(1)<<size-1, d)
}

func isFloat(d tensor.DType) bool { return d >= tensor.FP16 && d <= tensor.FP64 }

// setCell sets element k of t to what a cell says. The error is what was
// wanted instead.
func setCell(t *tensor.Tensor, k int, cell string) error {
	number := strings.TrimSpace(cell)
	ok := false
	switch d := t.Type; {
	case d == tensor.Bytes:
		if ok = utf8.ValidString(cell); ok {
			t.Strings[k] = []byte(cell)
		}
	case isFloat(d):
		ok = setDecimal(t, k, number)
	case d == tensor.Bool && strings.EqualFold(number, "true"):
		ok = setInteger(t, k, false, 1)
	case d == tensor.Bool && strings.EqualFold(number, "false"):
		ok = setInteger(t, k, false, 0)
	default:
		digits, negative := strings.CutPrefix(whole(number), "-")
		if v, err := strconv.ParseUint(digits, 10, 64); err == nil {
			ok = setInteger(t, k, negative, v)
		}
	}
	if !ok {
		return errors.New(wanted(t.Type))
	}
	return nil
}

// whole drops a fraction of zeros: tables with missing values hold integers
// as "5.0".
func whole(number string) string {
	if text, fraction, ok := strings.Cut(number, "."); ok && strings.Trim(fraction, "0") == "" {
		return text
	}
	return number
}

// setDecimal sets a floating-point element to the nearest value of a decimal;
// FP16 and BF16 to that of the decimal's nearest float64.
func setDecimal(t *tensor.Tensor, k int, number string) bool {
	if number == "" || strings.EqualFold(number, "NA") {
		return setFloat(t, k, math.NaN())
	}
	if strings.ContainsAny(number, "xX_") {
		return false // Go's own ways to write numbers
	}
	size := 64
	if t.Type == tensor.FP32 {
		size = 32 // rounded once, not to 64 bits before
	}
	v, err := strconv.ParseFloat(number, size)
	return err == nil && setFloat(t, k, v)
}

// setFloat sets a floating-point element to the nearest value of its type; ok
// is false when a finite v would become infinite.
func setFloat(t *tensor.Tensor, k int, v float64) (ok bool) {
	var rounded float64
	switch t.Type {
	case tensor.FP16:
		half := tensor.ToFloat16(v)
		rounded = float64(tensor.Float16(half))
		setBits(t, k, uint64(half))
	case tensor.BF16:
		half := tensor.ToBFloat16(v)
		rounded = float64(tensor.BFloat16(half))
		setBits(t, k, uint64(half))
	case tensor.FP32:
		rounded = float64(float32(v))
		setBits(t, k, uint64(math.Float32bits(float32(v))))
	default:
		rounded = v
		setBits(t, k, math.Float64bits(v))
	}
	return math.IsInf(v, 0) || !math.IsInf(rounded, 0)
}

// setInteger sets an element of any type but BYTES to ±v; ok is false when it
// cannot hold exactly that.
func setInteger(t *tensor.Tensor, k int, negative bool, v uint64) (ok bool) {
	d := t.Type
	limit := uint64(1)<<(8*d.Size()) - 1 // a shift by 64 gives 0 in Go, and so all ones
	switch {
	case isFloat(d):
		f := float64(v)
		if negative {
			f = -f
		}
		return bits.Len64(v)-bits.TrailingZeros64(v) <= precision(d) && setFloat(t, k, f)
	case d == tensor.Bool:
		limit = 1
	case d >= tensor.Int8:
		limit >>= 1
		if negative {
			limit++
		}
	}
	if d < tensor.Int8 && negative {
		limit = 0 // -0 is 0
	}
	if v > limit {
		return false
	}
	if negative {
		v = -v
	}
	setBits(t, k, v)
	return true
}

// precision is the number of significant bits of a floating-point type.
func precision(d tensor.DType) int {
	switch d {
	case tensor.FP16:
		return 11
	case tensor.BF16:
		return 8
	case tensor.FP32:
		return 24
	}
	return 53
}

// setReal is setInteger for a floating-point number; a floating-point element
// takes the nearest value.
func setReal(t *tensor.Tensor, k int, v float64) (ok bool) {
	if isFloat(t.Type) {
		return setFloat(t, k, v)
	}
	// Also false for NaN.
	if !(math.Abs(v) < 1<<64) || v != math.Trunc(v) {
		return false
	}
	return setInteger(t, k, v < 0, uint64(math.Abs(v)))
}

// setBits writes the low bytes of an element.
func setBits(t *tensor.Tensor, k int, v uint64) {
	switch t.Type.Size() {
	case 1:
		t.Data[k] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(t.Data[2*k:], uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(t.Data[4*k:], uint32(v))
	default:
		binary.LittleEndian.PutUint64(t.Data[8*k:], v)
	}
}
