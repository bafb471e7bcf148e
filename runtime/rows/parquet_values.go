package rows

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"godwit.dev/runtime/fault"
)

// pqBatch is some entries of a column: n, of which those that null names have
// no value. view has a value of a fixed width for each, words the others. They
// are valid until the column's next batch; what words point to stays.
type pqBatch struct {
	n     int
	view  []byte
	words [][]byte
	null  []bool // nil: all are there
}

// slice gives the entries from i on, before j.
func (b *pqBatch) slice(i, j, width int) pqBatch {
	s := pqBatch{n: j - i}
	if b.words != nil {
		s.words = b.words[i:j]
	} else {
		s.view = b.view[i*width : j*width]
	}
	if b.null != nil {
		s.null = b.null[i:j]
	}
	return s
}

// pqBatchMax bounds a batch, and so what a column keeps decoded.
const pqBatchMax = 1024

// batch reads at most n entries of the page, one at least. Where the column is
// a list, reps and levels are the entries'.
func (c *pqColumn) batch(n int) (pqBatch, error) {
	n = min(n, c.left, pqBatchMax)
	if c.leaf.maxRep > 0 {
		c.reps = grown(c.reps, n)
		if err := pqFill(&c.rep, c.reps); err != nil {
			return pqBatch{}, fmt.Errorf("its repetition levels: %w", err)
		}
	}
	b := pqBatch{n: n}
	there := n
	if top := uint8(c.leaf.maxDef); top > 0 {
		run, level, err := c.def.run()
		if err != nil {
			return pqBatch{}, fmt.Errorf("its definition levels: %w", err)
		}
		if c.leaf.maxRep == 0 && run > 0 {
			n = min(n, run)
			b.n, there = n, n
		}
		c.levels = grown(c.levels, n)
		if err := pqFill(&c.def, c.levels); err != nil {
			return pqBatch{}, fmt.Errorf("its definition levels: %w", err)
		}
		if run < n || level != uint32(top) {
			there = 0
			for _, l := range c.levels {
				if l == top {
					there++
				} else if l > top {
					return pqBatch{}, fmt.Errorf("it has a definition level of %d, want at most %d", l, top)
				}
			}
		}
	}
	c.left -= n
	var err error
	if c.leaf.form.width() > 0 {
		b.view, err = c.fixed(there)
	} else {
		c.outWords = grown(c.outWords, n)
		b.words = c.outWords
		err = c.variable(c.outWords[:there])
	}
	if err == nil && there < n {
		c.spread(&b, there)
	}
	return b, err
}

func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, max(n, pqBatchMax))
	}
	return s[:n]
}

// spread moves values to where the definition levels have them.
func (c *pqColumn) spread(b *pqBatch, there int) {
	c.null = grown(c.null, b.n)
	b.null = c.null
	top := uint8(c.leaf.maxDef)
	w := c.leaf.form.width()
	if w > 0 {
		view := b.view // a page's bytes must stay
		c.out = grown(c.out, b.n*w)
		if there > 0 && &view[0] != &c.out[0] {
			copy(c.out, view)
		}
		b.view = c.out
	}
	from := there
	for i := b.n - 1; i >= 0; i-- {
		b.null[i] = c.levels[i] != top
		if !b.null[i] {
			from--
		}
		switch {
		case w == 0 && b.null[i]:
			b.words[i] = nil
		case w == 0:
			b.words[i] = b.words[from]
		case b.null[i]:
			clear(b.view[i*w : i*w+w])
		default:
			copy(b.view[i*w:i*w+w], b.view[from*w:])
		}
	}
}

var errValues = errors.New("its values end early")

// fixed gives the next n values of a fixed width, little-endian; booleans are a
// byte each.
func (c *pqColumn) fixed(n int) ([]byte, error) {
	w := c.leaf.form.width()
	if n == 0 {
		return nil, nil
	}
	if c.encoding == pqPlain && c.leaf.form != pqBool {
		if len(c.plain) < n*w {
			return nil, errValues
		}
		view := c.plain[:n*w]
		c.plain = c.plain[n*w:]
		return view, nil
	}
	c.out = grown(c.out, n*w)
	out := c.out
	switch c.encoding {
	case pqPlain:
		if (c.bit+n+7)/8 > len(c.plain) {
			return nil, errValues
		}
		c.bit = pqUnpack(out, c.plain, c.bit, 1)
	case pqRLE:
		return out, pqFill(&c.ids, out)
	case pqRLEDictionary:
		c.index = grown(c.index, n)
		if err := pqFill(&c.ids, c.index); err != nil {
			return nil, err
		}
		return out, c.look(out, w)
	case pqDelta:
		if cap(c.ints) < n {
			c.ints = make([]int64, max(n, pqBatchMax))
		}
		ints := c.ints[:n]
		if err := c.deltas.next(ints); err != nil {
			return nil, err
		}
		if w == 4 {
			for i, v := range ints {
				binary.LittleEndian.PutUint32(out[4*i:], uint32(v))
			}
		} else {
			for i, v := range ints {
				binary.LittleEndian.PutUint64(out[8*i:], uint64(v))
			}
		}
	case pqSplit:
		if c.at+n > c.count {
			return nil, errValues
		}
		for k := range w {
			stream := c.plain[k*c.count+c.at:]
			for i := range n {
				out[i*w+k] = stream[i]
			}
		}
		c.at += n
	case pqDeltaBytes: // FLOAT16
		return out, fault.New(fault.Unsupported, "rows.Parquet", "", "its values have the encoding %d, which is unknown for FLOAT16", c.encoding)
	}
	return out, nil
}

