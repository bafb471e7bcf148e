package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// Hashes are the same when all of their words are.
func TestSameHash(t *testing.T) {
	a := hashOf([]byte("a"))
	for i := range a {
		for _, bit := range []uint64{1, 1 << 63, ^uint64(0)} {
			b := a
			b[i] ^= bit
			if a.same(&b) != 0 || b.same(&a) != 0 {
				t.Errorf("another word %d is the same", i)
			}
		}
	}
	if b := a; a.same(&b) != ^uint64(0) {
		t.Errorf("the same is %x", a.same(&b))
	}
}

// The bounds of keys, of their salts and of how many there are are what the
// documents say, to the character.
func TestBoundsOfKeys(t *testing.T) {
	hashed := func(salt string) string {
		sum := sha256.Sum256([]byte(salt + testKey))
		return "sha256$" + salt + "$" + hex.EncodeToString(sum[:])
	}
	for _, tt := range []struct {
		name, list, key string
		ok              bool
	}{
		{"15 characters", strings.Repeat("k", 15), "", false},
		{"16 characters", strings.Repeat("k", 16), strings.Repeat("k", 16), true},
		{"512 characters", strings.Repeat("k", 512), strings.Repeat("k", 512), true},
		{"513 characters", strings.Repeat("k", 513), "", false},
		{"7 of salt", hashed("1234567"), "", false},
		{"8 of salt", hashed("12345678"), testKey, true},
		{"64 of salt", hashed(strings.Repeat("s", 64)), testKey, true},
		{"65 of salt", hashed(strings.Repeat("s", 65)), "", false},
		{"a space in the salt", hashed("1234 5678"), "", false},
		{"33 bytes of hash", hashed("12345678") + "00", "", false},
		{"every letter", "ABCXYZabcxyz0189-._~+/=", "ABCXYZabcxyz0189-._~+/=", true},
		{"all scopes", "a:infer+metadata+metrics+admin:" + testKey, testKey, true},
	} {
		a, err := Keys(&KeyOptions{List: tt.list})
		if !tt.ok {
			if fault.CodeOf(err) != fault.BadConfig {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if _, err := ask(a, oip.ScopeInfer, "x-api-key", tt.key); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		a.Close()
	}
	many := make([]string, maxKeys)
	for i := range many {
		many[i] = fmt.Sprintf("%020d", i)
	}
	a := newKeys(t, &KeyOptions{List: strings.Join(many, "\n")})
	for _, i := range []int{0, 1, maxKeys - 1} {
		if caller, err := ask(a, oip.ScopeInfer, "x-api-key", many[i]); err != nil || caller != fmt.Sprint("key-", i+1) {
			t.Errorf("key %d of %d: %q, %v", i+1, maxKeys, caller, err)
		}
	}
}

// What is wrong with a file of keys names the file and the line, and a file that
// is as it was is not read again.
func TestKeyFileEdges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	put := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	k := &keys{}
	f := &keyFile{path: path, into: k}
	read := func(what string, want bool, text string) {
		t.Helper()
		changed, err := f.read()
		if changed != want || (err != nil) != (text != "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("%s: changed %v, %v; want %v and %q", what, changed, err, want, text)
		}
		if err != nil && (!strings.Contains(err.Error(), path) || strings.Count(err.Error(), path) != 1 || fault.CodeOf(err) != fault.BadConfig) {
			t.Errorf("%s: want the file's name once: %v", what, err)
		}
	}
	read("no file", false, "no such file")
	put("a:"+testKey+"\n", noon)
	read("a file", true, "")
	read("the same", false, "")
	put("b:"+testKey+"\n", noon) // as long, and as old
	read("as long and as old", false, "")
	put("b:"+testKey+"\n", noon.Add(time.Second))
	read("another time", true, "")
	put("ab:"+testKey+"\n", noon.Add(time.Second))
	read("another length", true, "")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	put("cd:"+testKey+"\n", noon.Add(time.Second))
	read("another file, as long and as old", true, "")
	put("ok:"+testKey+"\nbad", noon)
	read("a mistake", false, " line 2: ")
	read("the same mistake, told once", false, "")
	put("\n#\n", noon.Add(2*time.Second))
	read("no key", false, path+": want at least one API key")
	if who, ok := k.ring.Load().find(testKey); !ok || who.caller != "cd" {
		t.Errorf("what was right before is gone: %+v, %v", who, ok)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	read("gone", false, "no such file")
	if err := os.Rename(path+".old", path); err != nil {
		t.Fatal(err)
	}
	read("back", true, "")
	put(strings.Repeat("#", maxKeyFile+1), noon)
	read("too large", false, "want a regular file of at most 8388608 bytes")
	put("e:"+testKey+strings.Repeat("\n", maxKeyFile-len("e:"+testKey)), noon.Add(time.Second))
	read("as large as may be", true, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	read("a folder", false, "want a regular file")
}

// A mistake that was mended and made again is told again, and a change is told.
func TestKeyFileIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		size := 0
		put := func(text string) {
			t.Helper()
			size++ // so that each differs
			if err := os.WriteFile(path, []byte(text+strings.Repeat("\n", size)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put("a:" + testKey)
		var log buffer
		newKeys(t, &KeyOptions{File: path, Log: logTo(&log)})
		for _, text := range []string{"bad", "bad", "a:" + testKey, "bad", "a:" + testKey + "\nb:0123456789abcdef"} {
			put(text)
			pass(lookEvery)
			synctest.Wait()
			pass(lookEvery)
			synctest.Wait()
		}
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
			switch {
			case strings.Contains(line, `"level":"ERROR"`):
				got = append(got, "error")
			case strings.Contains(line, `"keys":2`):
				got = append(got, "two")
			case strings.Contains(line, `"keys":1`):
				got = append(got, "one")
			default:
				t.Errorf("a line of neither: %s", line)
			}
		}
		if strings.Join(got, " ") != "error one error two" {
			t.Errorf("got %q:\n%s", got, log.String())
		}
	})
}

// Only keys that the issuer signs with are used, each for its own algorithms.
func TestKeysOfTheIssuer(t *testing.T) {
	set, err := parseKeySet(jwks(jwk("rsa", object{"use": nil}), jwk("p256", nil), jwk("p384", nil), jwk("ed", nil), jwk("other", object{"use": "enc"})))
	if err != nil {
		t.Fatal(err)
	}
	if len(set.keys) != 4 {
		t.Errorf("%d keys can be used, want 4", len(set.keys))
	}
	all := map[string]string{"rsa": "RS256 RS384 RS512 PS256 PS384 PS512", "p256": "ES256", "p384": "ES384", "ed": "EdDSA", "other": "", "none": ""}
	for id, may := range all {
		for _, algorithm := range append(algorithms(), "HS256", "none", "", "ES256K") {
			want := strings.Contains(" "+may+" ", " "+string(algorithm)+" ") && algorithm != ""
			if _, got := set.find(id, string(algorithm)); got != want {
				t.Errorf("%s with %q: %v, want %v", id, algorithm, got, want)
			}
		}
	}
	for exponent, ok := range map[string]bool{"AQAB": true, "Aw": true, "AQ": false, "Ag": false} {
		if _, err := parseKeySet(jwks(jwk("rsa", object{"e": exponent}))); (err == nil) != ok {
			t.Errorf("exponent %s: %v", exponent, err)
		}
	}
	var most []object
	for i := range maxSetKeys {
		most = append(most, jwk("ed", object{"kid": fmt.Sprint(i)}))
	}
	if set, err := parseKeySet(jwks(most...)); err != nil || len(set.keys) != maxSetKeys {
		t.Errorf("as many keys as may be: %v", err)
	}
	for name, text := range map[string]string{"no JSON": "<html>", "no list": `{"keys":{}}`} {
		if _, err := parseKeySet([]byte(text)); err == nil || !strings.Contains(err.Error(), "want a JWK set: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := len(algorithms()); got != 10 {
		t.Errorf("%d algorithms, want ten", got)
	}
	for _, algorithm := range algorithms() {
		if strings.HasPrefix(string(algorithm), "HS") || algorithm == jose.SignatureAlgorithm("none") {
			t.Errorf("%s is accepted", algorithm)
		}
	}
}

// The issuer is asked where it says, and told what is wanted; a document that is
// none is told of with its address.
func TestHowTheIssuerIsAsked(t *testing.T) {
	for name, tt := range map[string]struct {
		issuer string
		answer map[string]string
		want   string // of the error; "" none
	}{
		"with a slash":       {testIssuer + "/", map[string]string{"/.well-known/openid-configuration": `{"issuer":"` + testIssuer + `/","jwks_uri":"` + testIssuer + `/k"}`, "/k": string(jwks(jwk("ed", nil)))}, ""},
		"without":            {testIssuer, map[string]string{"/.well-known/openid-configuration": `{"issuer":"` + testIssuer + `","jwks_uri":"` + testIssuer + `/k"}`, "/k": string(jwks(jwk("ed", nil)))}, ""},
		"no document":        {testIssuer, map[string]string{"/.well-known/openid-configuration": `{"issuer":`}, "want a discovery document: "},
		"another issuer":     {testIssuer, map[string]string{"/.well-known/openid-configuration": `{"issuer":"x"}`}, `want a discovery document of issuer "https://issuer.test", got one of "x"`},
		"keys with a name":   {testIssuer, map[string]string{"/.well-known/openid-configuration": `{"issuer":"` + testIssuer + `","jwks_uri":"https://me@issuer.test/k"}`}, "want jwks_uri with https://"},
		"keys that are none": {testIssuer, map[string]string{"/.well-known/openid-configuration": `{"issuer":"` + testIssuer + `","jwks_uri":"` + testIssuer + `/k"}`, "/k": `[]`}, testIssuer + "/k: want a JWK set"},
		"as long as may be":  {testIssuer, map[string]string{"/.well-known/openid-configuration": `{"issuer":"` + testIssuer + `","jwks_uri":"` + testIssuer + `/k"}`, "/k": padded(maxJWKS)}, ""},
		"one byte more":      {testIssuer, map[string]string{"/.well-known/openid-configuration": `{"issuer":"` + testIssuer + `","jwks_uri":"` + testIssuer + `/k"}`, "/k": padded(maxJWKS + 1)}, "want at most 262144 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if at, ok := r.Context().Deadline(); !ok || time.Until(at) > fetchTimeout || time.Until(at) < fetchTimeout/2 {
					t.Errorf("asked with a deadline %v, %v", at, ok)
				}
				if r.Method != http.MethodGet || r.Header.Get("Accept") != "application/json" {
					t.Errorf("asked with %s, %v", r.Method, r.Header)
				}
				body, ok := tt.answer[r.URL.Path]
				if !ok {
					t.Errorf("asked for %s", r.URL)
					return answer(404, nil)
				}
				return answer(200, []byte(body))
			})}
			s := &keySource{issuer: tt.issuer, client: newClient(client)}
			set, err := s.fetch(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || (set == nil) != (err != nil) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	for u, want := range map[string]bool{"https://a": true, "https://a:1/b": true, "http://a": false, "https://": false, "https://me@a": false, "https:a": false, "://": false, "": false} {
		if got := isHTTPS(u); got != want {
			t.Errorf("%q: %v, want %v", u, got, want)
		}
	}
	own := newClient(nil)
	if own.Timeout != fetchTimeout || own.Transport == nil || own.Transport.(*http.Transport).Proxy == nil {
		t.Errorf("a client of our own: %+v", own)
	}
}

// padded is a key set of n bytes.
func padded(n int) string {
	set := string(jwks(jwk("ed", nil)))
	return set + strings.Repeat(" ", n-len(set))
}

// How often an issuer is asked that is down, that comes back, and that goes away.
func TestWhenTheIssuerIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{}
		var log buffer
		a := newTokens(t, TokenOptions{Client: i.client(), Log: logTo(&log)})
		begun := time.Now()
		var asked []time.Duration
		for seen := 0; time.Since(begun) < 4*time.Minute; pass(100 * time.Millisecond) {
			synctest.Wait()
			if n := i.times(); n != seen {
				asked, seen = append(asked, time.Since(begun).Round(100*time.Millisecond)), n
			}
		}
		want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183}
		for k := range want {
			if want[k] *= time.Second; k >= len(asked) || asked[k] < want[k] || asked[k] > want[k]+200*time.Millisecond {
				t.Fatalf("asked at %v, want %v in seconds", asked, want)
			}
		}
		if len(asked) != len(want) {
			t.Errorf("asked at %v, want %v", asked, want)
		}
		i.set(200, jwks(jwk("rsa", nil)))
		pass(refreshGap)
		synctest.Wait()
		n := i.times()
		for _, tt := range []struct {
			status, more int
			pass         time.Duration
		}{
			{200, 0, refreshEvery - refreshGap - time.Second}, {200, 1, refreshGap + 2*time.Second}, // each quarter of an hour
			{0, 1, refreshEvery},       // then it is down
			{0, 3, 5 * refreshGap / 2}, // and asked each minute
		} {
			if i.set(tt.status, jwks(jwk("rsa", nil))); tt.status == 0 {
				i.set(0, nil)
			}
			pass(tt.pass)
			synctest.Wait()
			if got := i.times() - n; got != tt.more {
				t.Errorf("status %d, after %v: asked %d times more, want %d", tt.status, tt.pass, got, tt.more)
			}
			n = i.times()
		}
		// What a caller is told to wait is when the next try may be over.
		s := a.verifier.(*tokens).keys
		s.mu.Lock()
		retry, gap := s.retry, time.Since(s.last)
		s.mu.Unlock()
		if retry != refreshGap || gap < 0 || gap > refreshGap {
			t.Errorf("the next try is %v after the last one, which was %v ago", retry, gap)
		}
	})
}

