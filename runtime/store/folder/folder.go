// Package folder is a folder of this machine as a store.Bucket: keys are paths
// below it. An object appears by a hard link, which fails where one is, after
// its bytes are on the disk. Keys cannot leave the folder; symbolic links in it are its
// owner's and are followed to files, but List does not walk through them.
package folder

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// Bucket is a folder.
type Bucket struct {
	root  string
	named bool // files that are being written have temporary names
}

// Open is the bucket of the folder at root, a path. It is a store.Opener.
// Errors: NotFound, Denied.
func Open(ctx context.Context, root string) (store.Bucket, error) {
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = fault.New(fault.NotFound, "folder.Open", root, "want a folder, got something else")
	}
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, coded("folder.Open", root, err)
	}
	return &Bucket{root: root}, nil
}

// Close does nothing: a folder holds nothing open.
func (b *Bucket) Close() error { return nil }

// Stat describes the file.
func (b *Bucket) Stat(ctx context.Context, key string) (*store.Object, error) {
	path, err := b.path("folder.Stat", key)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, coded("folder.Stat", key, err)
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, coded("folder.Stat", key, err)
	}
	return object(key, info), nil
}

// Open reads the file. A file that is written over while it is read, which this
// package never does, is Mismatch at the end of what was asked for.
func (b *Bucket) Open(ctx context.Context, key, version string, offset, length int64) (io.ReadCloser, error) {
	const op = "folder.Open"
	path, err := b.path(op, key)
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fault.New(fault.Invalid, op, key, "want an offset of 0 or more, got %d", offset)
	}
	o, err := b.Stat(ctx, key) // before the file is opened: that of a pipe would wait
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, coded(op, key, err)
	}
	info, err := f.Stat()
	if err == nil {
		o = object(key, info)
		if version != "" && version != o.Version {
			err = store.Gone(op, key, version)
		}
	}
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, coded(op, key, err)
	}
	left := max(o.Size-offset, 0)
	if length >= 0 {
		left = min(left, length)
	}
	return &reader{ctx: ctx, f: f, of: o, left: left}, nil
}

// reader reads a range of one version.
type reader struct {
	ctx  context.Context
	f    *os.File
	of   *store.Object
	left int64
}

func (r *reader) Read(p []byte) (int, error) {
	const op = "folder.Read"
	if err := r.ctx.Err(); err != nil {
		return 0, coded(op, r.of.Key, err)
	}
	if r.left > 0 {
		n, err := r.f.Read(p[:min(int64(len(p)), r.left)])
		if r.left -= int64(n); err == nil || n > 0 {
			return n, nil
		}
		if err != io.EOF {
			return 0, coded(op, r.of.Key, err)
		}
		return 0, store.Gone(op, r.of.Key, r.of.Version) // it was cut
	}
	info, err := r.f.Stat()
	if err != nil {
		return 0, coded(op, r.of.Key, err)
	}
	if object(r.of.Key, info).Version != r.of.Version {
		return 0, store.Gone(op, r.of.Key, r.of.Version)
	}
	return 0, io.EOF
}

func (r *reader) Close() error { return r.f.Close() }

// Delete removes the file, and not the folders that it is in.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	const op = "folder.Delete"
	path, err := b.path(op, key)
	if err != nil {
		return err
	}
	if err = ctx.Err(); err == nil {
		var info fs.FileInfo
		if info, err = os.Lstat(path); err == nil && !info.IsDir() {
			if err = os.Remove(path); err == nil {
				err = syncFolder(filepath.Dir(path))
			}
		}
	}
	if gone(err) {
		return nil
	}
	return coded(op, key, err)
}

// List walks the folder. What appears or goes away meanwhile may be seen or not.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[*store.Object, error] {
	return func(yield func(*store.Object, error) bool) {
		from := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			if from = prefix[:i+1]; store.CheckKey("folder.List", prefix[:i]) != nil {
				return // no key begins so
			}
		}
		if err := b.walk(ctx, from, prefix, yield); err != nil && err != errEnough {
			yield(nil, coded("folder.List", prefix, err))
		}
	}
}

// errEnough says that whoever ranges over a list has left.
var errEnough = errors.New("enough")

// walk yields what is in dir, "" or a key and a slash, in the order of keys.
func (b *Bucket) walk(ctx context.Context, dir, prefix string, yield func(*store.Object, error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(b.root, filepath.FromSlash(dir)))
	if err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	sortByKey(entries)
	for _, e := range entries {
		key := dir + e.Name()
		if e.IsDir() {
			if key += "/"; strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key) {
				if err := b.walk(ctx, key, prefix, yield); err != nil {
					return err
				}
			}
			continue
		}
		if !strings.HasPrefix(key, prefix) || temporary(e.Name()) || store.CheckKey("", key) != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(b.root, filepath.FromSlash(key)))
		if gone(err) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return err
		}
		if !yield(object(key, info), nil) {
			return errEnough
		}
	}
	return nil
}

// path is where key's file is.
func (b *Bucket) path(op, key string) (string, error) {
	if err := store.CheckKey(op, key); err != nil {
		return "", err
	}
	local := filepath.FromSlash(key)
	if !filepath.IsLocal(local) || temporary(key[strings.LastIndexByte(key, '/')+1:]) {
		return "", fault.New(fault.Invalid, op, key, "want a key that this system has files for")
	}
	return filepath.Join(b.root, local), nil
}

func object(key string, info fs.FileInfo) *store.Object {
	at := info.ModTime()
	return &store.Object{
		Key: key, Size: info.Size(), Modified: at,
		Version: strconv.FormatInt(at.UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36),
	}
}

// gone reports whether err says that there is no such file: a file where a
// folder would be says so too.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// coded gives an error of the system a code.
func coded(op, key string, err error) error {
	if err == nil || fault.Of(err) != nil {
		return err
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err // the subject has the key
	}
	f := &fault.Error{Op: op, Subject: key, Code: fault.Internal, Err: err}
	switch {
	case gone(err):
		f.Code = fault.NotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		f.Code = fault.Denied
	case errors.Is(err, syscall.ENAMETOOLONG):
		f.Code = fault.Invalid
	case errors.Is(err, syscall.ENOSPC):
		f.Code, f.Hint = fault.Unavailable, "The disk is full."
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		f.Code, f.Hint = fault.Unavailable, "Too many files are open: raise the limit, or do less at once."
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return store.Fault(op, key, err)
	}
	return f
}
