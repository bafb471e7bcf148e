package codec

import "math/bits"

// format describes a binary floating-point type with IEEE 754's layout.
type format struct {
	fraction int // bits after the point
	bias     int // of the exponent
}

var (
	formatFP64 = format{52, 1023}
	formatFP32 = format{23, 127}
	formatFP16 = format{10, 15}
	formatBF16 = format{7, 127}
)

// The decimal exponents beyond which a number with at most maxDigits digits
// overflows, or becomes 0, in every format.
const (
	maxExponent = 309
	minExponent = -325 - maxDigits
)

// round gives the bits, without the sign, of the value of f that is nearest to
// mant × 10^exp, ties to even. The number is rounded once, however long its
// text is. ok is false when it overflows.
//
// strconv would do for FP64 and FP32, but takes up to 40 µs for a number of
// seven bytes when the result is subnormal: minutes for a body of a few MiB.
func (f format) round(mant uint64, exp int, found uint8, text []byte) (v uint64, ok bool) {
	cut := found&truncated != 0
	if cut {
		mant, exp = leading(text)
	}
	switch {
	case mant == 0 || exp < minExponent:
		return 0, true
	case exp > maxExponent:
		return 0, false
	}
	hi, lo, exp2, exact := scale(mant, exp)
	exact = exact && !cut
	// The true value is between hi:lo and that plus slack.
	var slackHi, slack uint64 = 0, 4
	if cut { // mant lacks less than one of 10^18 parts
		slackHi = hi>>59 + 2
	}

	// The last bit that f keeps has the value 2^drop in units of hi:lo's last.
	drop := 127 - f.fraction
	if below := 1 - f.bias - exp2; below > 0 {
		drop += below // subnormal
	} else if exp2 > f.bias {
		return 0, false
	}
	if drop > 129 {
		return 0, true
	}
	// At drop 129 half of the last bit is 2^128, which a shift turns into 0.
	kept := hi >> (drop - 64)
	rest := hi & (1<<(drop-64) - 1)
	half := uint64(1) << (drop - 65)
	_, carry := bits.Add64(lo, slack, 0)
	upper, carry := bits.Add64(rest, slackHi, carry)
	var up bool
	switch {
	case drop == 129 && carry == 0:
		up = false
	case drop < 129 && (rest > half || rest == half && lo > 0):
		up = true
	case drop < 129 && carry == 0 && upper < half:
		up = false
	case exact: // and so rest:lo is half:0
		up = kept&1 == 1
	default:
		c := compareBinary(text, 2*kept+1, exp2-127+drop-1)
		up = c > 0 || c == 0 && kept&1 == 1
	}
	if up {
		kept++
	}
	// In a normal number kept has the leading bit, which is not stored; a carry
	// into the exponent is just the next value up.
	if drop == 127-f.fraction {
		kept += uint64(exp2+f.bias-1) << f.fraction
	}
	return kept, kept < uint64(2*f.bias+1)<<f.fraction
}

// scale gives mant × 10^exp as hi:lo × 2^(exp2-127), rounded down by less than
// four units of lo, with the highest bit of hi set. mant is not 0.
func scale(mant uint64, exp int) (hi, lo uint64, exp2 int, exact bool) {
	step := exp / powerStep
	if exp%powerStep < 0 {
		step--
	}
	// Exactly mant × 10^(exp - step × powerStep), its highest bit set.
	hi, lo = bits.Mul64(mant, pow10u[exp-step*powerStep])
	n := bits.LeadingZeros64(hi)
	if hi == 0 {
		n = 64 + bits.LeadingZeros64(lo)
		hi, lo = lo, 0
	}
	hi, lo = hi<<(n%64)|lo>>(64-n%64), lo<<(n%64)
	exp2 = 127 - n

	// Times the power of ten, which lacks less than one unit: of the 256 bits
	// of the product the upper 128 then lack less than two.
	p := &powers[step-minStep]
	exp2 += step*powerStep*217706>>16 + 1 // log2(10) is 217706 / 2^16, which is near enough here
	hh, hl := bits.Mul64(hi, p.hi)
	lh, ll := bits.Mul64(hi, p.lo)
	mh, ml := bits.Mul64(lo, p.hi)
	xh, xl := bits.Mul64(lo, p.lo)
	low, c1 := bits.Add64(ll, ml, 0)
	low, c2 := bits.Add64(low, xh, 0)
	lo, c1 = bits.Add64(hl, lh, c1)
	hi = hh + c1
	lo, c1 = bits.Add64(lo, mh, c2)
	hi += c1
	exact = step >= 0 && step <= 2 && low|xl == 0
	if hi>>63 == 0 {
		hi, lo = hi<<1|lo>>63, lo<<1|low>>63
		exp2--
	}
	return hi, lo, exp2, exact
}

