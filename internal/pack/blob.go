package pack

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"godwit.dev/runtime/fault"
)

// Blob finds the layer with the SHA-256 sum of the artifact ref, as `oras push`
// makes it: the file's own bytes are a layer. It returns the layer's URL, and a
// transport above over that logs in to the registry with docker's or podman's
// credentials. Errors: BadConfig, and others for what may go better next time.
func Blob(ctx context.Context, ref, sum string, over http.RoundTripper) (blob string, t http.RoundTripper, err error) {
	bad := func(format string, args ...any) (string, http.RoundTripper, error) {
		return "", nil, fault.New(fault.BadConfig, "pack.Blob", ref, format, args...)
	}
	at, err := name.ParseReference(ref)
	if err != nil {
		return bad("want REGISTRY/REPOSITORY with :TAG or @DIGEST, got %q", ref)
	}
	repo := at.Context()
	auth, err := authn.Resolve(ctx, authn.DefaultKeychain, repo)
	if err != nil {
		return bad("want credentials that can be read: %w", err)
	}
	if t, err = transport.NewWithContext(ctx, repo.Registry, auth, over, []string{repo.Scope(transport.PullScope)}); err != nil {
		return "", nil, registryError(ref, err)
	}
	img, err := remote.Image(at, remote.WithContext(ctx), remote.WithTransport(t))
	if err != nil {
		return "", nil, registryError(ref, err)
	}
	m, err := img.Manifest()
	if err != nil {
		return "", nil, registryError(ref, err)
	}
	for _, l := range m.Layers {
		if l.Digest.Algorithm == "sha256" && l.Digest.Hex == sum {
			return fmt.Sprintf("https://%s/v2/%s/blobs/%s", repo.RegistryStr(), repo.RepositoryStr(), l.Digest), t, nil
		}
	}
	return bad("want a layer sha256:%s, got %d others", sum, len(m.Layers))
}

// registryError tells what a registry will not give from what it could not.
func registryError(ref string, err error) error {
	var said *transport.Error
	if errors.As(err, &said) && said.StatusCode >= 400 && said.StatusCode < 500 && said.StatusCode != http.StatusTooManyRequests {
		return fault.New(fault.BadConfig, "pack.Blob", ref, "want the artifact, got status %d", said.StatusCode).
			WithHint("Correct path in godwit.yaml, or log in with podman login or docker login.")
	}
	return err
}
