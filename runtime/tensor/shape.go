package tensor

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Elements is the product of shape's dimensions: 1 for rank 0, 0 when any
// dimension is 0. ok is false when a dimension is negative or when the
// product, ignoring zeros, exceeds an int: a zero must not hide an overflow,
// because code that multiplies in another order would wrap.
func Elements(shape []int64) (n int, ok bool) {
	product, zero := uint64(1), false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, false
		case d == 0:
			zero = true
		default:
			hi, lo := bits.Mul64(product, uint64(d))
			if hi != 0 || lo > math.MaxInt {
				return 0, false
			}
			product = lo
		}
	}
	if zero {
		return 0, true
	}
	return int(product), true
}

// ByteSize is the number of bytes of a tensor with fixed-size elements. ok is
// false where Elements is not ok or the bytes exceed an int.
func ByteSize(d DType, shape []int64) (n int, ok bool) {
	elements, ok := Elements(shape)
	if !ok {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(elements), uint64(d.Size()))
	if hi != 0 || lo > math.MaxInt {
		return 0, false
	}
	return int(lo), true
}

// FormatShape prints a shape as error messages do: "[-1 4]", "[]" for rank 0.
func FormatShape(shape []int64) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, d := range shape {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.FormatInt(d, 10))
	}
	b.WriteByte(']')
	return b.String()
}
