// Package azauth finds access tokens for Azure where Azure's own libraries find
// them.
package azauth

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// Options of a Source.
type Options struct {
	// Getenv reads an environment variable; nil means that there are none.
	Getenv func(string) string
	// Resource is what tokens are for, a URL that ends with a slash.
	Resource string
	// HTTP asks for tokens; nil is a client of the Source's.
	HTTP *http.Client
	// Now is the time; nil is time.Now.
	Now func() time.Time
}

// A Source gives tokens: of a client with a secret (AZURE_CLIENT_SECRET), a
// workload's identity (AZURE_FEDERATED_TOKEN_FILE), a managed identity of
// Functions, Container Apps or a machine, or the az command; the first that
// there is. Its methods may be called concurrently.
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

const op = "azure.Token"

// Token is a token to send now, or "" if nobody gives one: then what is public
// can be had without. Errors: BadConfig, Unauthenticated, Unavailable, and those
// of ctx.
func (s *Source) Token(ctx context.Context) (string, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if s.none || s.token != "" && s.o.Now().Before(s.until) {
		return s.token, nil
	}
	for _, find := range []func(context.Context) (*token, error){s.client, s.managed, s.command} {
		t, err := find(ctx)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return "", err
		}
		if t != nil {
			s.token, s.until = t.text, s.o.Now().Add(t.life-min(t.life/2, 5*time.Minute))
			return s.token, nil
		}
	}
	s.none = true
	return "", nil
}

type token struct {
	text string
	life time.Duration
}

// client asks as an application: with a secret, or with a cluster's token.
func (s *Source) client(ctx context.Context) (*token, error) {
	tenant, id := s.o.Getenv("AZURE_TENANT_ID"), s.o.Getenv("AZURE_CLIENT_ID")
	secret, file := s.o.Getenv("AZURE_CLIENT_SECRET"), s.o.Getenv("AZURE_FEDERATED_TOKEN_FILE")
	if tenant == "" || id == "" || secret == "" && file == "" {
		return nil, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "scope": {s.o.Resource + ".default"}}
	if secret != "" {
		form.Set("client_secret", secret)
	} else {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fault.New(fault.BadConfig, op, "AZURE_FEDERATED_TOKEN_FILE", "%w", err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", strings.TrimSpace(string(text)))
	}
	at := strings.TrimSuffix(cmp.Or(s.o.Getenv("AZURE_AUTHORITY_HOST"), "https://login.microsoftonline.com"), "/")
	body, err := s.ask(ctx, http.MethodPost, at+"/"+url.PathEscape(tenant)+"/oauth2/v2.0/token", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
	if err != nil {
		return nil, err
	}
	return s.decode(body)
}

// managed asks the platform. Where none answers, there is no token.
func (s *Source) managed(ctx context.Context) (*token, error) {
	q := url.Values{"resource": {s.o.Resource}, "api-version": {"2018-02-01"}}
	header := http.Header{"Metadata": {"true"}}
	at := "http://169.254.169.254/metadata/identity/oauth2/token"
	known := s.o.Getenv("IDENTITY_ENDPOINT")
	if known != "" { // Functions, Container Apps
		q.Set("api-version", "2019-08-01")
		at, header = known, http.Header{"X-Identity-Header": {s.o.Getenv("IDENTITY_HEADER")}}
		if u, err := url.Parse(known); err != nil || u.Scheme != "http" && u.Scheme != "https" || net.ParseIP(u.Hostname()) == nil && u.Hostname() != "localhost" {
			return nil, fault.New(fault.BadConfig, op, "IDENTITY_ENDPOINT", "want an address of the platform's own agent, got another one")
		}
	}
	if id := s.o.Getenv("AZURE_CLIENT_ID"); id != "" {
		q.Set("client_id", id)
	}
	body, err := s.ask(ctx, http.MethodGet, at+"?"+q.Encode(), header, "")
	if err != nil {
		if known != "" {
			return nil, err
		}
		return nil, nil
	}
	return s.decode(body)
}

// command asks az, where somebody has logged in with it.
func (s *Source) command(ctx context.Context) (*token, error) {
	az, err := exec.LookPath("az")
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, az, "account", "get-access-token", "--resource", s.o.Resource, "--output", "json").Output()
	if err != nil {
		return nil, nil // nobody has
	}
	var t struct {
		AccessToken string
		ExpiresOn   int64 `json:"expires_on"` // seconds since 1970; older ones do not have it
	}
	if err := json.Unmarshal(out, &t); err != nil || t.AccessToken == "" {
		return nil, nil
	}
	life := 10 * time.Minute
	if t.ExpiresOn > 0 {
		life = max(time.Unix(t.ExpiresOn, 0).Sub(s.o.Now()), 0)
	}
	return &token{t.AccessToken, life}, nil
}

// decode reads an answer. Some places write the seconds as a text.
func (s *Source) decode(body []byte) (*token, error) {
	var t struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   any    `json:"expires_in"`
		ExpiresOn   any    `json:"expires_on"`
	}
	if err := json.Unmarshal(body, &t); err != nil || t.AccessToken == "" {
		return nil, fault.New(fault.Unauthenticated, op, "", "want an access token as JSON, got something else")
	}
	life := 10 * time.Minute
	if n := number(t.ExpiresIn); n > 0 {
		life = time.Duration(n) * time.Second
	} else if n := number(t.ExpiresOn); n > 0 {
		life = max(time.Unix(n, 0).Sub(s.o.Now()), 0)
	}
	return &token{t.AccessToken, life}, nil
}

func number(v any) int64 {
	switch v := v.(type) {
	case float64:
		return int64(v)
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
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
		return nil, fault.New(code, op, "", "want a token, got status %d from %s", resp.StatusCode, req.URL.Host)
	}
	return body, nil
}
