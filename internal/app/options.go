package app

import (
	"net"
	"net/netip"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
)

// CodecLimits are the spec's limits on requests and answers.
func CodecLimits(l *spec.Limits) *codec.Limits {
	return &codec.Limits{
		Body: int64(l.Body), Depth: l.Depth, Rank: l.Rank, Elements: l.Elements, Tensors: l.Tensors,
		Params: l.Params, StringBytes: int(l.StringBytes), Response: int64(l.Response),
	}
}

// ServeOptions are the spec's limits on connections and time.
func ServeOptions(l *spec.Limits) httpserve.Options {
	return httpserve.Options{
		Drain: time.Duration(l.Drain), MaxStreams: l.Streams,
		MaxHeaderBytes: int(l.HeaderBytes), MaxHeaderFields: l.HeaderFields, MaxChunks: l.Chunks,
		HeaderTimeout: time.Duration(l.ReadHeader), IdleTimeout: time.Duration(l.Idle),
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
	o.Log, o.Sink = f.opts.Logger, f.opts.Sink
	return oip.New(f.Models, f.Handler, &o)
}

// nanPolicy is the first model's: the server has one, and Open refuses models that differ.
func nanPolicy(models []spec.Model) codec.NaNPolicy {
	return map[string]codec.NaNPolicy{"null": codec.NaNNull, "string": codec.NaNString}[models[0].NaNPolicy]
}

// CheckAuth refuses to serve what the spec wants protected where nothing would
// protect it. addr is where the server listens.
func (f *Function) CheckAuth(addr net.Addr) error {
	mode := f.Spec.Auth.Mode
	switch {
	case mode == "none":
		return nil
	case mode != "platform":
		return fault.New(fault.Unsupported, "app.Serve", "auth: "+mode, "this server cannot check callers yet").
			WithHint("Set auth: none and listen on 127.0.0.1, or let a proxy that checks callers stand in front.")
	case f.opts.Target == Local && !loopback(addr):
		return fault.New(fault.BadConfig, "app.Serve", "auth: platform", "want a platform that checks callers, got none: %s can be reached from other machines", addr).
			WithHint("Listen on 127.0.0.1, or say auth: none in godwit.yaml if everybody may call.")
	}
	return nil
}

func loopback(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
