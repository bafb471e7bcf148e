package folder_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/folder"
	"godwit.dev/runtime/store/storetest"
)

func TestBucket(t *testing.T) {
	dir := t.TempDir()
	storetest.Run(t, storetest.Subject{
		Open:    func(ctx context.Context) (store.Bucket, error) { return folder.Open(ctx, dir) },
		Refuses: []string{"a/b"}, // "a" is a file
	})
}

// The same where files without a name cannot be had.
func TestBucketWithTemporaryNames(t *testing.T) {
	dir := t.TempDir()
	storetest.Run(t, storetest.Subject{
		Open:    func(ctx context.Context) (store.Bucket, error) { return folder.OpenNamed(ctx, dir) },
		Refuses: []string{"a/b"},
		Large:   1 << 20,
	})
}

func open(t *testing.T, dir string) store.Bucket {
	t.Helper()
	b, err := folder.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, b store.Bucket, key, text string) error {
	t.Helper()
	w, err := b.Create(t.Context(), key)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	return w.Commit(t.Context())
}

// What the disk has been told to take before Commit is the file's all the same.
func TestLongFile(t *testing.T) {
	b := open(t, t.TempDir())
	piece := make([]byte, 3<<20+1)
	var want bytes.Buffer
	w, err := b.Create(t.Context(), "long")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		for k := range piece {
			piece[k] = byte(k>>8 + k + i)
		}
		want.Write(piece)
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := b.Open(t.Context(), "long", "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("want the %d bytes that were written, got %d and %v", want.Len(), len(got), err)
	}
}

func TestAbortLeavesNothingOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	w, err := b.Create(t.Context(), "deep/er/key")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "text")
	w.Abort()
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("%v is left", entries)
	}
}

func TestFolderAndFileOfOneName(t *testing.T) {
	b := open(t, t.TempDir())
	for _, c := range []struct {
		key  string
		want fault.Code
	}{{"a", fault.OK}, {"a/b", fault.Invalid}, {"a/b/c", fault.Invalid}, {"d/e", fault.OK}, {"d", fault.Invalid}} {
		if err := put(t, b, c.key, "x"); fault.CodeOf(err) != c.want {
			t.Errorf("%q: got %v, want %v", c.key, err, c.want)
		}
	}
}

// What is no regular file is no object, and a pipe without a writer is not waited for.
func TestOnlyFilesAreObjects(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	b := open(t, dir)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(elsewhere, "target"), []byte("linked"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"file": filepath.Join(elsewhere, "target"), "folder": elsewhere, "broken": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"pipe", "folder", "broken"} {
		if _, err := b.Open(t.Context(), key, "", 0, -1); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%q: got %v, want NotFound", key, err)
		}
	}
	var keys []string
	for o, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	if got := strings.Join(keys, " "); got != "file" {
		t.Errorf("objects %q, want the file behind a link alone", got)
	}
	if err := put(t, b, "broken", "x"); err == nil {
		t.Error("a link to nowhere was written through")
	}
}

func TestFileThatIsWrittenOver(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	path := filepath.Join(dir, "key")
	for name, change := range map[string]func(*testing.T){
		"cut":    func(t *testing.T) { os.Truncate(path, 10) },
		"longer": func(t *testing.T) { os.WriteFile(path, bytes.Repeat([]byte("y"), 200_000), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 100_000), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := b.Open(t.Context(), "key", "", 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 50_000)); err != nil {
				t.Fatal(err)
			}
			change(t)
			if _, err := io.ReadAll(r); fault.CodeOf(err) != fault.Mismatch {
				t.Errorf("got %v, want Mismatch", err)
			}
		})
	}
}

func TestOpenWantsAFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, filepath.Join(dir, "missing")} {
		if _, err := folder.Open(t.Context(), root); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%q: got %v, want NotFound", root, err)
		}
	}
}

// What a process left that was killed is no object and in nobody's way.
func TestTemporaryFilesAreNoObjects(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, ".godwit-123.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for o := range b.List(t.Context(), "") {
		t.Errorf("found %q", o.Key)
	}
	if _, err := b.Stat(t.Context(), ".godwit-123.tmp"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v, want Invalid", err)
	}
}
