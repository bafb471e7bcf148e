package azauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"godwit.dev/adapters/stores/azauth"
	"godwit.dev/runtime/fault"
)

const resource = "https://storage.azure.com/"

func TestToken(t *testing.T) {
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tenant/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		asked++
		r.ParseForm()
		switch {
		case r.Form.Get("client_id") != "id" || r.Form.Get("scope") != resource+".default":
			w.WriteHeader(http.StatusBadRequest)
		case r.Form.Get("client_secret") == "secret":
			fmt.Fprint(w, `{"access_token": "client's", "expires_in": 3600}`)
		case r.Form.Get("client_assertion") == "cluster":
			fmt.Fprint(w, `{"access_token": "workload's", "expires_in": 3600}`)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("GET /msi", func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("X-Identity-Header") != "header" || r.FormValue("resource") != resource || r.FormValue("api-version") != "2019-08-01" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"access_token": "managed %s", "expires_on": "%d"}`, r.FormValue("client_id"), time.Now().Add(time.Hour).Unix())
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("cluster\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := func(more ...string) map[string]string {
		env := map[string]string{"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "id", "AZURE_AUTHORITY_HOST": srv.URL + "/"}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	managed := []string{"IDENTITY_ENDPOINT", srv.URL + "/msi", "IDENTITY_HEADER", "header"}
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
		code fault.Code
	}{
		{"a client's secret before all", client(append(managed, "AZURE_CLIENT_SECRET", "secret", "AZURE_FEDERATED_TOKEN_FILE", file)...), "client's", fault.OK},
		{"workload", client("AZURE_FEDERATED_TOKEN_FILE", file), "workload's", fault.OK},
		{"workload without its file", client("AZURE_FEDERATED_TOKEN_FILE", file+"x"), "", fault.BadConfig},
		{"a wrong secret", client("AZURE_CLIENT_SECRET", "wrong"), "", fault.Unauthenticated},
		{"managed", map[string]string{managed[0]: managed[1], managed[2]: managed[3]}, "managed ", fault.OK},
		{"managed, as somebody", map[string]string{managed[0]: managed[1], managed[2]: managed[3], "AZURE_CLIENT_ID": "me"}, "managed me", fault.OK},
		{"managed elsewhere", map[string]string{managed[0]: "http://example.com/"}, "", fault.BadConfig},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := time.Now()
			s := azauth.New(&azauth.Options{Getenv: func(name string) string { return c.env[name] }, Resource: resource, Now: func() time.Time { return at }})
			before := asked
			for range 2 {
				if got, err := s.Token(t.Context()); got != c.want || fault.CodeOf(err) != c.code {
					t.Fatalf("got %q, %v; want %q, %v", got, err, c.want, c.code)
				}
			}
			if c.code != fault.OK {
				return
			}
			at = at.Add(56 * time.Minute)
			s.Token(t.Context())
			if asked != before+2 {
				t.Errorf("asked %d times, want twice: at first, and before it expires", asked-before)
			}
		})
	}
}
