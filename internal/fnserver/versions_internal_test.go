package fnserver

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/tensor"
)

// site is a device's disk: a function that others are installed in the place of.
type site struct {
	t          *testing.T
	dir, state string
}

func (s *site) install(text string) {
	s.t.Helper()
	for name, data := range map[string]string{"godwit.yaml": "model: m.onnx\n# " + text, "m.onnx": "x"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(data), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
}

// begin is a start, of a version that is healthy at once, and what it serves.
func (s *site) begin() (*reverter, string) {
	r := &reverter{dir: s.state, path: s.dir, log: slog.New(slog.DiscardHandler), now: time.Now, boot: "a"}
	return r, r.begin(s.t.Context())
}

// healthy starts and ends what is installed, and returns its digest.
func (s *site) healthy() string {
	s.t.Helper()
	r, _ := s.begin()
	if err := r.loaded(s.t.Context(), &Function{}); err != nil {
		s.t.Fatal(err)
	}
	r.end(s.t.Context(), nil)
	return r.history.Version
}

func (s *site) copies() []string {
	s.t.Helper()
	all, err := os.ReadDir(filepath.Join(s.state, "versions"))
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// A version that was healthy once gives way as well, and its copy goes.
func TestVersionsThatWereHealthyOnce(t *testing.T) {
	s := &site{t, t.TempDir(), filepath.Join(t.TempDir(), "state")}
	s.install("one")
	one := s.healthy()
	if info, err := os.Stat(filepath.Join(s.state, "versions")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want a folder that is nobody else's", info, err)
	}
	s.install("two")
	two := s.healthy()
	s.install("three")
	three := s.healthy()
	if got := s.copies(); len(got) != 2 || one == two {
		t.Errorf("%v are kept, want two", got)
	}
	for range maxCrashes {
		if _, path := s.begin(); path != s.dir {
			t.Errorf("serves %s after fewer crashes", path)
		}
	}
	for range 2 { // it stays so
		r, path := s.begin()
		if path != r.copyOf(two) {
			t.Errorf("serves %s, want the version before", path)
		}
		if diff := cmp.Diff(history{Version: three, Boot: "a", Starts: r.history.Starts, Refused: true, Healthy: two}, r.history); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if err := r.loaded(t.Context(), nil); err != nil { // nobody asks a copy
			t.Error(err)
		}
		if err := r.prove(t.Context(), nil); err != nil {
			t.Error(err)
		}
		r.end(t.Context(), errors.New("x"))
	}
	if diff := cmp.Diff([]string{two}, s.copies()); diff != "" {
		t.Errorf("copies (-want +got)\n%s", diff)
	}
}

// A history that cannot be read is begun anew: the next versions have one again.
func TestDamagedHistories(t *testing.T) {
	s := &site{t, t.TempDir(), t.TempDir()}
	s.install("one")
	s.healthy()
	file := filepath.Join(s.state, "versions.json")
	for _, damaged := range []string{`{"version": "x", "healthy": "`, `{"version": "x", "healthy": "y", "starts": 5}`} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		one := s.healthy()
		if r, _ := s.begin(); r.history.Healthy != one || r.history.Previous != "" {
			t.Errorf("after %s: %+v, want the installed one healthy", damaged, r.history)
		}
	}
	// One that is no file at all keeps nobody from serving.
	if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
		t.Fatal(err)
	}
	if r, path := s.begin(); path != s.dir || !r.began.IsZero() {
		t.Errorf("serves %s, with a start in %+v", path, r.history)
	}
}

