package pack

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

// A Kind is what a package comes as.
type Kind string

// The kinds. An image is an OCI layout: a folder, or a tar of it.
const (
	KindZip    Kind = "zip"
	KindTar    Kind = "tar"
	KindFolder Kind = "folder"
	KindImage  Kind = "image"
)

// Opened is a package whose files can be read, and run.
type Opened struct {
	Path   string
	Kind   Kind
	Digest string // as its Artifact's
	// Dir has the function: its program, godwit.yaml, models. For other kinds
	// than a folder it is a copy that Close removes.
	Dir string
	// Manifest is nil where the package has none.
	Manifest *manifest.Manifest
	// Root is the whole file system of an image, "" for other kinds.
	Root   string
	Image  *v1.ConfigFile // of an image
	Layers []v1.Hash      // of an image, compressed, lowest first
	remove func() error
}

// Close removes what Open has unpacked.
func (o *Opened) Close() error {
	if o.remove == nil {
		return nil
	}
	return o.remove()
}

// IsPackage reports whether path looks like a package rather than a function
// folder or a model: an archive, an OCI layout, or a folder with a manifest.
func IsPackage(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if !info.IsDir() {
		for _, suffix := range []string{".zip", ".tar", ".tar.gz", ".tgz"} {
			if strings.HasSuffix(strings.ToLower(path), suffix) {
				return true
			}
		}
		return false
	}
	for _, name := range []string{manifest.Name, "oci-layout"} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return true
		}
	}
	return false
}

// Open unpacks the package at path into a folder below temp ("" is the system's),
// whatever wrote it: what would leave that folder, repeats a name, is larger
// than a package can be or no plain file is refused, and then nothing is left of
// it. An image for several architectures is opened for arch. Errors: Invalid,
// NotFound, BadConfig about the manifest.
func Open(path, arch, temp string) (o *Opened, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fault.New(fault.NotFound, "pack.Open", path, "%w", errors.Unwrap(err))
	}
	o = &Opened{Path: path, Dir: path}
	if info.IsDir() {
		if _, err := os.Stat(filepath.Join(path, "oci-layout")); err != nil {
			o.Kind = KindFolder
			if text, err := os.ReadFile(filepath.Join(path, manifest.Name)); err == nil {
				o.Digest = digestOf(text)
			}
			o.Manifest, err = manifest.Load(path)
			return o, err
		}
	}
	if o.Dir, err = os.MkdirTemp(temp, "godwit-package-*"); err != nil {
		return nil, fault.New(fault.Internal, "pack.Open", path, "%w", err).WithHint("Set TMPDIR to a folder with room for the unpacked package.")
	}
	unpacked := o.Dir
	o.remove = func() error { return os.RemoveAll(unpacked) }
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
			o = nil
		}
	}()
	if err = o.unpack(info.IsDir(), arch); err != nil {
		return o, err
	}
	o.Manifest, err = manifest.Load(o.Dir)
	return o, err
}

func (o *Opened) unpack(folder bool, arch string) error {
	if folder {
		return o.image(o.Path, arch)
	}
	f, err := os.Open(o.Path)
	if err != nil {
		return fault.New(fault.Invalid, "pack.Open", o.Path, "%w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fault.New(fault.Invalid, "pack.Open", o.Path, "%w", err)
	}
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil && err != io.EOF {
		return fault.New(fault.Invalid, "pack.Open", o.Path, "%w", err)
	}
	if o.Digest, err = digestFile(f); err != nil {
		return fault.New(fault.Invalid, "pack.Open", o.Path, "%w", err)
	}
	into := o.Dir
	if err := os.Mkdir(filepath.Join(into, "files"), 0o755); err != nil {
		return fault.New(fault.Internal, "pack.Open", o.Path, "%w", err)
	}
	o.Dir = filepath.Join(into, "files")
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return fault.New(fault.Internal, "pack.Open", o.Path, "%w", err)
	}
	defer root.Close()
	u := &unpacker{archive: o.Path, root: root, seen: map[string]bool{}}
	switch {
	case bytes.HasPrefix(magic[:], []byte("PK")):
		o.Kind = KindZip
		return u.zip(f, info.Size())
	case bytes.HasPrefix(magic[:], []byte{0x1f, 0x8b}):
		o.Kind = KindTar
		packed := &countReader{r: f}
		z, err := gzip.NewReader(packed)
		if err != nil {
			return fault.New(fault.Invalid, "pack.Open", o.Path, "want a gzip file: %w", err)
		}
		return u.tar(z, &packed.n)
	}
	if err := u.tar(f, nil); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "oci-layout")); err != nil {
		o.Kind = KindTar
		return nil
	}
	return o.image(o.Dir, arch)
}

