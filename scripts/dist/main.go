// Command dist puts a folder into an archive that is the same bytes whoever
// makes it, wherever and whenever: DIR/NAME becomes NAME/… in DIR/NAME.tar.gz.
//
//	dist DIR NAME...
//
// A SHA256SUMS is added to each archive, and DIR/SHA256SUMS names the archives.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(args []string, w io.Writer) error {
	if len(args) < 2 {
		return fmt.Errorf("want DIR NAME..., got %q", args)
	}
	dir, names := args[0], slices.Sorted(slices.Values(args[1:]))
	var sums strings.Builder
	for _, name := range names {
		file := filepath.Join(dir, name+".tar.gz")
		sum, size, err := archive(filepath.Join(dir, name), name, file)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum, filepath.Base(file))
		fmt.Fprintf(w, "%s  %d bytes  sha256:%x\n", file, size, sum)
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// archive writes the folder to the file as NAME/…, whole or not at all.
func archive(folder, name, file string) (sum [sha256.Size]byte, size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".dist-")
	if err != nil {
		return sum, 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	h := sha256.New()
	z, err := gzip.NewWriterLevel(io.MultiWriter(f, h), gzip.BestCompression)
	if err != nil {
		return sum, 0, err
	}
	t := tar.NewWriter(z)
	if err := write(t, folder, name); err != nil {
		return sum, 0, err
	}
	if err := errors.Join(t.Close(), z.Close(), f.Chmod(0o644)); err != nil {
		return sum, 0, err
	}
	if size, err = f.Seek(0, io.SeekCurrent); err != nil {
		return sum, 0, err
	}
	if err := f.Close(); err != nil {
		return sum, 0, err
	}
	return [sha256.Size]byte(h.Sum(nil)), size, os.Rename(f.Name(), file)
}

// write adds what is in the folder, sorted by name, and the sums at last. Of a
// file's mode only whether somebody may run it goes in, and nothing of its
// owner and times.
func write(t *tar.Writer, folder, name string) error {
	var sums bytes.Buffer
	err := filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(folder, file)
		if err != nil {
			return err
		}
		inside = filepath.ToSlash(inside)
		h := &tar.Header{Format: tar.FormatUSTAR, Name: path.Join(name, inside), Mode: 0o755}
		switch {
		case d.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
			return t.WriteHeader(h)
		case d.Type() == fs.ModeSymlink:
			h.Typeflag = tar.TypeSymlink
			if h.Linkname, err = os.Readlink(file); err != nil {
				return err
			}
			return t.WriteHeader(h)
		case !d.Type().IsRegular():
			return fmt.Errorf("want files, folders and links, got %s: %s", d.Type(), file)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&0o111 == 0 {
			h.Mode = 0o644
		}
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(t, sum), f); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum.Sum(nil), inside)
		return nil
	})
	if err != nil {
		return err
	}
	h := &tar.Header{Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Name: path.Join(name, "SHA256SUMS"), Mode: 0o644, Size: int64(sums.Len())}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = t.Write(sums.Bytes())
	return err
}