// A caller with a key that is not known waits for a fetch that goes on anyway.
func TestFetchThatIsDueIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{status: 200, body: jwks(jwk("rsa", nil))}
		a := newTokens(t, TokenOptions{Client: i.client()})
		if code(a, signedBy("rsa")) != fault.OK {
			t.Fatal("the first key")
		}
		hold := make(chan struct{})
		i.mu.Lock()
		i.hold, i.body = hold, jwks(jwk("other", nil))
		i.mu.Unlock()
		pass(refreshEvery + time.Second)
		synctest.Wait()
		if i.times() != 2 {
			t.Fatalf("asked %d times, want the fetch that is due", i.times())
		}
		got := make(chan fault.Code, 1)
		go func() { got <- code(a, signedBy("other")) }()
		synctest.Wait()
		select {
		case c := <-got:
			t.Errorf("answered %v before the fetch ended", c)
		default:
		}
		close(hold)
		if c := <-got; c != fault.OK || i.times() != 2 {
			t.Errorf("%v, asked %d times, want 2", c, i.times())
		}
	})
}

// An issuer that never answers is given up after ten seconds, and is no reason
// to ask another time at once.
func TestIssuerThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{hold: make(chan struct{})}
		a := newTokens(t, TokenOptions{Client: i.client()})
		begun := time.Now()
		_, err := ask(a, oip.ScopeInfer, "authorization", "Bearer "+signedBy("rsa"))
		if took := time.Since(begun); fault.CodeOf(err) != fault.Unavailable || took != fetchTimeout || fault.RetryOf(err) != firstRetry {
			t.Errorf("%v after %v, retry after %v", err, took, fault.RetryOf(err))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		pass(firstRetry + time.Millisecond)
		_, err = a.Authorize(ctx, headers("authorization", "Bearer "+signedBy("rsa")), oip.ScopeInfer)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller in a hurry: %v", err)
		}
	})
}

