package azureml_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azureml"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
)

func TestRoutes(t *testing.T) {
	s := adaptertest.For(t, nil)
	one := &azureml.Options{Model: "echo-FP32"}
	own := &azureml.Options{Liveness: "/", Readiness: "/ready", Scoring: "/predict", Model: "echo-FP32"}
	for name, c := range map[string]struct {
		opts         *azureml.Options
		method, path string
		status       int
		want         string // within the answer
	}{
		"alive":                {nil, "GET", "/v2/health/live", 200, `"live":true`},
		"ready":                {nil, "GET", "/v2/health/ready", 200, `"ready":true`},
		"the only model":       {one, "POST", "/score", 200, `"model_name":"echo-FP32"`},
		"a model by name":      {nil, "POST", "/score?model=echo-FP32", 200, `"model_name":"echo-FP32"`},
		"a version":            {one, "POST", "/score?model=echo-FP32&version=1", 200, `"model_version":"1"`},
		"no such version":      {one, "POST", "/score?version=2", 404, "not_found"},
		"no such model":        {one, "POST", "/score?model=none", 404, "not_found"},
		"a name like a path":   {one, "POST", "/score?model=..%2F..%2Fv2", 400, "invalid"},
		"a name with a route":  {one, "POST", "/score?model=echo-FP32%2Fversions%2F1", 400, "invalid"},
		"none of several":      {nil, "POST", "/score", 400, "Add ?model=NAME"},
		"not a POST":           {one, "GET", "/score", 404, "not_found"},
		"the protocol's route": {one, "POST", "/v2/models/echo-FP32/infer", 200, `"model_name":"echo-FP32"`},
		"own liveness":         {own, "GET", "/", 200, `"live":true`},
		"own readiness":        {own, "GET", "/ready", 200, `"ready":true`},
		"own scoring":          {own, "POST", "/predict", 200, `"model_name":"echo-FP32"`},
		"the default's":        {own, "POST", "/score", 404, "not_found"},
		"one for both":         {&azureml.Options{Liveness: "/", Readiness: "/"}, "GET", "/", 200, `"ready":true`},
	} {
		t.Run(name, func(t *testing.T) {
			w := adaptertest.Ask(azureml.New(s.API, c.opts), c.method, c.path, rawBody, "Content-Type: application/json", "azureml-model-deployment: blue")
			adaptertest.Answered(t, w, c.status, c.want)
		})
	}
	s.API.Drain()
	for path, want := range map[string]int{"/v2/health/live": 200, "/v2/health/ready": 503} {
		adaptertest.Answered(t, adaptertest.Ask(azureml.New(s.API, nil), http.MethodGet, path, ""), want, "")
	}
}

func TestAddressAndFolders(t *testing.T) {
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	if got := azureml.Address(getenv); got != ":5001" {
		t.Errorf("address %s, want :5001", got)
	}
	if got := azureml.Folders(getenv); got != nil {
		t.Errorf("folders %q, want none", got)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "fraud"), 0o700); err != nil {
		t.Fatal(err)
	}
	env["PORT"], env["AZUREML_MODEL_DIR"] = "8080", dir
	if got := azureml.Address(getenv); got != ":8080" {
		t.Errorf("address %s, want :8080", got)
	}
	if diff := cmp.Diff([]string{dir, filepath.Join(dir, "fraud")}, azureml.Folders(getenv)); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
	env["AZUREML_MODEL_DIR"] = filepath.Join(dir, "none")
	if diff := cmp.Diff([]string{filepath.Join(dir, "none")}, azureml.Folders(getenv)); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
}

// What the endpoint's proxy does in the function's stead.
func TestProxy(t *testing.T) {
	i := adapter.Start(t, nil, nil)
	if code, err := i.Raw(t.Context(), "text", http.Header{"Content-Type": {"application/json"}}, make([]byte, 10<<20+1)); err != nil || code != fault.TooLarge {
		t.Errorf("10 MB and a byte: want too_large, got %v, %v", code, err)
	}
	if _, err := i.Deliver(t.Context(), &emulate.Delivery{}); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("an event: want unsupported, got %v", err)
	}
}
