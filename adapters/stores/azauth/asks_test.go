package azauth_test

import (
	"context"
	"errors"
	"fmt"
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

	"godwit.dev/adapters/stores/azauth"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
)

const given = `{"access_token": "token", "expires_in": 3600}`

var now = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func source(w *storefake.Wire, env map[string]string) *azauth.Source {
	return azauth.New(&azauth.Options{Getenv: func(name string) string { return env[name] }, Resource: resource, HTTP: &http.Client{Transport: w}, Now: func() time.Time { return now }})
}

// nobody has no az command.
func nobody(t *testing.T) { t.Setenv("PATH", t.TempDir()) }

func file(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is asked of whom, in what form.
func TestWhoIsAsked(t *testing.T) {
	nobody(t)
	cluster := file(t, " cluster\n")
	form := func(at string, pairs ...string) storefake.Asked {
		v := url.Values{"grant_type": {"client_credentials"}, "client_id": {"id"}, "scope": {resource + ".default"}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return storefake.Asked{Method: "POST", URL: at, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: v.Encode()}
	}
	const jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	machine := func(query string) storefake.Asked {
		return storefake.Asked{Method: "GET", URL: "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01" + query + "&resource=https%3A%2F%2Fstorage.azure.com%2F", Header: http.Header{"Metadata": {"true"}}}
	}
	agent := func(at, query string) storefake.Asked {
		return storefake.Asked{Method: "GET", URL: at + "?api-version=2019-08-01" + query + "&resource=https%3A%2F%2Fstorage.azure.com%2F", Header: http.Header{"X-Identity-Header": {"header"}}}
	}
	env := func(pairs ...string) map[string]string {
		e := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			e[pairs[i]] = pairs[i+1]
		}
		return e
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want storefake.Asked
	}{
		"a secret":             {env("AZURE_TENANT_ID", "a/b", "AZURE_CLIENT_ID", "id", "AZURE_CLIENT_SECRET", "secret", "AZURE_FEDERATED_TOKEN_FILE", cluster), form("https://login.microsoftonline.com/a%2Fb/oauth2/v2.0/token", "client_secret", "secret")},
		"a secret elsewhere":   {env("AZURE_TENANT_ID", "t", "AZURE_CLIENT_ID", "id", "AZURE_CLIENT_SECRET", "secret", "AZURE_AUTHORITY_HOST", "https://login.partner.example/"), form("https://login.partner.example/t/oauth2/v2.0/token", "client_secret", "secret")},
		"a cluster's":          {env("AZURE_TENANT_ID", "t", "AZURE_CLIENT_ID", "id", "AZURE_FEDERATED_TOKEN_FILE", cluster), form("https://login.microsoftonline.com/t/oauth2/v2.0/token", "client_assertion_type", jwt, "client_assertion", "cluster")},
		"without a tenant":     {env("AZURE_CLIENT_ID", "id", "AZURE_CLIENT_SECRET", "secret"), machine("&client_id=id")},
		"without an id":        {env("AZURE_TENANT_ID", "t", "AZURE_CLIENT_SECRET", "secret"), machine("")},
		"without a secret":     {env("AZURE_TENANT_ID", "t", "AZURE_CLIENT_ID", "id"), machine("&client_id=id")},
		"a machine's":          {nil, machine("")},
		"a platform's":         {env("IDENTITY_ENDPOINT", "http://localhost:7/msi", "IDENTITY_HEADER", "header"), agent("http://localhost:7/msi", "")},
		"a platform's, as":     {env("IDENTITY_ENDPOINT", "https://127.0.0.1/msi", "IDENTITY_HEADER", "header", "AZURE_CLIENT_ID", "id"), agent("https://127.0.0.1/msi", "&client_id=id")},
		"a platform's in IPv6": {env("IDENTITY_ENDPOINT", "http://[fd00::1]/msi", "IDENTITY_HEADER", "header"), agent("http://[fd00::1]/msi", "")},
	} {
		t.Run(name, func(t *testing.T) {
			w := storefake.Script(storefake.Says(200, given))
			s := source(w, tt.env)
			for range 2 { // the second time it is there
				if got, err := s.Token(t.Context()); got != "token" || err != nil {
					t.Fatalf("%q, %v", got, err)
				}
			}
			if diff := cmp.Diff([]storefake.Asked{tt.want}, w.All()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// What is no good has the code of who can mend it, and is asked for again.
func TestTokensThatCannotBeHad(t *testing.T) {
	nobody(t)
	agent := map[string]string{"IDENTITY_ENDPOINT": "http://localhost/msi"}
	for name, tt := range map[string]struct {
		env    map[string]string
		answer func() (*http.Response, error)
		want   fault.Code
		asked  int
	}{
		"refused":          {agent, storefake.Says(400, ""), fault.Unauthenticated, 2},
		"denied":           {agent, storefake.Says(403, ""), fault.Unauthenticated, 2},
		"too many":         {agent, storefake.Says(429, ""), fault.Unavailable, 2},
		"down":             {agent, storefake.Says(500, ""), fault.Unavailable, 2},
		"elsewhere":        {agent, storefake.Says(302, ""), fault.Unavailable, 2},
		"created":          {agent, storefake.Says(201, given), fault.Unavailable, 2},
		"away":             {agent, storefake.Fails(errors.New("reset")), fault.Unavailable, 2},
		"no JSON":          {agent, storefake.Says(200, "token"), fault.Unauthenticated, 2},
		"no token":         {agent, storefake.Says(200, "{}"), fault.Unauthenticated, 2},
		"too much":         {agent, storefake.Says(200, strings.Repeat(" ", 256<<10)+given), fault.Unauthenticated, 2},
		"nearly too much":  {agent, storefake.Says(200, strings.Repeat(" ", 256<<10-len(given))+given), fault.OK, 1},
		"of another host":  {map[string]string{"IDENTITY_ENDPOINT": "http://example.com/"}, nil, fault.BadConfig, 0},
		"of an odd kind":   {map[string]string{"IDENTITY_ENDPOINT": "ftp://localhost/"}, nil, fault.BadConfig, 0},
		"no address":       {map[string]string{"IDENTITY_ENDPOINT": "http://[::1"}, nil, fault.BadConfig, 0},
		"an odd tenant":    {map[string]string{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "i", "AZURE_CLIENT_SECRET": "s", "AZURE_AUTHORITY_HOST": "http://[::1"}, nil, fault.BadConfig, 0},
		"no machine":       {nil, storefake.Says(500, ""), fault.OK, 1},
		"a machine's, odd": {nil, storefake.Says(200, "token"), fault.Unauthenticated, 2},
	} {
		w := storefake.Script(tt.answer)
		s := source(w, tt.env)
		for range 2 {
			if got, err := s.Token(t.Context()); fault.CodeOf(err) != tt.want || err != nil && got != "" {
				t.Errorf("%s: %q, %v, want %v", name, got, err, tt.want)
			}
		}
		if asked := len(w.All()); asked != tt.asked {
			t.Errorf("%s: asked %d times, want %d", name, asked, tt.asked)
		}
	}
}

// A token is used until five minutes before its end, or half of its time where
// that is less; its end is said in one of four ways, or it is ten minutes away.
func TestUntilWhenTokensAreUsed(t *testing.T) {
	nobody(t)
	for text, use := range map[string]time.Duration{
		`"expires_in": 3600`: 55 * time.Minute, `"expires_in": "3600"`: 55 * time.Minute, `"expires_in": 600`: 5 * time.Minute, `"expires_in": 100`: 50 * time.Second, `"expires_in": 602`: 302 * time.Second,
		fmt.Sprintf(`"expires_on": "%d"`, now.Unix()+3600): 55 * time.Minute, fmt.Sprintf(`"expires_on": %d`, now.Unix()+3600): 55 * time.Minute,
		fmt.Sprintf(`"expires_on": %d, "expires_in": 100`, now.Unix()+3600): 50 * time.Second, `"x": 1`: 5 * time.Minute, `"expires_in": 0, "expires_on": 0`: 5 * time.Minute,
		`"expires_in": "soon"`: 5 * time.Minute, `"expires_in": true`: 5 * time.Minute, `"expires_on": 1`: 0, `"expires_in": 1`: time.Second / 2, `"expires_in": -1`: 5 * time.Minute,
	} {
		at := now
		w := storefake.Script(storefake.Says(200, `{"access_token": "token", `+text+`}`))
		s := azauth.New(&azauth.Options{HTTP: &http.Client{Transport: w}, Now: func() time.Time { return at }})
		for i, tt := range []struct {
			after time.Duration
			asked int
		}{{0, 1}, {use - 1, 1}, {use, 2}} {
			if use == 0 && i == 1 {
				continue
			}
			at = now.Add(tt.after)
			if _, err := s.Token(t.Context()); err != nil || len(w.All()) != tt.asked {
				t.Errorf("%s, after %v: %v, asked %d times, want %d", text, tt.after, err, len(w.All()), tt.asked)
			}
		}
	}
}

// Where nobody else gives a token, the az command is asked, and what it says is
// kept as the others' is.
func TestCommand(t *testing.T) {
	for name, tt := range map[string]struct {
		says string
		want string
		use  time.Duration
	}{
		"logged in":       {fmt.Sprintf(`echo '{"accessToken": "az of '"$*"'", "expires_on": %d}'`, now.Unix()+3600), "az of account get-access-token --resource " + resource + " --output json", 55 * time.Minute},
		"an older one":    {`echo '{"accessToken": "az"}'`, "az", 5 * time.Minute},
		"an old token":    {`echo '{"accessToken": "az", "expires_on": 1}'`, "az", 0},
		"not logged in":   {"exit 1", "", 0},
		"no JSON":         {"echo token", "", 0},
		"without a token": {"echo '{}'", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			count := filepath.Join(dir, "count")
			if err := os.WriteFile(filepath.Join(dir, "az"), []byte("#!/bin/sh\necho x >> "+count+"\n"+tt.says+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+":/bin:/usr/bin")
			at := now
			s := azauth.New(&azauth.Options{Resource: resource, HTTP: &http.Client{Transport: storefake.Script(storefake.Says(404, ""))}, Now: func() time.Time { return at }})
			for i, after := range []time.Duration{0, tt.use - 1, tt.use} {
				at = now.Add(max(after, 0))
				if got, err := s.Token(t.Context()); got != tt.want || err != nil {
					t.Fatalf("%q, %v; want %q", got, err, tt.want)
				}
				lines, _ := os.ReadFile(count)
				want := []int{1, 1, 2}[i]
				switch {
				case tt.want == "": // nobody is asked twice
					want = 1
				case tt.use == 0:
					want = i + 1
				}
				if got := strings.Count(string(lines), "x"); got != want {
					t.Errorf("after %v: asked %d times, want %d", at.Sub(now), got, want)
				}
			}
		})
	}
}

// never answers until the request's end.
func never(r *http.Request, _ string, _ int) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Who says nothing is waited for, for ten seconds, but for no longer than the
// caller has time.
func TestTimesOfTokens(t *testing.T) {
	nobody(t)
	agent := map[string]string{"IDENTITY_ENDPOINT": "http://localhost/msi"}
	for name, tt := range map[string]struct {
		env   map[string]string
		limit time.Duration
		want  time.Duration
		code  fault.Code
	}{
		"an agent":          {agent, time.Hour, 10 * time.Second, fault.Unavailable},
		"perhaps a machine": {nil, time.Hour, 10 * time.Second, fault.OK},
		"the caller's own":  {agent, time.Second, time.Second, fault.DeadlineExceeded},
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
		s := source(w, agent)
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
	nobody(t)
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, given)
	}))
	defer srv.Close()
	env := map[string]string{"IDENTITY_ENDPOINT": srv.URL}
	s := azauth.New(&azauth.Options{Getenv: func(name string) string { return env[name] }})
	if got, err := s.Token(t.Context()); fault.CodeOf(err) != fault.Unavailable || asked != 1 {
		t.Errorf("%q, %v after %d requests", got, err, asked)
	}
	for range 2 {
		if got, err := s.Token(t.Context()); got != "token" || err != nil || asked != 2 {
			t.Errorf("%q, %v after %d requests", got, err, asked)
		}
	}
}
