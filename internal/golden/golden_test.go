package golden

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// recorder is a testing.TB that keeps what it is told. Fatalf panics with
// itself, as the real one ends the goroutine.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Logf(string, ...any)       {}
func (r *recorder) Errorf(f string, a ...any) { r.said += fmt.Sprintf(f, a...) }
func (r *recorder) Fatalf(f string, a ...any) { r.said += fmt.Sprintf(f, a...); panic(r) }
func (r *recorder) Fatal(a ...any)            { r.said += fmt.Sprint(a...); panic(r) }

// said runs check in the folder dir and returns what it told the test.
func said(t *testing.T, dir string, e env, name, got string) string {
	t.Helper()
	return heard(t, dir, func(r *recorder) { check(r, e, name, []byte(got)) })
}

// heard runs f in the folder dir and returns what it told the test.
func heard(t *testing.T, dir string, f func(*recorder)) string {
	t.Helper()
	t.Chdir(dir)
	r := &recorder{}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				panic(p)
			}
		}()
		f(r)
	}()
	return r.said
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	put := func(content string) {
		if err := os.MkdirAll(dir+"/testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/testdata/a.txt", []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, file, got string
		on              string
		env             env
		want            []string // parts of the message; none means silence
		left            string   // the file afterwards
	}{
		{"equal", "a.txt", "one\ntwo\n", "one\ntwo\n", env{}, nil, "one\ntwo\n"},
		{"different", "a.txt", "one\n2\n", "one\ntwo\n", env{}, []string{"-want +got", "two", "2", "UPDATE_GOLDEN=1"}, "one\ntwo\n"},
		{"binary", "a.txt", "\xff\x00", "one", env{}, []string{"-want +got"}, "one"},
		{"missing", "b.txt", "x", "one", env{}, []string{"b.txt does not exist", "UPDATE_GOLDEN=1"}, "one"},
		{"update", "a.txt", "new", "one", env{update: "1"}, nil, "new"},
		{"update off", "a.txt", "new", "one", env{update: "0"}, []string{"-want +got"}, "one"},
		{"update in CI", "a.txt", "new", "one", env{update: "1", ci: "true"}, []string{"both set"}, "one"},
		{"CI says false", "a.txt", "new", "one", env{update: "1", ci: "false"}, nil, "new"},
		{"escapes", "../a.txt", "x", "one", env{update: "1"}, []string{"leaves testdata"}, "one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			put(tt.on)
			got := said(t, dir, tt.env, tt.file, tt.got)
			if len(tt.want) == 0 && got != "" {
				t.Errorf("said %q, want silence", got)
			}
			for _, part := range tt.want {
				if !strings.Contains(got, part) {
					t.Errorf("said %q, want it to contain %q", got, part)
				}
			}
			if left, _ := os.ReadFile(dir + "/testdata/a.txt"); string(left) != tt.left {
				t.Errorf("the file holds %q, want %q", left, tt.left)
			}
		})
	}
}

func TestUpdateMakesFolders(t *testing.T) {
	dir := t.TempDir()
	if got := said(t, dir, env{update: "1"}, "deep/er/x.json", "{}"); got != "" {
		t.Fatalf("said %q", got)
	}
	if got := said(t, dir, env{}, "deep/er/x.json", "{}"); got != "" {
		t.Errorf("said %q after the update", got)
	}
}

// A folder is compared as a whole: what is missing, other, or there for nothing.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	run := func(e env, files map[string]string) string {
		return heard(t, dir, func(r *recorder) { folder(r, e, "g/one", files) })
	}
	was := map[string]string{"a": "1", "b/c": "2"}
	if got := run(env{update: "1"}, was); got != "" {
		t.Fatalf("said %q", got)
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"the same": {was, ""},
		"other":    {map[string]string{"a": "1", "b/c": "3"}, "-want +got"},
		"more":     {map[string]string{"a": "1", "b/c": "2", "d": "4"}, "d does not exist"},
		"fewer":    {map[string]string{"a": "1"}, "b/c is there and was not made"},
	} {
		if got := run(env{}, tt.files); (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: said %q, want %q", name, got, tt.want)
		}
	}
	if got := run(env{update: "1"}, map[string]string{"a": "1"}); got != "" {
		t.Fatalf("said %q", got)
	}
	if got := run(env{}, map[string]string{"a": "1"}); got != "" {
		t.Errorf("said %q after the update", got)
	}
}
