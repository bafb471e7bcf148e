package rows

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/klauspost/compress/snappy"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

const (
	// A page of every column ends after so many rows, or bytes of all columns,
	// and a row group after so many. Only the rows decide, not the blocks that
	// they come in: the same rows give the same bytes.
	pqPageRows   = 16 << 10
	pqPageBytes  = 4 << 20
	pqGroupRows  = 1 << 20
	pqGroupBytes = 8 << 20

	pqCreatedBy = "godwit"
)

// A pqOut is one column that is written.
type pqOut struct {
	name    string
	kind    int32
	text    bool         // UTF-8
	json    bool         // one JSON value
	integer tensor.DType // which width of integer it says it has; None: none
	list    bool
	null    bool // values may be missing

	// The page.
	values  []byte
	bits    int // booleans in values
	levels  pqRuns
	reps    pqRuns
	entries int

	// The row group: pages[:ready] are of this one, the others memory of one before.
	pages   []pqPage
	ready   int
	raw     int64 // what they are uncompressed, headers included
	written int64 // entries
}

type pqPage struct{ head, body []byte }

// take gives what an earlier writer has left to columns, and its scratch.
func (m *Memory) take(columns []pqOut) (scratch []byte) {
	for i := range min(len(columns), len(m.columns)) {
		old := &m.columns[i]
		columns[i] = pqOut{values: old.values[:0], levels: pqRuns{b: old.levels.b[:0]}, reps: pqRuns{b: old.reps.b[:0]}, pages: old.pages}
	}
	scratch = m.scratch
	*m = Memory{}
	return scratch
}

// pqWriter writes pages of version 1, plain and compressed with snappy: what
// every reader reads.
type pqWriter struct {
	w       io.Writer
	at      int64
	columns []pqOut
	pass    int // of them, those that are passed through
	outputs []Output

	rows      int // of the page
	bytes     int
	groupRows int64
	groupSize int
	groups    []pqGroup
	scratch   []byte // a page
	memory    *Memory
	err       error
}

func newParquetWriter(w io.Writer, s *Schema, outputs []Output, opts *WriteOptions) (Writer, error) {
	if len(s.Columns) < len(outputs) {
		return nil, fault.New(fault.Internal, "rows.NewWriter", "", "want a schema with the %d outputs at its end, got %d columns", len(outputs), len(s.Columns))
	}
	p := &pqWriter{w: w, pass: len(s.Columns) - len(outputs), outputs: outputs, columns: make([]pqOut, len(s.Columns)), memory: opts.Memory}
	if p.memory != nil {
		p.scratch = p.memory.take(p.columns)
	}
	for i := range s.Columns {
		c, out := &s.Columns[i], &p.columns[i]
		out.name = c.Name
		if i >= p.pass {
			o := &outputs[i-p.pass]
			out.list = c.List
			out.of(o.Type)
			continue
		}
		if c.List {
			return nil, fault.New(fault.Unsupported, "rows.NewWriter", "", "want columns without lists to pass through, got %s", quote(c.Name))
		}
		out.null = true
		switch c.Kind {
		case Bool:
			out.kind = pqBoolean
		case Int:
			out.kind = pqInt64
		case Uint:
			out.kind, out.integer = pqInt64, tensor.Uint64
		case Float:
			out.kind = pqFloat
		case Double:
			out.kind = pqDouble
		default:
			out.kind, out.text, out.json = pqByteArray, c.Kind == Text, c.Kind == JSON
		}
	}
	return p, p.write([]byte(pqMagic))
}

// of sets how elements of a tensor are stored. Half precision becomes FLOAT,
// which every reader knows.
func (c *pqOut) of(t tensor.DType) {
	switch t {
	case tensor.Bool:
		c.kind = pqBoolean
	case tensor.Int8, tensor.Int16, tensor.Uint8, tensor.Uint16, tensor.Uint32:
		c.kind, c.integer = pqInt32, t
	case tensor.Int32:
		c.kind = pqInt32
	case tensor.Uint64:
		c.kind, c.integer = pqInt64, t
	case tensor.Int64:
		c.kind = pqInt64
	case tensor.FP64:
		c.kind = pqDouble
	case tensor.Bytes:
		c.kind, c.text = pqByteArray, true
	default:
		c.kind = pqFloat
	}
}

