package infer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// A batch is the requests of one run that waited: one, or several that share it.
type batch struct {
	tickets  []*ticket
	rows     int
	size     int // bytes of all inputs
	priority Priority
	earliest time.Time // of the deadlines; zero: none
	slot     *slot
	began    time.Time

	// For shared runs only.
	ctx     context.Context
	cancel  context.CancelFunc
	staying int           // those whose callers still wait; guarded by Model.mu
	copied  chan struct{} // closed when the callers' tensors are no longer used
	in      []tensor.Tensor
}

func (b *batch) shared() bool { return b.cancel != nil }

// scanned bounds how many waiting requests are looked at for one batch.
const scanned = 512

// gatherTickets takes the next requests of priority p out of the queue: one, or
// as many as gain from sharing a run, a caller at a turn. m.mu is held.
func (m *Model) gatherTickets(p Priority, now time.Time) *batch {
	l := &m.lines[p]
	t := m.pop(l, now)
	if t == nil {
		return nil
	}
	b := &batch{priority: p}
	b.add(t)
	if m.sharing.on && !t.alone && l.n > 0 {
		limit := min(m.cost.limit(), int(m.sharing.most))
		if l.rows+b.rows > limit {
			limit = m.cost.other(limit)
		}
		m.fillUp(b, l, m.cost.split(b.rows+l.rows, min(limit, m.opts.Batch.MaxRows), len(m.slots)), now)
	}
	if len(b.tickets) > 1 {
		// Not the caller's context: it ends when all callers have gone.
		b.ctx, b.cancel = context.WithCancel(context.Background())
		b.staying, b.copied = len(b.tickets), make(chan struct{})
	}
	if p == Interactive {
		m.noteQueue(m.standing(), max(queueTarget, m.oneRun()), now)
	}
	return b
}

// pop takes the next request whose caller still has time for it.
func (m *Model) pop(l *lines, now time.Time) *ticket {
	for l.n > 0 {
		own := l.order[l.turn]
		t := own.first
		if m.expired(t, now) {
			continue
		}
		l.remove(t)
		l.passTurn(own)
		return t
	}
	return nil
}

// expired ends a waiting ticket that has no time left.
func (m *Model) expired(t *ticket, now time.Time) bool {
	switch {
	case t.ctx.Err() != nil:
		m.answerWaiting(t, m.ended(t.ctx))
	case !t.latest.IsZero() && now.After(t.latest):
		m.answerWaiting(t, m.full(m.oneRun(), "no run became free within %d%% of the request's time", m.opts.QueueShare))
	default:
		return false
	}
	return true
}

// fillUp adds requests that fit to b, in turns, while that gains.
func (m *Model) fillUp(b *batch, l *lines, limit int, now time.Time) {
	looked, without := 0, 0
	for l.n > 0 && b.rows < limit && looked < scanned && without < len(l.order) {
		own := l.order[l.turn]
		added := false
		for t := own.first; t != nil && looked < scanned; {
			next := t.next
			looked++
			if m.expired(t, now) {
				t = next
				continue
			}
			if m.fits(b, t, limit, now) {
				l.remove(t)
				b.add(t)
				added = true
				break
			}
			t = next
		}
		switch {
		case added:
			without = 0
			l.passTurn(own)
		case own.n > 0:
			without++
			l.passTurn(own)
		}
	}
}