// image unpacks the image of an OCI layout for arch.
func (o *Opened) image(dir, arch string) error {
	o.Kind = KindImage
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "pack.Open", o.Path, format, args...)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return bad("want an OCI layout: %w", err)
	}
	img, digest, err := pick(index, arch, 0)
	if err != nil {
		return bad("%w", err)
	}
	o.Digest = digest.String()
	if o.Image, err = img.ConfigFile(); err != nil {
		return bad("want an image's configuration: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return bad("want an image's layers: %w", err)
	}
	if got, want := len(layers), len(o.Image.RootFS.DiffIDs); got != want {
		return bad("want %d layers as its configuration says, got %d", want, got)
	}
	if o.Root, err = os.MkdirTemp(filepath.Dir(o.Dir), "root-*"); err != nil {
		return bad("%w", err)
	}
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return bad("%w", err)
	}
	defer root.Close()
	u := &unpacker{archive: o.Path, root: root, layer: true}
	for i, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return bad("%w", err)
		}
		o.Layers = append(o.Layers, h)
		r, err := l.Uncompressed()
		if err != nil {
			return bad("layer %s: %w", h, err)
		}
		sum := sha256.New()
		whole := io.TeeReader(r, sum)
		err = u.tar(whole, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, io.LimitReader(whole, maxBytes)) // what is behind the last entry
		}
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		if got, want := hex.EncodeToString(sum.Sum(nil)), o.Image.RootFS.DiffIDs[i].Hex; got != want {
			return bad("want layer %d with SHA-256 %s as the configuration says, got %s", i, want, got)
		}
	}
	work := filepath.Clean("/" + o.Image.Config.WorkingDir)
	o.Dir = filepath.Join(o.Root, work)
	return nil
}

// pick finds the image for arch in an index, and the digest of what the layout
// names: an image's, or an index's of several.
func pick(index v1.ImageIndex, arch string, depth int) (v1.Image, v1.Hash, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	var found []string
	for _, d := range m.Manifests {
		switch {
		case d.MediaType.IsIndex() && depth < 2:
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, v1.Hash{}, err
			}
			img, _, err := pick(inner, arch, depth+1)
			return img, d.Digest, err
		case d.MediaType.IsImage():
			img, err := index.Image(d.Digest)
			if err != nil {
				return nil, v1.Hash{}, err
			}
			config, err := checked(img, d.Digest)
			if err != nil {
				return nil, v1.Hash{}, err
			}
			if config.OS == "linux" && config.Architecture == arch {
				return img, d.Digest, nil
			}
			found = append(found, config.OS+"/"+config.Architecture)
		}
	}
	return nil, v1.Hash{}, fault.New(fault.Invalid, "pack.Open", "", "want an image for linux/%s, got %q", arch, found)
}

// checked is the image's configuration, if that and the image's manifest have
// the digests by which they are named.
func checked(img v1.Image, digest v1.Hash) (*v1.ConfigFile, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if got := digestOf(raw); got != digest.String() {
		return nil, fault.New(fault.Invalid, "pack.Open", "", "want a manifest with digest %s, got %s", digest, got)
	}
	if got := digestOf(config); got != m.Config.Digest.String() {
		return nil, fault.New(fault.Invalid, "pack.Open", "", "want a configuration with digest %s, got %s", m.Config.Digest, got)
	}
	return v1.ParseConfigFile(bytes.NewReader(config))
}

// countReader counts what was read.
type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
