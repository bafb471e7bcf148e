package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// TokenOptions say which tokens are accepted. Issuer and Audience are required.
type TokenOptions struct {
	Issuer   string   // the iss claim, an https:// URL
	Audience []string // one of them must be in the aud claim
	// JWKSURL is where the issuer's keys are, an https:// URL; "" means the one
	// that Issuer + "/.well-known/openid-configuration" names.
	JWKSURL string
	// Scopes must all be in the token's scope or scp claim.
	Scopes []string
	Rate   Rate // of each sub claim

	// Client fetches the keys; nil means one of our own. Its redirects and
	// timeout are set here.
	Client *http.Client
	Now    func() time.Time // the wall clock; nil means time.Now
	Log    *slog.Logger     // nil discards
}

// The bounds of tokens.
const (
	maxToken  = 8 << 10 // bytes
	skew      = time.Minute
	maxTokens = 8192 // accepted ones that are remembered
)

// ownScope begins the scopes of a token that are ours: godwit:infer and its
// like. A token with any of them may do only what they say.
const ownScope = "godwit:"

// Tokens returns an Authorizer that takes bearer tokens: JSON Web Tokens of one
// issuer, signed with a public key. The issuer's keys are fetched in the
// background; until they are there, callers get Unavailable. Close it.
// Errors: BadConfig.
func Tokens(o *TokenOptions) (*Authorizer, error) {
	if o.Issuer == "" || len(o.Audience) == 0 {
		return nil, fault.New(fault.BadConfig, "auth.Tokens", "", "want an issuer and an audience, got %q and %d audiences", o.Issuer, len(o.Audience))
	}
	for _, u := range []string{o.Issuer, o.JWKSURL} {
		if u != "" && !isHTTPS(u) {
			return nil, fault.New(fault.BadConfig, "auth.Tokens", "", "want an https:// URL, got %q", u)
		}
	}
	t := &tokens{issuer: o.Issuer, audience: slices.Clone(o.Audience), required: slices.Clone(o.Scopes), now: o.Now}
	if t.now == nil {
		t.now = time.Now
	}
	t.keys = newKeySource(o)
	return &Authorizer{verifier: t, rate: o.Rate.limiter()}, nil
}

// tokens takes JSON Web Tokens.
type tokens struct {
	issuer             string
	audience, required []string
	keys               *keySource
	now                func() time.Time
}

func (t *tokens) close() { t.keys.close() }

func (t *tokens) credential(header func(string) []string) (string, error) {
	token, err := bearer(header)
	if token == "" && err == nil {
		err = unauthenticated("want a bearer token, got none").WithHint("Send it as Authorization: Bearer.")
	}
	return token, err
}

// accepted is a token that was verified, as long as its key is the issuer's.
type accepted struct {
	identity
	from, until time.Time // by the wall clock, with the skew
}

func (t *tokens) verify(ctx context.Context, token string) (identity, error) {
	// Before anything is allocated or decoded.
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return identity{}, unauthenticated("want a signed token of three parts and at most %d bytes", maxToken)
	}
	set, err := t.keys.get(ctx)
	if err != nil {
		return identity{}, err
	}
	id := sha256.Sum256([]byte(token))
	a, known := set.known(id)
	if !known {
		if a, set, err = t.open(ctx, token, set); err != nil {
			return identity{}, err
		}
	}
	// At every use, by the clock as it is now: it may have been set.
	switch now := t.now(); {
	case now.After(a.until):
		return identity{}, unauthenticated("this token has expired")
	case now.Before(a.from):
		return identity{}, unauthenticated("this token is not valid yet")
	}
	if !known {
		set.remember(id, a)
	}
	if a.scopes == 0 {
		return identity{}, fault.New(fault.Denied, op, "", "this token lacks a scope that this server asks for")
	}
	return a.identity, nil
}

// claims are those that we look at.
type claims struct {
	jwt.Claims
	Scope words `json:"scope"`
	Scp   words `json:"scp"`
}

