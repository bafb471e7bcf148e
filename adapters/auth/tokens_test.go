package auth

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// What is accepted, and every way known to get in without.
func TestTokens(t *testing.T) {
	now := time.Now()
	header := func(changes object) []byte {
		return toJSON(with(object{"alg": "RS256", "typ": "JWT", "kid": "rsa"}, changes))
	}
	claims := func(changes object) []byte { return toJSON(with(goodClaims(now), changes)) }
	claimed := func(changes object) string { return goodToken(now, changes) }
	headed := func(changes object) string { return sign(header(changes), claims(nil), "RS256", "rsa") }
	by := func(alg, key string) string {
		return sign(header(object{"alg": alg, "kid": key}), claims(nil), alg, key)
	}
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	parts := strings.Split(claimed(nil), ".")
	der, err := x509.MarshalPKIXPublicKey(testKeys()["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs := header(object{"alg": "HS256"})

	const ok, no, denied = fault.OK, fault.Unauthenticated, fault.Denied
	tests := []struct {
		name, token string
		want        fault.Code
		says        string
	}{
		{"RS256", by("RS256", "rsa"), ok, ""},
		{"RS384", by("RS384", "rsa"), ok, ""},
		{"RS512", by("RS512", "rsa"), ok, ""},
		{"PS256", by("PS256", "rsa"), ok, ""},
		{"PS512", by("PS512", "rsa"), ok, ""},
		{"ES256", by("ES256", "p256"), ok, ""},
		{"ES384", by("ES384", "p384"), ok, ""},
		{"EdDSA", by("EdDSA", "ed"), ok, ""},
		{"no key id, one key fits", sign(header(object{"alg": "EdDSA", "kid": nil}), claims(nil), "EdDSA", "ed"), ok, ""},
		{"no type", headed(object{"typ": nil}), ok, ""},
		{"an access token", headed(object{"typ": "application/at+JWT"}), ok, ""},
		{"audience as a text", claimed(object{"aud": testAudience}), ok, ""},
		{"expired within the skew", claimed(object{"exp": at(-50 * time.Second)}), ok, ""},
		{"valid in a moment", claimed(object{"nbf": at(50 * time.Second), "iat": at(50 * time.Second)}), ok, ""},
		{"whole seconds with a fraction", claimed(object{"exp": float64(at(time.Minute)) + 0.5}), ok, ""},

		{"alg none", b64(header(object{"alg": "none"})) + "." + parts[1] + ".", no, "want a token signed"},
		{"alg none with the old signature", b64(header(object{"alg": "none"})) + "." + parts[1] + "." + parts[2], no, "want a token signed"},
		{"alg None", b64(header(object{"alg": "nOnE"})) + "." + parts[1] + ".", no, "want a token signed"},
		{"alg empty", b64(header(object{"alg": ""})) + "." + parts[1] + ".", no, "want a token signed"},
		{"no alg", b64(header(object{"alg": nil})) + "." + parts[1] + "." + parts[2], no, ""},
		{"alg no text", b64(header(object{"alg": 256})) + "." + parts[1] + "." + parts[2], no, ""},
		{"HS256 with the public key as PEM", mac(hs, claims(nil), public), no, "want a token signed"},
		{"HS256 with the public key as DER", mac(hs, claims(nil), der), no, "want a token signed"},
		{"HS256 with the modulus", mac(hs, claims(nil), testKeys()["rsa"].Public().(*rsa.PublicKey).N.Bytes()), no, "want a token signed"},
		{"HS256 with nothing", mac(hs, claims(nil), nil), no, "want a token signed"},
		{"RS256 with a MAC", mac(header(nil), claims(nil), public), no, "signature"},
		{"ES256 with the RSA key's id", sign(header(object{"alg": "ES256"}), claims(nil), "ES256", "p256"), no, "does not list"},
		{"ES256 with the P-384 key", sign(header(object{"alg": "ES256", "kid": "p384"}), claims(nil), "ES256", "p256"), no, "does not list"},
		{"RS256 called PS256", sign(header(object{"alg": "PS256"}), claims(nil), "RS256", "rsa"), no, "signature"},
		{"ES256K", headed(object{"alg": "ES256K"}), no, "want a token signed"},
		{"another's key under this id", sign(header(nil), claims(nil), "RS256", "other"), no, "signature"},
		{"another's key", sign(header(object{"kid": "other"}), claims(nil), "RS256", "other"), no, "does not list"},
		{"another's key, embedded", sign(header(object{"kid": "other", "jwk": jwk("other", nil)}), claims(nil), "RS256", "other"), no, "does not list"},
		{"another's key, embedded under this id", sign(header(object{"jwk": jwk("other", nil)}), claims(nil), "RS256", "other"), no, "signature"},
		{"another's key, linked", sign(header(object{"kid": "other", "jku": "https://evil.test/keys", "x5u": "https://evil.test/c"}), claims(nil), "RS256", "other"), no, "does not list"},
		{"key id of a path", headed(object{"kid": "../../dev/null"}), no, "does not list"},
		{"key id no text", headed(object{"kid": []int{1}}), no, ""},

		{"expired", claimed(object{"exp": at(-2 * time.Minute)}), no, "has expired"},
		{"expired long ago", claimed(object{"exp": -1e15}), no, "has expired"},
		{"not before", claimed(object{"nbf": at(2 * time.Minute)}), no, "not valid yet"},
		{"issued in the future", claimed(object{"iat": at(2 * time.Minute)}), no, "not valid yet"},
		{"not before the end of time", claimed(object{"nbf": 1e18}), no, "not valid yet"},
		{"never expires", claimed(object{"exp": nil}), no, "never expires"},
		{"expires at null", sign(header(nil), []byte(strings.Replace(string(claims(object{"exp": 12345})), "12345", "null", 1)), "RS256", "rsa"), no, "never expires"},
		{"expires at a text", claimed(object{"exp": "9999999999"}), no, "claims"},
		{"expires too late to count", claimed(object{"exp": 1e300}), no, "claims"},
		{"another audience", claimed(object{"aud": []string{"fraud2"}}), no, "another audience"},
		{"no audience", claimed(object{"aud": nil}), no, "another audience"},
		{"audience of another case", claimed(object{"aud": "Fraud"}), no, "another audience"},
		{"audience no text", claimed(object{"aud": []any{testAudience, 1}}), no, "claims"},
		{"another issuer", claimed(object{"iss": "https://issuer.test.evil"}), no, "another issuer"},
		{"issuer with a slash", claimed(object{"iss": testIssuer + "/"}), no, "another issuer"},
		{"no issuer", claimed(object{"iss": nil}), no, "another issuer"},
		{"no subject", claimed(object{"sub": nil}), no, "whose"},
		{"subject no text", claimed(object{"sub": 1}), no, "claims"},
		{"a claim twice", sign(header(nil), []byte(strings.TrimSuffix(string(claims(nil)), "}")+`,"sub":"root"}`), "RS256", "rsa"), no, "claims"},
		{"a claim of another case", sign(header(nil), []byte(strings.TrimSuffix(string(claims(object{"aud": "x"})), "}")+`,"AUD":"fraud"}`), "RS256", "rsa"), no, "another audience"},
		{"a header twice", sign([]byte(`{"alg":"none","kid":"rsa","alg":"RS256"}`), claims(nil), "RS256", "rsa"), no, "cannot be read"},
		{"claims that are no object", sign(header(nil), []byte(`["alice"]`), "RS256", "rsa"), no, "claims"},
		{"claims that are null", sign(header(nil), []byte(`null`), "RS256", "rsa"), no, "another issuer"},
		{"no claims", sign(header(nil), nil, "RS256", "rsa"), no, "claims"},
		{"deep claims", sign(header(nil), []byte(strings.Repeat("[", 2500)), "RS256", "rsa"), no, "claims"},

		{"tampered claims", parts[0] + "." + b64(claims(object{"sub": "root"})) + "." + parts[2], no, "signature"},
		{"tampered header", b64(header(object{"x": 1})) + "." + parts[1] + "." + parts[2], no, "signature"},
		{"tampered signature", parts[0] + "." + parts[1] + "." + "AAAA" + parts[2][4:], no, "signature"},
		{"half a signature", parts[0] + "." + parts[1] + "." + parts[2][:100], no, "signature"},
		{"no signature", parts[0] + "." + parts[1] + ".", no, ""},
		{"a zero ES256 signature", b64(header(object{"alg": "ES256", "kid": "p256"})) + "." + parts[1] + "." + b64(make([]byte, 64)), no, "signature"},
		{"critical header", headed(object{"crit": []string{"exp"}, "exp": 1}), no, "header"},
		{"critical b64", headed(object{"crit": []string{"b64"}, "b64": false}), no, "header"},
		{"a token that ends sessions", headed(object{"typ": "logout+jwt"}), no, "type"},
		{"a proof", headed(object{"typ": "dpop+jwt"}), no, "type"},
		{"type no text", headed(object{"typ": 1}), no, "type"},

		{"1 MB", strings.Repeat("A", 1<<20) + ".e30.AA", no, "at most 8192 bytes"},
		{"1 MB of claims", sign(header(nil), claims(object{"pad": strings.Repeat("x", 1<<20)}), "RS256", "rsa"), no, "at most 8192 bytes"},
		{"100k dots", strings.Repeat(".", 100_000), no, "three parts"},
		{"8k dots", strings.Repeat(".", 8000), no, "three parts"},
		{"two dots", "..", no, ""},
		{"one part", parts[0], no, "three parts"},
		{"two parts", parts[0] + "." + parts[1], no, "three parts"},
		{"four parts", claimed(nil) + ".x", no, "three parts"},
		{"an encrypted token", "e30.AA.AA.AA.AA", no, "three parts"},
		{"JSON form", fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]), no, ""},
		{"padded", parts[0] + "=." + parts[1] + "." + parts[2], no, ""},
		{"spaces", parts[0] + " ." + parts[1] + "." + parts[2], no, ""},
		{"no base64", "a\x00b.c{d.é", no, ""},

		{"without a scope that is asked for", claimed(object{"scope": "nothing read"}), denied, "lacks a scope"},
		{"scopes in a list", claimed(object{"scp": []string{"score", "more"}}), ok, ""},
		{"scope in parts", claimed(object{"scope": "sco re"}), denied, "lacks a scope"},
		{"scope no text", claimed(object{"scope": 5}), no, "claims"},
		{"only metadata", claimed(object{"scope": "score godwit:metadata"}), denied, `"infer"`},
		{"infer by name", claimed(object{"scope": "score godwit:infer"}), ok, ""},
	}
	scoped := newTokens(t, TokenOptions{Scopes: []string{"score"}})
	plain := newTokens(t, TokenOptions{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := plain
			if strings.Contains(tt.name, "scope") || strings.Contains(tt.name, "only") || strings.Contains(tt.name, "by name") {
				a = scoped
			}
			for range 2 { // the second time from memory, where it was accepted
				caller, err := ask(a, oip.ScopeInfer, "authorization", "Bearer "+tt.token)
				if fault.CodeOf(err) != tt.want || err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("%q, %v, want code %v and %q", caller, err, tt.want, tt.says)
				}
				if err == nil && caller != "alice" || err != nil && caller != "" {
					t.Errorf("caller %q", caller)
				}
				if err != nil && len(tt.token) > 8 && strings.Contains(err.Error(), tt.token[:8]) {
					t.Errorf("the error quotes the token: %v", err)
				}
			}
		})
	}
}

