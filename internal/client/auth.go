package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// Auth is how a request shows who sends it.
type Auth string

// The ways.
const (
	Auto   Auth = "auto"   // by the host's name, else by which secret is there
	None   Auth = "none"   // nothing
	AWS    Auth = "aws"    // Signature Version 4: function URLs, API Gateway, SageMaker
	Google Auth = "google" // an identity token on Cloud Run, an access token on Vertex AI
	Key    Auth = "key"    // the key in GODWIT_API_KEY, in the header that the target reads
	Token  Auth = "token"  // the bearer token in GODWIT_TOKEN
)

// Auths lists them all.
func Auths() []Auth { return []Auth{Auto, None, AWS, Google, Key, Token} }

// The variables with the caller's secrets. They are never flags, which every
// user of a machine can read.
const (
	KeyEnv   = "GODWIT_API_KEY"
	TokenEnv = "GODWIT_TOKEN"
)

// Caller is who asks.
type Caller struct {
	Auth   Auth                // "" is Auto
	Getenv func(string) string // nil: there are no variables
	// Run runs a platform's own command line tool and returns what it prints;
	// nil runs the program. Those tools know profiles, single sign-on and
	// service accounts.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
}

// signature says how one request is signed.
type signature func(ctx context.Context, r *http.Request, body []byte) error

// A Signer makes requests to one server show who sends them. It may be used
// concurrently.
type Signer struct {
	// Auth is what it came to: never Auto.
	Auth Auth
	sign signature // nil: requests are sent as they are
}

// Sign sets r's headers that show who asks; body is r's body. Errors:
// Unauthenticated when there are no credentials, and ctx's.
func (s *Signer) Sign(ctx context.Context, r *http.Request, body []byte) error {
	if s.sign == nil {
		return nil
	}
	return s.sign(ctx, r, body)
}

// SignatureHolds is for how long a request that was signed for AWS is taken;
// what shows who asks elsewhere does not depend on the request.
const SignatureHolds = 5 * time.Minute

// The hosts that platforms give to what they serve, and what they want there. Each is
// compiled when it is first needed: every start of a server would pay for them.
var (
	lambdaURL  = lazy.Regexp(`\.lambda-url\.([a-z0-9-]+)\.on\.aws$`)
	apiGateway = lazy.Regexp(`\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)
	sageMaker  = lazy.Regexp(`^runtime\.sagemaker(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)
	cloudRun   = lazy.Regexp(`\.(run\.app|cloudfunctions\.net)$`)
	vertexAI   = lazy.Regexp(`(^|[.-])aiplatform\.googleapis\.com$|\.prediction\.vertexai\.goog$`)
	functions  = lazy.Regexp(`\.azurewebsites\.(net|us)$`)
	azureML    = lazy.Regexp(`\.inference\.ml\.azure\.(com|us)$`)
)

// Signer chooses how requests to u are signed. A nil Caller shows nobody.
// Errors: Usage.
func (c *Caller) Signer(u *url.URL) (*Signer, error) {
	if c == nil {
		return &Signer{Auth: None}, nil
	}
	getenv := c.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	auth := c.Auth
	if auth == "" || auth == Auto {
		auth = guess(u.Hostname(), getenv)
	}
	sign, err := c.signature(auth, u, getenv)
	if err != nil {
		return nil, err
	}
	return &Signer{Auth: auth, sign: sign}, nil
}

func (c *Caller) signature(auth Auth, u *url.URL, getenv func(string) string) (signature, error) {
	if auth == None {
		return nil, nil
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		return nil, fault.New(fault.Usage, "", u.String(), "want https where a secret is sent (auth %q), got http", auth).
			WithHint("Use https://, or --auth none.")
	}
	switch auth {
	case AWS:
		return c.aws(u, getenv)
	case Google:
		return c.google(u), nil
	case Key:
		return withSecret(getenv, KeyEnv, keyHeader(u.Hostname()))
	case Token:
		return withSecret(getenv, TokenEnv, bearer)
	}
	return nil, fault.New(fault.Usage, "", "auth", "want one of auto, none, aws, google, key, token, got %q", auth)
}

func guess(host string, getenv func(string) string) Auth {
	switch {
	case lambdaURL().MatchString(host), apiGateway().MatchString(host), sageMaker().MatchString(host):
		return AWS
	case getenv(KeyEnv) != "":
		return Key
	case getenv(TokenEnv) != "":
		return Token
	case cloudRun().MatchString(host), vertexAI().MatchString(host):
		return Google
	}
	return None
}

func loopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost"
}