// look takes values of a fixed width from the dictionary.
func (c *pqColumn) look(out []byte, w int) error {
	most := uint32(0)
	for _, id := range c.index {
		most = max(most, id)
	}
	if int64(most) >= int64(c.ndict) {
		return fmt.Errorf("it has the index %d into a dictionary of %d", most, c.ndict)
	}
	// All indices and so all places are known to be within: dict has ndict values.
	dict := c.dict[:c.ndict*w]
	from, to := unsafe.Pointer(unsafe.SliceData(dict)), unsafe.Pointer(unsafe.SliceData(out[:len(c.index)*w]))
	switch w {
	case 4:
		for i, id := range c.index {
			*(*[4]byte)(unsafe.Add(to, 4*i)) = *(*[4]byte)(unsafe.Add(from, 4*int(id)))
		}
	case 8:
		for i, id := range c.index {
			*(*[8]byte)(unsafe.Add(to, 8*i)) = *(*[8]byte)(unsafe.Add(from, 8*int(id)))
		}
	default:
		for i, id := range c.index {
			copy(out[w*i:w*i+w], dict[w*int(id):])
		}
	}
	return nil
}

// pqMaxGrown bounds the words of a batch that take more bytes than their page has.
const pqMaxGrown = 64 << 20

// variable gives the next words.
func (c *pqColumn) variable(out [][]byte) error {
	if len(out) == 0 {
		return nil
	}
	var err error
	switch c.encoding {
	case pqPlain:
		w := c.leaf.stored()
		for i := range out {
			if out[i], c.plain, err = pqWord(c.plain, w); err != nil {
				return err
			}
		}
		return nil
	case pqRLEDictionary:
		c.index = grown(c.index, len(out))
		if err := pqFill(&c.ids, c.index); err != nil {
			return err
		}
		for i, id := range c.index {
			if int64(id) >= int64(c.ndict) {
				return fmt.Errorf("it has the index %d into a dictionary of %d", id, c.ndict)
			}
			out[i] = c.words[id]
		}
		return nil
	}
	if cap(c.ints) < 2*len(out) {
		c.ints = make([]int64, 2*pqBatchMax)
	}
	lengths, prefixes := c.ints[:len(out)], c.ints[len(out):2*len(out)]
	if err := c.deltas.next(lengths); err != nil {
		return err
	}
	clear(prefixes)
	if c.encoding == pqDeltaBytes {
		if err := c.prefixes.next(prefixes); err != nil {
			return err
		}
	}
	made := int64(0)
	for i, n := range lengths {
		p := prefixes[i]
		if n < 0 || n > int64(len(c.plain)) || p < 0 || p > int64(len(c.word)) {
			return fmt.Errorf("it has a value of %d bytes after the first %d of the one before, and %d and %d are there", n, p, len(c.plain), len(c.word))
		}
		word := c.plain[:n:n]
		c.plain = c.plain[n:]
		if p > 0 {
			if made += p + n; made > pqMaxGrown {
				return fault.New(fault.TooLarge, "rows.Parquet", "", "%d values have more than %d bytes", len(out), pqMaxGrown)
			}
			word = append(c.word[:p:p], word...)
		}
		c.word, out[i] = word, word
	}
	if w := c.leaf.length; c.leaf.kind == pqFixed {
		for _, word := range out {
			if len(word) != int(w) {
				return fmt.Errorf("it has a value of %d bytes, want %d", len(word), w)
			}
		}
	}
	return nil
}

var errLZ4 = errors.New("it is corrupt")

// lz4Block decodes one block into dst's capacity.
func lz4Block(dst, src []byte) ([]byte, error) {
	extended := func(n int) (int, bool) {
		if n != 15 {
			return n, true
		}
		for {
			if len(src) == 0 || n > cap(dst) {
				return 0, false
			}
			c := src[0]
			src = src[1:]
			if n += int(c); c != 255 {
				return n, true
			}
		}
	}
	for len(src) > 0 {
		token := src[0]
		src = src[1:]
		n, ok := extended(int(token >> 4))
		if !ok || n > len(src) || n > cap(dst)-len(dst) {
			return nil, errLZ4
		}
		dst, src = append(dst, src[:n]...), src[n:]
		if len(src) == 0 {
			break // the last sequence is literals alone
		}
		if len(src) < 2 {
			return nil, errLZ4
		}
		back := int(binary.LittleEndian.Uint16(src))
		src = src[2:]
		n, ok = extended(int(token & 15))
		if n += 4; !ok || back == 0 || back > len(dst) || n > cap(dst)-len(dst) {
			return nil, errLZ4
		}
		for n > 0 { // it may run into itself
			from := len(dst) - back
			m := min(n, back)
			dst = append(dst, dst[from:from+m]...)
			n -= m
		}
	}
	return dst, nil
}
