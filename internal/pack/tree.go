// Package pack makes what each platform takes, out of a function folder and
// built files: a zip, an image, a folder. The same inputs give the same bytes,
// on any machine and in any folder: times are fixed, modes are one of two,
// entries are sorted, owners are nobody's.
package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// Part groups the files of a package by how often they change, the rarest
// first: an image has a layer for each, in this order.
type Part int

const (
	Runtime Part = iota // lib/: ONNX Runtime and the C++ library
	Weights             // the models
	Binary              // the function's program
	Spec                // godwit.yaml, requests, the manifest
)

// Parts is how many there are.
const Parts = int(Spec) + 1

// File is one file of a package. Its bytes are those of the file From, or Data
// where From is "".
type File struct {
	Path string // below the package's root, clean, with slashes
	Part Part
	Exec bool // mode 0755; others have 0644
	From string
	Data []byte
}

// Tree is what a package holds. Models are not held in memory.
type Tree struct {
	Files []File // sorted by path, no two with the same
}

// Artifact is a package that was made.
type Artifact struct {
	Path      string `json:"path"`
	Digest    string `json:"digest"` // "sha256:…": of the file, or of the image's manifest or index
	Size      int64  `json:"bytes"`
	MediaType string `json:"media_type"`
}

// Add puts a file into its place. Errors: BadConfig for a path that leaves the
// package, is there already, or differs from another in its case alone, which
// macOS and Windows would unpack into one file.
func (t *Tree) Add(f File) error {
	bad := func(format string, args ...any) error {
		return fault.New(fault.BadConfig, "pack.Add", f.Path, format, args...).WithHint("Give the file another name in the function folder.")
	}
	if !manifest.ValidPath(f.Path) {
		return bad("want a path inside the package, got %q", f.Path)
	}
	i, found := slices.BinarySearchFunc(t.Files, f.Path, func(a File, path string) int { return strings.Compare(a.Path, path) })
	if found {
		return bad("want a file once, got %q twice", f.Path)
	}
	for j := range t.Files {
		if a := t.Files[j].Path; strings.EqualFold(a, f.Path) || within(a, f.Path) || within(f.Path, a) {
			return bad("want names that differ by more than case, and no file as a folder, got %q beside %q", f.Path, a)
		}
	}
	t.Files = slices.Insert(t.Files, i, f)
	return nil
}

// within reports whether path is in the folder dir.
func within(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && strings.EqualFold(path[:len(dir)], dir)
}

// Of are the files of one part, in order.
func (t *Tree) Of(p Part) []File {
	var files []File
	for _, f := range t.Files {
		if f.Part == p {
			files = append(files, f)
		}
	}
	return files
}

// Open is the file's bytes and how many they are. Errors: BadConfig for what is
// no regular file.
func (f *File) Open() (io.ReadCloser, int64, error) {
	if f.From == "" {
		return io.NopCloser(bytes.NewReader(f.Data)), int64(len(f.Data)), nil
	}
	r, err := os.Open(f.From)
	if err != nil {
		return nil, 0, fault.New(fault.BadConfig, "pack.Open", f.From, "%w", err)
	}
	info, err := r.Stat()
	if err != nil || !info.Mode().IsRegular() {
		r.Close()
		return nil, 0, fault.New(fault.BadConfig, "pack.Open", f.From, "want a regular file for %q, got mode %v (%v)", f.Path, info.Mode(), err)
	}
	return r, info.Size(), nil
}

// Size is how many bytes the file has. Errors: as Open.
func (f *File) Size() (int64, error) {
	r, n, err := f.Open()
	if err != nil {
		return 0, err
	}
	return n, r.Close()
}

// Size is how many bytes all files have together. Errors: as Open.
func (t *Tree) Size() (int64, error) {
	var all int64
	for i := range t.Files {
		n, err := t.Files[i].Size()
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// Mode is the file's mode in every package.
func (f *File) Mode() fs.FileMode {
	if f.Exec {
		return 0o755
	}
	return 0o644
}

// digest is the file's entry of the manifest.
func (f *File) digest(ctx context.Context) (manifest.File, error) {
	var sum manifest.Sum
	_, err := f.copy(ctx, &sum)
	return sum.File(f.Path), err
}

// copy writes the file's bytes to w. A file that is written to meanwhile is an error.
func (f *File) copy(ctx context.Context, w io.Writer) (int64, error) {
	r, size, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.Copy(w, &reader{ctx, r})
	if err == nil && n != size {
		err = fault.New(fault.BadConfig, "pack.Open", f.From, "want %d bytes as the file had when it was opened, got %d", size, n).
			WithHint("Something writes to the file; package again when it has ended.")
	}
	return n, err
}

// reader ends with ctx.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// digestOf is the "sha256:…" of text.
func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// digestFile is the "sha256:…" of a whole file, which is at its beginning again
// afterwards.
func digestFile(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	_, err := f.Seek(0, io.SeekStart)
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), err
}
