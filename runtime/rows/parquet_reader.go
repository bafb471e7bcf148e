package rows

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"

	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// pqTile is about how many bytes of tensors are filled from all columns before
// the next rows are: they stay in the nearest cache, where columns become rows.
const pqTile = 32 << 10

// A pqUse is what a column fills: elements of an input, or what is passed through.
type pqUse struct {
	input  int // -1: pass
	pass   int
	at     int // the element of the row
	count  int // elements that the column gives for a row
	to     tensor.DType
	stride int // bytes of a row; elements of a row for BYTES
	put    pqPut
	nan    []byte // what is written where a value is missing; nil: the row is bad
	empty  bool   // "" is written there
}

// pqSource is one column that is read.
type pqSource struct {
	leaf int
	uses []pqUse
	col  *pqColumn
	// Of a list: entries that are read and belong to no row yet.
	some pqBatch
	next int
}

type pqReader struct {
	file    *File
	p       *pqFile
	plan    *Plan
	opts    *ReadOptions
	sources []pqSource
	leaves  []int // the sources'
	tile    int

	fetch *pqFetcher
	pages pqPages
	ahead []*pqBytes // the next row group's

	group, end int
	left       int64 // rows of the row group that are not read
	row        int64 // the number of the next
	lines      int64
	failed     error // what ended the part after the rows that were given

	bad   []Bad
	isBad []bool
}

// join finds what each column is for.
func (r *pqReader) join() error {
	use := func(name string, u pqUse) error {
		leaf, err := r.p.find(name)
		if err != nil {
			return err
		}
		l := &r.p.leaves[leaf]
		what := "a column to pass through"
		switch {
		case u.input < 0 && l.list:
			return fault.New(fault.Unsupported, "rows.Parquet", "", "want %s, got %s", what, l.describe())
		case u.input >= 0:
			in := &r.plan.Inputs[u.input]
			u.to = in.Type
			u.stride = in.Elements()
			if in.Type != tensor.Bytes {
				u.stride *= in.Type.Size()
			}
			u.put = putter(l.form, in.Type)
			if (in.Type == tensor.Bytes) != (l.form.width() == 0) {
				return fault.New(fault.Invalid, "rows.Parquet", "", "want %s for input %s, got %s", in.Type, quote(in.Name), l.describe())
			}
			if !l.list && u.count != 1 {
				return fault.New(fault.Invalid, "rows.Parquet", "", "want lists of %d for input %s, got %s", u.count, quote(in.Name), l.describe())
			}
			if !r.opts.NoMissing {
				u.nan = missing(in.Type)
				u.empty = in.Type == tensor.Bytes
			}
		}
		for i := range r.sources {
			if r.sources[i].leaf == leaf {
				r.sources[i].uses = append(r.sources[i].uses, u)
				return nil
			}
		}
		r.sources = append(r.sources, pqSource{leaf: leaf, uses: []pqUse{u}})
		r.leaves = append(r.leaves, leaf)
		return nil
	}
	size := 0
	for i := range r.plan.Inputs {
		in := &r.plan.Inputs[i]
		size += in.Elements() * max(in.Type.Size(), 1)
		count := 1
		if len(in.Columns) == 1 {
			count = in.Elements()
		}
		for k, name := range in.Columns {
			if err := use(name, pqUse{input: i, at: k, count: count}); err != nil {
				return err
			}
		}
	}
	for i, name := range r.plan.Pass {
		if err := use(name, pqUse{input: -1, pass: i}); err != nil {
			return err
		}
	}
	r.tile = min(max(pqTile/max(size, 1), 16), pqBatchMax)
	return nil
}

func (r *pqReader) Lines() int64 { return r.lines }

func (r *pqReader) Close() error {
	r.fetch.close()
	r.pages.close()
	for i := range r.sources {
		if c := r.sources[i].col; c != nil {
			c.in.done()
			r.fetch.spare.give(c.buf)
			r.sources[i].col = nil
		}
	}
	for _, in := range r.ahead {
		in.done()
	}
	r.ahead = nil
	return nil
}

