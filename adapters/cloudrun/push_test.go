package cloudrun_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/auth"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
)

const audience, email = "https://score.example/events", "push@demo.iam.gserviceaccount.com"

// google signs identity tokens and lists its keys on loopback, as Google does.
type google struct {
	t      *testing.T
	key    *rsa.PrivateKey
	server *httptest.Server
}

func newGoogle(t *testing.T) *google {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &google{t: t, key: key}
	g.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	}))
	t.Cleanup(g.server.Close)
	return g
}

// push is the check that a service makes.
func (g *google) push() *cloudrun.Push {
	tokens, err := auth.Tokens(&auth.TokenOptions{Issuer: cloudrun.Issuer, Audience: []string{audience}, JWKSURL: g.server.URL, Client: g.server.Client()})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(tokens.Close)
	return &cloudrun.Push{Tokens: tokens, Emails: []string{email}}
}

type claims map[string]any

// token is what Pub/Sub sends, with some claims changed; nil leaves one out.
func (g *google) token(changed claims) string {
	now := time.Now()
	all := claims{"iss": cloudrun.Issuer, "aud": audience, "sub": "113774264463038321964", "azp": "113774264463038321964",
		"email": email, "email_verified": true, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for name, value := range changed {
		all[name] = value
		if value == nil {
			delete(all, name)
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: g.key, KeyID: "k1"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		g.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any(all)).Serialize()
	if err != nil {
		g.t.Fatal(err)
	}
	return token
}

func TestPushTokens(t *testing.T) {
	g, other := newGoogle(t), newGoogle(t)
	opts := &cloudrun.Options{Push: g.push()}
	good := g.token(nil)
	unsigned := good[:strings.LastIndexByte(good, '.')+1]
	document := wrapped(itemOf("1")).Body
	for _, c := range []struct {
		name   string
		header []string // of Authorization
		status int
	}{
		{"good", []string{"Bearer " + good}, 204},
		{"good, again", []string{"Bearer " + good}, 204},
		{"good, in another case", []string{"bearer " + good}, 204},
		{"none", nil, 401},
		{"two", []string{"Bearer " + good, "Bearer " + good}, 401},
		{"another scheme", []string{"Basic " + good}, 401},
		{"no token", []string{"Bearer x"}, 401},
		{"without its signature", []string{"Bearer " + unsigned}, 401},
		{"as Cloud Run passes on what it has checked", []string{"Bearer " + unsigned + "SIGNATURE_REMOVED_BY_GOOGLE"}, 401},
		{"of another key", []string{"Bearer " + other.token(nil)}, 401},
		{"another audience", []string{"Bearer " + g.token(claims{"aud": "https://other.example/events"})}, 401},
		{"another issuer", []string{"Bearer " + g.token(claims{"iss": "https://issuer.example"})}, 401},
		{"expired", []string{"Bearer " + g.token(claims{"exp": time.Now().Add(-time.Hour).Unix()})}, 401},
		{"not valid yet", []string{"Bearer " + g.token(claims{"iat": time.Now().Add(time.Hour).Unix()})}, 401},
		{"never expires", []string{"Bearer " + g.token(claims{"exp": nil})}, 401},
		{"of another account", []string{"Bearer " + g.token(claims{"email": "me@gmail.com"})}, 403},
		{"of an account in another case", []string{"Bearer " + g.token(claims{"email": strings.ToUpper(email)})}, 403},
		{"of no account", []string{"Bearer " + g.token(claims{"email": nil})}, 403},
		{"not verified", []string{"Bearer " + g.token(claims{"email_verified": false})}, 403},
		{"verified as a word", []string{"Bearer " + g.token(claims{"email_verified": "true"})}, 403},
		{"verified by nobody", []string{"Bearer " + g.token(claims{"email_verified": nil})}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := &recorder{}
			w := push(t, rec, opts, http.Header{"Authorization": c.header}, document)
			if w.Code != c.status {
				t.Errorf("want status %d, got %d: %s", c.status, w.Code, w.Body)
			}
			if (len(rec.got) == 1) != (c.status == 204) {
				t.Errorf("status %d, and %d events reached the handler", w.Code, len(rec.got))
			}
		})
	}
	nobody := opts.Push
	nobody.Emails = nil
	if w := push(t, &recorder{}, &cloudrun.Options{Push: nobody}, http.Header{"Authorization": {"Bearer " + good}}, document); w.Code != 403 {
		t.Errorf("no accounts named: want 403, got %d", w.Code)
	}
}

// TestPushOverThePlatform has the platform sign its pushes.
func TestPushOverThePlatform(t *testing.T) {
	g := newGoogle(t)
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		s, err := adaptertest.New(nil)
		if err != nil {
			return err
		}
		defer s.Close()
		ln, err := httpserve.Listen(ctx, cloudrun.Address(getenv))
		if err != nil {
			return err
		}
		return httpserve.Serve(ctx, ln, cloudrun.New(s.API, s.Events, &cloudrun.Options{Push: g.push()}), s.API, nil)
	})
	changed := claims{}
	i, err := emulate.Start(t.Context(), "cloudrun", launch, &emulate.Options{Identity: func() (string, error) { return g.token(changed), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	for _, c := range []struct {
		changed claims
		retry   bool
	}{{nil, false}, {claims{"aud": "x"}, true}, {claims{"email": "x@y"}, true}} {
		changed = c.changed
		reply, err := i.Deliver(t.Context(), wrapped(itemOf("1")))
		if err != nil || reply.Retry != c.retry {
			t.Errorf("%v: want delivered again %t, got %+v, %v", c.changed, c.retry, reply, err)
		}
	}
	// Requests are not the platform's pushes: their access is the server's own.
	if a, err := i.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://function/v2", nil)); err != nil || a.StatusCode != 200 {
		t.Errorf("a request: %v, %v", a, err)
	}
}

// asker is an Authorizer that lets one key in.
type asker struct{ scope oip.Scope }

func (a *asker) Authorize(_ context.Context, header func(string) []string, scope oip.Scope) (string, error) {
	a.scope = scope
	if key := header("x-api-key"); len(key) != 1 || key[0] != "k" {
		return "", fault.New(fault.Unauthenticated, "test", "", "want a key")
	}
	return "caller", nil
}

func TestWhoMayDeliver(t *testing.T) {
	a := &asker{}
	full := func() error { return fault.New(fault.Unavailable, "test", "", "full") }
	document := wrapped(itemOf("1")).Body
	for _, c := range []struct {
		name   string
		opts   *cloudrun.Options
		key    string
		status int
	}{
		{"nobody said", nil, "k", 403},
		{"nobody said, in options", &cloudrun.Options{}, "k", 403},
		{"anyone", &cloudrun.Options{Anyone: true}, "", 204},
		{"a key", &cloudrun.Options{Auth: a}, "k", 204},
		{"another key", &cloudrun.Options{Auth: a}, "l", 401},
		{"no key, whatever else is said", &cloudrun.Options{Auth: a, Anyone: true}, "", 401},
		{"no room", &cloudrun.Options{Anyone: true, Admit: full}, "", 503},
		{"no room, and no key", &cloudrun.Options{Auth: a, Admit: full}, "", 401},
	} {
		rec := &recorder{}
		if w := push(t, rec, c.opts, http.Header{"X-Api-Key": {c.key}}, document); w.Code != c.status || (len(rec.got) == 1) != (c.status == 204) {
			t.Errorf("%s: want status %d, got %d with %d events", c.name, c.status, w.Code, len(rec.got))
		}
	}
	if a.scope != oip.ScopeInfer {
		t.Errorf("want the scope %q asked for, got %q", oip.ScopeInfer, a.scope)
	}
}
