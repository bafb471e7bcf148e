package app

import (
	"fmt"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// cacheBytes is how many bytes of m's answers the spec wants kept. A version
// that the spec does not name is kept as the first of its name.
func (f *Function) cacheBytes(m *infer.Model) int64 {
	named := int64(-1)
	for _, s := range f.models() {
		if s.Name != m.Name() {
			continue
		}
		if s.Version == m.Version() {
			return int64(s.Cache.MaxBytes)
		}
		if named < 0 {
			named = int64(s.Cache.MaxBytes)
		}
	}
	return max(named, 0)
}

// edgeAge is how long caches in front of the function may keep its answers; 0
// where there is none. Requests in paths are for them alone: elsewhere there is
// no such route.
func (f *Function) edgeAge() time.Duration {
	if t := f.Spec.Targets.AWSLambda; f.opts.Target == "awslambda" && t != nil && t.EdgeCache != nil {
		return time.Duration(t.EdgeCache.MaxAge)
	}
	return 0
}

// keepable refuses a cache for a model whose answers may differ from one
// request to the next: a kept one would be wrong.
func (f *Function) keepable(m *spec.Model, i *inspected) error {
	where := "cache"
	if t := f.Spec.Targets.AWSLambda; m.Cache.Mode == "off" && t != nil && t.EdgeCache != nil {
		where = "edgeCache"
	} else if m.Cache.Mode == "off" {
		return nil
	}
	if i.graph.Deterministic {
		return nil
	}
	what, ops := "random", i.model.Random
	if len(ops) == 0 {
		what, ops = "unknown", i.model.Custom()
	}
	return fault.New(fault.BadConfig, "app.Load", fmt.Sprintf("model %q", m.Name), "want equal answers to equal requests to keep them, got the %s operator %s", what, ops[0]).
		WithHint("Leave %s out for this model.", where)
}
