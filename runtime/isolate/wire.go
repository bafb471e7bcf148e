package isolate

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// Bounds of what one message of a run may hold; the codecs allow far less.
const (
	maxRank    = 64
	maxTensors = 1 << 14
	maxMessage = 1 << 20
	maxText    = 4 << 10
)

// The kinds of messages on a lane. The parent sends run and, when the worker
// asks for space, put; the worker answers each with one of the other three.
const (
	kindRun   = 1 + iota
	kindPut   // the outputs shall go into another segment
	kindOK    // where the outputs are
	kindSpace // how many bytes the outputs need
	kindError
)

// align is what engines like best; it also puts tensors on cache lines of their own.
const align = 64

func alignUp(n int) int { return (n + align - 1) &^ (align - 1) }

// block is a tensor in a segment, without its name.
type block struct {
	dtype     tensor.DType
	shape     []int64
	off, size int
}

// run is the parent's question: evaluate a session on blocks of a segment.
type run struct {
	seq        uint64 // for cancel
	session    uint32
	cancelable bool
	in         []block
	out        []int // indices of the signature's outputs
}

// A writer appends fields to a message; header and length are set by finish.
type writer struct{ b []byte }

const header = 8 // length of the rest as uint32, kind, padding

func (w *writer) start(kind byte) { w.b = append(w.b[:0], 0, 0, 0, 0, kind, 0, 0, 0) }

func (w *writer) finish() ([]byte, error) {
	if len(w.b) > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes, want at most %d", len(w.b), maxMessage)
	}
	binary.LittleEndian.PutUint32(w.b, uint32(len(w.b)-header))
	return w.b, nil
}

func (w *writer) u8(v byte)    { w.b = append(w.b, v) }
func (w *writer) u32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, v) }

