package rows

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"godwit.dev/runtime/fault"
)

const (
	// pqMaxPage bounds a page, compressed and not; writers make them of 1 MB.
	pqMaxPage = 128 << 20
	// pqMaxPages bounds the pages of all columns that are read at a time.
	pqMaxPages = 256 << 20
	// pqMaxHeader bounds a page's header, which may have values in it.
	pqMaxHeader = 1 << 20
)

// pqPages is what the columns of one reader share.
type pqPages struct {
	held int64 // bytes of pages and dictionaries
	zstd *zstd.Decoder
}

func (p *pqPages) hold(n int) error {
	if p.held += int64(n); p.held > pqMaxPages {
		return fault.New(fault.TooLarge, "rows.Parquet", "", "the pages that are read at a time have more than %d bytes", pqMaxPages).
			WithHint("Write the file with smaller pages, or read fewer columns at once.")
	}
	return nil
}

func (p *pqPages) close() {
	if p.zstd != nil {
		p.zstd.Close()
	}
}

type pqPageHeader struct {
	kind                     int32
	size, compressed         int32
	crc                      uint32
	hasCRC                   bool
	values, nulls, rows      int32
	encoding                 int32
	defEncoding, repEncoding int32
	defBytes, repBytes       int32 // of version 2
	plain                    bool  // version 2: the values are not compressed
}

func (r *thriftReader) page() pqPageHeader {
	h := pqPageHeader{kind: -1, encoding: -1, values: -1}
	r.fields(func(id int16, kind byte) {
		switch {
		case id == 1:
			h.kind = r.int32()
		case id == 2:
			h.size = r.int32()
		case id == 3:
			h.compressed = r.int32()
		case id == 4:
			h.crc, h.hasCRC = uint32(r.int32()), true
		case (id == 5 || id == 7) && kind == thriftStruct:
			r.fields(func(id int16, kind byte) {
				switch id {
				case 1:
					h.values = r.int32()
				case 2:
					h.encoding = r.int32()
				case 3:
					if kind != thriftI32 { // a dictionary's: whether it is sorted
						r.skip(kind)
						return
					}
					h.defEncoding = r.int32()
				case 4:
					h.repEncoding = r.int32()
				default:
					r.skip(kind)
				}
			})
		case id == 8 && kind == thriftStruct:
			r.fields(func(id int16, kind byte) {
				switch id {
				case 1:
					h.values = r.int32()
				case 2:
					h.nulls = r.int32()
				case 3:
					h.rows = r.int32()
				case 4:
					h.encoding = r.int32()
				case 5:
					h.defBytes = r.int32()
				case 6:
					h.repBytes = r.int32()
				case 7:
					h.plain = kind == thriftFalse
				default:
					r.skip(kind)
				}
			})
		default:
			r.skip(kind)
		}
	})
	return h
}

// pqColumn reads the values of one column chunk, page by page.
type pqColumn struct {
	leaf  *pqLeaf
	chunk *pqChunk
	in    *pqBytes
	pages *pqPages
	todo  int64 // entries of the chunk that are in no page yet

	dict  []byte   // values of a fixed width
	words [][]byte // the others
	ndict int

	left     int // entries of the page that are not read
	rep, def pqHybrid
	encoding int32
	plain    []byte // values that are not decoded
	bit      int    // of plain, where a value is one
	ids      pqHybrid
	deltas   pqDeltas
	prefixes pqDeltas
	word     []byte // the last value, which prefixes are of
	count    int    // values of the page, for pqSplit
	at       int    // the next of them

	buf  []byte // a page, where values are copied out of it
	held int    // what the page counts for
	// What batch returns is in these until the next one.
	levels, reps []uint8
	index        []uint32
	ints         []int64
	out          []byte
	outWords     [][]byte
	null         []bool
}

