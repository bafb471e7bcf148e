package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/oip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The issuer of all tests, and its keys, which are made once.
const (
	testIssuer   = "https://issuer.test"
	testAudience = "fraud"
)

var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	edge := func() (crypto.Signer, error) {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	}
	rsaKey := func(bits int) (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
	ecKey := func(c elliptic.Curve) (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
	return map[string]crypto.Signer{
		"rsa": must(rsaKey(2048)), "other": must(rsaKey(2048)), "short": must(rsaKey(1024)),
		"p256": must(ecKey(elliptic.P256())), "p384": must(ecKey(elliptic.P384())), "ed": must(edge()),
	}
})

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

type object = map[string]any

// with returns m and then changes; nil takes a key away.
func with(m object, changes object) object {
	out := maps.Clone(m)
	for k, v := range changes {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

// jwk is the public key with the id in the form that issuers publish.
func jwk(id string, more object) object {
	var k object
	switch pub := testKeys()[id].Public().(type) {
	case *rsa.PublicKey:
		k = object{"kty": "RSA", "n": b64(pub.N.Bytes()), "e": b64(big.NewInt(int64(pub.E)).Bytes())}
	case *ecdsa.PublicKey:
		raw, err := pub.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(raw) / 2
		k = object{"kty": "EC", "crv": pub.Curve.Params().Name, "x": b64(raw[1 : 1+half]), "y": b64(raw[1+half:])}
	case ed25519.PublicKey:
		k = object{"kty": "OKP", "crv": "Ed25519", "x": b64(pub)}
	}
	return with(with(k, object{"kid": id, "use": "sig"}), more)
}

func jwks(keys ...object) []byte { return toJSON(object{"keys": keys}) }

func toJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// goodClaims are claims that are accepted at the time.
func goodClaims(now time.Time) object {
	return object{"iss": testIssuer, "aud": []string{testAudience, "else"}, "sub": "alice", "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}
}

// sign makes a token with the standard library alone: what it can make is not
// limited to what is right.
func sign(header, payload []byte, alg, key string) string {
	text := b64(header) + "." + b64(payload)
	return text + "." + b64(signature(text, alg, key))
}

func signature(text, alg, key string) []byte {
	var sig []byte
	var err error
	k := testKeys()[key]
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[len(alg)-min(3, len(alg)):]]
	var sum []byte
	if hash != 0 {
		h := hash.New()
		h.Write([]byte(text))
		sum = h.Sum(nil)
	}
	switch {
	case strings.HasPrefix(alg, "RS"):
		sig, err = k.Sign(rand.Reader, sum, hash)
	case strings.HasPrefix(alg, "PS"):
		sig, err = k.Sign(rand.Reader, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
	case strings.HasPrefix(alg, "ES"):
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, k.(*ecdsa.PrivateKey), sum)
		if err == nil {
			size := (k.(*ecdsa.PrivateKey).Curve.Params().BitSize + 7) / 8
			sig = make([]byte, 2*size)
			r.FillBytes(sig[:size])
			s.FillBytes(sig[size:])
		}
	case alg == "EdDSA":
		sig, err = k.Sign(rand.Reader, []byte(text), crypto.Hash(0))
	}
	if err != nil {
		panic(err)
	}
	return sig
}

// mac signs as an HS256 token does.
func mac(header, payload, secret []byte) string {
	text := b64(header) + "." + b64(payload)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return text + "." + b64(h.Sum(nil))
}

// goodToken is accepted at the time.
func goodToken(now time.Time, changes object) string {
	return sign(toJSON(object{"alg": "RS256", "typ": "JWT", "kid": "rsa"}), toJSON(with(goodClaims(now), changes)), "RS256", "rsa")
}

// roundTripper answers requests for keys without a network.
type roundTripper func(r *http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body []byte) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// serving is a client to whom every URL is the document.
func serving(document []byte) *http.Client {
	return &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return answer(200, document) })}
}

// newTokens takes the tokens of testKeys at the clock's time.
func newTokens(t testing.TB, o TokenOptions) *Authorizer {
	t.Helper()
	o.Issuer, o.Audience, o.JWKSURL = testIssuer, []string{testAudience}, testIssuer+"/keys"
	if o.Client == nil {
		o.Client = serving(jwks(jwk("rsa", nil), jwk("p256", nil), jwk("p384", object{"alg": "ES384"}), jwk("ed", nil)))
	}
	a, err := Tokens(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func newKeys(t testing.TB, o *KeyOptions) *Authorizer {
	t.Helper()
	a, err := Keys(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// headers gives the values of pairs of lower-case names and values.
func headers(pairs ...string) func(string) []string {
	m := map[string][]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = append(m[pairs[i]], pairs[i+1])
	}
	return func(name string) []string { return m[name] }
}

func ask(a *Authorizer, scope oip.Scope, pairs ...string) (string, error) {
	return a.Authorize(context.Background(), headers(pairs...), scope)
}

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// buffer is a log that several goroutines share.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// pass lets the time pass in a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }
