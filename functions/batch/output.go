package batch

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
)

// output is the files of one part while they are written.
type output struct {
	t     *task
	w     *worker
	ctx   context.Context
	index int

	file   *once
	rows   rows.Writer
	bad    *once // nil before the first bad row
	encode *json.Encoder
	good   int64
	badN   int64
	view   rows.Block
}

func (o *output) begin() error {
	var err error
	// Of parts that are joined nobody learns a digest.
	if o.file, err = o.t.once(o.ctx, o.t.place.part(o.index, o.t.format), o.t.place.single == ""); err != nil {
		return err
	}
	o.w.out.Reset(o.file)
	if o.rows, err = rows.NewWriter(o.w.out, o.t.format, o.t.schema, o.t.plan.Outputs, &rows.WriteOptions{Memory: &o.w.memory}); err != nil {
		o.file.w.Abort()
	}
	return err
}

// write appends the rows of a block, those with scores and those without.
func (o *output) write(s *slab) error {
	for i := range s.runs {
		r := &s.runs[i]
		b := &s.block
		if r.from > 0 || r.to < s.block.Rows {
			b = o.cut(&s.block, r.from, r.to)
		}
		if err := o.rows.Write(b, r.resp.Outputs); err != nil {
			return store.Fault("batch.Score", o.t.place.url, err)
		}
		o.good += int64(r.to - r.from)
	}
	all := s.block.Bad
	if len(s.bad) > 0 {
		all = append(s.bad, all...)
		slices.SortFunc(all, func(a, b rows.Bad) int { return cmp.Compare(a.Row, b.Row) })
	}
	for i := range all {
		if err := o.badRow(&all[i]); err != nil {
			return err
		}
	}
	o.t.progress.add(s.block.Rows-len(s.bad), len(all))
	return nil
}

// cut is some rows of b without their inputs, which no writer needs.
func (o *output) cut(b *rows.Block, from, to int) *rows.Block {
	o.w.cuts = o.w.cuts[:0]
	for i := range b.Pass {
		o.w.cuts = append(o.w.cuts, cutValues(&b.Pass[i], from, to))
	}
	o.view = rows.Block{Pass: o.w.cuts, Rows: to - from, At: b.At[from:to]}
	return &o.view
}

func cutValues(v *rows.Values, from, to int) rows.Values {
	c := *v
	if c.Null != nil {
		c.Null = c.Null[from:to]
	}
	if c.Raw != nil {
		c.Raw = c.Raw[from:to]
	}
	if c.Ints != nil {
		c.Ints = c.Ints[from:to]
	}
	if c.Uints != nil {
		c.Uints = c.Uints[from:to]
	}
	if c.Floats != nil {
		c.Floats = c.Floats[from:to]
	}
	return c
}

func (o *output) badRow(b *rows.Bad) error {
	if o.bad == nil {
		var err error
		if o.bad, err = o.t.once(o.ctx, o.t.place.bad(o.index), true); err != nil {
			return err
		}
		o.encode = json.NewEncoder(o.bad)
		o.encode.SetEscapeHTML(false)
	}
	line := BadRow{Row: b.Row, Column: b.Column, Code: b.Code, Reason: b.Reason}
	if b.Offset >= 0 {
		line.Offset = &b.Offset
	}
	o.badN++
	return store.Fault("batch.Score", o.t.place.bad(o.index), o.encode.Encode(&line))
}

// keep makes the files there, those of bad rows first.
func (o *output) keep() (*ManifestPart, error) {
	if err := o.rows.Close(); err != nil {
		return nil, store.Fault("batch.Score", o.t.place.url, err)
	}
	if err := o.w.out.Flush(); err != nil {
		return nil, store.Fault("batch.Score", o.t.place.url, err)
	}
	m := &ManifestPart{Rows: o.good, Bad: o.badN}
	var err error
	if o.bad != nil {
		var there bool
		if m.BadFile, there, err = o.bad.keep(o.ctx); err != nil {
			return nil, err
		}
		if there && m.BadFile.SHA256 != o.bad.sha256() {
			return nil, fault.New(fault.Unavailable, "batch.Score", m.BadFile.Name, "another run found other rows bad").
				WithHint("A row that fails now and then has something to do with the model or the user's code; score afresh to decide.")
		}
		o.bad = nil
	}
	m.File, _, err = o.file.keep(o.ctx)
	o.file = nil
	return m, err
}

// abort gives up what is not there yet.
func (o *output) abort() {
	for _, one := range []*once{o.file, o.bad} {
		if one != nil {
			one.abort()
		}
	}
}

// mark says that a part is there to stay. Where somebody else has said so
// before, theirs counts.
func (t *task) mark(ctx context.Context, m *ManifestPart) (*ManifestPart, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fault.New(fault.Internal, "batch.Score", t.place.mark(m.Index), "%w", err)
	}
	there, err := t.put(ctx, t.place.mark(m.Index), append(text, '\n'))
	if err != nil {
		return nil, err
	}
	return parseMark(t.place.mark(m.Index), there)
}

// markAt reads the mark of part i.
func (t *task) markAt(ctx context.Context, i int) (*ManifestPart, error) {
	text, err := readAll(ctx, t.out, t.place.mark(i), 1<<20)
	if err != nil {
		return nil, err
	}
	return parseMark(t.place.mark(i), text)
}

func parseMark(key string, text []byte) (*ManifestPart, error) {
	m := &ManifestPart{}
	if err := json.Unmarshal(text, m); err != nil || m.File == nil {
		return nil, fault.New(fault.Invalid, "batch.Score", key, "want the mark of a part, got %q", clip(string(text)))
	}
	return m, nil
}
