package codec

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"godwit.dev/runtime/tensor"
)

// What scan found besides digits.
const (
	negative  = 1 << iota // a minus sign
	notInt                // a fraction or an exponent, even if the value is whole
	truncated             // more significant digits than mant holds: mant and exp mean nothing
)

const (
	eightZeros = 0x3030303030303030
	maxDigits  = 19 // 10^19-1 is the largest run of nines in a uint64
)

// The powers of ten that a float64, and those that a uint64, holds exactly.
var (
	pow10f = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}
	// Not exact, but for the first.
	pow10i = [...]float64{1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11,
		1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-21, 1e-22}
	pow10u = [...]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}
)

// scanRoom is more than scan reads before it gives up: a sign, six digits and
// what digits reads after them, a point, and three times eight bytes.
const scanRoom = 64

// scan reads the JSON number at b[i:]: its value is ±mant × 10^exp. end is
// where it ends, 0 when there is no number in JSON's grammar. What follows the
// number is the caller's to check.
//
// It branches only on what is the same for most numbers of an array, since a
// branch that cannot be foreseen costs as much as eight digits. What is
// unusual, or near the end of b, it leaves to scanAny.
func scan(b []byte, i int) (mant uint64, exp int, found uint8, end int) {
	if len(b)-i < scanRoom {
		return scanAny(b, i)
	}
	from := i
	found = uint8((uint64(b[i]^'-') - 1) >> 63) // negative
	i += int(found)
	start := i
	mant = uint64(b[i] - '0')
	if mant > 9 {
		return 0, 0, 0, 0
	}
	i++
	if d := uint64(b[i] - '0'); d <= 9 {
		if mant == 0 {
			return 0, 0, 0, 0
		}
		for ; d <= 9; d = uint64(b[i] - '0') {
			mant = mant*10 + d
			i++
			if i == start+4 {
				if mant, _, i = digits(b[:from+scanRoom/2], i, mant, 4); i-start > maxDigits {
					return scanAny(b, from)
				}
				break
			}
		}
	}
	if b[i] == '.' {
		found |= notInt
		i++
		point := i
		v := binary.LittleEndian.Uint64(b[i:]) ^ eightZeros
		others := notDigits(v)
		if others == 0 {
			mant = mant*1e8 + eight(v)
			i += 8
			v = binary.LittleEndian.Uint64(b[i:]) ^ eightZeros
			if others = notDigits(v); others == 0 {
				mant = mant*1e8 + eight(v)
				i += 8
				v = binary.LittleEndian.Uint64(b[i:]) ^ eightZeros
				others = notDigits(v)
			}
		}
		if others != 0 && others&0x80 == 0 {
			count := bits.TrailingZeros64(others) / 8
			mant = mant*pow10u[count] + eight(v<<(uint(8-count)*8))
			i += count
		}
		if exp = point - i; exp == 0 {
			return 0, 0, 0, 0
		}
	}
	// A point is one of the bytes counted here, so that maxDigits is one too
	// many, and so are zeros in front; scanAny looks closer. A digit is left
	// over when there are more than the above reads.
	if c := b[i]; i-start > maxDigits || c == 'e' || c == 'E' || c-'0' <= 9 {
		return scanAny(b, from)
	}
	return mant, exp, found, i
}

// notDigits marks the bytes of v, characters less '0', that are no digits, by
// their high bit; beyond the first one it may be wrong.
func notDigits(v uint64) uint64 {
	// Adding 0x76 carries the high bit of what is above 9.
	return (v + 0x7676767676767676 | v) & 0x8080808080808080
}

// eight is the value of eight digits, the first in the lowest byte.
func eight(v uint64) uint64 {
	v = v*10 + v>>8
	return ((v&0x000000ff000000ff)*0x000f424000000064 + (v>>16&0x000000ff000000ff)*0x0000271000000001) >> 32
}

// scanAny is scan for every number.
func scanAny(b []byte, i int) (mant uint64, exp int, found uint8, end int) {
	if i < len(b) && b[i] == '-' {
		found = negative
		i++
	}
	n := 0 // significant digits
	if i < len(b) && b[i] == '0' {
		i++
		if i < len(b) && b[i]-'0' <= 9 {
			return 0, 0, 0, 0
		}
	} else {
		start := i
		for i < len(b) && b[i]-'0' <= 9 {
			mant = mant*10 + uint64(b[i]-'0')
			i++
			if i == start+3 {
				mant, n, i = digits(b, i, mant, 3)
				break
			}
		}
		if n = max(n, i-start); n == 0 {
			return 0, 0, 0, 0
		}
	}
	if i < len(b) && b[i] == '.' {
		found |= notInt
		point := i + 1
		if mant, n, i = digits(b, point, mant, n); i == point {
			return 0, 0, 0, 0
		}
		exp = point - i
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		found |= notInt
		e, next := exponent(b, i+1)
		if next == 0 {
			return 0, 0, 0, 0
		}
		exp += e
		i = next
	}
	if n > maxDigits {
		found |= truncated
	}
	return mant, exp, found, i
}

