package rows

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// pqHybrid reads runs and packed values in turn: levels, the indices of a
// dictionary, booleans. It keeps its place, so that a run of a billion costs
// nothing before it is asked for.
type pqHybrid struct {
	b      []byte
	width  int // bits of a value, at most 32
	left   int // of the run or the packed values
	packed bool
	value  uint32 // of the run
	bit    int    // the next packed value's, in b
	end    int    // where the packed values end, in bytes
}

func newHybrid(b []byte, width int) pqHybrid { return pqHybrid{b: b, width: width} }

// header reads the next run's.
func (h *pqHybrid) header() error {
	if h.packed {
		h.b, h.packed = h.b[h.end:], false
	}
	u, n := binary.Uvarint(h.b)
	if n <= 0 {
		return fmt.Errorf("its runs end early")
	}
	h.b = h.b[n:]
	count := u >> 1
	if count > 1<<31 {
		return fmt.Errorf("it has a run of %d values", count)
	}
	if u&1 == 0 {
		size := (h.width + 7) / 8
		if len(h.b) < size {
			return fmt.Errorf("its runs end early")
		}
		h.value = 0
		for i := range size {
			h.value |= uint32(h.b[i]) << (8 * i)
		}
		h.value &= uint32(1<<h.width - 1) // some writers have 255 for true
		h.b, h.left = h.b[size:], int(count)
		return nil
	}
	size := count * uint64(h.width)
	if size > uint64(len(h.b)) {
		return fmt.Errorf("it has %d packed values of %d bits, and %d bytes are left", count*8, h.width, len(h.b))
	}
	h.packed, h.left, h.bit, h.end = true, int(count)*8, 0, int(size)
	return nil
}

// pqFill fills dst with the next values.
func pqFill[T uint8 | uint32](h *pqHybrid, dst []T) error {
	for len(dst) > 0 {
		if h.left == 0 {
			if err := h.header(); err != nil {
				return err
			}
			continue
		}
		n := min(len(dst), h.left)
		if h.packed {
			h.bit = pqUnpack(dst[:n], h.b, h.bit, h.width)
		} else {
			v := T(h.value)
			for i := range dst[:n] {
				dst[i] = v
			}
		}
		h.left -= n
		dst = dst[n:]
	}
	return nil
}

// pqUnpack reads values of width bits, at most 32, from b's bit on, and returns
// the bit after the last. The caller knows that they are there.
func pqUnpack[T uint8 | uint32](dst []T, b []byte, bit, width int) int {
	mask := uint64(1)<<width - 1
	i := 0
	if bit&7 == 0 && width <= 16 {
		i = pqUnpack8(dst, b[bit>>3:], uint(width))
		bit += i * width
	}
	for ; i < len(dst); i++ {
		at := bit >> 3
		if at+8 > len(b) {
			break
		}
		dst[i] = T(binary.LittleEndian.Uint64(b[at:]) >> (bit & 7) & mask)
		bit += width
	}
	for ; i < len(dst); i++ {
		dst[i] = T(pqBits(b, bit, width))
		bit += width
	}
	return bit
}

// pqUnpack8 reads values of width bits, at most 16, eight at a time, as long as
// the loads are within b.
func pqUnpack8[T uint8 | uint32](dst []T, b []byte, width uint) int {
	w, mask := width&31, uint64(1)<<width-1
	i := 0
	if w <= 8 {
		for ; i+8 <= len(dst) && len(b) >= 8; i += 8 {
			v := binary.LittleEndian.Uint64(b)
			d := dst[i : i+8 : i+8]
			d[0], d[1] = T(v&mask), T(v>>w&mask)
			d[2], d[3] = T(v>>(2*w)&mask), T(v>>(3*w&63)&mask)
			d[4], d[5] = T(v>>(4*w&63)&mask), T(v>>(5*w&63)&mask)
			d[6], d[7] = T(v>>(6*w&63)&mask), T(v>>(7*w&63)&mask)
			b = b[w:]
		}
		return i
	}
	half, shift := 4*w/8, 4*w%8 // where the fifth begins
	for ; i+8 <= len(dst) && uint(len(b)) >= half+8; i += 8 {
		v, u := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[half:])>>shift
		d := dst[i : i+8 : i+8]
		d[0], d[1] = T(v&mask), T(v>>w&mask)
		d[2], d[3] = T(v>>(2*w&63)&mask), T(v>>(3*w&63)&mask)
		d[4], d[5] = T(u&mask), T(u>>w&mask)
		d[6], d[7] = T(u>>(2*w&63)&mask), T(u>>(3*w&63)&mask)
		b = b[w:]
	}
	return i
}

