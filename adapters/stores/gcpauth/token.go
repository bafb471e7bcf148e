// Package gcpauth finds access tokens for Google Cloud where Google's own
// libraries find them.
package gcpauth

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// Options of a Source.
type Options struct {
	// Getenv reads an environment variable; nil means that there are none.
	Getenv func(string) string
	// Scope is what tokens are for, a URL.
	Scope string
	// HTTP asks for tokens; nil is a client of the Source's.
	HTTP *http.Client
	// Now is the time; nil is time.Now.
	Now func() time.Time
}

// A Source gives tokens: GOOGLE_OAUTH_ACCESS_TOKEN, the file that
// GOOGLE_APPLICATION_CREDENTIALS names, gcloud's application default
// credentials, the metadata server of Google's platforms; the first that there
// is. Its methods may be called concurrently.
type Source struct {
	o     Options
	turn  chan struct{}
	token string
	until time.Time
	none  bool
}

// New makes a Source.
func New(o *Options) *Source {
	s := &Source{o: *o, turn: make(chan struct{}, 1)}
	if s.o.Getenv == nil {
		s.o.Getenv = func(string) string { return "" }
	}
	if s.o.Now == nil {
		s.o.Now = time.Now
	}
	if s.o.HTTP == nil {
		s.o.HTTP = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		}
	}
	return s
}

const op = "gcp.Token"

// Token is a token to send now, or "" if nobody gives one: then what is public
// can be had without. Errors: BadConfig, Unauthenticated, Unavailable, and those
// of ctx.
func (s *Source) Token(ctx context.Context) (string, error) {
	if t := s.o.Getenv("GOOGLE_OAUTH_ACCESS_TOKEN"); t != "" {
		return t, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if s.none || s.token != "" && s.o.Now().Before(s.until) {
		return s.token, nil
	}
	text, path, err := s.file()
	if err != nil {
		return "", err
	}
	var t *token
	if text == nil {
		if t, err = s.metadata(ctx); t == nil && err == nil {
			s.none = true
			return "", nil
		}
	} else {
		t, err = s.fromFile(ctx, text, path)
	}
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", err
	}
	if t.AccessToken == "" {
		return "", fault.New(fault.Unauthenticated, op, path, "want an access token, got none")
	}
	life := time.Duration(t.ExpiresIn) * time.Second
	s.token, s.until = t.AccessToken, s.o.Now().Add(life-min(life/2, 2*time.Minute))
	return s.token, nil
}

type token struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
}

// file is the credentials' file, or nil.
func (s *Source) file() (text []byte, path string, err error) {
	if path = s.o.Getenv("GOOGLE_APPLICATION_CREDENTIALS"); path != "" {
		if text, err = os.ReadFile(path); err != nil {
			return nil, "", fault.New(fault.BadConfig, op, "GOOGLE_APPLICATION_CREDENTIALS", "%w", err)
		}
		return text, path, nil
	}
	dir := s.o.Getenv("CLOUDSDK_CONFIG")
	if home := s.o.Getenv("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".config", "gcloud")
	} else if app := s.o.Getenv("APPDATA"); dir == "" && app != "" {
		dir = filepath.Join(app, "gcloud")
	}
	if dir == "" {
		return nil, "", nil
	}
	path = filepath.Join(dir, "application_default_credentials.json")
	text, err = os.ReadFile(path)
	if err != nil {
		return nil, "", nil
	}
	return text, path, nil
}

