package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// issuer is one whose document and failures a test chooses.
type issuer struct {
	mu     sync.Mutex
	status int // 0 is a network that is down
	body   []byte
	asked  int
	hold   chan struct{} // nil, or what an answer waits for
}

func (i *issuer) set(status int, body []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.body = status, body
}

func (i *issuer) times() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func (i *issuer) client() *http.Client {
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		i.mu.Lock()
		i.asked++
		status, body, hold := i.status, i.body, i.hold
		i.mu.Unlock()
		if hold != nil {
			select {
			case <-hold:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		if status == 0 {
			return nil, errors.New("dial tcp: the network is down")
		}
		return answer(status, body)
	})}
}

func signedBy(key string) string {
	return sign(toJSON(object{"alg": "RS256", "kid": key}), toJSON(with(goodClaims(time.Now()), object{"exp": time.Now().Add(1000 * time.Hour).Unix()})), "RS256", key)
}

func code(a *Authorizer, token string) fault.Code {
	_, err := ask(a, oip.ScopeInfer, "authorization", "Bearer "+token)
	return fault.CodeOf(err)
}

// The server starts without its issuer, says so to callers, and gets well by itself.
func TestIssuerThatIsDownAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		var log buffer
		a := newTokens(t, TokenOptions{Client: i.client(), Log: logTo(&log)})
		for _, failure := range []func(){
			func() {}, func() { i.set(500, nil) }, func() { i.set(200, []byte("<html>")) }, func() { i.set(200, jwks()) },
			func() { i.set(200, []byte(`{"keys":`+strings.Repeat(" ", maxJWKS)+`[]}`)) },
		} {
			failure()
			synctest.Wait()
			_, err := ask(a, oip.ScopeInfer, "authorization", "Bearer "+signedBy("rsa"))
			if wait := fault.RetryOf(err); fault.CodeOf(err) != fault.Unavailable || wait < time.Second || wait > refreshGap {
				t.Fatalf("without keys: %v, retry after %v", err, wait)
			}
			if strings.Contains(fault.Public(err), "issuer.test") {
				t.Errorf("a caller learns where the keys are: %v", fault.Public(err))
			}
			pass(fault.RetryOf(err))
		}
		if _, err := ask(a, oip.ScopeInfer); fault.CodeOf(err) != fault.Unauthenticated {
			t.Errorf("a caller who shows nothing: %v", err)
		}
		i.set(200, jwks(jwk("rsa", nil)))
		pass(refreshGap)
		synctest.Wait()
		if got := code(a, signedBy("rsa")); got != fault.OK {
			t.Errorf("once the issuer is back: %v\n%s", got, log.String())
		}
		if n := i.times(); n > 12 {
			t.Errorf("the issuer was asked %d times", n)
		}
	})
}

// A key that is new is fetched, at most once a minute, whatever callers send.
func TestUnknownKeysAreFetchedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{status: 200, body: jwks(jwk("rsa", nil))}
		a := newTokens(t, TokenOptions{Client: i.client()})
		old := signedBy("rsa")
		if code(a, old) != fault.OK {
			t.Fatal("the first key")
		}
		if got := code(a, signedBy("other")); got != fault.Unauthenticated || i.times() != 1 {
			t.Errorf("a new key at once: %v, asked %d times, want 1", got, i.times())
		}
		pass(refreshGap)
		hold := make(chan struct{})
		i.mu.Lock()
		i.hold, i.body = hold, jwks(jwk("other", nil))
		i.mu.Unlock()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got := code(a, signedBy("other")); got != fault.OK {
					t.Errorf("a new key after a minute: %v", got)
				}
			})
		}
		impatient, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			_, err := a.Authorize(impatient, headers("authorization", "Bearer "+signedBy("other")), oip.ScopeInfer)
			if fault.CodeOf(err) != fault.Canceled {
				t.Errorf("a caller who left: %v", err)
			}
		})
		synctest.Wait()
		if code(a, old) != fault.OK {
			t.Error("known keys wait for unknown ones")
		}
		cancel()
		close(hold)
		wg.Wait()
		if i.times() != 2 {
			t.Errorf("51 callers had the issuer asked %d times, want once", i.times()-1)
		}
		// The old key is gone, and what it had accepted with it.
		if got := code(a, old); got != fault.Unauthenticated {
			t.Errorf("a key that was taken back: %v", got)
		}
		for range 600 {
			pass(time.Second)
			if got := code(a, signedBy("short")); got != fault.Unauthenticated {
				t.Fatal(got)
			}
		}
		if n := i.times(); n > 13 {
			t.Errorf("in ten minutes of unknown keys the issuer was asked %d times, want at most one a minute", n-2)
		}
		a.Close()
		pass(refreshGap)
		if got := code(a, signedBy("short")); got != fault.Unauthenticated {
			t.Errorf("an unknown key after it closed: %v", got) // and not a wait without end
		}
	})
}