// open verifies a token that is new: first its signature, and only then what it
// claims. It returns the key set that has the token's key. Times are left to
// the caller.
func (t *tokens) open(ctx context.Context, token string, set *keySet) (accepted, *keySet, error) {
	sig, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil || len(sig.Signatures) != 1 {
		return accepted{}, nil, refusedParse(err)
	}
	h := sig.Signatures[0].Protected
	if !plainType(h.ExtraHeaders[jose.HeaderType]) {
		return accepted{}, nil, unauthenticated("want a token of type JWT or at+jwt")
	}
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, there := h.ExtraHeaders[name]; there {
			return accepted{}, nil, unauthenticated("this token's header asks for what this server does not do")
		}
	}
	key, ok := set.find(h.KeyID, h.Algorithm)
	if !ok {
		if set, err = t.keys.refresh(ctx, set); err != nil {
			return accepted{}, nil, err
		}
		if key, ok = set.find(h.KeyID, h.Algorithm); !ok {
			return accepted{}, nil, unauthenticated("this token is signed with a key that the issuer does not list")
		}
	}
	payload, err := sig.Verify(key)
	if err != nil {
		return accepted{}, nil, unauthenticated("this token's signature is not the issuer's")
	}
	var c claims
	if err := unmarshal(payload, &c); err != nil {
		return accepted{}, nil, unauthenticated("this token's claims cannot be read")
	}
	switch {
	case c.Issuer != t.issuer:
		return accepted{}, nil, unauthenticated("this token is of another issuer")
	case !slices.ContainsFunc(t.audience, c.Audience.Contains):
		return accepted{}, nil, unauthenticated("this token is for another audience")
	case c.Expiry == nil:
		return accepted{}, nil, unauthenticated("this token never expires")
	case c.Subject == "":
		return accepted{}, nil, unauthenticated("this token says not whose it is")
	}
	a := accepted{identity: identity{caller: callerOf(c.Subject), scopes: t.scopes(&c)}, until: c.Expiry.Time().Add(skew)}
	for _, since := range []*jwt.NumericDate{c.NotBefore, c.IssuedAt} {
		if since != nil && since.Time().Add(-skew).After(a.from) {
			a.from = since.Time().Add(-skew)
		}
	}
	return a, set, nil
}

// scopes are what the token lets its caller do; none when it lacks one that is required.
func (t *tokens) scopes(c *claims) scopes {
	has := func(s string) bool { return slices.Contains(c.Scope, s) || slices.Contains(c.Scp, s) }
	for _, s := range t.required {
		if !has(s) {
			return 0
		}
	}
	var own scopes
	for _, s := range []oip.Scope{oip.ScopeInfer, oip.ScopeMetadata, oip.ScopeMetrics, oip.ScopeAdmin} {
		if has(ownScope + string(s)) {
			own |= scopeOf(s)
		}
	}
	if own != 0 {
		return own
	}
	return usual
}

// algorithms are the accepted ones: signatures that only the issuer can make.
// A MAC's key would be known to every server, and "none" to everybody.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
}

func refusedParse(err error) error {
	if e := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &e) {
		return unauthenticated("want a token signed with RS, PS or ES 256, 384 or 512, or EdDSA")
	}
	return unauthenticated("this token cannot be read")
}

// plainType takes tokens that are made for calls: others, such as those that
// end a session, must not be taken for one of these.
func plainType(typ any) bool {
	if typ == nil {
		return true
	}
	s, ok := typ.(string)
	s, _ = strings.CutPrefix(strings.ToLower(s), "application/")
	return ok && (s == "jwt" || s == "at+jwt")
}

// maxCaller bounds a caller's name.
const maxCaller = 64

// callerOf is a subject as a name for logs and limits: printable, and as long
// as logs bear. Different subjects have different names.
func callerOf(subject string) string {
	name := []byte(subject[:min(len(subject), maxCaller)])
	same := len(subject) <= maxCaller
	for i, c := range name {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			name[i], same = '_', false
		}
	}
	if !same {
		sum := sha256.Sum256([]byte(subject))
		name = append(append(name[:min(len(name), maxCaller-17)], '~'), hex.EncodeToString(sum[:8])...)
	}
	return string(name)
}

// words is a claim with words: separated by spaces, or in a list.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	var s string
	if err := unmarshal(data, &s); err == nil {
		*w = strings.Fields(s)
		return nil
	}
	var list []string
	err := unmarshal(data, &list)
	*w = list
	return err
}
