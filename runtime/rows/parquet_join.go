package rows

import (
	"bytes"
	"context"
	"io"

	"godwit.dev/runtime/fault"
)

// pqJoiner copies the row groups of several files into one. Nothing is
// decoded; what a footer says beyond what readers need (statistics, indices) is
// left out, because it is of the other file's places.
type pqJoiner struct {
	w      io.Writer
	at     int64
	n      int // files
	schema []byte
	paths  [][]string
	groups []pqGroup
}

func (j *pqJoiner) Add(ctx context.Context, src Source) error {
	f := &File{Source: src, Name: partName(j.n)}
	p, err := openFooter(ctx, f)
	if err != nil {
		return err
	}
	from := int64(len(pqMagic))
	if j.n == 0 {
		if _, err := io.WriteString(j.w, pqMagic); err != nil {
			return err
		}
		j.at, j.schema = from, p.meta.schema
		for k := range p.leaves {
			j.paths = append(j.paths, p.leaves[k].path)
		}
	} else if !bytes.Equal(j.schema, p.meta.schema) {
		return fault.New(fault.Invalid, "rows.Join", f.Name, "want the columns of part 0, got others")
	}
	j.n++
	for k := range p.meta.groups {
		g := p.meta.groups[k]
		for c := range g.chunks {
			g.chunks[c].data += j.at - from
			if g.chunks[c].dict > 0 {
				g.chunks[c].dict += j.at - from
			}
		}
		j.groups = append(j.groups, g)
	}
	n, err := copyRange(ctx, j.w, src, from, p.meta.end-from)
	j.at += n
	return err
}

func (j *pqJoiner) Close() error {
	if j.n == 0 {
		return fault.New(fault.Invalid, "rows.Join", "", "want a file to join, got none")
	}
	_, err := j.w.Write(pqFooter(j.schema, j.paths, j.groups))
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