func (r *pqReader) Next(ctx context.Context, b *Block, n int) error {
	r.begin(b, n)
	got := 0
	for got < n && r.failed == nil {
		if r.left == 0 {
			more, err := r.nextGroup()
			if err != nil {
				r.failed = err
				break
			}
			if !more {
				break
			}
			continue
		}
		k := min(r.tile, n-got, int(min(r.left, 1<<30)))
		if err := r.fill(ctx, b, got, k); err != nil {
			// Nothing of the tile is given, since some columns have no values for it.
			r.failed = err
			r.bad = slices.DeleteFunc(r.bad, func(bad Bad) bool { return bad.Row >= r.row+int64(got) })
			break
		}
		got += k
		r.left -= int64(k)
	}
	r.finish(b, got)
	if got > 0 {
		return nil
	}
	if r.failed != nil {
		return r.failed
	}
	return io.EOF
}

// nextGroup goes on to the next row group, whose bytes are on their way, and has
// those of the one after it set out.
func (r *pqReader) nextGroup() (bool, error) {
	for i := range r.sources {
		if s := &r.sources[i]; s.col != nil && (s.col.left > 0 || s.col.todo > 0 || s.next < s.some.n) {
			return false, r.fault(s, errors.New("it has more values than the row group has rows"))
		}
	}
	if r.group+1 >= r.end {
		return false, nil
	}
	r.group++
	groups := r.p.meta.groups
	for i := range r.sources {
		if c := r.sources[i].col; c != nil {
			c.in.done()
		}
	}
	in := r.ahead
	if in == nil {
		in = r.fetch.group(&groups[r.group], r.leaves)
	}
	r.ahead = nil
	if r.group+1 < r.end {
		r.ahead = r.fetch.group(&groups[r.group+1], r.leaves)
	}
	r.left = groups[r.group].rows
	r.pages.held = 0
	for i := range r.sources {
		s := &r.sources[i]
		col := &pqColumn{leaf: &r.p.leaves[s.leaf], chunk: &groups[r.group].chunks[s.leaf], in: in[i], pages: &r.pages}
		col.todo = col.chunk.values
		if old := s.col; old != nil {
			col.buf, col.levels, col.reps, col.index = old.buf, old.levels, old.reps, old.index
			col.ints, col.out, col.outWords, col.null = old.ints, old.out, old.outWords, old.null
		}
		s.col, s.some, s.next = col, pqBatch{}, 0
	}
	return true, nil
}

func (r *pqReader) fault(s *pqSource, err error) error {
	return pqNamed(r.file, pqColumnFault(r.group, r.p.leaves[s.leaf].name, err))
}

// begin makes room for n rows.
func (r *pqReader) begin(b *Block, n int) {
	rows := r.left
	for i := r.group + 1; i < r.end; i++ {
		rows += r.p.meta.groups[i].rows
	}
	n = int(min(int64(n), rows))
	r.bad = r.bad[:0]
	if len(b.Inputs) != len(r.plan.Inputs) {
		b.Inputs = make([]tensor.Tensor, len(r.plan.Inputs))
	}
	for i := range b.Inputs {
		in, t := &r.plan.Inputs[i], &b.Inputs[i]
		t.Name, t.Type = in.Name, in.Type
		t.Shape = append(append(t.Shape[:0], int64(n)), in.Shape...)
		if in.Type == tensor.Bytes {
			t.Strings = slices.Grow(t.Strings[:0], n*in.Elements())[:n*in.Elements()]
			continue
		}
		size := n * in.Elements() * in.Type.Size()
		if cap(t.Data) < size {
			t.Data = make([]byte, size+tensor.Alignment)
			t.Data = t.Data[tensor.ToAligned(t.Data):]
		}
		t.Data = t.Data[:size]
	}
	if len(b.Pass) != len(r.plan.Pass) {
		b.Pass = make([]Values, len(r.plan.Pass))
	}
	for i := range r.sources {
		for _, u := range r.sources[i].uses {
			if u.input >= 0 {
				continue
			}
			v := &b.Pass[u.pass]
			*v = Values{Name: r.plan.Pass[u.pass], Kind: r.p.leaves[r.sources[i].leaf].form.column(),
				Raw: v.Raw[:0], Ints: v.Ints[:0], Uints: v.Uints[:0], Floats: v.Floats[:0]}
		}
	}
}

