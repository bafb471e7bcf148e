package awsauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/runtime/fault"
)

// agents plays STS, a container's agent and the instance's metadata.
func agents(t *testing.T) (*httptest.Server, *int) {
	asked := new(int)
	const keys = `{"AccessKeyId": "%s", "SecretAccessKey": "secret", "Token": "token", "Expiration": "2030-01-01T00:00:00Z"}`
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sts", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), "WebIdentityToken=a.web.token") || !strings.Contains(string(body), "RoleArn=arn%3Aaws%3Aiam") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		io.WriteString(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>WEB</AccessKeyId>
<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
	})
	mux.HandleFunc("GET /container", func(w http.ResponseWriter, r *http.Request) {
		*asked++
		if r.Header.Get("Authorization") != "agent's" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, keys, fmt.Sprintf("CONTAINER%d", *asked))
	})
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "imds") })
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{role...}", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds":
			w.WriteHeader(http.StatusUnauthorized)
		case r.PathValue("role") == "":
			io.WriteString(w, "the-role\n")
		case r.PathValue("role") == "the-role":
			fmt.Fprintf(w, keys, "INSTANCE")
		}
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv, asked
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

var now = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func TestChain(t *testing.T) {
	srv, _ := agents(t)
	dir := t.TempDir()
	token := write(t, filepath.Join(dir, "token"), "a.web.token\n")
	agent := write(t, filepath.Join(dir, "agent"), "agent's\n")
	write(t, filepath.Join(dir, "home/.aws/credentials"), "[default]\naws_access_key_id = FILE\naws_secret_access_key = secret\n\n[other]\naws_access_key_id=OTHER\naws_secret_access_key=s=/+\naws_session_token=token\n")
	write(t, filepath.Join(dir, "home/.aws/config"), "# a comment\n[default]\nregion = eu-central-1\ns3 =\n  region = nested\n[profile proc]\ncredential_process = \""+
		write(t, filepath.Join(dir, "bin/my process"), "#!/bin/sh\nprintf '{\"Version\": 1, \"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"secret\", \"SessionToken\": \"token\"}' \"$1\"\n")+"\" PROC\n[profile bad]\ncredential_process = /bin/false\n[profile half]\naws_access_key_id = HALF\n")
	home := filepath.Join(dir, "home")
	until := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	instance := map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": srv.URL}
	type env = map[string]string
	with := func(more ...env) env {
		all := env{"AWS_EC2_METADATA_DISABLED": "true"}
		for _, m := range more {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	container := env{"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.URL + "/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": agent}
	web := env{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_ENDPOINT_URL_STS": srv.URL + "/sts"}
	for _, c := range []struct {
		name string
		env  env
		want *awsauth.Credentials
		code fault.Code
	}{
		{"nobody", with(), nil, fault.OK},
		{"environment before all", with(web, container, env{"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token", "HOME": home}), &awsauth.Credentials{ID: "ENV", Secret: "secret", Token: "token"}, fault.OK},
		{"half an environment", with(env{"AWS_ACCESS_KEY_ID": "ENV"}), nil, fault.BadConfig},
		{"web identity before files", with(web, container, env{"HOME": home}), &awsauth.Credentials{ID: "WEB", Secret: "secret", Token: "token", Expires: until}, fault.OK},
		{"web identity without its token", with(web, env{"AWS_WEB_IDENTITY_TOKEN_FILE": "/none"}), nil, fault.BadConfig},
		{"files before the container", with(container, env{"HOME": home}), &awsauth.Credentials{ID: "FILE", Secret: "secret"}, fault.OK},
		{"another profile", with(env{"HOME": home, "AWS_PROFILE": "other"}), &awsauth.Credentials{ID: "OTHER", Secret: "s=/+", Token: "token"}, fault.OK},
		{"half a profile", with(env{"HOME": home, "AWS_PROFILE": "half"}), nil, fault.BadConfig},
		{"a profile's process", with(env{"HOME": home, "AWS_PROFILE": "proc"}), &awsauth.Credentials{ID: "PROC", Secret: "secret", Token: "token"}, fault.OK},
		{"a profile's process that fails", with(env{"HOME": home, "AWS_PROFILE": "bad"}), nil, fault.Unauthenticated},
		{"a profile without files", with(env{"HOME": dir, "AWS_PROFILE": "other"}), nil, fault.BadConfig},
		{"container", with(container), &awsauth.Credentials{ID: "CONTAINER1", Secret: "secret", Token: "token", Expires: until}, fault.OK},
		{"container elsewhere", with(env{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/"}), nil, fault.BadConfig},
		{"container that refuses", with(container, env{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token}), nil, fault.Unauthenticated},
		{"instance", instance, &awsauth.Credentials{ID: "INSTANCE", Secret: "secret", Token: "token", Expires: until}, fault.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain := awsauth.NewChain(&awsauth.Options{Getenv: func(name string) string { return c.env[name] }, Now: func() time.Time { return now }})
			got, err := chain.Credentials(t.Context())
			if fault.CodeOf(err) != c.code {
				t.Fatalf("got %v, want %v", err, c.code)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := awsauth.NewChain(&awsauth.Options{Getenv: func(name string) string { return env{"HOME": home}[name] }}).Region(); got != "eu-central-1" {
		t.Errorf("region %q, want the configuration's", got)
	}
}

func TestCredentialsAreAskedForBeforeTheyExpire(t *testing.T) {
	srv, asked := agents(t)
	env := map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.URL + "/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "agent's"}
	at := now
	chain := awsauth.NewChain(&awsauth.Options{Getenv: func(name string) string { return env[name] }, Now: func() time.Time { return at }})
	for range 3 {
		if c, err := chain.Credentials(t.Context()); err != nil || c.ID != "CONTAINER1" {
			t.Fatalf("got %+v, %v", c, err)
		}
	}
	at = time.Date(2029, 12, 31, 23, 59, 0, 0, time.UTC)
	if c, err := chain.Credentials(t.Context()); err != nil || c.ID != "CONTAINER2" || *asked != 2 {
		t.Fatalf("a minute before they expire: got %+v, %v", c, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := chain.Credentials(ctx); err == nil {
		t.Error("an ended context was served")
	}
}
