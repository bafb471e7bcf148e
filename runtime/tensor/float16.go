package tensor

import "math"

// Float16 converts IEEE 754 binary16 bits to float32; every value, subnormals,
// infinities and NaN payloads included, is exact.
func Float16(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	exp := uint32(bits>>10) & 0x1f
	frac := uint32(bits & 0x3ff)
	switch exp {
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case 0:
		// A subnormal is frac × 2^-24, which float32 holds exactly.
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// ToFloat16 rounds v to the nearest binary16, ties to even. Values beyond
// ±65504 after rounding become infinite; NaN stays NaN. Taking a float64
// avoids rounding a decimal twice.
func ToFloat16(v float64) uint16 { return toHalf(v, 15, 10, 0x7c00) }

// BFloat16 converts bfloat16 bits to float32, exactly.
func BFloat16(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }

// ToBFloat16 rounds v to the nearest bfloat16, ties to even; NaN stays NaN.
func ToBFloat16(v float64) uint16 { return toHalf(v, 127, 7, 0x7f80) }

// toHalf rounds v to a 16-bit float with the exponent bias, the number of
// fraction bits and the bits of infinity.
func toHalf(v float64, bias, fracBits int, infinity uint16) uint16 {
	b := math.Float64bits(v)
	sign := uint16(b>>48) & 0x8000
	exp := int(b>>52&0x7ff) - 1023
	frac := b & (1<<52 - 1)
	shift := uint(52 - fracBits)
	switch {
	case exp == 1024 && frac != 0:
		return sign | infinity | 1<<(fracBits-1)
	case exp > bias:
		return sign | infinity
	case exp >= 1-bias:
		return sign + uint16(roundShift(uint64(exp+bias)<<52|frac, shift))
	case exp >= -bias-fracBits: // a subnormal, or just above half of the smallest
		return sign + uint16(roundShift(1<<52|frac, shift+uint(1-bias-exp)))
	}
	return sign
}

// roundShift is v >> n, rounded to nearest, ties to even. A carry out of the
// fraction runs into the exponent, which is just the next value up.
func roundShift(v uint64, n uint) uint64 {
	half := uint64(1) << (n - 1)
	rest := v & (1<<n - 1)
	v >>= n
	if rest > half || (rest == half && v&1 == 1) {
		v++
	}
	return v
}
