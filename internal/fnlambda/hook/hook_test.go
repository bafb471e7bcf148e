package hook_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"godwit.dev/internal/fnlambda/hook"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	question = `{"DeploymentId":"d-ABC","LifecycleEventHookExecutionId":"eyJ+token/="}`
	key      = "AKIATEST"
	secret   = "secret/of+a=test"
)

// cloud plays Lambda and CodeDeploy.
type cloud struct {
	*httptest.Server
	t  *testing.T
	mu sync.Mutex
	// answer is the version's to the n-th invocation, from 1.
	answer func(w http.ResponseWriter, r *http.Request, n int)
	// codedeploy, if not nil, answers in CodeDeploy's place.
	codedeploy func(w http.ResponseWriter)
	asked      []string // payloads
	told       []string // bodies
}

func newCloud(t *testing.T) *cloud {
	c := &cloud{t: t, answer: func(w http.ResponseWriter, _ *http.Request, n int) { fmt.Fprint(w, answer(n)) }}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/2015-03-31/functions/digits_v-2/invocations" && r.URL.RawQuery == "Qualifier=7" && signed(r, body, "lambda"):
		c.mu.Lock()
		c.asked = append(c.asked, string(body))
		n := len(c.asked)
		c.mu.Unlock()
		c.answer(w, r, n)
	case r.Method == http.MethodPost && r.URL.Path == "/" && r.Header.Get("X-Amz-Target") == "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus" &&
		r.Header.Get("Content-Type") == "application/x-amz-json-1.1" && signed(r, body, "codedeploy"):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, string(body))
		if c.codedeploy != nil {
			c.codedeploy(w)
			return
		}
		fmt.Fprint(w, `{"lifecycleEventHookExecutionId":"eyJ+token/="}`)
	default:
		c.t.Errorf("%s %s, %v", r.Method, r.URL, r.Header)
		w.WriteHeader(http.StatusForbidden)
	}
}

// signed reports whether the request has the signature that AWS's own signer makes.
func signed(r *http.Request, body []byte, service string) bool {
	sum := sha256.Sum256(body)
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.String(), nil)
	if err != nil {
		return false
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") || name == "Content-Type" {
			again.Header[name] = r.Header[name]
		}
	}
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, again, hex.EncodeToString(sum[:]), service, "eu-west-1", at)
	return err == nil && again.Header.Get("Authorization") == r.Header.Get("Authorization")
}

// answer is the one to the n-th request as it is recorded.
func answer(n int) string {
	return fmt.Sprintf(`{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[%d]}]}`, n)
}