// What makes a version one that does not work when it is loaded.
func TestWhatIsJudged(t *testing.T) {
	row := []byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	answers := infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) { return &infer.Response{}, nil })
	fails := infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
		return nil, fault.New(fault.Internal, "test", "", "told to")
	})
	for _, c := range []struct {
		name    string
		ctx     context.Context
		handler infer.Handler
		request recorded.Request
		refused bool
	}{
		{"it answers", t.Context(), answers, recorded.Request{Body: row}, false},
		{"it answers as recorded", t.Context(), answers, recorded.Request{Body: row, Want: &recorded.Want{}}, false},
		{"an output is missing", t.Context(), answers, recorded.Request{Body: row, Want: &recorded.Want{Outputs: []tensor.Tensor{{Name: "y", Type: tensor.FP32}}}}, true},
		{"it fails", t.Context(), fails, recorded.Request{Body: row}, true},
		{"it is told to end meanwhile", ended, fails, recorded.Request{Body: row}, false},
		{"a request that is none", t.Context(), answers, recorded.Request{Body: []byte("{")}, true},
	} {
		s := &site{t, t.TempDir(), t.TempDir()}
		s.install("one")
		one := s.healthy()
		s.install("two")
		r, _ := s.begin()
		f := &Function{Function: &app.Function{Handler: c.handler}, Requests: []recorded.Request{c.request}}
		if err := r.loaded(c.ctx, f); (err != nil) != c.refused || r.history.Refused != c.refused {
			t.Errorf("%s: %v, refused: %t; want %t", c.name, err, r.history.Refused, c.refused)
		}
		if _, path := s.begin(); (path == r.copyOf(one)) != c.refused {
			t.Errorf("%s: the next start serves %s", c.name, path)
		}
	}
}

// A version that cannot be copied whole is served, and nothing gives way to it.
func TestVersionsThatCannotBeCopied(t *testing.T) {
	s := &site{t, t.TempDir(), t.TempDir()}
	s.install("one")
	if err := os.Remove(filepath.Join(s.dir, "m.onnx")); err != nil {
		t.Fatal(err)
	}
	s.healthy()
	if got := s.copies(); got != nil {
		t.Errorf("%v are left of the try", got)
	}
	if r, path := s.begin(); path != s.dir || r.history.Healthy != "" {
		t.Errorf("serves %s, %+v", path, r.history)
	}
}

// Weights that lie beside a model are part of its version, and of its copy.
func TestExternalDataIsPartOfAVersion(t *testing.T) {
	path := testmodels.Tiny().ExternalFile(t, "tiny")
	s := &site{t, filepath.Dir(path), t.TempDir()}
	if err := os.WriteFile(filepath.Join(s.dir, "godwit.yaml"), []byte("model: tiny.onnx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	one := s.healthy()
	if _, err := os.Stat(filepath.Join(s.state, "versions", one, "tiny.bin")); err != nil {
		t.Errorf("the copy has no weights: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "tiny.bin"), []byte("others"), 0o644); err != nil {
		t.Fatal(err)
	}
	if two := s.healthy(); two == one {
		t.Error("other weights are the same version")
	}
}

// A package holds its models in other forms, which are parts of its version with
// the manifest that says which; its programs are not.
func TestPackagesAreVersions(t *testing.T) {
	s := &site{t, t.TempDir(), t.TempDir()}
	pack := func(weights string) {
		t.Helper()
		m := &manifest.Manifest{Version: 1, Function: "m", Godwit: "1", Platform: "linux/arm64", Runtime: manifest.Runtime{Version: "1.31.1", SHA256: strings.Repeat("0", 64)}}
		for name, text := range map[string]string{"godwit.yaml": "model: m.onnx\n", "m.extended.onnx": "graph", "m.extended.onnx.data": weights, "fn-server": "program"} {
			if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			var sum manifest.Sum
			_, _ = sum.Write([]byte(text))
			m.Files = append(m.Files, sum.File(name))
		}
		slices.SortFunc(m.Files, func(a, b manifest.File) int { return strings.Compare(a.Path, b.Path) })
		m.Models = []manifest.Model{{Name: "m", Version: "1", Path: "m.onnx", Digest: "sha256:" + strings.Repeat("1", 64),
			Baked: []manifest.Baked{{Path: "m.extended.onnx", Format: "onnx", Level: "extended", Data: []string{"m.extended.onnx.data"}}}}}
		text, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, manifest.Name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pack("one")
	one := s.healthy()
	var kept []string
	all, err := os.ReadDir(filepath.Join(s.state, "versions", one))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		kept = append(kept, e.Name())
	}
	if diff := cmp.Diff([]string{manifest.Name, "godwit.yaml", "m.extended.onnx", "m.extended.onnx.data"}, kept); diff != "" {
		t.Errorf("the copy (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "fn-server"), []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	if again := s.healthy(); again != one {
		t.Error("another program is another version")
	}
	pack("two")
	if two := s.healthy(); two == one {
		t.Error("other weights are the same version")
	}
}
