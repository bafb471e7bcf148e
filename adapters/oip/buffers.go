package oip

import (
	"math/bits"
	"strconv"
	"sync"
	"sync/atomic"
)

const (
	leastBuffer = 10 // the binary logarithms of the sizes of what is kept
	mostBuffer  = 22 // larger buffers go to the garbage collector
)

// Buffers keeps the memory of bodies, messages and answers, by size: one that
// is too small would be outgrown, and what has arrived copied. What is in a
// buffer is whatever the last one who had it left there. All methods may be
// called concurrently; it is a mem.BufferPool of gRPC.
type Buffers struct {
	classes [mostBuffer - leastBuffer + 1]sync.Pool // of *[]byte
}

// class is the one whose buffers have room for n bytes; ok is false when that
// is more than any has.
func class(n int) (c int, ok bool) {
	c = max(bits.Len(uint(max(n, 1)-1))-leastBuffer, 0)
	return c, c <= mostBuffer-leastBuffer
}

// kept is an empty buffer with room for n bytes if there is one, else nil.
func (b *Buffers) kept(n int) *[]byte {
	c, ok := class(n)
	if !ok {
		return nil
	}
	buf, _ := b.classes[c].Get().(*[]byte)
	return buf
}

// Get returns a buffer of n bytes, which may have more room.
func (b *Buffers) Get(n int) *[]byte {
	buf := b.kept(n)
	if buf == nil {
		made := make([]byte, 0, roomFor(n))
		buf = &made
	}
	*buf = (*buf)[:n]
	return buf
}

// roomFor is the size of a buffer for n bytes: one that can be kept if possible.
func roomFor(n int) int {
	if c, ok := class(n); ok {
		return 1 << (c + leastBuffer)
	}
	return n
}

// Put keeps buf for the next one who needs as much. Nobody may use it any more.
func (b *Buffers) Put(buf *[]byte) {
	// Rounded down: every buffer of a class has the room that it promises.
	if c := bits.Len(uint(cap(*buf))) - 1 - leastBuffer; c >= 0 && c <= mostBuffer-leastBuffer {
		*buf = (*buf)[:0]
		b.classes[c].Put(buf)
	}
}

// numbers keeps the texts of small numbers that have been written: answers of
// one model mostly have the same few lengths.
type numbers struct {
	texts [4 << 10]atomic.Pointer[string]
}

func (n *numbers) text(v int) string {
	if v < 0 || v >= len(n.texts) {
		return strconv.Itoa(v)
	}
	if text := n.texts[v].Load(); text != nil {
		return *text
	}
	text := strconv.Itoa(v)
	n.texts[v].Store(&text)
	return text
}
