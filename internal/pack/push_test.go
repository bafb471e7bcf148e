package pack_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"godwit.dev/internal/pack"
	"godwit.dev/runtime/fault"
)

// serveRegistry is a registry in this process; wrap may fail its requests. It is its host and port.
func serveRegistry(t testing.TB, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	var h http.Handler = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// reach closes its connections with the test, and tries again at once.
func reach(t testing.TB) *pack.RegistryOptions {
	t.Helper()
	tr := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(tr.CloseIdleConnections)
	return &pack.RegistryOptions{Transport: tr, Retry: time.Millisecond}
}

// pull is the image that the registry has, every layer checked.
func pull(t testing.TB, ref string) v1.Image {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(r, remote.WithTransport(reach(t).Transport))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestPush(t *testing.T) {
	host := serveRegistry(t, nil)
	o := image(t, openBase(t, baseDir(t, "amd64")), tree(t, t.TempDir(), nil), nil)
	var last, total int64
	a, err := o.Push(t.Context(), host+"/acme/digits:v1", &pack.PushOptions{Registry: reach(t), Progress: func(done, all int64) {
		if done < last {
			t.Errorf("want progress that grows, got %d after %d", done, last)
		}
		last, total = done, all
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := host + "/acme/digits@" + o.Digest; a.Path != want || a.Digest != o.Digest || a.MediaType != string(types.OCIManifestSchema1) {
		t.Errorf("want %s, got %+v", want, a)
	}
	if last == 0 || last != total {
		t.Errorf("want progress to its end, got %d of %d", last, total)
	}
	want := digests(t, only(t, read(t, writeTar(t, o))))
	if diff := cmp.Diff(want, digests(t, pull(t, host+"/acme/digits:v1"))); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
}

func TestPushOfTwoArchitectures(t *testing.T) {
	host := serveRegistry(t, nil)
	both := mutate.AppendManifests(empty.Index, addendum(t, baseDir(t, "amd64"), "amd64"), addendum(t, baseDir(t, "arm64"), "arm64"))
	tag, err := name.NewTag(host + "/distroless/cc:nonroot")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, both, remote.WithTransport(reach(t).Transport)); err != nil {
		t.Fatal(err)
	}
	lock := &pack.Lock{}
	base, err := pack.OpenBase(t.Context(), tag.String(), &pack.BaseOptions{Lock: lock, Registry: reach(t)})
	if err != nil {
		t.Fatal(err)
	}
	o, err := pack.Image(t.Context(), base, map[string]*pack.Tree{"arm64": tree(t, t.TempDir(), nil), "amd64": tree(t, t.TempDir(), nil)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	a, err := o.Push(t.Context(), host+"/acme/digits", &pack.PushOptions{Registry: reach(t)})
	if err != nil {
		t.Fatal(err)
	}
	if a.MediaType != string(types.OCIImageIndex) {
		t.Errorf("want an index, got %s", a.MediaType)
	}
	digest, err := name.NewDigest(a.Path)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(digest, remote.WithTransport(reach(t).Transport))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	config, err := pull(t, host+"/acme/digits:latest").ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want, err := both.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"org.opencontainers.image.base.name": tag.String(), "org.opencontainers.image.base.digest": want.String()}, config.Config.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{tag.String(): want.String()}, lock.Bases); diff != "" {
		t.Errorf("lock (-want +got):\n%s", diff)
	}
}

// basic wants the name and the password of docker's configuration.
func basic(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case user == "reader":
			w.WriteHeader(http.StatusForbidden)
		case user != "acme" || password != "s3cret":
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

func TestPushWithDockersCredentials(t *testing.T) {
	host := serveRegistry(t, basic)
	o := image(t, openBase(t, baseDir(t, "amd64")), tree(t, t.TempDir(), nil), nil)
	tests := []struct {
		login string
		want  fault.Code
		hint  string
	}{
		{"acme:s3cret", fault.OK, ""},
		{"acme:guess", fault.Unauthenticated, "docker login"},
		{"reader:x", fault.Denied, "may not"},
		{"", fault.Unauthenticated, "docker login"},
	}
	for _, test := range tests {
		t.Run(test.login, func(t *testing.T) {
			dir := t.TempDir()
			auths := ""
			if test.login != "" {
				auths = fmt.Sprintf(`%q: {"auth": %q}`, host, base64.StdEncoding.EncodeToString([]byte(test.login)))
			}
			put(t, dir, "config.json", `{"auths": {`+auths+`}}`, 0o600)
			t.Setenv("DOCKER_CONFIG", dir)
			t.Setenv("HOME", dir)
			t.Setenv("XDG_RUNTIME_DIR", dir)
			_, err := o.Push(t.Context(), host+"/acme/digits:v1", &pack.PushOptions{Registry: reach(t)})
			if fault.CodeOf(err) != test.want {
				t.Fatalf("want %s, got %v", test.want, err)
			}
			if err != nil && (!strings.Contains(fault.Of(err).Hint, test.hint) || strings.Contains(err.Error(), "guess")) {
				t.Errorf("want the hint %q and no password, got %q: %v", test.hint, fault.Of(err).Hint, err)
			}
		})
	}
}

// Uploads that fail are tried again: refused for the moment, and cut off in the middle of a blob.
func TestPushTriesUploadsAgain(t *testing.T) {
	fails := map[string]func(http.ResponseWriter, *http.Request){
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"cut off": func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, 10)
			panic(http.ErrAbortHandler)
		},
	}
	for how, fail := range fails {
		t.Run(how, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]int{}
			host := serveRegistry(t, func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPatch || r.Method == http.MethodPut {
						key := r.Method
						mu.Lock()
						n := seen[key]
						seen[key]++
						mu.Unlock()
						if n == 0 {
							fail(w, r)
							return
						}
					}
					h.ServeHTTP(w, r)
				})
			})
			o := image(t, openBase(t, baseDir(t, "amd64")), tree(t, t.TempDir(), nil), nil)
			if _, err := o.Push(t.Context(), host+"/acme/digits:v1", &pack.PushOptions{Registry: reach(t), Progress: func(int64, int64) {}}); err != nil {
				t.Fatal(err)
			}
			if seen["PATCH"] == 0 || seen["PUT"] == 0 {
				t.Fatalf("want both kinds of request failed once, got %v", seen)
			}
			if diff := cmp.Diff(digests(t, only(t, read(t, writeTar(t, o)))), digests(t, pull(t, host+"/acme/digits:v1"))); diff != "" {
				t.Errorf("layers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPushGivesUp(t *testing.T) {
	host := serveRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	o := image(t, openBase(t, baseDir(t, "amd64")), tree(t, t.TempDir(), nil), nil)
	for ref, want := range map[string]fault.Code{
		host + "/acme/digits:v1":          fault.Unavailable,
		"Not A Ref":                       fault.BadConfig,
		host + "/acme/digits@" + o.Digest: fault.BadConfig, // a digest is not a place to push to
	} {
		if _, err := o.Push(t.Context(), ref, &pack.PushOptions{Registry: reach(t), Progress: func(int64, int64) {}}); fault.CodeOf(err) != want {
			t.Errorf("%s: want %s, got %v", ref, want, err)
		}
	}
}

// A registry that says it has the manifest, but another one.
func TestPushSeesWhatTheRegistryKeeps(t *testing.T) {
	host := serveRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/sha256:") {
				w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
				w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
				w.Header().Set("Content-Length", "5")
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	o := image(t, openBase(t, baseDir(t, "amd64")), tree(t, t.TempDir(), nil), nil)
	if _, err := o.Push(t.Context(), host+"/acme/digits:v1", &pack.PushOptions{Registry: reach(t)}); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(fault.Of(err).Hint, "keep") {
		t.Errorf("want an error where the registry keeps something else, got %v", err)
	}
}

// tagged puts the base of arch, with other as a file, at host/base:nonroot, as Docker's types.
func tagged(t *testing.T, host, other string) string {
	t.Helper()
	root, out := t.TempDir(), filepath.Join(t.TempDir(), "base")
	put(t, root, "etc/x", other, 0o644)
	if _, err := pack.Rootfs(t.Context(), map[string]string{"amd64": root}, out, nil); err != nil {
		t.Fatal(err)
	}
	img := only(t, readLayout(t, out))
	docker := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.DockerManifestSchema2), types.DockerConfigJSON)
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	docker, err = mutate.ConfigFile(docker, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: v1.Config{Env: config.Config.Env, User: "root", Cmd: []string{"/bin/bash"}, Labels: map[string]string{"maintainer": "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	docker, err = mutate.Append(docker, mutate.Addendum{Layer: layers(t, img)[0], MediaType: types.DockerLayer})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(host + "/base:nonroot")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, docker, remote.WithTransport(reach(t).Transport)); err != nil {
		t.Fatal(err)
	}
	d, err := docker.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestBaseIsPinned(t *testing.T) {
	var mu sync.Mutex
	gone := ""
	host := serveRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			missing := gone != "" && strings.HasSuffix(r.URL.Path, gone)
			mu.Unlock()
			if missing {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	ref := host + "/base:nonroot"
	lock := &pack.Lock{}
	open := func(update bool) *pack.Base {
		t.Helper()
		b, err := pack.OpenBase(t.Context(), ref, &pack.BaseOptions{Lock: lock, Update: update, Registry: reach(t)})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := tagged(t, host, "first")
	if b := open(false); b.Digest != first || b.Moved != "" || lock.Bases[ref] != first {
		t.Errorf("first use: want %s pinned, got %s, moved %q, lock %v", first, b.Digest, b.Moved, lock.Bases)
	}
	made := image(t, open(false), tree(t, t.TempDir(), nil), nil).Digest
	second := tagged(t, host, "second")
	b := open(false)
	if b.Digest != first || b.Moved != second || lock.Bases[ref] != first {
		t.Errorf("moved: want %s kept and %s told, got %s, moved %q, lock %v", first, second, b.Digest, b.Moved, lock.Bases)
	}
	o := image(t, b, tree(t, t.TempDir(), nil), nil)
	if o.Digest != made {
		t.Errorf("want the same image of the pinned base, got %s and %s", made, o.Digest)
	}
	img := only(t, read(t, writeTar(t, o))) // its types are OCI's, its bytes Docker's
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range append(m.Layers, m.Config) {
		if want := []types.MediaType{types.OCILayer, types.OCIConfigJSON}[i/len(m.Layers)]; l.MediaType != want {
			t.Errorf("layer %d: want %s, got %s", i, want, l.MediaType)
		}
	}
	if config.Config.User != "65532:65532" || config.Config.Cmd != nil || config.Config.Labels["maintainer"] != "" {
		t.Errorf("want nothing of the base but its environment, got %+v", config.Config)
	}
	mu.Lock()
	gone = first
	mu.Unlock()
	if _, err := pack.OpenBase(t.Context(), ref, &pack.BaseOptions{Lock: lock, Registry: reach(t)}); fault.CodeOf(err) != fault.NotFound || !strings.Contains(fault.Of(err).Hint, first) {
		t.Errorf("pinned and gone: want not_found with the digest in the hint, got %v", err)
	}
	if b := open(true); b.Digest != second || lock.Bases[ref] != second {
		t.Errorf("update: want %s, got %s, lock %v", second, b.Digest, lock.Bases)
	}
	// A digest needs no lock, and none is written for it.
	before := maps.Clone(lock.Bases)
	if b, err := pack.OpenBase(t.Context(), host+"/base@"+second, &pack.BaseOptions{Lock: lock, Registry: reach(t)}); err != nil || b.Digest != second {
		t.Errorf("by digest: want %s, got %+v (%v)", second, b, err)
	}
	if diff := cmp.Diff(before, lock.Bases); diff != "" {
		t.Errorf("lock after a digest (-want +got):\n%s", diff)
	}
}

func TestOpenBaseRefuses(t *testing.T) {
	host := serveRegistry(t, nil)
	noVersion := baseDir(t, "amd64")
	put(t, noVersion, "oci-layout", `{"imageLayoutVersion":"2.0.0"}`, 0o644)
	tests := []struct {
		name, ref string
		want      fault.Code
		text      string
	}{
		{"no folder", "oci:/nowhere", fault.BadConfig, "/nowhere"},
		{"no layout", "oci:" + t.TempDir(), fault.BadConfig, "OCI layout"},
		{"another version", "oci:" + noVersion, fault.BadConfig, "1.0.0"},
		{"no reference", "Base Image", fault.BadConfig, `"Base Image"`},
		{"not there", host + "/nothing:here", fault.NotFound, "nothing"},
		{"nobody listens", "127.0.0.1:1/xx:y", fault.Unavailable, "127.0.0.1:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := pack.OpenBase(t.Context(), test.ref, &pack.BaseOptions{Registry: reach(t)})
			if fault.CodeOf(err) != test.want || !strings.Contains(err.Error(), test.text) || fault.Of(err).Hint == "" {
				t.Errorf("want %s with %q and a hint, got %v", test.want, test.text, err)
			}
		})
	}
}

// A layer, a configuration or a manifest of the base that is not what its name says is found.
func TestDamagedBases(t *testing.T) {
	for _, what := range []string{"manifest", "config", "layer"} {
		t.Run(what, func(t *testing.T) {
			dir := baseDir(t, "amd64")
			img := only(t, readLayout(t, dir))
			m, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			d, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			hash := map[string]v1.Hash{"manifest": d, "config": m.Config.Digest, "layer": m.Layers[0].Digest}[what]
			path := filepath.Join(dir, "blobs/sha256", hash.Hex)
			data := mustRead(t, path)
			switch what {
			case "layer":
				data[len(data)/2] ^= 1
			default: // still JSON
				data = append(data, ' ')
			}
			put(t, dir, "blobs/sha256/"+hash.Hex, string(data), 0o644)
			base, err := pack.OpenBase(t.Context(), "oci:"+dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			o, err := pack.Image(t.Context(), base, map[string]*pack.Tree{"amd64": tree(t, t.TempDir(), nil)}, nil)
			if err == nil {
				defer o.Close()
				_, err = o.WriteTar(t.Context(), filepath.Join(t.TempDir(), "x.tar"), nil)
			}
			if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(fault.Of(err).Hint, "again") {
				t.Errorf("want a damaged base refused, got %v", err)
			}
		})
	}
}

// A base in a registry that goes away, or a layer of it that is another, fails the writing and leaves nothing.
func TestBaseThatGoesAway(t *testing.T) {
	var mu sync.Mutex
	closed := false
	host := serveRegistry(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if closed {
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, r)
		})
	})
	tagged(t, host, "x")
	base, err := pack.OpenBase(t.Context(), host+"/base:nonroot", &pack.BaseOptions{Registry: reach(t)})
	if err != nil {
		t.Fatal(err)
	}
	o := image(t, base, tree(t, t.TempDir(), nil), nil)
	mu.Lock()
	closed = true
	mu.Unlock()
	path := filepath.Join(t.TempDir(), "x.tar")
	_, err = o.WriteTar(t.Context(), path, nil)
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("want an error from the registry, got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) > 0 {
		t.Errorf("want no half archive, got %q", left)
	}
}

// A base whose configuration names fewer layers than it has is refused.
func TestBaseThatContradictsItself(t *testing.T) {
	img := only(t, readLayout(t, baseDir(t, "amd64")))
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.RootFS.DiffIDs = nil
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "base")
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
		t.Fatal(err)
	}
	_, err = pack.Image(t.Context(), openBase(t, dir), map[string]*pack.Tree{"amd64": tree(t, t.TempDir(), nil)}, nil)
	if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "want 0 layers") {
		t.Errorf("want bad_config, got %v", err)
	}
}