// pqBits reads one value of at most 64 bits where fewer than 8 bytes may follow.
func pqBits(b []byte, bit, width int) uint64 {
	var v uint64
	for got := 0; got < width; {
		at := (bit + got) >> 3
		if at >= len(b) {
			break
		}
		off := (bit + got) & 7
		v |= uint64(b[at]>>off) << got
		got += 8 - off
	}
	if width < 64 {
		v &= 1<<width - 1
	}
	return v
}

// run says how many of the next values are one run, and which; 0 where they are packed.
func (h *pqHybrid) run() (n int, value uint32, err error) {
	for h.left == 0 {
		if err := h.header(); err != nil {
			return 0, 0, err
		}
	}
	if h.packed {
		return 0, 0, nil
	}
	return h.left, h.value, nil
}

// pqDeltas reads DELTA_BINARY_PACKED.
type pqDeltas struct {
	b       []byte
	mini    int // values of a miniblock
	minis   int // miniblocks of a block
	left    int // values that are still to come, the first included
	first   bool
	value   int64
	min     int64
	widths  []byte // of the block's miniblocks that are still to come
	inMini  int    // values left in the miniblock
	width   int
	bit     int
	miniEnd int
}

func newDeltas(b []byte) (pqDeltas, error) {
	var head [3]uint64
	for i := range head {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<31 {
			return pqDeltas{}, fmt.Errorf("its deltas have no header")
		}
		head[i], b = v, b[n:]
	}
	first, n := binary.Varint(b)
	if n <= 0 {
		return pqDeltas{}, fmt.Errorf("its deltas have no header")
	}
	block, minis := head[0], head[1]
	if block == 0 || block%128 != 0 || block > 1<<16 || minis == 0 || block%minis != 0 || block/minis%32 != 0 {
		return pqDeltas{}, fmt.Errorf("its deltas are in blocks of %d values and %d parts", block, minis)
	}
	return pqDeltas{b: b[n:], mini: int(block / minis), minis: int(minis), left: int(head[2]), first: true, value: first}, nil
}

// next fills dst.
func (d *pqDeltas) next(dst []int64) error {
	if len(dst) > d.left {
		return fmt.Errorf("it has %d deltas fewer than values", len(dst)-d.left)
	}
	d.left -= len(dst)
	if d.first && len(dst) > 0 {
		d.first = false
		dst[0], dst = d.value, dst[1:]
	}
	for len(dst) > 0 {
		if d.inMini == 0 {
			if err := d.miniblock(); err != nil {
				return err
			}
		}
		n := min(len(dst), d.inMini)
		for i := range dst[:n] {
			delta := d.min
			if d.width > 0 {
				delta += int64(pqBits(d.b, d.bit, d.width))
				d.bit += d.width
			}
			d.value += delta
			dst[i] = d.value
		}
		if d.inMini -= n; d.inMini == 0 {
			d.b = d.b[d.miniEnd:]
		}
		dst = dst[n:]
	}
	return nil
}

func (d *pqDeltas) miniblock() error {
	if len(d.widths) == 0 {
		v, n := binary.Varint(d.b)
		if n <= 0 || len(d.b)-n < d.minis {
			return fmt.Errorf("its deltas end early")
		}
		d.min, d.widths = v, d.b[n:n+d.minis]
		d.b = d.b[n+d.minis:]
	}
	d.width, d.widths = int(d.widths[0]), d.widths[1:]
	d.inMini, d.bit = d.mini, 0
	d.miniEnd = d.mini * d.width / 8
	if d.width > 64 || d.miniEnd > len(d.b) {
		return fmt.Errorf("its deltas have %d bits each, and %d bytes are left", d.width, len(d.b))
	}
	return nil
}

// rest is what follows the deltas, once all were read: the bytes of the values
// whose lengths they are.
func (d *pqDeltas) rest() []byte {
	if d.inMini > 0 {
		return d.b[d.miniEnd:]
	}
	return d.b
}

// levelBits is how many bits a level needs that is at most max.
func levelBits(max int) int { return bits.Len(uint(max)) }