// fill reads k rows of every column, from the block's row at on.
func (r *pqReader) fill(ctx context.Context, b *Block, at, k int) error {
	for i := range r.sources {
		s := &r.sources[i]
		var err error
		if s.col.leaf.list {
			err = r.fillLists(ctx, b, s, at, k)
		} else {
			err = r.fillFlat(ctx, b, s, at, k)
		}
		if err != nil {
			return r.fault(s, err)
		}
	}
	return nil
}

func (r *pqReader) fillFlat(ctx context.Context, b *Block, s *pqSource, at, k int) error {
	for k > 0 {
		if s.col.left == 0 {
			if s.col.todo == 0 {
				return errors.New("it has fewer values than the row group has rows")
			}
			if err := s.col.nextPage(ctx); err != nil {
				return err
			}
		}
		batch, err := s.col.batch(k)
		if err != nil {
			return err
		}
		for i := range s.uses {
			if u := &s.uses[i]; u.input < 0 {
				b.Pass[u.pass].keep(s.col.leaf.form, &batch)
			} else {
				r.place(&b.Inputs[u.input], s, u, &batch, at, 0, true)
			}
		}
		at += batch.n
		k -= batch.n
	}
	return nil
}

// place writes a batch into a tensor: down the rows from row on, or into one
// row from its element elem on.
func (r *pqReader) place(t *tensor.Tensor, s *pqSource, u *pqUse, b *pqBatch, row, elem int, down bool) {
	step := 0 // rows from one value to the next
	if down {
		step = 1
	}
	if u.to == tensor.Bytes {
		at, stride := row*u.stride+u.at+elem, 1
		if down {
			stride = u.stride
		}
		for i, w := range b.words {
			if b.null != nil && b.null[i] {
				w = []byte{}
				if !u.empty {
					r.mark(row+i*step, s, "want "+codec.ElementOf(u.to)+", got null")
				}
			}
			t.Strings[at+i*stride] = w
		}
		return
	}
	size, width := u.to.Size(), s.col.leaf.form.width()
	dst, stride := t.Data[row*u.stride+(u.at+elem)*size:], size
	if down {
		stride = u.stride
	}
	for i := 0; i < b.n; {
		view := b.view[i*width:]
		n := u.put(dst[min(i*stride, len(dst)):], stride, view, b.n-i)
		if i += n; i < b.n {
			if b.null == nil || !b.null[i] {
				r.mark(row+i*step, s, "want "+codec.ElementOf(u.to)+", got "+number(s.col.leaf.form, b.view, i).String())
			}
			i++
		}
	}
	if b.null == nil {
		return
	}
	for i, null := range b.null {
		if null && u.nan != nil {
			copy(dst[i*stride:], u.nan)
		} else if null {
			r.mark(row+i*step, s, "want "+codec.ElementOf(u.to)+", got null")
		}
	}
}

