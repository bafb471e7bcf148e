package batch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/rows"
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

	memory rows.Memory
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
			held := false
			s, more := <-work
			for more {
				held = held || w.t.asking.take(ctx, o.index)
				if held && s.err == nil && ctx.Err() == nil {
					s.err = guarded(func() error { return s.asker.block(ctx, s) })
				}
				s.done <- struct{}{}
				select {
				case s, more = <-work:
				default:
					more = false
				}
				held = held && w.t.asking.keep(o.index, more)
				if !more {
					s, more = <-work
				}
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

// sized reports whether an output has a value for each of n rows.
func sized(out *tensor.Tensor, n int) error {
	if len(out.Shape) > 0 && out.Shape[0] == int64(n) {
		return nil
	}
	return fault.New(fault.Unprocessable, "batch.Score", fmt.Sprintf("output %q", out.Name), "want a first dimension of %d for as many rows, got shape %s", n, tensor.FormatShape(out.Shape))
}