func (p *pqWriter) write(b []byte) error {
	if p.err == nil {
		var n int
		n, p.err = p.w.Write(b)
		p.at += int64(n)
	}
	return p.err
}

func (p *pqWriter) Write(b *Block, outputs []tensor.Tensor) error {
	if p.err != nil {
		return p.err
	}
	if len(b.Pass) != p.pass || len(outputs) != len(p.outputs) {
		return p.fail(fault.New(fault.Internal, "rows.Write", "", "want %d columns and %d outputs, got %d and %d", p.pass, len(p.outputs), len(b.Pass), len(outputs)))
	}
	elems := make([]int, len(outputs))
	for i := range outputs {
		t, o := &outputs[i], &p.outputs[i]
		n := t.Len()
		if t.Type != o.Type || b.Rows > 0 && n%b.Rows != 0 || b.Rows == 0 && n != 0 {
			return p.fail(fault.New(fault.Unsupported, "rows.Write", quote(o.Name), "want an output of type %s with a value for each of %d rows, got %s %s", o.Type, b.Rows, t.Type, tensor.FormatShape(t.Shape)))
		}
		if b.Rows > 0 {
			elems[i] = n / b.Rows
		}
		if c := &p.columns[p.pass+i]; !c.list && b.Rows > 0 && elems[i] != 1 {
			return p.fail(fault.New(fault.Unsupported, "rows.Write", quote(o.Name), "want one element for each row, got %d", elems[i]))
		}
	}
	for i := 0; i < b.Rows; {
		n := p.run(b, outputs, elems, i)
		for k := range b.Pass {
			p.columns[k].keep(&b.Pass[k], i, i+n)
		}
		for k := range outputs {
			p.columns[p.pass+k].append(&outputs[k], elems[k], i, i+n)
		}
		p.rows += n
		i += n
		if p.rows >= pqPageRows || p.bytes >= pqPageBytes {
			if err := p.page(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pqWriter) fail(err error) error {
	p.err = err
	return err
}

// run is how many rows from i on go into the page, one at least, and counts
// their bytes. Rows with words are weighed one by one.
func (p *pqWriter) run(b *Block, outputs []tensor.Tensor, elems []int, i int) int {
	fixed := p.pass * 8
	words := false
	for k := range b.Pass {
		words = words || b.Pass[k].words()
	}
	for k := range outputs {
		fixed += elems[k] * max(outputs[k].Type.Size(), 4)
		words = words || outputs[k].Type == tensor.Bytes
	}
	n := 0
	for i+n < b.Rows && p.rows+n < pqPageRows && (p.bytes < pqPageBytes || n == 0) {
		if !words {
			fits := max((pqPageBytes-p.bytes+fixed-1)/max(fixed, 1), 1)
			m := min(b.Rows-i-n, pqPageRows-p.rows-n, fits)
			p.bytes += m * fixed
			n += m
			continue
		}
		p.bytes += fixed
		for k := range b.Pass {
			if v := &b.Pass[k]; v.words() {
				p.bytes += len(v.Raw[i+n])
			}
		}
		for k := range outputs {
			if outputs[k].Type == tensor.Bytes {
				for _, w := range outputs[k].Strings[(i+n)*elems[k] : (i+n+1)*elems[k]] {
					p.bytes += len(w)
				}
			}
		}
		n++
	}
	return n
}

func (v *Values) words() bool { return v.Kind == Text || v.Kind == JSON || v.Kind == Bytes }

// keep appends the values of rows that are passed through.
func (c *pqOut) keep(v *Values, from, to int) {
	c.entries += to - from
	if v.Null == nil {
		c.levels.add(1, to-from)
	}
	for i := from; i < to; i++ {
		if v.Null != nil {
			if v.Null[i] {
				c.levels.add(0, 1)
				continue
			}
			c.levels.add(1, 1)
		}
		switch v.Kind {
		case Bool:
			c.bool(v.Ints[i] != 0)
		case Int:
			c.values = binary.LittleEndian.AppendUint64(c.values, uint64(v.Ints[i]))
		case Uint:
			c.values = binary.LittleEndian.AppendUint64(c.values, v.Uints[i])
		case Float:
			c.values = binary.LittleEndian.AppendUint32(c.values, math.Float32bits(float32(v.Floats[i])))
		case Double:
			c.values = binary.LittleEndian.AppendUint64(c.values, math.Float64bits(v.Floats[i]))
		default:
			c.word(v.Raw[i])
		}
	}
}

func (c *pqOut) word(w []byte) {
	c.values = binary.LittleEndian.AppendUint32(c.values, uint32(len(w)))
	c.values = append(c.values, w...)
}

func (c *pqOut) bool(v bool) {
	if c.bits%8 == 0 {
		c.values = append(c.values, 0)
	}
	if v {
		c.values[len(c.values)-1] |= 1 << (c.bits % 8)
	}
	c.bits++
}

// append writes a model's answers for rows, elems for each.
func (c *pqOut) append(t *tensor.Tensor, elems, from, to int) {
	if c.list {
		c.entries += (to - from) * max(elems, 1)
		for range to - from {
			c.reps.add(0, 1)
			if elems > 0 {
				c.reps.add(1, elems-1)
			}
		}
		if elems > 0 {
			c.levels.add(1, (to-from)*elems)
		} else {
			c.levels.add(0, to-from)
		}
	} else {
		c.entries += to - from
	}
	from, to = from*elems, to*elems
	if t.Type == tensor.Bytes {
		for _, w := range t.Strings[from:to] {
			c.word(w)
		}
		return
	}
	size := t.Type.Size()
	b := t.Data[from*size : to*size]
	switch t.Type {
	case tensor.Bool:
		for _, v := range b {
			c.bool(v != 0)
		}
	case tensor.Uint8:
		for _, v := range b {
			c.int32(int32(v))
		}
	case tensor.Int8:
		for _, v := range b {
			c.int32(int32(int8(v)))
		}
	case tensor.Uint16:
		for ; len(b) > 0; b = b[2:] {
			c.int32(int32(binary.LittleEndian.Uint16(b)))
		}
	case tensor.Int16:
		for ; len(b) > 0; b = b[2:] {
			c.int32(int32(int16(binary.LittleEndian.Uint16(b))))
		}
	case tensor.FP16:
		for ; len(b) > 0; b = b[2:] {
			c.int32(int32(math.Float32bits(tensor.Float16(binary.LittleEndian.Uint16(b)))))
		}
	case tensor.BF16:
		for ; len(b) > 0; b = b[2:] {
			c.int32(int32(math.Float32bits(tensor.BFloat16(binary.LittleEndian.Uint16(b)))))
		}
	default:
		c.values = append(c.values, b...)
	}
}

func (c *pqOut) int32(v int32) { c.values = binary.LittleEndian.AppendUint32(c.values, uint32(v)) }

// pqRuns are levels of one bit, as runs.
type pqRuns struct {
	b     []byte
	value byte
	n     int
}

func (r *pqRuns) add(value byte, n int) {
	if value != r.value {
		r.flush()
		r.value = value
	}
	r.n += n
}

func (r *pqRuns) flush() {
	if r.n > 0 {
		r.b = binary.AppendUvarint(r.b, uint64(r.n)<<1)
		r.b = append(r.b, r.value)
		r.n = 0
	}
}

// take appends the runs with their length in front, and begins anew.
func (r *pqRuns) take(b []byte) []byte {
	r.flush()
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.b)))
	b = append(b, r.b...)
	r.b = r.b[:0]
	return b
}

