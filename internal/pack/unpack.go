package pack

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"

	"godwit.dev/runtime/fault"
)

// Bounds of what is unpacked: beyond them it is no package.
const (
	maxEntries = 100_000
	maxBytes   = 64 << 30
	// maxRatio is how many times its compressed size a file may have, once it is
	// large: deflate itself cannot do more than 1032.
	maxRatio   = 200
	ratioAfter = 64 << 20
)

// An unpacker writes the entries of archives from outside into one folder.
// Nothing leaves it: names are checked, and os.Root follows no link out of it.
type unpacker struct {
	archive string
	root    *os.Root
	// layer says that the archive is a layer of an image: it may replace what is
	// there, and have links.
	layer   bool
	seen    map[string]bool // names in lower case, of archives that are no layers
	entries int
	bytes   int64
}

func (u *unpacker) refuse(name, format string, args ...any) error {
	return fault.New(fault.Invalid, "pack.Open", u.archive, "entry %q: "+format, append([]any{clip(name)}, args...)...).
		WithHint("It is no package that Godwit made; nothing of it was kept.")
}

// clip bounds what an error repeats of a name from outside.
func clip(name string) string {
	if len(name) > 100 {
		return name[:100] + "…"
	}
	return name
}

// place is where an entry belongs, "" for the root itself.
func (u *unpacker) place(name string, dir bool) (string, error) {
	if u.entries++; u.entries > maxEntries {
		return "", u.refuse(name, "want at most %d entries, got more", maxEntries)
	}
	clean := name
	if u.layer { // "./usr/lib/" is usual there
		clean = strings.TrimPrefix(clean, "./")
	}
	if dir {
		clean = strings.TrimSuffix(clean, "/")
	}
	if clean == "" || clean == "." {
		return "", nil
	}
	if path.Clean(clean) != clean || !filepath.IsLocal(clean) || strings.ContainsAny(clean, "\\\x00") {
		return "", u.refuse(name, "want a path inside the package")
	}
	if u.layer {
		return clean, nil
	}
	key := strings.ToLower(clean)
	if u.seen[key] && !dir {
		return "", u.refuse(name, "want each name once, whatever its case")
	}
	u.seen[key] = true
	return clean, nil
}

// file writes r. packed is its compressed size, -1 where that is not known.
func (u *unpacker) file(name string, mode fs.FileMode, size, packed int64, r io.Reader) error {
	to, err := u.place(name, false)
	if err != nil || to == "" {
		return err
	}
	if size < 0 || size > maxBytes-u.bytes {
		return u.refuse(name, "want at most %d bytes in all, got more", int64(maxBytes))
	}
	if packed >= 0 && size > ratioAfter && size/max(packed, 1) > maxRatio {
		return u.refuse(name, "want at most %d times its compressed size, got %d bytes out of %d", maxRatio, size, packed)
	}
	if dir := path.Dir(to); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return u.refuse(name, "%w", err)
		}
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_EXCL
	if u.layer {
		if err := u.root.RemoveAll(to); err != nil {
			return u.refuse(name, "%w", err)
		}
	}
	w, err := u.root.OpenFile(to, flags, mode.Perm()&0o755)
	if err != nil {
		return u.refuse(name, "%w", err)
	}
	n, err := io.Copy(w, io.LimitReader(r, size+1))
	u.bytes += n
	// Who examines it reads the package's modes, whatever this process's umask is.
	if err = errors.Join(err, w.Chmod(mode.Perm()&0o755), w.Close()); err != nil {
		return u.refuse(name, "%w", err)
	}
	if n != size {
		return u.refuse(name, "want %d bytes as its header says, got %s", size, map[bool]string{true: "more", false: "fewer"}[n > size])
	}
	return nil
}

func (u *unpacker) folder(name string) error {
	to, err := u.place(name, true)
	if err != nil || to == "" {
		return err
	}
	if err := u.root.MkdirAll(to, 0o755); err != nil {
		return u.refuse(name, "%w", err)
	}
	return nil
}

