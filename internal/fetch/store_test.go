package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

// stored is a Fetcher for which every host is s.
func stored(s *httptest.Server, dir string, getenv func(string) string) *Fetcher {
	pool := trust(s)
	f := New(&Options{Dirs: []string{dir}, TLS: &tls.Config{RootCAs: pool.RootCAs, ServerName: "example.com"}, Getenv: func(name string) string {
		if name == PrivateHosts {
			return "127.0.0.1"
		}
		return getenv(name)
	}})
	f.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	f.redirected = func(string) string { return s.Listener.Addr().String() }
	return f
}

// What is signed here is what AWS's own signer signs.
func TestSignature(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 11, 12, 0, time.UTC)
	for _, token := range []string{"", "session/token=="} {
		for _, to := range []string{"s3://bucket/a/b.onnx", "s3://my.bucket/a b+c=ü/%25.onnx", "s3://bucket/~x/-_.(1)"} {
			loc, err := parse(to)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newS3(loc, env("AWS_REGION", "eu-west-1", "AWS_ACCESS_KEY_ID", "AKID", "AWS_SECRET_ACCESS_KEY", "secret", "AWS_SESSION_TOKEN", token), nil)
			if err != nil {
				t.Fatal(err)
			}
			s.now = func() time.Time { return at }
			ours, err := s.request(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			theirs := ours.Clone(t.Context())
			theirs.Header = http.Header{"X-Amz-Content-Sha256": {emptySum}}
			signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
			if err := signer.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: token}, theirs, emptySum, "s3", "eu-west-1", at); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(theirs.Header, ours.Header); diff != "" {
				t.Errorf("%s: headers (-theirs +ours):\n%s", to, diff)
			}
		}
	}
}

