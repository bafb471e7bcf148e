package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"godwit.dev/runtime/fault"
)

// DefaultBase has glibc, libgcc and libstdc++, certificates and time zones, no
// shell, and runs as nobody.
const DefaultBase = "gcr.io/distroless/cc-debian12:nonroot"

// layoutScheme marks a base that is an OCI layout on disk.
const layoutScheme = "oci:"

// maxBaseManifests bounds an index: nobody builds for more platforms, and each
// entry may have to be read.
const maxBaseManifests = 256

// Base is the image that a package is put on.
type Base struct {
	// Ref is as it was asked for: "gcr.io/distroless/cc-debian12:nonroot",
	// "repository@sha256:…", "oci:DIR".
	Ref string
	// Digest is what Ref meant: of an index where it is one.
	Digest string
	// Moved is what the tag means by now, where that is not Digest any more: the
	// lock pins Digest, and nothing else is taken without BaseOptions.Update.
	Moved string

	mu     sync.Mutex
	open   func(ctx context.Context, arch string) (v1.Image, error)
	images map[string]v1.Image
}

// RegistryOptions is how registries are reached. nil means defaults.
type RegistryOptions struct {
	// Keychain has the credentials; nil means those of docker and podman: their
	// configuration files and credential helpers.
	Keychain authn.Keychain
	// Transport is for proxies and tests; nil means the library's.
	Transport http.RoundTripper
	// Jobs is how many blobs are sent at a time; 0 means 4.
	Jobs int
	// Retry is the wait before the second of three attempts, and a third of the
	// wait before the last; 0 means a second.
	Retry time.Duration
}

func (o *RegistryOptions) remote(ctx context.Context) []remote.Option {
	var opts RegistryOptions
	if o != nil {
		opts = *o
	}
	if opts.Keychain == nil {
		opts.Keychain = authn.DefaultKeychain
	}
	if opts.Transport == nil {
		opts.Transport = remote.DefaultTransport
	}
	if opts.Jobs == 0 {
		opts.Jobs = 4
	}
	if opts.Retry == 0 {
		opts.Retry = time.Second
	}
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(opts.Keychain),
		remote.WithRetryBackoff(remote.Backoff{Duration: opts.Retry, Factor: 3, Jitter: 0.1, Steps: 3}),
		remote.WithTransport(opts.Transport), remote.WithJobs(opts.Jobs), remote.WithUserAgent("godwit")}
}

// BaseOptions is what varies in OpenBase. nil means defaults.
type BaseOptions struct {
	// Lock pins what tags mean: OpenBase takes the digest that is in it, and
	// puts in what it resolved. nil pins nothing.
	Lock *Lock
	// Update takes what the tag means now, and pins that.
	Update   bool
	Registry *RegistryOptions
}

// OpenBase finds the base that ref names, "" for DefaultBase. An OCI layout
// ("oci:DIR", from the current directory) is wholly offline and never pinned:
// it does not move by itself. The layers of a base in a registry are read when
// an image is written. Errors: BadConfig for a reference or a layout that
// cannot be used, NotFound, Unauthenticated, Denied or Unavailable from the
// registry.
func OpenBase(ctx context.Context, ref string, opts *BaseOptions) (*Base, error) {
	var o BaseOptions
	if opts != nil {
		o = *opts
	}
	if ref == "" {
		ref = DefaultBase
	}
	b := &Base{Ref: ref, images: map[string]v1.Image{}}
	if dir, ok := strings.CutPrefix(ref, layoutScheme); ok {
		return b, b.openLayout(dir)
	}
	return b, b.openRemote(ctx, &o)
}

func (b *Base) bad(hint, format string, args ...any) error {
	return fault.New(fault.BadConfig, "pack.OpenBase", b.Ref, format, args...).WithHint("%s", hint)
}

