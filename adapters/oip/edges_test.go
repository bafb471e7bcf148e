package oip_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/oip"
	"godwit.dev/internal/golden"
	"godwit.dev/runtime/codec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/tensor"
)

// Each route, and what its caller must be allowed.
func TestScopesOfRoutes(t *testing.T) {
	f := newFixture(t, &oip.Options{Metrics: text("the metrics"), Page: text("the page")})
	want := map[string]oip.Scope{
		"/v2/health/live": "", "/v2/health/ready": "", "/v2": "metadata", "/v2/{$}": "metadata", "/v2/models/stats": "metadata",
		"POST /v2/repository/index": "metadata", "POST /v2/repository/models/{model}/load": "admin", "POST /v2/repository/models/{model}/unload": "admin",
		"/openapi.json": "metadata", "/metrics": "metrics", "/{$}": "metadata",
	}
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		for path, scope := range map[string]oip.Scope{"": "metadata", "/ready": "metadata", "/config": "metadata", "/stats": "metadata"} {
			want[model+path] = scope
		}
		want["POST "+model+"/infer"] = "infer"
	}
	got := map[string]oip.Scope{}
	for _, route := range f.Routes() {
		name := route.Pattern
		if route.Method == http.MethodPost {
			name = "POST " + name
		}
		if had, twice := got[name]; twice && had != route.Scope {
			t.Errorf("%s needs %q and %q", name, had, route.Scope)
		}
		got[name] = route.Scope
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// As they are asked for, too: those who may not learn nothing of what there is.
	guarded := newFixture(t, &oip.Options{Auth: scoped{}, Metrics: text("m"), Page: text("p")})
	for name, scope := range want {
		method, pattern, posted := strings.Cut(name, " ")
		if !posted {
			method, pattern = http.MethodGet, name
		}
		path := strings.NewReplacer("{model}", "addsub", "{version}", "1", "{$}", "").Replace(pattern)
		for _, shown := range []oip.Scope{"", "infer", "metadata", "metrics", "admin"} {
			w := do(guarded, method, path, "", "X-Scope", string(shown), "Content-Type", "application/json")
			if let := w.Code != http.StatusForbidden; let != (scope == "" || shown == scope) {
				t.Errorf("%s %s for who may %q: %d", method, path, shown, w.Code)
			}
		}
	}
	for _, path := range []string{"/nowhere", "//", "/v2/models/addsub/nowhere"} {
		if w := do(guarded, "GET", path, "", "X-Scope", "infer"); w.Code != http.StatusForbidden {
			t.Errorf("%s for who may not know what there is: %d", path, w.Code)
		}
	}
}

// The document of a server with callers to check, strings for NaN, and every
// kind of dimension and element.
func TestOpenAPIGoldenOfAnother(t *testing.T) {
	f := newFixture(t, &oip.Options{Name: "acme", Version: "7", Auth: everybody{}, NaN: codec.NaNString}, "nan")
	engine := memengine.New(map[string]memengine.Model{"ints": memengine.Identity(tensor.Int16, 2, -1), "scalar": memengine.Identity(tensor.Bool)})
	for _, m := range []struct{ name, version string }{{"ints", "1_2"}, {"scalar", "1"}} {
		model, err := infer.Load(t.Context(), engine, m.name, &infer.Options{Name: m.name, Version: m.version, Digest: "sha256:01"})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.registry.Add(model); err != nil {
			t.Fatal(err)
		}
	}
	golden.Check(t, "openapi-another.json", do(f, "GET", "/openapi.json", "").Body.Bytes())
}

