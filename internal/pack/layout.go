package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"godwit.dev/runtime/fault"
)

// refName is where tools look for the name of an image in a layout.
const refName = "org.opencontainers.image.ref.name"

// WriteOptions is what varies in writing an image. nil means defaults.
type WriteOptions struct {
	// Name is what `podman load` calls the image: "digits:latest". It stands
	// outside of what the digest covers. "" leaves it without a name.
	Name string
	// Progress is told how many bytes of how many are written.
	Progress func(done, total int64)
}

// blob is one file of a layout: a manifest, a configuration or a layer.
type blob struct {
	hash v1.Hash
	size int64
	open func() (io.ReadCloser, error)
}

// blobs are all that the image is made of, each once, sorted by digest.
func (o *OCI) contents() ([]blob, error) {
	seen := map[v1.Hash]blob{}
	small := func(data []byte, err error) error {
		if err != nil {
			return err
		}
		h, n, err := v1.SHA256(bytes.NewReader(data))
		seen[h] = blob{h, n, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
		return err
	}
	for _, p := range o.images {
		if err := errors.Join(small(p.img.RawManifest()), small(p.img.RawConfigFile())); err != nil {
			return nil, err
		}
		layers, err := p.img.Layers()
		if err != nil {
			return nil, err
		}
		for _, l := range layers {
			h, err := l.Digest()
			if err != nil {
				return nil, err
			}
			n, err := l.Size()
			if err != nil {
				return nil, err
			}
			seen[h] = blob{h, n, l.Compressed}
		}
	}
	if o.index != nil {
		if err := small(o.index.RawManifest()); err != nil {
			return nil, err
		}
	}
	all := make([]blob, 0, len(seen))
	for _, b := range seen {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b blob) int { return strings.Compare(a.hash.Hex, b.hash.Hex) })
	return all, nil
}

// entry is the layout's index.json: the one image or index that is in it.
func (o *OCI) entry(name string) ([]byte, error) {
	d := v1.Descriptor{MediaType: types.MediaType(o.MediaType)}
	var err error
	if o.index != nil {
		d.Digest, err = o.index.Digest()
		size, err2 := o.index.Size()
		d.Size, err = size, errors.Join(err, err2)
	} else {
		img := o.images[0].img
		d.Digest, err = img.Digest()
		size, err2 := img.Size()
		config, err3 := img.ConfigFile()
		if err = errors.Join(err, err2, err3); err == nil {
			d.Size, d.Platform = size, platformOf(config)
		}
	}
	if err != nil {
		return nil, err
	}
	if name != "" {
		d.Annotations = map[string]string{refName: name}
	}
	return json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{d}})
}

const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

// write hands every file of the layout to put, in the order of an archive, and
// sees that put has read what the digest says.
func (o *OCI) write(ctx context.Context, opts *WriteOptions, put func(name string, size int64, fill func(io.Writer) error) error) (int64, error) {
	var w WriteOptions
	if opts != nil {
		w = *opts
	}
	all, err := o.contents()
	if err != nil {
		return 0, registryFault("pack.Image", "", "", err)
	}
	index, err := o.entry(w.Name)
	if err != nil {
		return 0, registryFault("pack.Image", "", "", err)
	}
	var total int64
	for _, b := range all {
		total += b.size
	}
	progress := &told{to: func(n int64) {
		if w.Progress != nil {
			w.Progress(n, total)
		}
	}}
	for _, b := range all {
		err := put("blobs/sha256/"+b.hash.Hex, b.size, func(dst io.Writer) error {
			r, err := b.open()
			if err != nil {
				return err
			}
			defer r.Close()
			progress.Writer = dst
			return copyExactly(progress, &reader{ctx, io.LimitReader(r, b.size+1)}, b.size, b.hash)
		})
		if err != nil {
			return 0, err
		}
	}
	for _, f := range []struct{ name, data string }{{"index.json", string(index)}, {"oci-layout", layoutFile}} {
		err := put(f.name, int64(len(f.data)), func(dst io.Writer) error { _, err := io.WriteString(dst, f.data); return err })
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// WriteTar writes the image to path as an archive of an OCI layout, which
// `podman load` and `skopeo copy oci-archive:` take: the same bytes for the
// same image and name. Errors: BadConfig for a base that is not what its
// digest says, Unavailable from the base's registry, Internal about path.
func (o *OCI) WriteTar(ctx context.Context, path string, opts *WriteOptions) (*Artifact, error) {
	var size counter
	err := replace(path, func(file io.Writer) error {
		t := tar.NewWriter(io.MultiWriter(file, &size))
		for _, dir := range []string{"blobs/", "blobs/sha256/"} {
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: unixEpoch}); err != nil {
				return err
			}
		}
		_, err := o.write(ctx, opts, func(name string, size int64, fill func(io.Writer) error) error {
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: unixEpoch}); err != nil {
				return err
			}
			return fill(t)
		})
		if err != nil {
			return err
		}
		return t.Close()
	})
	if err != nil {
		return nil, err
	}
	return &Artifact{Path: path, Digest: o.Digest, Size: int64(size), MediaType: o.MediaType}, nil
}

