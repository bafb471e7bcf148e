package fnserver

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
)

// What counts as a crash of the installed version, and what does not.
func TestWhatCountsAgainstAVersion(t *testing.T) {
	crash := errors.New("ended")
	type start struct {
		after time.Duration // the one before
		boot  string
		ended error // nil is well; crash is no word at all
	}
	for _, c := range []struct {
		name   string
		starts []start
		copied bool // the next start serves the copy
	}{
		{"three crashes", []start{{0, "a", crash}, {time.Minute, "a", crash}, {time.Minute, "a", crash}}, true},
		{"two crashes", []start{{0, "a", crash}, {time.Minute, "a", crash}}, false},
		{"three in eleven minutes", []start{{0, "a", crash}, {5 * time.Minute, "a", crash}, {6 * time.Minute, "a", crash}}, false},
		{"three in ten minutes", []start{{0, "a", crash}, {5 * time.Minute, "a", crash}, {5 * time.Minute, "a", crash}}, false},
		{"three in a second less", []start{{0, "a", crash}, {5 * time.Minute, "a", crash}, {5*time.Minute - time.Second, "a", crash}}, true},
		{"three times without power", []start{{0, "a", crash}, {0, "b", crash}, {0, "c", crash}}, false},
		{"one that was stopped", []start{{0, "a", crash}, {0, "a", nil}, {0, "a", crash}}, false},
		{"a port that was taken", []start{{0, "a", crash}, {0, "a", fault.New(fault.Usage, "", "", "x")}, {0, "a", crash}}, false},
		{"requests that were cut off", []start{{0, "a", crash}, {0, "a", fault.New(fault.Canceled, "", "", "x")}, {0, "a", crash}}, false},
		{"a model that does not load", []start{{0, "a", crash}, {0, "a", fault.New(fault.BadModel, "", "", "x")}, {0, "a", crash}}, true},
		{"a clock that was set back", []start{{0, "a", crash}, {-24 * time.Hour, "a", crash}, {0, "a", crash}}, false},
	} {
		dir, state, now := t.TempDir(), t.TempDir(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		install := func(text string) {
			for name, data := range map[string]string{"godwit.yaml": "model: m.onnx\n# " + text, "m.onnx": "x"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		begin := func(boot string) (*reverter, string) {
			r := &reverter{dir: state, path: dir, log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }, boot: boot}
			return r, r.begin(t.Context())
		}
		install("one")
		r, _ := begin("a")
		if err := r.loaded(t.Context(), &Function{}); err != nil {
			t.Fatal(err)
		}
		healthy := r.history.Version
		r.end(t.Context(), nil)
		install("two")
		boot := ""
		for i, s := range c.starts {
			now, boot = now.Add(s.after), s.boot
			r, path := begin(s.boot)
			if path != dir {
				t.Errorf("%s: start %d serves %s", c.name, i, path)
			}
			if s.ended != crash {
				r.end(t.Context(), s.ended)
			}
		}
		if _, path := begin(boot); (path == r.copyOf(healthy)) != c.copied {
			t.Errorf("%s: %s is served, want the copy: %t", c.name, path, c.copied)
		}
		if !c.copied {
			continue
		}
		now = now.Add(time.Hour)
		if _, path := begin("z"); path == dir {
			t.Errorf("%s: it is forgotten", c.name)
		}
		// A copy that is not what was copied is not served, nor is anything that
		// a file which cannot be read may have said.
		if err := os.WriteFile(filepath.Join(r.copyOf(healthy), "godwit.yaml"), []byte("model: three.onnx"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, path := begin("z"); path != dir {
			t.Errorf("%s: a damaged copy is served", c.name)
		}
		if err := os.WriteFile(r.file(), []byte(`{"version": "`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, path := begin("z"); path != dir {
			t.Errorf("%s: with a damaged history %s is served", c.name, path)
		}
	}
}

// A version is its files, and nothing that its work leaves beside them.
func TestVersionsAreTheirFiles(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]string{}
	for _, c := range []struct {
		file, text string
		other      bool
	}{
		{"godwit.yaml", "model: m.onnx\n", true},
		{"m.onnx", "x", true},
		{"m.onnx", "y", true},
		{"requests/m/1.json", "{}", true},
		{"scores/1.json", "{}", false},
		{"godwit.yaml", "model: m.onnx\nauth: none\n", true},
	} {
		path := filepath.Join(dir, filepath.FromSlash(c.file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := version(dir)
		if err != nil {
			t.Fatal(err)
		}
		if was, known := seen[got]; known == c.other {
			t.Errorf("%s: another version: %t, want %t (%s)", c.file, !known, c.other, was)
		}
		seen[got] = c.file
	}
}