func TestDefaults(t *testing.T) {
	got := newFixture(t, nil).Options()
	limits := (*codec.Limits)(nil).WithDefaults()
	if diff := cmp.Diff(&limits, got.Limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	type plain struct {
		Name, Version, Target string
		Memory                int64
		Ratio                 int
	}
	if diff := cmp.Diff(plain{"godwit", "dev", "local", 512 << 20, 100}, plain{got.Name, got.Version, got.Target, got.BodyMemory, got.CompressionRatio}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	given := newFixture(t, &oip.Options{Name: "a", Version: "b", Target: "c", BodyMemory: 100, CompressionRatio: 1, Limits: &codec.Limits{Body: 1000}}).Options()
	if diff := cmp.Diff(plain{"a", "b", "c", 1000 + 1 + tensor.Alignment, 1}, plain{given.Name, given.Version, given.Target, given.BodyMemory, given.CompressionRatio}); diff != "" {
		t.Errorf("as given (-want +got):\n%s", diff)
	}
	bare := oip.New(&infer.Registry{}, nil, nil).Options() // what is called must be there
	bare.Sink.Start("", 0)
	bare.Log.Info("")
	if err := bare.Ready(); err != nil {
		t.Error(err)
	}
}

func TestMetadataIsWhole(t *testing.T) {
	f := newFixture(t, nil)
	want := oip.ServerMetadata{Name: "godwit", Version: "dev", Extensions: []string{"binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"}}
	if diff := cmp.Diff(want, f.Metadata()); diff != "" {
		t.Errorf("server (-want +got):\n%s", diff)
	}
	model, err := f.Model("text", "1")
	if err != nil {
		t.Fatal(err)
	}
	one := []oip.TensorMetadata{{Name: "x", Datatype: "BYTES", Shape: []int64{-1}}}
	if diff := cmp.Diff(oip.ModelMetadata{Name: "text", Versions: []string{"1"}, Platform: "go", Inputs: one, Outputs: []oip.TensorMetadata{{Name: "y", Datatype: "BYTES", Shape: []int64{-1}}},
		Properties: map[string]string{"digest": "sha256:00", "engine": "memengine", "provider": "cpu", "triton_platform": "memengine_onnx"}}, model); diff != "" {
		t.Errorf("model (-want +got):\n%s", diff)
	}
	config, err := f.Config("text", "1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(oip.ModelConfig{Name: "text", Platform: "memengine_onnx", Backend: "memengine",
		Input: []oip.TensorConfig{{Name: "x", DataType: "TYPE_STRING", Dims: []int64{-1}}}, Output: []oip.TensorConfig{{Name: "y", DataType: "TYPE_STRING", Dims: []int64{-1}}}}, config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if err := f.registry.Declare("loading", "1"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, version string
		ready         bool
		code          fault.Code
	}{{"text", "1", true, fault.OK}, {"loading", "", false, fault.OK}, {"none", "", false, fault.NotFound}, {"a b", "", false, fault.Invalid}, {"text", "/", false, fault.Invalid}} {
		if ready, err := f.ModelReady(tt.name, tt.version); ready != tt.ready || fault.CodeOf(err) != tt.code {
			t.Errorf("%q %q: ready %v, %v", tt.name, tt.version, ready, err)
		}
	}
	if all, ready := f.Index(false), f.Index(true); len(all) != 6 || len(ready) != 5 {
		t.Errorf("%d versions, %d of them ready", len(all), len(ready))
	}
	w := do(f, "POST", "/v2/repository/index", `{"ready":true}`, "Content-Type", "application/json")
	if strings.Contains(w.Body.String(), "loading") || !strings.Contains(w.Body.String(), `"READY"`) {
		t.Errorf("only those that are ready: %s", w.Body)
	}
	for body, text := range map[string]string{`{"ready":1}`: "got a number", `{`: "unexpected end", strings.Repeat(" ", 64<<10): "unexpected end"} {
		if w := do(f, "POST", "/v2/repository/index", body); w.Code != 400 || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%.20q: %d %s, want %q", body, w.Code, w.Body, text)
		}
	}
}

// Statistics are of what ran, for one model and for all.
func TestStatisticsCount(t *testing.T) {
	f := newFixture(t, nil)
	before := time.Now().Add(-time.Second).UnixMilli()
	for range 2 {
		decode(t, infers(f, "flat", `{"inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":[1,2,3]}]}`))
	}
	var got struct {
		ModelStats []struct {
			Name           string
			LastInference  int64 `json:"last_inference"`
			InferenceCount int   `json:"inference_count"`
			ExecutionCount int   `json:"execution_count"`
			InferenceStats struct {
				Success, Fail, Queue   struct{ Count, NS int64 }
				ComputeInfer           struct{ Count, NS int64 } `json:"compute_infer"`
				ComputeInput, CacheHit struct{ Count, NS int64 }
			} `json:"inference_stats"`
			BatchStats []struct {
				BatchSize    int                       `json:"batch_size"`
				ComputeInfer struct{ Count, NS int64 } `json:"compute_infer"`
			} `json:"batch_stats"`
		} `json:"model_stats"`
	}
	if err := json.Unmarshal(do(f, "GET", "/v2/models/flat/stats", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.ModelStats) != 1 {
		t.Fatalf("got %+v", got)
	}
	st := got.ModelStats[0]
	if st.Name != "flat" || st.LastInference < before || st.LastInference > time.Now().UnixMilli() || st.InferenceCount < 2 || st.ExecutionCount != 2 {
		t.Errorf("got %+v", st)
	}
	in := st.InferenceStats
	if in.Success.Count != 2 || in.Fail.Count != 0 || in.Queue.Count != 2 || in.ComputeInfer.Count != 2 || in.Success.NS <= 0 || in.Success.NS > int64(time.Minute) || in.CacheHit.Count != 0 {
		t.Errorf("got %+v", in)
	}
	if len(st.BatchStats) != 1 || st.BatchStats[0].BatchSize != 3 && st.BatchStats[0].BatchSize != 1 || st.BatchStats[0].ComputeInfer.Count != 2 {
		t.Errorf("got %+v", st.BatchStats)
	}
	if err := f.registry.Declare("loading", "1"); err != nil {
		t.Fatal(err)
	}
	all, err := f.Statistics("", "")
	if err != nil || len(all) != 5 {
		t.Errorf("%d models, %v; want the five that are ready", len(all), err)
	}
	if _, err := f.Statistics("none", ""); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no model: %v", err)
	}
}

// A handler that was handed in and panics in the middle of its answer has the
// connection dropped; before it, it is an error like any other.
func TestPagesThatPanic(t *testing.T) {
	for name, tt := range map[string]struct {
		page  func(w http.ResponseWriter)
		drops bool
	}{
		"at once":            {func(http.ResponseWriter) { panic("now") }, false},
		"after its status":   {func(w http.ResponseWriter) { w.WriteHeader(201); panic("now") }, true},
		"in its answer":      {func(w http.ResponseWriter) { _, _ = w.Write([]byte("half")); panic("now") }, true},
		"through the writer": {func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush(); panic("now") }, false},
		"by itself":          {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, &oip.Options{Page: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.page(w) })})
			w := httptest.NewRecorder()
			dropped := func() (p any) {
				defer func() { p = recover() }()
				f.ServeHTTP(w, httptest.NewRequest("GET", "/", http.NoBody))
				return nil
			}()
			if (dropped == http.ErrAbortHandler) != tt.drops {
				t.Errorf("ended with %v, want the connection dropped: %v", dropped, tt.drops)
			}
			if name == "at once" && w.Code != 500 || name == "through the writer" && !w.Flushed {
				t.Errorf("got %d, flushed %v", w.Code, w.Flushed)
			}
		})
	}
}