// keyHeader is where a target looks for a key.
func keyHeader(host string) func(h http.Header, secret string) {
	switch {
	case functions().MatchString(host):
		return func(h http.Header, secret string) { h.Set("X-Functions-Key", secret) }
	case azureML().MatchString(host):
		return bearer
	}
	return func(h http.Header, secret string) { h.Set("X-Api-Key", secret) }
}

func bearer(h http.Header, secret string) { h.Set("Authorization", "Bearer "+secret) }

func withSecret(getenv func(string) string, name string, set func(http.Header, string)) (signature, error) {
	secret := strings.TrimSpace(getenv(name))
	if secret == "" {
		return nil, fault.New(fault.Usage, "", name, "want the secret in this variable, got nothing").WithHint("export %s=…", name)
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fault.New(fault.Usage, "", name, "want printable characters without spaces")
	}
	return func(_ context.Context, r *http.Request, _ []byte) error {
		set(r.Header, secret)
		return nil
	}, nil
}

// aws signs for the service and region that the host's name tells.
func (c *Caller) aws(u *url.URL, getenv func(string) string) (signature, error) {
	service, region := "", ""
	for name, host := range map[string]func() *regexp.Regexp{"lambda": lambdaURL, "execute-api": apiGateway, "sagemaker": sageMaker} {
		if m := host().FindStringSubmatch(u.Hostname()); m != nil {
			service, region = name, m[1]
		}
	}
	if service == "" { // a domain of the user's own is API Gateway's
		service, region = "execute-api", getenv("AWS_REGION")
		if region == "" {
			return nil, fault.New(fault.Usage, "", u.Host, "want the region of this domain in AWS_REGION, got nothing").WithHint("export AWS_REGION=eu-west-1")
		}
	}
	var once sync.Once // a load test signs many requests
	var creds aws.Credentials
	var err error
	return func(ctx context.Context, r *http.Request, body []byte) error {
		once.Do(func() { creds, err = c.awsCredentials(ctx, getenv) })
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		return v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(sum[:]), service, region, time.Now())
	}, nil
}

func (c *Caller) awsCredentials(ctx context.Context, getenv func(string) string) (aws.Credentials, error) {
	creds := aws.Credentials{AccessKeyID: getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: getenv("AWS_SESSION_TOKEN")}
	if creds.AccessKeyID != "" && creds.SecretAccessKey != "" {
		return creds, nil
	}
	out, err := c.run(ctx, "aws", "configure", "export-credentials", "--format", "process")
	if err != nil {
		return creds, fault.New(fault.Unauthenticated, "", "AWS", "no credentials: %w", err).
			WithHint("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with the aws command.")
	}
	var got struct {
		Version                                    int
		AccessKeyId, SecretAccessKey, SessionToken string //nolint:revive // AWS's names
	}
	if json.Unmarshal(out, &got) != nil || got.Version != 1 || got.AccessKeyId == "" || got.SecretAccessKey == "" {
		return creds, fault.New(fault.Unauthenticated, "", "AWS", "want credentials from `aws configure export-credentials`, got something else")
	}
	return aws.Credentials{AccessKeyID: got.AccessKeyId, SecretAccessKey: got.SecretAccessKey, SessionToken: got.SessionToken}, nil
}

// google asks gcloud for the token that the target wants. Cloud Run wants an
// identity token for its own URL; a person's account cannot choose that
// audience and Cloud Run takes its token all the same.
func (c *Caller) google(u *url.URL) signature {
	return func(ctx context.Context, r *http.Request, _ []byte) error {
		ask := [][]string{{"auth", "print-identity-token", "--audiences=" + u.Scheme + "://" + u.Host}, {"auth", "print-identity-token"}}
		if vertexAI().MatchString(u.Hostname()) {
			ask = [][]string{{"auth", "print-access-token"}}
		}
		var errs []error
		for _, args := range ask {
			out, err := c.run(ctx, "gcloud", args...)
			if token := strings.TrimSpace(string(out)); err == nil && token != "" && !strings.ContainsAny(token, " \r\n") {
				bearer(r.Header, token)
				return nil
			}
			errs = append(errs, err)
		}
		return fault.New(fault.Unauthenticated, "", "Google", "no token: %w", errors.Join(errs...)).
			WithHint("gcloud auth login, or put a token into %s.", TokenEnv)
	}
}

func (c *Caller) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	if c.Run != nil {
		return c.Run(ctx, name, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if text := firstLine(strings.TrimSpace(stderr.String())); err != nil && text != "" {
		return nil, errors.New(name + ": " + text)
	}
	return out, err
}
