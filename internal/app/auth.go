package app

import (
	"net"
	"net/netip"
	"strings"

	"godwit.dev/adapters/auth"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// CheckAuth refuses to serve what the spec wants protected where nothing would
// protect it. addr is where the server listens.
func (f *Function) CheckAuth(addr net.Addr) error {
	if f.Spec.Auth.Mode != "platform" || loopback(addr) {
		return nil
	}
	switch k := f.Spec.Targets.Knative; {
	case f.opts.Target == "knative" && (k == nil || k.Mesh == "none"):
		return fault.New(fault.BadConfig, "app.Serve", "auth: platform", "want a mesh that checks callers, got none: Knative checks nobody").WithHint(spec.NoMeshHint)
	case f.opts.Target == Local, f.opts.Target == "edge":
		return fault.New(fault.BadConfig, "app.Serve", "auth: platform", "want a platform that checks callers, got none: %s can be reached from other machines", addr).
			WithHint("Listen on 127.0.0.1, have callers checked with auth: key or auth: jwt in godwit.yaml, or say auth: none if everybody may call.")
	}
	return nil
}

func loopback(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// Authorizer checks callers as the spec says; nil where the platform does, or
// nobody. getenv reads the variable that the keys are in. The caller closes it.
// Errors: BadConfig.
func (f *Function) Authorizer(getenv func(string) string) (*auth.Authorizer, error) {
	switch a := &f.Spec.Auth; a.Mode {
	case "key":
		return f.keys(a.Key, getenv)
	case "jwt":
		j := a.JWT
		return auth.Tokens(&auth.TokenOptions{
			Issuer: j.Issuer, Audience: j.Audience, JWKSURL: j.JWKSURL, Scopes: j.Scopes,
			Rate: auth.Rate{PerSecond: j.Rate.PerSecond(), Burst: j.Burst}, Log: f.opts.Logger,
		})
	}
	return nil, nil
}

func (f *Function) keys(k *spec.Key, getenv func(string) string) (*auth.Authorizer, error) {
	o := &auth.KeyOptions{File: k.File, Rate: auth.Rate{PerSecond: k.Rate.PerSecond(), Burst: k.Burst}, Log: f.opts.Logger}
	if k.File != "" {
		return auth.Keys(o)
	}
	if o.List = getenv(k.Env); o.List == "" {
		return nil, fault.New(fault.BadConfig, "app.Serve", "auth: key", "want API keys in the environment variable %s, got nothing", k.Env).
			WithHint("Set it, separated by commas; `openssl rand -hex 24` makes a key. docs/auth.md has more ways.")
	}
	a, err := auth.Keys(o)
	if e := fault.Of(err); e != nil { // which entry, but of what
		e.Subject = strings.TrimSpace(k.Env + " " + e.Subject)
	}
	return a, err
}