func (b *Base) openRemote(ctx context.Context, o *BaseOptions) error {
	parsed, err := name.ParseReference(b.Ref)
	if err != nil {
		return b.bad("Give repository:tag, repository@sha256:…, or oci:DIR.", "want the reference of an image, got %q: %w", b.Ref, err)
	}
	at, pinned := parsed, ""
	if d, ok := parsed.(name.Digest); ok {
		pinned = d.DigestStr()
	} else if o.Lock != nil && !o.Update {
		if pinned = o.Lock.Bases[b.Ref]; pinned != "" {
			at = parsed.Context().Digest(pinned)
		}
	}
	options := o.Registry.remote(ctx)
	got, err := remote.Get(at, options...)
	if err != nil {
		hint := "See that the registry can be reached, or give --base oci:DIR, which scripts/base.sh makes."
		if pinned != "" && at != parsed {
			hint = "godwit.lock pins " + pinned + "; if the registry has it no more, take what the tag means now by asking for an update."
		}
		return registryFault("pack.OpenBase", at.String(), hint, err)
	}
	b.Digest = got.Digest.String()
	if tag, ok := parsed.(name.Tag); ok && o.Lock != nil {
		if at != parsed {
			// Only told: a package that is pinned can be made as long as its base is there.
			if now, err := remote.Head(tag, options...); err == nil && now.Digest != got.Digest {
				b.Moved = now.Digest.String()
			}
		}
		if o.Lock.Bases == nil {
			o.Lock.Bases = map[string]string{}
		}
		o.Lock.Bases[b.Ref] = b.Digest
	}
	b.open = func(ctx context.Context, arch string) (v1.Image, error) {
		if !got.MediaType.IsIndex() {
			return got.Image()
		}
		index, err := got.ImageIndex()
		if err != nil {
			return nil, err
		}
		return b.pick(index, arch, 0)
	}
	return nil
}

