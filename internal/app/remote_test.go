package app_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fetch"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/memengine"
)

// place of models: what is asked for by path, and how often.
func modelServer(t *testing.T, files map[string][]byte) (url string, asked *atomic.Int32, o *fetch.Options) {
	t.Helper()
	asked = &atomic.Int32{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = w.Write(files[r.URL.Path])
	}))
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	getenv := func(name string) string { return map[string]string{fetch.PrivateHosts: "127.0.0.1"}[name] }
	return s.URL, asked, &fetch.Options{Dirs: []string{filepath.Join(t.TempDir(), "models")}, Getenv: getenv, TLS: &tls.Config{RootCAs: pool}}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestRemoteModel(t *testing.T) {
	model, later := testmodels.AddSub().Bytes(), append(testmodels.AddSub().Bytes(), 0x32, 1, 0x78) // with a doc_string
	url, asked, o := modelServer(t, map[string][]byte{"/a.onnx": model, "/b.onnx": later, "/bad.onnx": []byte("<html>not found</html>")})
	at := func(b []byte) string { return filepath.Join(o.Dirs[0], sum(b)+".onnx") }
	dir := t.TempDir()
	yaml := func(path string, b []byte) {
		place(t, dir, "godwit.yaml", fmt.Appendf(nil, "models: [{name: m, path: %q, sha256: %s}]\n", url+path, sum(b)))
	}
	eng := memengine.New(map[string]memengine.Model{at(model): memengine.AddSub(), at(later): memengine.AddSub()})
	open := func() (*app.Function, error) {
		f, err := app.Open(dir, eng, &app.Options{Fetch: fetch.New(o)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close(context.Background()) })
		return f, f.Load(t.Context())
	}
	yaml("/a.onnx", model)
	for range 2 { // the second time out of the cache
		f, err := open()
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.Models.Lookup("m", "")
		if err != nil || m.Digest() != "sha256:"+sum(model) {
			t.Fatalf("want the model, got %v", err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("want one request, got %d", asked.Load())
	}
	f, err := open()
	if err != nil {
		t.Fatal(err)
	}
	yaml("/b.onnx", later)
	changes, err := f.Reload(t.Context())
	if err != nil || len(changes) != 1 || changes[0].What != "replaced" || changes[0].Digest != "sha256:"+sum(later) {
		t.Errorf("want the model replaced, got %+v (%v)", changes, err)
	}
	yaml("/bad.onnx", model[:10])
	if _, err := f.Reload(t.Context()); fault.CodeOf(err) != fault.BadModel {
		t.Errorf("want bad_model, got %v", err)
	}
	if m, err := f.Models.Lookup("m", ""); err != nil || m.Digest() != "sha256:"+sum(later) {
		t.Errorf("want the model before, got %v", err)
	}
	if _, err := open(); fault.CodeOf(err) != fault.BadModel {
		t.Errorf("want bad_model, got %v", err)
	}
	if _, err := os.Stat(at(model[:10])); err == nil {
		t.Error("what is not the model is in the cache")
	}
}

// Without a way to fetch, a URL is refused, as it is without a digest.
func TestRemoteRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "godwit.yaml"), []byte("models: [{path: https://example.com/m.onnx, sha256: "+sum(nil)+"}]\n"))
	f, err := app.Open(dir, memengine.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	if err := f.Load(t.Context()); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("want unsupported, got %v", err)
	}
	write(t, filepath.Join(dir, "godwit.yaml"), []byte("model: https://example.com/m.onnx\n"))
	if _, err := app.Open(dir, memengine.New(nil), nil); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("want bad_config, got %v", err)
	}
}
