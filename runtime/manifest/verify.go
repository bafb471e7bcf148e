package manifest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"godwit.dev/runtime/fault"
)

// Load reads the manifest of the package in dir; nil without an error where
// there is none, as in a function folder that was not packaged. Errors: BadConfig.
func Load(dir string) (*Manifest, error) {
	file := filepath.Join(dir, Name)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.New(fault.BadConfig, "manifest.Load", file, "%w", errors.Unwrap(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, fault.New(fault.BadConfig, "manifest.Load", file, "%w", err)
	}
	return Parse(file, text)
}

// Check compares the files of the package in fsys with the manifest, by size
// and digest: those for which which says true, or all if it is nil. All that
// differs is in the error. Errors: BadModel.
//
// A digest costs half a millisecond for a megabyte, so a binary that starts
// checks what it reads by itself, with CheckQuick: the spec, the recorded
// requests and the models. Its own code and libraries, which could vouch for
// anything once they run, are checked by who does not run them.
func (m *Manifest) Check(fsys fs.FS, which func(*File) bool) error {
	return m.compare(fsys, which, (*File).checkWhole)
}

func (m *Manifest) compare(fsys fs.FS, which func(*File) bool, one func(*File, fs.FS) error) error {
	var problems []error
	for i := range m.Files {
		if f := &m.Files[i]; which == nil || which(f) {
			problems = append(problems, one(f, fsys))
		}
	}
	return errors.Join(problems...)
}

func (f *File) bad(format string, args ...any) error {
	return fault.New(fault.BadModel, "manifest.Check", f.Path, format, args...).
		WithHint("The package was changed after it was made; upload it again, or make it again with `godwit package`.")
}

func (f *File) badSize(got int64) error {
	return f.bad("want %d bytes as %s says, got %d", f.Size, Name, got)
}

func (f *File) open(fsys fs.FS) (fs.File, error) {
	r, err := fsys.Open(f.Path)
	if err != nil {
		return nil, f.bad("want the file that %s lists: %w", Name, errors.Unwrap(err))
	}
	return r, nil
}

// checkWhole compares every digest that there is of f.
func (f *File) checkWhole(fsys fs.FS) error {
	r, err := f.open(fsys)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := Sum{wholeOnly: len(f.Chunks) == 0}
	_, err = io.Copy(&sum, r)
	switch got := sum.File(f.Path); {
	case err != nil:
		return f.bad("%w", err)
	case got.Size != f.Size:
		return f.badSize(got.Size)
	case got.SHA256 != f.SHA256:
		return f.bad("want SHA-256 %s as %s says, got %s", f.SHA256, Name, got.SHA256)
	case len(f.Chunks) > 0 && !slices.Equal(got.Chunks, f.Chunks):
		return f.bad("want chunks with the digests that %s lists, got others, though the whole file's is right", Name)
	}
	return nil
}
