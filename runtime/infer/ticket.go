package infer

import (
	"context"
	"time"

	"godwit.dev/runtime/tensor"
)

// A ticket is one request on its way through the model. It is kept for later
// requests, so that a request that need not wait allocates only its answer.
type ticket struct {
	ctx   context.Context
	start time.Time       // when its checks were passed
	in    []tensor.Tensor // in the signature's order; borrowed from the caller
	seen  []bool          // of in, while it is filled
	want  []int           // wanted outputs: positions in the signature
	rows  int
	size  int // bytes of in; known for what waits

	caller   string
	priority Priority
	alone    bool // must not share a run
	hidden   bool // our own question: not in the statistics

	// What follows belongs to requests that wait and is guarded by Model.mu.
	queued     bool // it has ever waited
	state      state
	prev, next *ticket
	line       *line
	weight     int       // rows, as far as they are work
	latest     time.Time // when it is refused if it still waits; zero: never
	deadline   time.Time // zero: none
	batch      *batch
	first      int // its first row in the batch

	done  chan struct{} // gets one value when the fields below are set
	timer *time.Timer
	err   error
	resp  *Response
	from  *part // the run that it shared, nil when it was alone
}

type state uint8

const (
	waiting state = iota
	running
	answered // done has its value, or the ticket never entered the queue
	left     // its caller went away while others still wait for the run
)

func (m *Model) lease() *ticket {
	t, ok := m.tickets.Get().(*ticket)
	if !ok {
		t = &ticket{in: make([]tensor.Tensor, len(m.sig.Inputs)), seen: make([]bool, len(m.sig.Inputs)),
			want: make([]int, 0, len(m.sig.Outputs)), done: make(chan struct{}, 1)}
	}
	return t
}

// giveBack keeps t for a later request. One that has left its batch is not
// kept: the run still knows it.
func (m *Model) giveBack(t *ticket) {
	if t.state == left {
		return
	}
	clear(t.in)
	// Field by field: most requests never wait, and have set only these.
	t.ctx, t.caller, t.alone, t.hidden = nil, "", false, false
	if t.queued {
		*t = ticket{in: t.in, seen: t.seen, want: t.want, done: t.done, timer: t.timer}
	}
	m.tickets.Put(t)
}

// answer1 and answer2 are responses with room for what small models give, so
// that they are one allocation.
type answer1 struct {
	Response
	out  [1]tensor.Tensor
	dims [1 * inlineRank]int64
	data [1 * inlineBytes]byte
}

type answer2 struct {
	Response
	out  [2]tensor.Tensor
	dims [2 * inlineRank]int64
	data [2 * inlineBytes]byte
}

const (
	inlineBytes = 64
	inlineRank  = 3
)

// newResponse returns a response to t whose outputs have names and, where the
// signature tells that they are small, room for their elements.
func (m *Model) newResponse(t *ticket) *Response {
	var r *Response
	var dims []int64
	var data []byte
	switch len(t.want) {
	case 1:
		a := &answer1{}
		r, dims, data = &a.Response, a.dims[:], a.data[:]
		r.Outputs = a.out[:]
	case 2:
		a := &answer2{}
		r, dims, data = &a.Response, a.dims[:], a.data[:]
		r.Outputs = a.out[:]
	default:
		r = &Response{Outputs: make([]tensor.Tensor, len(t.want))}
	}
	r.Model, r.Version, r.Digest = m.opts.Name, m.opts.Version, m.opts.Digest
	for i, at := range t.want {
		o := &r.Outputs[i]
		o.Name = m.sig.Outputs[at].Name
		if dims == nil {
			continue
		}
		if n := m.outBytes[at] * t.rows; n > 0 && n <= inlineBytes {
			o.Data = data[i*inlineBytes:][:0:n]
		}
		if len(m.sig.Outputs[at].Shape) <= inlineRank {
			o.Shape = dims[i*inlineRank:][:0:inlineRank]
		}
	}
	return r
}

// outputBytes is what one row of each output takes where the signature tells
// it, else 0.
func outputBytes(m *Model) []int {
	all := make([]int, len(m.sig.Outputs))
	for i := range m.sig.Outputs {
		o := &m.sig.Outputs[i]
		n := o.Type.Size()
		for j, d := range o.Shape {
			if j == 0 && d < 0 {
				continue
			}
			n *= int(min(max(d, 0), inlineBytes+1))
			n = min(n, inlineBytes+1)
		}
		if !o.Unranked && o.Type != tensor.Bytes {
			all[i] = n
		}
	}
	return all
}
