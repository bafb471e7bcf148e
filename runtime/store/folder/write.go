package folder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// A name of the form .godwit-*.tmp is a file that is being written, or that a
// process has left that ended by force where files without a name cannot be had.
// It is no object.
const tempPrefix, tempSuffix = ".godwit-", ".tmp"

func temporary(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

// writer writes a file that has no name yet, or a temporary one.
type writer struct {
	ctx  context.Context
	key  string
	path string // where it will be
	f    *os.File
	name string // the temporary one, or ""
	err  error  // of a Write

	size, begun int64 // written, and of it what the disk has been told to take
}

// begin is after how many bytes the disk begins to take them: what is left for
// Commit to wait for is less than that, however long the file.
const begin = 8 << 20

// Create begins a file. Folders that key needs are made at Commit; until then
// the file is in the nearest one that there is, since links do not leave a
// file system.
func (b *Bucket) Create(ctx context.Context, key string) (store.Writer, error) {
	const op = "folder.Create"
	path, err := b.path(op, key)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, coded(op, key, err)
	}
	dir := filepath.Dir(path)
	for dir != b.root {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return nil, blocked(op, key)
		}
		if err == nil {
			break
		}
		if !gone(err) {
			return nil, coded(op, key, err)
		}
		dir = filepath.Dir(dir)
	}
	w := &writer{ctx: ctx, key: key, path: path}
	if !b.named {
		w.f = nameless(dir)
	}
	if w.f == nil {
		if w.f, err = os.CreateTemp(dir, tempPrefix+"*"+tempSuffix); err != nil {
			return nil, coded(op, key, err)
		}
		w.name = w.f.Name()
		if err := w.f.Chmod(0o644); err != nil {
			w.Abort()
			return nil, coded(op, key, err)
		}
	}
	return w, nil
}

func (w *writer) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return 0, coded("folder.Write", w.key, w.err)
	}
	n, err := w.f.Write(p)
	w.err = err
	if w.size += int64(n); w.size-w.begun >= begin {
		beginToWrite(w.f, w.begun, w.size-w.begun)
		w.begun = w.size
	}
	return n, coded("folder.Write", w.key, err)
}

func (w *writer) Commit(ctx context.Context) error {
	defer w.Abort() // the name that is left over
	const op = "folder.Commit"
	err := w.err
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = w.f.Sync()
	}
	if err == nil {
		err = makeFolders(filepath.Dir(w.path))
	}
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
		return blocked(op, w.key)
	}
	if err == nil {
		err = w.link()
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		if info, err := os.Lstat(w.path); err == nil && info.IsDir() {
			return blocked(op, w.key)
		}
		return store.Exists(op, w.key)
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported):
		return fault.New(fault.Unsupported, op, w.key, "want a file system that has hard links: %w", err).
			WithHint("Write to another folder, and copy from there.")
	case err != nil:
		return coded(op, w.key, err)
	}
	return coded(op, w.key, syncFolder(filepath.Dir(w.path)))
}

// link gives the file its name if no file has it.
func (w *writer) link() error {
	if w.name == "" {
		return linkNameless(w.f, w.path)
	}
	return linkError(os.Link(w.name, w.path))
}

// linkError is what is behind a LinkError, whose text has two paths.
func linkError(err error) error {
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

func (w *writer) Abort() {
	w.f.Close()
	if w.name != "" {
		os.Remove(w.name)
	}
}

// blocked is the error of a key that goes through a file, or that is a folder.
func blocked(op, key string) error {
	return fault.New(fault.Invalid, op, key, "want a key that is no folder and goes through no file").
		WithHint("A folder cannot hold both KEY and KEY/OTHER, as a bucket can.")
}

// makeFolders makes dir and what it is in, durably.
func makeFolders(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		if !info.IsDir() {
			return syscall.ENOTDIR
		}
		return nil
	}
	if !gone(err) {
		return err
	}
	up := filepath.Dir(dir)
	if up == dir {
		return err
	}
	if err := makeFolders(up); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		if info, again := os.Stat(dir); again != nil || !info.IsDir() { // nor made by somebody else meanwhile
			return err
		}
	}
	return syncFolder(up)
}

// sortByKey sorts a folder's entries as the keys of the files in them are
// sorted: "a.b" is before the folder "a", whose files begin with "a/".
func sortByKey(entries []fs.DirEntry) {
	name := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(name(a), name(b)) })
}
