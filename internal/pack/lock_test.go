package pack_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/golden"
	"godwit.dev/internal/pack"
	"godwit.dev/runtime/fault"
)

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sha(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func fullLock() *pack.Lock {
	return &pack.Lock{
		Version: 1,
		Bases:   map[string]string{pack.DefaultBase: sha("a"), "127.0.0.1:5000/base:1": sha("b")},
		Runtime: map[string]pack.LockedRuntime{"linux/arm64": {Version: "1.31.1", Digest: sha("c")}, "linux/amd64": {Version: "1.30", Digest: sha("d")}},
		Models:  map[string]string{"digits/2": sha("e"), "digits/1": sha("f")},
		Packages: map[string]pack.LockedPackage{
			"knative":   {Digest: sha("0"), Image: "ghcr.io/acme/digits", Platforms: []string{"linux/amd64", "linux/arm64"}},
			"awslambda": {Digest: sha("1"), Platforms: []string{"linux/arm64"}},
		},
	}
}

func TestLockIsWrittenAsItIsRead(t *testing.T) {
	dir := t.TempDir()
	got, err := pack.ReadLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&pack.Lock{Version: 1}, got); diff != "" {
		t.Errorf("no file (-want +got):\n%s", diff)
	}
	want := fullLock()
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "godwit.lock", mustRead(t, filepath.Join(dir, pack.LockName)))
	got, err = pack.ReadLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What says the same is not touched: a folder that cannot be written to will do.
	before, err := os.Stat(filepath.Join(dir, pack.LockName))
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Write(dir); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(dir, pack.LockName))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("want the file left alone, got another one")
	}
	got.Models["digits/1"] = sha("9")
	if err := got.Write(dir); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 {
		t.Errorf("want one file, got %q (%v)", names, err)
	}
}

func TestDecodeLockRefuses(t *testing.T) {
	d := `"` + sha("a") + `"`
	tests := map[string]struct{ text, want string }{
		"empty":             {"", "empty"},
		"no version":        {"bases: {}\n", "version: want 1"},
		"another version":   {"version: 2\n", "version: want 1"},
		"an unknown key":    {"version: 1\nbase: {}\n", `"base"`},
		"a key twice":       {"version: 1\nmodels:\n  a/1: " + d + "\n  a/1: " + d + "\n", "a/1"},
		"a short digest":    {"version: 1\nbases: {x: \"sha256:12\"}\n", "bases: x: want sha256:"},
		"another algorithm": {"version: 1\nbases: {x: \"sha512:" + strings.Repeat("a", 64) + "\"}\n", "bases: x"},
		"a platform":        {"version: 1\nruntime: {windows/amd64: {version: \"1\", digest: " + d + "}}\n", "windows/amd64"},
		"no model version":  {"version: 1\nmodels: {digits: " + d + "}\n", "NAME/VERSION"},
		"no platforms":      {"version: 1\npackages: {knative: {digest: " + d + "}}\n", "sorted platforms"},
		"unsorted":          {"version: 1\npackages: {knative: {digest: " + d + ", platforms: [linux/arm64, linux/amd64]}}\n", "sorted platforms"},
		"an anchor":         {"version: &v 1\n", "plain keys"},
		"a tag":             {"version: !!int 1\n", "plain keys"},
		"two documents":     {"version: 1\n---\nversion: 1\n", "plain keys"},
		"a conflict":        {"version: 1\n<<<<<<< ours\n=======\n>>>>>>> theirs\n", "conflict"},
		"a list":            {"- 1\n", ""},
		"bytes":             {"version: \xff\n", "UTF-8"},
		"too long":          {strings.Repeat("#", 1<<20+1), "1 MiB"},
		"too many words":    {"version: 1\nbases:\n" + strings.Repeat("  x: y\n", 10_000), "words"},
		"an odd name":       {"version: 1\nbases: {\"a\\\"b\": " + d + "}\n", "an image's reference"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := pack.DecodeLock([]byte(test.text))
			if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), test.want) || fault.Of(err).Hint == "" {
				t.Errorf("want bad_config with %q and a hint, got %v, %+v", test.want, err, got)
			}
		})
	}
}

func TestLockRefusesToWriteWhatItWouldNotRead(t *testing.T) {
	dir := t.TempDir()
	l := fullLock()
	l.Models["x/1"] = "sha256:no"
	if err := l.Write(dir); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("want bad_config, got %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, pack.LockName), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.ReadLock(dir); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("a folder: want bad_config, got %v", err)
	}
}

// No text makes the decoder panic, and what it takes is written so that it reads the same.
func FuzzDecodeLock(f *testing.F) {
	data, err := fullLock().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("version: 1\n"))
	f.Add([]byte("version: 1\nbases: {x: \"" + sha("a") + "\"}\n"))
	f.Add([]byte("version: 1\npackages:\n  a: {digest: &x [*x]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := pack.DecodeLock(data)
		if err != nil {
			if fault.CodeOf(err) != fault.BadConfig {
				t.Fatal(err)
			}
			return
		}
		text, err := l.Encode()
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		again, err := pack.DecodeLock(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		twice, err := again.Encode()
		if err != nil || string(text) != string(twice) {
			t.Fatalf("(-want +got):\n%s", cmp.Diff(string(text), string(twice)))
		}
	})
}