// page ends the page of every column.
func (p *pqWriter) page() error {
	if p.rows == 0 {
		return nil
	}
	for i := range p.columns {
		c := &p.columns[i]
		body := c.values
		if c.list || c.null { // levels come first
			body = p.scratch[:0]
			if c.list {
				body = c.reps.take(body)
			}
			body = append(c.levels.take(body), c.values...)
			p.scratch = body
		}
		if len(body) > math.MaxInt32 {
			return p.fail(fault.New(fault.TooLarge, "rows.Write", quote(c.name), "a row has %d bytes, more than %d", len(body), math.MaxInt32))
		}
		if c.ready == len(c.pages) {
			c.pages = append(c.pages, pqPage{})
		}
		page := &c.pages[c.ready]
		c.ready++
		if most := snappy.MaxEncodedLen(len(body)); cap(page.body) < most {
			page.body = make([]byte, most)
		}
		page.body = snappy.Encode(page.body[:cap(page.body)], body)
		h := thriftWriter{b: page.head[:0]}
		h.begin()
		h.i32(1, pqDataPage)
		h.i32(2, int32(len(body)))
		h.i32(3, int32(len(page.body)))
		h.field(5, thriftStruct)
		h.begin()
		h.i32(1, int32(c.entries))
		h.i32(2, pqPlain)
		h.i32(3, pqRLE)
		h.i32(4, pqRLE)
		h.end()
		h.end()
		page.head = h.b
		c.raw += int64(len(page.head) + len(body))
		c.written += int64(c.entries)
		c.values, c.bits, c.entries = c.values[:0], 0, 0
	}
	p.groupRows += int64(p.rows)
	p.groupSize += p.bytes
	p.rows, p.bytes = 0, 0
	if p.groupRows >= pqGroupRows || p.groupSize >= pqGroupBytes {
		return p.group()
	}
	return nil
}