// fits reports whether t may and should join b.
func (m *Model) fits(b *batch, t *ticket, limit int, now time.Time) bool {
	if t.alone || b.rows+t.rows > limit || int64(b.size+t.size) > m.opts.Batch.MaxBytes {
		return false
	}
	head := b.tickets[0]
	for i := range t.in {
		if !slices.Equal(t.in[i].Shape[1:], head.in[i].Shape[1:]) {
			return false
		}
	}
	// Asked for the first to join, and where a larger size of batch begins.
	if (len(b.tickets) == 1 || bucketOf(b.rows+t.rows) != bucketOf(b.rows)) && !m.cost.gains(b.rows, t.rows) {
		return false
	}
	earliest := sooner(b.earliest, t.deadline)
	return earliest.IsZero() || !now.Add(m.cost.mean(b.rows+t.rows)).After(earliest)
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (b *batch) add(t *ticket) {
	t.state, t.batch, t.first = running, b, b.rows
	b.tickets = append(b.tickets, t)
	b.rows += t.rows
	b.size += t.size
	b.earliest = sooner(b.earliest, t.deadline)
}

// serve works batches off in one run until nothing waits. It is a goroutine of
// the model, which Close waits for.
func (m *Model) serve(b *batch) {
	for b != nil {
		if b.shared() {
			m.runShared(b)
		} else {
			m.runSingle(b)
		}
		// The callers that just got their answers are queued behind this
		// goroutine's next run, which does not let go of its processor: they go
		// first, and may ask again in time for it.
		runtime.Gosched()
		m.mu.Lock()
		now := time.Now()
		m.vacate(b.slot, now)
		if b = m.next(b.slot, now); b == nil {
			m.exit()
		}
		m.mu.Unlock()
	}
}

// run calls the engine. A panic of it is an error here, because no caller's
// recover is below a goroutine of the model.
func (m *Model) run(ctx context.Context, in, out []tensor.Tensor) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, "infer.Infer", fmt.Sprintf("model %q", m.opts.Name), "panic in the engine: %v\n%s", p, debug.Stack())
		}
	}()
	return m.session.Run(ctx, in, out)
}

func (m *Model) runSingle(b *batch) {
	t := b.tickets[0]
	resp := m.newResponse(t)
	began := time.Now()
	err := m.run(t.ctx, t.in, resp.Outputs)
	resp.Timing = Timing{Queue: began.Sub(t.start), Compute: time.Since(began), Rows: t.rows, BatchRows: t.rows}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.ran(t.rows, resp.Timing.Compute, t.hidden)
	}
	t.resp, t.err, t.state = resp, err, answered
	t.done <- struct{}{}
}

func (m *Model) runShared(b *batch) {
	mem := m.gather(b)
	close(b.copied)
	m.runPart(b, b.tickets)
	b.cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepSlab(mem)
	m.adjust(b)
}

// adjust is the net below what was predicted: when a deadline passed during a
// shared run, the next ones are half as large, and grow by a row at a time.
func (m *Model) adjust(b *batch) {
	if !b.earliest.IsZero() && time.Now().After(b.earliest) {
		m.sharing.most = max(1, float64(b.rows)/2)
		return
	}
	if float64(b.rows) >= m.sharing.most {
		m.sharing.most = min(m.sharing.most+1, float64(m.opts.Batch.MaxRows))
	}
}

// runPart runs some of b's requests together. If that fails, each half is
// tried, so that one bad request fails alone: at most twice as many runs as
// requests.
func (m *Model) runPart(b *batch, tickets []*ticket) {
	if m.allLeft(tickets) {
		return
	}
	first, last := tickets[0], tickets[len(tickets)-1]
	rows := last.first + last.rows - first.first
	p := &part{model: m, rows: rows, first: first.first, whole: len(tickets) == 1}
	want := wantedByAny(tickets)
	p.out = make([]tensor.Tensor, len(want))
	for i, at := range want {
		p.out[i].Name = m.sig.Outputs[at].Name
	}
	p.began = time.Now()
	err := m.run(b.ctx, cutAll(b.in, first.first, rows), p.out)
	p.took = time.Since(p.began)
	if err == nil && len(tickets) > 1 {
		if err = m.checkRows(p.out, rows); err != nil {
			releaseAll(p.out)
		}
	}
	if err != nil && len(tickets) > 1 && b.ctx.Err() == nil {
		half := len(tickets) / 2
		m.runPart(b, tickets[:half])
		m.runPart(b, tickets[half:])
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		// The copying before the run is a part of what sharing costs.
		m.ran(rows, p.took, false)
	}
	shares := int32(0)
	for _, t := range tickets {
		if t.state == running && err == nil {
			shares += int32(len(t.want))
		}
	}
	p.shares.Store(shares)
	if err == nil && shares == 0 {
		releaseAll(p.out)
	}
	for _, t := range tickets {
		if t.state != running {
			continue
		}
		t.err, t.state = err, answered
		if err == nil {
			t.from = p
		}
		t.done <- struct{}{}
	}
}

