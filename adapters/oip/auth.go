package oip

import "context"

// Scope is what a route lets its caller do.
type Scope string

// The scopes.
const (
	ScopeInfer    Scope = "infer"    // ask models
	ScopeMetadata Scope = "metadata" // learn which models there are and what they take
	ScopeMetrics  Scope = "metrics"
	ScopeAdmin    Scope = "admin" // change what is served
)

// An Authorizer says who calls and whether they may. It is called concurrently
// and must not block on the network for a caller who shows nothing.
type Authorizer interface {
	// Authorize checks the credentials of one request. header gives the values
	// of a header by its lower-case name, in HTTP and in gRPC. caller names who
	// it is, for logs, limits and fair shares; it is never a secret. Errors:
	// Unauthenticated, Denied, RateLimited, Unavailable.
	Authorize(ctx context.Context, header func(name string) []string, scope Scope) (caller string, err error)
}

// Authorize lets the exchange go on if its caller may do what scope says, and
// keeps who it is for Infer; without an Authorizer everybody may. To infer,
// Options.Admit must agree too. It comes before anything else of a request is
// looked at. Errors: those of the Authorizer and of Admit; a panic is Internal.
func (x *Exchange) Authorize(ctx context.Context, scope Scope) (err error) {
	auth := x.server.opts.Auth
	if auth == nil {
		return x.admit(scope)
	}
	defer Recover(&err)
	if scope == "" {
		scope = ScopeMetadata // a probe's path with another method
	}
	header := x.header
	if header == nil {
		header = headerOf(x.fields)
	}
	caller, err := auth.Authorize(ctx, header, scope)
	if err != nil {
		if scope == ScopeInfer {
			x.Asked("", "") // counted, under no name that a stranger chose
		}
		return err
	}
	x.caller = caller
	return x.admit(scope)
}

func (x *Exchange) admit(scope Scope) error {
	if scope != ScopeInfer || x.server.opts.Admit == nil {
		return nil
	}
	err := x.server.opts.Admit()
	if err != nil {
		x.Asked("", "") // counted
	}
	return err
}

// SameCaller says that x is of the caller of first, who was let in just now:
// the first request of a stream and the stream itself are asked for together.
func (x *Exchange) SameCaller(first *Exchange) { x.caller = first.caller }
