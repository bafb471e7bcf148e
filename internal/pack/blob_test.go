package pack_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fetch"
	"godwit.dev/internal/pack"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/memengine"
)

// A model in a registry that wants a login and keeps its blobs elsewhere: found
// by its digest among the artifact's files, packaged, and loaded out of the
// package where nothing can be fetched.
func TestArtifact(t *testing.T) {
	model, sum := testmodels.AddSub().Bytes(), sha256.Sum256(testmodels.AddSub().Bytes())
	want := hex.EncodeToString(sum[:])
	storage := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the registry's credentials were sent to its storage")
		}
		_, _ = w.Write(model)
	}))
	t.Cleanup(storage.Close)
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	away := false
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, key, _ := r.BasicAuth(); user != "me" || key != "word" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if away && strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, storage.URL+"/blob", http.StatusTemporaryRedirect)
			return
		}
		reg.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	ref := strings.TrimPrefix(s.URL, "https://") + "/acme/m:1"
	artifact, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("readme"), "text/plain"), static.NewLayer(model, "application/octet-stream"))
	if err != nil {
		t.Fatal(err)
	}
	to, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(to, artifact, remote.WithTransport(s.Client().Transport), remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: "me", Password: "word"}))); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	pool.AddCert(storage.Certificate())
	dir := t.TempDir()
	get := func(private, sum string) (*fetch.File, error) {
		f := fetch.New(&fetch.Options{Dirs: []string{filepath.Join(dir, "models")}, OCI: pack.Blob, TLS: &tls.Config{RootCAs: pool}, Attempts: 1,
			Getenv: func(name string) string { return map[string]string{fetch.PrivateHosts: private}[name] }})
		return f.Get(t.Context(), "oci://"+ref, sum)
	}
	t.Setenv("DOCKER_CONFIG", dir) // nobody's
	if _, err := get("127.0.0.1", want); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "401") {
		t.Errorf("without a login: want bad_config about 401, got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths": {"`+strings.TrimPrefix(s.URL, "https://")+`": {"auth": "bWU6d29yZA=="}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := get("", want); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "want a public address") {
		t.Errorf("a private registry: want bad_config about its address, got %v", err)
	}
	if _, err := get("127.0.0.1", strings.Repeat("0", 64)); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "want a layer") {
		t.Errorf("another digest: want bad_config, got %v", err)
	}
	away = true
	file, err := get("127.0.0.1", want)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	function := t.TempDir()
	yaml := "models: [{name: m, path: \"oci://" + ref + "\", sha256: " + want + "}, {name: m, version: \"2\", path: \"https://example.com/m\", sha256: " + want + "}]\n"
	if err := os.WriteFile(filepath.Join(function, "godwit.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Contents(t.Context(), function, &pack.Options{Target: "cloudrun", Built: parts(t)}); fault.CodeOf(err) != fault.Internal {
		t.Errorf("not fetched: want internal, got %v", err)
	}
	tree, err := pack.Contents(t.Context(), function, &pack.Options{Target: "cloudrun", Built: parts(t), Fetched: map[string]string{"m/1": file.Path, "m/2": file.Path}})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := pack.Folder(t.Context(), tree, out, nil); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(out, "models", want+".onnx")
	m, err := manifest.Load(out)
	if err != nil || m.File("models/"+want+".onnx") == nil || len(m.Models) != 2 || m.Models[1].Path != "models/"+want+".onnx" {
		t.Fatalf("want the model in the package, once, got %+v (%v)", m, err)
	}
	f, err := app.Open(out, memengine.New(map[string]memengine.Model{packed: memengine.AddSub()}), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	if err := f.Load(t.Context()); err != nil {
		t.Error(err)
	}
}

// parts are stand-ins for programs and libraries.
func parts(t *testing.T) *pack.Built {
	t.Helper()
	home := filepath.Join(t.TempDir(), "linux-amd64")
	if err := os.MkdirAll(filepath.Join(home, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"fn-lambda", "fn-server", "lib/libonnxruntime.so.1.31.1", "lib/libonnxruntime.so.1", "lib/libstdc++.so.6"} {
		if err := os.WriteFile(filepath.Join(home, file), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := pack.FindBuilt(filepath.Dir(home), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return b
}
