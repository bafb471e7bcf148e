package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// What a platform tells a function about its identity. The addresses are the
// platforms' own, from their documents and their variables, never from a URL in
// godwit.yaml, so the guard has nothing to say here; redirects are not followed.

const identityTime = 5 * time.Second

// ask gets a JSON answer from where a platform tells identities.
func ask(ctx context.Context, at string, header http.Header, into any) error {
	ctx, cancel := context.WithTimeout(ctx, identityTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return errors.New("want the address of an identity service, got none that can be read")
	}
	req.Header = header
	t := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	c := http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New("the identity service says " + quoted(resp.Status))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("want JSON from the identity service, got something else")
	}
	return nil
}

// awsKeys are credentials of AWS.
type awsKeys struct {
	ID     string `json:"AccessKeyId"`
	Secret string `json:"SecretAccessKey"`
	Token  string
}

func awsEnv(getenv func(string) string) *awsKeys {
	k := &awsKeys{ID: getenv("AWS_ACCESS_KEY_ID"), Secret: getenv("AWS_SECRET_ACCESS_KEY"), Token: getenv("AWS_SESSION_TOKEN")}
	if k.ID == "" || k.Secret == "" {
		return nil
	}
	return k
}

// awsContainer asks as containers on ECS, EKS and SageMaker do; nil where the
// environment names no place to ask.
func awsContainer(ctx context.Context, getenv func(string) string) (*awsKeys, error) {
	at := getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if rel := getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); rel != "" {
		at = "http://169.254.170.2/" + strings.TrimPrefix(rel, "/")
	}
	if at == "" {
		return nil, nil
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" && !(u.Scheme == "http" && awsTells(u.Hostname())) {
		return nil, fault.New(fault.BadConfig, "fetch.Get", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "want an address of the container's own agent, got another one")
	}
	token := getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fault.New(fault.BadConfig, "fetch.Get", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "%w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", token)
	}
	k := &awsKeys{}
	if err := ask(ctx, at, h, k); err != nil {
		return nil, err
	}
	return k, nil
}

// awsTells reports whether agents of AWS answer at host, without TLS.
func awsTells(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (a.IsLoopback() || a == netip.MustParseAddr("169.254.170.2") || a == netip.MustParseAddr("169.254.170.23") || a == netip.MustParseAddr("fd00:ec2::23"))
}

// gcpToken asks the metadata server of Google's platforms.
func gcpToken(ctx context.Context, getenv func(string) string) (string, error) {
	host := getenv("GCE_METADATA_HOST") // as Google's libraries have it
	if host == "" {
		host = "169.254.169.254"
	}
	var t struct {
		AccessToken string `json:"access_token"`
	}
	err := ask(ctx, "http://"+host+"/computeMetadata/v1/instance/service-accounts/default/token", http.Header{"Metadata-Flavor": {"Google"}}, &t)
	return t.AccessToken, err
}

// azureToken asks the identity service of Azure's platforms.
func azureToken(ctx context.Context, getenv func(string) string) (string, error) {
	q := url.Values{"resource": {"https://storage.azure.com/"}, "api-version": {"2018-02-01"}}
	h := http.Header{"Metadata": {"true"}}
	at := "http://169.254.169.254/metadata/identity/oauth2/token"
	if e := getenv("IDENTITY_ENDPOINT"); e != "" { // Functions, Container Apps
		q.Set("api-version", "2019-08-01")
		at, h = e, http.Header{"X-Identity-Header": {getenv("IDENTITY_HEADER")}}
		if u, err := url.Parse(e); err != nil || u.Scheme != "http" && u.Scheme != "https" || net.ParseIP(u.Hostname()) == nil && u.Hostname() != "localhost" {
			return "", fault.New(fault.BadConfig, "fetch.Get", "IDENTITY_ENDPOINT", "want an address of the platform's own agent, got another one")
		}
	}
	if id := getenv("AZURE_CLIENT_ID"); id != "" {
		q.Set("client_id", id)
	}
	var t struct {
		AccessToken string `json:"access_token"`
	}
	err := ask(ctx, at+"?"+q.Encode(), h, &t)
	return t.AccessToken, err
}