// Keys outlive an issuer that is down for a while, and not for ever.
func TestKeysAreUsedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{status: 200, body: jwks(jwk("rsa", nil))}
		a := newTokens(t, TokenOptions{Client: i.client()})
		token := signedBy("rsa")
		if code(a, token) != fault.OK {
			t.Fatal("the first key")
		}
		set, err := a.verifier.(*tokens).keys.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Hour + time.Second)
		synctest.Wait()
		if again, err := a.verifier.(*tokens).keys.get(t.Context()); err != nil || again != set {
			t.Errorf("the same keys, fetched again, have forgotten their tokens: %v", err)
		}
		if n := i.times(); n != 5 {
			t.Errorf("in the first hour the issuer was asked %d times, want each quarter", n)
		}
		i.set(0, nil)
		pass(22 * time.Hour)
		if got := code(a, token); got != fault.OK {
			t.Errorf("after 22 more hours: %v", got)
		}
		pass(2 * time.Hour)
		if got := code(a, token); got != fault.Unavailable {
			t.Errorf("after 25 hours: %v, want unavailable", got)
		}
		i.set(200, jwks(jwk("rsa", nil)))
		pass(refreshGap)
		synctest.Wait()
		if got := code(a, token); got != fault.OK {
			t.Errorf("once the issuer is back: %v", got)
		}
	})
}

func TestCloseEndsAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{hold: make(chan struct{})}
		var log buffer
		a := newTokens(t, TokenOptions{Client: i.client(), Log: logTo(&log)})
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := code(a, signedBy("rsa")); got != fault.Unavailable {
				t.Errorf("a caller while it closes: %v", got)
			}
		})
		synctest.Wait()
		a.Close()
		wg.Wait()
		a.Close()
		if got := code(a, signedBy("rsa")); got != fault.Unavailable {
			t.Errorf("a caller after it closed: %v", got)
		}
		if log.String() != "" {
			t.Errorf("closing is logged: %s", log.String())
		}
	})
}

func TestKeySets(t *testing.T) {
	private := with(jwk("rsa", nil), object{"d": "AQAB", "p": "AQ", "q": "AQ"})
	tests := []struct {
		name string
		body []byte
		keys int // 0 is refused
	}{
		{"one", jwks(jwk("rsa", nil)), 1},
		{"every kind", jwks(jwk("rsa", nil), jwk("p256", nil), jwk("p384", nil), jwk("ed", nil)), 4},
		{"others are left out", jwks(object{"kty": "AKP", "kid": "x"}, object{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, jwk("ed", nil)), 1},
		{"keys for encryption", jwks(jwk("rsa", object{"use": "enc"}), jwk("ed", nil)), 1},
		{"a shared secret", jwks(object{"kty": "oct", "kid": "rsa", "k": b64([]byte("secret"))}, jwk("ed", nil)), 1},
		{"a private key", jwks(private, jwk("ed", nil)), 1},
		{"only short RSA", jwks(jwk("short", nil)), 0},
		{"an even exponent", jwks(jwk("rsa", object{"e": "AQAC"})), 0},
		{"a point off the curve", jwks(jwk("p256", object{"y": jwk("p256", nil)["x"]})), 0},
		{"a short Ed25519 key", jwks(jwk("ed", object{"x": "AAAA"})), 0},
		{"none", jwks(), 0},
		{"no list", []byte(`{"keys":{}}`), 0},
		{"no set", []byte(`[]`), 0},
		{"no JSON", []byte(`-----BEGIN`), 0},
		{"keys twice", []byte(`{"keys":[],"keys":[` + string(toJSON(jwk("ed", nil))) + `]}`), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseKeySet(tt.body)
			switch {
			case tt.keys == 0 && err == nil:
				t.Errorf("taken, with %d keys", len(s.keys))
			case tt.keys > 0 && (err != nil || len(s.keys) != tt.keys):
				t.Errorf("%v, %v, want %d keys", s, err, tt.keys)
			}
		})
	}
	var many []object
	for range maxSetKeys + 1 {
		many = append(many, jwk("ed", nil))
	}
	if _, err := parseKeySet(jwks(many...)); err == nil {
		t.Error("too many keys are taken")
	}
	two, err := parseKeySet(jwks(jwk("rsa", nil), jwk("other", nil), jwk("ed", nil)))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := two.find("", "RS256"); ok {
		t.Error("one of two keys was guessed")
	}
	if _, ok := two.find("", "EdDSA"); !ok {
		t.Error("the only key of its kind was not found")
	}
	bound, err := parseKeySet(jwks(jwk("rsa", object{"alg": "RS256"}), jwk("p256", nil)))
	if err != nil {
		t.Fatal(err)
	}
	for algorithm, want := range map[string]bool{"RS256": true, "RS512": false, "PS256": false, "ES256": false, "HS256": false, "none": false, "": false} {
		if _, ok := bound.find("rsa", algorithm); ok != want {
			t.Errorf("an RSA key for RS256 is used for %q: %v", algorithm, ok)
		}
	}
}