// digits reads decimal digits at b[i:] onto mant, eight at a time. n counts
// those from the first that is not zero; beyond maxDigits mant has wrapped.
func digits(b []byte, i int, mant uint64, n int) (_ uint64, _, end int) {
	for i+8 <= len(b) {
		v := binary.LittleEndian.Uint64(b[i:]) ^ eightZeros
		count := bits.TrailingZeros64(notDigits(v)) / 8
		if count == 0 {
			return mant, n, i
		}
		v <<= uint(8-count) * 8 // digits to the end, zeros before them
		if n > 0 {
			n += count
		} else {
			n = 8 - bits.TrailingZeros64(v)/8
		}
		mant = mant*pow10u[count] + eight(v)
		i += count
		if count < 8 {
			return mant, n, i
		}
	}
	for i < len(b) && b[i]-'0' <= 9 {
		mant = mant*10 + uint64(b[i]-'0')
		if n > 0 || b[i] != '0' {
			n++
		}
		i++
	}
	return mant, n, i
}

// exponent reads what follows the letter e; end is 0 when it is no exponent.
// Exponents far beyond every float are cut short, which changes no result.
func exponent(b []byte, i int) (exp, end int) {
	minus := false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		minus = b[i] == '-'
		i++
	}
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		if exp < 1<<40 {
			exp = exp*10 + int(b[i]-'0')
		}
		i++
	}
	if i == start {
		return 0, 0
	}
	if minus {
		exp = -exp
	}
	return exp, i
}

// usualFloat32 is toFloat32 where that takes one multiplication; ok is false
// elsewhere. It is small enough to be inlined.
func usualFloat32(mant uint64, exp int, found uint8) (v float32, ok bool) {
	if found&truncated != 0 || uint(exp+22) > 22 || int64(mant) < 0 {
		return 0, false
	}
	// Three roundings put f within three units in its last place of the
	// decimal. Rounding it again gives the right float32 unless a midpoint
	// between two float32s, whose low 29 bits are 1<<28, is that near. All
	// values here are 0 or at least 1e-22, so no float32 subnormal is among
	// them, and none overflows.
	f := float64(int64(mant)) * pow10i[-exp]
	low := math.Float64bits(f) & (1<<29 - 1)
	return math.Float32frombits(math.Float32bits(float32(f)) | uint32(found&negative)<<31), low-(1<<28-8) > 16
}

// toFloat32 rounds a scanned number once. text is the number itself. ok is
// false when it overflows.
func toFloat32(mant uint64, exp int, found uint8, text []byte) (v float32, ok bool) {
	if v, ok = usualFloat32(mant, exp, found); ok {
		return v, true
	}
	if found&truncated == 0 && uint(exp) <= 22 {
		f := float64(mant) * pow10f[exp] // as above, with two roundings
		if low := math.Float64bits(f) & (1<<29 - 1); low-(1<<28-8) > 16 && f < math.MaxFloat32 {
			return math.Float32frombits(math.Float32bits(float32(f)) | uint32(found&negative)<<31), true
		}
	}
	bits, ok := formatFP32.round(mant, exp, found, text)
	return math.Float32frombits(uint32(bits) | uint32(found&negative)<<31), ok
}

// toFloat64 is toFloat32 for float64.
func toFloat64(mant uint64, exp int, found uint8, text []byte) (v float64, ok bool) {
	if found&truncated == 0 && mant < 1<<53 && uint(exp+22) <= 44 { // two exact values, rounded once
		v = float64(mant)
		if exp < 0 {
			v /= pow10f[-exp]
		} else {
			v *= pow10f[exp]
		}
		return math.Float64frombits(math.Float64bits(v) | uint64(found&negative)<<63), true
	}
	bits, ok := formatFP64.round(mant, exp, found, text)
	return math.Float64frombits(bits | uint64(found&negative)<<63), ok
}

// toHalf is toFloat32 for FP16 and BF16. Rounding to float64 first would go
// wrong for a decimal just beside the midpoint of two halves.
func toHalf(d tensor.DType, mant uint64, exp int, found uint8, text []byte) (half uint16, ok bool) {
	f := formatFP16
	if d == tensor.BF16 {
		f = formatBF16
	}
	bits, ok := f.round(mant, exp, found, text)
	return uint16(bits) | uint16(found&negative)<<15, ok
}

// toInteger gives the scanned number as bits of a d. ok is false when it is
// no integer or out of d's range.
func toInteger(d tensor.DType, mant uint64, found uint8, text []byte) (v uint64, ok bool) {
	if found&notInt != 0 {
		return 0, false
	}
	if found&truncated != 0 {
		// Only UINT64 has values of twenty digits.
		var err error
		if mant, err = strconv.ParseUint(unsafe.String(unsafe.SliceData(text), len(text)), 10, 64); err != nil {
			return 0, false
		}
	}
	limit := uint64(1)<<(8*uint(d.Size())) - 1 // a shift by 64 gives 0 in Go, and so all ones
	if d >= tensor.Int8 && d <= tensor.Int64 {
		limit >>= 1
		if found&negative != 0 {
			limit++
		}
	} else if found&negative != 0 {
		limit = 0 // -0 is 0
	}
	if mant > limit {
		return 0, false
	}
	if found&negative != 0 {
		return -mant, true
	}
	return mant, true
}