// credentials are what such a file may have.
type credentials struct {
	Type string

	ClientEmail  string `json:"client_email"` // service_account
	PrivateKey   string `json:"private_key"`
	PrivateKeyID string `json:"private_key_id"`
	TokenURI     string `json:"token_uri"`

	ClientID     string `json:"client_id"` // authorized_user
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`

	Audience         string // external_account
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	Impersonation    string `json:"service_account_impersonation_url"`
	CredentialSource struct {
		File    string
		URL     string
		Headers map[string]string
		Format  struct {
			Type  string
			Field string `json:"subject_token_field_name"`
		}
	} `json:"credential_source"`
}

const exchange = "https://oauth2.googleapis.com/token"

func (s *Source) fromFile(ctx context.Context, text []byte, path string) (*token, error) {
	var c credentials
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fault.New(fault.BadConfig, op, path, "want credentials as JSON, got something else")
	}
	switch c.Type {
	case "service_account":
		return s.serviceAccount(ctx, &c, path)
	case "authorized_user":
		return s.form(ctx, cmp.Or(c.TokenURI, exchange), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.RefreshToken}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret}})
	case "external_account":
		return s.external(ctx, &c, path)
	}
	return nil, fault.New(fault.Unsupported, op, path, "want credentials of a service account, a user or a federated identity, got %q", c.Type).
		WithHint("Set GOOGLE_OAUTH_ACCESS_TOKEN=$(gcloud auth print-access-token).")
}

// serviceAccount trades a signed assertion for a token.
func (s *Source) serviceAccount(ctx context.Context, c *credentials, path string) (*token, error) {
	bad := func(format string, args ...any) (*token, error) {
		return nil, fault.New(fault.BadConfig, op, path, format, args...)
	}
	block, _ := pem.Decode([]byte(c.PrivateKey))
	if block == nil {
		return bad("want a private key in PEM, got none")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return bad("want a private key in PKCS #8: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return bad("want an RSA key, got a %T", parsed)
	}
	at := cmp.Or(c.TokenURI, exchange)
	now := s.o.Now()
	head, _ := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": c.PrivateKeyID})
	claims, _ := json.Marshal(map[string]any{"iss": c.ClientEmail, "scope": s.o.Scope, "aud": at, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	b64 := base64.RawURLEncoding
	assertion := b64.EncodeToString(head) + "." + b64.EncodeToString(claims)
	sum := sha256.Sum256([]byte(assertion))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return bad("want a key that signs: %w", err)
	}
	return s.form(ctx, at, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion + "." + b64.EncodeToString(sig)}})
}

// external trades another cloud's or cluster's token for Google's.
func (s *Source) external(ctx context.Context, c *credentials, path string) (*token, error) {
	var subject []byte
	var err error
	switch src := &c.CredentialSource; {
	case src.File != "":
		subject, err = os.ReadFile(src.File)
	case src.URL != "":
		header := http.Header{}
		for name, value := range src.Headers {
			header.Set(name, value)
		}
		subject, err = s.ask(ctx, http.MethodGet, src.URL, header, "")
	default:
		err = errors.New("want credentials from a file or a URL, got neither")
	}
	if err != nil {
		return nil, fault.New(fault.BadConfig, op, path, "credential_source: %w", err)
	}
	if f := c.CredentialSource.Format; f.Type == "json" {
		var doc map[string]any
		_ = json.Unmarshal(subject, &doc) // what is no document has no field
		text, ok := doc[f.Field].(string)
		if !ok {
			return nil, fault.New(fault.BadConfig, op, path, "want a token in %q of the credential source, got none", f.Field)
		}
		subject = []byte(text)
	}
	scope := s.o.Scope
	if c.Impersonation != "" {
		scope = "https://www.googleapis.com/auth/cloud-platform"
	}
	t, err := s.form(ctx, cmp.Or(c.TokenURL, "https://sts.googleapis.com/v1/token"), url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"audience": {c.Audience}, "scope": {scope}, "subject_token_type": {c.SubjectTokenType}, "subject_token": {strings.TrimSpace(string(subject))},
	})
	if err != nil || c.Impersonation == "" {
		return t, err
	}
	want, _ := json.Marshal(map[string]any{"scope": []string{s.o.Scope}})
	body, err := s.ask(ctx, http.MethodPost, c.Impersonation, http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + t.AccessToken}}, string(want))
	if err != nil {
		return nil, err
	}
	var as struct {
		AccessToken string    `json:"accessToken"`
		ExpireTime  time.Time `json:"expireTime"`
	}
	if err := json.Unmarshal(body, &as); err != nil {
		return nil, fault.New(fault.Unavailable, op, path, "want a token as JSON, got something else")
	}
	return &token{AccessToken: as.AccessToken, ExpiresIn: int64(as.ExpireTime.Sub(s.o.Now()).Seconds())}, nil
}

// metadata asks the server of Google's platforms. Where there is none, there is no token.
func (s *Source) metadata(ctx context.Context) (*token, error) {
	host := cmp.Or(s.o.Getenv("GCE_METADATA_HOST"), "169.254.169.254")
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body, err := s.ask(ctx, http.MethodGet, "http://"+host+"/computeMetadata/v1/instance/service-accounts/default/token?scopes="+url.QueryEscape(s.o.Scope), http.Header{"Metadata-Flavor": {"Google"}}, "")
	if err != nil {
		if s.o.Getenv("K_SERVICE") != "" || s.o.Getenv("CLOUD_RUN_JOB") != "" || s.o.Getenv("GCE_METADATA_HOST") != "" { // where it is
			return nil, err
		}
		return nil, nil
	}
	return decode(body)
}

// form asks an endpoint of OAuth.
func (s *Source) form(ctx context.Context, at string, form url.Values) (*token, error) {
	body, err := s.ask(ctx, http.MethodPost, at, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
	if err != nil {
		return nil, err
	}
	return decode(body)
}

func decode(body []byte) (*token, error) {
	t := &token{}
	if err := json.Unmarshal(body, t); err != nil {
		return nil, fault.New(fault.Unavailable, op, "", "want a token as JSON, got something else")
	}
	return t, nil
}

// ask sends one request and reads the answer.
func (s *Source) ask(ctx context.Context, method, at string, header http.Header, text string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(text))
	if err != nil {
		return nil, fault.New(fault.BadConfig, op, "", "want an address that can be asked")
	}
	req.Header = header
	resp, err := s.o.HTTP.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, op, "", "%w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 256<<10))
	if err != nil {
		return nil, fault.New(fault.Unavailable, op, "", "%w", err)
	}
	if resp.StatusCode != http.StatusOK {
		code := fault.Unavailable
		if resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests {
			code = fault.Unauthenticated
		}
		return nil, fault.New(code, op, "", "want a token, got status %d from %s", resp.StatusCode, req.URL.Host).
			WithHint("Log in again: gcloud auth application-default login.")
	}
	return body, nil
}
