package pack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// Media types of Artifacts.
const (
	MediaTypeZip    = "application/zip"
	MediaTypeTar    = "application/vnd.godwit.package.tar+gzip"
	MediaTypeFolder = "application/vnd.godwit.package.folder"
)

// Folder writes t as a folder, which takes the place of one that an earlier
// package left there; anything else in that place is refused. Its digest is the
// manifest's, which has the digests of all else. Errors: BadConfig about the
// files of t, Internal about dir.
func Folder(ctx context.Context, t *Tree, dir string, progress func(int64)) (a *Artifact, err error) {
	fail := func(err error) error { return fault.New(fault.Internal, "pack.Folder", dir, "%w", err) }
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, manifest.Name)); err != nil {
			return nil, fault.New(fault.Usage, "pack.Folder", dir, "want a new folder, an empty one or an earlier package, got a folder with %q", entries[0].Name()).
				WithHint("Name another one with -o.")
		}
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
	if err != nil {
		return nil, fail(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	made := filepath.Join(tmp, "new")
	read := &told{to: progress}
	a = &Artifact{Path: dir, MediaType: MediaTypeFolder}
	for i := range t.Files {
		f := &t.Files[i]
		if err := writeFile(ctx, f, filepath.Join(made, filepath.FromSlash(f.Path)), read); err != nil {
			return nil, err
		}
		if f.Path == manifest.Name {
			a.Digest = digestOf(f.Data)
		}
	}
	a.Size = read.all
	// Modes do not depend on who packages.
	err = filepath.WalkDir(made, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o755)
		}
		return err
	})
	if err != nil {
		return nil, fail(err)
	}
	if err := os.Rename(dir, filepath.Join(tmp, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fail(err)
	}
	if err := os.Rename(made, dir); err != nil {
		return nil, fail(err)
	}
	return a, nil
}

func writeFile(ctx context.Context, f *File, to string, read *told) error {
	fail := func(err error) error { return fault.New(fault.Internal, "pack.Folder", to, "%w", err) }
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fail(err)
	}
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode())
	if err != nil {
		return fail(err)
	}
	read.Writer = w
	_, err = f.copy(ctx, read)
	if fault.CodeOf(err) != fault.Internal && err != nil {
		w.Close()
		return err
	}
	if err = errors.Join(err, w.Chmod(f.Mode()), w.Close()); err != nil {
		return fail(err)
	}
	return nil
}

// Tar writes t as a .tar.gz, as devices take it. Errors: as Zip.
func Tar(ctx context.Context, t *Tree, file string, progress func(int64)) (*Artifact, error) {
	h, count := sha256.New(), counter(0)
	err := replace(file, func(out io.Writer) error {
		z, err := gzip.NewWriterLevel(io.MultiWriter(out, h, &count), gzip.BestCompression)
		if err != nil {
			return err
		}
		if err := writeTar(ctx, t.Files, "", z, &told{to: progress}); err != nil {
			return err
		}
		return z.Close()
	})
	if err != nil {
		return nil, err
	}
	return &Artifact{Path: file, Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Size: int64(count), MediaType: MediaTypeTar}, nil
}

// writeTar writes files below root, and the folders that they are in.
func writeTar(ctx context.Context, files []File, root string, out io.Writer, read *told) error {
	w := tar.NewWriter(out)
	made := map[string]bool{}
	var folder func(dir string) error
	folder = func(dir string) error {
		if dir == "." || made[dir] {
			return nil
		}
		made[dir] = true
		if err := folder(path.Dir(dir)); err != nil {
			return err
		}
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, Format: tar.FormatPAX})
	}
	for i := range files {
		f := &files[i]
		name := path.Join(root, f.Path)
		if err := folder(path.Dir(name)); err != nil {
			return err
		}
		r, size, err := f.Open()
		if err != nil {
			return err
		}
		r.Close()
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: int64(f.Mode()), Format: tar.FormatPAX}); err != nil {
			return err
		}
		read.Writer = w
		if _, err := f.copy(ctx, read); err != nil {
			return err
		}
	}
	return w.Close()
}
