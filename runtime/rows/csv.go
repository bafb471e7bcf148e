package rows

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// csvSchema reads the header, once. An empty file has no columns.
func csvSchema(ctx context.Context, f *File) (*Schema, error) {
	if schema := f.header.Load(); schema != nil {
		return schema, nil
	}
	s, err := openStream(ctx, f, 0, min(f.Source.Size(), 1<<20), 1, (*ReadOptions)(nil).withDefaults().MaxExpansion)
	if err != nil {
		return nil, err
	}
	defer s.close()
	names, err := s.header()
	if err != nil {
		return nil, err
	}
	schema := &Schema{}
	for _, name := range names {
		schema.Columns = append(schema.Columns, Column{Name: name})
	}
	f.header.Store(schema)
	return schema, nil
}

// header reads the names of the columns. What follows them is the first row.
func (s *stream) header() ([]string, error) {
	const most = 16 << 20
	if err := s.skipBOM(); err != nil {
		return nil, err
	}
	for {
		n, over, err := s.whole(most)
		switch {
		case err != nil:
			return nil, err
		case over:
			return nil, s.badHeader("want a header of at most %d bytes, got a longer one", most)
		case n == 0:
			return nil, nil
		case len(bytes.TrimRight(s.buf[s.lo:s.lo+n], "\r\n")) == 0:
			s.advance(n, 1)
			continue
		}
		n, fields, how, err := s.quotedRecord(n, most, nil)
		if err != nil {
			return nil, err
		}
		if how != whole {
			return nil, s.badHeader("%s", endings[how])
		}
		b := s.buf[s.lo : s.lo+n]
		if bytes.IndexByte(b, 0) >= 0 {
			return nil, s.badHeader("want text, got a byte of 0")
		}
		var names []string
		var arena []byte
		for _, f := range fields {
			names = append(names, string(f.text(b, &arena)))
		}
		s.advance(n, int64(bytes.Count(b, []byte("\n"))))
		return names, nil
	}
}

func (s *stream) badHeader(format string, args ...any) error {
	return fault.New(fault.Invalid, "rows.Read", s.name, "line %d: "+format, append([]any{s.line}, args...)...).
		WithHint("The first line of CSV has the names of the columns, with commas between them.")
}

// A csvReader reads the rows of one part of a CSV file.
type csvReader struct {
	f     *File
	s     *stream
	part  Part
	plan  *Plan
	o     ReadOptions
	names []string
	steps []step
	uses  [][]use // of each column
	from  int64   // the first line
	err   error

	fields []span
	arena  []byte
}

// A use is what a column's value is for: an element of an input, or an output.
type use struct {
	input, element int // input is -1 for
	pass           int
}

// A step handles some columns of a line that has no quotes, one after another.
type step struct {
	columns int
	kind    stepKind
	// Of numbers: the columns are elements of one input, from this one on. A row
	// of it is stride bytes, an element size, and the first one is at.
	input, element   int
	stride, size, at int
}

type stepKind uint8

const (
	skipped stepKind = iota
	numbers
	used // one column, by its uses
)

func openCSV(ctx context.Context, f *File, part Part, p *Plan, o *ReadOptions) (Reader, error) {
	names, s, err := csvPart(ctx, f, part, o)
	if err != nil {
		return nil, err
	}
	r := &csvReader{f: f, s: s, part: part, plan: p, o: *o, names: names, from: part.Line}
	if err := r.compile(); err != nil {
		s.close()
		return nil, err
	}
	return r, nil
}