// Over real TLS, with the issuer's discovery document.
func TestDiscovery(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwks(jwk("rsa", nil))) }))
	t.Cleanup(elsewhere.Close)
	plain := httptest.NewServer(elsewhere.Config.Handler)
	t.Cleanup(plain.Close)
	const well = "/.well-known/openid-configuration"
	type site = map[string]func(self string, w http.ResponseWriter, r *http.Request)
	doc := func(issuer, keys string) func(string, http.ResponseWriter, *http.Request) {
		return func(self string, w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(toJSON(object{"issuer": strings.ReplaceAll(issuer, "SELF", self), "jwks_uri": strings.ReplaceAll(keys, "SELF", self)}))
		}
	}
	keys := func(_ string, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwks(jwk("rsa", nil))) }
	moved := func(to string) func(string, http.ResponseWriter, *http.Request) {
		return func(_ string, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	tests := []struct {
		name string
		site site
		want string // in the log; "" is success
	}{
		{"as it should be", site{well: doc("SELF", "SELF/keys"), "/keys": keys}, ""},
		{"keys on another host", site{well: doc("SELF", elsewhere.URL)}, ""},
		{"keys moved on the same host", site{well: doc("SELF", "SELF/old"), "/old": moved("/keys"), "/keys": keys}, ""},
		{"keys moved to another host", site{well: doc("SELF", "SELF/old"), "/old": moved(elsewhere.URL)}, "redirect to another place"},
		{"keys moved to plain HTTP on the same host", site{well: doc("SELF", "SELF/old"), "/old": func(self string, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(self, "https:", "http:", 1)+"/keys", http.StatusFound)
		}, "/keys": keys}, "redirect to another place"},
		{"keys moved to plain HTTP", site{well: doc("SELF", "SELF/old"), "/old": moved(plain.URL)}, "redirect to another place"},
		{"keys moved for ever", site{well: doc("SELF", "SELF/old"), "/old": moved("/old")}, "redirect to another place"},
		{"the document of another issuer", site{well: doc(elsewhere.URL, "SELF/keys"), "/keys": keys}, "want a discovery document of issuer"},
		{"keys over plain HTTP", site{well: doc("SELF", plain.URL)}, "want jwks_uri with https://"},
		{"keys in a file", site{well: doc("SELF", "file:///etc/passwd")}, "want jwks_uri with https://"},
		{"no keys", site{well: doc("SELF", "")}, "want jwks_uri with https://"},
		{"no document", site{}, "want status 200, got 404"},
		{"a page", site{well: func(_ string, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }}, "want a discovery document"},
		{"a document without end", site{well: func(_ string, w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}}, "want at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s *httptest.Server
			s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if page := tt.site[r.URL.Path]; page != nil {
					page(s.URL, w, r)
					return
				}
				http.NotFound(w, r)
			}))
			defer s.Close()
			var log buffer
			a, err := Tokens(&TokenOptions{Issuer: s.URL, Audience: []string{testAudience}, Client: s.Client(), Log: logTo(&log)})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			want := fault.OK
			if tt.want != "" {
				want = fault.Unavailable
			}
			if got := code(a, goodToken(time.Now(), object{"iss": s.URL})); got != want || !strings.Contains(log.String(), tt.want) {
				t.Errorf("%v, want %v and %q in the log\n%s", got, want, tt.want, log.String())
			}
		})
	}
	// Without trust in the certificate there are no keys.
	var log buffer
	a, err := Tokens(&TokenOptions{Issuer: elsewhere.URL, Audience: []string{"x"}, Log: logTo(&log)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if got := code(a, goodToken(time.Now(), nil)); got != fault.Unavailable || !strings.Contains(log.String(), "certificate") {
		t.Errorf("an unknown certificate: %v\n%s", got, log.String())
	}
}

func TestTokenOptionsThatAreRefused(t *testing.T) {
	for _, o := range []TokenOptions{
		{}, {Issuer: testIssuer}, {Audience: []string{"x"}}, {Issuer: "http://issuer.test", Audience: []string{"x"}},
		{Issuer: testIssuer, Audience: []string{"x"}, JWKSURL: "http://issuer.test/keys"}, {Issuer: "https://", Audience: []string{"x"}},
	} {
		if a, err := Tokens(&o); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%+v: %v", o, err)
			a.Close()
		}
	}
}
