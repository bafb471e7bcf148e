package tensor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Tolerance is how far a floating-point value may be from the wanted one:
// |got-want| ≤ Absolute + Relative·|want|. Both are at least 0; the zero value
// asks for equal numbers.
type Tolerance struct {
	Relative, Absolute float64
}

// Difference is one element that is not as wanted.
type Difference struct {
	Index     []int64 // one number for each dimension
	Want, Got string  // the values as an error message shows them
}

// Diff is what Compare found.
type Diff struct {
	// Problem says why elements could not be compared: another type, another
	// shape, or data that does not fit its shape. It is "" otherwise.
	Problem string

	Elements  int // that were compared
	Different int // of them, those beyond the tolerance

	// First and Worst are set when Different is not 0. Worst exceeds the
	// tolerance most; NaN or an infinity in the place of another value exceeds
	// any tolerance. Among equally bad ones it is the first.
	First, Worst Difference

	// The largest differences of all elements, also of those within the
	// tolerance. MaxRelative, to |want|, leaves out elements wanted to be 0.
	// MaxULP counts representable values of the tensor's own type. Pairs with
	// NaN or an infinity, and BOOL and BYTES, do not count in any of them;
	// integers do not count in MaxULP.
	MaxAbsolute, MaxRelative float64
	MaxULP                   uint64
}

// Compare compares type, shape and elements, not names. BOOL, integers and
// BYTES must be equal; floating-point elements must be within tol, where NaN
// equals NaN, -0 equals 0, and an infinity equals only itself.
func Compare(want, got *Tensor, tol Tolerance) Diff {
	var d Diff
	if d.Problem = incomparable(want, got); d.Problem != "" {
		return d
	}
	d.Elements = want.Len()
	if want.Type != Bytes && bytes.Equal(want.Data, got.Data) {
		return d
	}
	first, worst, most := -1, -1, pair{}
	for i := range d.Elements {
		p := comparePair(want, got, i, tol)
		d.MaxAbsolute, d.MaxRelative, d.MaxULP = max(d.MaxAbsolute, p.abs), max(d.MaxRelative, p.rel), max(d.MaxULP, p.ulp)
		if !p.different {
			continue
		}
		d.Different++
		if first < 0 {
			first = i
		}
		if worst < 0 || p.worse(most) {
			worst, most = i, p
		}
	}
	if first >= 0 {
		d.First, d.Worst = difference(want, got, first), difference(want, got, worst)
	}
	return d
}

// OK reports whether got is as wanted.
func (d Diff) OK() bool { return d.Problem == "" && d.Different == 0 }

// String is one sentence for people, without a full stop.
func (d Diff) String() string {
	switch {
	case d.Problem != "":
		return d.Problem
	case d.Different == 0 && d.MaxAbsolute == 0 && d.MaxULP == 0:
		return fmt.Sprintf("%s as wanted", count(d.Elements))
	case d.Different == 0:
		return fmt.Sprintf("%s within tolerance, the largest difference is %s", count(d.Elements), d.largest())
	}
	var b strings.Builder
	verb := "differ"
	if d.Different == 1 {
		verb = "differs"
	}
	fmt.Fprintf(&b, "%d of %s %s: at %s want %s, got %s", d.Different, count(d.Elements), verb, FormatShape(d.First.Index), d.First.Want, d.First.Got)
	if FormatShape(d.Worst.Index) != FormatShape(d.First.Index) {
		fmt.Fprintf(&b, "; worst at %s want %s, got %s", FormatShape(d.Worst.Index), d.Worst.Want, d.Worst.Got)
	}
	if d.MaxAbsolute != 0 {
		b.WriteString("; the largest difference is " + d.largest())
	}
	return b.String()
}

func count(n int) string {
	if n == 1 {
		return "1 element"
	}
	return strconv.Itoa(n) + " elements"
}

func (d Diff) largest() string {
	s := fmt.Sprintf("%.3g", d.MaxAbsolute)
	if d.MaxRelative != 0 {
		s += fmt.Sprintf(" (relative %.3g)", d.MaxRelative)
	}
	if d.MaxULP != 0 {
		s += fmt.Sprintf(", %d ULP", d.MaxULP)
	}
	return s
}

