package rows

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"godwit.dev/runtime/fault"
)

// What Parquet's footer says, as far as we need it. The numbers are those of
// the format (parquet.thrift); nothing of it is believed before check.

// Physical types.
const (
	pqBoolean   = 0
	pqInt32     = 1
	pqInt64     = 2
	pqInt96     = 3
	pqFloat     = 4
	pqDouble    = 5
	pqByteArray = 6
	pqFixed     = 7
)

// Repetition of an element of the schema.
const (
	pqRequired = 0
	pqOptional = 1
	pqRepeated = 2
)

// Encodings.
const (
	pqPlain           = 0
	pqPlainDictionary = 2
	pqRLE             = 3
	pqBitPacked       = 4
	pqDelta           = 5
	pqDeltaLength     = 6
	pqDeltaBytes      = 7
	pqRLEDictionary   = 8
	pqSplit           = 9
)

// Codecs.
const (
	pqUncompressed = 0
	pqSnappy       = 1
	pqGzip         = 2
	pqBrotli       = 4
	pqZstd         = 6
	pqLZ4Raw       = 7
)

// Pages.
const (
	pqDataPage       = 0
	pqDictionaryPage = 2
	pqDataPageV2     = 3
)

// Logical types: the ids of the union, and those of the converted types that
// came before it.
const (
	pqString    = 1
	pqList      = 3
	pqEnum      = 4
	pqDecimal   = 5
	pqInteger   = 10
	pqJSON      = 12
	pqUUID      = 14
	pqFloat16   = 15
	pqConvUTF8  = 0
	pqConvList  = 3
	pqConvEnum  = 4
	pqConvDec   = 5
	pqConvUint8 = 11 // to Uint64 14, then Int8 15 to Int64 18
	pqConvUint  = 14
	pqConvInt8  = 15
	pqConvInt   = 18
	pqConvJSON  = 19
	pqConvTimed = 21 // an interval: 12 bytes
)

const (
	pqMagic = "PAR1"
	// pqTail is how much of the end is read first: most footers are in it.
	pqTail = 64 << 10
	// pqMaxFooter bounds the footer: 64 MB are half a million column chunks.
	pqMaxFooter = 64 << 20
)

type pqElement struct {
	kind      int32 // -1: a group
	length    int32 // of pqFixed
	rep       int32
	children  int32
	converted int32 // -1: none
	name      string
	logical   int16 // 0: none
	bits      int8  // of an integer
	signed    bool
}

type pqChunk struct {
	kind, codec  int32
	values       int64
	size         int64 // compressed, with the pages' headers
	uncompressed int64
	data, dict   int64 // offsets; dict is 0 where there is none
	encodings    []int32
	elsewhere    bool // in another file, or encrypted
}

// start is where the chunk's first page is.
func (c *pqChunk) start() int64 {
	if c.dict > 0 && c.dict < c.data {
		return c.dict
	}
	return c.data
}

type pqGroup struct {
	chunks []pqChunk
	rows   int64
	bytes  int64
}

type pqMeta struct {
	elements []pqElement
	schema   []byte // the elements as they are in the footer: a thrift list
	rows     int64
	groups   []pqGroup
	end      int64 // where the footer begins
}

func pqInvalid(subject, format string, args ...any) error {
	return fault.New(fault.Invalid, "rows.Parquet", subject, format, args...)
}

// readFull reads length bytes at offset. Fewer are an error.
func readFull(ctx context.Context, src Source, offset int64, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	r, err := src.Range(ctx, offset, int64(len(b)))
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, b)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return readError(ctx, "", err)
	}
	return nil
}

// readFooter reads and checks what the end of the file says.
func readFooter(ctx context.Context, src Source) (*pqMeta, error) {
	size := src.Size()
	if size < 12 {
		return nil, pqInvalid("", "want a Parquet file, got %d bytes", size).(*fault.Error).
			WithHint("The smallest Parquet file has 12 bytes.")
	}
	tail := make([]byte, min(size, pqTail))
	if err := readFull(ctx, src, size-int64(len(tail)), tail); err != nil {
		return nil, err
	}
	switch magic := string(tail[len(tail)-4:]); magic {
	case pqMagic:
	case "PARE":
		return nil, fault.New(fault.Unsupported, "rows.Parquet", "", "the file is encrypted").
			WithHint("Write it without Parquet's modular encryption; stores encrypt what they keep.")
	default:
		return nil, pqInvalid("", "want a Parquet file, which ends with %q, got %q: it is cut off or of another format", pqMagic, magic)
	}
	length := int64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if length > size-12 {
		return nil, pqInvalid("", "the footer says that it has %d bytes, and the file has %d", length, size)
	}
	if length > pqMaxFooter {
		return nil, fault.New(fault.TooLarge, "rows.Parquet", "", "the footer has %d bytes, more than %d", length, pqMaxFooter).
			WithHint("Write fewer, larger row groups, or several files.")
	}
	footer := tail
	if int64(len(tail)) < length+8 {
		footer = make([]byte, length+8)
		if err := readFull(ctx, src, size-int64(len(footer)), footer); err != nil {
			return nil, err
		}
	}
	footer = footer[int64(len(footer))-8-length : len(footer)-8]
	m := &pqMeta{end: size - 8 - length}
	if err := m.decode(footer); err != nil {
		return nil, pqInvalid("", "the footer: %w", err)
	}
	return m, nil
}

