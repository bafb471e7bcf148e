package samples

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"

	"godwit.dev/runtime/tensor"
)

var errTooLarge = errors.New("too large")

// read returns the elements of the first rows, row by row whatever the file's
// order, as they are in the file. Memory grows with what is there, not with
// what the header says. d is what the elements will become, limit how many
// bytes they may take.
func (a *array) read(rows int, d tensor.DType, limit int64) ([]byte, error) {
	columns, _ := tensor.Elements(a.shape[1:])
	cost := max(a.size, d.Size())
	if d == tensor.Bytes {
		cost += 24 // the slice that holds a string
	}
	if hi, lo := bits.Mul64(uint64(columns), uint64(rows*cost)); hi != 0 || lo > uint64(limit) {
		return nil, fmt.Errorf("want at most %d bytes in %s, got shape %s of %s: %w", limit, plural(rows, "request"), tensor.FormatShape(a.shape), a.descr, errTooLarge)
	}
	var buf bytes.Buffer
	if !a.fortran {
		return a.copy(&buf, int64(rows*columns*a.size))
	}
	skip := (a.shape[0] - int64(rows)) * int64(a.size)
	if hi, lo := bits.Mul64(uint64(columns), uint64(skip)); hi != 0 || lo > maxSkipped {
		return nil, fmt.Errorf("want at most %d bytes between rows, got Fortran order and shape %s: %w", maxSkipped, tensor.FormatShape(a.shape), errTooLarge)
	}
	for range columns {
		if _, err := a.copy(&buf, int64(rows*a.size)); err != nil {
			return nil, err
		}
		// At the end of a short file the next copy fails.
		if _, err := io.CopyN(io.Discard, a.data, skip); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	return a.transpose(buf.Bytes(), rows), nil
}

func (a *array) copy(buf *bytes.Buffer, n int64) ([]byte, error) {
	if _, err := io.CopyN(buf, a.data, n); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("want %s elements of %s, got the end of the file before", tensor.FormatShape(a.shape), a.descr)
	} else if err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// transpose brings elements, of which the first index runs fastest and the
// last slowest, into the order of rows.
func (a *array) transpose(in []byte, rows int) []byte {
	trailing := a.shape[1:]
	strides := make([]int, len(trailing))
	columns := 1
	for d := len(trailing) - 1; d >= 0; d-- {
		strides[d] = columns
		columns *= int(trailing[d])
	}
	out := make([]byte, len(in))
	index := make([]int64, len(trailing))
	for from := 0; from < len(in); {
		column := 0
		for d, i := range index {
			column += int(i) * strides[d]
		}
		for row := range rows {
			copy(out[(row*columns+column)*a.size:], in[from:from+a.size])
			from += a.size
		}
		for d := range index {
			if index[d]++; index[d] < trailing[d] {
				break
			}
			index[d] = 0
		}
	}
	return out
}

// set converts one element. ok is false where t cannot hold it; got is then
// what it is.
func (a *array) set(t *tensor.Tensor, k int, raw []byte) (got string, ok bool) {
	switch a.kind {
	case 'S', 'U':
		text, valid := a.text(raw)
		if ok = valid && t.Type == tensor.Bytes; ok {
			t.Strings[k] = text
		}
		return quote(string(text)), ok
	case 'f':
		v := a.float(raw)
		return strconv.FormatFloat(v, 'g', -1, 64), t.Type != tensor.Bytes && setReal(t, k, v)
	}
	v, negative := a.integer(raw)
	got = strconv.FormatUint(v, 10)
	if negative {
		got = "-" + got
	}
	return got, t.Type != tensor.Bytes && setInteger(t, k, negative, v)
}

// text is a string element without the NULs that fill it up. ok is false when
// it is no valid text, which requests in JSON could not hold.
func (a *array) text(raw []byte) (text []byte, ok bool) {
	if a.kind == 'S' {
		text = slices.Clone(bytes.TrimRight(raw, "\x00"))
		return text, utf8.Valid(text)
	}
	text, ok = []byte{}, true
	for i := 0; i < len(raw); i += 4 {
		r := rune(a.order.Uint32(raw[i:]))
		ok = ok && utf8.ValidRune(r)
		text = utf8.AppendRune(text, r)
	}
	return bytes.TrimRight(text, "\x00"), ok
}

func (a *array) float(raw []byte) float64 {
	switch a.size {
	case 2:
		return float64(tensor.Float16(a.order.Uint16(raw)))
	case 4:
		return float64(math.Float32frombits(a.order.Uint32(raw)))
	}
	return math.Float64frombits(a.order.Uint64(raw))
}

// integer is the magnitude and the sign of an integer or bool element.
func (a *array) integer(raw []byte) (v uint64, negative bool) {
	switch a.size {
	case 1:
		v = uint64(raw[0])
	case 2:
		v = uint64(a.order.Uint16(raw))
	case 4:
		v = uint64(a.order.Uint32(raw))
	default:
		v = a.order.Uint64(raw)
	}
	switch {
	case a.kind == 'b':
		return min(v, 1), false
	case a.kind == 'i' && v>>(8*a.size-1) == 1:
		return -v & (1<<(8*a.size) - 1), true
	}
	return v, false
}
