package spec

import "github.com/goccy/go-yaml/ast"

// Auth says who may call.
type Auth struct {
	// Mode is "platform" (IAM and its like, nothing where there is no
	// platform), "jwt", "key" or "none".
	Mode string
	JWT  *JWT // set if and only if Mode is "jwt"
	Key  *Key // set if and only if Mode is "key"
}

// JWT is how bearer tokens are checked.
type JWT struct {
	Issuer   string   // the iss claim, an https:// URL
	Audience []string // one of them must be in the aud claim
	JWKSURL  string   // "" means the one that the issuer's discovery document names
	Scopes   []string // all must be in the scope claim; nil asks for none
	Rate     Rate     // of each caller; 0 limits nobody
	Burst    int      // requests of one caller at once; 0 is one second of Rate, at least 1
}

// Key is where the accepted API keys stand: never in the spec itself. Exactly
// one of Env and File is set.
type Key struct {
	Env   string // an environment variable with the keys, separated by commas
	File  string // a file with one key in each line, as secrets are mounted
	Rate  Rate   // of each key; 0 limits nobody
	Burst int    // requests of one key at once; 0 is one second of Rate, at least 1
}

// defaultKeyEnv is the variable of `auth: key`.
const defaultKeyEnv = "GODWIT_API_KEYS"

func (a *Auth) keys() []key {
	return []key{
		{name: "jwt", to: object[JWT](&a.JWT), doc: "Bearer tokens of an issuer."},
		{name: "key", to: object[Key](&a.Key), doc: "API keys, sent as x-api-key or as a bearer token."},
	}
}

func (j *JWT) keys() []key {
	return []key{
		{name: "issuer", to: text(&j.Issuer, httpsURL), doc: "The token's iss claim.", required: true},
		{name: "audience", to: texts{&j.Audience, freeText("an audience")}, doc: "One of these must be in the token's aud claim.", required: true},
		{name: "jwksURL", to: text(&j.JWKSURL, httpsURL), doc: "Where the issuer's keys are.", shown: "what the issuer's discovery document names"},
		{name: "scopes", to: texts{&j.Scopes, freeText("a scope")}, doc: "All of these must be in the token's scope claim."},
		rateKey(&j.Rate, "caller"), burstKey(&j.Burst, "caller"),
	}
}

func (k *Key) keys() []key {
	return []key{
		{name: "env", to: text(&k.Env, envName), doc: "The environment variable with the accepted keys, separated by commas.", why: "a name that is ours already", shown: "`" + defaultKeyEnv + "` without a file"},
		{name: "file", to: text(&k.File, rule{what: "an absolute path", pattern: `^/[^\x00]+$`}), doc: "The file with the accepted keys, one in each line."},
		rateKey(&k.Rate, "key"), burstKey(&k.Burst, "key"),
	}
}

func rateKey(p *Rate, who string) key {
	return key{name: "rate", to: rate(p, 1, maxRate), doc: "The requests that each " + who + " may make in a time; more are answered 429. Every instance counts for itself."}
}

func burstKey(p *int, who string) key {
	return key{name: "burst", to: integer(p, 1, maxBurst), doc: "The requests that each " + who + " may make at once, after a rest.", shown: "one second of the rate, at least 1"}
}

// Beyond these a limit is none.
const (
	maxRate  = 1_000_000 * 3600
	maxBurst = 1_000_000
)

// authValue is platform, key or none, or a mapping with jwt or key.
type authValue struct{ a *Auth }

func (v authValue) either() either {
	return either{word: &v.a.Mode, words: []string{"platform", "key", "none"}, body: v.a, inBody: "jwt"}
}

func (v authValue) decode(d *decoder, n ast.Node, path string) {
	if s, _ := scalar(n); s == "jwt" {
		d.add(placeOf(n), path, "Write auth: {jwt: {issuer: https://…, audience: […]}}.", "jwt needs an issuer and an audience")
		return
	}
	v.either().decode(d, n, path)
	switch {
	case v.a.JWT != nil && v.a.Key != nil:
		d.add(placeOf(n), path, "Leave one of them out.", "want jwt or key, got both")
	case v.a.Key != nil:
		v.a.Mode = "key"
	case v.a.Mode == "key":
		v.a.Key = &Key{}
	}
	if k := v.a.Key; k != nil && k.Env != "" && k.File != "" {
		d.add(placeOf(n), join(path, "key"), "Leave one of them out.", "want env or file, got both")
	}
	v.bursts(d, placeOf(n), path)
}

func (v authValue) bursts(d *decoder, at place, path string) {
	const hint = "Add rate: 100/s, or leave burst out."
	if j := v.a.JWT; j != nil && j.Burst > 0 && j.Rate == 0 {
		d.add(at, join(path, "jwt.burst"), hint, "want a rate with burst %d, got none", j.Burst)
	}
	if k := v.a.Key; k != nil && k.Burst > 0 && k.Rate == 0 {
		d.add(at, join(path, "key.burst"), hint, "want a rate with burst %d, got none", k.Burst)
	}
}

func (v authValue) encode(e *encoder, path string) *out {
	a := v.a
	word := oneOf(&a.Mode, "platform", "jwt", "key", "none").encode(e, path)
	if a.JWT == nil && a.Key == nil {
		return word
	}
	o := e.block(path, a)
	if _, given := e.given[join(path, "key")]; a.JWT == nil && !given && len(o.pairs[0].to.pairs) == 0 {
		return word
	}
	return o
}

func (v authValue) isZero() bool                     { return v.a.Mode == "" }
func (v authValue) prototype() block                 { return v.a }
func (v authValue) describe() (string, string)       { return v.either().describe() }
func (v authValue) schema(s *schemas) map[string]any { return v.either().schema(s) }

func (v authValue) blocks(path string, fn func(string, block)) {
	if v.a.JWT != nil || v.a.Key != nil {
		fn(path, v.a)
	}
}
