package pack

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"godwit.dev/runtime/fault"
)

const (
	// ImageRoot is the folder of an image that holds the package.
	ImageRoot = "/godwit"
	// ImageUser is who runs it: nobody that the base needs to know by name.
	ImageUser = "65532:65532"
)

// Annotations and labels that say which base an image was put on.
const (
	labelBaseName   = "org.opencontainers.image.base.name"
	labelBaseDigest = "org.opencontainers.image.base.digest"
)

// ImageOptions is what varies between images. nil means defaults.
type ImageOptions struct {
	// Program is the path of the binary in the tree; "" means "fn-server".
	Program string
	// Labels of the image besides those about its base, which win.
	Labels map[string]string
	// Env takes the place of the base's variables of the same names.
	Env map[string]string
	// Blobs keeps the layers for other images; nil means that Image makes its
	// own, which OCI.Close removes.
	Blobs *Blobs
	// Progress is told how many bytes of files have been read so far.
	Progress func(int64)
}

func (o *ImageOptions) withDefaults() ImageOptions {
	var opts ImageOptions
	if o != nil {
		opts = *o
	}
	if opts.Program == "" {
		opts.Program = "fn-server"
	}
	return opts
}

// OCI is an image, or an index of one image for each architecture, that waits
// to be written: its layers are in files, its base is read when it is needed.
type OCI struct {
	// Digest is of the image's manifest, or of the index: what a registry and
	// a platform know it by.
	Digest    string
	MediaType string
	// Added are the compressed bytes of the layers above the base, each counted once.
	Added int64

	images []platformImage // sorted by architecture
	index  v1.ImageIndex   // nil for one architecture
	blobs  *Blobs          // what Close removes; nil when they are the caller's
}

type platformImage struct {
	arch string
	img  v1.Image
}

// Image puts trees, by architecture ("amd64", "arm64"), onto base: a layer for
// each Part that has files, from what changes least to what changes most, below
// ImageRoot. The program is the entrypoint, there is no command, the user is
// ImageUser. Of the base's configuration only the environment stays. Everything
// in the result follows from the base's and the trees' bytes and from opts.
// Errors: BadConfig about a tree or a base for another architecture.
func Image(ctx context.Context, base *Base, trees map[string]*Tree, opts *ImageOptions) (_ *OCI, err error) {
	o := opts.withDefaults()
	out := &OCI{}
	if o.Blobs == nil {
		if o.Blobs, err = NewBlobs(""); err != nil {
			return nil, err
		}
		out.blobs = o.Blobs
	}
	defer func() {
		if err != nil {
			out.Close()
		}
	}()
	if len(trees) == 0 {
		return nil, fault.New(fault.BadConfig, "pack.Image", "", "want a tree for at least one architecture, got none")
	}
	added := map[v1.Hash]int64{}
	read := &told{to: o.Progress}
	for _, arch := range slices.Sorted(maps.Keys(trees)) {
		img, err := compose(ctx, base, arch, trees[arch], &o, read, added)
		if err != nil {
			return nil, err
		}
		out.images = append(out.images, platformImage{arch, img})
	}
	for _, n := range added {
		out.Added += n
	}
	return out, out.finish()
}

// finish makes the index of several images and digests what there is.
func (o *OCI) finish() error {
	var top interface {
		Digest() (v1.Hash, error)
		MediaType() (types.MediaType, error)
	} = o.images[0].img
	if len(o.images) > 1 {
		var adds []mutate.IndexAddendum
		for _, p := range o.images {
			config, err := p.img.ConfigFile()
			if err != nil {
				return fault.New(fault.Internal, "pack.Image", p.arch, "%w", err)
			}
			adds = append(adds, mutate.IndexAddendum{Add: p.img, Descriptor: v1.Descriptor{Platform: platformOf(config)}})
		}
		o.index = mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...)
		top = o.index
	}
	digest, err := top.Digest()
	if err != nil {
		return fault.New(fault.Internal, "pack.Image", "", "%w", err)
	}
	media, err := top.MediaType()
	if err != nil {
		return fault.New(fault.Internal, "pack.Image", "", "%w", err)
	}
	o.Digest, o.MediaType = digest.String(), string(media)
	return nil
}

