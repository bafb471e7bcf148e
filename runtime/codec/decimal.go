package codec

import (
	"bytes"
	"strconv"
)

// decimalDigits is more than the significant digits of any value that
// compareDecimal is asked about: a midpoint of two BF16 values is a whole
// multiple of 2^-134 below 2^129, which has at most 39 digits before and 134
// after the point, of which no more than 100 are significant when both are.
const decimalDigits = 140

// compareDecimal compares the magnitudes of a JSON number and of f exactly:
// -1 when text is nearer to zero, 0 when both are equal, 1 otherwise. f must
// have at most decimalDigits significant decimal digits.
func compareDecimal(text []byte, f float64) int {
	var buf [decimalDigits + 16]byte
	a, aexp := significant(text)
	b, bexp := significant(strconv.AppendFloat(buf[:0], f, 'e', decimalDigits-1, 64))
	switch {
	case a.empty() || b.empty():
		return boolInt(!a.empty()) - boolInt(!b.empty())
	case aexp != bexp:
		return boolInt(aexp > bexp) - boolInt(aexp < bexp)
	}
	for {
		x, more := a.next()
		y, more2 := b.next()
		if x != y {
			return boolInt(x > y) - boolInt(x < y)
		}
		if !more && !more2 {
			return 0
		}
	}
}

// figures iterates over a number's significant digits; after the last come zeros.
type figures struct{ text []byte }

func (f *figures) empty() bool { return len(f.text) == 0 }

func (f *figures) next() (digit byte, ok bool) {
	if len(f.text) > 0 && f.text[0] == '.' {
		f.text = f.text[1:]
	}
	if len(f.text) == 0 {
		return '0', false
	}
	digit = f.text[0]
	f.text = f.text[1:]
	return digit, true
}

// significant splits a number in JSON's grammar into its digits, without
// zeros in front, and the exponent of the first of them. Zero has no digits.
func significant(text []byte) (figures, int) {
	text = bytes.TrimPrefix(text, []byte("-"))
	exp := 0
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		exp, _ = exponent(text, e+1)
		text = text[:e]
	}
	point := bytes.IndexByte(text, '.')
	if point < 0 {
		point = len(text)
	}
	first := bytes.IndexAny(text, "123456789")
	switch {
	case first < 0:
		return figures{}, 0
	case first < point:
		exp += point - first - 1
	default:
		exp += point - first
	}
	return figures{text[first:]}, exp
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