// group ends the row group.
func (p *pqWriter) group() error {
	if p.groupRows == 0 {
		return nil
	}
	g := pqGroup{rows: p.groupRows}
	for i := range p.columns {
		c := &p.columns[i]
		at := p.at
		for k := range c.pages[:c.ready] {
			if err := p.write(c.pages[k].head); err != nil {
				return err
			}
			if err := p.write(c.pages[k].body); err != nil {
				return err
			}
		}
		g.chunks = append(g.chunks, pqChunk{
			kind: c.kind, codec: pqSnappy, values: c.written, size: p.at - at, uncompressed: c.raw,
			data: at, encodings: []int32{pqPlain, pqRLE},
		})
		c.ready, c.raw, c.written = 0, 0, 0
	}
	p.groups = append(p.groups, g)
	p.groupRows, p.groupSize = 0, 0
	return nil
}

// Close writes what is left and the footer.
func (p *pqWriter) Close() error {
	if err := p.page(); err != nil {
		return err
	}
	if err := p.group(); err != nil {
		return err
	}
	paths := make([][]string, len(p.columns))
	for i := range p.columns {
		paths[i] = []string{p.columns[i].name}
		if p.columns[i].list {
			paths[i] = append(paths[i], "list", "element")
		}
	}
	if err := p.write(pqFooter(p.schema(), paths, p.groups)); err != nil {
		return err
	}
	if p.memory != nil {
		p.memory.columns, p.memory.scratch = p.columns, p.scratch
	}
	p.err = fault.New(fault.Internal, "rows.Write", "", "the writer is closed")
	return nil
}