// nextPage reads the next page with entries. The caller knows that todo is not 0.
func (c *pqColumn) nextPage(ctx context.Context) error {
	for c.left == 0 {
		h, err := c.header(ctx)
		if err != nil {
			return err
		}
		if err := c.in.need(ctx, int(h.compressed)); err != nil {
			return err
		}
		raw := c.in.b[:h.compressed]
		c.in.b = c.in.b[h.compressed:]
		if h.hasCRC && crc32.ChecksumIEEE(raw) != h.crc {
			return fmt.Errorf("a page has the checksum %08x, and its header says %08x", crc32.ChecksumIEEE(raw), h.crc)
		}
		switch h.kind {
		case pqDictionaryPage:
			err = c.dictionary(&h, raw)
		case pqDataPage:
			err = c.page1(&h, raw)
		case pqDataPageV2:
			err = c.page2(&h, raw)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *pqColumn) header(ctx context.Context) (pqPageHeader, error) {
	for n := 64; ; n *= 4 {
		have := int64(len(c.in.b)) + c.in.left + c.in.flying()
		n = int(min(int64(n), have))
		if n == 0 {
			return pqPageHeader{}, fmt.Errorf("it has no page for %d values: it is cut off", c.todo)
		}
		if err := c.in.need(ctx, n); err != nil {
			return pqPageHeader{}, err
		}
		r := thriftReader{b: c.in.b}
		h := r.page()
		if r.err != nil {
			if int64(len(c.in.b)) >= have || n >= pqMaxHeader {
				return h, fmt.Errorf("a page's header: %w", r.err)
			}
			n = max(n, len(c.in.b))
			continue
		}
		c.in.b = c.in.b[r.pos:]
		if h.size < 0 || h.compressed < 0 {
			return h, fmt.Errorf("a page says that it has %d bytes, and %d uncompressed", h.compressed, h.size)
		}
		if h.size > pqMaxPage || h.compressed > pqMaxPage {
			return h, fault.New(fault.TooLarge, "rows.Parquet", "", "a page has %d bytes, more than %d", max(h.size, h.compressed), pqMaxPage).
				WithHint("Write the file with smaller pages.")
		}
		return h, nil
	}
}

// uncompressed gives n bytes that raw becomes. They are raw, or in dst, or new.
func (c *pqColumn) uncompressed(dst, raw []byte, n int) ([]byte, error) {
	if c.chunk.codec == pqUncompressed {
		if len(raw) != n {
			return nil, fmt.Errorf("a page has %d bytes, and its header says %d", len(raw), n)
		}
		return c.lasting(raw), nil
	}
	// The capacity ends a decoder that would go on. It is taken only once it is
	// known that there is something to decode.
	room := func() []byte {
		switch {
		case cap(dst) >= n:
		case c.leaf.form.width() == 0: // words point into it
			dst = make([]byte, n)
		default:
			c.in.f.spare.give(dst)
			dst = c.in.f.spare.take(n)
		}
		return dst[:0:n]
	}
	var err error
	switch c.chunk.codec {
	case pqSnappy:
		var size int
		if size, err = snappy.DecodedLen(raw); err == nil && size != n {
			return nil, fmt.Errorf("a page becomes %d bytes, and its header says %d", size, n)
		}
		if err == nil {
			dst, err = snappy.Decode(room()[:n], raw)
		}
	case pqZstd:
		if c.pages.zstd == nil {
			if c.pages.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(pqMaxPage), zstd.WithDecodeAllCapLimit(true)); err != nil {
				return nil, fault.New(fault.Internal, "rows.Parquet", "", "%w", err)
			}
		}
		dst, err = c.pages.zstd.DecodeAll(raw, room())
	case pqGzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(raw)); err == nil {
			dst = room()[:n]
			if _, err = io.ReadFull(r, dst); err == nil {
				if more, _ := r.Read(make([]byte, 1)); more > 0 {
					err = fmt.Errorf("more than %d bytes", n)
				}
			}
		}
	case pqLZ4Raw:
		dst, err = lz4Block(room(), raw)
	default:
		return nil, fault.New(fault.Unsupported, "rows.Parquet", "", "want pages that are plain or compressed with snappy, zstd, gzip or LZ4_RAW, got codec %s", pqCodecName(c.chunk.codec)).
			WithHint("Write the file with snappy or zstd.")
	}
	if err != nil {
		return nil, fmt.Errorf("a page's %s: %w", pqCodecName(c.chunk.codec), err)
	}
	if len(dst) != n {
		return nil, fmt.Errorf("a page becomes %d bytes, and its header says %d", len(dst), n)
	}
	return dst, nil
}

