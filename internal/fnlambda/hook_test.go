package fnlambda_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/internal/emulate"
)

// cloud invokes version as Lambda does, and keeps what CodeDeploy is told.
func cloud(t *testing.T, version *emulate.Instance, told *[]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch {
		case r.URL.Path == "/2015-03-31/functions/digits/invocations" && r.URL.RawQuery == "Qualifier=7":
			reply, err := version.Deliver(r.Context(), &emulate.Delivery{Body: body})
			if err != nil {
				t.Error(err)
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			if reply.Status != http.StatusOK {
				w.Header().Set("X-Amz-Function-Error", "Unhandled")
			}
			_, _ = w.Write(reply.Body)
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutLifecycleEventHookExecutionStatus"):
			var status struct{ Status string }
			if err := json.Unmarshal(body, &status); err != nil {
				t.Error(err)
			}
			*told = append(*told, status.Status)
			fmt.Fprint(w, `{}`)
		default:
			t.Errorf("%s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The hook's function lets the version through that answers as its package has
// recorded it, and says of another one which requests it answers otherwise.
func TestHook(t *testing.T) {
	digits, err := filepath.Abs("../../examples/digits")
	if err != nil {
		t.Fatal(err)
	}
	// The same model with some weights in other places.
	other := t.TempDir()
	model, err := os.ReadFile(filepath.Join(digits, "digits.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 20022; i < 20022+8000; i++ { // where the last layer's begin
		model[i], model[i+8000] = model[i+8000], model[i]
	}
	for name, data := range map[string][]byte{"godwit.yaml": []byte("model: digits.onnx\n"), "digits.onnx": model} {
		if err := os.WriteFile(filepath.Join(other, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, version, status string
		problems              []string // the requests that they begin with
	}{
		{"as recorded", digits, "Succeeded", nil},
		{"another model", other, "Failed", []string{"digits/1", "digits/2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out output
			direct := &emulate.Options{Variant: "direct"}
			version, err := emulate.Start(t.Context(), "awslambda", launch(&out, "GODWIT_FUNCTION="+c.version), direct)
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			t.Cleanup(version.Kill)
			var told []string
			var said output
			// Nothing of an engine is there: a hook loads no model.
			hook, err := emulate.Start(t.Context(), "awslambda", launch(&said, "GODWIT_FUNCTION="+digits, "GODWIT_HOOK=digits:7", "GODWIT_ONNXRUNTIME=/nowhere",
				"AWS_ENDPOINT_URL="+cloud(t, version, &told), "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=secret"), direct)
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			t.Cleanup(hook.Kill)
			reply, err := hook.Deliver(t.Context(), &emulate.Delivery{Body: []byte(`{"DeploymentId":"d-ABC","LifecycleEventHookExecutionId":"eyJ"}`)})
			if err != nil || reply.Status != http.StatusOK {
				t.Fatalf("%+v, %v\n%s", reply, err, said.String())
			}
			var verdict struct {
				Status   string
				Asked    int
				Problems []string
			}
			if err := json.Unmarshal(reply.Body, &verdict); err != nil {
				t.Fatal(err)
			}
			if len(told) != 1 || told[0] != c.status || verdict.Status != c.status || verdict.Asked != 8 || (len(verdict.Problems) > 0) != (c.problems != nil) {
				t.Errorf("told %v, said %s", told, reply.Body)
			}
			for _, name := range c.problems {
				if !strings.Contains(string(reply.Body), `"`+name+`: `) {
					t.Errorf("want %s named, got %s", name, reply.Body)
				}
			}
			for _, i := range []*emulate.Instance{hook, version} {
				if err := i.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A hook that names no version cannot start, and says so.
func TestHookCannotStart(t *testing.T) {
	var out output
	_, err := emulate.Start(t.Context(), "awslambda", launch(&out, "GODWIT_HOOK=digits"), nil)
	if err == nil || !strings.Contains(err.Error(), "GODWIT_HOOK") || !strings.Contains(err.Error(), "digits:7") {
		t.Errorf("want the reason, got %v\n%s", err, out.String())
	}
}
