package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

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
// checks what it reads by itself: the spec, the recorded requests and the
// models. Its own code and libraries, which could vouch for anything once they
// run, are checked by who does not run them.
func (m *Manifest) Check(fsys fs.FS, which func(*File) bool) error {
	var problems []error
	for i := range m.Files {
		if f := &m.Files[i]; which == nil || which(f) {
			problems = append(problems, f.check(fsys))
		}
	}
	return errors.Join(problems...)
}

func (f *File) check(fsys fs.FS) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.BadModel, "manifest.Check", f.Path, format, args...).
			WithHint("The package was changed after it was made; upload it again, or make it again with `godwit package`.")
	}
	r, err := fsys.Open(f.Path)
	if err != nil {
		return bad("want the file that %s lists: %w", Name, errors.Unwrap(err))
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	switch sum := hex.EncodeToString(h.Sum(nil)); {
	case err != nil:
		return bad("%w", err)
	case n != f.Size:
		return bad("want %d bytes as %s says, got %d", f.Size, Name, n)
	case sum != f.SHA256:
		return bad("want SHA-256 %s as %s says, got %s", f.SHA256, Name, sum)
	}
	return nil
}
