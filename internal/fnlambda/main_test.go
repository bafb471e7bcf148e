package fnlambda_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"godwit.dev/internal/app"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/fnlambda"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/ort"
)

// TestMain is fn-lambda as well, when an emulator starts it.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(fnlambda.Main(ctx, app.OS(), fnlambda.Parts{Engine: ort.New}))
}

// output is what a process has written, also while it writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func launch(out *output, env ...string) emulate.Launch {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return emulate.Command(path, nil, append(env, "HOME="+os.Getenv("HOME"), "XDG_CACHE_HOME="+os.Getenv("XDG_CACHE_HOME"),
		"GODWIT_ONNXRUNTIME="+os.Getenv("GODWIT_ONNXRUNTIME"), "GORACE=atexit_sleep_ms=0"), out, out)
}

func TestNotOnLambda(t *testing.T) {
	var out output
	code := fnlambda.Main(t.Context(), app.Process{Getenv: func(string) string { return "" }, Stderr: &out}, fnlambda.Parts{Engine: ort.New})
	if code != fault.BadConfig.Exit() || !strings.Contains(out.String(), "godwit serve --as awslambda") {
		t.Errorf("got %d, %s", code, out.String())
	}
}

// A start that fails says why to the platform.
func TestCannotStart(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"godwit.yaml": "model: gone.onnx\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out output
	_, err := emulate.Start(t.Context(), "awslambda", launch(&out, "LAMBDA_TASK_ROOT="+dir), nil)
	if err == nil || !strings.Contains(err.Error(), "the function reports Runtime.") || !strings.Contains(err.Error(), "gone.onnx") {
		t.Errorf("want the reason, got %v\n%s", err, out.String())
	}
}

// The example answers a direct invocation, prints its metrics before that, and
// ends within Lambda's grace.
func TestDigits(t *testing.T) {
	dir, err := filepath.Abs("../../examples/digits")
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(dir, "requests", "digits", "1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out output
	i, err := emulate.Start(t.Context(), "awslambda", launch(&out, "GODWIT_FUNCTION="+dir), &emulate.Options{Variant: "direct"})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Cleanup(i.Kill)
	reply, err := i.Deliver(t.Context(), &emulate.Delivery{Body: body})
	if err != nil || reply.Retry || !bytes.Contains(reply.Body, []byte(`"model_name":"digits"`)) {
		t.Errorf("%+v, %v", reply, err)
	}
	late := bytes.Replace(body, []byte("{"), []byte(`{"parameters":{"timeout":1},`), 1) // a microsecond
	if reply, err := i.Deliver(t.Context(), &emulate.Delivery{Body: late}); err != nil || !reply.Retry {
		t.Errorf("%+v, %v", reply, err)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{`"ComputeTime":`, `"StartLoad":`, `"StartWarmup":`, `"StartReady":`, `"ExecutedVersion":"$LATEST","Faults":1`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want the metric %s, got\n%s", want, out.String())
		}
	}
}

// An API mapping of a domain is no part of the path.
func TestBasePath(t *testing.T) {
	row := `{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`
	dir := t.TempDir()
	start := func(yaml string) *emulate.Instance {
		t.Helper()
		for name, data := range map[string][]byte{"godwit.yaml": []byte("model: addsub.onnx\n" + yaml), "addsub.onnx": testmodels.AddSub().Bytes()} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var out output
		i, err := emulate.Start(t.Context(), "awslambda", launch(&out, "GODWIT_FUNCTION="+dir, "GODWIT_OUTPUT="+dir), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		t.Cleanup(i.Kill)
		return i
	}
	for yaml, want := range map[string]int{"": 404, "targets: {awslambda: {basePath: /models}}\n": 200} {
		i := start(yaml)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://f/models/v2/models/addsub/infer", strings.NewReader(row))
		r.Header.Set("Content-Type", "application/json")
		resp, err := i.RoundTrip(r)
		if err != nil || resp.StatusCode != want {
			t.Errorf("%q: %+v, %v; want %d", yaml, resp, err, want)
		}
		i.Kill()
	}
}