func (m *pqMeta) decode(b []byte) error {
	r := &thriftReader{b: b}
	r.fields(func(id int16, kind byte) {
		switch id {
		case 2:
			from := r.pos
			r.structs(kind, func(n int) { m.elements = make([]pqElement, 0, min(n, 1024)) },
				func(int) { m.elements = append(m.elements, r.element()) })
			m.schema = b[from:r.pos]
		case 3:
			m.rows = r.int()
		case 4:
			r.structs(kind, func(n int) { m.groups = make([]pqGroup, 0, min(n, 1024)) },
				func(int) { m.groups = append(m.groups, r.group()) })
		case 8:
			r.fail("it is of an encrypted file")
		default:
			r.skip(kind)
		}
	})
	if r.err != nil {
		return r.err
	}
	if len(m.elements) == 0 {
		return fmt.Errorf("it has no schema")
	}
	return nil
}

func (r *thriftReader) element() pqElement {
	e := pqElement{kind: -1, converted: -1}
	r.fields(func(id int16, kind byte) {
		switch id {
		case 1:
			e.kind = r.int32()
		case 2:
			e.length = r.int32()
		case 3:
			e.rep = r.int32()
		case 4:
			e.name = string(r.bytes())
		case 5:
			e.children = r.int32()
		case 6:
			e.converted = r.int32()
		case 10:
			r.fields(func(id int16, kind byte) {
				e.logical = id
				if id != pqInteger || kind != thriftStruct {
					r.skip(kind)
					return
				}
				r.fields(func(id int16, kind byte) {
					switch {
					case id == 1 && kind == thriftByte:
						e.bits = int8(r.byte())
					case id == 2:
						e.signed = kind == thriftTrue
					default:
						r.skip(kind)
					}
				})
			})
		default:
			r.skip(kind)
		}
	})
	return e
}

func (r *thriftReader) group() pqGroup {
	var g pqGroup
	r.fields(func(id int16, kind byte) {
		switch id {
		case 1:
			r.structs(kind, func(n int) { g.chunks = make([]pqChunk, 0, min(n, 1024)) },
				func(int) { g.chunks = append(g.chunks, r.chunk()) })
		case 2:
			g.bytes = r.int()
		case 3:
			g.rows = r.int()
		default:
			r.skip(kind)
		}
	})
	return g
}

func (r *thriftReader) chunk() pqChunk {
	c := pqChunk{kind: -1}
	r.fields(func(id int16, kind byte) {
		switch {
		case id == 3 && kind == thriftStruct:
			r.chunkMeta(&c)
		case id == 1 || id == 8:
			c.elsewhere = true
			r.skip(kind)
		default:
			r.skip(kind)
		}
	})
	return c
}

func (r *thriftReader) chunkMeta(c *pqChunk) {
	r.fields(func(id int16, kind byte) {
		switch {
		case id == 1:
			c.kind = r.int32()
		case id == 2 && kind == thriftList:
			n, _ := r.list()
			for range n {
				c.encodings = append(c.encodings, r.int32())
			}
		case id == 4:
			c.codec = r.int32()
		case id == 5:
			c.values = r.int()
		case id == 6:
			c.uncompressed = r.int()
		case id == 7:
			c.size = r.int()
		case id == 9:
			c.data = r.int()
		case id == 11:
			c.dict = r.int()
		default:
			r.skip(kind)
		}
	})
}

// check says whether row groups and schema belong together, and whether the
// chunks lie in the file.
func (m *pqMeta) check(leaves []pqLeaf) error {
	var rows int64
	for i := range m.groups {
		g := &m.groups[i]
		if len(g.chunks) != len(leaves) {
			return pqInvalid(fmt.Sprintf("row group %d", i), "want %d columns, got %d", len(leaves), len(g.chunks))
		}
		if g.rows < 0 || g.rows > m.rows-rows {
			return pqInvalid(fmt.Sprintf("row group %d", i), "it has %d rows, and the file has %d", g.rows, m.rows)
		}
		rows += g.rows
		for j := range g.chunks {
			c, leaf := &g.chunks[j], &leaves[j]
			var err error
			switch start := c.start(); {
			case c.elsewhere:
				err = fault.New(fault.Unsupported, "rows.Parquet", "", "it is in another file or encrypted")
			case c.kind != leaf.kind:
				err = fmt.Errorf("want the physical type %s, as in the schema, got %s", pqTypeName(leaf.kind), pqTypeName(c.kind))
			case c.values < 0 || leaf.maxRep == 0 && c.values != g.rows || c.values < g.rows:
				err = fmt.Errorf("it has %d values, and the row group has %d rows", c.values, g.rows)
			case c.size < 0 || start < 4 && c.values > 0 || c.size > m.end-start:
				err = fmt.Errorf("it is %d bytes from %d on, and the footer begins at %d: the file is cut off, or the footer is not its own", c.size, start, m.end)
			}
			if err != nil {
				return pqColumnFault(i, leaf.name, err)
			}
		}
	}
	if rows != m.rows {
		return pqInvalid("", "the footer says that the file has %d rows, and its row groups have %d", m.rows, rows)
	}
	return nil
}

// pqColumnFault names the row group and the column of a mistake. It is the
// file's, unless err says otherwise.
func pqColumnFault(group int, column string, err error) error {
	code := fault.Invalid
	hint := ""
	if f := fault.Of(err); f != nil || fault.CodeOf(err) != fault.Internal {
		code, hint = fault.CodeOf(err), fault.HintOf(err)
	}
	return &fault.Error{Op: "rows.Parquet", Subject: fmt.Sprintf("row group %d column %q", group, column), Code: code, Err: err, Hint: hint}
}

func pqTypeName(kind int32) string {
	names := [...]string{"BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"}
	if kind < 0 || int(kind) >= len(names) {
		return fmt.Sprintf("number %d", kind)
	}
	return names[kind]
}
