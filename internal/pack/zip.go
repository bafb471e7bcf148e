package pack

import (
	"archive/zip"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"time"

	"godwit.dev/runtime/fault"
)

// epoch is the time of every file in a zip: the first that the format knows.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Zip writes t to path, through a file beside it that takes its place when all
// is written. progress, if not nil, is told how many bytes have been read so far.
// Errors: BadConfig about the files of t, Internal about path.
func Zip(ctx context.Context, t *Tree, path string, progress func(int64)) (*Artifact, error) {
	h, count := sha256.New(), counter(0)
	err := replace(path, func(file io.Writer) error {
		z := zip.NewWriter(io.MultiWriter(file, h, &count))
		z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
		read := &told{to: progress}
		for i := range t.Files {
			f := &t.Files[i]
			header := &zip.FileHeader{Name: f.Path, Method: zip.Deflate, Modified: epoch}
			header.SetMode(f.Mode())
			w, err := z.CreateHeader(header)
			if err != nil {
				return err
			}
			read.Writer = w
			if _, err := f.copy(ctx, read); err != nil {
				return err
			}
		}
		return z.Close()
	})
	if err != nil {
		return nil, err
	}
	return &Artifact{Path: path, Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Size: int64(count), MediaType: MediaTypeZip}, nil
}

// replace writes path as a whole or not at all.
func replace(path string, write func(io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fault.New(fault.Internal, "pack.Write", path, "%w", err).WithHint("Name a file with -o in a folder that can be written to.")
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := write(tmp); err != nil {
		if fault.CodeOf(err) != fault.Internal {
			return err
		}
		return fault.New(fault.Internal, "pack.Write", path, "%w", err)
	}
	for _, step := range []func() error{
		func() error { return tmp.Chmod(0o644) },
		tmp.Sync, tmp.Close,
		func() error { return os.Rename(tmp.Name(), path) },
	} {
		if err := step(); err != nil {
			return fault.New(fault.Internal, "pack.Write", path, "%w", err)
		}
	}
	return nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// told passes bytes on and says how many there have been.
type told struct {
	io.Writer
	to  func(int64)
	all int64
}

func (t *told) Write(p []byte) (int, error) {
	n, err := t.Writer.Write(p)
	t.all += int64(n)
	if t.to != nil {
		t.to(t.all)
	}
	return n, err
}
