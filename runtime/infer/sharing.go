package infer

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// sharing is whether waiting requests share runs; guarded by Model.mu.
type sharing struct {
	on   bool
	why  string
	most float64 // rows of a shared run, as deadlines permit
}

func (m *Model) unproven() sharing {
	s := sharing{most: float64(m.opts.Batch.MaxRows)}
	switch err := m.Batchable(); {
	case m.opts.Batch.Off:
		s.why = "off, as godwit.yaml says"
	case err != nil:
		s.why = "off: " + fault.Of(err).Err.Error()
	default:
		s.why = "off: no recorded request has shown yet that answers stay the same"
	}
	return s
}

// Batching reports whether waiting requests share runs, and in one clause for
// people why, or why not.
func (m *Model) Batching() (on bool, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sharing
	if knee, largest := m.cost.knee(); s.on && knee == 0 && largest > 0 {
		return true, s.why + "; but runs of several rows have gained nothing, so hardly any are made"
	}
	return s.on, s.why
}

// Batchable reports whether the signature lets requests share a run: the first
// dimension of every input and output is dynamic, and where it has a name, the
// same one, which no other dimension has. The error is Unsupported.
func (m *Model) Batchable() error {
	no := func(kind string, info *driver.TensorInfo, format string, args ...any) error {
		return fault.New(fault.Unsupported, "infer.Batchable", fmt.Sprintf("model %q", m.opts.Name),
			"%s %q %s", kind, info.Name, fmt.Sprintf(format, args...))
	}
	if len(m.sig.Inputs) == 0 {
		return fault.New(fault.Unsupported, "infer.Batchable", fmt.Sprintf("model %q", m.opts.Name), "the model has no inputs")
	}
	symbol := ""
	check := func(kind string, infos []driver.TensorInfo) error {
		for i := range infos {
			info := &infos[i]
			if info.Unranked || len(info.Shape) == 0 || info.Shape[0] >= 0 {
				return no(kind, info, "is %s, whose first dimension is not free", Describe(info))
			}
			if len(info.Symbols) == 0 || info.Symbols[0] == "" {
				continue
			}
			if symbol == "" {
				symbol = info.Symbols[0]
			}
			if info.Symbols[0] != symbol {
				return no(kind, info, "has the first dimension %q, another one %q", info.Symbols[0], symbol)
			}
		}
		return nil
	}
	if err := check("input", m.sig.Inputs); err != nil {
		return err
	}
	if err := check("output", m.sig.Outputs); err != nil {
		return err
	}
	for _, infos := range [][]driver.TensorInfo{m.sig.Inputs, m.sig.Outputs} {
		for i := range infos {
			if s := infos[i].Symbols; symbol != "" && len(s) > 1 && slices.Contains(s[1:], symbol) {
				return no("tensor", &infos[i], "has %q twice, so rows are not independent", symbol)
			}
		}
	}
	return nil
}

// maxProbes bounds the samples that a probe tries.
const maxProbes = 4

// ProbeBatching turns shared runs on if the answers to samples, which are
// requests that the model is known to answer, are the same alone and among
// others. A sample is run twice alone and once with neighbours before and
// behind it: rows of another sample, or its own with their elements in another
// order. Neighbours of which the model's answer differs from the sample's by
// more than rounding prove most.
//
// Floating-point answers may differ by about 800 units of FP32's precision of
// the output's largest value, since sums depend on the size of a batch; other
// types must be equal.
//
// Samples have the rank and the types of the signature; at most four are
// tried. The runs are not in the statistics and go as batch work. On an error
// no runs are shared: Unsupported when the signature or Options forbid it or
// no sample proves it, Mismatch when answers differ, and those of Infer.
func (m *Model) ProbeBatching(ctx context.Context, samples []*Request) error {
	m.mu.Lock()
	m.probing++
	m.mu.Unlock()
	err := m.probe(ctx, samples)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probing--
	if err == nil {
		m.sharing.on, m.sharing.why = true, "on: recorded requests are answered the same alone and among others"
		return nil
	}
	cause := err
	if f := fault.Of(err); f != nil && f.Err != nil {
		cause = f.Err
	}
	m.sharing.on, m.sharing.why = false, "off: "+cause.Error()
	return err
}

