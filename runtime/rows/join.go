package rows

import (
	"bytes"
	"context"
	"io"
	"strconv"

	"godwit.dev/runtime/fault"
)

// joinText writes parts of CSV or JSON Lines one behind the other, of CSV with
// the first one's header.
func joinText(ctx context.Context, w io.Writer, format Format, parts []Source, o *JoinOptions) error {
	if format == JSONL && o.From == o.To {
		// Members of gzip and frames of zstd are one file, too.
		for i, src := range parts {
			r := &ranges{ctx: ctx, src: src, name: partName(i), piece: src.Size()}
			_, err := io.Copy(w, r)
			r.close()
			if err != nil {
				return err
			}
		}
		return nil
	}
	out, err := newSink(w, o.To)
	if err != nil {
		return err
	}
	var header []byte
	for i, src := range parts {
		if err := joinPart(ctx, out, &File{Source: src, Name: partName(i), Format: format, Compression: o.From}, &header); err != nil {
			return err
		}
	}
	return out.end()
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