// A token that was accepted is known again, with its time and its caller, and
// one that was refused is not.
func TestWhichTokensAreRemembered(t *testing.T) {
	now := time.Now()
	clock := now
	a := newTokens(t, TokenOptions{Now: func() time.Time { return clock }, Scopes: []string{"score"}})
	s := a.verifier.(*tokens)
	set, err := s.keys.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	remembered := func(token string) bool {
		_, ok := set.known(sha256.Sum256([]byte(token)))
		return ok
	}
	for name, tt := range map[string]struct {
		token string
		want  bool
	}{
		"accepted":        {goodToken(now, object{"scope": "score"}), true},
		"without a scope": {goodToken(now, object{"scope": "read"}), true},
		"expired":         {goodToken(now, object{"scope": "score", "exp": now.Add(-time.Hour).Unix()}), false},
		"not yet valid":   {goodToken(now, object{"scope": "score", "nbf": now.Add(time.Hour).Unix()}), false},
		"another issuer":  {goodToken(now, object{"scope": "score", "iss": "https://x"}), false},
	} {
		_, _ = ask(a, oip.ScopeInfer, "authorization", "Bearer "+tt.token)
		if got := remembered(tt.token); got != tt.want {
			t.Errorf("%s: remembered %v, want %v", name, got, tt.want)
		}
	}
	// The skew is a minute on both sides, to the second.
	for _, tt := range []struct {
		changes object
		at      time.Duration
		want    fault.Code
	}{
		{object{"exp": now.Unix()}, 59 * time.Second, fault.OK}, {object{"exp": now.Unix()}, 62 * time.Second, fault.Unauthenticated},
		{object{"nbf": now.Unix()}, -58 * time.Second, fault.OK}, {object{"nbf": now.Unix()}, -62 * time.Second, fault.Unauthenticated},
		{object{"iat": now.Unix(), "nbf": now.Add(-time.Hour).Unix()}, -62 * time.Second, fault.Unauthenticated},
		{object{"iat": nil, "nbf": nil}, -time.Hour, fault.OK},
	} {
		clock = now.Add(tt.at)
		changes := object{"scope": "score", "iat": now.Add(-2 * time.Hour).Unix()}
		maps.Copy(changes, tt.changes)
		if got := code(a, goodToken(now, changes)); got != tt.want {
			t.Errorf("%v at %v: %v, want %v", tt.changes, tt.at, got, tt.want)
		}
	}
	clock = now
	for size, want := range map[int]string{maxToken: "cannot be read", maxToken + 1: "at most 8192 bytes"} {
		if _, err := ask(a, oip.ScopeInfer, "authorization", "Bearer "+strings.Repeat("A", size-2)+".."); err == nil || !strings.Contains(err.Error(), want) && size > maxToken {
			t.Errorf("%d bytes: %v, want %q", size, err, want)
		} else if size == maxToken && strings.Contains(err.Error(), "at most") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// What is wrong with a header is what its caller is told, whichever kind of
// credentials is asked for.
func TestHeadersThatAreTwo(t *testing.T) {
	for name, a := range map[string]*Authorizer{"tokens": newTokens(t, TokenOptions{}), "keys": newKeys(t, &KeyOptions{List: testKey})} {
		for _, tt := range []struct {
			header []string
			want   string
		}{
			{[]string{"authorization", "Bearer " + testKey, "authorization", "Bearer " + testKey}, "want one header authorization, got 2"},
			{[]string{"authorization", "", "authorization", ""}, "want one header authorization, got 2"},
			{[]string{"authorization", "Bearer"}, "got another scheme"},
			{[]string{"authorization", "Bearer "}, "got another scheme"},
			{[]string{"authorization", "Basic " + testKey}, "got another scheme"},
		} {
			if _, err := ask(a, oip.ScopeInfer, tt.header...); fault.CodeOf(err) != fault.Unauthenticated || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s, %q: %v, want %q", name, tt.header, err, tt.want)
			}
		}
		for _, nothing := range [][]string{nil, {"authorization", ""}} {
			if _, err := ask(a, oip.ScopeInfer, nothing...); fault.CodeOf(err) != fault.Unauthenticated || !strings.Contains(err.Error(), "got none") || !strings.Contains(fault.HintOf(err), "Authorization: Bearer") {
				t.Errorf("%s, %q: %v", name, nothing, err)
			}
		}
	}
}

// The limiter forgets nobody who asked lately, and takes any rate.
func TestLimiterEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if a := newKeys(t, &KeyOptions{List: testKey, Rate: Rate{PerSecond: 1e12, Burst: 1}}); a.rate.every != 1 {
			t.Errorf("at most one a nanosecond, got one each %v", a.rate.every)
		}
		l := newLimiter(time.Second, 2)
		for want := range 2 {
			if wait := l.take("a"); wait != 0 {
				t.Errorf("the burst's number %d waits %v", want, wait)
			}
		}
		for range 3 { // refused ones do not count
			if wait := l.take("a"); wait != time.Second {
				t.Errorf("told to wait %v, want a second", wait)
			}
		}
		pass(time.Second)
		if wait := l.take("a"); wait != 0 {
			t.Errorf("a second later it waits %v", wait)
		}
		for _, tt := range []struct {
			rate  Rate
			burst time.Duration
		}{{Rate{PerSecond: 10}, time.Second}, {Rate{PerSecond: 10, Burst: 5}, 500 * time.Millisecond}, {Rate{PerSecond: 0.5}, 2 * time.Second}} {
			if got := tt.rate.limiter().burst; got != tt.burst {
				t.Errorf("%+v: a burst of %v, want %v", tt.rate, got, tt.burst)
			}
		}
		if (Rate{PerSecond: -1}).limiter() != nil {
			t.Error("a negative rate bounds")
		}
	})
	r := recent[int, int]{max: 4}
	for i := range 4 {
		r.put(i, i)
	}
	r.put(3, 33) // one that is known makes no room
	if len(r.young) != 2 || len(r.old) != 2 {
		t.Errorf("%d young and %d old, want two of each", len(r.young), len(r.old))
	}
	r.put(4, 4)
	if v, ok := r.get(3); !ok || v != 33 {
		t.Errorf("the last but one is %d, %v", v, ok)
	}
	if _, ok := r.get(0); ok {
		t.Error("the oldest is still there")
	}
}
