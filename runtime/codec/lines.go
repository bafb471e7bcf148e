package codec

import (
	"encoding/binary"
	"math"

	"godwit.dev/runtime/tensor"
)

// Fields decodes fields of a line of CSV that are numbers as JSON has them into
// dst, whose length says how many: they are separated by one comma each and end
// at stop, where b goes on with the end of the line. It stops at the first field
// that is none of type t, where next is then the field's beginning, or at stop.
// After the last one next is where it ends. t is not BYTES.
func Fields(t tensor.DType, b []byte, i, stop int, dst []byte) (next, done int) {
	if t != tensor.FP32 {
		return otherFields(t, b, i, stop, dst)
	}
	for k := 0; k+4 <= len(dst); k += 4 {
		if k > 0 {
			if i == stop {
				return i, k / 4
			}
			i++ // the comma, which has been seen
		}
		mant, exp, found, end := scan(b, i)
		if end == 0 || end != stop && b[end] != ',' {
			return i, k / 4
		}
		v, ok := usualFloat32(mant, exp, found)
		if !ok {
			if v, ok = toFloat32(mant, exp, found, b[i:end]); !ok {
				return i, k / 4
			}
		}
		binary.LittleEndian.PutUint32(dst[k:], math.Float32bits(v))
		i = end
	}
	return i, len(dst) / 4
}

// otherFields is Fields for the rest of the types.
func otherFields(t tensor.DType, b []byte, i, stop int, dst []byte) (next, done int) {
	size := t.Size()
	for k := 0; k+size <= len(dst); k += size {
		if k > 0 {
			if i == stop {
				return i, k / size
			}
			i++
		}
		end := number(t, b, i, dst[k:k+size])
		if end == 0 || end > stop || end != stop && b[end] != ',' {
			return i, k / size
		}
		i = end
	}
	return i, len(dst) / size
}

