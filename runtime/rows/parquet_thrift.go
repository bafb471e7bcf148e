package rows

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The types of Thrift's compact protocol.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// thriftDepth is how deep structs nest: in Parquet's metadata 5, at most.
const thriftDepth = 16

var errThrift = errors.New("the metadata ends early")

// thriftReader reads the compact protocol. The first mistake stays in err, and
// everything after it is zero, so that structs are read without a check for
// each field. It allocates nothing that the bytes do not have: a list is never
// longer than what is left of them, because each element has a byte at least.
type thriftReader struct {
	b     []byte
	pos   int
	depth int
	err   error
}

func (r *thriftReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.pos = len(r.b)
}

func (r *thriftReader) byte() byte {
	if r.pos >= len(r.b) {
		if r.err == nil {
			r.err = errThrift
		}
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

func (r *thriftReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[min(r.pos, len(r.b)):])
	if n <= 0 {
		if r.err == nil {
			r.err = errThrift
		}
		r.pos = len(r.b)
		return 0
	}
	r.pos += n
	return v
}

func (r *thriftReader) int() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// int32 refuses what 32 bits do not hold.
func (r *thriftReader) int32() int32 {
	v := r.int()
	if int64(int32(v)) != v {
		r.fail("the metadata has %d where 32 bits are to be", v)
		return 0
	}
	return int32(v)
}

// bytes shares memory with what is read.
func (r *thriftReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)-r.pos) {
		r.fail("the metadata has a value of %d bytes, and %d are left", n, len(r.b)-r.pos)
		return nil
	}
	b := r.b[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b
}

func (r *thriftReader) list() (length int, elem byte) {
	c := r.byte()
	n := uint64(c >> 4)
	if n == 15 {
		n = r.uvarint()
	}
	if n > uint64(len(r.b)-r.pos) {
		r.fail("the metadata has a list of %d elements, and %d bytes are left", n, len(r.b)-r.pos)
		return 0, 0
	}
	return int(n), c & 15
}

// fields calls each with every field of a struct. What it does not read it
// must skip.
func (r *thriftReader) fields(each func(id int16, kind byte)) {
	if r.depth++; r.depth > thriftDepth {
		r.fail("the metadata nests deeper than %d", thriftDepth)
	}
	last := int16(0)
	for r.err == nil {
		c := r.byte()
		if c&15 == thriftStop {
			break
		}
		if d := int16(c >> 4); d != 0 {
			last += d
		} else {
			last = int16(r.int32())
		}
		each(last, c&15)
	}
	r.depth--
}

// structs calls each with every element of a list of structs.
func (r *thriftReader) structs(kind byte, begin func(n int), each func(i int)) {
	if kind != thriftList {
		r.skip(kind)
		return
	}
	n, elem := r.list()
	if elem != thriftStruct && n > 0 {
		r.fail("the metadata has a list of type %d where structs are to be", elem)
		return
	}
	begin(n)
	for i := 0; i < n && r.err == nil; i++ {
		each(i)
	}
}

func (r *thriftReader) skip(kind byte) {
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		r.byte()
	case thriftI16, thriftI32, thriftI64:
		r.uvarint()
	case thriftDouble:
		if len(r.b)-r.pos < 8 {
			r.fail("%w", errThrift)
			return
		}
		r.pos += 8
	case thriftBinary:
		r.bytes()
	case thriftList, thriftSet:
		n, elem := r.list()
		if r.depth++; r.depth > thriftDepth {
			r.fail("the metadata nests deeper than %d", thriftDepth)
		}
		for i := 0; i < n && r.err == nil; i++ {
			r.skipElem(elem)
		}
		r.depth--
	case thriftMap:
		n := r.uvarint()
		if n == 0 {
			return
		}
		kinds := r.byte()
		if r.depth++; n > uint64(len(r.b)-r.pos) || r.depth > thriftDepth {
			r.fail("the metadata has a map of %d entries, and %d bytes are left", n, len(r.b)-r.pos)
		}
		for i := uint64(0); i < n && r.err == nil; i++ {
			r.skipElem(kinds >> 4)
			r.skipElem(kinds & 15)
		}
		r.depth--
	case thriftStruct:
		r.fields(func(_ int16, kind byte) { r.skip(kind) })
	default:
		r.fail("the metadata has a field of the unknown type %d", kind)
	}
}

// skipElem skips an element of a list, where a boolean has a byte of its own.
func (r *thriftReader) skipElem(kind byte) {
	if kind == thriftTrue || kind == thriftFalse {
		kind = thriftByte
	}
	r.skip(kind)
}

// thriftWriter appends the compact protocol.
type thriftWriter struct {
	b    []byte
	last []int16 // the last field's id in each open struct
}

func (w *thriftWriter) begin() { w.last = append(w.last, 0) }

func (w *thriftWriter) end() {
	w.b = append(w.b, thriftStop)
	w.last = w.last[:len(w.last)-1]
}

func (w *thriftWriter) field(id int16, kind byte) {
	last := &w.last[len(w.last)-1]
	w.b = append(w.b, byte(id-*last)<<4|kind) // our structs' ids are never 16 apart
	*last = id
}

func (w *thriftWriter) varint(v int64) {
	w.b = binary.AppendUvarint(w.b, uint64(v)<<1^uint64(v>>63))
}

func (w *thriftWriter) i32(id int16, v int32) {
	w.field(id, thriftI32)
	w.varint(int64(v))
}

func (w *thriftWriter) i64(id int16, v int64) {
	w.field(id, thriftI64)
	w.varint(v)
}

func (w *thriftWriter) bool(id int16, v bool) {
	kind := byte(thriftFalse)
	if v {
		kind = thriftTrue
	}
	w.field(id, kind)
}

func (w *thriftWriter) string(id int16, s string) {
	w.field(id, thriftBinary)
	w.text(s)
}

func (w *thriftWriter) text(s string) {
	w.b = binary.AppendUvarint(w.b, uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *thriftWriter) list(id int16, elem byte, n int) {
	w.field(id, thriftList)
	w.listHead(elem, n)
}

func (w *thriftWriter) listHead(elem byte, n int) {
	if n < 15 {
		w.b = append(w.b, byte(n)<<4|elem)
		return
	}
	w.b = append(w.b, 0xf0|elem)
	w.b = binary.AppendUvarint(w.b, uint64(n))
}
