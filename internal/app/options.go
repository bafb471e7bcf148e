package app

import (
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/codec"
)

// CodecLimits are the spec's limits on requests and answers.
func CodecLimits(l *spec.Limits) *codec.Limits {
	return &codec.Limits{
		Body: int64(l.Body), Depth: l.Depth, Rank: l.Rank, Elements: l.Elements, Tensors: l.Tensors,
		Params: l.Params, StringBytes: int(l.StringBytes), Response: int64(l.Response),
	}
}

// Server is the protocol's handler over f. The caller sets what is not the
// spec's to say: page, metrics, logs, examples.
func (f *Function) Server(o oip.Options) *oip.Server {
	o.Name, o.Version, o.Target = "godwit", Version(), f.opts.Target
	o.Limits = CodecLimits(&f.Spec.Limits)
	o.CompressionRatio = f.Spec.Limits.CompressionRatio
	o.NaN = nanPolicy(f.Spec.Models)
	o.Timeout = time.Duration(f.Spec.Limits.Request)
	o.MaxAge = f.edgeAge()
	o.Log, o.Sink = f.opts.Logger, f.opts.Sink
	o.Admit, o.Reload = f.guard.admit, f.reloadModel
	if limit := f.opts.Quota.Memory; limit > 0 && o.BodyMemory == 0 {
		// A request may need some eight times the bytes of its body: decoded
		// numbers, the run, the answer. What the guard sees comes after that.
		o.BodyMemory = min(limit/8, 512<<20)
	}
	return oip.New(f.Models, f.Handler, &o)
}

// nanPolicy is the first model's: the server has one, and Open refuses models that differ.
func nanPolicy(models []spec.Model) codec.NaNPolicy {
	return map[string]codec.NaNPolicy{"null": codec.NaNNull, "string": codec.NaNString}[models[0].NaNPolicy]
}
