package codec

import (
	"encoding/binary"
	"math"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// count is the number of t's elements, after the limits have been checked
// and before anything is allocated for them.
func (d *decoder) count(t *tensor.Tensor) (int, error) {
	n, ok := tensor.Elements(t.Shape)
	if !ok {
		return 0, d.fail(fault.Invalid, "want a shape with a countable number of elements, got %s", tensor.FormatShape(t.Shape))
	}
	if n > d.lim.Elements {
		return 0, d.fail(fault.TooLarge, "want at most %d elements, got shape %s with %d", d.lim.Elements, tensor.FormatShape(t.Shape), n)
	}
	most := d.lim.Body
	if most > math.MaxInt64/4 {
		most = math.MaxInt64 / 4
	}
	if size, ok := tensor.ByteSize(t.Type, t.Shape); !ok || int64(size) > 4*most {
		return 0, d.fail(fault.TooLarge, "want at most %d bytes, got %v %s", 4*most, t.Type, tensor.FormatShape(t.Shape))
	}
	return n, nil
}

// data decodes the JSON value at d.i into t, whose type and shape are known.
// It is flat, or nested as deep as the shape; rank 0 may also be a bare value.
func (d *decoder) data(t *tensor.Tensor) error {
	n, err := d.count(t)
	if err != nil {
		return err
	}
	// An element takes at least a digit or two quotes, and a comma.
	per := 2
	if t.Type == tensor.Bytes {
		per = 3
	}
	if left := len(d.b) - d.i; n > left/per+1 {
		return d.fail(fault.Invalid, "want %d elements for shape %s, got only %d bytes of JSON", n, tensor.FormatShape(t.Shape), left)
	}
	if t.Type == tensor.Bytes {
		t.Strings = make([][]byte, n)
	} else {
		t.Data = make([]byte, n*t.Type.Size())
	}
	d.space()
	if len(t.Shape) == 0 && !d.at('[') {
		return d.run(t, 0, 1, 1)
	}
	if err := d.enter('[', "an array as \"data\""); err != nil {
		return err
	}
	d.space()
	if d.at('[') && len(t.Shape) > 1 {
		_, err := d.nested(t, 0, 0, n)
		return err
	}
	return d.row(t, 0, n, n)
}

// nested decodes the rest of an array whose elements are the slices of t along
// dimension dim, the first element of which is number from of all.
func (d *decoder) nested(t *tensor.Tensor, dim, from, all int) (next int, err error) {
	n := int(t.Shape[dim])
	if dim == len(t.Shape)-1 {
		return from + n, d.row(t, from, n, all)
	}
	for i := range n {
		ok, err := d.nextElement(i > 0)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, d.fail(fault.Invalid, "want %s in dimension %d of shape %s, got %d", plural(n, "row"), dim, tensor.FormatShape(t.Shape), i)
		}
		if !d.at('[') {
			return 0, d.fail(fault.Invalid, "element %d: want a row, as nested as shape %s, got %s", from, tensor.FormatShape(t.Shape), d.found())
		}
		if err := d.enter('[', ""); err != nil {
			return 0, err
		}
		if from, err = d.nested(t, dim+1, from, all); err != nil {
			return 0, err
		}
	}
	ok, err := d.nextElement(n > 0)
	if err == nil && ok {
		err = d.fail(fault.Invalid, "want %s in dimension %d of shape %s, got more", plural(n, "row"), dim, tensor.FormatShape(t.Shape))
	}
	return from, err
}

// row decodes the rest of an array of n elements, of which the first is number
// from of t's all. Its opening bracket has been read.
func (d *decoder) row(t *tensor.Tensor, from, n, all int) error {
	d.space()
	if n > 0 || !d.at(']') {
		if err := d.run(t, from, n, all); err != nil {
			return err
		}
		d.space()
	}
	switch {
	case d.at(']'):
		d.leave()
		return nil
	case d.at(','), n == 0:
		return d.fail(fault.Invalid, "want %s, got more", wanted(t, n, all))
	}
	return d.syntax(`"," or "]"`)
}

// wanted tells how many elements an array should have.
func wanted(t *tensor.Tensor, n, all int) string {
	s := plural(n, "element") + " for shape " + tensor.FormatShape(t.Shape)
	if n != all {
		s = plural(n, "element") + " in each row of shape " + tensor.FormatShape(t.Shape)
	}
	return s
}

// run decodes n elements with the commas between them.
func (d *decoder) run(t *tensor.Tensor, from, n, all int) error {
	for done := 0; done < n; {
		if t.Type == tensor.Bytes {
			some, err := d.strings(t.Strings[from+done : from+n])
			if err != nil {
				return err
			}
			done += some
		} else {
			size := t.Type.Size()
			next, some := numbers(t.Type, d.b, d.i, t.Data[(from+done)*size:(from+n)*size])
			d.i = next
			done += some
		}
		if done == n {
			break
		}
		if !d.nonFinite(t, from+done) {
			return d.badElement(t, from, done, n, all)
		}
		if done++; done == n {
			break
		}
		if d.space(); !d.at(',') {
			return d.badElement(t, from, done, n, all)
		}
		d.i++
		d.space()
	}
	return nil
}

