package rows

import (
	"bytes"
	"context"
	"io"
	"strconv"

	"godwit.dev/runtime/fault"
)

// textJoiner writes parts of CSV or JSON Lines one behind the other, of CSV with
// the first one's header.
type textJoiner struct {
	w      io.Writer
	format Format
	from   Compression
	out    *sink // nil where bytes are copied as they are
	header []byte
	n      int
}

func newTextJoiner(w io.Writer, format Format, o *JoinOptions) (*textJoiner, error) {
	j := &textJoiner{w: w, format: format, from: o.From}
	if format == JSONL && o.From == o.To {
		return j, nil // members of gzip and frames of zstd are one file, too
	}
	var err error
	j.out, err = newSink(w, o.To)
	return j, err
}

func (j *textJoiner) Add(ctx context.Context, src Source) error {
	name := partName(j.n)
	j.n++
	if j.out != nil {
		return joinPart(ctx, j.out, &File{Source: src, Name: name, Format: j.format, Compression: j.from}, &j.header)
	}
	r := &ranges{ctx: ctx, src: src, name: name, piece: src.Size()}
	defer r.close()
	_, err := io.Copy(j.w, r)
	return err
}

func (j *textJoiner) Close() error {
	if j.out == nil {
		return nil
	}
	return j.out.end()
}

func partName(i int) string { return "part " + strconv.Itoa(i) }

// joinPart writes one part. header is the first one's.
func joinPart(ctx context.Context, w io.Writer, f *File, header *[]byte) error {
	s, err := openStream(ctx, f, 0, f.Source.Size(), 1, (*ReadOptions)(nil).withDefaults().MaxExpansion)
	if err != nil {
		return err
	}
	defer s.close()
	if f.Format == CSV {
		n, over, err := s.whole(64 << 20)
		if err != nil || n == 0 {
			return err
		}
		how := whole
		if !over {
			n, _, how, err = s.quotedRecord(n, 64<<20, nil)
		}
		if err != nil {
			return err
		}
		first := s.buf[s.lo : s.lo+n]
		switch {
		case over || how != whole:
			return s.badHeader("want a header of at most 64 MiB, got none")
		case *header == nil:
			*header = bytes.Clone(first)
		case !bytes.Equal(*header, first):
			return fault.New(fault.Invalid, "rows.Join", f.Name, "want the columns of the parts before, %s, got %s", quote(*header), quote(first))
		default:
			s.advance(n, 1)
		}
	}
	for s.lo < s.hi || s.fill() {
		if _, err := w.Write(s.buf[s.lo:s.hi]); err != nil {
			return err
		}
		s.advance(s.hi-s.lo, 0)
	}
	return s.err
}