// lasting is b, or a copy where words will point into it: what is fetched is
// fetched into again.
func (c *pqColumn) lasting(b []byte) []byte {
	if c.leaf.form.width() == 0 {
		return bytes.Clone(b)
	}
	return b
}

func pqCodecName(codec int32) string {
	names := [...]string{"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"}
	if codec < 0 || int(codec) >= len(names) {
		return fmt.Sprint(codec)
	}
	return names[codec]
}

// dictionary reads the page that the others' indices are into.
func (c *pqColumn) dictionary(h *pqPageHeader, raw []byte) error {
	if c.dict != nil || c.words != nil {
		return errors.New("it has a second dictionary")
	}
	if h.encoding != pqPlain && h.encoding != pqPlainDictionary || h.values < 0 {
		return fmt.Errorf("its dictionary has %d values in the encoding %d", h.values, h.encoding)
	}
	if err := c.pages.hold(int(h.size)); err != nil {
		return err
	}
	b, err := c.uncompressed(nil, raw, int(h.size))
	if err != nil {
		return err
	}
	c.ndict = int(h.values)
	w := c.leaf.stored()
	switch {
	case c.leaf.form == pqBool:
		return errors.New("it has a dictionary of booleans")
	case w > 0 && c.ndict*w > len(b):
		return fmt.Errorf("its dictionary has %d values in %d bytes", c.ndict, len(b))
	case w > 0 && c.leaf.form.width() > 0:
		c.dict = b[:c.ndict*w]
	default:
		if c.ndict > len(b) { // an empty word has its length, an other a byte
			return fmt.Errorf("its dictionary has %d values in %d bytes", c.ndict, len(b))
		}
		if err := c.pages.hold(24 * c.ndict); err != nil {
			return err
		}
		c.words = make([][]byte, c.ndict)
		for i := range c.words {
			if c.words[i], b, err = pqWord(b, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// stored is the bytes of one value in a page, 0 where it differs.
func (l *pqLeaf) stored() int {
	if l.kind == pqFixed {
		return int(l.length)
	}
	return l.form.width()
}

// pqWord cuts a value off: of w bytes, or of as many as four bytes say.
func pqWord(b []byte, w int) (word, rest []byte, err error) {
	if w == 0 {
		if len(b) < 4 {
			return nil, nil, errors.New("its values end early")
		}
		n := binary.LittleEndian.Uint32(b)
		if b = b[4:]; uint64(n) > uint64(len(b)) {
			return nil, nil, fmt.Errorf("it has a value of %d bytes, and %d are left", n, len(b))
		}
		w = int(n)
	}
	if len(b) < w {
		return nil, nil, errors.New("its values end early")
	}
	return b[:w:w], b[w:], nil
}

// begin checks and counts a data page's entries.
func (c *pqColumn) begin(h *pqPageHeader, size int) error {
	if h.values < 0 || int64(h.values) > c.todo {
		return fmt.Errorf("a page has %d values, and %d are left of the column", h.values, c.todo)
	}
	c.todo -= int64(h.values)
	c.left = int(h.values)
	c.pages.held -= int64(c.held)
	c.held = size
	return c.pages.hold(size)
}

// body is what a page becomes, where buf may be used again only if values are
// copied out of it: words are not.
func (c *pqColumn) body(raw []byte, n int) ([]byte, error) {
	if c.leaf.form.width() == 0 {
		return c.uncompressed(nil, raw, n)
	}
	if c.chunk.codec == pqUncompressed {
		return c.uncompressed(nil, raw, n)
	}
	buf := c.buf
	c.buf = nil // room may have given it away
	b, err := c.uncompressed(buf, raw, n)
	if err == nil {
		c.buf = b
	}
	return b, err
}

func (c *pqColumn) page1(h *pqPageHeader, raw []byte) error {
	if err := c.begin(h, int(h.size)); err != nil {
		return err
	}
	b, err := c.body(raw, int(h.size))
	if err != nil {
		return err
	}
	level := func(max int, encoding int32, name string) (pqHybrid, error) {
		if max == 0 {
			return pqHybrid{}, nil
		}
		if encoding != pqRLE {
			return pqHybrid{}, fmt.Errorf("its %s levels have the encoding %d, want RLE", name, encoding)
		}
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			return pqHybrid{}, fmt.Errorf("its %s levels end early", name)
		}
		n := int(binary.LittleEndian.Uint32(b))
		l := newHybrid(b[4:4+n], levelBits(max))
		b = b[4+n:]
		return l, nil
	}
	if c.rep, err = level(c.leaf.maxRep, h.repEncoding, "repetition"); err != nil {
		return err
	}
	if c.def, err = level(c.leaf.maxDef, h.defEncoding, "definition"); err != nil {
		return err
	}
	return c.values(h.encoding, b)
}

func (c *pqColumn) page2(h *pqPageHeader, raw []byte) error {
	if err := c.begin(h, int(h.size)); err != nil {
		return err
	}
	levels := int64(h.repBytes) + int64(h.defBytes)
	if h.repBytes < 0 || h.defBytes < 0 || levels > int64(len(raw)) || levels > int64(h.size) {
		return fmt.Errorf("its levels have %d and %d bytes of a page's %d", h.repBytes, h.defBytes, len(raw))
	}
	// Only the values are compressed; the levels may be of what is fetched.
	c.rep = newHybrid(raw[:h.repBytes], levelBits(c.leaf.maxRep))
	c.def = newHybrid(raw[h.repBytes:levels], levelBits(c.leaf.maxDef))
	raw = raw[levels:]
	n := int(int64(h.size) - levels)
	if h.plain || n == 0 {
		return c.values(h.encoding, c.lasting(raw))
	}
	b, err := c.body(raw, n)
	if err != nil {
		return err
	}
	return c.values(h.encoding, b)
}

// values makes ready to decode the values of a page.
func (c *pqColumn) values(encoding int32, b []byte) error {
	c.encoding, c.plain, c.bit, c.at = encoding, b, 0, 0
	var err error
	switch {
	case c.left == 0:
		return nil
	case encoding == pqPlain:
		return nil
	case encoding == pqRLEDictionary || encoding == pqPlainDictionary:
		c.encoding = pqRLEDictionary
		if c.dict == nil && c.words == nil {
			return errors.New("its values are in a dictionary that is not there")
		}
		if len(b) == 0 { // all null
			c.ids = newHybrid(nil, 0)
			return nil
		}
		if b[0] > 32 {
			return fmt.Errorf("its indices have %d bits", b[0])
		}
		c.ids = newHybrid(b[1:], int(b[0]))
		return nil
	case encoding == pqRLE && c.leaf.form == pqBool:
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			return errors.New("its values end early")
		}
		c.ids = newHybrid(b[4:4+binary.LittleEndian.Uint32(b)], 1)
		return nil
	case encoding == pqDelta && (c.leaf.kind == pqInt32 || c.leaf.kind == pqInt64):
		c.deltas, err = newDeltas(b)
		return err
	case encoding == pqDeltaLength && c.leaf.kind == pqByteArray:
		c.deltas, c.plain, err = c.lengths(b)
		return err
	case encoding == pqDeltaBytes && (c.leaf.kind == pqByteArray || c.leaf.kind == pqFixed):
		c.word = nil
		if c.prefixes, b, err = c.lengths(b); err == nil {
			c.deltas, c.plain, err = c.lengths(b)
		}
		return err
	case encoding == pqSplit && c.leaf.form.width() > 1:
		c.count = len(b) / c.leaf.form.width()
		return nil
	}
	return fault.New(fault.Unsupported, "rows.Parquet", "", "its values have the encoding %d, which is unknown for the type %s", encoding, pqTypeName(c.leaf.kind))
}

// lengths finds where lengths end and what they are of begins. They are read
// twice, because nothing says how many bytes they are, and kept nowhere.
func (c *pqColumn) lengths(b []byte) (pqDeltas, []byte, error) {
	d, err := newDeltas(b)
	if err != nil {
		return d, nil, err
	}
	if d.left > c.left {
		return d, nil, fmt.Errorf("it has %d lengths for %d values", d.left, c.left)
	}
	scan := d
	var some [256]int64
	for scan.left > 0 {
		if err := scan.next(some[:min(scan.left, len(some))]); err != nil {
			return d, nil, err
		}
	}
	return d, scan.rest(), nil
}
