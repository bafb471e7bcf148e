package auth

import (
	"context"
	"math"
	"strings"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// Rate bounds how often each caller may ask, each for itself. The zero value
// bounds nobody.
type Rate struct {
	PerSecond float64 // requests; 0 bounds nobody
	Burst     int     // requests at once after a rest; 0 is one second's, at least 1
}

// An Authorizer lets callers with the right credentials in. Its methods may be
// called concurrently.
type Authorizer struct {
	verifier verifier
	rate     *limiter // nil bounds nobody
}

var _ oip.Authorizer = (*Authorizer)(nil)

// A verifier knows one kind of credentials.
type verifier interface {
	// credential finds what the caller shows. Errors: Unauthenticated.
	credential(header func(name string) []string) (string, error)
	// verify says whose credential it is. Errors: Unauthenticated, Denied, Unavailable.
	verify(ctx context.Context, credential string) (identity, error)
	// close ends what runs in the background and waits for it.
	close()
}

// identity is who a credential belongs to and what they may do.
type identity struct {
	caller string
	scopes scopes
}

// Authorize implements oip.Authorizer. A refusal tells what is wrong with the
// credentials in a fixed sentence and never quotes them.
func (a *Authorizer) Authorize(ctx context.Context, header func(name string) []string, scope oip.Scope) (string, error) {
	shown, err := a.verifier.credential(header)
	if err != nil {
		return "", err
	}
	who, err := a.verifier.verify(ctx, shown)
	if err != nil {
		return "", err
	}
	if !who.scopes.has(scope) {
		return "", fault.New(fault.Denied, op, "", "these credentials do not have the scope %q", string(scope))
	}
	if a.rate != nil {
		if wait := a.rate.take(who.caller); wait > 0 {
			return "", fault.New(fault.RateLimited, op, "", "more requests than this caller may make").
				WithHint("Wait for the time in Retry-After, and send requests more evenly.").WithRetry(wait)
		}
	}
	return who.caller, nil
}

// Close ends what runs in the background: reading the key file again, or
// fetching the issuer's keys. It waits for it; a second call does nothing.
func (a *Authorizer) Close() { a.verifier.close() }

const op = "auth.Authorize"

func unauthenticated(format string, args ...any) *fault.Error {
	return fault.New(fault.Unauthenticated, op, "", format, args...)
}

// scopes is a set of the protocol's scopes.
type scopes uint8

// usual is what a credential may do that does not say: everything but to
// change what is served.
const usual = mayInfer | mayMetadata | mayMetrics

const (
	mayInfer scopes = 1 << iota
	mayMetadata
	mayMetrics
	mayAdmin
)

// scopeOf is 0 for a scope that does not exist: nobody has it.
func scopeOf(s oip.Scope) scopes {
	switch s {
	case oip.ScopeInfer:
		return mayInfer
	case oip.ScopeMetadata:
		return mayMetadata
	case oip.ScopeMetrics:
		return mayMetrics
	case oip.ScopeAdmin:
		return mayAdmin
	}
	return 0
}

func (s scopes) has(one oip.Scope) bool { return s&scopeOf(one) != 0 }

// one is the only value of a header, "" when it is missing.
func one(header func(string) []string, name string) (string, error) {
	switch values := header(name); {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", unauthenticated("want one header %s, got %d", name, len(values))
	default:
		return values[0], nil
	}
}

// bearer is the token of the Authorization header, "" when there is none.
func bearer(header func(string) []string) (string, error) {
	value, err := one(header, "authorization")
	if value == "" || err != nil {
		return "", err
	}
	const scheme = "bearer "
	if len(value) <= len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", unauthenticated("want Authorization: Bearer, got another scheme")
	}
	return strings.TrimLeft(value[len(scheme):], " "), nil
}

func (r Rate) limiter() *limiter {
	if r.PerSecond <= 0 {
		return nil
	}
	burst := r.Burst
	if burst <= 0 {
		burst = max(1, int(math.Ceil(r.PerSecond)))
	}
	return newLimiter(time.Duration(float64(time.Second)/r.PerSecond), burst)
}
