package batch

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"runtime/debug"
	"slices"
	"sync"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/tensor"
)

// worker scores parts, one after the other. Reading, running and writing go on
// at the same time: one goroutine fills slabs, several run the model on them,
// and the worker's own writes them in order.
type worker struct {
	t    *task
	free chan *slab // all slabs, between parts
	out  *bufio.Writer
	cuts []rows.Values
}

// slab is a block of rows on its way.
type slab struct {
	block rows.Block
	asker asker
	runs  []run // of the model, in the order of rows
	bad   []rows.Bad
	err   error
	done  chan struct{} // has a value when the model is done with the block
}

// outBuffer is what is collected before it goes into a store's writer.
const outBuffer = 256 << 10

func newWorker(t *task) *worker {
	// One for each run of the model, one that is filled, one that waits and one
	// that is written.
	n := t.runs + 3
	w := &worker{t: t, free: make(chan *slab, n), out: bufio.NewWriterSize(nil, int(min(max(t.src.Size(), 4<<10), outBuffer)))}
	for range n {
		w.free <- &slab{asker: asker{t: t, req: t.request()}, done: make(chan struct{}, 1)}
	}
	return w
}

// part scores one part and keeps it: its file, that of its bad rows if there
// are any, and last its mark.
func (w *worker) part(ctx context.Context, i int) (*ManifestPart, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := w.t.parts[i]
	r, err := rows.Open(ctx, w.t.file, p, w.t.plan, nil)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if w.t.job.Rows != nil {
		r = &only{Reader: r, want: w.t.job.Rows}
	}
	o := &output{t: w.t, w: w, ctx: ctx, index: i}
	if err := o.begin(); err != nil {
		return nil, err
	}
	err = w.flow(ctx, cancel, r, o)
	if err != nil {
		o.abort()
		return nil, err
	}
	m, err := o.keep()
	if err != nil {
		o.abort()
		return nil, err
	}
	m.Index, m.Line, m.From, m.To, m.Lines = i, p.Line, p.From, p.To, r.Lines()
	return w.t.mark(ctx, m)
}

// flow moves the blocks of r through the model into o.
func (w *worker) flow(ctx context.Context, cancel context.CancelCauseFunc, r rows.Reader, o *output) error {
	ordered, work := make(chan *slab, cap(w.free)), make(chan *slab, cap(w.free))
	var all sync.WaitGroup
	all.Go(func() {
		defer close(ordered)
		defer close(work)
		w.fill(ctx, r, func(s *slab) { ordered <- s; work <- s })
	})
	for range w.t.runs {
		all.Go(func() {
			for s := range work {
				if s.err == nil && ctx.Err() == nil {
					s.err = guarded(func() error { return s.asker.block(ctx, s) })
				}
				s.done <- struct{}{}
			}
		})
	}
	var first error
	for s := range ordered {
		<-s.done
		if first == nil {
			if first = s.err; first == nil {
				first = context.Cause(ctx)
			}
			if first == nil {
				first = guarded(func() error { return o.write(s) })
			}
			if first != nil {
				cancel(first)
			}
		}
		for k := range s.runs {
			s.runs[k].resp.Release()
		}
		clear(s.runs)
		s.runs, s.bad, s.err = s.runs[:0], s.bad[:0], nil
		w.free <- s
	}
	all.Wait()
	if first == nil {
		first = context.Cause(ctx) // it may have ended before there was a slab to say so
	}
	return first
}

// fill reads blocks until the part or ctx ends.
func (w *worker) fill(ctx context.Context, r rows.Reader, send func(*slab)) {
	left := w.t.job.Limit
	for n := w.t.block; ; {
		var s *slab
		select {
		case s = <-w.free:
		case <-ctx.Done():
			return
		}
		if w.t.job.Limit > 0 {
			n = int(min(int64(n), left))
		}
		err := io.EOF
		if n > 0 {
			err = guarded(func() error { return r.Next(ctx, &s.block, n) })
		}
		if errors.Is(err, io.EOF) {
			w.free <- s
			return
		}
		s.err = err
		left -= int64(s.block.Rows + len(s.block.Bad))
		send(s)
		if err != nil {
			return
		}
	}
}

// guarded makes a panic an error: what reads a stranger's file or is a user's
// code takes no other work down.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, "batch.Score", "", "panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

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
	if o.file, err = o.t.once(o.ctx, o.t.place.part(o.index, o.t.format)); err != nil {
		return err
	}
	o.w.out.Reset(o.file)
	if o.rows, err = rows.NewWriter(o.w.out, o.t.format, o.t.schema, o.t.plan.Outputs, nil); err != nil {
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
		if o.bad, err = o.t.once(o.ctx, o.t.place.bad(o.index)); err != nil {
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

func parseMark(key string, text []byte) (*ManifestPart, error) {
	m := &ManifestPart{}
	if err := json.Unmarshal(text, m); err != nil || m.File == nil {
		return nil, fault.New(fault.Invalid, "batch.Score", key, "want the mark of a part, got %q", clip(string(text)))
	}
	return m, nil
}

// once is an object that is written if it is not there.
type once struct {
	t    *task
	key  string
	w    store.Writer
	sum  hash.Hash
	size int64
	over bool // committed or aborted
}

func (t *task) once(ctx context.Context, key string) (*once, error) {
	w, err := t.out.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	return &once{t: t, key: key, w: w, sum: sha256.New()}, nil
}

func (o *once) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.sum.Write(p[:n])
	o.size += int64(n)
	return n, store.Fault("batch.Score", o.key, err)
}

func (o *once) sha256() string { return hex.EncodeToString(o.sum.Sum(nil)) }

// keep makes the object there, or finds what is there already.
func (o *once) keep(ctx context.Context) (f *File, there bool, err error) {
	o.over = true
	switch err := o.w.Commit(ctx); {
	case err == nil:
		return &File{Name: path.Base(o.key), Bytes: o.size, SHA256: o.sha256()}, false, nil
	case errors.Is(err, store.ErrExists):
		f, err := o.t.kept(ctx, o.key)
		return f, true, err
	default:
		return nil, false, store.Fault("batch.Score", o.key, err)
	}
}

func (o *once) abort() {
	if !o.over {
		o.over = true
		o.w.Abort()
	}
}

// sized reports whether an output has a value for each of n rows.
func sized(out *tensor.Tensor, n int) error {
	if len(out.Shape) > 0 && out.Shape[0] == int64(n) {
		return nil
	}
	return fault.New(fault.Unprocessable, "batch.Score", fmt.Sprintf("output %q", out.Name), "want a first dimension of %d for as many rows, got shape %s", n, tensor.FormatShape(out.Shape))
}
