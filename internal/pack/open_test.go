package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/runtime/fault"
)

// An entry is one of an archive that a test makes.
type entry struct {
	name, body, link string
	kind             byte // a tar type; 0 is a file
}

func zipOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644)
		switch e.kind {
		case tar.TypeSymlink:
			h.SetMode(fs.ModeSymlink | 0o777)
			e.body = e.link
		case tar.TypeChar:
			h.SetMode(fs.ModeDevice | fs.ModeCharDevice | 0o666)
		case tar.TypeFifo:
			h.SetMode(fs.ModeNamedPipe | 0o666)
		case tar.TypeDir:
			h.SetMode(fs.ModeDir | 0o755)
		}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(e.body))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.body)), Mode: 0o644}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What would leave its folder, repeats a name or is no plain file is refused,
// nothing outside is touched and nothing inside is left.
func TestHostileArchives(t *testing.T) {
	many := make([]entry, maxEntries+1)
	for i := range many {
		many[i] = entry{name: fmt.Sprintf("d%d/", i%9), kind: tar.TypeDir}
	}
	corpus := map[string][]entry{
		"parent":             {{name: "../canary", body: "x"}},
		"parent further in":  {{name: "a/../../canary", body: "x"}},
		"unclean":            {{name: "a/./b", body: "x"}},
		"absolute":           {{name: "/canary", body: "x"}},
		"backslash":          {{name: `..\canary`, body: "x"}},
		"link":               {{name: "a", kind: tar.TypeSymlink, link: "../canary"}},
		"write through link": {{name: "a", kind: tar.TypeSymlink, link: ".."}, {name: "a/canary", body: "x"}},
		"device":             {{name: "a", kind: tar.TypeChar}},
		"pipe":               {{name: "a", kind: tar.TypeFifo}},
		"twice":              {{name: "a", body: "x"}, {name: "a", body: "y"}},
		"case":               {{name: "a", body: "x"}, {name: "A", body: "y"}},
		"file as folder":     {{name: "a", body: "x"}, {name: "a/b", body: "y"}},
		"bomb":               {{name: "a", body: strings.Repeat("\x00", ratioAfter+1)}},
		"many":               many,
	}
	for name, entries := range corpus {
		for suffix, make := range map[string]func(testing.TB, []entry) []byte{".zip": zipOf, ".tar.gz": tarOf} {
			t.Run(name+suffix, func(t *testing.T) {
				dir := t.TempDir()
				temp := filepath.Join(dir, "temp", "inner")
				if err := os.MkdirAll(temp, 0o755); err != nil {
					t.Fatal(err)
				}
				canary := filepath.Join(dir, "temp", "canary")
				if err := os.WriteFile(canary, []byte("untouched"), 0o600); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, "package"+suffix)
				if err := os.WriteFile(file, make(t, entries), 0o600); err != nil {
					t.Fatal(err)
				}
				o, err := Open(file, "amd64", temp)
				if o != nil || fault.CodeOf(err) != fault.Invalid {
					t.Fatalf("want Invalid, got %v, %v", o, err)
				}
				if got, _ := os.ReadFile(canary); string(got) != "untouched" {
					t.Errorf("the file outside is %q", got)
				}
				if left, _ := os.ReadDir(temp); len(left) != 0 {
					t.Errorf("left behind: %v", left)
				}
				if beside, _ := os.ReadDir(filepath.Join(dir, "temp")); len(beside) != 2 {
					t.Errorf("outside are now %v", beside)
				}
			})
		}
	}
}

// Layers may have links; they stay in the image's root, whatever they say.
func TestLayersStayInside(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	layer := func(entries ...entry) error {
		g, err := gzip.NewReader(bytes.NewReader(tarOf(t, entries)))
		if err != nil {
			t.Fatal(err)
		}
		return (&unpacker{archive: "layer", root: root, layer: true}).tar(g, nil)
	}
	if err := layer(
		entry{name: "usr/lib/libc.so.6", body: "libc"},
		entry{name: "./usr/lib/libm.so.6", body: "libm"},
		entry{name: "lib", kind: tar.TypeSymlink, link: "/usr/lib"},
		entry{name: "usr/hard", kind: tar.TypeLink, link: "/usr/lib/libc.so.6"},
		entry{name: "dev/null", kind: tar.TypeChar},
		entry{name: "gone/a", body: "a"}, entry{name: "kept/a", body: "a"},
	); err != nil {
		t.Fatal(err)
	}
	if err := layer(entry{name: ".wh.gone"}, entry{name: "kept/.wh..wh..opq"}, entry{name: "kept/b", body: "b"}, entry{name: "usr/lib/libm.so.6", body: "newer"}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"lib/libc.so.6": "libc", "usr/hard": "libc", "kept/b": "b", "lib/libm.so.6": "newer"} {
		if got, err := fs.ReadFile(root.FS(), file); err != nil || string(got) != want {
			t.Errorf("%s: want %q, got %q, %v", file, want, got, err)
		}
	}
	for _, file := range []string{"gone", "kept/a", "dev/null"} {
		if _, err := root.Lstat(file); err == nil {
			t.Errorf("%s is still there", file)
		}
	}
	for name, entries := range map[string][]entry{
		"through a link": {{name: "out", kind: tar.TypeSymlink, link: "../.."}, {name: "out/canary", body: "x"}},
		"hard link out":  {{name: "h", kind: tar.TypeLink, link: "../../etc/passwd"}},
		"parent":         {{name: "../canary", body: "x"}},
	} {
		if err := layer(entries...); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: want Invalid, got %v", name, err)
		}
	}
	if beside, _ := os.ReadDir(dir); len(beside) != 1 {
		t.Errorf("outside are now %v", beside)
	}
}

func TestIsPackage(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]bool{"a.zip": true, "a.tar": true, "a.TGZ": true, "a.onnx": false, "godwit.yaml": false} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := IsPackage(file); got != want {
			t.Errorf("%s: want %v, got %v", name, want, got)
		}
	}
	if IsPackage(dir) || IsPackage(filepath.Join(dir, "none.zip")) {
		t.Error("a function folder, or nothing, is taken for a package")
	}
}

// Whatever the bytes, unpacking ends with a folder or an error, and writes nowhere else.
func FuzzOpen(f *testing.F) {
	f.Add(zipOf(f, []entry{{name: "a/b", body: "x"}, {name: "c", body: "y"}}))
	f.Add(tarOf(f, []entry{{name: "a/b", body: "x"}, {name: "l", kind: tar.TypeSymlink, link: "/x"}}))
	f.Add(zipOf(f, []entry{{name: "../x", body: "x"}}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		file, temp := filepath.Join(dir, "p.zip"), filepath.Join(dir, "temp")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(temp, 0o755); err != nil {
			t.Fatal(err)
		}
		o, err := Open(file, "amd64", temp)
		if err == nil {
			err = o.Close()
			if err != nil {
				t.Fatal(err)
			}
		} else if c := fault.CodeOf(err); c != fault.Invalid && c != fault.BadConfig {
			t.Fatalf("want Invalid or BadConfig, got %v", err)
		}
		if left, _ := os.ReadDir(temp); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
		if beside, _ := os.ReadDir(dir); len(beside) != 2 {
			t.Fatalf("outside are now %v", beside)
		}
	})
}
