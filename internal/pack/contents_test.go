package pack

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// built are stand-ins for the programs and libraries: what is in them is
// nothing to a packager.
func built(t testing.TB) *Built {
	t.Helper()
	home := filepath.Join(t.TempDir(), "linux-amd64")
	if err := os.MkdirAll(filepath.Join(home, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fn-lambda", "fn-server", "lib/libonnxruntime.so.1.31.1", "lib/libonnxruntime.so.1", "lib/libstdc++.so.6", "lib/notes.txt"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := FindBuilt(filepath.Dir(home), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// copied is a copy of an example, so that a test may change it.
func copied(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "examples", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func paths(t *Tree, except string) []string {
	var all []string
	for _, f := range t.Files {
		if except == "" || !strings.HasPrefix(f.Path, except) {
			all = append(all, f.Path)
		}
	}
	return all
}

func TestContents(t *testing.T) {
	for target, want := range map[string][]string{
		"awslambda":      {"bootstrap", "digits.onnx", "godwit.manifest.json", "godwit.sbom.json", "godwit.yaml", "lib/libonnxruntime.so.1.31.1", "lib/libstdc++.so.6", "lib/onnxruntime-LICENSE.txt", "lib/onnxruntime-ThirdPartyNotices.txt"},
		"cloudrun":       {"digits.onnx", "fn-server", "godwit.manifest.json", "godwit.sbom.json", "godwit.yaml", "lib/libonnxruntime.so.1.31.1", "lib/libstdc++.so.6", "lib/onnxruntime-LICENSE.txt", "lib/onnxruntime-ThirdPartyNotices.txt"},
		"azurefunctions": {"digits.onnx", "fn-server", "godwit.manifest.json", "godwit.sbom.json", "godwit.yaml", "host.json", "http/function.json", "lib/libonnxruntime.so.1.31.1", "lib/libstdc++.so.6", "lib/onnxruntime-LICENSE.txt", "lib/onnxruntime-ThirdPartyNotices.txt"},
		"edge":           {"digits.onnx", "fn-server", "godwit-digits.service", "godwit.manifest.json", "godwit.sbom.json", "godwit.yaml", "lib/libonnxruntime.so.1.31.1", "lib/libstdc++.so.6", "lib/onnxruntime-LICENSE.txt", "lib/onnxruntime-ThirdPartyNotices.txt"},
	} {
		tree, err := Contents(t.Context(), copied(t, "digits"), &Options{Target: target, Built: built(t)})
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if diff := cmp.Diff(want, paths(tree, "requests/")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
		if n := len(tree.Files) - len(want); n != 16 { // eight requests and their answers
			t.Errorf("%s: want 16 files of requests, got %d", target, n)
		}
	}
}

// The host loads what its triggers beside HTTP need where there are any.
func TestHostLoadsTriggers(t *testing.T) {
	for triggers, want := range map[string]bool{"": false, "triggers: [queue]\n": true} {
		dir := copied(t, "digits")
		spec := filepath.Join(dir, "godwit.yaml")
		text, err := os.ReadFile(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(spec, append([]byte(triggers), text...), 0o600); err != nil {
			t.Fatal(err)
		}
		tree, err := Contents(t.Context(), dir, &Options{Target: "azurefunctions", Built: built(t)})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(tree.Files, func(f File) bool { return f.Path == "host.json" })
		if i < 0 || bytes.Contains(tree.Files[i].Data, []byte(`"Microsoft.Azure.Functions.ExtensionBundle"`)) != want {
			t.Errorf("triggers %q: want an extension bundle in host.json: %v", triggers, want)
		}
	}
}

// What is in the manifest is what is in the package: unpacked, all digests hold,
// and the model is known by the digest that recorded answers go by.
func TestManifestHolds(t *testing.T) {
	tree, err := Contents(t.Context(), copied(t, "digits"), &Options{Target: "awslambda", Built: built(t)})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.zip")
	if _, err := Zip(t.Context(), tree, file, nil); err != nil {
		t.Fatal(err)
	}
	o, err := Open(file, "amd64", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := o.Manifest.Check(os.DirFS(o.Dir), nil); err != nil {
		t.Error(err)
	}
	if got := len(o.Manifest.Files); got != len(tree.Files)-1 {
		t.Errorf("want all of %d files but itself, got %d", len(tree.Files), got)
	}
	m := o.Manifest.Models[0]
	want, err := os.ReadFile(filepath.Join(o.Dir, "requests", "digits", "1.want.json"))
	if err != nil || !bytes.Contains(want, []byte(m.Digest)) {
		t.Errorf("want the digest that the answers were recorded with, got %s (%v)", m.Digest, err)
	}
	info, err := os.Stat(filepath.Join(o.Dir, "bootstrap"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("bootstrap: %v, %v", info.Mode(), err)
	}
	if r := o.Manifest.Runtime; r.Version != "1.31.1" || r.SHA256 != o.Manifest.File("lib/libonnxruntime.so.1.31.1").SHA256 {
		t.Errorf("runtime is %+v", r)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "digits.onnx"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.Manifest.Check(os.DirFS(o.Dir), nil); fault.CodeOf(err) != fault.BadModel {
		t.Errorf("a changed model: want BadModel, got %v", err)
	}
}

// The same function gives the same bytes wherever it lies, whoever packages,
// whatever the clock and the umask say.
func TestReproducible(t *testing.T) {
	first := map[string]string{}
	for i, mask := range []int{0o022, 0o077} {
		old := syscall.Umask(mask)
		t.Setenv("TZ", []string{"UTC", "Asia/Kathmandu"}[i])
		for name, write := range map[string]func(context.Context, *Tree, string, func(int64)) (*Artifact, error){"a.zip": Zip, "a.tar.gz": Tar, "a": Folder} {
			tree, err := Contents(t.Context(), copied(t, "penguins"), &Options{Target: "azurefunctions", Built: built(t)})
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), name)
			a, err := write(t.Context(), tree, out, nil)
			if err != nil {
				t.Fatal(err)
			}
			if o, err := Open(out, "amd64", t.TempDir()); err != nil || o.Digest != a.Digest {
				t.Errorf("%s: opened with digest %v, %v, made with %s", name, o, err, a.Digest)
			} else {
				o.Close()
			}
			if first[name] == "" {
				first[name] = a.Digest
			} else if first[name] != a.Digest {
				t.Errorf("%s: want %s again, got %s", name, first[name], a.Digest)
			}
			for _, f := range tree.Files {
				if name != "a" {
					break
				}
				if info, err := os.Stat(filepath.Join(out, f.Path)); err != nil || info.Mode().Perm() != f.Mode() {
					t.Errorf("%s: want mode %v, got %v, %v", f.Path, f.Mode(), info.Mode(), err)
				}
			}
		}
		syscall.Umask(old)
	}
}

func TestFolderReplacesOnlyPackages(t *testing.T) {
	tree := &Tree{Files: []File{{Path: "a", Data: []byte("1")}, {Path: manifest.Name, Data: []byte("{}")}}}
	dir := filepath.Join(t.TempDir(), "out")
	for range 2 {
		if _, err := Folder(t.Context(), tree, dir, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, manifest.Name)); err != nil {
		t.Fatal(err)
	}
	if _, err := Folder(t.Context(), tree, dir, nil); fault.CodeOf(err) != fault.Usage {
		t.Errorf("over files of one's own: want Usage, got %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(got) != "1" {
		t.Errorf("what was there is %q, %v", got, err)
	}
}

// A lone model, and one with its weights in other files.
func TestOtherModels(t *testing.T) {
	file := filepath.Join(copied(t, "penguins"), "penguins.onnx")
	tree, err := Contents(t.Context(), file, &Options{Target: "awslambda", Built: built(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tree.Files {
		if f.Path == spec.FileName && string(f.Data) != "model: \"penguins.onnx\"\n" {
			t.Errorf("godwit.yaml is %q", f.Data)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	for _, path := range []string{"../a", "/a", "a/", "b", "B", "c/d", "c", "c/D/e", `a\b`, "", "."} {
		tree := &Tree{Files: []File{{Path: "b"}, {Path: "c/d"}}}
		if err := tree.Add(File{Path: path}); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%q: want BadConfig, got %v", path, err)
		}
	}
	tree := &Tree{}
	for _, path := range []string{"c", "a", "b-", "b/x", "b.y"} {
		if err := tree.Add(File{Path: path}); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"a", "b-", "b.y", "b/x", "c"}, paths(tree, "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A file that cannot be written leaves what was there, and nothing beside it.
func TestZipKeepsWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.zip")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := &Tree{Files: []File{{Path: "a", Data: []byte("1")}, {Path: "b", From: filepath.Join(dir, "none")}}}
	if _, err := Zip(t.Context(), tree, file, nil); fault.CodeOf(err) != fault.BadConfig {
		t.Errorf("want BadConfig, got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Zip(ctx, &Tree{Files: tree.Files[:1]}, file, nil); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("want Canceled, got %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "old" {
		t.Errorf("the file is %q, %v", got, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTimeSpan(t *testing.T) {
	for seconds, want := range map[int]string{90: "00:01:30", 86400: "1.00:00:00", 93784: "1.02:03:04"} {
		if got := timeSpan(time.Duration(seconds) * time.Second); got != want {
			t.Errorf("%ds: want %s, got %s", seconds, want, got)
		}
	}
}

// The unit is the one of docs/edge.md, which a real systemd has run, but for
// where the program and its function are.
func TestUnitIsTheDocumentedOne(t *testing.T) {
	text, err := os.ReadFile("../../docs/edge.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```ini\n")
	want, _, _ := strings.Cut(rest, "```")
	want = strings.Replace(want, "/opt/godwit/bin/fn-server", "/opt/godwit/digits/fn-server", 1)
	want = strings.Replace(want, "Environment=GODWIT_FUNCTION=/opt/godwit/digits\n", "", 1)
	dir := copied(t, "digits")
	if err := os.WriteFile(filepath.Join(dir, spec.FileName), []byte("name: digits\nmodel: digits.onnx\ntargets: {edge: {memory: 1GiB, cpu: 1.5}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := Contents(t.Context(), dir, &Options{Target: "edge", Built: built(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tree.Files {
		if f.Path != "godwit-digits.service" {
			continue
		}
		got := strings.Replace(string(f.Data), "MemoryMax=1073741824\nCPUQuota=150%\n", "MemoryMax=1G\n", 1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