func TestScopesOfTokens(t *testing.T) {
	a := newTokens(t, TokenOptions{})
	tests := []struct {
		scope string
		may   string
	}{
		{"", "infer metadata metrics"},
		{"openid profile", "infer metadata metrics"},
		{"godwit:infer", "infer"},
		{"godwit:admin", "admin"},
		{"openid godwit:metadata godwit:metrics", "metadata metrics"},
		{"godwit:everything", "infer metadata metrics"},
		{"admin", "infer metadata metrics"},
	}
	for _, tt := range tests {
		var may []string
		for _, s := range []oip.Scope{oip.ScopeInfer, oip.ScopeMetadata, oip.ScopeMetrics, oip.ScopeAdmin, "other", ""} {
			_, err := ask(a, s, "authorization", "Bearer "+goodToken(time.Now(), object{"scope": tt.scope}))
			switch fault.CodeOf(err) {
			case fault.OK:
				may = append(may, string(s))
			case fault.Denied:
			default:
				t.Errorf("%q for %q: %v", tt.scope, s, err)
			}
		}
		if got := strings.Join(may, " "); got != tt.may {
			t.Errorf("%q may %q, want %q", tt.scope, got, tt.may)
		}
	}
}

func TestCallersOfTokens(t *testing.T) {
	long := strings.Repeat("s", 65)
	for subject, want := range map[string]string{
		"alice":                          "alice",
		"auth0|5f7c8ec7c33c6c004bbafe82": "auth0|5f7c8ec7c33c6c004bbafe82",
		strings.Repeat("s", 64):          strings.Repeat("s", 64),
		long:                             strings.Repeat("s", 47) + "~",
		long + "x":                       strings.Repeat("s", 47) + "~",
		"a b\n\"c\"":                     "a_b__c_~",
		"ü":                              "__~",
		"__~":                            "__~",
	} {
		if got := callerOf(subject); !strings.HasPrefix(got, want) || len(got) > maxCaller {
			t.Errorf("callerOf(%q) = %q, want %q…", subject, got, want)
		}
	}
	if callerOf(long) == callerOf(long+"x") || callerOf("a b") == callerOf("a_b") {
		t.Error("different subjects have one name")
	}
}