// zip unpacks a zip file.
func (u *unpacker) zip(f *os.File, size int64) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return fault.New(fault.Invalid, "pack.Open", u.archive, "want a zip file: %w", err)
	}
	for _, e := range z.File {
		switch mode := e.Mode(); {
		case mode.IsDir():
			err = u.folder(e.Name)
		case mode.IsRegular():
			err = u.zipped(e)
		default:
			err = u.refuse(e.Name, "want files and folders only, got mode %v", mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) zipped(e *zip.File) error {
	if e.UncompressedSize64 > math.MaxInt64 || e.CompressedSize64 > math.MaxInt64 {
		return u.refuse(e.Name, "want a size that there can be")
	}
	r, err := e.Open()
	if err != nil {
		return u.refuse(e.Name, "%w", err)
	}
	defer r.Close()
	return u.file(e.Name, e.Mode(), int64(e.UncompressedSize64), int64(e.CompressedSize64), r)
}

// tar unpacks a tar stream. packed counts the bytes that it was made of so far;
// nil where it is not compressed.
func (u *unpacker) tar(r io.Reader, packed *int64) error {
	if packed != nil {
		r = &bounded{r: r, packed: packed}
	}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fault.New(fault.Invalid, "pack.Open", u.archive, "want a tar archive: %w", err)
		}
		if u.layer && strings.HasPrefix(path.Base(h.Name), ".wh.") {
			if err := u.whiteout(h.Name); err != nil {
				return err
			}
			continue
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = u.folder(h.Name)
		case tar.TypeReg:
			err = u.file(h.Name, fs.FileMode(h.Mode), h.Size, -1, t)
		case tar.TypeSymlink, tar.TypeLink:
			err = u.link(h)
		case tar.TypeXGlobalHeader:
		case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
			if !u.layer {
				err = u.refuse(h.Name, "want files and folders only, got a device or pipe")
			} // a base may have /dev/null; nothing here needs it
		default:
			err = u.refuse(h.Name, "want files and folders only, got type %q", h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

// bounded is a decompressed stream that ends with an error when it has become
// too many times what it was made of: a tar tells no compressed sizes.
type bounded struct {
	r      io.Reader
	packed *int64
	n      int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.n += int64(n); b.n > ratioAfter && b.n/max(*b.packed, 1) > maxRatio {
		return 0, fmt.Errorf("want at most %d times the compressed size, got %d bytes out of %d", maxRatio, b.n, *b.packed)
	}
	return n, err
}

// link makes a link of a layer, so that it stays in the root: an absolute
// target means the image's root.
func (u *unpacker) link(h *tar.Header) error {
	if !u.layer {
		return u.refuse(h.Name, "want files and folders only, got a link to %q", clip(h.Linkname))
	}
	to, err := u.place(h.Name, false)
	if err != nil || to == "" {
		return err
	}
	if dir := path.Dir(to); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return u.refuse(h.Name, "%w", err)
		}
	}
	if err := u.root.RemoveAll(to); err != nil {
		return u.refuse(h.Name, "%w", err)
	}
	if h.Typeflag == tar.TypeLink {
		err = u.root.Link(strings.TrimPrefix(path.Clean("/"+h.Linkname), "/"), to)
	} else {
		target := h.Linkname
		if path.IsAbs(target) {
			target = strings.Repeat("../", strings.Count(to, "/")) + strings.TrimPrefix(path.Clean(target), "/")
		}
		err = u.root.Symlink(target, to)
	}
	if err != nil {
		return u.refuse(h.Name, "link to %q: %w", clip(h.Linkname), err)
	}
	return nil
}

// whiteout takes away what a lower layer has.
func (u *unpacker) whiteout(name string) error {
	to, err := u.place(name, false)
	if err != nil {
		return err
	}
	dir, base := path.Split(to)
	if base == ".wh..wh..opq" {
		base = ".wh." // all of the folder
		entries, err := fs.ReadDir(u.root.FS(), path.Clean(dir))
		if err != nil {
			return u.refuse(name, "%w", err)
		}
		for _, e := range entries {
			if err := u.root.RemoveAll(path.Join(dir, e.Name())); err != nil {
				return u.refuse(name, "%w", err)
			}
		}
		return nil
	}
	if err := u.root.RemoveAll(path.Join(dir, strings.TrimPrefix(base, ".wh."))); err != nil {
		return u.refuse(name, "%w", err)
	}
	return nil
}
