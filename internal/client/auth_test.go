package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

// signed is the header that a request to address gets.
func signed(t *testing.T, c *Caller, address, body string) (http.Header, error) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	sign, err := c.Signer(u)
	if err != nil {
		return http.Header{}, err
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r.Header, sign.Sign(t.Context(), r, []byte(body))
}

func TestEveryTargetGetsWhatItWants(t *testing.T) {
	const key = "AKIDEXAMPLE"
	creds := []string{"AWS_ACCESS_KEY_ID", key, "AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	gcloud := func(_ context.Context, name string, args ...string) ([]byte, error) {
		line := name + " " + strings.Join(args, " ")
		switch line {
		case "gcloud auth print-identity-token --audiences=https://digits-x.a.run.app":
			return []byte("service.account.token\n"), nil
		case "gcloud auth print-identity-token":
			return []byte("person.token\n"), nil
		case "gcloud auth print-access-token":
			return []byte("access\n"), nil
		case "aws configure export-credentials --format process":
			return []byte(`{"Version":1,"AccessKeyId":"AKIDPROFILE","SecretAccessKey":"s","SessionToken":"session"}`), nil
		}
		return nil, errors.New("invalid account type for --audiences")
	}
	tests := []struct {
		name, url string
		caller    Caller
		want      map[string]string // header → its beginning
	}{
		{"function URL", "https://abc.lambda-url.eu-west-1.on.aws/v2", Caller{Getenv: env(creds...)},
			map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=" + key + "/", "X-Amz-Date": "20"}},
		{"API Gateway, by profile", "https://abc.execute-api.us-east-1.amazonaws.com/prod", Caller{Run: gcloud},
			map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDPROFILE/", "X-Amz-Date": "20", "X-Amz-Security-Token": "session"}},
		{"a domain of one's own", "https://models.example.com", Caller{Auth: AWS, Getenv: env(append(creds, "AWS_REGION", "eu-west-1")...)},
			map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=" + key + "/", "X-Amz-Date": "20"}},
		{"Cloud Run, service account", "https://digits-x.a.run.app/v2", Caller{Run: gcloud}, map[string]string{"Authorization": "Bearer service.account.token"}},
		{"Cloud Run, a person", "https://digits-y.a.run.app", Caller{Run: gcloud}, map[string]string{"Authorization": "Bearer person.token"}},
		{"Cloud Run, with a key of ours", "https://digits-y.a.run.app", Caller{Getenv: env(KeyEnv, "k1"), Run: gcloud}, map[string]string{"X-Api-Key": "k1"}},
		{"Vertex AI", "https://europe-west4-aiplatform.googleapis.com/v1/x", Caller{Run: gcloud}, map[string]string{"Authorization": "Bearer access"}},
		{"Azure Functions", "https://digits.azurewebsites.net", Caller{Getenv: env(KeyEnv, "k1")}, map[string]string{"X-Functions-Key": "k1"}},
		{"Azure ML", "https://digits.westeurope.inference.ml.azure.com", Caller{Getenv: env(KeyEnv, "k1")}, map[string]string{"Authorization": "Bearer k1"}},
		{"a key anywhere", "http://127.0.0.1:8080", Caller{Getenv: env(KeyEnv, " k1\n")}, map[string]string{"X-Api-Key": "k1"}},
		{"a token anywhere", "https://models.example.com", Caller{Getenv: env(TokenEnv, "t1")}, map[string]string{"Authorization": "Bearer t1"}},
		{"nothing", "http://models.example.com", Caller{}, map[string]string{}},
		{"nothing said", "https://digits-x.a.run.app", Caller{Auth: None, Run: gcloud}, map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := signed(t, &tt.caller, tt.url, "{}")
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for name := range h {
				got[name] = h.Get(name)
				if want, ok := tt.want[name]; ok && strings.HasPrefix(got[name], want) {
					got[name] = want
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("header (-want +got)\n%s", diff)
			}
		})
	}
}

// What is signed for AWS is this host, region, service and body.
func TestAWSSignsServiceRegionAndBody(t *testing.T) {
	c := &Caller{Getenv: env("AWS_ACCESS_KEY_ID", "A", "AWS_SECRET_ACCESS_KEY", "s", "AWS_REGION", "eu-west-1")}
	seen := map[string]string{}
	for host, scope := range map[string]string{
		"abc.lambda-url.eu-west-1.on.aws":              "/eu-west-1/lambda/aws4_request",
		"abc.execute-api.us-east-1.amazonaws.com":      "/us-east-1/execute-api/aws4_request",
		"runtime.sagemaker.us-west-2.amazonaws.com":    "/us-west-2/sagemaker/aws4_request",
		"abc.execute-api.cn-north-1.amazonaws.com.cn":  "/cn-north-1/execute-api/aws4_request",
		"evil.lambda-url.eu-west-1.on.aws.example.com": "/eu-west-1/execute-api/aws4_request",
	} {
		for _, body := range []string{"{}", "[]"} {
			c.Auth = AWS
			h, err := signed(t, c, "https://"+host+"/x", body)
			if err != nil {
				t.Fatal(err)
			}
			line := h.Get("Authorization")
			if !strings.Contains(line, scope) || !strings.Contains(line, "SignedHeaders=content-length;host;x-amz-date") {
				t.Errorf("%s: %s, want %s", host, line, scope)
			}
			_, signature, _ := strings.Cut(line, "Signature=")
			if other := seen[signature]; other != "" {
				t.Errorf("%s %s has the signature of %s", host, body, other)
			}
			seen[signature] = host + body
		}
	}
}

func TestSecretsAreNotSentInTheOpen(t *testing.T) {
	failing := func(context.Context, string, ...string) ([]byte, error) { return nil, errors.New("not logged in") }
	tests := []struct {
		name, url string
		caller    Caller
		code      fault.Code
		hint      string
	}{
		{"http", "http://models.example.com", Caller{Getenv: env(KeyEnv, "k1")}, fault.Usage, "https"},
		{"no key", "https://models.example.com", Caller{Auth: Key}, fault.Usage, KeyEnv},
		{"a key of two lines", "https://models.example.com", Caller{Auth: Key, Getenv: env(KeyEnv, "a\r\nX-Evil: b")}, fault.Usage, ""},
		{"no region", "https://models.example.com", Caller{Auth: AWS}, fault.Usage, "AWS_REGION"},
		{"unknown", "https://models.example.com", Caller{Auth: "basic"}, fault.Usage, ""},
		{"aws not logged in", "https://abc.lambda-url.eu-west-1.on.aws", Caller{Run: failing}, fault.Unauthenticated, "AWS_ACCESS_KEY_ID"},
		{"aws says something else", "https://abc.lambda-url.eu-west-1.on.aws", Caller{Run: func(context.Context, string, ...string) ([]byte, error) { return []byte("{}"), nil }}, fault.Unauthenticated, ""},
		{"gcloud not logged in", "https://x.a.run.app", Caller{Run: failing}, fault.Unauthenticated, "gcloud auth login"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := signed(t, &tt.caller, tt.url, "{}")
			if fault.CodeOf(err) != tt.code || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("%v (%s), want %v and a hint with %q", err, fault.HintOf(err), tt.code, tt.hint)
			}
			if err != nil && strings.Contains(err.Error(), "k1") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

// The client signs what it sends, and tells who is not let in what to do.
func TestClientSigns(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "k1" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"want credentials"}`)
			return
		}
		_, _ = io.WriteString(w, `{"outputs":[]}`)
	}))
	defer server.Close()
	for _, tt := range []struct {
		key  string
		want fault.Code
	}{{"k1", fault.OK}, {"k2", fault.Unauthenticated}} {
		c, err := New(server.URL, &Caller{Getenv: env(KeyEnv, tt.key)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Infer(t.Context(), "m", "", []byte("{}"))
		if got := fault.CodeOf(err); got != tt.want || (err != nil && !strings.Contains(fault.HintOf(err), "--auth")) {
			t.Errorf("key %s: %v (%s), want %v", tt.key, err, fault.HintOf(err), tt.want)
		}
	}
}
