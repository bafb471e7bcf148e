package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"godwit.dev/runtime/fault"
)

// Digest is "sha256:…" of the file at path. It says nothing about external
// data; see DigestAll.
//
// Errors: NotFound, or BadModel when the file cannot be read.
func Digest(path string) (string, error) {
	f, err := openRegular(path, "onnx.Digest")
	if err != nil {
		return "", err
	}
	defer f.Close()
	return sum(f, path)
}

// DigestAll identifies the whole model at path: the file and every file that
// its external data are in, which could be swapped without a change of the
// first. Without external data it is Digest. With them it is "sha256:…" of
// the text
//
//	model SHA
//	"NAME" SHA
//	…
//
// with one line, ended by a newline, for the model's file and then one for
// each file named, sorted by NAME: the location as the model gives it,
// cleaned, slashes between folders, quoted as Go quotes strings. SHA is each
// file's own "sha256:…". The model's own file name is not part of it.
//
// Errors: those of Read and of CheckExternal, which it calls first.
func DigestAll(path string, lim *Limits) (string, error) {
	m, err := Read(path, lim)
	if err != nil {
		return "", err
	}
	return m.DigestAll()
}

// DigestAll is the function of that name for a model that Read has read.
func (m *Model) DigestAll() (string, error) {
	path := m.Path
	own, err := Digest(path)
	if err != nil || len(m.External) == 0 {
		return own, err
	}
	x, err := m.openExternal("")
	if err != nil {
		return "", err
	}
	defer x.close()
	all := sha256.New()
	fmt.Fprintf(all, "model %s\n", own)
	for _, name := range slices.Sorted(maps.Keys(x.files)) {
		digest, err := x.sum(name, path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%q %s\n", name, digest)
	}
	return "sha256:" + hex.EncodeToString(all.Sum(nil)), nil
}

// sum hashes the very file that was checked.
func (x *externals) sum(name, path string) (string, error) {
	f, err := x.root.OpenFile(name, os.O_RDONLY|careful, 0)
	if err != nil {
		return "", fault.New(fault.BadModel, "onnx.DigestAll", path, "%w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !os.SameFile(info, x.files[name]) {
		return "", fault.New(fault.BadModel, "onnx.DigestAll", path, "%q was replaced while it was being read", name).WithHint(placeAgain)
	}
	return sum(f, path)
}

func sum(r io.Reader, path string) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", fault.New(fault.BadModel, "onnx.Digest", path, "read: %w", err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// openRegular opens a plain file, without waiting for a pipe.
func openRegular(path, op string) (*os.File, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		e := fault.New(fault.BadModel, op, path, "want a model file, got a %s", kindOf(info.Mode()))
		e.Hint = "Name a plain .onnx file."
		if info.IsDir() {
			e.Hint = "Name the .onnx file in that folder."
		}
		return nil, e
	}
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path, os.O_RDONLY|patient, 0)
	}
	if err == nil {
		return f, nil
	}
	code := fault.BadModel
	if errors.Is(err, fs.ErrNotExist) {
		code = fault.NotFound
	}
	// A PathError repeats the path, which is the subject already.
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return nil, fault.New(code, op, path, "open: %w", err)
}