// Close removes the layers that Image made, unless they are in the caller's
// Blobs. What was written stays.
func (o *OCI) Close() error {
	if o.blobs == nil {
		return nil
	}
	return o.blobs.Close()
}

func platformOf(c *v1.ConfigFile) *v1.Platform {
	return &v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}
}

// compose is the image of one architecture; it notes in added what its layers weigh.
func compose(ctx context.Context, base *Base, arch string, t *Tree, o *ImageOptions, read *told, added map[v1.Hash]int64) (v1.Image, error) {
	program := slices.IndexFunc(t.Files, func(f File) bool { return f.Path == o.Program })
	if program < 0 || !t.Files[program].Exec {
		return nil, fault.New(fault.BadConfig, "pack.Image", o.Program, "want an executable %q in the package, got none", o.Program)
	}
	below, err := base.image(ctx, arch)
	if err != nil {
		return nil, err
	}
	adds, config, err := base.addenda(below)
	if err != nil {
		return nil, err
	}
	if t, err = t.on(ctx, base, below); err != nil {
		return nil, err
	}
	for part := Part(0); int(part) < Parts; part++ {
		files := t.Of(part)
		if len(files) == 0 {
			continue
		}
		l, err := o.Blobs.layer(ctx, parentless(ImageRoot), files, read)
		if err != nil {
			return nil, err
		}
		added[l.digest] = l.size
		adds = append(adds, mutate.Addendum{Layer: l, MediaType: types.OCILayer,
			History: v1.History{Created: v1.Time{Time: unixEpoch}, CreatedBy: "godwit package: " + part.String()}})
	}
	img, err := mutate.Append(withMediaTypes(empty.Image), adds...)
	if err != nil {
		return nil, fault.New(fault.Internal, "pack.Image", arch, "%w", err)
	}
	made, err := img.ConfigFile() // has the layers' digests and history
	if err != nil {
		return nil, fault.New(fault.Internal, "pack.Image", arch, "%w", err)
	}
	made = made.DeepCopy()
	made.OS, made.Architecture, made.Variant = config.OS, config.Architecture, config.Variant
	made.Created = v1.Time{Time: unixEpoch}
	labels := base.labels(o.Labels)
	made.Config = v1.Config{
		User:       ImageUser,
		Env:        environment(config.Config.Env, o.Env),
		Entrypoint: []string{ImageRoot + "/" + o.Program},
		WorkingDir: ImageRoot,
		Labels:     labels,
	}
	if img, err = mutate.ConfigFile(img, made); err != nil {
		return nil, fault.New(fault.Internal, "pack.Image", arch, "%w", err)
	}
	return mutate.Annotations(img, labels).(v1.Image), nil
}

func withMediaTypes(img v1.Image) v1.Image {
	return mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
}

// environment is the base's with ours over it; what is new comes last, sorted.
func environment(below []string, over map[string]string) []string {
	env := []string{}
	for _, kv := range below {
		name, _, _ := strings.Cut(kv, "=")
		if _, ours := over[name]; !ours {
			env = append(env, kv)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(over)) {
		env = append(env, name+"="+over[name])
	}
	return env
}

// String is the part's name in an image's history.
func (p Part) String() string {
	return [Parts]string{"runtime", "weights", "binary", "spec"}[p]
}

// copyExactly copies r, which must have n bytes with the digest want.
func copyExactly(w io.Writer, r io.Reader, n int64, want v1.Hash) error {
	got, size, err := v1.SHA256(io.TeeReader(r, w))
	if err != nil {
		return err
	}
	if size != n || got != want {
		return fault.New(fault.BadConfig, "pack.Image", want.String(), "want %d bytes with that digest, got %d bytes with %s", n, size, got).
			WithHint("The base image is damaged; fetch or build it again.")
	}
	return nil
}