// What stands in the way of inferences does not count as one that was asked for
// elsewhere, and is counted where it is one.
func TestWhoIsNotLetInIsCounted(t *testing.T) {
	full := fault.New(fault.Unavailable, "app.Admit", "", "memory is full")
	f := newFixture(t, &oip.Options{Auth: scoped{}, Admit: func() error { return full }})
	for _, tt := range []struct {
		path, scope string
		status      int
		counted     fault.Code // OK: not
	}{
		{"/v2/models/addsub/infer", "infer", 503, fault.Unavailable},
		{"/v2/models/addsub/infer", "metadata", 403, fault.Denied},
		{"/v2/repository/index", "infer", 403, fault.OK},
		{"/v2/repository/index", "metadata", 200, fault.OK},
	} {
		f.sink.requests = nil
		if w := do(f, "POST", tt.path, "", "X-Scope", tt.scope); w.Code != tt.status {
			t.Errorf("%s for who may %s: %d, want %d", tt.path, tt.scope, w.Code, tt.status)
		}
		switch got := f.sink.requests; {
		case tt.counted == fault.OK && len(got) != 0, tt.counted != fault.OK && len(got) != 1:
			t.Errorf("%s for who may %s: %+v", tt.path, tt.scope, got)
		case len(got) == 1 && (got[0].Code != tt.counted || got[0].Model != "other" || got[0].Duration < 0 || got[0].Duration > time.Minute):
			t.Errorf("%s for who may %s: %+v", tt.path, tt.scope, got[0])
		}
	}
}