// leading gives the first maxDigits significant digits of a number that has
// more, and the decimal exponent of the last of them.
func leading(text []byte) (mant uint64, exp int) {
	d := significant(text)
	for range maxDigits {
		digit, _ := d.next()
		mant = mant*10 + uint64(digit)
	}
	return mant, d.exp - maxDigits + 1
}

// compareBinary compares the magnitude of a JSON number with m × 2^exp2,
// exactly: -1 when the number is nearer to zero.
func compareBinary(text []byte, m uint64, exp2 int) int {
	// No midpoint of two values of any format has more significant digits.
	const mostDigits = 800
	var a, b natural
	d := significant(text)
	exp, more := d.exp+1, true
	for n := 0; more && n < mostDigits; {
		var chunk uint64
		scale := uint64(1)
		for range maxDigits {
			var digit byte
			if digit, more = d.next(); !more {
				break
			}
			chunk = chunk*10 + uint64(digit)
			scale *= 10
			n++
			exp--
		}
		a.mulAdd(scale, chunk)
	}
	b.mulAdd(1, m)
	// Now compare a × 10^exp with b × 2^exp2: fives go to one side, twos to the other.
	for e := exp; e > 0; e -= min(e, 27) {
		a.mulAdd(pow5(min(e, 27)), 0)
	}
	for e := -exp; e > 0; e -= min(e, 27) {
		b.mulAdd(pow5(min(e, 27)), 0)
	}
	if shift := exp - exp2; shift > 0 {
		a.shiftLeft(shift)
	} else {
		b.shiftLeft(-shift)
	}
	c := a.compare(&b)
	if c == 0 && d.nonZero() {
		return 1
	}
	return c
}

func pow5(n int) uint64 {
	v := uint64(1)
	for range n {
		v *= 5
	}
	return v
}

// natural is an integer of up to 4096 bits, the lowest word first. Both sides
// of compareBinary are about equal and have at most 818 digits, or a midpoint
// times 5^1161: no more than 2800 bits.
type natural struct {
	n     int
	words [64]uint64
}

// mulAdd makes a = a × m + c.
func (a *natural) mulAdd(m, c uint64) {
	for i := range a.n {
		hi, lo := bits.Mul64(a.words[i], m)
		var carry uint64
		a.words[i], carry = bits.Add64(lo, c, 0)
		c = hi + carry
	}
	if c > 0 {
		a.words[a.n] = c
		a.n++
	}
}

func (a *natural) shiftLeft(n int) {
	if n%64 > 0 {
		a.mulAdd(1<<(n%64), 0)
	}
	words := n / 64
	copy(a.words[words:], a.words[:a.n])
	clear(a.words[:words])
	a.n += words
}

func (a *natural) compare(b *natural) int {
	if a.n != b.n {
		return boolInt(a.n > b.n) - boolInt(a.n < b.n)
	}
	for i := a.n - 1; i >= 0; i-- {
		if x, y := a.words[i], b.words[i]; x != y {
			return boolInt(x > y) - boolInt(x < y)
		}
	}
	return 0
}

// figures iterates over a number's significant digits.
type figures struct {
	text []byte // from the next digit on, a point perhaps among them
	exp  int    // the decimal exponent of the first digit
}

// next is the next digit's value; ok is false after the last.
func (f *figures) next() (digit byte, ok bool) {
	if len(f.text) > 0 && f.text[0] == '.' {
		f.text = f.text[1:]
	}
	if len(f.text) == 0 || f.text[0]-'0' > 9 {
		return 0, false
	}
	digit = f.text[0] - '0'
	f.text = f.text[1:]
	return digit, true
}

// nonZero tells whether any digit that has not been read is not 0.
func (f *figures) nonZero() bool {
	for {
		digit, ok := f.next()
		if digit > 0 || !ok {
			return ok
		}
	}
}

// significant finds the first digit that is not 0 of a number in JSON's grammar.
func significant(text []byte) figures {
	first, point, end := -1, -1, len(text)
	for i, c := range text {
		switch {
		case c == '.':
			point = i
		case c|0x20 == 'e':
			end = i
		case c-'0' <= 9 && c != '0' && first < 0:
			first = i
		}
		if end == i {
			break
		}
	}
	exp := 0
	if end < len(text) {
		exp, _ = exponent(text, end+1)
	}
	if point < 0 {
		point = end
	}
	switch {
	case first < 0 || first > end:
		return figures{}
	case first < point:
		exp += point - first - 1
	default:
		exp += point - first
	}
	return figures{text[first:end], exp}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
