package bake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/internal/samples"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/tensor"
)

// Of requests that are made up, so many are tried, and so many answered ones
// are enough.
const (
	madeUp = 96
	enough = 24
)

// proof is what a form must answer.
type proof struct {
	signature *driver.Signature
	asked     []asked
	recorded  bool // at least one has the answer that this very model gave
}

type asked struct {
	name string
	req  *infer.Request
	want []recorded.Want // all must hold
}

// ask has the model itself answer the recorded requests, or made-up ones where
// none is recorded.
func (b *baker) ask(ctx context.Context) (p *proof, err error) {
	m, err := b.load(ctx, b.file, &app.Graph{Lean: b.graph.Lean})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	p = &proof{signature: m.Signature()}
	for i := range b.o.Requests {
		r := &b.o.Requests[i]
		if r.Model != b.o.Name {
			continue
		}
		req, err := r.Decode()
		if err != nil {
			return nil, err
		}
		var tolerances recorded.Tolerances
		if r.Want != nil {
			tolerances = r.Want.Tolerance
		}
		one, err := b.answer(ctx, m, req, tolerances)
		if err != nil {
			return nil, fmt.Errorf("bake.Model recorded request %q: %w", r.Path, err)
		}
		one.name = fmt.Sprintf("recorded request %q", r.Path)
		// What was recorded of this model must hold too, unless it does not now.
		if r.Want != nil && r.Want.ModelDigest == b.digest {
			if resp := (&infer.Response{Outputs: one.want[0].Outputs, Digest: b.digest}); r.Want.Check(resp) == nil {
				one.want, p.recorded = append(one.want, *r.Want), true
			}
		}
		p.asked = append(p.asked, *one)
	}
	if len(p.asked) > 0 {
		return p, nil
	}
	for i, req := range samples.Generate(p.signature, madeUp, 1) {
		req.Model = b.o.Name
		if i%2 == 1 {
			spread(req)
		}
		one, err := b.answer(ctx, m, req, nil)
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			continue // not every made-up request suits a model
		}
		one.name = fmt.Sprintf("made-up request %d", i)
		if p.asked = append(p.asked, *one); len(p.asked) == enough {
			break
		}
	}
	if len(p.asked) == 0 {
		return nil, fault.New(fault.Unsupported, "bake.Model", b.file, "want a request that the model answers to compare with, but none is recorded and it refuses those that were made up").
			WithHint("Record one: put a request into requests/%s/ and run `godwit predict`.", b.o.Name)
	}
	return p, nil
}

// spread makes [-1, 1) of a made-up request's numbers in [0, 1), since what is
// positive alone leaves parts of many networks untouched.
func spread(req *infer.Request) {
	for i := range req.Inputs {
		if v, ok := tensor.View[float32](&req.Inputs[i]); ok {
			for k := range v {
				v[k] = 2*v[k] - 1
			}
		}
	}
}

// answer keeps what the model answers to one request, all of its outputs.
func (b *baker) answer(ctx context.Context, m *infer.Model, req *infer.Request, t recorded.Tolerances) (*asked, error) {
	all := *req
	all.Outputs, all.Version = nil, ""
	first, err := m.Infer(ctx, &all)
	if err != nil {
		return nil, err
	}
	defer first.Release()
	want := recorded.Want{Tolerance: t}
	for i := range first.Outputs {
		want.Outputs = append(want.Outputs, first.Outputs[i].Clone())
	}
	return &asked{req: &all, want: []recorded.Want{want}}, nil
}

// prove refuses a form that is not what the model is.
func (b *baker) prove(ctx context.Context, f *Form, p *proof) (err error) {
	m, err := b.load(ctx, f.Files[f.Baked.Path], b.graph)
	if err != nil {
		return fmt.Errorf("bake.Model: the form %q: %w", f.Baked.Path, err)
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	if text := differs(p.signature, m.Signature()); text != "" {
		return fault.New(fault.Mismatch, "bake.Model", f.Baked.Path, "%s", text).WithHint(asItIs)
	}
	for i := range p.asked {
		if err := b.same(ctx, m, &p.asked[i]); err != nil {
			refused := fault.New(fault.CodeOf(err), "bake.Model", f.Baked.Path, "the form answers %s differently: %w", p.asked[i].name, err)
			return refused.WithHint(asItIs)
		}
	}
	return nil
}

const asItIs = "Package the model as it is, with --no-bake; or, if the difference does not matter, widen the tolerance in the recorded answer."

func (b *baker) same(ctx context.Context, m *infer.Model, a *asked) error {
	resp, err := m.Infer(ctx, a.req)
	if err != nil {
		return err
	}
	defer resp.Release()
	for i := range a.want {
		if err := a.want[i].Check(resp); err != nil {
			return err
		}
	}
	return nil
}

// differs tells how got is not the signature want; "" if it is.
func differs(want, got *driver.Signature) string {
	for _, side := range []struct {
		what      string
		want, got []driver.TensorInfo
	}{{"input", want.Inputs, got.Inputs}, {"output", want.Outputs, got.Outputs}} {
		if len(side.want) != len(side.got) {
			return fmt.Sprintf("want %d %ss, got %d", len(side.want), side.what, len(side.got))
		}
		for i := range side.want {
			if w, g := &side.want[i], &side.got[i]; !reflect.DeepEqual(w, g) {
				return fmt.Sprintf("want the %s %q %s, got %q %s", side.what, w.Name, infer.Describe(w), g.Name, infer.Describe(g))
			}
		}
	}
	if !maps.Equal(want.Metadata, got.Metadata) {
		return fmt.Sprintf("want the metadata %q, got %q", want.Metadata, got.Metadata)
	}
	return ""
}