// WriteLayout writes the image to the folder dir as an OCI layout, which takes
// its place when all is written and checked. A folder that is there already
// must be empty or an OCI layout, which is replaced. Errors as WriteTar's.
func (o *OCI) WriteLayout(ctx context.Context, dir string, opts *WriteOptions) (_ *Artifact, err error) {
	dir = filepath.Clean(dir)
	if err := replaceable(dir); err != nil {
		return nil, err
	}
	internal := func(err error) error {
		if fault.Of(err) != nil {
			return err
		}
		return fault.New(fault.CodeOf(err), "pack.Write", dir, "%w", err).WithHint("Name a folder with -o in one that can be written to.")
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
	if err != nil {
		return nil, internal(err)
	}
	defer os.RemoveAll(tmp)
	for _, d := range []string{"", "blobs", "blobs/sha256"} {
		d = filepath.Join(tmp, d)
		if err := errors.Join(os.MkdirAll(d, 0o755), os.Chmod(d, 0o755)); err != nil { // whatever the umask
			return nil, internal(err)
		}
	}
	size, err := o.write(ctx, opts, func(name string, _ int64, fill func(io.Writer) error) error {
		return replace(filepath.Join(tmp, filepath.FromSlash(name)), fill)
	})
	if err != nil {
		return nil, internal(err)
	}
	if err := whole(tmp); err != nil {
		return nil, fault.New(fault.Internal, "pack.Write", dir, "what was written is no valid layout: %w", err)
	}
	if err := swap(tmp, dir); err != nil {
		return nil, internal(err)
	}
	return &Artifact{Path: dir, Digest: o.Digest, Size: size, MediaType: o.MediaType}, nil
}

// whole reads the layout in dir again: manifests and configurations have the
// digests and sizes that they are known by, and every layer is there in its size.
func whole(dir string) error {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	return wholeIndex(dir, index)
}

func wholeIndex(dir string, index v1.ImageIndex) error {
	all, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range all.Manifests {
		if d.MediaType.IsIndex() {
			below, err := index.ImageIndex(d.Digest)
			if err != nil {
				return err
			}
			text, err := below.RawManifest()
			if err := errors.Join(err, same(d, text)); err != nil {
				return err
			}
			if err := wholeIndex(dir, below); err != nil {
				return err
			}
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		text, err := img.RawManifest()
		if err := errors.Join(err, same(d, text)); err != nil {
			return err
		}
		m, err := img.Manifest()
		if err != nil {
			return err
		}
		text, err = img.RawConfigFile()
		if err := errors.Join(err, same(m.Config, text)); err != nil {
			return err
		}
		config, err := img.ConfigFile()
		if err != nil {
			return err
		}
		if got, want := len(config.RootFS.DiffIDs), len(m.Layers); got != want {
			return fmt.Errorf("image %s: want %d layers in its configuration, got %d", d.Digest, want, got)
		}
		for _, l := range m.Layers { // digested as they were written
			info, err := os.Stat(filepath.Join(dir, "blobs", l.Digest.Algorithm, l.Digest.Hex))
			if err != nil {
				return err
			}
			if info.Size() != l.Size {
				return fmt.Errorf("layer %s: want %d bytes, got %d", l.Digest, l.Size, info.Size())
			}
		}
	}
	return nil
}

func same(d v1.Descriptor, text []byte) error {
	got, size, err := v1.SHA256(bytes.NewReader(text))
	if err == nil && (got != d.Digest || size != d.Size) {
		err = fmt.Errorf("want %s of %d bytes, got %s of %d", d.Digest, d.Size, got, size)
	}
	return err
}

// replaceable reports whether dir is free, empty or a layout.
func replaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return fault.New(fault.BadConfig, "pack.Write", dir, "%w", err).WithHint("Name a folder that is not there yet with -o.")
	}
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
		return fault.New(fault.BadConfig, "pack.Write", dir, "want a new or empty folder, or an OCI layout to replace, got one with %q", entries[0].Name()).
			WithHint("Name a folder that is not there yet with -o.")
	}
	return nil
}

// swap puts the folder tmp in dir's place, which is moved aside first, so that
// there is no moment with half of one.
func swap(tmp, dir string) error {
	old := tmp + ".old"
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer os.RemoveAll(old)
	if err := os.Rename(tmp, dir); err != nil {
		return errors.Join(err, os.Rename(old, dir))
	}
	return nil
}
