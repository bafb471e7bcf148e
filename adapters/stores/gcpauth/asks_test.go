package gcpauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/gcpauth"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
)

const given = `{"access_token": "token", "expires_in": 3600}`

var now = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func source(w *storefake.Wire, env map[string]string) *gcpauth.Source {
	return gcpauth.New(&gcpauth.Options{Getenv: func(name string) string { return env[name] }, Scope: scope, HTTP: &http.Client{Transport: w}, Now: func() time.Time { return now }})
}

// named writes a document and is the environment that names it.
func named(t *testing.T, doc any) map[string]string {
	t.Helper()
	text, ok := doc.(string)
	if !ok {
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	path := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": path}
}

type doc = map[string]any

// form is a request to an endpoint of OAuth.
func form(at string, pairs ...string) storefake.Asked {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return storefake.Asked{Method: "POST", URL: at, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: v.Encode()}
}

// What is asked of whom, in what form.
func TestWhoIsAsked(t *testing.T) {
	dir := t.TempDir()
	subject := filepath.Join(dir, "subject")
	if err := os.WriteFile(subject, []byte(" subject\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const exchange, cloud = "urn:ietf:params:oauth:grant-type:token-exchange", "https://www.googleapis.com/auth/cloud-platform"
	external := func(source doc, more ...string) doc {
		d := doc{"type": "external_account", "audience": "pool", "subject_token_type": "jwt", "credential_source": source}
		for i := 0; i < len(more); i += 2 {
			d[more[i]] = more[i+1]
		}
		return d
	}
	trade := func(at, scope string) storefake.Asked {
		return form(at, "grant_type", exchange, "requested_token_type", "urn:ietf:params:oauth:token-type:access_token", "audience", "pool", "scope", scope, "subject_token_type", "jwt", "subject_token", "subject")
	}
	fetch := func(header http.Header) storefake.Asked {
		return storefake.Asked{Method: "GET", URL: "http://localhost/subject", Header: header}
	}
	metadata := func(host string) storefake.Asked {
		return storefake.Asked{Method: "GET", URL: "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_write", Header: http.Header{"Metadata-Flavor": {"Google"}}}
	}
	const as = `{"accessToken": "token", "expireTime": "2026-11-23T01:00:00Z"}`
	for name, tt := range map[string]struct {
		env     map[string]string
		answers []string
		want    []storefake.Asked
	}{
		"a user":                {named(t, doc{"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "refresh"}), []string{given}, []storefake.Asked{form("https://oauth2.googleapis.com/token", "grant_type", "refresh_token", "refresh_token", "refresh", "client_id", "id", "client_secret", "secret")}},
		"a user elsewhere":      {named(t, doc{"type": "authorized_user", "token_uri": "http://localhost/t"}), []string{given}, []storefake.Asked{form("http://localhost/t", "grant_type", "refresh_token", "refresh_token", "", "client_id", "", "client_secret", "")}},
		"another's, of a file":  {named(t, external(doc{"file": subject})), []string{given}, []storefake.Asked{trade("https://sts.googleapis.com/v1/token", scope)}},
		"another's, elsewhere":  {named(t, external(doc{"file": subject}, "token_url", "http://localhost/t")), []string{given}, []storefake.Asked{trade("http://localhost/t", scope)}},
		"another's, of a URL":   {named(t, external(doc{"url": "http://localhost/subject", "headers": doc{"metadata": "x"}})), []string{" subject\n", given}, []storefake.Asked{fetch(http.Header{"Metadata": {"x"}}), trade("https://sts.googleapis.com/v1/token", scope)}},
		"another's, in a field": {named(t, external(doc{"url": "http://localhost/subject", "format": doc{"type": "json", "subject_token_field_name": "token"}})), []string{`{"token": "subject", "other": 1}`, given}, []storefake.Asked{fetch(http.Header{}), trade("https://sts.googleapis.com/v1/token", scope)}},
		"another's, as text":    {named(t, external(doc{"file": subject, "format": doc{"type": "text"}})), []string{given}, []storefake.Asked{trade("https://sts.googleapis.com/v1/token", scope)}},
		"another's, as somebody": {named(t, external(doc{"file": subject}, "service_account_impersonation_url", "http://localhost/as")), []string{`{"access_token": "between"}`, as}, []storefake.Asked{trade("https://sts.googleapis.com/v1/token", cloud),
			{Method: "POST", URL: "http://localhost/as", Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer between"}}, Body: `{"scope":["` + scope + `"]}`}}},
		"the platform":            {nil, []string{given}, []storefake.Asked{metadata("169.254.169.254")}},
		"the platform, elsewhere": {map[string]string{"GCE_METADATA_HOST": "localhost:7"}, []string{given}, []storefake.Asked{metadata("localhost:7")}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &storefake.Wire{Answer: func(_ *http.Request, _ string, n int) (*http.Response, error) {
				return storefake.Says(200, tt.answers[n])()
			}}
			s := source(w, tt.env)
			for range 2 { // the second time it is there
				if got, err := s.Token(t.Context()); got != "token" || err != nil {
					t.Fatalf("%q, %v", got, err)
				}
			}
			if diff := cmp.Diff(tt.want, w.All()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// A service account's assertion says who asks whom for what, for an hour.
func TestAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for at, uri := range map[string]string{"https://oauth2.googleapis.com/token": "", "http://localhost/t": "http://localhost/t"} {
		w := storefake.Script(storefake.Says(200, given))
		env := named(t, doc{"type": "service_account", "client_email": "me@acme", "private_key_id": "7", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": uri})
		if got, err := source(w, env).Token(t.Context()); got != "token" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		asked := w.All()[0]
		v, err := url.ParseQuery(asked.Body)
		if err != nil || asked.URL != at || v.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
			t.Errorf("asked %+v, %v", asked, err)
		}
		parts := strings.Split(v.Get("assertion"), ".")
		var got [2]map[string]any
		for i := range got {
			text, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil || json.Unmarshal(text, &got[i]) != nil {
				t.Fatalf("part %d: %q, %v", i, text, err)
			}
		}
		want := [2]map[string]any{{"alg": "RS256", "typ": "JWT", "kid": "7"}, {"iss": "me@acme", "scope": scope, "aud": at, "iat": float64(now.Unix()), "exp": float64(now.Unix() + 3600)}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"of another kind": {Type: "PRIVATE KEY", Bytes: other}, "in another form": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}} {
		if _, err := source(nil, named(t, doc{"type": "service_account", "private_key": string(pem.EncodeToMemory(block))})).Token(t.Context()); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("a key %s: %v", name, err)
		}
	}
}

// What is no good has the code of who can mend it, and is asked for again.
func TestTokensThatCannotBeHad(t *testing.T) {
	user := named(t, doc{"type": "authorized_user"})
	says := storefake.Says
	type answers = []func() (*http.Response, error)
	for name, tt := range map[string]struct {
		env     map[string]string
		answers answers
		want    fault.Code
		hint    string
	}{
		"refused":              {user, answers{says(400, "")}, fault.Unauthenticated, "gcloud auth"},
		"denied":               {user, answers{says(403, "")}, fault.Unauthenticated, "gcloud auth"},
		"too many":             {user, answers{says(429, "")}, fault.Unavailable, ""},
		"down":                 {user, answers{says(500, "")}, fault.Unavailable, ""},
		"elsewhere":            {user, answers{says(302, "")}, fault.Unavailable, ""},
		"created":              {user, answers{says(201, given)}, fault.Unavailable, ""},
		"away":                 {user, answers{storefake.Fails(errors.New("reset"))}, fault.Unavailable, ""},
		"no JSON":              {user, answers{says(200, "token")}, fault.Unavailable, ""},
		"no token":             {user, answers{says(200, "{}")}, fault.Unauthenticated, ""},
		"too much":             {user, answers{says(200, strings.Repeat(" ", 256<<10)+given)}, fault.Unavailable, ""},
		"nearly too much":      {user, answers{says(200, strings.Repeat(" ", 256<<10-len(given))+given)}, fault.OK, ""},
		"no address":           {named(t, doc{"type": "authorized_user", "token_uri": "http://[::1"}), nil, fault.BadConfig, ""},
		"no kind":              {named(t, doc{}), nil, fault.Unsupported, "GOOGLE_OAUTH_ACCESS_TOKEN"},
		"no source":            {named(t, doc{"type": "external_account"}), nil, fault.BadConfig, ""},
		"no file of it":        {named(t, doc{"type": "external_account", "credential_source": doc{"file": "/none"}}), nil, fault.BadConfig, ""},
		"its URL refuses":      {named(t, doc{"type": "external_account", "credential_source": doc{"url": "http://localhost/"}}), answers{says(403, "")}, fault.BadConfig, ""},
		"no such field":        {named(t, doc{"type": "external_account", "credential_source": doc{"url": "http://localhost/", "format": doc{"type": "json", "subject_token_field_name": "a"}}}), answers{says(200, `{"b": "c"}`)}, fault.BadConfig, ""},
		"no document":          {named(t, doc{"type": "external_account", "credential_source": doc{"url": "http://localhost/", "format": doc{"type": "json", "subject_token_field_name": "a"}}}), answers{says(200, "a")}, fault.BadConfig, ""},
		"the exchange refuses": {named(t, doc{"type": "external_account", "service_account_impersonation_url": "http://localhost/as", "credential_source": doc{"url": "http://localhost/"}}), answers{says(200, "s"), says(401, "")}, fault.Unauthenticated, ""},
		"as nobody":            {named(t, doc{"type": "external_account", "service_account_impersonation_url": "http://localhost/as", "credential_source": doc{"url": "http://localhost/"}}), answers{says(200, "s"), says(200, given), says(403, "")}, fault.Unauthenticated, ""},
		"as no JSON":           {named(t, doc{"type": "external_account", "service_account_impersonation_url": "http://localhost/as", "credential_source": doc{"url": "http://localhost/"}}), answers{says(200, "s"), says(200, given), says(200, "token")}, fault.Unavailable, ""},
		"Cloud Run's":          {map[string]string{"K_SERVICE": "s"}, answers{says(500, "")}, fault.Unavailable, ""},
		"a job's":              {map[string]string{"CLOUD_RUN_JOB": "j"}, answers{says(500, "")}, fault.Unavailable, ""},
		"the platform's, odd":  {map[string]string{"GCE_METADATA_HOST": "localhost"}, answers{says(200, "token")}, fault.Unavailable, ""},
		"the platform's, down": {map[string]string{"GCE_METADATA_HOST": "localhost"}, answers{says(500, "")}, fault.Unavailable, ""},
		"nobody's":             {nil, answers{says(500, "")}, fault.OK, ""},
	} {
		w := &storefake.Wire{}
		w.Answer = func(_ *http.Request, _ string, n int) (*http.Response, error) { return tt.answers[n%len(tt.answers)]() }
		s := source(w, tt.env)
		for range 2 {
			if got, err := s.Token(t.Context()); fault.CodeOf(err) != tt.want || !strings.Contains(fault.HintOf(err), tt.hint) || (got == "token") != (name == "nearly too much") || got != "" && got != "token" {
				t.Errorf("%s: %q, %v (%s), want %v", name, got, err, fault.HintOf(err), tt.want)
			}
		}
		if asked := len(w.All()); tt.want != fault.OK && asked != 2*len(tt.answers) || tt.want == fault.OK && asked != 1 {
			t.Errorf("%s: asked %d times", name, asked)
		}
	}
}

// A token is used until two minutes before its end, or half of its time where
// that is less.
func TestUntilWhenTokensAreUsed(t *testing.T) {
	for life, use := range map[string]time.Duration{"3600": 58 * time.Minute, "240": 2 * time.Minute, "100": 50 * time.Second, "0": 0, "241": 121 * time.Second} {
		at := now
		w := storefake.Script(storefake.Says(200, `{"access_token": "token", "expires_in": `+life+`}`))
		s := gcpauth.New(&gcpauth.Options{HTTP: &http.Client{Transport: w}, Now: func() time.Time { return at }})
		for i, tt := range []struct {
			after time.Duration
			asked int
		}{{0, 1}, {use - 1, 1}, {use, 2}} {
			if use == 0 && i == 1 {
				continue
			}
			at = now.Add(tt.after)
			if _, err := s.Token(t.Context()); err != nil || len(w.All()) != tt.asked {
				t.Errorf("of %s s, after %v: %v, asked %d times, want %d", life, tt.after, err, len(w.All()), tt.asked)
			}
		}
	}
	as := named(t, doc{"type": "external_account", "service_account_impersonation_url": "http://localhost/as", "credential_source": doc{"url": "http://localhost/"}})
	at := now
	w := &storefake.Wire{Answer: func(_ *http.Request, _ string, n int) (*http.Response, error) {
		return storefake.Says(200, []string{"s", given, `{"accessToken": "token", "expireTime": "2026-11-23T01:00:00Z"}`}[n%3])()
	}}
	s := gcpauth.New(&gcpauth.Options{Getenv: func(name string) string { return as[name] }, HTTP: &http.Client{Transport: w}, Now: func() time.Time { return at }})
	for after, asked := range []int{3, 3, 6} {
		at = now.Add(time.Duration(after) * 29 * time.Minute)
		if _, err := s.Token(t.Context()); err != nil || len(w.All()) != asked {
			t.Errorf("as somebody, after %v: %v, asked %d times, want %d", at.Sub(now), err, len(w.All()), asked)
		}
	}
}

// Files are looked for where gcloud puts them on each system.
func TestWhereFilesAre(t *testing.T) {
	dir := t.TempDir()
	const file = "application_default_credentials.json"
	for _, at := range []string{"home/.config/gcloud", "app/gcloud", "sdk"} {
		if err := os.MkdirAll(filepath.Join(dir, at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, at, file), []byte(`{"type": "authorized_user", "client_id": "`+at+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"home":             {map[string]string{"HOME": filepath.Join(dir, "home")}, "home/.config/gcloud"},
		"Windows":          {map[string]string{"APPDATA": filepath.Join(dir, "app")}, "app/gcloud"},
		"home first":       {map[string]string{"HOME": filepath.Join(dir, "home"), "APPDATA": filepath.Join(dir, "app")}, "home/.config/gcloud"},
		"where it is said": {map[string]string{"HOME": filepath.Join(dir, "home"), "APPDATA": filepath.Join(dir, "app"), "CLOUDSDK_CONFIG": filepath.Join(dir, "sdk")}, "sdk"},
		"not there":        {map[string]string{"HOME": dir}, ""},
		"not there at all": {map[string]string{}, ""},
		"said, not there":  {map[string]string{"HOME": filepath.Join(dir, "home"), "CLOUDSDK_CONFIG": dir}, ""},
	} {
		w := storefake.Script(storefake.Says(200, given))
		if _, err := source(w, tt.env).Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		v, _ := url.ParseQuery(w.All()[0].Body)
		if got := v.Get("client_id"); got != tt.want || (w.All()[0].Method == "GET") != (tt.want == "") {
			t.Errorf("%s: %+v, want %q", name, w.All()[0], tt.want)
		}
	}
	t.Chdir(filepath.Join(dir, "sdk")) // where nobody looks
	w := storefake.Script(storefake.Says(200, given))
	if _, err := source(w, nil).Token(t.Context()); err != nil || w.All()[0].Method != "GET" {
		t.Errorf("a file of this folder: %v, %+v", err, w.All())
	}
	if got, err := source(nil, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "/none"}).Token(t.Context()); got != "" || fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("a file that is not there: %q, %v", got, err)
	}
	if got, err := source(nil, map[string]string{"GOOGLE_OAUTH_ACCESS_TOKEN": "mine"}).Token(t.Context()); got != "mine" || err != nil {
		t.Errorf("given: %q, %v", got, err)
	}
}

// never answers until the request's end.
func never(r *http.Request, _ string, _ int) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Who says nothing is waited for, for ten seconds, and for five where it may be
// that nobody is there; nobody is waited for longer than the caller has time.
func TestTimesOfTokens(t *testing.T) {
	user := named(t, doc{"type": "authorized_user"})
	for name, tt := range map[string]struct {
		env   map[string]string
		limit time.Duration
		want  time.Duration
		code  fault.Code
	}{
		"Google":             {user, time.Hour, 10 * time.Second, fault.Unavailable},
		"perhaps a platform": {nil, time.Hour, 5 * time.Second, fault.OK},
		"a platform":         {map[string]string{"K_SERVICE": "s"}, time.Hour, 5 * time.Second, fault.Unavailable},
		"the caller's own":   {user, time.Second, time.Second, fault.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			begun := time.Now()
			_, err := source(&storefake.Wire{Answer: never}, tt.env).Token(ctx)
			if fault.CodeOf(err) != tt.code || time.Since(begun) != tt.want {
				t.Errorf("%s: %v after %v, want %v after %v", name, err, time.Since(begun), tt.code, tt.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // one asks, and the others take what it gets
		w := &storefake.Wire{Answer: func(*http.Request, string, int) (*http.Response, error) {
			<-time.After(time.Second)
			return storefake.Says(200, given)()
		}}
		s := source(w, user)
		done := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := s.Token(t.Context())
				done <- err
			}()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		<-time.After(time.Millisecond)
		if got, err := s.Token(ctx); err != context.DeadlineExceeded || got != "" {
			t.Errorf("while another asks: %q, %v", got, err)
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := len(w.All()); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A client of the Source's own goes nowhere but where it is told to.
func TestOwnClient(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, given)
	}))
	defer srv.Close()
	env := map[string]string{"GCE_METADATA_HOST": strings.TrimPrefix(srv.URL, "http://")}
	s := gcpauth.New(&gcpauth.Options{Getenv: func(name string) string { return env[name] }})
	if got, err := s.Token(t.Context()); fault.CodeOf(err) != fault.Unavailable || asked != 1 {
		t.Errorf("%q, %v after %d requests", got, err, asked)
	}
	for range 2 {
		if got, err := s.Token(t.Context()); got != "token" || err != nil || asked != 2 {
			t.Errorf("%q, %v after %d requests", got, err, asked)
		}
	}
}
