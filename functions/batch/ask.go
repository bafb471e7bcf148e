package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/rows"
	"godwit.dev/runtime/tensor"
)

// asker asks the model about the rows of one slab's block.
type asker struct {
	t      *task
	req    infer.Request
	in     []tensor.Tensor // views of the block's rows
	shapes []int64         // theirs
	failed int             // rows that ended with Internal
	first  error           // the first of those errors
}

// run is an answer for the rows from from on, before to.
type run struct {
	from, to int
	resp     *infer.Response
}

// How often a model that has no room is asked again, and after what times.
const (
	askTries = 8
	askWait  = 50 * time.Millisecond
)

// errReplaced ends a job whose model is another one now: the scores of that one
// have another name.
var errReplaced = errors.New("the model was replaced while it scored")

// block asks about all rows of s and leaves the answers and the bad rows there.
//
// A request that the rows themselves are to blame for is halved until the
// culprit is alone: a bad row, and its neighbours are scored. A model or a
// handler that breaks (Internal) is to blame itself where no row of the block
// is answered; then nothing is said about the rows.
func (a *asker) block(ctx context.Context, s *slab) error {
	if s.block.Rows == 0 {
		return nil
	}
	a.failed, a.first = 0, nil
	a.in, a.shapes = a.in[:0], a.shapes[:0]
	var err error
	n := 1
	if a.t.many {
		n = a.t.rows
	}
	for from := 0; from < s.block.Rows && err == nil; from += n {
		err = a.halve(ctx, s, from, min(from+n, s.block.Rows))
	}
	if err != nil {
		return err
	}
	if a.failed > 0 && a.failed == s.block.Rows && (a.failed > 1 || !a.t.worked.Load()) {
		return fault.New(fault.Internal, "batch.Score", a.t.model.Name, "no row of %d was answered: %w", a.failed, a.first)
	}
	if len(s.runs) > 0 && !a.t.worked.Load() {
		a.t.worked.Store(true)
	}
	return nil
}

func (a *asker) halve(ctx context.Context, s *slab, from, to int) error {
	resp, err := a.ask(ctx, s, from, to)
	if err == nil {
		s.runs = append(s.runs, run{from, to, resp})
		return nil
	}
	if !rowsFault(err) || ctx.Err() != nil {
		return err
	}
	if to-from > 1 {
		middle := from + (to-from)/2
		if err := a.halve(ctx, s, from, middle); err != nil {
			return err
		}
		return a.halve(ctx, s, middle, to)
	}
	code := fault.CodeOf(err)
	if code == fault.Internal {
		a.failed++
		if a.first == nil {
			a.first = err
		}
	}
	s.bad = append(s.bad, rows.Bad{Row: s.block.At[from], Offset: -1, Code: code.String(), Reason: fault.Public(err)})
	return nil
}

// rowsFault reports whether other rows might be answered where these were not.
func rowsFault(err error) bool {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.TooLarge, fault.UnsupportedMedia, fault.Unprocessable, fault.Mismatch, fault.Internal:
		return true
	}
	return false
}

// ask asks about the rows from from on, before to. It waits where the model
// has no room, and asks twice where it breaks.
func (a *asker) ask(ctx context.Context, s *slab, from, to int) (*infer.Response, error) {
	a.cut(&s.block, from, to)
	for tries := 0; ; tries++ {
		resp, err := a.once(ctx, to-from)
		if err == nil {
			return resp, nil
		}
		switch fault.CodeOf(err) {
		case fault.Unavailable, fault.RateLimited:
			if tries >= askTries || errors.Is(err, errReplaced) {
				return nil, err
			}
			wait := max(min(fault.RetryOf(err), 5*time.Second), askWait<<tries)
			if pause(ctx, wait) != nil {
				return nil, err
			}
		case fault.Internal: // such as a worker process that another request took down
			if tries > 0 {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// once makes one request of n rows, and looks at the answer.
func (a *asker) once(ctx context.Context, n int) (*infer.Response, error) {
	var resp *infer.Response
	err := guarded(func() (err error) {
		resp, err = a.t.h.infer.Infer(ctx, &a.req)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := a.check(resp, n); err != nil {
		resp.Release()
		return nil, err
	}
	return resp, nil
}

// check brings the outputs into the plan's order, with rows as the first dimension.
func (a *asker) check(resp *infer.Response, n int) error {
	if resp.Digest != "" && resp.Digest != a.t.model.Digest {
		return fault.New(fault.Unavailable, "batch.Score", a.t.model.Name, "%w: want %s, got %s", errReplaced, a.t.model.Digest, resp.Digest)
	}
	for i := range a.t.plan.Outputs {
		want := &a.t.plan.Outputs[i]
		at := i
		if at >= len(resp.Outputs) || resp.Outputs[at].Name != want.Name {
			at = slices.IndexFunc(resp.Outputs, func(o tensor.Tensor) bool { return o.Name == want.Name })
		}
		if at < 0 {
			return fault.New(fault.Unprocessable, "batch.Score", a.t.model.Name, "want an output %q, got none", want.Name)
		}
		if at != i {
			resp.Outputs[i], resp.Outputs[at] = resp.Outputs[at], resp.Outputs[i]
		}
		o := &resp.Outputs[i]
		if want.Whole {
			o.Shape = append([]int64{1}, o.Shape...)
		}
		if o.Type != want.Type {
			return fault.New(fault.Unprocessable, "batch.Score", fmt.Sprintf("output %q", o.Name), "want elements of type %v, got %v", want.Type, o.Type)
		}
		if err := sized(o, n); err != nil {
			return err
		}
	}
	return nil
}

// cut makes the request one about some rows of b. Memory is b's, and shapes are
// not used again before the block's answers are: a handler may answer with
// tensors of the request.
func (a *asker) cut(b *rows.Block, from, to int) {
	first, at := len(a.in), len(a.shapes)
	for i := range b.Inputs {
		a.shapes = append(a.shapes, b.Inputs[i].Shape...)
	}
	for i := range b.Inputs {
		t := &b.Inputs[i]
		c := tensor.Tensor{Name: t.Name, Type: t.Type, Shape: a.shapes[at : at+len(t.Shape) : at+len(t.Shape)]}
		at += len(t.Shape)
		if c.Shape[0] = int64(to - from); a.t.plan.Inputs[i].Whole {
			c.Shape = c.Shape[1:]
		}
		if t.Type == tensor.Bytes {
			n := len(t.Strings) / b.Rows
			c.Strings = t.Strings[from*n : to*n : to*n]
		} else {
			n := len(t.Data) / b.Rows
			c.Data = t.Data[from*n : to*n : to*n]
		}
		a.in = append(a.in, c)
	}
	a.req.Inputs = a.in[first:len(a.in):len(a.in)]
}
