package pack

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"godwit.dev/runtime/fault"
)

// PushOptions is what varies in a push. nil means defaults.
type PushOptions struct {
	Registry *RegistryOptions
	// Progress is told how many bytes of how many the registry has; what it had
	// already counts.
	Progress func(done, total int64)
}

// Push sends the image to the repository and tag that ref names ("latest"
// without one); the artifact's path is the repository with the digest, which is
// what to deploy. Layers that the registry has are not sent; uploads that fail
// for the moment are tried again; http is spoken with loopback only. Errors:
// BadConfig for a reference, Unauthenticated, Denied, NotFound or Unavailable
// from the registry, also where it keeps something else.
func (o *OCI) Push(ctx context.Context, ref string, opts *PushOptions) (*Artifact, error) {
	var p PushOptions
	if opts != nil {
		p = *opts
	}
	to, err := name.NewTag(ref)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "pack.Push", ref, "want repository or repository:tag, got %q: %w", ref, err).
			WithHint("Say image: in godwit.yaml.")
	}
	all, err := o.contents()
	if err != nil {
		return nil, registryFault("pack.Push", ref, "", err)
	}
	var size int64
	for _, b := range all {
		size += b.size
	}
	options := p.Registry.remote(ctx)
	if p.Progress != nil {
		updates, drained := make(chan v1.Update), make(chan struct{})
		go func() {
			defer close(drained)
			for u := range updates { // closed by the push, also when it fails
				if u.Error == nil {
					p.Progress(u.Complete, u.Total)
				}
			}
		}()
		defer func() { <-drained }()
		options = append(options, remote.WithProgress(updates))
	}
	if o.index != nil {
		err = remote.WriteIndex(to, o.index, options...)
	} else {
		err = remote.Write(to, o.images[0].img, options...)
	}
	if err != nil {
		return nil, registryFault("pack.Push", ref, "See that the registry can be reached and push again; what arrived is not sent twice.", err)
	}
	// By its digest, which the client compares with what the registry says.
	if _, err := remote.Head(to.Context().Digest(o.Digest), p.Registry.remote(ctx)...); err != nil {
		return nil, registryFault("pack.Push", ref, "The registry does not keep what it was sent; push again.", err)
	}
	return &Artifact{Path: to.Context().Name() + "@" + o.Digest, Digest: o.Digest, Size: size, MediaType: o.MediaType}, nil
}