// The wall clock may be set at any time; a token that was accepted is not
// accepted for ever.
func TestTokensAreCheckedAgainWhenTheClockJumps(t *testing.T) {
	start := time.Now()
	clock := start
	a := newTokens(t, TokenOptions{Now: func() time.Time { return clock }, Rate: Rate{PerSecond: 1000}})
	token := "Bearer " + goodToken(start, nil) // for ten minutes
	for _, tt := range []struct {
		jump time.Duration
		want fault.Code
	}{
		{0, fault.OK}, {5 * time.Minute, fault.OK}, {time.Hour, fault.Unauthenticated}, {-time.Hour, fault.Unauthenticated},
		{time.Minute, fault.OK}, {10*time.Minute + skew - 2*time.Second, fault.OK}, {10*time.Minute + skew + 2*time.Second, fault.Unauthenticated}, {0, fault.OK},
	} {
		clock = start.Add(tt.jump)
		if _, err := ask(a, oip.ScopeInfer, "authorization", token); fault.CodeOf(err) != tt.want {
			t.Errorf("after a jump to %v: %v, want %v", tt.jump, err, tt.want)
		}
	}
}

func TestCredentialsInHeaders(t *testing.T) {
	token := goodToken(time.Now(), nil)
	tokens, keys := newTokens(t, TokenOptions{}), newKeys(t, &KeyOptions{List: "carol:" + testKey})
	const ok, no = fault.OK, fault.Unauthenticated
	tests := []struct {
		name         string
		header       []string
		token, byKey fault.Code
	}{
		{"nothing", nil, no, no},
		{"a key", []string{"x-api-key", testKey}, no, ok},
		{"a bearer key", []string{"authorization", "Bearer " + testKey}, no, ok},
		{"a token", []string{"authorization", "Bearer " + token}, ok, no},
		{"any case, more spaces", []string{"authorization", "bEARER   " + token}, ok, no},
		{"a token, and a key", []string{"authorization", "Bearer " + token, "x-api-key", testKey}, ok, ok},
		{"a bad key, and a good bearer key", []string{"x-api-key", testKey + "x", "authorization", "Bearer " + testKey}, no, no},
		{"two tokens", []string{"authorization", "Bearer " + token, "authorization", "Bearer " + token}, no, no},
		{"two keys", []string{"x-api-key", testKey, "x-api-key", testKey}, no, no},
		{"two in one header", []string{"authorization", "Bearer " + testKey + ", Bearer " + testKey}, no, no},
		{"no scheme", []string{"authorization", testKey}, no, no},
		{"basic", []string{"authorization", "Basic " + testKey}, no, no},
		{"scheme alone", []string{"authorization", "Bearer "}, no, no},
		{"scheme and spaces", []string{"authorization", "Bearer      "}, no, no},
		{"empty", []string{"authorization", "", "x-api-key", ""}, no, no},
		{"another header", []string{"proxy-authorization", "Bearer " + testKey, "cookie", testKey}, no, no},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ask(tokens, oip.ScopeInfer, tt.header...); fault.CodeOf(err) != tt.token {
				t.Errorf("by tokens: %v, want %v", err, tt.token)
			}
			if _, err := ask(keys, oip.ScopeInfer, tt.header...); fault.CodeOf(err) != tt.byKey {
				t.Errorf("by keys: %v, want %v", err, tt.byKey)
			}
		})
	}
}

// No token that was not signed gets in, whatever its bytes.
func FuzzToken(f *testing.F) {
	now := time.Now()
	good := goodToken(now, nil)
	parts := strings.Split(good, ".")
	for _, s := range []string{good, parts[0] + "." + parts[1] + ".", "..", "e30.e30.e30", parts[0] + ".e30." + parts[2],
		b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", b64([]byte(`{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}`)) + ".x." + parts[2],
		b64([]byte(`{"alg":"RS256","jwk":{"kty":"RSA"}}`)) + "." + parts[1] + "." + parts[2], strings.Repeat(".", 9000)} {
		f.Add(s)
	}
	a := newTokens(f, TokenOptions{})
	signed := map[string]bool{parts[1]: true}
	f.Fuzz(func(t *testing.T, token string) {
		caller, err := ask(a, oip.ScopeInfer, "authorization", "Bearer "+token)
		if err == nil {
			if p := strings.Split(token, "."); len(p) != 3 || !signed[p[1]] || caller != "alice" {
				t.Fatalf("%q got in as %q", token, caller)
			}
			return
		}
		if c := fault.CodeOf(err); c != fault.Unauthenticated || caller != "" {
			t.Fatalf("%q: %v", token, err)
		}
	})
}
