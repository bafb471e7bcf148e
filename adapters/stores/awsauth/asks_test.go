package awsauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
)

const answer = `{"AccessKeyId": "ID", "SecretAccessKey": "secret", "Token": "token", "Expiration": "2030-01-01T00:00:00Z"}`

// chain is one over a wire.
func chain(w *storefake.Wire, env map[string]string) *awsauth.Chain {
	return awsauth.NewChain(&awsauth.Options{Getenv: func(name string) string { return env[name] }, HTTP: &http.Client{Transport: w}, Now: func() time.Time { return now }})
}

// The examples of Amazon's documents ("Signature Calculations for the
// Authorization Header").
func TestSignaturesOfTheDocuments(t *testing.T) {
	for at, want := range map[string]string{
		"https://examplebucket.s3.amazonaws.com/?lifecycle=":         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		"https://examplebucket.s3.amazonaws.com?max-keys=2&prefix=J": "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
	} {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		req := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"X-Amz-Security-Token": {"another's"}, "Accept": {"not signed"}}}
		keys := &awsauth.Credentials{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
		awsauth.Sign(req, keys, "s3", "us-east-1", awsauth.Sum(nil), time.Date(2013, 5, 24, 2, 0, 0, 0, time.FixedZone("", 7200)))
		wantHeader := http.Header{"Accept": {"not signed"}, "X-Amz-Date": {"20130524T000000Z"}, "X-Amz-Content-Sha256": {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
			"Authorization": {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" + want}}
		if diff := cmp.Diff(wantHeader, req.Header); diff != "" {
			t.Errorf("%s (-want +got):\n%s", at, diff)
		}
	}
}

// A token is signed with the rest, and so is the type of what is sent, with its
// spaces as one.
func TestWhatIsSigned(t *testing.T) {
	sign := func(header http.Header, token string) string {
		req := &http.Request{Method: http.MethodPut, URL: &url.URL{Scheme: "https", Host: "h", Path: "/a"}, Header: header}
		awsauth.Sign(req, &awsauth.Credentials{ID: "ID", Secret: "secret", Token: token}, "s3", "us-east-1", awsauth.Sum([]byte("body")), now)
		if got := req.Header.Get("X-Amz-Security-Token"); got != token {
			t.Errorf("the token is %q, want %q", got, token)
		}
		_, rest, _ := strings.Cut(req.Header.Get("Authorization"), "SignedHeaders=")
		return rest
	}
	got := sign(http.Header{"Content-Type": {"a/b;  c"}, "X-Amz-Meta-B": {" x  y", "z"}, "Range": {"bytes=0-1"}}, "token")
	if names, _, _ := strings.Cut(got, ","); names != "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-b;x-amz-security-token" {
		t.Errorf("signed %q", names)
	}
	if again := sign(http.Header{"Content-Type": {"a/b; c"}, "X-Amz-Meta-B": {"x y", "z"}}, "token"); again != got {
		t.Errorf("%q and %q", got, again)
	}
	for _, other := range []http.Header{{"Content-Type": {"a/b;c"}, "X-Amz-Meta-B": {"x y", "z"}}, {"Content-Type": {"a/b; c"}, "X-Amz-Meta-B": {"x y"}}} {
		if again := sign(other, "token"); again == got {
			t.Errorf("%v is signed alike", other)
		}
	}
}

// What is asked of whom, in what form.
func TestWhoIsAsked(t *testing.T) {
	dir := t.TempDir()
	token := write(t, filepath.Join(dir, "token"), " a.web.token\n")
	agent := write(t, filepath.Join(dir, "agent"), "agent's\n")
	const sts = `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ID</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`
	web := func(more ...string) map[string]string {
		env := map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	assume := func(at, session string) []storefake.Asked {
		return []storefake.Asked{{Method: "POST", URL: at, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			Body: "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&RoleSessionName=" + session + "&Version=2011-06-15&WebIdentityToken=a.web.token"}}
	}
	get := func(at string, header http.Header) []storefake.Asked {
		return []storefake.Asked{{Method: "GET", URL: at, Header: header}}
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		body string
		want []storefake.Asked
	}{
		"STS of all":              {web(), sts, assume("https://sts.amazonaws.com", "godwit")},
		"of a region":             {web("AWS_REGION", "eu-west-1"), sts, assume("https://sts.eu-west-1.amazonaws.com", "godwit")},
		"of the default region":   {web("AWS_DEFAULT_REGION", "eu-west-2"), sts, assume("https://sts.eu-west-2.amazonaws.com", "godwit")},
		"of China":                {web("AWS_REGION", "cn-north-1", "AWS_DEFAULT_REGION", "eu-west-1", "AWS_ROLE_SESSION_NAME", "mine"), sts, assume("https://sts.cn-north-1.amazonaws.com.cn", "mine")},
		"another's":               {web("AWS_ENDPOINT_URL", "http://other/"), sts, assume("http://other/", "godwit")},
		"another's own":           {web("AWS_ENDPOINT_URL", "http://other/", "AWS_ENDPOINT_URL_STS", "http://sts/"), sts, assume("http://sts/", "godwit")},
		"the container's":         {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/y"}, answer, get("http://169.254.170.2/v2/x", http.Header{})},
		"the container's, so":     {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "v2/x"}, answer, get("http://169.254.170.2/v2/x", http.Header{})},
		"an agent":                {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost:7/y", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "mine"}, answer, get("http://localhost:7/y", http.Header{"Authorization": {"mine"}})},
		"an agent, by a file":     {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.9/y", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "mine", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": agent}, answer, get("http://127.0.0.9/y", http.Header{"Authorization": {"agent's"}})},
		"an agent of ECS":         {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/y"}, answer, get("http://169.254.170.2/y", http.Header{})},
		"an agent of EKS":         {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/y"}, answer, get("http://169.254.170.23/y", http.Header{})},
		"an agent of EKS in IPv6": {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/y"}, answer, get("http://[fd00:ec2::23]/y", http.Header{})},
		"anybody, with TLS":       {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://example.com/y"}, answer, get("https://example.com/y", http.Header{})},
	} {
		t.Run(name, func(t *testing.T) {
			w := storefake.Script(storefake.Says(200, tt.body))
			got, err := chain(w, tt.env).Credentials(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&awsauth.Credentials{ID: "ID", Secret: "secret", Token: "token", Expires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, w.All()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// The instance is asked in its second version, and for the first of its roles.
func TestInstance(t *testing.T) {
	const roles = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
	for name, env := range map[string]map[string]string{"its own": {}, "another": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://[fd00:ec2::254]/"}} {
		w := storefake.Script(storefake.Says(200, "imds"), storefake.Says(200, " the role\nanother\n"), storefake.Says(200, strings.Replace(answer, "Token", "SessionToken", 1)))
		got, err := chain(w, env).Credentials(t.Context())
		if err != nil || got == nil || got.ID != "ID" || got.Token != "token" {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		at := func(text string) string {
			if env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] != "" {
				return strings.Replace(text, "169.254.169.254", "[fd00:ec2::254]", 1)
			}
			return text
		}
		header := http.Header{"X-Aws-Ec2-Metadata-Token": {"imds"}}
		want := []storefake.Asked{
			{Method: "PUT", URL: at("http://169.254.169.254/latest/api/token"), Header: http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"21600"}}},
			{Method: "GET", URL: at(roles), Header: header}, {Method: "GET", URL: at(roles + "the%20role"), Header: header},
		}
		if diff := cmp.Diff(want, w.All()); diff != "" {
			t.Errorf("%s: asked (-want +got):\n%s", name, diff)
		}
	}
	for name, tt := range map[string]struct {
		env     map[string]string
		answers []func() (*http.Response, error)
		asked   int
		want    fault.Code
	}{
		"switched off": {map[string]string{"AWS_EC2_METADATA_DISABLED": "TRUE"}, nil, 0, fault.OK},
		"a function":   {map[string]string{"AWS_LAMBDA_FUNCTION_NAME": "f"}, nil, 0, fault.OK},
		"no instance":  {nil, []func() (*http.Response, error){storefake.Fails(errors.New("no route"))}, 1, fault.OK},
		"no role":      {nil, []func() (*http.Response, error){storefake.Says(200, "t"), storefake.Says(404, "")}, 2, fault.OK},
		"no answer":    {nil, []func() (*http.Response, error){storefake.Says(200, "t"), storefake.Says(200, "r"), storefake.Says(500, "")}, 3, fault.Unavailable},
		"no keys":      {nil, []func() (*http.Response, error){storefake.Says(200, "t"), storefake.Says(200, "r"), storefake.Says(200, "{}")}, 3, fault.BadConfig},
	} {
		w := storefake.Script(tt.answers...)
		c := chain(w, tt.env)
		got, err := c.Credentials(t.Context())
		if got != nil || fault.CodeOf(err) != tt.want || len(w.All()) != tt.asked {
			t.Errorf("%s: %+v, %v after %d requests", name, got, err, len(w.All()))
		}
		if again, err := c.Credentials(t.Context()); tt.want == fault.OK && (again != nil || err != nil || len(w.All()) != tt.asked) {
			t.Errorf("%s, again: %+v, %v after %d requests, want nobody asked again", name, again, err, len(w.All()))
		}
	}
}

// What agents say that is no good has the code of who can mend it.
func TestAgentsThatFail(t *testing.T) {
	agent := map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/"}
	web := map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": write(t, filepath.Join(t.TempDir(), "token"), "t"), "AWS_ROLE_ARN": "arn"}
	for name, tt := range map[string]struct {
		env    map[string]string
		answer func() (*http.Response, error)
		want   fault.Code
	}{
		"refused":          {agent, storefake.Says(403, ""), fault.Unauthenticated},
		"not there":        {agent, storefake.Says(404, ""), fault.Unauthenticated},
		"down":             {agent, storefake.Says(500, ""), fault.Unavailable},
		"elsewhere":        {agent, storefake.Says(302, ""), fault.Unavailable},
		"created":          {agent, storefake.Says(201, answer), fault.Unavailable},
		"away":             {agent, storefake.Fails(errors.New("reset")), fault.Unavailable},
		"no JSON":          {agent, storefake.Says(200, "keys"), fault.Unavailable},
		"too much":         {agent, storefake.Says(200, strings.Repeat(" ", 256<<10)+answer), fault.Unavailable},
		"nearly too much":  {agent, storefake.Says(200, strings.Repeat(" ", 256<<10-len(answer))+answer), fault.OK},
		"STS, no XML":      {web, storefake.Says(200, "keys"), fault.Unavailable},
		"STS refuses":      {web, storefake.Says(403, ""), fault.Unauthenticated},
		"STS without keys": {web, storefake.Says(200, "<AssumeRoleWithWebIdentityResponse/>"), fault.BadConfig},
		"half an agent's":  {agent, storefake.Says(200, `{"AccessKeyId": "ID"}`), fault.BadConfig},
		"no address":       {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[::1"}, nil, fault.BadConfig},
		"of another":       {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.3/"}, nil, fault.BadConfig},
		"of an odd kind":   {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "ftp://localhost/"}, nil, fault.BadConfig},
		"without its file": {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/none"}, nil, fault.BadConfig},
	} {
		c := chain(storefake.Script(tt.answer), tt.env)
		for range 2 { // what failed is asked again
			if _, err := c.Credentials(t.Context()); fault.CodeOf(err) != tt.want {
				t.Errorf("%s: %v, want %v", name, err, tt.want)
			}
		}
	}
	// Half of what a web identity needs is none.
	for _, env := range []map[string]string{{"AWS_WEB_IDENTITY_TOKEN_FILE": "/none", "AWS_EC2_METADATA_DISABLED": "true"}, {"AWS_ROLE_ARN": "arn", "AWS_EC2_METADATA_DISABLED": "true"}} {
		if got, err := chain(nil, env).Credentials(t.Context()); got != nil || err != nil {
			t.Errorf("%v: %+v, %v", env, got, err)
		}
	}
	if got, err := chain(nil, map[string]string{"AWS_SECRET_ACCESS_KEY": "secret"}).Credentials(t.Context()); got != nil || fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("a secret alone: %+v, %v", got, err)
	}
}

// never answers until the request's end.
func never(r *http.Request, _ string, _ int) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Who says nothing is waited for, for ten seconds, and for five where it may be
// that nobody is there; nobody is waited for longer than the caller has time.
func TestTimesOfAgents(t *testing.T) {
	agent := map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/"}
	for name, tt := range map[string]struct {
		env   map[string]string
		limit time.Duration
		want  time.Duration
		code  fault.Code
	}{
		"an agent":             {agent, time.Hour, 10 * time.Second, fault.Unavailable},
		"perhaps an instance":  {nil, time.Hour, 5 * time.Second, fault.OK},
		"the caller's own":     {agent, time.Second, time.Second, fault.DeadlineExceeded},
		"the caller's, nobody": {nil, 5 * time.Second, 5 * time.Second, fault.OK},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			begun := time.Now()
			_, err := chain(&storefake.Wire{Answer: never}, tt.env).Credentials(ctx)
			if fault.CodeOf(err) != tt.code || time.Since(begun) != tt.want {
				t.Errorf("%s: %v after %v, want %v after %v", name, err, time.Since(begun), tt.code, tt.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // one asks, and the others take what it gets
		w := &storefake.Wire{}
		w.Answer = func(*http.Request, string, int) (*http.Response, error) {
			<-time.After(time.Second)
			return storefake.Says(200, answer)()
		}
		c := chain(w, agent)
		done := make(chan error, 3)
		for range 3 {
			go func() {
				got, err := c.Credentials(t.Context())
				if err == nil && got.ID != "ID" {
					err = errors.New("others")
				}
				done <- err
			}()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		<-time.After(time.Millisecond)
		if _, err := c.Credentials(ctx); err != context.DeadlineExceeded {
			t.Errorf("while another asks: %v", err)
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := len(w.All()); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// Credentials are used until two minutes before their end, and those without one
// for ever.
func TestUntilWhenCredentialsAreUsed(t *testing.T) {
	at := now
	w := storefake.Script(storefake.Says(200, answer))
	c := awsauth.NewChain(&awsauth.Options{Getenv: func(name string) string {
		return map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/"}[name]
	}, HTTP: &http.Client{Transport: w}, Now: func() time.Time { return at }})
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, tt := range []struct {
		at    time.Time
		asked int
	}{{now, 1}, {end.Add(-2*time.Minute - time.Nanosecond), 1}, {end.Add(-2 * time.Minute), 2}, {end.Add(time.Hour), 3}, {now, 3}} {
		at = tt.at
		if _, err := c.Credentials(t.Context()); err != nil || len(w.All()) != tt.asked {
			t.Errorf("number %d: %v, asked %d times, want %d", i, err, len(w.All()), tt.asked)
		}
	}
	env := map[string]string{"AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "secret"}
	c = awsauth.NewChain(&awsauth.Options{Getenv: func(name string) string { return env[name] }})
	for range 2 {
		if got, err := c.Credentials(t.Context()); err != nil || got.ID != "ID" || !got.Expires.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		env["AWS_ACCESS_KEY_ID"] = "another"
	}
	t.Run("no options", func(t *testing.T) {
		if got := awsauth.NewChain(nil).Region(); got != "" {
			t.Errorf("the region of nobody is %q", got)
		}
	})
}

// The shared files are read as the SDKs read them.
func TestSharedFiles(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	write(t, filepath.Join(bin, "aws"), "#!/bin/sh\nprintf '{\"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"secret\"}' \"$*\"\n")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	credentials := write(t, filepath.Join(dir, "c"), strings.Join([]string{
		"aws_access_key_id = before any section", "[default]", "; a comment", "# another", "AWS_ACCESS_KEY_ID = DEFAULT ", "aws_secret_access_key=s=1", " aws_session_token = nested", "\taws_session_token = nested",
		"[ one  two ] # words", "aws_access_key_id = SPACED", "aws_secret_access_key = s", "[role]", "aws_access_key_id = LONG", "aws_secret_access_key = s", "[both]", "aws_access_key_id = FIRST", "aws_secret_access_key = s", "empty", "",
	}, "\n"))
	config := write(t, filepath.Join(dir, "f"), strings.Join([]string{
		"[profile role]", "role_arn = arn", "region = eu-west-3", "[profile sso]", "sso_session = s", "[profile start]", "sso_start_url = u", "[profile login]", "login_session = l",
		"[profile both]", "aws_access_key_id = SECOND", "region = eu-west-1", "[profile nothing]", "region = eu-west-2", "[both]", "region = not a profile's", "[profile default]", "region = eu-north-1",
		"[profile quoted]", `credential_process = "unclosed`, "[profile words]", `credential_process =  printf "%s" 	"{\"` + `"`,
		"[profile out]", `credential_process = printf {}`, "[profile garbage]", `credential_process = printf "no JSON"`, "[profile kept]", "region = ", "",
	}, "\n"))
	const export = "configure export-credentials --format process --profile "
	for name, tt := range map[string]struct {
		id     string
		region string
		code   fault.Code
	}{
		"":        {"DEFAULT", "eu-north-1", fault.OK},
		"one two": {"SPACED", "", fault.OK},
		"role":    {export + "role", "eu-west-3", fault.OK},
		"sso":     {export + "sso", "", fault.OK},
		"start":   {export + "start", "", fault.OK},
		"login":   {export + "login", "", fault.OK},
		"both":    {"FIRST", "eu-west-1", fault.OK},
		"nothing": {"", "eu-west-2", fault.OK},
		"none":    {"", "", fault.OK},
		"quoted":  {"", "", fault.BadConfig},
		"out":     {"", "", fault.BadConfig},
		"garbage": {"", "", fault.Unavailable},
		"kept":    {"", "", fault.OK},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
				c := chain(nil, map[string]string{variable: name, "AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": config, "AWS_EC2_METADATA_DISABLED": "true"})
				got, err := c.Credentials(t.Context())
				if fault.CodeOf(err) != tt.code || (got == nil) != (tt.id == "") || got != nil && (got.ID != tt.id || got.Token != "") {
					t.Errorf("%+v, %v; want %q, %v", got, err, tt.id, tt.code)
				}
				if region := c.Region(); region != tt.region {
					t.Errorf("region %q, want %q", region, tt.region)
				}
			}
		})
	}
	both := map[string]string{"AWS_PROFILE": "both", "AWS_DEFAULT_PROFILE": "role", "AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_REGION": "r1", "AWS_DEFAULT_REGION": "r2"}
	if got, err := chain(nil, both).Credentials(t.Context()); err != nil || got.ID != "FIRST" {
		t.Errorf("AWS_PROFILE goes first: %+v, %v", got, err)
	}
	if got := chain(nil, both).Region(); got != "r1" {
		t.Errorf("AWS_REGION goes first: %q", got)
	}
	write(t, filepath.Join(dir, "user/.aws/credentials"), "[default]\naws_access_key_id = USER\naws_secret_access_key = s\n")
	if got, err := chain(nil, map[string]string{"USERPROFILE": filepath.Join(dir, "user")}).Credentials(t.Context()); err != nil || got == nil || got.ID != "USER" {
		t.Errorf("of USERPROFILE: %+v, %v", got, err)
	}
	if _, err := chain(nil, map[string]string{"AWS_PROFILE": "gone"}).Credentials(t.Context()); fault.CodeOf(err) != fault.BadConfig || fault.HintOf(err) == "" {
		t.Errorf("a profile of no files: %v", err)
	}
	if got, err := chain(nil, map[string]string{"AWS_PROFILE": "default", "AWS_EC2_METADATA_DISABLED": "true"}).Credentials(t.Context()); got != nil || err != nil {
		t.Errorf("the default of no files: %+v, %v", got, err)
	}
	failing := write(t, filepath.Join(dir, "g"), "[profile x]\ncredential_process = "+write(t, filepath.Join(bin, "gone"), "#!/bin/sh\nexit 3\n")+"\n")
	if _, err := chain(nil, map[string]string{"AWS_PROFILE": "x", "AWS_CONFIG_FILE": failing}).Credentials(t.Context()); fault.CodeOf(err) != fault.Unauthenticated || !strings.Contains(fault.HintOf(err), "aws sso login --profile x") || !strings.Contains(err.Error(), "gone: ") {
		t.Errorf("a process that fails: %v (%s)", err, fault.HintOf(err))
	}
}