// Two lengths are one too many, even where the first is right.
func TestTwoLengths(t *testing.T) {
	f := newFixture(t, nil)
	body, n := binaryBody(t, &infer.Request{Inputs: []tensor.Tensor{tensor.Of("x", []int64{2}, []float32{1, 2})}})
	if w := infers(f, "flat", body, "Inference-Header-Content-Length", n); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantError(t, infers(f, "flat", body, "Inference-Header-Content-Length", n, "Inference-Header-Content-Length", n), 400, fault.Invalid)
}

// An answer is compressed from one KiB on, and not below.
func TestSmallestAnswerThatIsCompressed(t *testing.T) {
	f := newFixture(t, nil)
	body := func(n int) string {
		return `{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["` + strings.Repeat("a", n) + `"]}]}`
	}
	around := infers(f, "text", body(1)).Body.Len() - 1
	for size, want := range map[int]string{1023: "", 1024: "gzip"} {
		plain := infers(f, "text", body(size-around))
		if plain.Body.Len() != size {
			t.Fatalf("%d bytes, want %d", plain.Body.Len(), size)
		}
		if got := infers(f, "text", body(size-around), "Accept-Encoding", "gzip").Header().Get("Content-Encoding"); got != want {
			t.Errorf("%d bytes: %q, want %q", size, got, want)
		}
	}
}

// Who asks with another method is told which there are.
func TestMethodsThatAreAllowed(t *testing.T) {
	f := newFixture(t, &oip.Options{Metrics: text("m")})
	for path, want := range map[string]string{
		"/v2": "GET, HEAD, OPTIONS", "/metrics": "GET, HEAD, OPTIONS", "/v2/models/addsub/infer": "POST, OPTIONS", "/v2/repository/index": "POST, OPTIONS",
		"/v2/models/addsub/versions/1/ready": "GET, HEAD, OPTIONS",
	} {
		for _, method := range []string{"DELETE", "OPTIONS"} {
			if got := do(f, method, path, "").Header().Get("Allow"); got != want {
				t.Errorf("%s %s: %q, want %q", method, path, got, want)
			}
		}
	}
	for _, path := range []string{"/v2", "/v2/health/live", "/metrics", "/nowhere"} { // whatever is asked for
		if got := do(f, "GET", path, "", "X-Request-Id", "id-7").Header().Get("X-Request-Id"); got != "id-7" {
			t.Errorf("%s: the answer has the id %q", path, got)
		}
	}
	w := httptest.NewRecorder()
	guarded := newFixture(t, &oip.Options{Auth: everybody{}, Reload: func(context.Context, string) error { t.Error("loaded"); return nil }})
	guarded.ServeHTTP(w, httptest.NewRequest("POST", "/v2/repository/models/addsub/load", iotest.ErrReader(os.ErrDeadlineExceeded)))
	wantError(t, w, 504, fault.DeadlineExceeded)
	w = httptest.NewRecorder()
	guarded.ServeHTTP(w, httptest.NewRequest("POST", "/v2/repository/index", iotest.ErrReader(os.ErrDeadlineExceeded)))
	wantError(t, w, 504, fault.DeadlineExceeded)
}
