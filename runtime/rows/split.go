package rows

import (
	"bytes"
	"context"
)

// splitText finds the parts of CSV and JSON Lines: the whole file is read, but
// of CSV only lines with quotes are looked at closely.
func splitText(ctx context.Context, f *File, o *SplitOptions) ([]Part, error) {
	size := f.Source.Size()
	if size == 0 {
		return nil, nil
	}
	if f.Compression == None && size <= o.PartBytes {
		return []Part{{Line: 1, To: size}}, nil
	}
	s, err := openStream(ctx, f, 0, size, 1, o.MaxExpansion)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if f.Compression == None && size > aheadPiece {
		s.far = newAhead(ctx, f.Source, f.Name)
	}
	if f.Format == JSONL {
		err = s.skipBOM()
	} else { // the header is the first part's
		_, err = s.header()
	}
	if err != nil {
		return nil, err
	}
	c := cutter{s: s, o: o, begun: s.off, parts: []Part{{Line: 1}}}
	for {
		if err := ctx.Err(); err != nil {
			return nil, readError(ctx, f.Name, err)
		}
		n, over, err := s.whole(o.MaxRow)
		switch {
		case err != nil:
			return nil, err
		case n == 0:
			return c.end(), nil
		case over:
			err = s.skipLine()
		case f.Format == CSV:
			err = c.records(n)
		default:
			c.plain(n)
		}
		if err != nil {
			return nil, err
		}
	}
}

// A cutter ends a part at the first record's end that is at least PartBytes
// behind the part's beginning.
type cutter struct {
	s      *stream
	o      *SplitOptions
	begun  int64 // where the last part's rows begin
	parts  []Part
	fields []span
}

// cut begins a part where the stream is, if it is time.
func (c *cutter) cut() {
	if c.s.off-c.begun >= c.o.PartBytes {
		last := &c.parts[len(c.parts)-1]
		last.To, c.begun = c.s.off, c.s.off
		c.parts = append(c.parts, Part{Index: last.Index + 1, Line: c.s.line, From: c.s.off})
	}
}

// end closes the last part, which has something in it unless nothing has.
func (c *cutter) end() []Part {
	last := &c.parts[len(c.parts)-1]
	last.To = c.s.off
	if last.From == last.To {
		return c.parts[:len(c.parts)-1]
	}
	return c.parts
}

// plain moves over the whole lines in the window, whose first is n bytes long,
// up to where a part ends.
func (c *cutter) plain(n int) { c.lines(n, c.s.buf[c.s.lo:c.s.hi]) }

// lines is plain for the lines that text, the window's beginning, has whole.
func (c *cutter) lines(n int, text []byte) {
	c.cut()
	due := c.begun + c.o.PartBytes - c.s.off // > 0
	if int64(len(text)) >= due {
		// The line that holds the byte before the one that is due is the last.
		if i := bytes.IndexByte(text[due-1:], '\n'); i >= 0 {
			n = int(due) + i
		} else if i := bytes.LastIndexByte(text[:due-1], '\n'); i >= 0 {
			n = i + 1
		}
	} else if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		n = i + 1
	}
	c.s.advance(n, int64(bytes.Count(text[:n], []byte("\n"))))
}

// records moves over lines without quotes, or one record that has some.
func (c *cutter) records(n int) error {
	text := c.s.buf[c.s.lo:c.s.hi]
	quote := bytes.IndexByte(text, '"')
	if quote < 0 {
		c.lines(n, text)
		return nil
	}
	if quote >= n {
		c.lines(n, text[:bytes.LastIndexByte(text[:quote], '\n')+1])
		return nil
	}
	c.cut()
	length, fields, how, err := c.s.quotedRecord(n, c.o.MaxRow, c.fields)
	if c.fields = fields; err != nil {
		return err
	}
	if how != whole {
		return c.s.skipLine()
	}
	c.s.advance(length, int64(bytes.Count(c.s.buf[c.s.lo:c.s.lo+length], []byte("\n"))))
	return nil
}
