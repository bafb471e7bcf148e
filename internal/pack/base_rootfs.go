package pack

import (
	"archive/tar"
	"context"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"godwit.dev/runtime/fault"
)

// Rootfs makes a base of the files in folders, by architecture ("amd64",
// "arm64"): an OCI layout in out, of images with one layer that run as ImageUser. What differs
// between machines and users does not get in: owners are root, modes one of
// two, times zero, hard links files of their own; only tmp may be written to by
// all. Errors: BadConfig for devices, pipes and sockets, and what cannot be
// read; Internal about out.
func Rootfs(ctx context.Context, roots map[string]string, out string, opts *WriteOptions) (*Artifact, error) {
	blobs, err := NewBlobs("")
	if err != nil {
		return nil, err
	}
	o := &OCI{blobs: blobs}
	defer o.Close()
	if len(roots) == 0 {
		return nil, fault.New(fault.BadConfig, "pack.Rootfs", out, "want a folder for at least one architecture, got none")
	}
	for _, arch := range slices.Sorted(maps.Keys(roots)) {
		if arch != "amd64" && arch != "arm64" {
			return nil, fault.New(fault.BadConfig, "pack.Rootfs", arch, "want amd64 or arm64, got %q", arch)
		}
		img, err := rootImage(ctx, blobs, roots[arch], arch)
		if err != nil {
			return nil, err
		}
		o.images = append(o.images, platformImage{arch, img})
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	return o.WriteLayout(ctx, out, opts)
}

// rootImage is the image of the files in root.
func rootImage(ctx context.Context, blobs *Blobs, root, arch string) (v1.Image, error) {
	l, err := blobs.write(func(w io.Writer) error {
		t := tar.NewWriter(w)
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error { // in order of names
			if err != nil {
				return fault.New(fault.BadConfig, "pack.Rootfs", path, "%w", err)
			}
			name, err := filepath.Rel(root, path)
			if err != nil || name == "." {
				return err
			}
			return addEntry(ctx, t, path, filepath.ToSlash(name), entry)
		})
		if err != nil {
			return err
		}
		return t.Close()
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(withMediaTypes(empty.Image), mutate.Addendum{Layer: l, MediaType: types.OCILayer,
		History: v1.History{Created: v1.Time{Time: unixEpoch}, CreatedBy: "godwit: files of a folder"}})
	if err != nil {
		return nil, fault.New(fault.Internal, "pack.Rootfs", root, "%w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fault.New(fault.Internal, "pack.Rootfs", root, "%w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, v1.Time{Time: unixEpoch}
	config.Config = v1.Config{User: ImageUser, Env: []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
	}}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, fault.New(fault.Internal, "pack.Rootfs", root, "%w", err)
	}
	return img, nil
}

// addEntry writes one entry of a root file system.
func addEntry(ctx context.Context, t *tar.Writer, path, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return fault.New(fault.BadConfig, "pack.Rootfs", path, "%w", err)
	}
	h := &tar.Header{Name: name, ModTime: unixEpoch, Mode: 0o644}
	switch mode := info.Mode(); {
	case mode.IsDir():
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		if name == "tmp" || name == "var/tmp" {
			h.Mode = 0o1777
		}
		return t.WriteHeader(h)
	case mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
		if h.Linkname, err = os.Readlink(path); err != nil {
			return fault.New(fault.BadConfig, "pack.Rootfs", path, "%w", err)
		}
		return t.WriteHeader(h)
	case mode.IsRegular():
		f := File{Path: name, Exec: mode&0o111 != 0, From: path}
		h.Typeflag, h.Mode, h.Size = tar.TypeReg, int64(f.Mode()), info.Size()
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := f.copy(ctx, t)
		return err
	}
	return fault.New(fault.BadConfig, "pack.Rootfs", path, "want files, folders and symbolic links, got mode %s", info.Mode())
}
