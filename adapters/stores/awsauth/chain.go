package awsauth

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
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

// Options of a Chain.
type Options struct {
	// Getenv reads an environment variable; nil means that there are none.
	Getenv func(string) string
	// HTTP asks for temporary credentials; nil is a client of the Chain's.
	HTTP *http.Client
	// Now is the time; nil is time.Now.
	Now func() time.Time
}

// A Chain finds credentials where AWS's SDKs do, in their order: the
// environment, a web identity's token, the shared files, the container's agent,
// the instance. They are kept, and asked for again before they expire. Its
// methods may be called concurrently.
type Chain struct {
	o    Options
	turn chan struct{} // held by whoever reads or asks
	last *Credentials
	none bool // nobody has any
}

// NewChain makes a Chain.
func NewChain(o *Options) *Chain {
	c := &Chain{turn: make(chan struct{}, 1)}
	if o != nil {
		c.o = *o
	}
	if c.o.Getenv == nil {
		c.o.Getenv = func(string) string { return "" }
	}
	if c.o.Now == nil {
		c.o.Now = time.Now
	}
	if c.o.HTTP == nil {
		c.o.HTTP = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		}
	}
	return c
}

// early is how long before they expire credentials are not used any more.
const early = 2 * time.Minute

// Credentials are the ones to sign with now, or nil if nobody has any: then
// what is public can be had without. Errors: BadConfig, Unavailable, Canceled,
// DeadlineExceeded.
func (c *Chain) Credentials(ctx context.Context) (*Credentials, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.none || c.last != nil && (c.last.Expires.IsZero() || c.o.Now().Before(c.last.Expires.Add(-early))) {
		return c.last, nil
	}
	for _, find := range []func(context.Context) (*Credentials, error){c.environment, c.webIdentity, c.files, c.container, c.instance} {
		found, err := find(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, err
		}
		if found != nil {
			if found.ID == "" || found.Secret == "" {
				return nil, fault.New(fault.BadConfig, "aws.Credentials", "", "want an access key and its secret, got one of them at most")
			}
			c.last = found
			return found, nil
		}
	}
	c.none = true
	return nil, nil
}

// Region is the one that the environment or the shared configuration names, or "".
func (c *Chain) Region() string {
	region := cmp.Or(c.o.Getenv("AWS_REGION"), c.o.Getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		region = c.profile().get("region")
	}
	return region
}

func (c *Chain) environment(context.Context) (*Credentials, error) {
	k := &Credentials{ID: c.o.Getenv("AWS_ACCESS_KEY_ID"), Secret: c.o.Getenv("AWS_SECRET_ACCESS_KEY"), Token: c.o.Getenv("AWS_SESSION_TOKEN")}
	if k.ID == "" && k.Secret == "" {
		return nil, nil
	}
	return k, nil
}