func (m *Model) probe(ctx context.Context, samples []*Request) error {
	if m.opts.Batch.Off {
		return m.fail(fault.Unsupported, "godwit.yaml turns batching off")
	}
	if err := m.Batchable(); err != nil {
		return err
	}
	var known []*asked
	for _, req := range samples {
		if len(known) == maxProbes {
			break
		}
		a, err := m.askAlone(ctx, req)
		if err != nil {
			return err
		}
		if a != nil {
			known = append(known, a)
		}
	}
	if len(known) == 0 {
		return m.fail(fault.Unsupported, "want a recorded request whose inputs have the same number of rows, at least 1 and at most %d, got none", m.opts.Batch.MaxRows/2)
	}
	proven := false
	for i, a := range known {
		ok, err := m.probeOne(ctx, a, known[i+1:], known[:i])
		if err != nil {
			return err
		}
		proven = proven || ok
	}
	if !proven {
		return m.fail(fault.Unsupported, "want a recorded request that shows whether rows depend on each other, got only such as have no different neighbour").
			WithHint("Record a second request with other values.")
	}
	return nil
}

// asked is a sample and its answer.
type asked struct {
	in, out []tensor.Tensor
	rows    int
}

// askAlone answers req twice and returns it with its answer; nil when it
// cannot be put into a batch.
func (m *Model) askAlone(ctx context.Context, req *Request) (*asked, error) {
	t := m.lease()
	err := m.arrange(req, t)
	a := &asked{in: slices.Clone(t.in), rows: t.rows}
	m.giveBack(t)
	switch {
	case err != nil:
		return nil, err
	case a.rows < 1 || a.rows > m.opts.Batch.MaxRows/2 || !sameRows(a.in):
		return nil, nil
	}
	if a.out, err = m.ask(ctx, a.in); err != nil {
		return nil, err
	}
	again, err := m.ask(ctx, a.in)
	if err != nil {
		return nil, err
	}
	for i := range a.out {
		o := &a.out[i]
		if len(o.Shape) == 0 || o.Shape[0] != int64(a.rows) {
			return nil, m.fail(fault.Mismatch, "output %q of %d rows is %s", o.Name, a.rows, tensor.FormatShape(o.Shape))
		}
		if !tensor.Compare(o, &again[i], tensor.Tolerance{}).OK() {
			return nil, m.fail(fault.Mismatch, "output %q differs between two equal requests", o.Name)
		}
	}
	return a, nil
}

// probeOne runs a between neighbours and compares. ok is false when there are
// none that could have changed a's answer.
func (m *Model) probeOne(ctx context.Context, a *asked, others ...[]*asked) (ok bool, err error) {
	neighbour, err := m.neighbour(ctx, a, slices.Concat(others...))
	if err != nil || neighbour == nil {
		return false, err
	}
	got, err := m.ask(ctx, stack(neighbour.in, a.in, neighbour.in))
	if err != nil {
		return false, err
	}
	rows := 2*neighbour.rows + a.rows
	for i := range got {
		o := &got[i]
		if len(o.Shape) == 0 || o.Shape[0] != int64(rows) {
			return false, m.fail(fault.Mismatch, "output %q of %d rows is %s", o.Name, rows, tensor.FormatShape(o.Shape))
		}
		for _, p := range []struct {
			want  *asked
			first int
		}{{neighbour, 0}, {a, neighbour.rows}, {neighbour, neighbour.rows + a.rows}} {
			part := cutRows(o, p.first, p.want.rows)
			if d := tensor.Compare(&p.want.out[i], &part, tolerance(&p.want.out[i])); !d.OK() {
				return false, m.fail(fault.Mismatch, "output %q differs alone and in a batch: %v", o.Name, d)
			}
		}
	}
	return true, nil
}

// neighbour is what a is put between: another sample that fits, else a itself
// with the elements of its rows in another order.
func (m *Model) neighbour(ctx context.Context, a *asked, others []*asked) (*asked, error) {
	for _, o := range others {
		if fitsBeside(a.in, o.in) && 2*o.rows+a.rows <= m.opts.Batch.MaxRows && differ(a.in, o.in) {
			return o, nil
		}
	}
	if 3*a.rows > m.opts.Batch.MaxRows {
		return nil, nil
	}
	for _, change := range []func(*tensor.Tensor) tensor.Tensor{reversed, raised} {
		n := &asked{in: make([]tensor.Tensor, len(a.in)), rows: a.rows}
		for i := range a.in {
			n.in[i] = change(&a.in[i])
		}
		if !differ(a.in, n.in) {
			continue
		}
		var err error
		if n.out, err = m.ask(ctx, n.in); err == nil {
			return n, nil
		}
		if ctx.Err() != nil {
			return nil, m.ended(ctx)
		}
		// The model takes no such values.
	}
	return nil, nil
}