// nonFinite reads what stands for NaN and the infinities, in responses only.
func (d *decoder) nonFinite(t *tensor.Tensor, k int) bool {
	if !d.nan || t.Type < tensor.FP16 || t.Type > tensor.FP64 {
		return false
	}
	var v float64
	switch {
	case d.word("null"), d.word(`"NaN"`):
		v = math.NaN()
	case d.word(`"Infinity"`):
		v = math.Inf(1)
	case d.word(`"-Infinity"`):
		v = math.Inf(-1)
	default:
		return false
	}
	switch t.Type {
	case tensor.FP32:
		binary.LittleEndian.PutUint32(t.Data[4*k:], math.Float32bits(float32(v)))
	case tensor.FP64:
		binary.LittleEndian.PutUint64(t.Data[8*k:], math.Float64bits(v))
	case tensor.FP16:
		binary.LittleEndian.PutUint16(t.Data[2*k:], tensor.ToFloat16(v))
	case tensor.BF16:
		binary.LittleEndian.PutUint16(t.Data[2*k:], tensor.ToBFloat16(v))
	}
	return true
}

// strings decodes JSON strings up to one that is none.
func (d *decoder) strings(dst [][]byte) (done int, err error) {
	for k := range dst {
		i, ok := separator(d.b, d.i, k > 0)
		d.i = i
		switch {
		case ok && d.at('"'):
			dst[k], err = d.str()
		case ok && d.encoded && d.at('{'):
			dst[k], err = d.base64()
		default:
			return k, nil
		}
		if err != nil {
			return k, err
		}
		if len(dst[k]) > d.lim.StringBytes {
			return k, d.fail(fault.Invalid, "want at most %d bytes in each BYTES element, got %d", d.lim.StringBytes, len(dst[k]))
		}
	}
	return len(dst), nil
}

// badElement says why element from+done, at d.i, or the separator before it
// could not be read.
func (d *decoder) badElement(t *tensor.Tensor, from, done, n, all int) error {
	before := d.i - 1
	for before >= 0 && (d.b[before] == ' ' || d.b[before] == '\n' || d.b[before] == '\t' || d.b[before] == '\r') {
		before--
	}
	comma := before >= 0 && d.b[before] == ','
	switch {
	case d.i >= len(d.b) || d.at('}') || d.at(','):
		return d.syntax("an element of \"data\"")
	case d.at(']') && !comma:
		return d.fail(fault.Invalid, "want %s, got %d", wanted(t, n, all), done)
	case d.at(']'):
		return d.syntax("an element of \"data\"")
	case done > 0 && !comma:
		return d.syntax(`"," or "]"`)
	}
	err := d.fail(fault.Invalid, "element %d: want %s, got %s", from+done, elementOf(t.Type), d.found())
	switch rest := d.b[d.i:]; {
	case rest[0] == '[':
		err.WithHint("Nest data as deep as its shape, or not at all.")
	case t.Type == tensor.Bytes:
		err.WithHint("Send BYTES as JSON strings.")
	case t.Type >= tensor.FP16 && (rest[0] == 'N' || rest[0] == 'n' || rest[0] == 'I' || rest[0] == 'i' || len(rest) > 1 && rest[0] == '-' && rest[1]-'0' > 9):
		err.WithHint("JSON has no NaN and no infinity; send them through the binary tensor extension.")
	}
	return err
}

// elementOf says what a JSON element of type t must be.
func elementOf(t tensor.DType) string {
	switch t {
	case tensor.Bool:
		return "true or false"
	case tensor.Bytes:
		return "a string"
	case tensor.FP16:
		return "a number for FP16 (-65504 to 65504)"
	case tensor.BF16, tensor.FP32, tensor.FP64:
		return "a number within the range of " + t.String()
	case tensor.Int8:
		return "a whole number for INT8 (-128 to 127)"
	case tensor.Int16:
		return "a whole number for INT16 (-32768 to 32767)"
	case tensor.Int32:
		return "a whole number for INT32 (-2147483648 to 2147483647)"
	case tensor.Int64:
		return "a whole number for INT64 (-9223372036854775808 to 9223372036854775807)"
	case tensor.Uint8:
		return "a whole number for UINT8 (0 to 255)"
	case tensor.Uint16:
		return "a whole number for UINT16 (0 to 65535)"
	case tensor.Uint32:
		return "a whole number for UINT32 (0 to 4294967295)"
	}
	return "a whole number for UINT64 (0 to 18446744073709551615)"
}
