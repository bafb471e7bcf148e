package rows

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"godwit.dev/runtime/fault"
)

// joinParquet copies the row groups of several files into one. Nothing is
// decoded; what a footer says beyond what readers need (statistics, indices) is
// left out, because it is of the other file's places.
func joinParquet(ctx context.Context, w io.Writer, srcs []Source) error {
	if len(srcs) == 0 {
		return fault.New(fault.Invalid, "rows.Join", "", "want a file to join, got none")
	}
	if _, err := io.WriteString(w, pqMagic); err != nil {
		return err
	}
	at := int64(len(pqMagic))
	var schema []byte
	var paths [][]string
	var groups []pqGroup
	for i, src := range srcs {
		f := &File{Source: src, Name: fmt.Sprintf("part %d", i)}
		p, err := openFooter(ctx, f)
		if err != nil {
			return err
		}
		if i == 0 {
			schema = p.meta.schema
			for k := range p.leaves {
				paths = append(paths, p.leaves[k].path)
			}
		} else if !bytes.Equal(schema, p.meta.schema) {
			return fault.New(fault.Invalid, "rows.Join", f.Name, "want the columns of part 0, got others")
		}
		from := int64(len(pqMagic))
		for k := range p.meta.groups {
			g := p.meta.groups[k]
			for c := range g.chunks {
				g.chunks[c].data += at - from
				if g.chunks[c].dict > 0 {
					g.chunks[c].dict += at - from
				}
			}
			groups = append(groups, g)
		}
		n, err := copyRange(ctx, w, src, from, p.meta.end-from)
		if err != nil {
			return err
		}
		at += n
	}
	_, err := w.Write(pqFooter(schema, paths, groups))
	return err
}

// copyRange copies length bytes from offset on. Fewer are an error.
func copyRange(ctx context.Context, w io.Writer, src Source, offset, length int64) (int64, error) {
	if length == 0 {
		return 0, nil
	}
	r, err := src.Range(ctx, offset, length)
	if err != nil {
		return 0, err
	}
	n, err := io.CopyN(w, r, length)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, readError(ctx, "", err)
	}
	return n, nil
}
