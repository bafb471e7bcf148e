package app

import (
	"context"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/infer"
)

// batching is how requests for m may share runs. Where one request comes at a
// time, and no deliveries of many, nothing ever waits, so nothing is tried.
func (f *Function) batching(m *spec.Model) infer.Batching {
	return infer.Batching{Off: m.Batching.Mode == "off" || f.opts.Single || f.oneAtATime() && len(f.Spec.Triggers) == 0, MaxRows: m.Batching.MaxRows}
}

// probeBatching lets requests share runs where the recorded ones show that
// answers stay the same. It is called when the models serve already, so that
// no start waits for it; until a model is through it, each request runs alone.
// It ends early when the models are closed.
func (f *Function) probeBatching(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // the start is over
	var requests []*infer.Request
	read := false
	for i := range f.Spec.Models {
		m := &f.Spec.Models[i]
		loaded, err := f.Models.Lookup(m.Name, m.Version)
		if err != nil || f.batching(m).Off || loaded.Batchable() != nil {
			continue // not loaded, or Batching tells why already
		}
		if !read {
			if requests, err = f.samples(); err != nil {
				f.opts.Logger.WarnContext(ctx, "requests do not share runs: the recorded ones cannot be read", "error", err)
				return
			}
			read = true
		}
		var own []*infer.Request
		for _, r := range requests {
			if r.Model == m.Name {
				own = append(own, r)
			}
		}
		if len(own) == 0 {
			continue
		}
		err = loaded.ProbeBatching(ctx, own)
		_, why := loaded.Batching()
		f.opts.Logger.InfoContext(ctx, "batching", "model", m.Name, "version", m.Version, "shared", err == nil, "why", why)
	}
}

func (f *Function) samples() ([]*infer.Request, error) {
	recorded, err := f.Requests()
	if err != nil {
		return nil, err
	}
	all := make([]*infer.Request, 0, len(recorded))
	for i := range recorded {
		req, err := recorded[i].Decode()
		if err != nil {
			return nil, err
		}
		all = append(all, req)
	}
	return all, nil
}