func (w *writer) text(s string) {
	s = s[:min(len(s), maxText)]
	w.u32(uint32(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) block(d tensor.DType, shape []int64, off, size int) {
	w.u8(byte(d))
	w.u8(byte(len(shape)))
	w.u64(uint64(off))
	w.u64(uint64(size))
	for _, n := range shape {
		w.u64(uint64(n))
	}
}

// A reader takes fields off a message. After the first that is not there, or
// not valid, err is set and everything is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail("want %d more bytes, got %d", n, len(r.b))
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count reads a number of things of which a message can hold at most limit.
func (r *reader) count(what string, limit int) int {
	n := r.u32()
	if int64(n) > int64(limit) {
		r.fail("%d %s, want at most %d", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *reader) text() string {
	return strings.ToValidUTF8(string(r.take(r.count("bytes of text", maxText))), "�")
}

// blocks reads n tensors into the memory of all, which lie within a segment of
// that many bytes.
func (r *reader) blocks(all []block, n, segment int) []block {
	all = all[:0]
	for i := 0; i < n && r.err == nil; i++ {
		if i < cap(all) {
			all = all[:i+1]
		} else {
			all = append(all, block{})
		}
		all[i] = r.block(all[i].shape, segment)
	}
	return all
}

// block reads a tensor that must lie within the segment, and whose size must
// be what its type and shape make it. The shape goes into the memory given.
func (r *reader) block(shape []int64, segment int) block {
	b := block{dtype: tensor.DType(r.u8())}
	rank := int(r.u8())
	off, size := r.u64(), r.u64()
	if rank > maxRank {
		r.fail("rank %d, want at most %d", rank, maxRank)
		return block{}
	}
	b.shape = shape[:0]
	for range rank {
		b.shape = append(b.shape, int64(r.u64()))
	}
	if r.err != nil {
		return block{}
	}
	n, ok := tensor.Elements(b.shape)
	if !b.dtype.Valid() || !ok {
		r.fail("no tensor: type %d, shape %s", b.dtype, tensor.FormatShape(b.shape))
		return block{}
	}
	if off > uint64(segment) || size > uint64(segment)-off {
		r.fail("bytes %d to %d+%d, want them within %d", off, off, size, segment)
		return block{}
	}
	b.off, b.size = int(off), int(size)
	if b.dtype == tensor.Bytes {
		if n > b.size/lengthSize {
			r.fail("%d strings in %d bytes", n, b.size)
			return block{}
		}
	} else if want, ok := tensor.ByteSize(b.dtype, b.shape); !ok || want != b.size {
		r.fail("%d bytes for %v %s, want %d", b.size, b.dtype, tensor.FormatShape(b.shape), want)
		return block{}
	}
	return b
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}

// parseReply reads where the outputs are, into the memory of all: want of them,
// in a segment of that many bytes.
func parseReply(payload []byte, all []block, want, segment int) ([]block, error) {
	r := reader{b: payload}
	if n := r.count("outputs", maxTensors); n != want && r.err == nil {
		r.fail("%d outputs, want %d", n, want)
	}
	all = r.blocks(all, want, segment)
	return all, r.end()
}

func (w *writer) fault(err error) {
	w.start(kindError)
	w.u8(byte(fault.CodeOf(err)))
	e := fault.Of(err)
	if e == nil {
		e = &fault.Error{Err: err}
	}
	text := ""
	if e.Err != nil {
		text = e.Err.Error()
	}
	w.text(e.Op)
	w.text(e.Subject)
	w.text(text)
	w.text(fault.HintOf(err))
}

// parseFault reads an error that the engine reported.
func parseFault(payload []byte) (e *fault.Error, malformed error) {
	r := &reader{b: payload}
	code := fault.Code(r.u8())
	op, subject, text, hint := r.text(), r.text(), r.text(), r.text()
	if err := r.end(); err != nil {
		return nil, err
	}
	if !valid(code) {
		return nil, fmt.Errorf("error code %d", code)
	}
	e = fault.New(code, op, subject, "%s", text)
	e.Hint = hint
	return e, nil
}

func valid(c fault.Code) bool {
	codes := fault.Codes()
	return c >= codes[0] && c <= codes[len(codes)-1]
}

func parseSpace(payload []byte) (int, error) {
	r := &reader{b: payload}
	n := r.u64()
	if n > math.MaxInt64/2 {
		r.fail("%d bytes of outputs", n)
	}
	return int(n), r.end()
}

// parse is the worker's look at a question. segment finds the memory by its number.
func (q *run) parse(payload []byte, segment func(uint32) []byte) (mem []byte, err error) {
	r := reader{b: payload}
	q.seq, q.session, q.cancelable = r.u64(), r.u32(), r.u8() == 1
	id := r.u32()
	if mem = segment(id); mem == nil && r.err == nil {
		r.fail("no segment %d", id)
	}
	q.in = r.blocks(q.in, r.count("inputs", maxTensors), len(mem))
	q.out = q.out[:0]
	for i, n := 0, r.count("outputs", maxTensors); i < n && r.err == nil; i++ {
		q.out = append(q.out, int(r.u32()))
	}
	return mem, r.end()
}

// lengthSize is what each string costs besides its bytes.
const lengthSize = 4

// sizeOf is what a tensor occupies in a segment.
func sizeOf(t *tensor.Tensor) int {
	if t.Type == tensor.Bytes {
		return lengthSize*len(t.Strings) + t.Bytes()
	}
	return len(t.Data)
}

// put copies t into mem, which is sizeOf(t) long: the elements, or all lengths
// and then all strings.
func put(mem []byte, t *tensor.Tensor) {
	if t.Type != tensor.Bytes {
		copy(mem, t.Data)
		return
	}
	text := mem[lengthSize*len(t.Strings):]
	for i, s := range t.Strings {
		binary.LittleEndian.PutUint32(mem[lengthSize*i:], uint32(len(s)))
		text = text[copy(text, s):]
	}
}

// takeStrings copies n strings out of mem, which the other process may still
// write: so the lengths are read from the copy.
func takeStrings(mem []byte, n int) ([][]byte, error) {
	own := append(make([]byte, 0, len(mem)), mem...)
	text := own[lengthSize*n:]
	all := make([][]byte, n)
	for i := range all {
		size := binary.LittleEndian.Uint32(own[lengthSize*i:])
		if int64(size) > int64(len(text)) {
			return nil, fmt.Errorf("string %d of %d bytes, want at most %d", i, size, len(text))
		}
		all[i], text = text[:size:size], text[size:]
	}
	if len(text) > 0 {
		return nil, fmt.Errorf("%d bytes after the last string", len(text))
	}
	return all, nil
}
