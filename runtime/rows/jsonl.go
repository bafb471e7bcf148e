package rows

import (
	"bytes"
	"context"
	"io"
	"strings"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

const (
	// What a schema of JSON Lines is taken from.
	schemaRows  = 1000
	schemaBytes = 4 << 20
)

// jsonlSchema tells what the first rows have. A file without rows has no columns.
func jsonlSchema(ctx context.Context, f *File) (*Schema, error) {
	o := (*ReadOptions)(nil).withDefaults()
	s, err := openStream(ctx, f, 0, min(f.Source.Size(), 1<<20), 1, o.MaxExpansion)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.skipBOM(); err != nil {
		return nil, err
	}
	schema, at := &Schema{}, map[string]int{}
	line := codec.NewLine(true)
	var first error
	firstLine, good := int64(0), 0
	for rows := 0; rows < schemaRows && s.off < schemaBytes; {
		n, over, err := s.whole(o.MaxRow)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		if over {
			if err := s.skipLine(); err != nil {
				return nil, err
			}
			rows++
			continue
		}
		text := s.buf[s.lo : s.lo+n]
		if len(bytes.TrimSpace(text)) > 0 {
			rows++
			if err := schema.learn(line, text, at); err == nil {
				good++
			} else if first == nil {
				first, firstLine = err, s.line
			}
		}
		s.advance(n, 1)
	}
	if good == 0 && first != nil {
		return nil, fault.New(fault.Invalid, "rows.ReadSchema", f.Name, "line %d: %s", firstLine, reason(first)).
			WithHint("Each line of JSON Lines is an object with the columns as its keys.")
	}
	return schema, nil
}

// learn adds the columns of one row.
func (s *Schema) learn(line *codec.Line, text []byte, at map[string]int) error {
	if err := line.Begin(text); err != nil {
		return err
	}
	row := Schema{}
	for {
		key, ok, err := line.Key()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		c := Column{Name: string(key), Kind: JSON}
		if c.Length, c.List, err = line.List(); err != nil {
			return err
		}
		row.Columns = append(row.Columns, c)
	}
	if err := line.End(); err != nil {
		return err
	}
	for _, c := range row.Columns {
		i, known := at[c.Name]
		switch old := &s.Columns; {
		case !known:
			at[c.Name] = len(*old)
			*old = append(*old, c)
		case c.List && !(*old)[i].List:
			(*old)[i] = c
		case c.List && (*old)[i].Length != c.Length:
			(*old)[i].Length = 0
		}
	}
	return nil
}

// reason is an error of codec without where it comes from.
func reason(err error) string {
	text := err.Error()
	if e := fault.Of(err); e != nil && e.Err != nil {
		text = e.Err.Error()
	}
	return strings.ReplaceAll(text, `of "data"`, "of the list") // the protocol's only list of elements
}

// A jsonlReader reads the rows of one part of a file of JSON Lines.
type jsonlReader struct {
	f    *File
	s    *stream
	part Part
	plan *Plan
	o    ReadOptions
	line *codec.Line
	from int64
	err  error

	names  []string // of the columns that are wanted
	at     map[string]int
	uses   [][]use
	seen   []uint64 // the last row that had the column
	rows   uint64
	likely []likelyKey // the keys of the row before, in order
	row    tensor.Tensor
}

// A likelyKey is a key that likely comes again in its place.
type likelyKey struct {
	quoted []byte // in its quotes, with the colon
	column int    // -1: not wanted
}

func openJSONL(ctx context.Context, f *File, part Part, p *Plan, o *ReadOptions) (Reader, error) {
	s, err := openStream(ctx, f, part.From, part.To-part.From, max(part.Line, 1), o.MaxExpansion)
	if err == nil && part.From == 0 {
		if err = s.skipBOM(); err != nil {
			s.close()
		}
	}
	if err != nil {
		return nil, err
	}
	r := &jsonlReader{f: f, s: s, part: part, plan: p, o: *o, line: codec.NewLine(!o.NoMissing), from: part.Line, at: map[string]int{}}
	add := func(name string, u use) {
		i, ok := r.at[name]
		if !ok {
			i = len(r.names)
			r.at[name] = i
			r.names, r.uses, r.seen = append(r.names, name), append(r.uses, nil), append(r.seen, 0)
		}
		r.uses[i] = append(r.uses[i], u)
	}
	for k := range p.Inputs {
		in := &p.Inputs[k]
		if len(in.Columns) == 1 {
			add(in.Columns[0], use{k, -1, 0}) // all elements
			continue
		}
		for e, name := range in.Columns {
			add(name, use{k, e, 0})
		}
	}
	for k, name := range p.Pass {
		add(name, use{-1, 0, k})
	}
	return r, nil
}

func (r *jsonlReader) Lines() int64 { return r.s.line - max(r.from, 1) }

func (r *jsonlReader) Close() error {
	if r.f != nil {
		r.s.leave(r.f)
		r.f = nil
	}
	return nil
}

// Next implements Reader.
func (r *jsonlReader) Next(ctx context.Context, b *Block, n int) error {
	b.begin(r.plan, n, JSON)
	for r.err == nil && b.Rows+len(b.Bad) < n {
		r.err = r.next(ctx, b, n)
	}
	b.end(r.plan)
	if b.Rows+len(b.Bad) > 0 {
		return nil
	}
	return r.err
}

// next reads one line, which may be empty.
func (r *jsonlReader) next(ctx context.Context, b *Block, most int) error {
	s := r.s
	if s.off >= r.part.To {
		return io.EOF
	}
	if b.Rows&0xff == 0 && ctx.Err() != nil {
		return readError(ctx, s.name, ctx.Err())
	}
	n, over, err := s.whole(r.o.MaxRow)
	switch {
	case err != nil:
		return err
	case n == 0:
		return io.EOF
	case over:
		b.bad(s.line, s.off, "", fault.TooLarge, "want a line of at most "+plural(r.o.MaxRow, "byte")+", got a longer one")
		return s.skipLine()
	}
	line := s.buf[s.lo : s.lo+n]
	ends := int64(0)
	if line[n-1] == '\n' {
		line = line[:n-1]
		ends = 1
	}
	if len(bytes.TrimSpace(line)) > 0 {
		// With more behind the line numbers are scanned without looking for its
		// end at each. A line that is broken may then have been read together
		// with the next, so it is read again alone.
		column, err := r.object(b, s.buf[s.lo:s.hi], most)
		if err != nil || len(bytes.TrimSpace(line[min(r.line.At(), len(line)):])) > 0 || r.line.At() > len(line) {
			column, err = r.object(b, line, most)
			if err == nil {
				err = r.line.End()
			}
		}
		if err == nil {
			b.row(s.line)
		} else {
			b.bad(s.line, s.off, column, fault.Invalid, reason(err))
		}
	}
	s.advance(n, ends)
	return nil
}

// object reads the row that text begins with. column is where it is bad.
func (r *jsonlReader) object(b *Block, text []byte, most int) (column string, err error) {
	for i := range b.Pass {
		b.Pass[i].Raw = b.Pass[i].Raw[:b.Rows]
		if b.Pass[i].Null != nil {
			b.Pass[i].Null[b.Rows] = false
		}
	}
	r.rows++
	l := r.line
	if err := l.Begin(text); err != nil {
		return "", err
	}
	found := 0
	for k := 0; ; k++ {
		var c int
		if k < len(r.likely) && r.likely[k].quoted != nil && l.Expect(r.likely[k].quoted) {
			c = r.likely[k].column
		} else {
			key, ok, err := l.Key()
			if err != nil {
				return "", err
			}
			if !ok {
				break
			}
			c = r.key(k, key)
		}
		if c < 0 {
			if err := l.Skip(); err != nil {
				return "", err
			}
			continue
		}
		if r.seen[c] == r.rows {
			return r.names[c], fault.New(fault.Invalid, "", "", "want each key once, got it twice")
		}
		r.seen[c] = r.rows
		found++
		if err := r.value(b, c, most); err != nil {
			return r.names[c], err
		}
	}
	if found == len(r.names) {
		return "", nil
	}
	for c := range r.names {
		if r.seen[c] == r.rows {
			continue
		}
		for _, u := range r.uses[c] {
			if u.input >= 0 {
				return r.names[c], fault.New(fault.Invalid, "", "", "want a value, got no such key")
			}
			r.pass(b, u.pass, []byte("null"), most)
		}
	}
	return "", nil
}

// key finds the wanted column of a key, the k-th of the row.
func (r *jsonlReader) key(k int, key []byte) (column int) {
	column, ok := r.at[string(key)]
	if !ok {
		column = -1
	}
	const most = 1024
	for k >= len(r.likely) && k < most {
		r.likely = append(r.likely, likelyKey{})
	}
	if k < most && len(key) < 256 {
		next := likelyKey{column: column}
		if quoted, ok := codec.AppendString(nil, key); ok && len(quoted) == len(key)+2 {
			next.quoted = append(quoted, ':')
		}
		r.likely[k] = next
	}
	return column
}

// value reads the value of wanted column c.
func (r *jsonlReader) value(b *Block, c, most int) error {
	from := r.line.At()
	for n, u := range r.uses[c] {
		if n > 0 {
			r.line.Back(from)
		}
		if u.input < 0 {
			raw, err := r.line.Raw()
			if err != nil {
				return err
			}
			r.pass(b, u.pass, raw, most)
			continue
		}
		in, t := &r.plan.Inputs[u.input], &b.Inputs[u.input]
		elements, n := in.Elements(), in.Elements()
		first := b.Rows * elements
		r.row.Type, r.row.Shape = in.Type, in.Shape
		if u.element >= 0 {
			first, n, r.row.Shape = first+u.element, 1, nil
		}
		if in.Type == tensor.Bytes {
			r.row.Strings = t.Strings[first : first+n]
		} else {
			size := in.Type.Size()
			r.row.Data = t.Data[first*size : (first+n)*size]
		}
		if err := r.line.Row(&r.row); err != nil {
			return err
		}
		if in.Type == tensor.Bytes { // they borrow the window, which moves
			for i, text := range r.row.Strings {
				r.row.Strings[i] = b.keep(text)
			}
		}
	}
	return nil
}

// pass keeps the value of a column that passes through.
func (r *jsonlReader) pass(b *Block, i int, raw []byte, most int) {
	if string(raw) == "null" {
		b.null(i, most)
	}
	b.Pass[i].Raw = append(b.Pass[i].Raw, b.keep(raw))
}
