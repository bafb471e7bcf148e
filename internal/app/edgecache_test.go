package app_test

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/adapters/oip"
	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/onnx"
)

const edgeCached = "model: addsub.onnx\nauth: none\ntargets: {awslambda: {api: url, edgeCache: {maxAge: 90s}}}\n"

// Requests in paths are answered on the platform whose CDN keeps them, and only
// where the spec asks for one.
func TestEdgeCache(t *testing.T) {
	request := []byte(`{"inputs":[{"name":"a","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"b","shape":[1,4],"datatype":"FP32","data":[1,1,1,1]}]}`)
	for _, tt := range []struct {
		target, yaml string
		status       int
		cacheControl string
	}{
		{"awslambda", edgeCached, 200, "public, max-age=90"},
		{"awslambda", "model: addsub.onnx\nauth: none\ntargets: {awslambda: {api: url}}\n", 404, ""},
		{"cloudrun", edgeCached, 404, ""},
		{"", edgeCached, 404, ""},
	} {
		dir := function(t, tt.yaml)
		f, err := app.Open(dir, engine(dir), &app.Options{Target: tt.target})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close(context.Background())
		if err := f.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		f.Server(oip.Options{}).ServeHTTP(w, httptest.NewRequest("GET", oip.CacheablePath("addsub", "", request), nil))
		if w.Code != tt.status || w.Header().Get("Cache-Control") != tt.cacheControl || (w.Header().Get("Etag") == "") == (tt.status == 200) {
			t.Errorf("target %q, %q: %d %v, want %d and %q", tt.target, tt.yaml, w.Code, w.Header(), tt.status, tt.cacheControl)
		}
	}
}

func TestEdgeCacheOfARandomModel(t *testing.T) {
	random := testmodels.Identity(onnx.Float, 1)
	random.Graph.Nodes[0].Op = "RandomNormalLike"
	dir := function(t, strings.Replace(edgeCached, "addsub", "m", 1))
	write(t, filepath.Join(dir, "m.onnx"), random.Bytes())
	f, err := app.Open(dir, memengine.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Load(t.Context())
	if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "RandomNormalLike") || fault.HintOf(err) != "Leave edgeCache out for this model." {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
}