func (b *Base) openLayout(dir string) error {
	hint := "Make one with `scripts/base.sh DIR`, or `skopeo copy docker://IMAGE oci:DIR`."
	l, err := layout.FromPath(dir)
	if err != nil {
		return b.bad(hint, "want a folder with an OCI layout, got %q: %w", dir, err)
	}
	if version, err := os.ReadFile(filepath.Join(dir, "oci-layout")); err != nil || !layoutVersion(version) {
		return b.bad(hint, "want version 1.0.0 in oci-layout, got %.100q (%v)", version, err)
	}
	index, err := l.ImageIndex()
	if err != nil {
		return b.bad(hint, "%w", err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return b.bad(hint, "%w", err)
	}
	// One entry is the image or the index itself; several are one image for
	// each platform, and the list is what has a digest.
	digest, err := index.Digest()
	if len(m.Manifests) == 1 {
		digest, err = m.Manifests[0].Digest, nil
	}
	if err != nil {
		return b.bad(hint, "%w", err)
	}
	b.Digest = digest.String()
	b.open = func(_ context.Context, arch string) (v1.Image, error) { return b.pick(index, arch, 0) }
	return nil
}

func layoutVersion(data []byte) bool {
	var v struct {
		Version string `json:"imageLayoutVersion"`
	}
	return json.Unmarshal(data, &v) == nil && v.Version == "1.0.0"
}

// pick is the linux image for arch in index, which may hold indexes. An entry
// without a platform is looked at: image layouts often leave it out.
func (b *Base) pick(index v1.ImageIndex, arch string, depth int) (v1.Image, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(m.Manifests) > maxBaseManifests || depth > 2 {
		return nil, b.bad("", "want at most %d images in at most 3 levels, got more", maxBaseManifests)
	}
	var has []string
	for _, d := range m.Manifests {
		if p := d.Platform; p != nil && (p.OS != "linux" || p.Architecture != arch) {
			has = append(has, p.OS+"/"+p.Architecture)
			continue
		}
		if d.MediaType.IsIndex() {
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			img, err := b.pick(inner, arch, depth+1)
			if err == nil {
				return img, nil
			}
			if !errors.Is(err, errNoPlatform) {
				return nil, err
			}
			continue
		}
		if !d.MediaType.IsImage() {
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return nil, err
		}
		config, err := checked(img, d.Digest) // a layout's reader believes its file names
		if err != nil {
			return nil, b.bad("Fetch or build the base again.", "%w", err)
		}
		if config.OS == "linux" && config.Architecture == arch {
			return img, nil
		}
		has = append(has, config.OS+"/"+config.Architecture)
	}
	slices.Sort(has)
	return nil, b.bad("Give a base for that architecture, or another --arch.", "%w: want linux/%s, got %s", errNoPlatform, arch, strings.Join(slices.Compact(has), ", "))
}

var errNoPlatform = errors.New("no image for the platform")

// image is the base for arch, checked.
func (b *Base) image(ctx context.Context, arch string) (v1.Image, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if img := b.images[arch]; img != nil {
		return img, nil
	}
	img, err := b.open(ctx, arch)
	if err != nil {
		if fault.Of(err) != nil {
			return nil, err
		}
		return nil, registryFault("pack.OpenBase", b.Ref, "", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, registryFault("pack.OpenBase", b.Ref, "", err)
	}
	if config.OS != "linux" || config.Architecture != arch {
		return nil, b.bad("Give a base for that architecture, or another --arch.", "%w: want linux/%s, got %s/%s", errNoPlatform, arch, config.OS, config.Architecture)
	}
	b.images[arch] = img
	return img, nil
}

// addenda are img's layers with their history, as OCI's types, and its
// configuration. The bytes of layers are the same in Docker's types.
func (b *Base) addenda(img v1.Image) ([]mutate.Addendum, *v1.ConfigFile, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, nil, registryFault("pack.OpenBase", b.Ref, "", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, nil, registryFault("pack.OpenBase", b.Ref, "", err)
	}
	if got, want := len(layers), len(config.RootFS.DiffIDs); got != want {
		return nil, nil, b.bad("Fetch or build the base again.", "want %d layers as its configuration says, got %d", want, got)
	}
	var adds []mutate.Addendum
	for i, l := range layers {
		// Registries' layers know this, and can be mounted from one repository to another.
		if _, ok := l.(*remote.MountableLayer); !ok {
			l = &known{l, config.RootFS.DiffIDs[i]}
		}
		media, err := l.MediaType()
		if err != nil {
			return nil, nil, registryFault("pack.OpenBase", b.Ref, "", err)
		}
		oci, ok := ociTypes[media]
		if !ok {
			return nil, nil, b.bad("Give a base whose layers are in it.", "want layers in tar, gzip or zstd, got %q", media)
		}
		adds = append(adds, mutate.Addendum{Layer: l, MediaType: oci,
			History: v1.History{Created: v1.Time{Time: unixEpoch}, CreatedBy: fmt.Sprintf("layer %d of the base", i+1)}})
	}
	full := 0
	for _, h := range config.History {
		if !h.EmptyLayer && full < len(adds) {
			adds[full].History = h
			full++
		}
	}
	return adds, config, nil
}

// known is a layer whose bytes need not be unpacked to know its DiffID.
type known struct {
	v1.Layer
	diffID v1.Hash
}

func (l *known) DiffID() (v1.Hash, error) { return l.diffID, nil }

var ociTypes = map[types.MediaType]types.MediaType{
	types.OCILayer: types.OCILayer, types.DockerLayer: types.OCILayer,
	types.OCIUncompressedLayer: types.OCIUncompressedLayer, types.DockerUncompressedLayer: types.OCIUncompressedLayer,
	types.OCILayerZStd: types.OCILayerZStd,
}

// labels are the user's and those about the base. The folder of a layout is
// not among them: it differs between machines, and the digest says it all.
func (b *Base) labels(user map[string]string) map[string]string {
	labels := maps.Clone(user)
	if labels == nil {
		labels = map[string]string{}
	}
	delete(labels, labelBaseName)
	if !strings.HasPrefix(b.Ref, layoutScheme) {
		labels[labelBaseName] = b.Ref
	}
	labels[labelBaseDigest] = b.Digest
	return labels
}

// registryFault gives an error of the library its code.
func registryFault(op, subject, hint string, err error) error {
	if f := fault.Of(err); f != nil {
		return err
	}
	code := fault.Unavailable
	var t *transport.Error
	switch {
	case errors.As(err, &t) && t.StatusCode == http.StatusUnauthorized:
		code, hint = fault.Unauthenticated, "Log in with `docker login REGISTRY` or `podman login REGISTRY`."
	case errors.As(err, &t) && t.StatusCode == http.StatusForbidden:
		code, hint = fault.Denied, "The credentials may not do that in this repository."
	case errors.As(err, &t) && t.StatusCode == http.StatusNotFound:
		code = fault.NotFound
	case errors.As(err, &t) && t.StatusCode < 500 && t.StatusCode != http.StatusTooManyRequests:
		code = fault.BadConfig
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		code = fault.CodeOf(err)
	}
	return fault.New(code, op, subject, "%w", err).WithHint("%s", hint)
}
