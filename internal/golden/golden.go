// Package golden compares what a test made with a file that a person has read
// and committed.
package golden

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// Check compares got with testdata/NAME in the folder of the running test, and
// fails t with the difference. name may have slashes.
//
// With UPDATE_GOLDEN=1 in the environment it writes got there instead, which
// `make golden` does. Where CI is set too it refuses, because a machine that
// blesses its own output checks nothing. The switch is a variable and not a
// flag: `go test ./... -update` fails in every package that lacks the flag.
func Check(t testing.TB, name string, got []byte) {
	t.Helper()
	check(t, env{update: os.Getenv("UPDATE_GOLDEN"), ci: os.Getenv("CI")}, name, got)
}

// Folder compares a whole folder, files by their paths below testdata/NAME, as
// Check compares each: a file that is there and was not made fails t too, and
// is removed where Check would write.
func Folder(t testing.TB, name string, files map[string]string) {
	t.Helper()
	folder(t, env{update: os.Getenv("UPDATE_GOLDEN"), ci: os.Getenv("CI")}, name, files)
}

func folder(t testing.TB, e env, name string, files map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		check(t, e, name+"/"+path, []byte(files[path]))
	}
	root := filepath.Join("testdata", filepath.FromSlash(name))
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if _, made := files[filepath.ToSlash(rel)]; made {
			return nil
		}
		if e.on(e.update) {
			return os.Remove(path)
		}
		t.Errorf("%s is there and was not made; run `UPDATE_GOLDEN=1 go test` here if it is right that it is gone", path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// env is what Check reads from the environment, handed in by tests.
type env struct{ update, ci string }

func (e env) on(v string) bool { return v != "" && v != "0" && v != "false" }

func check(t testing.TB, e env, name string, got []byte) {
	t.Helper()
	if !filepath.IsLocal(name) {
		t.Fatalf("golden file name %q leaves testdata", name)
	}
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if e.on(e.update) {
		if e.on(e.ci) {
			t.Fatalf("%s: UPDATE_GOLDEN and CI are both set; golden files are updated by a person, who looks at the difference", path)
		}
		update(t, path, got)
		return
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s does not exist; run `UPDATE_GOLDEN=1 go test` here, then read the file before you commit it", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s (-want +got); if the new text is right, run `UPDATE_GOLDEN=1 go test` here:\n%s", path, diff(want, got))
	}
}

// diff compares text line by line, so that one changed line shows as one.
func diff(want, got []byte) string {
	if utf8.Valid(want) && utf8.Valid(got) {
		return cmp.Diff(strings.SplitAfter(string(want), "\n"), strings.SplitAfter(string(got), "\n"))
	}
	return cmp.Diff(want, got)
}

func update(t testing.TB, path string, got []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, got) {
		return
	}
	if err := os.WriteFile(path, got, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s written", path)
}
