package onnx

import (
	"errors"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"godwit.dev/runtime/fault"
)

const window = 64 << 10

// A cursor reads protobuf fields at any offset of a file through one window of
// memory. The first error sticks: later calls do nothing, so that the code
// that walks messages stays a plain description of them.
type cursor struct {
	r    io.ReaderAt
	size int64
	name string // of the file, for errors
	buf  []byte // file bytes from base on
	base int64
	err  error
}

// A field is one protobuf field: a number, or the extent of its bytes.
type field struct {
	num        protowire.Number
	typ        protowire.Type
	val        uint64 // of varints and fixed numbers
	start, end int64  // of the payload, file offsets
}

func (f field) len() int64 { return f.end - f.start }

func (c *cursor) fail(format string, args ...any) *fault.Error {
	e := fault.New(fault.BadModel, "onnx.Read", c.name, format, args...)
	if c.err == nil {
		c.err = e
	}
	return e
}

const (
	hintTruncated = "The file was cut off while it was copied or downloaded: fetch it again and compare its sha256."
	hintCorrupt   = "The file is damaged or is not an ONNX model: fetch or export it again."
	hintLimit     = "If the model is yours and really that large, raise the reader's limit."
)

// peek returns up to n bytes at pos, fewer at the end of the file. They are
// valid until the next call; n is at most the window.
func (c *cursor) peek(pos int64, n int) []byte {
	if c.err != nil || pos >= c.size {
		return nil
	}
	if left := c.size - pos; int64(n) > left {
		n = int(left)
	}
	if pos < c.base || pos+int64(n) > c.base+int64(len(c.buf)) {
		if c.buf == nil {
			c.buf = make([]byte, 0, min(window, c.size))
		}
		want := min(int64(cap(c.buf)), c.size-pos)
		got, err := c.r.ReadAt(c.buf[:want], pos)
		c.buf, c.base = c.buf[:got], pos
		if int64(got) < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			c.fail("read at byte %d: %w", pos, err)
			return nil
		}
	}
	return c.buf[pos-c.base:][:n]
}

// field reads the field at pos of a message that ends at end. After an error
// it returns a field that ends there, so that loops stop.
func (c *cursor) field(pos, end int64) field {
	stop := field{start: end, end: end}
	head := c.peek(pos, int(min(end-pos, 2*10)))
	num, typ, n := protowire.ConsumeTag(head)
	if c.err != nil {
		return stop
	}
	if n < 0 {
		c.broken(end, "want a protobuf field at byte %d, got % x", pos, head[:min(4, len(head))])
		return stop
	}
	f := field{num: num, typ: typ, start: pos + int64(n)}
	body := head[n:]
	switch typ {
	case protowire.VarintType:
		f.val, n = protowire.ConsumeVarint(body)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(body)
		f.val = uint64(v)
	case protowire.Fixed64Type:
		f.val, n = protowire.ConsumeFixed64(body)
	case protowire.BytesType:
		var length uint64
		if length, n = protowire.ConsumeVarint(body); n >= 0 {
			f.start += int64(n)
			if length > uint64(end-f.start) {
				c.broken(end, "field %d at byte %d is said to have %d bytes, but %d are left", num, pos, length, end-f.start)
				return stop
			}
			f.end = f.start + int64(length)
			return f
		}
	default:
		c.fail("field %d at byte %d has wire type %d, which ONNX does not use", num, pos, typ).Hint = hintCorrupt
		return stop
	}
	if n < 0 {
		c.broken(end, "field %d at byte %d has no end", num, pos)
		return stop
	}
	f.end = f.start + int64(n)
	return f
}

// broken fails with the hint that fits: a file that ends too early was cut
// off, while a message that ends too early inside of it is damaged.
func (c *cursor) broken(end int64, format string, args ...any) {
	e := c.fail(format, args...)
	e.Hint = hintCorrupt
	if end == c.size {
		e.Hint = hintTruncated
	}
}

// each calls visit for every field of the message in [start, end).
func (c *cursor) each(start, end int64, visit func(field)) {
	for pos := start; pos < end && c.err == nil; {
		f := c.field(pos, end)
		if c.err != nil {
			return
		}
		visit(f)
		pos = f.end
	}
}

// message calls visit for every field of the message that f holds.
func (c *cursor) message(f field, what string, visit func(field)) {
	if c.is(f, protowire.BytesType, what) {
		c.each(f.start, f.end, visit)
	}
}

// is fails unless f has the wire type that its number has in ONNX.
func (c *cursor) is(f field, typ protowire.Type, what string) bool {
	if f.typ != typ {
		c.fail("%s: want wire type %d, got %d, at byte %d", what, typ, f.typ, f.start).Hint = hintCorrupt
	}
	return c.err == nil
}

// integer is f's value as a signed number.
func (c *cursor) integer(f field, what string) int64 {
	if !c.is(f, protowire.VarintType, what) {
		return 0
	}
	return int64(f.val)
}

// integers calls visit for every element of a repeated number, packed or not.
func (c *cursor) integers(f field, what string, visit func(uint64)) {
	if f.typ == protowire.VarintType {
		visit(f.val)
		return
	}
	if !c.is(f, protowire.BytesType, what) {
		return
	}
	for pos := f.start; pos < f.end && c.err == nil; {
		v, n := protowire.ConsumeVarint(c.peek(pos, int(min(f.end-pos, 10))))
		if c.err == nil && n < 0 {
			c.broken(f.end, "%s: a number at byte %d has no end", what, pos)
		}
		if c.err == nil {
			visit(v)
		}
		pos += int64(n)
	}
}

// bytes returns f's payload, which must not be longer than limit. It is valid
// until the next call.
func (c *cursor) bytes(f field, what string, limit int) []byte {
	if !c.is(f, protowire.BytesType, what) {
		return nil
	}
	if f.len() > int64(limit) {
		c.fail("%s has %d bytes; the limit is %d", what, f.len(), limit).Hint = hintLimit
		return nil
	}
	if f.len() <= window {
		return c.peek(f.start, int(f.len()))
	}
	return c.copy(f.start, f.len())
}

// cut returns f's payload as valid text of at most limit bytes, and "…" where
// that cut it.
func (c *cursor) cut(f field, what string, limit int) string {
	if !c.is(f, protowire.BytesType, what) {
		return ""
	}
	if f.len() <= int64(limit) {
		return strings.ToValidUTF8(string(c.copy(f.start, f.len())), "\uFFFD")
	}
	// The cut may halve the last character; dropping invalid bytes drops it.
	return strings.ToValidUTF8(string(c.copy(f.start, int64(limit))), "") + "…"
}

func (c *cursor) copy(pos, n int64) []byte {
	b := make([]byte, 0, n)
	for int64(len(b)) < n && c.err == nil {
		b = append(b, c.peek(pos+int64(len(b)), int(min(window, n-int64(len(b)))))...)
	}
	return b
}
