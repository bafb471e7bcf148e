package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree writes a folder of the given name, with modes and times of its own.
func tree(t *testing.T, dir string, file, folder os.FileMode, at time.Time) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "godwit-1")
	must(os.MkdirAll(filepath.Join(root, "linux-amd64", "lib"), 0o755))
	for name, mode := range map[string]os.FileMode{"godwit": 0o100 | file, "LICENSE": file, "linux-amd64/lib/libx.so": file} {
		path := filepath.Join(root, filepath.FromSlash(name))
		must(os.WriteFile(path, []byte("the text of "+name), 0o600))
		must(os.Chmod(path, mode))
		must(os.Chtimes(path, at, at))
	}
	must(os.Symlink("linux-amd64/lib", filepath.Join(root, "lib")))
	must(os.Chmod(filepath.Join(root, "linux-amd64"), folder))
}

func TestArchiveIsTheSameWhoeverMakesIt(t *testing.T) {
	one, other := t.TempDir(), filepath.Join(t.TempDir(), "somewhere", "else")
	tree(t, one, 0o644, 0o755, time.Unix(1e9, 0))
	tree(t, other, 0o640, 0o700, time.Unix(17e8, 5))
	var files [][]byte
	for _, dir := range []string{one, other} {
		var out strings.Builder
		if err := run([]string{dir, "godwit-1"}, &out); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"godwit-1.tar.gz", "SHA256SUMS"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, data)
		}
	}
	if !bytes.Equal(files[0], files[2]) || !bytes.Equal(files[1], files[3]) {
		t.Error("two folders with the same contents gave different archives or sums")
	}

	want := []string{
		"godwit-1/ 755",
		"godwit-1/LICENSE 644 the text of LICENSE",
		"godwit-1/godwit 755 the text of godwit",
		"godwit-1/lib 755 -> linux-amd64/lib",
		"godwit-1/linux-amd64/ 755",
		"godwit-1/linux-amd64/lib/ 755",
		"godwit-1/linux-amd64/lib/libx.so 644 the text of linux-amd64/lib/libx.so",
	}
	got := list(t, files[0])
	sums := got[len(got)-1]
	if diff := cmp.Diff(want, got[:len(got)-1]); diff != "" {
		t.Errorf("entries (-want +got)\n%s", diff)
	}
	// As sha256sum writes them, so that its -c reads them.
	wantSums := "godwit-1/SHA256SUMS 644 " +
		"2ee88177ddbf40bdb153494c94cb2b4024f35fe415f9626686aa5492b29cd768  LICENSE\n" +
		"c3bbd938e22df976b8a8fb7bc9c8b6f3c3b6311b9e8442f572e92228365500d2  godwit\n" +
		"b856c6bf33000f4a15ba081c930dfa5c817127b7fabd420693c379e430938583  linux-amd64/lib/libx.so\n"
	if diff := cmp.Diff(strings.TrimSpace(wantSums), sums); diff != "" {
		t.Errorf("sums (-want +got)\n%s", diff)
	}
}

func list(t *testing.T, data []byte) (entries []string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || !h.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s: want no owner and no time, got %+v", h.Name, h)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		entry := fmt.Sprintf("%s %o %s", h.Name, h.Mode, text)
		if h.Linkname != "" {
			entry += "-> " + h.Linkname
		}
		entries = append(entries, strings.TrimSpace(entry))
	}
}

func TestFoldersThatCannotBeArchived(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{nil, {dir}, {dir, "absent"}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("run(%q): want an error, got none", args)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("want nothing left, got %q", left)
	}
}
