package codec

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"godwit.dev/runtime/tensor"
)

// read is the number that text holds, which must be all of text.
func read(t *rapid.T, text string) (mant uint64, exp int, found uint8) {
	mant, exp, found, end := scanned(t, text)
	if end != len(text) {
		t.Fatalf("scan(%q) ends at %d", text, end)
	}
	return mant, exp, found
}

// scanned is what scan makes of text, which must be the same whatever follows:
// nothing, enough that the eight-digit loop may read on, and enough for the
// quick path.
func scanned(t *rapid.T, text string) (mant uint64, exp int, found uint8, end int) {
	mant, exp, found, end = scan([]byte(text), 0)
	for _, more := range []string{",0000000000", ",-" + strings.Repeat("0", scanRoom)} {
		m, x, f, n := scan([]byte("9"+text+more), 1)
		if end == 0 && n == 0 {
			continue
		}
		if n != end+1 || f != found || f&truncated == 0 && (m != mant || x != exp) {
			t.Fatalf("scan(%q) = %d %d %d %d, and before %.12q %d %d %d %d", text, mant, exp, found, end, more, m, x, f, n)
		}
	}
	return mant, exp, found, end
}

// drawDecimal draws decimals of every length, many near the limits of floats.
func drawDecimal(t *rapid.T) string {
	text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,26})?`).Draw(t, "digits")
	if rapid.Bool().Draw(t, "exponent") {
		text += fmt.Sprintf("e%d", rapid.SampledFrom([]int{-400, -330, -60, -45, -30, -22, -8, -1, 0, 1, 8, 15, 22, 23, 38, 39, 308, 320}).Draw(t, "e")+
			rapid.IntRange(-3, 3).Draw(t, "more"))
	}
	return text
}

// drawNear64 draws a decimal at the midpoint between a float64 and the next,
// exactly or cut to some digits, perhaps with one more far behind.
func drawNear64(t *rapid.T) string {
	b := rapid.OneOf(rapid.Uint64Range(0, 0x7feffffffffffffe), rapid.Uint64Range(0, 1<<52+10), rapid.Uint64Range(0, 99)).Draw(t, "bits64")
	lo, hi := new(big.Float).SetFloat64(math.Float64frombits(b)), new(big.Float).SetFloat64(math.Float64frombits(b+1))
	mid := new(big.Float).SetPrec(60).Add(lo, hi)
	mid.Quo(mid, big.NewFloat(2))
	digits := rapid.OneOf(rapid.IntRange(15, 40), rapid.IntRange(700, 900)).Draw(t, "precision64")
	text := mid.Text('e', digits)
	if e := strings.IndexByte(text, 'e'); rapid.Bool().Draw(t, "nudge64") {
		text = text[:e] + rapid.StringMatching(`0{0,30}1`).Draw(t, "tail64") + text[e:]
	}
	return text
}

// drawNear draws a decimal at, or a little beside, the midpoint between a
// float32 and the next: where rounding twice goes wrong.
func drawNear(t *rapid.T) string {
	bits := rapid.Uint32Range(0, 0x7f7ffffe).Draw(t, "bits")
	lo, hi := float64(math.Float32frombits(bits)), float64(math.Float32frombits(bits+1))
	digits := rapid.IntRange(0, 120).Draw(t, "precision")
	text := strconv.FormatFloat(lo+(hi-lo)/2, 'e', digits, 64)
	if text[len(text)-4] == 'e' && digits > 0 && rapid.Bool().Draw(t, "nudge") {
		text = text[:len(text)-4] + rapid.StringMatching(`0{0,30}1`).Draw(t, "tail") + text[len(text)-4:]
	}
	return text
}

func TestFloatsRoundAsStrconvDoes(t *testing.T) {
	check := func(t *rapid.T, text string) {
		mant, exp, found := read(t, text)
		want64, err := strconv.ParseFloat(text, 64)
		got64, ok := toFloat64(mant, exp, found, []byte(text))
		if ok != (err == nil) || ok && math.Float64bits(got64) != math.Float64bits(want64) {
			t.Errorf("FP64 %s: got %v %v, want %v %v", text, got64, ok, want64, err)
		}
		w, err := strconv.ParseFloat(text, 32)
		got32, ok := toFloat32(mant, exp, found, []byte(text))
		if ok != (err == nil) || ok && math.Float32bits(got32) != math.Float32bits(float32(w)) {
			t.Errorf("FP32 %s: got %v %v, want %v %v", text, got32, ok, w, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			f := math.Float32frombits(rapid.Uint32().Draw(t, "float32"))
			if f != f || math.IsInf(float64(f), 0) {
				f = 0
			}
			check(t, strconv.FormatFloat(float64(f), 'g', -1, 32))
			check(t, strconv.FormatFloat(float64(f), 'f', -1, 64))
			check(t, strconv.FormatFloat(rapid.Float64Range(-1e3, 1e3).Draw(t, "float64"), 'g', -1, 64))
			check(t, drawDecimal(t))
			check(t, drawNear(t))
			check(t, drawNear64(t))
			check(t, strconv.FormatFloat(math.Float64frombits(rapid.Uint64Range(0, 1<<52).Draw(t, "subnormal")), 'g', -1, 64))
		}
	})
	// One in some thousand decimals of 19 digits has a midpoint of two float64s
	// in its first 20 digits and more behind them.
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		digits := strconv.FormatUint(1e18+rng.Uint64N(9e18), 10)
		point := rng.IntN(19)
		text := "0." + digits
		if point > 0 {
			text = digits[:point] + "." + digits[point:]
		}
		mant, exp, found, end := scan([]byte(text), 0)
		got, ok := toFloat64(mant, exp, found, []byte(text))
		if want, err := strconv.ParseFloat(text, 64); err != nil || !ok || end != len(text) || got != want {
			t.Fatalf("FP64 %s: got %v %v, want %v %v", text, got, ok, want, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for _, text := range []string{"0", "-0", "-0.0", "0e5", "0e-9999999999", "1e-9999999999999999999", "16777217", "16777219",
			"9007199254740993", "18446744073709551615", "18446744073709551616", "184467440737095516160", "1844674407370955161.6",
			"0.00000000000000000000018446744073709551616", "3.4028234e38", "3.40282351e38", "3.4028235677973366e38", "3.4028235677973367e38", "3.5e38", "-1e39", "1e309",
			"1.17549435e-38", "1e-45", "7e-46", "1e-320", "2.47e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.4703282292062327208299e-324", "4.9e-324", "1.7976931348623158e308", "1.7976931348623159e308", "1.79769313486231580793e308", "1e-342", "1e-344", "1e-345", "1e310",
			"0." + strings.Repeat("0", 1000) + "1e1000", strings.Repeat("9", 400) + "e-300", "2.2250738585072011e-308", "0.1", "123456789012345678", "1234567890123456789012", "100000000000000000000000"} {
			check(t, text)
		}
	})
}

// strconv reads more than 800 digits before the point wrongly.
func TestFloatsOfManyDigits(t *testing.T) {
	zeros := strings.Repeat("0", 5000)
	for text, want := range map[string]float64{
		"1" + zeros + "e-5000": 1, "-1" + zeros + ".0e-5001": -0.1, "9007199254740993" + zeros + "e-5000": 9007199254740992,
		"9007199254740993" + zeros + "1e-5001": 9007199254740994, "9007199254740993." + zeros + "1": 9007199254740994, "0." + zeros + "15e5001": 1.5,
	} {
		mant, exp, found, end := scan([]byte(text), 0)
		if got, ok := toFloat64(mant, exp, found, []byte(text)); !ok || got != want || end != len(text) {
			t.Errorf("%.20s…%s: got %v %v, want %v", text, text[len(text)-8:], got, ok, want)
		}
	}
}

// halfOf rounds an exact rational to the nearest value of a 16-bit float by
// looking at all positive ones around it.
func halfOf(t *rapid.T, text string, value func(uint16) float32, infinity uint16) (want uint16, ok bool) {
	r, fine := new(big.Rat).SetString(text)
	if !fine {
		t.Fatalf("big.Rat cannot read %q", text)
	}
	sign := uint16(0)
	if text[0] == '-' {
		sign = 0x8000
		r.Neg(r)
	}
	rat := func(bits uint16) *big.Rat {
		if bits == infinity { // as if the format went on
			last := new(big.Rat).SetFloat64(float64(value(infinity - 1)))
			before := new(big.Rat).SetFloat64(float64(value(infinity - 2)))
			return new(big.Rat).Sub(new(big.Rat).Add(last, last), before)
		}
		return new(big.Rat).SetFloat64(float64(value(bits)))
	}
	lo, hi := uint16(0), infinity
	if r.Cmp(rat(hi)) >= 0 {
		return 0, false
	}
	for hi-lo > 1 { // rat(lo) <= r < rat(hi)
		if mid := lo + (hi-lo)/2; r.Cmp(rat(mid)) >= 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	twice := new(big.Rat).Add(r, r)
	switch c := twice.Cmp(new(big.Rat).Add(rat(lo), rat(hi))); {
	case c > 0, c == 0 && lo&1 == 1:
		lo = hi
	}
	return lo | sign, lo != infinity
}

func TestHalvesRoundOnceFromTheDecimal(t *testing.T) {
	check := func(t *rapid.T, text string) {
		mant, exp, found := read(t, text)
		if _, fine := toFloat64(mant, exp, found, []byte(text)); !fine {
			return
		}
		for _, tt := range []struct {
			d        tensor.DType
			value    func(uint16) float32
			infinity uint16
		}{{tensor.FP16, tensor.Float16, 0x7c00}, {tensor.BF16, tensor.BFloat16, 0x7f80}} {
			got, ok := toHalf(tt.d, mant, exp, found, []byte(text))
			want, wantOK := halfOf(t, text, tt.value, tt.infinity)
			if ok != wantOK || ok && got != want {
				t.Errorf("%v %s: got %#04x %v, want %#04x %v", tt.d, text, got, ok, want, wantOK)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 3 {
			// A midpoint between two halves, exactly or with a digit far behind.
			bits := rapid.Uint16Range(0, 0x7bfe).Draw(t, "bits")
			for _, value := range []func(uint16) float32{tensor.Float16, tensor.BFloat16} {
				mid := (float64(value(bits)) + float64(value(bits+1))) / 2
				text := strconv.FormatFloat(mid, 'f', -1, 64)
				check(t, text)
				check(t, "-"+text)
				check(t, strconv.FormatFloat(mid, 'e', 130, 64))
				check(t, strconv.FormatFloat(math.Nextafter(mid, 0), 'e', -1, 64))
				check(t, strconv.FormatFloat(math.Nextafter(mid, math.Inf(1)), 'e', -1, 64))
				exact := strconv.FormatFloat(mid, 'f', 140, 64)
				check(t, exact+"1")
				check(t, strconv.FormatFloat(math.Nextafter(mid, 0), 'e', 17, 64))
			}
			check(t, drawDecimal(t))
			// Short decimals at and around midpoints.
			check(t, strconv.Itoa(rapid.IntRange(-66000, 66000).Draw(t, "whole")))
			check(t, fmt.Sprintf("%d.%dE%d", rapid.IntRange(0, 70000).Draw(t, "whole"), rapid.IntRange(0, 99).Draw(t, "part"), rapid.IntRange(-9, 30).Draw(t, "e")))
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		for _, text := range []string{"0", "-0", "2049", "2049.0", "2049.00000001", "2050.99999999", "-2051.0000000001", "2049e0", "20490e-1", "2049.00000000000000000000000000001", "2048.99999999999999999999999999999", "2051", "65504", "65519.999999999999999999999", "65520",
			"65520e0", "0.65520e5", "655200000e-4", "0.000000059604644775390625", "2.98023223876953125e-8", "2.980232238769531250000000000000001e-8", "2.9802322387695312e-8", "1e-400", "3.3961775292304601e38", "3.396177529230460e38", "1e39", "1e-41"} {
			check(t, text)
		}
	})
}

func TestIntegersAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			text := rapid.OneOf(
				rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})`),
				rapid.Map(rapid.Int64(), func(v int64) string { return strconv.FormatInt(v, 10) }),
				rapid.Map(rapid.Uint64(), func(v uint64) string { return strconv.FormatUint(v, 10) }),
				rapid.SampledFrom([]string{"127", "128", "-128", "-129", "255", "256", "-1", "-0", "32767", "32768", "-32768", "-32769", "65535", "65536",
					"2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808",
					"-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "36893488147419103232", "-18446744073709551616"}),
			).Draw(t, "text")
			mant, _, found := read(t, text)
			for d := tensor.Uint8; d <= tensor.Int64; d++ {
				bits := 8 * d.Size()
				var want uint64
				var err error
				if d >= tensor.Int8 {
					var v int64
					v, err = strconv.ParseInt(text, 10, bits)
					want = uint64(v)
				} else if text == "-0" {
					want = 0
				} else {
					want, err = strconv.ParseUint(text, 10, bits)
				}
				got, ok := toInteger(d, mant, found, []byte(text))
				if ok != (err == nil) || ok && got != want {
					t.Errorf("%v %s: got %d %v, want %d %v", d, text, got, ok, want, err)
				}
			}
		}
	})
}