// folder has n recorded requests and their answers.
func folder(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, "requests", "m")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		for name, text := range map[string]string{
			"%d.json":      `{"inputs":[{"name":"x","shape":[1],"datatype":"INT32","data":[%d]}]}`,
			"%d.want.json": `{"tolerance":{"y":{"relative":0,"absolute":0.25}},"outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[%d]}]}`,
		} {
			if err := os.WriteFile(filepath.Join(at, fmt.Sprintf(name, i)), fmt.Appendf(nil, text, i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func (c *cloud) hook(t *testing.T, requests func() ([]recorded.Request, error)) *hook.Handler {
	t.Helper()
	env := map[string]string{"AWS_ENDPOINT_URL": c.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
	h, err := hook.New("digits_v-2:7", &hook.Options{Getenv: func(name string) string { return env[name] }, HTTP: c.Client(), Requests: requests})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func loads(dir string) func() ([]recorded.Request, error) {
	return func() ([]recorded.Request, error) { return recorded.Load(dir) }
}

// CodeDeploy is told how it is, whatever goes wrong.
func TestVerdict(t *testing.T) {
	type reply struct {
		Status   string
		Asked    int
		Problems []string
	}
	text := func(status int, header, body string) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, _ *http.Request, n int) {
			if n != 2 {
				fmt.Fprint(w, answer(n))
				return
			}
			if header != "" {
				w.Header().Set("X-Amz-Function-Error", header)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	one := func(problem string) reply { return reply{"Failed", 3, []string{problem}} }
	for _, c := range []struct {
		name     string
		answer   func(http.ResponseWriter, *http.Request, int)
		requests func() ([]recorded.Request, error)
		want     reply
	}{
		{name: "as recorded", want: reply{Status: "Succeeded", Asked: 3}},
		{name: "within the recorded tolerance", answer: text(200, "", strings.Replace(answer(2), "[2]", "[2.25]", 1)), want: reply{Status: "Succeeded", Asked: 3}},
		{name: "beyond it", answer: text(200, "", strings.Replace(answer(2), "[2]", "[2.5]", 1)),
			want: one(`m/2: recorded.Check m/2: output "y": 1 of 1 element differs: at [0] want 2, got 2.5; the largest difference is 0.5 (relative 0.25), 2097152 ULP; the tolerance is 0.25 (relative 0)`)},
		{name: "another output", answer: text(200, "", strings.Replace(answer(2), `"y"`, `"z"`, 1)),
			want: one(`m/2: recorded.Check m/2: output "y": want FP32 [1], got no such output; output "z": want no such output, got FP32 [1]`)},
		{name: "the function's error", answer: text(200, "Unhandled", `{"errorType":"invalid","errorMessage":"want an input \"w\""}`),
			want: one(`m/2: lambda.Invoke digits_v-2:7: want an answer, got the error invalid: want an input "w"`)},
		{name: "a process that was killed", answer: text(200, "Unhandled", `Task timed out`),
			want: one("m/2: lambda.Invoke digits_v-2:7: want an answer, got the error of no name: ")},
		{name: "no answer of the protocol", answer: text(200, "", `null`), want: one(`m/2: codec.DecodeResponse response body: byte 0: want an object, got "null"`)},
		{name: "no permission", answer: text(403, "", `{"Message":"User: arn:… is not authorized"}`),
			want: one("m/2: lambda.Invoke digits_v-2:7: the store says 403: User: arn:… is not authorized")},
		{name: "busy for a moment", answer: func(w http.ResponseWriter, _ *http.Request, n int) {
			switch n {
			case 1:
				fmt.Fprint(w, answer(1))
			case 2:
				w.WriteHeader(http.StatusTooManyRequests)
			default:
				fmt.Fprint(w, answer(n-1))
			}
		}, want: reply{Status: "Succeeded", Asked: 3}},
		{name: "nothing is recorded", requests: loads(t.TempDir()), want: reply{Status: "Failed", Problems: []string{"requests: hook.Check: want recorded requests to compare with, got none"}}},
		{name: "no answer is recorded", requests: func() ([]recorded.Request, error) {
			all, err := loads(folder(t, 2))()
			all[1].Path, all[1].Want = "requests/m/2.json", nil
			return all, err
		}, want: reply{Status: "Failed", Asked: 2, Problems: []string{"m/2: hook.Check requests/m/2.json: want a recorded answer beside it, got none"}}},
		{name: "what is recorded cannot be read", requests: func() ([]recorded.Request, error) { return nil, errors.New("gone") }, want: reply{Status: "Failed", Problems: []string{"requests: gone"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := newCloud(t)
			if c.answer != nil {
				cloud.answer = c.answer
			}
			if c.requests == nil {
				c.requests = loads(folder(t, 3))
			}
			body, err := cloud.hook(t, c.requests).Invoke(t.Context(), []byte(question))
			if err != nil {
				t.Fatal(err)
			}
			var got reply
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			told := []string{`{"deploymentId":"d-ABC","lifecycleEventHookExecutionId":"eyJ+token/=","status":"` + c.want.Status + `"}`}
			if diff := cmp.Diff(told, cloud.told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// A version is asked by the protocol's request, with the model that the folder names.
func TestPayload(t *testing.T) {
	cloud := newCloud(t)
	if _, err := cloud.hook(t, loads(folder(t, 1))).Invoke(t.Context(), []byte(question)); err != nil {
		t.Fatal(err)
	}
	want := []string{`{"model":"m","inputs":[{"name":"x","shape":[1],"datatype":"INT32","data":[1]}]}`}
	if diff := cmp.Diff(want, cloud.asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A version that is wrong throughout is not asked for long, nor is one that hangs.
func TestCheckEnds(t *testing.T) {
	t.Run("ten problems", func(t *testing.T) {
		cloud := newCloud(t)
		cloud.answer = func(w http.ResponseWriter, _ *http.Request, _ int) { fmt.Fprint(w, answer(0)) }
		if _, err := cloud.hook(t, loads(folder(t, 12))).Invoke(t.Context(), []byte(question)); err != nil {
			t.Fatal(err)
		}
		if len(cloud.asked) != 10 || len(cloud.told) != 1 || !strings.Contains(cloud.told[0], "Failed") {
			t.Errorf("asked %d, told %v", len(cloud.asked), cloud.told)
		}
	})
	t.Run("time", func(t *testing.T) {
		cloud := newCloud(t)
		cloud.answer = func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 2 {
				<-r.Context().Done()
				return
			}
			fmt.Fprint(w, answer(n))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		body, err := cloud.hook(t, loads(folder(t, 3))).Invoke(ctx, []byte(question))
		if err != nil || !strings.Contains(string(body), `"time: context deadline exceeded after 2 of 3 requests"`) || !strings.Contains(string(body), `"m/2: `) {
			t.Errorf("%s, %v", body, err)
		}
		if len(cloud.told) != 1 || !strings.Contains(cloud.told[0], "Failed") {
			t.Errorf("told %v", cloud.told)
		}
	})
	t.Run("panic", func(t *testing.T) {
		cloud := newCloud(t)
		defer func() {
			if v := recover(); v != "broken" || len(cloud.told) != 1 || !strings.Contains(cloud.told[0], "Failed") {
				t.Errorf("%v, told %v", v, cloud.told)
			}
		}()
		_, err := cloud.hook(t, func() ([]recorded.Request, error) { panic("broken") }).Invoke(t.Context(), []byte(question))
		t.Errorf("want the panic, got %v", err)
	})
}

// What CodeDeploy answers is the invocation's error, but not that it knows already.
func TestCodeDeployRefuses(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		want       fault.Code
	}{
		{"known already", "LifecycleEventAlreadyCompletedException", fault.OK},
		{"no such deployment", "DeploymentDoesNotExistException", fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := newCloud(t)
			cloud.codedeploy = func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, `{"__type":"com.amazonaws.codedeploy#%s","message":"It is so."}`, c.kind)
			}
			_, err := cloud.hook(t, loads(folder(t, 1))).Invoke(t.Context(), []byte(question))
			if got := fault.CodeOf(err); got != c.want {
				t.Errorf("want %v, got %v", c.want, err)
			}
		})
	}
}

// What is no question of CodeDeploy's has nobody to be answered to.
func TestOtherEvents(t *testing.T) {
	cloud := newCloud(t)
	h := cloud.hook(t, loads(folder(t, 1)))
	for _, payload := range []string{``, `null`, `[]`, `{"DeploymentId":"d"}`, `{"DeploymentId":"","LifecycleEventHookExecutionId":"e"}`, `{"DeploymentId":1,"LifecycleEventHookExecutionId":"e"}`} {
		if _, err := h.Invoke(t.Context(), []byte(payload)); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", payload, err)
		}
	}
	if len(cloud.asked)+len(cloud.told) > 0 {
		t.Errorf("asked %v, told %v", cloud.asked, cloud.told)
	}
}

func TestNew(t *testing.T) {
	for _, target := range []string{"", "f", "f:", ":7", "f:$LATEST", "f:-1", "f:live", "a/b:7", "arn:aws:lambda:f:7", strings.Repeat("f", 65) + ":7", "f:7:8"} {
		if _, err := hook.New(target, nil); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%q: %v", target, err)
		}
	}
	for _, env := range []map[string]string{
		{"AWS_REGION": "eu west"}, {"AWS_ENDPOINT_URL": "http://example.com"}, {"AWS_ENDPOINT_URL_LAMBDA": "ftp://127.0.0.1"},
		{"AWS_ENDPOINT_URL_CODEDEPLOY": "https://user@example.com"},
	} {
		if _, err := hook.New("f:7", &hook.Options{Getenv: func(name string) string { return env[name] }}); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%v: %v", env, err)
		}
	}
}