// number decodes the number at b[i:] and returns where it ends, 0 if it is none
// of type t.
func number(t tensor.DType, b []byte, i int, dst []byte) (end int) {
	switch t {
	case tensor.Bool:
		if i < len(b) && !space(b[i]) {
			if next, done := bools(b, i, dst); done == 1 {
				return next
			}
		}
		return 0
	case tensor.FP64:
		mant, exp, found, end := scan(b, i)
		if end > 0 {
			v, ok := toFloat64(mant, exp, found, b[i:end])
			if !ok {
				return 0
			}
			binary.LittleEndian.PutUint64(dst, math.Float64bits(v))
		}
		return end
	case tensor.FP32:
		mant, exp, found, end := scan(b, i)
		if end > 0 {
			v, ok := toFloat32(mant, exp, found, b[i:end])
			if !ok {
				return 0
			}
			binary.LittleEndian.PutUint32(dst, math.Float32bits(v))
		}
		return end
	}
	if i >= len(b) || space(b[i]) {
		return 0
	}
	next, done := numbers(t, b, i, dst)
	if done == 0 {
		return 0
	}
	return next
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// Number decodes the number, or for BOOL true or false, that b[i:stop] is in
// JSON, into dst, which is as long as an element of type t. b may go on behind
// stop. ok is false where it is none.
func Number(t tensor.DType, b []byte, i, stop int, dst []byte) (ok bool) {
	return number(t, b, i, dst) == stop && i < stop
}

// ElementOf says what an element of type t is in JSON: "a number within the
// range of FP32".
func ElementOf(t tensor.DType) string { return elementOf(t) }

// AppendFloat writes the shortest number that reads back as the same float of
// 32 or 64 bits, in the form that encoding/json gives it. v is finite.
func AppendFloat(dst []byte, v float64, bits int) []byte { return appendFloat(dst, v, bits) }

// AppendString writes a JSON string; ok is false where s is not UTF-8.
func AppendString(dst, s []byte) (_ []byte, ok bool) { return appendString(dst, s, true) }

// A Line reads one line of JSON Lines: an object whose keys are columns. It is
// used again for the next line, by one goroutine at a time. What it returns
// borrows the line, or memory that lasts until two more lines have been read.
//
// Errors are Invalid, and name the byte of the line and what was wanted there.
type Line struct {
	d    decoder
	some bool
	nan  bool
}

// NewLine makes a Line. With missing, null is NaN for inputs of floating point
// and "" for those of BYTES, and "NaN", "Infinity" and "-Infinity" are numbers.
func NewLine(missing bool) *Line {
	l := &Line{nan: missing}
	l.d = decoder{op: "codec.Line", document: "row", lim: (*Limits)(nil).WithDefaults(), nan: missing}
	l.d.lim.StringBytes, l.d.lim.Params = math.MaxInt, 1024
	return l
}

// Begin begins a line: b may hold more behind it, which is only ever read where
// the line is broken; see At.
func (l *Line) Begin(b []byte) error {
	l.d.b, l.d.i, l.d.depth, l.d.keys.n, l.some = b, 0, 0, 0, false
	return l.d.enter('{', "an object")
}

// At is the next byte to read. What has been read is of this line only if At is
// not beyond its end.
func (l *Line) At() int { return l.d.i }

// Key moves to the value of the next key; ok is false after the last. Keys may
// occur twice.
func (l *Line) Key() (key []byte, ok bool, err error) {
	d := &l.d
	d.space()
	if d.at('}') {
		d.leave()
		return nil, false, nil
	}
	if l.some {
		if !d.at(',') {
			return nil, false, d.syntax(`"," or "}"`)
		}
		d.i++
		d.space()
	}
	l.some = true
	if !d.at('"') {
		return nil, false, d.syntax("a key in double quotes")
	}
	if key, err = d.str(); err != nil {
		return nil, false, err
	}
	if !d.at(':') {
		d.space()
		if !d.at(':') {
			return nil, false, d.syntax(`":"`)
		}
	}
	d.i++
	d.space()
	return key, true, nil
}

// Expect is Key for a key that likely comes next, given as JSON in its quotes
// with the colon: ok is false, and nothing has been read, if something else does.
func (l *Line) Expect(quoted []byte) (ok bool) {
	d := &l.d
	i := d.i
	if l.some {
		if i >= len(d.b) || d.b[i] != ',' {
			return false
		}
		i++
		if i < len(d.b) && d.b[i] == ' ' {
			i++
		}
	}
	if len(d.b)-i < len(quoted) || string(d.b[i:i+len(quoted)]) != string(quoted) {
		return false
	}
	l.some = true
	d.i = i + len(quoted)
	d.space()
	return true
}

// Skip reads the value and checks it.
func (l *Line) Skip() error { return l.d.skip() }

// Raw reads the value and returns it as it is written.
func (l *Line) Raw() ([]byte, error) {
	from := l.d.i
	err := l.d.skip()
	return l.d.b[from:l.d.i:l.d.i], err
}

// Row decodes the value into t, the row of an input: its type and shape are
// known, and Data or Strings are of their length. An input of one element takes a
// bare value or a list.
func (l *Line) Row(t *tensor.Tensor) error {
	d := &l.d
	n := t.Len()
	if n == 1 && !d.at('[') {
		if t.Type == tensor.Bytes && l.nan && d.word("null") {
			t.Strings[0] = nil
			return nil
		}
		if d.i < len(d.b) && (d.at('}') || d.at(',')) {
			return d.syntax("a value")
		}
		return d.run(t, 0, 1, 1)
	}
	if !d.at('[') {
		return d.syntax("a list of " + plural(n, "element"))
	}
	if err := d.enter('[', ""); err != nil {
		return err
	}
	d.space()
	if d.at('[') && len(t.Shape) > 1 {
		_, err := d.nested(t, 0, 0, n)
		return err
	}
	return d.row(t, 0, n, n)
}

// End checks that nothing follows the object.
func (l *Line) End() error { return l.d.end() }

// List counts the elements of the list that comes next, at any depth; ok is
// false if it is none. It reads the value.
func (l *Line) List() (n int, ok bool, err error) {
	d := &l.d
	if !d.at('[') {
		return 0, false, d.skip()
	}
	n, err = d.count1()
	return n, true, err
}

// count1 counts the elements of nested arrays that are none themselves.
func (d *decoder) count1() (n int, err error) {
	if err := d.enter('[', "a list"); err != nil {
		return 0, err
	}
	for some := false; ; some = true {
		ok, err := d.nextElement(some)
		if err != nil || !ok {
			return n, err
		}
		if d.at('[') {
			inner, err := d.count1()
			if err != nil {
				return n, err
			}
			n += inner
			continue
		}
		if err := d.skip(); err != nil {
			return n, err
		}
		n++
	}
}

// Back goes back to where a value began, as At told, to read it once more.
func (l *Line) Back(at int) { l.d.i, l.d.depth = at, 1 }

// Text is the text of a JSON string, as a Line has read it.
func Text(raw []byte) ([]byte, error) {
	d := decoder{op: "codec.Text", document: "string", b: raw}
	if !d.at('"') {
		return nil, d.syntax("a string")
	}
	text, err := d.str()
	if err != nil {
		return nil, err
	}
	return text, d.end()
}
