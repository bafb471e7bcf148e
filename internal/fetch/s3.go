package fetch

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// s3 is an object in Amazon S3, or in a store that speaks its protocol.
type s3 struct {
	bucket, key string
	endpoint    *url.URL // of a store that is not Amazon's; nil
	region      string
	keys        *awsKeys // nil asks as anybody
	getenv      func(string) string
	http        *http.Client
	credentials
	now func() time.Time
}

func newS3(at *location, getenv func(string) string, c *http.Client) (*s3, error) {
	s := &s3{bucket: at.Host, key: strings.TrimPrefix(at.Path, "/"), getenv: getenv, http: c, now: time.Now}
	s.region = cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"), "us-east-1")
	if !validRegion(s.region) {
		return nil, fault.New(fault.BadConfig, "fetch.Get", "AWS_REGION", "want a region such as eu-west-1, got %q", quoted(s.region))
	}
	s.keys = awsEnv(getenv)
	for _, name := range []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} {
		if text := getenv(name); text != "" {
			u, err := url.Parse(text)
			if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || checkHost(u) != nil {
				return nil, fault.New(fault.BadConfig, "fetch.Get", name, "want an https:// URL of a store, got %q", quoted(text))
			}
			s.endpoint = u
			break
		}
	}
	return s, nil
}

func validRegion(r string) bool {
	for i := range len(r) {
		if c := r[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return r != "" && len(r) <= 63
}

func (s *s3) request(ctx context.Context) (*http.Request, error) {
	host, path := "", "/"+escape(s.key)
	switch suffix := "s3." + s.region + ".amazonaws.com"; {
	case s.endpoint != nil:
		host, path = s.endpoint.Host, strings.TrimSuffix(s.endpoint.EscapedPath(), "/")+"/"+escape(s.bucket)+path
	case strings.Contains(s.bucket, "."): // which no wildcard of a certificate covers
		host, path = suffix, "/"+s.bucket+path
	default:
		host = s.bucket + "." + suffix
	}
	if s.endpoint == nil && strings.HasPrefix(s.region, "cn-") {
		host += ".cn"
	}
	u, err := url.Parse("https://" + host + path)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "fetch.Get", s.bucket, "want a key that can be asked for")
	}
	req, err := newRequest(ctx, u)
	if err == nil && s.keys != nil {
		s.sign(req)
	}
	return req, err
}

// escape is S3's percent-encoding of a key: all but unreserved characters and
// slashes.
func escape(key string) string {
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// refused finds the bucket's region, and this machine's identity.
func (s *s3) refused(ctx context.Context, resp *http.Response) (bool, error) {
	if r := resp.Header.Get("X-Amz-Bucket-Region"); r != "" && r != s.region && s.endpoint == nil && validRegion(r) &&
		(resp.StatusCode == http.StatusMovedPermanently || resp.StatusCode == http.StatusTemporaryRedirect || resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusForbidden) {
		s.region = r
		return true, nil
	}
	if s.keys != nil || !s.first(resp) {
		return false, nil
	}
	keys, err := awsContainer(ctx, s.getenv)
	if err != nil {
		return false, fault.New(fault.BadConfig, "fetch.Get", "s3://"+s.bucket, "want credentials for an object that is not public: %w", err)
	}
	s.keys = keys
	return keys != nil, nil
}

func (s *s3) client() *http.Client { return s.http }
func (s *s3) hint() string {
	return `The role needs s3:GetObject. On a laptop: eval "$(aws configure export-credentials --format env)".`
}

// sign adds an Authorization of Signature Version 4 for a GET without a body.
func (s *s3) sign(req *http.Request) {
	now := s.now().UTC()
	day := now.Format("20060102")
	req.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	req.Header.Set("X-Amz-Content-Sha256", emptySum)
	names := "host;x-amz-content-sha256;x-amz-date"
	headers := "host:" + req.URL.Host + "\nx-amz-content-sha256:" + emptySum + "\nx-amz-date:" + req.Header.Get("X-Amz-Date") + "\n"
	if s.keys.Token != "" {
		req.Header.Set("X-Amz-Security-Token", s.keys.Token)
		names += ";x-amz-security-token"
		headers += "x-amz-security-token:" + s.keys.Token + "\n"
	}
	request := sha256.Sum256([]byte("GET\n" + req.URL.EscapedPath() + "\n\n" + headers + "\n" + names + "\n" + emptySum))
	scope := day + "/" + s.region + "/s3/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + req.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + hex.EncodeToString(request[:])
	key := []byte("AWS4" + s.keys.Secret)
	for _, part := range []string{day, s.region, "s3", "aws4_request", text} {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.keys.ID+"/"+scope+", SignedHeaders="+names+", Signature="+hex.EncodeToString(key))
}

// emptySum is the SHA-256 of nothing.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
