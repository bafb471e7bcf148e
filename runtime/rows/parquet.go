package rows

import (
	"context"
	"fmt"

	"godwit.dev/runtime/fault"
)

// Parquet is read here from the bytes on, without a library: what the usual
// ones believe of a footer (the length of a list, of a run, of a page) they
// allocate, and a file of a hundred bytes then takes all memory of the process
// down with it. Pages of the columns that a plan names are decoded straight
// into tensors; rows are never built.

// pqFile is a file's footer and its columns.
type pqFile struct {
	meta   *pqMeta
	leaves []pqLeaf
}

func openFooter(ctx context.Context, f *File) (*pqFile, error) {
	if p := f.footer.Load(); p != nil {
		return p, nil
	}
	p := &pqFile{}
	var err error
	if p.meta, err = readFooter(ctx, f.Source); err == nil {
		if p.leaves, err = p.meta.leaves(); err == nil {
			err = p.meta.check(p.leaves)
		}
	}
	if err != nil {
		return nil, pqNamed(f, err)
	}
	f.footer.Store(p)
	return p, nil
}

// pqNamed puts the file's name in front of where in the file a mistake is.
func pqNamed(f *File, err error) error {
	e := fault.Of(err)
	if e == nil {
		return readError(context.Background(), f.Name, err)
	}
	if f.Name == "" || e.Op != "rows.Parquet" {
		return err
	}
	named := *e
	named.Subject = f.Name
	if e.Subject != "" {
		named.Subject += " " + e.Subject
	}
	return &named
}

func parquetSchema(ctx context.Context, f *File) (*Schema, error) {
	p, err := openFooter(ctx, f)
	if err != nil {
		return nil, err
	}
	s := &Schema{Columns: make([]Column, len(p.leaves))}
	for i := range p.leaves {
		leaf := &p.leaves[i]
		s.Columns[i] = Column{Name: leaf.name, Kind: leaf.form.column(), List: leaf.list}
		if leaf.list {
			s.Columns[i].Length = p.length(i)
		}
	}
	return s, nil
}

// length is how many elements the lists of a column have, if all row groups
// have as many on the average; else 0. It tells what is wanted and promises
// nothing: each row is checked.
func (p *pqFile) length(column int) int {
	length := int64(0)
	for i := range p.meta.groups {
		g := &p.meta.groups[i]
		if g.rows == 0 {
			continue
		}
		n := g.chunks[column].values / g.rows
		if n*g.rows != g.chunks[column].values || length != 0 && n != length || n > 1<<31-1 {
			return 0
		}
		length = n
	}
	return int(length)
}

// splitParquet joins row groups to parts until they have PartBytes, as they are
// uncompressed.
func splitParquet(ctx context.Context, f *File, o *SplitOptions) ([]Part, error) {
	p, err := openFooter(ctx, f)
	if err != nil {
		return nil, err
	}
	var parts []Part
	bytes, line := int64(0), int64(1)
	for i := range p.meta.groups {
		g := &p.meta.groups[i]
		size := g.size()
		if last := len(parts) - 1; last >= 0 && bytes+size <= o.PartBytes {
			parts[last].To = int64(i) + 1
			bytes += size
		} else {
			parts = append(parts, Part{Index: len(parts), Line: line, From: int64(i), To: int64(i) + 1})
			bytes = size
		}
		line += g.rows
	}
	return parts, nil
}

// size is the bytes of a row group as they are uncompressed, as its columns
// say; what is negative counts nothing.
func (g *pqGroup) size() int64 {
	var n int64
	for i := range g.chunks {
		c := &g.chunks[i]
		n += min(max(c.uncompressed, c.size, 0), 1<<48)
	}
	return n
}

// find gives the leaf of a column that is read.
func (p *pqFile) find(name string) (int, error) {
	for i := range p.leaves {
		leaf := &p.leaves[i]
		if leaf.name != name {
			continue
		}
		if leaf.form == pqNone {
			return 0, fault.New(fault.Unsupported, "rows.Parquet", "", "column %s %s", quote(name), leaf.reason)
		}
		return i, nil
	}
	return 0, fault.New(fault.Invalid, "rows.Parquet", "", "want a column %s, got none", quote(name))
}

func openParquet(ctx context.Context, f *File, part Part, plan *Plan, o *ReadOptions) (Reader, error) {
	p, err := openFooter(ctx, f)
	if err != nil {
		return nil, err
	}
	if part.From < 0 || part.To < part.From || part.To > int64(len(p.meta.groups)) {
		return nil, pqNamed(f, fault.New(fault.Invalid, "rows.Parquet", "", "want row groups %d to %d, and the file has %d", part.From, part.To, len(p.meta.groups)))
	}
	r := &pqReader{file: f, p: p, plan: plan, opts: o, group: int(part.From) - 1, end: int(part.To), row: 1}
	for i := range part.From {
		r.row += p.meta.groups[i].rows
	}
	if err := r.join(); err != nil {
		return nil, pqNamed(f, err)
	}
	r.fetch = newFetcher(ctx, f.Source, &f.spare)
	return r, nil
}

// describe says what a leaf has, for errors.
func (l *pqLeaf) describe() string {
	s := pqTypeName(l.kind)
	if l.form == pqText {
		s = "text"
	}
	if l.list {
		s = "lists of " + s
	}
	return fmt.Sprintf("%s in column %s", s, quote(l.name))
}
