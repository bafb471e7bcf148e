package gcpauth_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/stores/gcpauth"
	"godwit.dev/runtime/fault"
)

const scope = "https://www.googleapis.com/auth/devstorage.read_write"

func TestToken(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var srv *httptest.Server
	asked := 0
	mux := http.NewServeMux()
	give := func(w http.ResponseWriter, token string) {
		asked++
		fmt.Fprintf(w, `{"access_token": %q, "expires_in": 3600, "token_type": "Bearer"}`, token)
	}
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		switch r.Form.Get("grant_type") {
		case "refresh_token":
			if r.Form.Get("refresh_token") == "refresh" && r.Form.Get("client_id") == "id" && r.Form.Get("client_secret") == "secret" {
				give(w, "user's")
				return
			}
		case "urn:ietf:params:oauth:grant-type:jwt-bearer":
			part := strings.Split(r.Form.Get("assertion"), ".")
			claims, _ := base64.RawURLEncoding.DecodeString(part[1])
			sig, _ := base64.RawURLEncoding.DecodeString(part[2])
			sum := sha256.Sum256([]byte(part[0] + "." + part[1]))
			var c struct{ Iss, Scope, Aud string }
			if json.Unmarshal(claims, &c) == nil && c.Iss == "me@acme" && c.Scope == scope && c.Aud == srv.URL+"/token" && rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig) == nil {
				give(w, "service account's")
				return
			}
		case "urn:ietf:params:oauth:grant-type:token-exchange":
			if r.Form.Get("subject_token") == "subject" && r.Form.Get("audience") == "pool" {
				give(w, "federated")
				return
			}
		}
		w.WriteHeader(http.StatusBadRequest)
	})
	mux.HandleFunc("POST /impersonate", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") == "Bearer federated" && strings.Contains(string(body), scope) {
			fmt.Fprintf(w, `{"accessToken": "impersonated", "expireTime": %q}`, time.Now().Add(time.Hour).Format(time.RFC3339))
		}
	})
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") == "Google" {
			give(w, "platform's")
		}
	})
	srv = httptest.NewServer(mux)
	defer srv.Close()

	dir := t.TempDir()
	file := func(name string, doc map[string]any) string {
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pemKey := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	user := map[string]any{"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "refresh", "token_uri": srv.URL + "/token"}
	file("home/.config/gcloud/application_default_credentials.json", user)
	file("gcloud/application_default_credentials.json", user)
	if err := os.WriteFile(filepath.Join(dir, "subject"), []byte("subject\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	external := map[string]any{"type": "external_account", "audience": "pool", "token_url": srv.URL + "/token", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"credential_source": map[string]any{"file": filepath.Join(dir, "subject")}}
	as := map[string]any{"service_account_impersonation_url": srv.URL + "/impersonate"}
	for k, v := range external {
		as[k] = v
	}
	const named = "GOOGLE_APPLICATION_CREDENTIALS"
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
		code fault.Code
	}{
		{"given", map[string]string{"GOOGLE_OAUTH_ACCESS_TOKEN": "given", named: "/none"}, "given", fault.OK},
		{"a user's", map[string]string{"HOME": filepath.Join(dir, "home")}, "user's", fault.OK},
		{"gcloud elsewhere", map[string]string{"CLOUDSDK_CONFIG": filepath.Join(dir, "gcloud")}, "user's", fault.OK},
		{"service account", map[string]string{named: file("sa", map[string]any{"type": "service_account", "client_email": "me@acme", "private_key": pemKey, "token_uri": srv.URL + "/token"})}, "service account's", fault.OK},
		{"federated", map[string]string{named: file("ext", external)}, "federated", fault.OK},
		{"federated, as somebody", map[string]string{named: file("as", as)}, "impersonated", fault.OK},
		{"platform", map[string]string{"GCE_METADATA_HOST": host}, "platform's", fault.OK},
		{"no file", map[string]string{named: filepath.Join(dir, "none")}, "", fault.BadConfig},
		{"no JSON", map[string]string{named: filepath.Join(dir, "subject")}, "", fault.BadConfig},
		{"another kind", map[string]string{named: file("odd", map[string]any{"type": "gdch"})}, "", fault.Unsupported},
		{"a key that is none", map[string]string{named: file("badkey", map[string]any{"type": "service_account", "private_key": "x"})}, "", fault.BadConfig},
		{"refused", map[string]string{named: file("revoked", map[string]any{"type": "authorized_user", "token_uri": srv.URL + "/token"})}, "", fault.Unauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := time.Now()
			s := gcpauth.New(&gcpauth.Options{Getenv: func(name string) string { return c.env[name] }, Scope: scope, Now: func() time.Time { return at }})
			for range 2 {
				if got, err := s.Token(t.Context()); got != c.want || fault.CodeOf(err) != c.code {
					t.Fatalf("got %q, %v; want %q, %v", got, err, c.want, c.code)
				}
			}
			if c.name != "platform" {
				return
			}
			before := asked
			at = at.Add(57 * time.Minute)
			s.Token(t.Context())
			at = at.Add(90 * time.Second) // less than two minutes are left
			s.Token(t.Context())
			if asked != before+1 {
				t.Errorf("asked %d times more, want once, before it expires", asked-before)
			}
		})
	}
}