// counting is a transport that counts requests.
type counting struct {
	http.RoundTripper
	n atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// Bases are reached as registries are pushed to: by the given transport, with docker's credentials.
func TestBaseWithDockersCredentials(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	host := serveRegistry(t, func(h http.Handler) http.Handler {
		locked := basic(h)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if open.Load() {
				h.ServeHTTP(w, r)
			} else {
				locked.ServeHTTP(w, r)
			}
		})
	})
	want := tagged(t, host, "x")
	open.Store(false)
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	o := reach(t)
	c := &counting{RoundTripper: o.Transport}
	o.Transport = c
	if _, err := pack.OpenBase(t.Context(), host+"/base:nonroot", &pack.BaseOptions{Registry: o}); fault.CodeOf(err) != fault.Unauthenticated {
		t.Errorf("want unauthenticated, got %v", err)
	}
	if c.n.Load() == 0 {
		t.Error("want the transport used, got no request by it")
	}
	put(t, dir, "config.json", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, base64.StdEncoding.EncodeToString([]byte("acme:s3cret"))), 0o600)
	b, err := pack.OpenBase(t.Context(), host+"/base:nonroot", &pack.BaseOptions{Registry: o})
	if err != nil || b.Digest != want {
		t.Fatalf("want %s, got %+v (%v)", want, b, err)
	}
	only(t, read(t, writeTar(t, image(t, b, tree(t, t.TempDir(), nil), nil))))
}