// The powers are those that math/big computes.
func TestPowersOfTen(t *testing.T) {
	for i, got := range powers {
		exp := (i + minStep) * powerStep
		// 10^exp as a fraction, scaled to 128 bits by a power of two.
		num, den := new(big.Int), new(big.Int)
		ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exp, -exp))), nil)
		if exp >= 0 {
			num, den = ten.Lsh(ten, 512), big.NewInt(1)
		} else {
			num, den = num.Lsh(big.NewInt(1), 2048), ten
		}
		q := num.Quo(num, den)
		q.Rsh(q, uint(q.BitLen()-128))
		if want := fmt.Sprintf("%x", q); fmt.Sprintf("%016x%016x", got.hi, got.lo) != want {
			t.Errorf("1e%d: got %016x%016x, want %s", exp, got.hi, got.lo, want)
		}
	}
	if len(powers)+minStep <= maxExponent/powerStep || minStep*powerStep > minExponent {
		t.Error("the powers do not cover all exponents")
	}
}

// scan takes exactly what JSON calls a number.
func TestScanHasTheGrammarOfJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			text := rapid.StringMatching(`[-+.eE0-9]{1,12}|-?[0-9]{1,40}(\.[0-9]{0,40})?|-?[0-9]{1,3}\.?[0-9]{0,10}[eE]?[-+]?[0-9]{0,2}`).Draw(t, "text")
			_, _, _, end := scanned(t, text)
			if got, want := end == len(text), json.Valid([]byte(text)); got != want {
				t.Errorf("scan(%q) ends at %d of %d, but json.Valid is %v", text, end, len(text), want)
			}
		}
	})
}