// schema is the list of the schema's elements.
func (p *pqWriter) schema() []byte {
	n := 1 + len(p.columns)
	for i := range p.columns {
		if p.columns[i].list {
			n += 2
		}
	}
	var w thriftWriter
	w.listHead(thriftStruct, n)
	w.begin()
	w.string(4, "schema")
	w.i32(5, int32(len(p.columns)))
	w.end()
	for i := range p.columns {
		c := &p.columns[i]
		if c.list {
			w.begin()
			w.i32(3, pqRequired)
			w.string(4, c.name)
			w.i32(5, 1)
			w.i32(6, pqConvList)
			w.field(10, thriftStruct)
			w.mark(pqList)
			w.end()
			w.begin()
			w.i32(3, pqRepeated)
			w.string(4, "list")
			w.i32(5, 1)
			w.end()
		}
		c.element(&w)
	}
	return w.b
}

// mark is a union of an empty struct.
func (w *thriftWriter) mark(id int16) {
	w.begin()
	w.field(id, thriftStruct)
	w.begin()
	w.end()
	w.end()
}

func (c *pqOut) element(w *thriftWriter) {
	w.begin()
	w.i32(1, c.kind)
	rep, name := int32(pqRequired), c.name
	if c.null {
		rep = pqOptional
	}
	if c.list {
		name = "element"
	}
	w.i32(3, rep)
	w.string(4, name)
	switch {
	case c.text:
		w.i32(6, pqConvUTF8)
		w.field(10, thriftStruct)
		w.mark(pqString)
	case c.json:
		w.i32(6, pqConvJSON)
		w.field(10, thriftStruct)
		w.mark(pqJSON)
	case c.integer != tensor.None:
		size := c.integer.Size()
		signed := c.integer == tensor.Int8 || c.integer == tensor.Int16
		conv := int32(pqConvUint8)
		if signed {
			conv = pqConvInt8
		}
		for n := size; n > 1; n /= 2 {
			conv++
		}
		w.i32(6, conv)
		w.field(10, thriftStruct)
		w.begin()
		w.field(pqInteger, thriftStruct)
		w.begin()
		w.field(1, thriftByte)
		w.b = append(w.b, byte(8*size))
		w.bool(2, signed)
		w.end()
		w.end()
	}
	w.end()
}

// pqFooter is the end of a file: what the row groups are, and where.
func pqFooter(schema []byte, paths [][]string, groups []pqGroup) []byte {
	rows := int64(0)
	for i := range groups {
		rows += groups[i].rows
	}
	var w thriftWriter
	w.begin()
	w.i32(1, 2)
	w.field(2, thriftList)
	w.b = append(w.b, schema...)
	w.i64(3, rows)
	w.list(4, thriftStruct, len(groups))
	for i := range groups {
		g := &groups[i]
		var raw, size int64
		w.begin()
		w.list(1, thriftStruct, len(g.chunks))
		for k := range g.chunks {
			c := &g.chunks[k]
			raw += c.uncompressed
			size += c.size
			w.begin()
			w.i64(2, c.start())
			w.field(3, thriftStruct)
			c.meta(&w, paths[k])
			w.end()
		}
		w.i64(2, raw)
		w.i64(3, g.rows)
		if len(g.chunks) > 0 {
			w.i64(5, g.chunks[0].start())
		}
		w.i64(6, size)
		w.end()
	}
	w.string(6, pqCreatedBy)
	w.end()
	w.b = binary.LittleEndian.AppendUint32(w.b, uint32(len(w.b)))
	return append(w.b, pqMagic...)
}

func (c *pqChunk) meta(w *thriftWriter, path []string) {
	w.begin()
	w.i32(1, c.kind)
	w.list(2, thriftI32, len(c.encodings))
	for _, e := range c.encodings {
		w.varint(int64(e))
	}
	w.list(3, thriftBinary, len(path))
	for _, s := range path {
		w.text(s)
	}
	w.i32(4, c.codec)
	w.i64(5, c.values)
	w.i64(6, c.uncompressed)
	w.i64(7, c.size)
	w.i64(9, c.data)
	if c.dict > 0 {
		w.i64(11, c.dict)
	}
	w.end()
}