// fillLists reads k rows of a list: their elements go into a row each. Lists may
// go on in the next page.
func (r *pqReader) fillLists(ctx context.Context, b *Block, s *pqSource, at, k int) error {
	c := s.col
	for ; k > 0; k-- {
		count, null := 0, false
		for first := true; ; first = false {
			if s.next == s.some.n {
				if c.left == 0 {
					if c.todo == 0 {
						if first {
							return errors.New("it has fewer lists than the row group has rows")
						}
						break
					}
					if err := c.nextPage(ctx); err != nil {
						return err
					}
				}
				var err error
				if s.some, err = c.batch(pqBatchMax); err != nil {
					return err
				}
				s.next = 0
			}
			i, end := s.next, s.some.n
			switch {
			case !first && c.reps[i] == 0:
			case first && c.reps[i] != 0:
				return errors.New("its values begin within a list")
			case first && int(c.levels[i]) < c.leaf.repDef:
				null = int(c.levels[i]) < c.leaf.repDef-1
				s.next++
				end = i // it has no elements, and the next entry is the next row's
			}
			if !first && c.reps[i] == 0 || end == i {
				break
			}
			j := i + 1
			if n := bytes.IndexByte(c.reps[j:end], 0); n >= 0 {
				j += n
			} else {
				j = end
			}
			for u := range s.uses {
				use := &s.uses[u]
				if n := min(j-i, use.count-count); n > 0 {
					some := s.some.slice(i, i+n, c.leaf.form.width())
					r.place(&b.Inputs[use.input], s, use, &some, at, count, false)
				}
			}
			count = min(count+j-i, 1<<31)
			if s.next = j; j < end {
				break
			}
		}
		for u := range s.uses {
			if use := &s.uses[u]; count != use.count {
				got := plural(count, "element")
				if null {
					got = "null"
				}
				r.mark(at, s, "want a list of "+strconv.Itoa(use.count)+", got "+got)
			}
		}
		at++
	}
	return nil
}

// mark says that a row cannot be scored. The first reason counts.
func (r *pqReader) mark(row int, s *pqSource, reason string) {
	for len(r.isBad) <= row {
		r.isBad = append(r.isBad, false)
	}
	if r.isBad[row] {
		return
	}
	r.isBad[row] = true
	r.bad = append(r.bad, Bad{Row: r.row + int64(row), Offset: -1, Column: r.p.leaves[s.leaf].name, Code: fault.Invalid.String(), Reason: reason})
}

// finish gives the block its n rows, less those that are bad.
func (r *pqReader) finish(b *Block, n int) {
	b.At = b.At[:0]
	b.Bad = b.Bad[:0]
	slices.SortFunc(r.bad, func(x, y Bad) int { return int(x.Row - y.Row) })
	b.Bad = append(b.Bad, r.bad...)
	skip := func(i int) bool { return i < len(r.isBad) && r.isBad[i] }
	if len(r.bad) == 0 {
		skip = func(int) bool { return false }
	}
	for i := range n {
		if !skip(i) {
			b.At = append(b.At, r.row+int64(i))
		}
	}
	b.Rows = len(b.At)
	for i := range b.Inputs {
		t := &b.Inputs[i]
		t.Shape[0] = int64(b.Rows)
		elems := r.plan.Inputs[i].Elements()
		if t.Type == tensor.Bytes {
			t.Strings = kept(t.Strings, elems, n, b.Rows, skip)
		} else {
			t.Data = kept(t.Data, elems*t.Type.Size(), n, b.Rows, skip)
		}
	}
	for i := range b.Pass {
		v := &b.Pass[i]
		v.Raw, v.Ints = kept(v.Raw, 1, n, b.Rows, skip), kept(v.Ints, 1, n, b.Rows, skip)
		v.Uints, v.Floats = kept(v.Uints, 1, n, b.Rows, skip), kept(v.Floats, 1, n, b.Rows, skip)
		if v.Null != nil {
			v.Null = kept(v.Null, 1, n, b.Rows, skip)
		}
	}
	clear(r.isBad)
	r.row += int64(n)
	r.lines += int64(n)
}

// kept moves the rows that are not skipped together. size is a row's.
func kept[T any](s []T, size, n, left int, skip func(int) bool) []T {
	if len(s) == 0 {
		return s
	}
	if left < n {
		to := 0
		for i := range n {
			if !skip(i) {
				copy(s[to*size:to*size+size], s[i*size:i*size+size])
				to++
			}
		}
	}
	return s[:left*size]
}
