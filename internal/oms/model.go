package oms

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/runtime/fault"
)

// gitPaths are never part of a model, at its top level.
func gitPaths() []string { return []string{".git", ".gitattributes", ".github", ".gitignore"} }

// model is the folder, or the one file, that is signed.
type model struct {
	path  string
	root  *os.Root // of the folder, or of the file's
	alone string   // the file's name; "" for a folder
}

func open(path string) (*model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.New(fault.NotFound, "oms.Open", path, "%w", errors.Unwrap(err))
	}
	m := &model{path: path}
	dir := path
	switch {
	case info.Mode().IsRegular():
		dir, m.alone = filepath.Dir(path), filepath.Base(path)
	case !info.IsDir():
		return nil, fault.New(fault.Invalid, "oms.Open", path, "want a folder or a regular file, got mode %v", info.Mode())
	}
	if m.root, err = os.OpenRoot(dir); err != nil {
		return nil, fault.New(fault.NotFound, "oms.Open", path, "%w", errors.Unwrap(err))
	}
	return m, nil
}

// name is what the subject is called: the last part of the path.
func (m *model) name() string {
	path, err := filepath.Abs(m.path)
	if err != nil {
		path = m.path
	}
	return filepath.Base(path)
}

// inside is file's path in the model, "" if it is not there.
func (m *model) inside(file string) string {
	if m.alone != "" {
		return ""
	}
	real := func(path string) string {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			path = resolved
		}
		return path
	}
	rel, err := filepath.Rel(real(m.path), filepath.Join(real(filepath.Dir(file)), filepath.Base(file)))
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// files are the paths of all files, sorted as they are walked, but those that
// skip leaves out. Links are refused unless links says that they are followed;
// then one to a file in the model is a file, and one to anything else is refused.
func (m *model) files(links bool, skip func(string) bool) ([]string, error) {
	if m.alone != "" {
		return []string{"."}, nil
	}
	var all []string
	err := fs.WalkDir(m.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		bad := func(format string, args ...any) *fault.Error {
			return fault.New(fault.BadModel, "oms.Files", filepath.Join(m.path, filepath.FromSlash(path)), format, args...)
		}
		switch {
		case err != nil:
			return bad("%w", errors.Unwrap(err))
		case d.IsDir() || skip(path):
			return nil
		case d.Type()&fs.ModeSymlink != 0 && !links:
			return bad("want a file, got a symbolic link").WithHint("Put the file itself there; what a link points to can be changed without changing the model.")
		case d.Type()&fs.ModeSymlink != 0:
			info, err := m.root.Stat(path) // refuses what is outside
			if err != nil || !info.Mode().IsRegular() {
				return bad("want a link to a file in the model, got another one (%v)", err)
			}
		case !d.Type().IsRegular():
			return bad("want a regular file, got mode %v", d.Type())
		}
		all = append(all, path)
		return nil
	})
	return all, err
}

// under reports whether path is one of the ignored paths, or in one.
func under(path string, ignored []string) bool {
	for _, i := range ignored {
		if i = strings.TrimSuffix(i, "/"); path == i || strings.HasPrefix(path, i+"/") && i != "" {
			return true
		}
	}
	return false
}

// open opens a file of the model.
func (m *model) open(path string) (*os.File, error) {
	if path == "." {
		path = m.alone
	}
	f, err := m.root.Open(filepath.FromSlash(path))
	if err != nil {
		return nil, fault.New(fault.BadModel, "oms.Hash", filepath.Join(m.path, filepath.FromSlash(path)), "%w", errors.Unwrap(err))
	}
	return f, nil
}

// sum is the SHA-256 of n bytes of r, or of all for -1, and how many there were.
func sum(ctx context.Context, r io.Reader, n int64) (out [sha256.Size]byte, got int64, err error) {
	if n >= 0 {
		r = io.LimitReader(r, n)
	}
	h := sha256.New()
	if got, err = io.Copy(h, reader{ctx, r}); err != nil {
		return out, got, err
	}
	return [sha256.Size]byte(h.Sum(nil)), got, nil
}

// reader ends with ctx.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