// Each store is asked as its documents say, with the credentials that there are,
// and gives them to nobody else.
func TestStores(t *testing.T) {
	content := bytesOf(1000)
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/aws" && r.Header.Get("Authorization") == "let me":
			fmt.Fprint(w, `{"AccessKeyId": "AGENT", "SecretAccessKey": "s", "Token": "t"}`)
		case r.URL.Path == "/computeMetadata/v1/instance/service-accounts/default/token" && r.Header.Get("Metadata-Flavor") == "Google":
			fmt.Fprint(w, `{"access_token": "goog"}`)
		case r.URL.Path == "/azure" && r.Header.Get("X-Identity-Header") == "idh" && r.URL.Query().Get("resource") == "https://storage.azure.com/":
			fmt.Fprint(w, `{"access_token": "azur"}`)
		default:
			w.WriteHeader(404)
		}
	}))
	defer agent.Close()
	for _, c := range []struct {
		name, url string
		env       []string
		want      []string // each request, as METHOD HOST PATH AUTH
		allowed   func(r *http.Request) int
		code      fault.Code
	}{
		{"s3 as anybody", "s3://models/a/m.onnx", nil, []string{"models.s3.us-east-1.amazonaws.com/a/m.onnx "}, nil, 0},
		{"s3 with keys", "s3://models/a b.onnx", []string{"AWS_REGION", "eu-west-1", "AWS_ACCESS_KEY_ID", "AK", "AWS_SECRET_ACCESS_KEY", "s"},
			[]string{"models.s3.eu-west-1.amazonaws.com/a%20b.onnx AWS4-HMAC-SHA256 Credential=AK/eu-west-1"}, nil, 0},
		{"s3 in China, with a dot", "s3://my.models/m", []string{"AWS_REGION", "cn-north-1"}, []string{"s3.cn-north-1.amazonaws.com.cn/my.models/m "}, nil, 0},
		{"a store of one's own", "s3://models/m", []string{"AWS_ENDPOINT_URL_S3", "https://store.example:9000/base/"}, []string{"store.example:9000/base/models/m "}, nil, 0},
		{"a store without TLS", "s3://models/m", []string{"AWS_ENDPOINT_URL_S3", "http://store.example:9000"}, nil, nil, fault.BadConfig},
		{"s3 in another region", "s3://models/m", []string{"AWS_ACCESS_KEY_ID", "AK", "AWS_SECRET_ACCESS_KEY", "s"},
			[]string{"models.s3.us-east-1.amazonaws.com/m AWS4-HMAC-SHA256 Credential=AK/us-east-1", "models.s3.eu-north-1.amazonaws.com/m AWS4-HMAC-SHA256 Credential=AK/eu-north-1"},
			func(r *http.Request) int {
				if strings.Contains(r.Host, "us-east-1") {
					return 301
				}
				return 200
			}, 0},
		{"s3 by a container's role", "s3://models/m", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL + "/aws", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me"},
			[]string{"models.s3.us-east-1.amazonaws.com/m ", "models.s3.us-east-1.amazonaws.com/m AWS4-HMAC-SHA256 Credential=AGENT/us-east-1"}, onlySigned, 0},
		{"s3 by an agent elsewhere", "s3://models/m", []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://agent.example/aws"}, []string{"models.s3.us-east-1.amazonaws.com/m "}, onlySigned, fault.BadConfig},
		{"s3, not for us", "s3://models/m", []string{"AWS_ACCESS_KEY_ID", "AK", "AWS_SECRET_ACCESS_KEY", "s"}, []string{"models.s3.us-east-1.amazonaws.com/m AWS4-HMAC-SHA256 Credential=AK/us-east-1"},
			func(*http.Request) int { return 403 }, fault.BadConfig},
		{"s3 sends us away", "s3://models/m", []string{"AWS_ACCESS_KEY_ID", "AK", "AWS_SECRET_ACCESS_KEY", "s"}, []string{"models.s3.us-east-1.amazonaws.com/m AWS4-HMAC-SHA256 Credential=AK/us-east-1"},
			func(*http.Request) int { return 302 }, fault.BadConfig},
		{"gs as anybody", "gs://models/a/m.onnx", nil, []string{"storage.googleapis.com/models/a/m.onnx "}, nil, 0},
		{"gs with a token", "gs://models/m", []string{"GOOGLE_OAUTH_ACCESS_TOKEN", "tok"}, []string{"storage.googleapis.com/models/m Bearer tok"}, nil, 0},
		{"gs by the platform", "gs://models/m", []string{"GCE_METADATA_HOST", strings.TrimPrefix(agent.URL, "http://")}, []string{"storage.googleapis.com/models/m ", "storage.googleapis.com/models/m Bearer goog"}, onlySigned, 0},
		{"gs, nobody knows us", "gs://models/m", []string{"GCE_METADATA_HOST", "127.0.0.1:1"}, []string{"storage.googleapis.com/models/m "}, onlySigned, fault.BadConfig},
		{"azblob as anybody", "azblob://acct/models/a/m.onnx", nil, []string{"acct.blob.core.windows.net/models/a/m.onnx "}, nil, 0},
		{"azblob with a signature", "azblob://acct/models/m", []string{"AZURE_STORAGE_SAS_TOKEN", "?sv=2021&sig=a%2Bb"}, []string{"acct.blob.core.windows.net/models/m?sig=a%2Bb&sv=2021 "}, nil, 0},
		{"azblob by the platform", "azblob://acct/models/m", []string{"IDENTITY_ENDPOINT", agent.URL + "/azure", "IDENTITY_HEADER", "idh"},
			[]string{"acct.blob.core.windows.net/models/m ", "acct.blob.core.windows.net/models/m Bearer azur"}, onlySigned, 0},
		{"azblob by an agent elsewhere", "azblob://acct/models/m", []string{"IDENTITY_ENDPOINT", "http://agent.example/x"}, []string{"acct.blob.core.windows.net/models/m "}, onlySigned, fault.BadConfig},
		{"oci where nothing reads it", "oci://ghcr.io/acme/m:1", nil, nil, nil, fault.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				auth := r.Header.Get("Authorization")
				if id, rest, ok := strings.Cut(auth, "/"); ok { // the day and the signature aside
					auth = id + "/" + strings.Split(rest, "/")[1]
				}
				got = append(got, r.Host+r.URL.RequestURI()+" "+auth)
				if c.allowed != nil {
					if code := c.allowed(r); code != 200 {
						w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
						w.Header().Set("Location", "https://elsewhere.example/")
						if code != 301 {
							w.Header().Del("X-Amz-Bucket-Region")
						}
						w.WriteHeader(code)
						return
					}
				}
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			})
			file, err := stored(s, t.TempDir(), env(c.env...)).Get(t.Context(), c.url, sumOfBytes(content))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if fault.CodeOf(err) != c.code {
				t.Errorf("want %v, got %v", c.code, err)
			}
			if err == nil {
				file.Close()
			}
		})
	}
}

func onlySigned(r *http.Request) int {
	if r.Header.Get("Authorization") == "" {
		return 403
	}
	return 200
}