func (m *Model) allLeft(tickets []*ticket) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range tickets {
		if t.state == running {
			return false
		}
	}
	return true
}

// checkRows makes sure that each output has as many rows as the inputs, which
// the probe has seen for other inputs. If not, the model shares no more runs.
func (m *Model) checkRows(out []tensor.Tensor, rows int) error {
	for i := range out {
		o := &out[i]
		if len(o.Shape) > 0 && o.Shape[0] == int64(rows) {
			continue
		}
		err := fault.New(fault.Internal, "infer.Infer", fmt.Sprintf("output %q", o.Name), "want %d rows of a run of as many, got %s", rows, tensor.FormatShape(o.Shape))
		m.mu.Lock()
		if m.sharing.on { // else the first half of a failed batch
			m.sharing.on, m.sharing.why = false, fmt.Sprintf("turned off: output %q: %v", o.Name, err.Err)
		}
		m.mu.Unlock()
		return err
	}
	return nil
}

func wantedByAny(tickets []*ticket) []int {
	want := slices.Clone(tickets[0].want)
	for _, t := range tickets[1:] {
		for _, at := range t.want {
			if !slices.Contains(want, at) {
				want = append(want, at)
			}
		}
	}
	return want
}

func releaseAll(out []tensor.Tensor) {
	for i := range out {
		out[i].Release()
	}
}

// part is the answer of a run that several requests shared.
type part struct {
	model       *Model
	out         []tensor.Tensor
	rows, first int
	whole       bool // one request's, after others were parted from it
	began       time.Time
	took        time.Duration
	shares      atomic.Int32 // outputs of requests that are not released yet
}

// response cuts t's rows out. The memory is given back with the last share.
func (p *part) response(t *ticket) *Response {
	r, release := p.model.newResponse(t), p.release
	r.Timing = Timing{Queue: p.began.Sub(t.start), Compute: p.took, Rows: t.rows, BatchRows: p.rows}
	for i := range r.Outputs {
		o := &r.Outputs[i]
		from := &p.out[slices.IndexFunc(p.out, func(f tensor.Tensor) bool { return f.Name == o.Name })]
		cut := *from
		if !p.whole {
			cut = cutRows(from, t.first-p.first, t.rows)
		}
		o.Type, o.Data, o.Strings = cut.Type, cut.Data, cut.Strings
		o.Shape = append(o.Shape[:0], cut.Shape...)
		o.SetFree(release)
	}
	return r
}

func (p *part) release() {
	if p.shares.Add(-1) == 0 {
		releaseAll(p.out)
	}
}

// cutAll is rows of the tensors in, from first on. The memory is shared.
func cutAll(in []tensor.Tensor, first, rows int) []tensor.Tensor {
	out := make([]tensor.Tensor, len(in))
	for i := range in {
		out[i] = cutRows(&in[i], first, rows)
	}
	return out
}

func cutRows(t *tensor.Tensor, first, rows int) tensor.Tensor {
	all := int(t.Shape[0])
	c := tensor.Tensor{Name: t.Name, Type: t.Type, Shape: slices.Clone(t.Shape)}
	c.Shape[0] = int64(rows)
	if t.Type == tensor.Bytes {
		n := len(t.Strings) / all
		c.Strings = t.Strings[first*n : (first+rows)*n : (first+rows)*n]
		return c
	}
	n := len(t.Data) / all
	c.Data = t.Data[first*n : (first+rows)*n : (first+rows)*n]
	return c
}

// failure is what a caller gets for an error of its run.
func (m *Model) failure(ctx context.Context, err error) error {
	// An engine that was stopped reports its own error; the caller asked for the stop.
	if ctx.Err() != nil && fault.CodeOf(err) != fault.Invalid {
		return m.ended(ctx)
	}
	return fmt.Errorf("infer.Infer model %q: %w", m.opts.Name, err)
}

func (m *Model) ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return m.fail(fault.DeadlineExceeded, "the request's deadline passed")
	}
	return m.fail(fault.Canceled, "the caller went away")
}
