package app

import (
	"fmt"

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

// keepable refuses a cache for a model whose answers may differ from one
// request to the next: a kept one would be wrong.
func keepable(m *spec.Model, i *inspected) error {
	if m.Cache.Mode == "off" || i.graph.Deterministic {
		return nil
	}
	what, ops := "random", i.model.Random
	if len(ops) == 0 {
		what, ops = "unknown", i.model.Custom()
	}
	return fault.New(fault.BadConfig, "app.Load", fmt.Sprintf("model %q", m.Name), "want equal answers to equal requests to keep them, got the %s operator %s", what, ops[0]).
		WithHint("Leave cache out for this model.")
}