// ask runs the model for all outputs, as batch work that no statistics show.
func (m *Model) ask(ctx context.Context, in []tensor.Tensor) ([]tensor.Tensor, error) {
	t := m.lease()
	t.ctx, t.priority = ctx, Batch
	t.alone, t.hidden = true, true
	resp, err := m.infer(ctx, &Request{Inputs: in}, t)
	m.giveBack(t)
	if err != nil {
		return nil, err
	}
	out := make([]tensor.Tensor, len(resp.Outputs))
	for i := range out {
		out[i] = resp.Outputs[i].Clone()
	}
	resp.Release()
	return out, nil
}

// tolerance is how far an answer may be from the one that the model gives
// alone: far above what another order of summing makes, and below what any
// dependence between rows does.
func tolerance(want *tensor.Tensor) tensor.Tolerance {
	relative := map[tensor.DType]float64{tensor.FP64: 1e-7, tensor.FP32: 1e-4, tensor.FP16: 1e-2, tensor.BF16: 5e-2}[want.Type]
	if relative == 0 {
		return tensor.Tolerance{}
	}
	// The largest value, because a small one may be the difference of large ones.
	zero := tensor.Tensor{Type: want.Type, Shape: want.Shape, Data: make([]byte, len(want.Data))}
	largest := tensor.Compare(&zero, want, tensor.Tolerance{Absolute: math.MaxFloat64}).MaxAbsolute
	return tensor.Tolerance{Relative: relative, Absolute: relative / 10 * largest}
}

func sameRows(in []tensor.Tensor) bool {
	for i := range in {
		if len(in[i].Shape) == 0 || in[i].Shape[0] != in[0].Shape[0] {
			return false
		}
	}
	return true
}

func fitsBeside(a, b []tensor.Tensor) bool {
	for i := range a {
		if !slices.Equal(a[i].Shape[1:], b[i].Shape[1:]) {
			return false
		}
	}
	return true
}

func differ(a, b []tensor.Tensor) bool {
	for i := range a {
		if !bytes.Equal(a[i].Data, b[i].Data) || !slices.EqualFunc(a[i].Strings, b[i].Strings, bytes.Equal) {
			return true
		}
	}
	return false
}

// stack puts the rows of several requests behind each other.
func stack(all ...[]tensor.Tensor) []tensor.Tensor {
	out := make([]tensor.Tensor, len(all[0]))
	for i := range out {
		out[i] = all[0][i].Clone()
		for _, more := range all[1:] {
			out[i].Shape[0] += more[i].Shape[0]
			out[i].Data = append(out[i].Data, more[i].Data...)
			out[i].Strings = append(out[i].Strings, more[i].Strings...)
		}
	}
	return out
}

// reversed has the elements of all of t in the opposite order: values that the
// model takes, at other places.
func reversed(t *tensor.Tensor) tensor.Tensor {
	r := t.Clone()
	slices.Reverse(r.Strings)
	if size := t.Type.Size(); size > 0 {
		for i := 0; i < len(r.Data); i += size {
			copy(r.Data[i:i+size], t.Data[len(t.Data)-i-size:])
		}
	}
	return r
}

// raised has other numbers, for a tensor whose elements are all equal.
func raised(t *tensor.Tensor) tensor.Tensor {
	r := t.Clone()
	switch t.Type {
	case tensor.FP32:
		v, _ := tensor.View[float32](&r)
		for i := range v {
			v[i] = v[i]/2 + float32(i%7+1)/8
		}
		return tensor.Of(t.Name, r.Shape, v)
	case tensor.FP64:
		v, _ := tensor.View[float64](&r)
		for i := range v {
			v[i] = v[i]/2 + float64(i%7+1)/8
		}
		return tensor.Of(t.Name, r.Shape, v)
	case tensor.Bool:
		for i := range r.Data {
			r.Data[i] ^= 1
		}
	}
	return r
}