// webIdentity trades a token of Kubernetes for credentials, as pods on EKS do.
func (c *Chain) webIdentity(ctx context.Context) (*Credentials, error) {
	file, role := c.o.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), c.o.Getenv("AWS_ROLE_ARN")
	if file == "" || role == "" {
		return nil, nil
	}
	const op = "aws.AssumeRoleWithWebIdentity"
	token, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.New(fault.BadConfig, op, "AWS_WEB_IDENTITY_TOKEN_FILE", "%w", err)
	}
	endpoint := cmp.Or(c.o.Getenv("AWS_ENDPOINT_URL_STS"), c.o.Getenv("AWS_ENDPOINT_URL"))
	if endpoint == "" {
		region := c.Region()
		endpoint = "https://sts.amazonaws.com"
		if region != "" {
			endpoint = "https://sts." + region + ".amazonaws.com"
		}
		if strings.HasPrefix(region, "cn-") {
			endpoint += ".cn"
		}
	}
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role},
		"RoleSessionName": {cmp.Or(c.o.Getenv("AWS_ROLE_SESSION_NAME"), "godwit")}, "WebIdentityToken": {strings.TrimSpace(string(token))}}
	body, err := c.ask(ctx, op, http.MethodPost, endpoint, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
	if err != nil {
		return nil, err
	}
	var answer struct {
		Credentials struct {
			AccessKeyId, SecretAccessKey, SessionToken string
			Expiration                                 time.Time
		} `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return nil, fault.New(fault.Unavailable, op, "", "want credentials, got %w", err)
	}
	k := answer.Credentials
	return &Credentials{ID: k.AccessKeyId, Secret: k.SecretAccessKey, Token: k.SessionToken, Expires: k.Expiration}, nil
}

// container asks the agent of ECS, EKS Pod Identity, SageMaker and Greengrass.
func (c *Chain) container(ctx context.Context) (*Credentials, error) {
	const op = "aws.ContainerCredentials"
	at := c.o.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if rel := c.o.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); rel != "" {
		at = "http://169.254.170.2/" + strings.TrimPrefix(rel, "/")
	}
	if at == "" {
		return nil, nil
	}
	if u, err := url.Parse(at); err != nil || u.Scheme != "https" && !(u.Scheme == "http" && agent(u.Hostname())) {
		return nil, fault.New(fault.BadConfig, op, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "want an address of the container's own agent, got another one")
	}
	token := c.o.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
	if file := c.o.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fault.New(fault.BadConfig, op, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "%w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", token)
	}
	body, err := c.ask(ctx, op, http.MethodGet, at, header, "")
	if err != nil {
		return nil, err
	}
	return decode(op, body)
}

// agent reports whether agents of AWS answer at host, without TLS.
func agent(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (a.IsLoopback() || a == netip.AddrFrom4([4]byte{169, 254, 170, 2}) || a == netip.AddrFrom4([4]byte{169, 254, 170, 23}) || a.String() == "fd00:ec2::23")
}

// instance asks EC2's metadata service, version 2. Where there is none, there
// are no credentials.
func (c *Chain) instance(ctx context.Context) (*Credentials, error) {
	if strings.EqualFold(c.o.Getenv("AWS_EC2_METADATA_DISABLED"), "true") || c.o.Getenv("AWS_LAMBDA_FUNCTION_NAME") != "" {
		return nil, nil
	}
	root := strings.TrimSuffix(cmp.Or(c.o.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "http://169.254.169.254"), "/")
	const op, roles = "aws.InstanceCredentials", "/latest/meta-data/iam/security-credentials/"
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	token, err := c.ask(ctx, op, http.MethodPut, root+"/latest/api/token", http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"21600"}}, "")
	if err != nil {
		return nil, nil
	}
	header := http.Header{"X-Aws-Ec2-Metadata-Token": {string(token)}}
	role, err := c.ask(ctx, op, http.MethodGet, root+roles, header, "")
	if err != nil {
		return nil, nil
	}
	name, _, _ := strings.Cut(strings.TrimSpace(string(role)), "\n")
	body, err := c.ask(ctx, op, http.MethodGet, root+roles+url.PathEscape(name), header, "")
	if err != nil {
		return nil, err
	}
	return decode(op, body)
}

// ask sends one request and reads the answer.
func (c *Chain) ask(ctx context.Context, op, method, at string, header http.Header, form string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(form))
	if err != nil {
		return nil, fault.New(fault.BadConfig, op, "", "want an address that can be asked")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := c.o.HTTP.Do(req)
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
		if resp.StatusCode/100 == 4 {
			code = fault.Unauthenticated
		}
		return nil, fault.New(code, op, "", "want credentials, got status %d", resp.StatusCode)
	}
	return body, nil
}

// decode reads what agents, instances and credential processes say.
func decode(op string, body []byte) (*Credentials, error) {
	var k struct {
		AccessKeyId, SecretAccessKey string
		Token, SessionToken          string
		Expiration                   time.Time
	}
	if err := json.Unmarshal(body, &k); err != nil {
		return nil, fault.New(fault.Unavailable, op, "", "want credentials as JSON, got something else")
	}
	return &Credentials{ID: k.AccessKeyId, Secret: k.SecretAccessKey, Token: cmp.Or(k.Token, k.SessionToken), Expires: k.Expiration}, nil
}