// csvPart gives the columns of f, and its text where the part's first row begins.
func csvPart(ctx context.Context, f *File, part Part, o *ReadOptions) ([]string, *stream, error) {
	var names []string
	if part.From > 0 {
		schema, err := csvSchema(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range schema.Columns {
			names = append(names, c.Name)
		}
	}
	s, err := openStream(ctx, f, part.From, part.To-part.From, max(part.Line, 1), o.MaxExpansion)
	if err != nil {
		return nil, nil, err
	}
	if part.From == 0 {
		if names, err = s.header(); err != nil {
			s.close()
			return nil, nil, err
		}
	}
	return names, s, nil
}

// compile makes the steps for a line.
func (r *csvReader) compile() error {
	r.uses = make([][]use, len(r.names))
	add := func(name string, u use) error {
		i := slices.Index(r.names, name)
		if i < 0 {
			return fault.New(fault.Invalid, "rows.Open", r.f.Name, "want a column %s, as the plan has it, got %s", quote(name), list(r.names))
		}
		r.uses[i] = append(r.uses[i], u)
		return nil
	}
	for k := range r.plan.Inputs {
		in := &r.plan.Inputs[k]
		if len(in.Columns) != in.Elements() {
			return fault.New(fault.Invalid, "rows.Open", r.f.Name, "input %s: want %s, as CSV has no lists, got %s", quote(in.Name), plural(in.Elements(), "column"), list(in.Columns))
		}
		for e, name := range in.Columns {
			if err := add(name, use{k, e, 0}); err != nil {
				return err
			}
		}
	}
	for k, name := range r.plan.Pass {
		if err := add(name, use{-1, 0, k}); err != nil {
			return err
		}
	}
	for c, uses := range r.uses {
		st := step{columns: 1}
		switch {
		case len(uses) == 0:
		case len(uses) == 1 && uses[0].input >= 0 && r.plan.Inputs[uses[0].input].Type != tensor.Bytes:
			st.kind, st.input, st.element = numbers, uses[0].input, uses[0].element
			in := &r.plan.Inputs[st.input]
			st.size = in.Type.Size()
			st.stride, st.at = in.Elements()*st.size, st.element*st.size
		default:
			st.kind = used
		}
		if c > 0 {
			last := &r.steps[len(r.steps)-1]
			if st.kind == last.kind && (st.kind == skipped || st.kind == numbers && st.input == last.input && st.element == last.element+last.columns) {
				last.columns++
				continue
			}
		}
		r.steps = append(r.steps, st)
	}
	return nil
}

func (r *csvReader) Lines() int64 { return r.s.line - max(r.from, 1) }

func (r *csvReader) Close() error {
	if r.f != nil {
		r.s.leave(r.f)
		r.f = nil
	}
	return nil
}

// Next implements Reader.
func (r *csvReader) Next(ctx context.Context, b *Block, n int) error {
	b.begin(r.plan, n, Text)
	for r.err == nil && b.Rows+len(b.Bad) < n {
		r.err = r.next(ctx, b)
	}
	b.end(r.plan)
	if b.Rows+len(b.Bad) > 0 {
		return nil
	}
	return r.err
}

// next reads one line, which may be empty.
func (r *csvReader) next(ctx context.Context, b *Block) error {
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
	stop, ends := n, int64(0)
	if line[n-1] == '\n' {
		stop--
		ends = 1
	}
	if stop > 0 && line[stop-1] == '\r' {
		stop--
	}
	if stop == 0 {
		s.advance(n, ends)
		return nil
	}
	if bytes.IndexByte(line, '"') < 0 {
		if column, reason := r.plain(b, s.buf[s.lo:s.hi], stop); reason == "" {
			b.row(s.line)
		} else {
			b.bad(s.line, s.off, column, fault.Invalid, reason)
		}
		s.advance(n, ends)
		return nil
	}
	length, fields, how, err := s.quotedRecord(n, r.o.MaxRow, r.fields)
	if r.fields = fields; err != nil {
		return err
	}
	if how != whole {
		column := ""
		if len(fields) < len(r.names) {
			column = r.names[len(fields)]
		}
		b.bad(s.line, s.off, column, fault.Invalid, endings[how])
		return s.skipLine()
	}
	if column, reason := r.quoted(b, s.buf[s.lo:s.hi], fields); reason == "" {
		b.row(s.line)
	} else {
		b.bad(s.line, s.off, column, fault.Invalid, reason)
	}
	s.advance(length, int64(bytes.Count(s.buf[s.lo:s.lo+length], []byte("\n"))))
	return nil
}

// plain reads a line without quotes, which ends at stop; text goes on behind
// it. reason is "" or why the row is bad.
func (r *csvReader) plain(b *Block, text []byte, stop int) (column, reason string) {
	i, c := 0, 0
	for k := range r.steps {
		st := &r.steps[k]
		if k > 0 {
			if i == stop {
				return "", r.count(c)
			}
			i++ // the comma
		}
		switch st.kind {
		case skipped:
			for n := st.columns; ; i++ {
				next := bytes.IndexByte(text[i:stop], ',')
				if next < 0 {
					i = stop
					if n > 1 {
						return "", r.count(c + st.columns - n + 1)
					}
					break
				}
				i += next
				if n--; n == 0 {
					break
				}
			}
		case numbers:
			t, size := &b.Inputs[st.input], st.size
			from := b.Rows*st.stride + st.at
			dst := t.Data[from : from+st.columns*size]
			for done := 0; done < st.columns; {
				if done > 0 {
					if i == stop {
						return "", r.count(c + done)
					}
					i++
				}
				next, some := codec.Fields(t.Type, text, i, stop, dst[done*size:])
				if done += some; done == st.columns {
					i = next
					break
				}
				if some > 0 && next == stop && text[stop-1] != ',' {
					return "", r.count(c + done)
				}
				end := fieldEnd(text, next, stop)
				if reason := textNumber(t.Type, text[next:end], dst[done*size:(done+1)*size], r.o.NoMissing); reason != "" {
					return r.names[c+done], reason
				}
				i = end
				done++
			}
		case used:
			end := fieldEnd(text, i, stop)
			if reason := r.use(b, c, text, i, end); reason != "" {
				return r.names[c], reason
			}
			i = end
		}
		c += st.columns
	}
	if i != stop {
		return "", r.count(len(r.names) + 1 + bytes.Count(text[i+1:stop], []byte(",")))
	}
	return "", ""
}

func fieldEnd(text []byte, i, stop int) int {
	if n := bytes.IndexByte(text[i:stop], ','); n >= 0 {
		return i + n
	}
	return stop
}

func (r *csvReader) count(got int) string {
	return "want " + plural(len(r.names), "field") + ", got " + strconv.Itoa(got)
}

// quoted reads the record with quotes that text begins with.
func (r *csvReader) quoted(b *Block, text []byte, fields []span) (column, reason string) {
	if len(fields) != len(r.names) {
		return "", r.count(len(fields))
	}
	r.arena = r.arena[:0]
	for c, f := range fields {
		if len(r.uses[c]) == 0 {
			continue
		}
		if f.escaped {
			value := f.text(text, &r.arena)
			reason = r.use(b, c, value, 0, len(value))
		} else {
			reason = r.use(b, c, text, f.from, f.to)
		}
		if reason != "" {
			return r.names[c], reason
		}
	}
	return "", ""
}

// use takes the value of column c, which is text[i:end].
func (r *csvReader) use(b *Block, c int, text []byte, i, end int) (reason string) {
	value := text[i:end]
	for _, u := range r.uses[c] {
		if u.input < 0 {
			b.Pass[u.pass].Raw = append(b.Pass[u.pass].Raw, b.keep(value))
			continue
		}
		t := &b.Inputs[u.input]
		at := b.Rows*r.plan.Inputs[u.input].Elements() + u.element
		if t.Type == tensor.Bytes {
			if len(value) == 0 && r.o.NoMissing {
				return "want text, got an empty field"
			}
			t.Strings[at] = b.keep(value)
			continue
		}
		size := t.Type.Size()
		dst := t.Data[at*size : (at+1)*size]
		if codec.Number(t.Type, text, i, end, dst) {
			continue
		}
		if reason := textNumber(t.Type, value, dst, r.o.NoMissing); reason != "" {
			return reason
		}
	}
	return ""
}