func incomparable(want, got *Tensor) string {
	if want.Type != got.Type || FormatShape(want.Shape) != FormatShape(got.Shape) {
		return fmt.Sprintf("want %v %s, got %v %s", want.Type, FormatShape(want.Shape), got.Type, FormatShape(got.Shape))
	}
	for _, t := range []*Tensor{want, got} {
		if err := t.Check(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// pair is how two elements differ.
type pair struct {
	different bool
	excess    float64 // the difference in tolerances
	size      float64 // the difference; infinite where it is not a number
	abs, rel  float64 // what counts for the maxima
	ulp       uint64
}

func (p pair) worse(q pair) bool {
	return p.excess > q.excess || p.excess == q.excess && p.size > q.size
}

func comparePair(want, got *Tensor, i int, tol Tolerance) pair {
	switch t := want.Type; {
	case t == Bytes:
		return pair{different: !bytes.Equal(want.Strings[i], got.Strings[i])}
	case t == Bool:
		return pair{different: want.Data[i] != got.Data[i]}
	case t >= FP16:
		return compareFloats(want, got, i, tol)
	}
	w, g := bitsAt(want, i), bitsAt(got, i)
	if w == g {
		return pair{}
	}
	less := w < g
	if want.Type >= Int8 {
		less = signed(w, want.Type) < signed(g, want.Type)
		w, g = uint64(signed(w, want.Type)), uint64(signed(g, want.Type))
	}
	distance := w - g
	if less {
		distance = g - w
	}
	p := pair{different: true, abs: float64(distance)}
	p.excess, p.size = p.abs, p.abs
	if value := magnitude(w, want.Type); value != 0 {
		p.rel = p.abs / value
	}
	return p
}

func compareFloats(want, got *Tensor, i int, tol Tolerance) pair {
	w, g := floatAt(want, i), floatAt(got, i)
	switch {
	case w == g || w != w && g != g:
		return pair{}
	case w != w || g != g || math.IsInf(w, 0) || math.IsInf(g, 0):
		return pair{different: true, excess: math.Inf(1), size: math.Inf(1)}
	}
	abs, allowed := math.Abs(g-w), tol.Absolute+tol.Relative*math.Abs(w)
	p := pair{different: !(abs <= allowed), excess: abs / allowed, size: abs, abs: abs}
	if w != 0 {
		p.rel = abs / math.Abs(w)
	}
	p.ulp = ulps(bitsAt(want, i), bitsAt(got, i), want.Type.Size())
	return p
}

// ulps is the distance of two floats, given as bits, on the line of all
// values of their type, on which -0 and 0 are one.
func ulps(a, b uint64, size int) uint64 {
	sign := uint64(1) << (8*size - 1)
	if a&sign == b&sign {
		return max(a, b) - min(a, b)
	}
	return a&^sign + b&^sign
}

// bitsAt is element i as it lies in memory.
func bitsAt(t *Tensor, i int) uint64 {
	switch t.Type.Size() {
	case 1:
		return uint64(t.Data[i])
	case 2:
		return uint64(binary.LittleEndian.Uint16(t.Data[2*i:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return binary.LittleEndian.Uint64(t.Data[8*i:])
}

// signed extends the sign of an integer of type d.
func signed(bits uint64, d DType) int64 {
	shift := 64 - 8*d.Size()
	return int64(bits<<shift) >> shift
}

func magnitude(extended uint64, d DType) float64 {
	if d >= Int8 {
		return math.Abs(float64(int64(extended)))
	}
	return float64(extended)
}

func floatAt(t *Tensor, i int) float64 {
	bits := bitsAt(t, i)
	switch t.Type {
	case FP16:
		return float64(Float16(uint16(bits)))
	case BF16:
		return float64(BFloat16(uint16(bits)))
	case FP32:
		return float64(math.Float32frombits(uint32(bits)))
	}
	return math.Float64frombits(bits)
}

func difference(want, got *Tensor, i int) Difference {
	index := make([]int64, len(want.Shape))
	rest := int64(i)
	for dim := len(index) - 1; dim >= 0; dim-- {
		index[dim] = rest % want.Shape[dim]
		rest /= want.Shape[dim]
	}
	return Difference{Index: index, Want: show(want, i), Got: show(got, i)}
}

func show(t *Tensor, i int) string {
	switch {
	case t.Type == Bytes:
		return quote(t.Strings[i])
	case t.Type == Bool:
		return strconv.FormatBool(t.Data[i] != 0)
	case t.Type == FP64:
		return strconv.FormatFloat(floatAt(t, i), 'g', -1, 64)
	case t.Type >= FP16:
		return strconv.FormatFloat(floatAt(t, i), 'g', -1, 32)
	case t.Type >= Int8:
		return strconv.FormatInt(signed(bitsAt(t, i), t.Type), 10)
	}
	return strconv.FormatUint(bitsAt(t, i), 10)
}

// quote shows a byte string, cut short where it would fill the message.
func quote(s []byte) string {
	const most = 48
	if len(s) <= most {
		return strconv.Quote(string(s))
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:cut], len(s))
}
