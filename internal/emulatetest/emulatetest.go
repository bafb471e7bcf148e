// Package emulatetest starts what adapters/adaptertest serves under the
// platforms of internal/emulate, which know nothing of each other: for the tests
// of adapters behind a port.
package emulatetest

import (
	"context"
	"net/http"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/internal/emulate"
)

// An Adapter is what a test starts.
type Adapter struct {
	Target  string
	Address func(getenv func(string) string) string
	Limits  func(*httpserve.Options)
	New     func(s *adaptertest.Subject, getenv func(string) string) http.Handler
}

// Start starts the adapter in this process, over a subject made with how, until
// the platform stops it, or t ends. how and opts may be nil.
func (a *Adapter) Start(t testing.TB, how *adaptertest.Setup, opts *emulate.Options) *emulate.Instance {
	t.Helper()
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		s, err := adaptertest.New(how)
		if err != nil {
			return err
		}
		defer s.Close()
		ln, err := httpserve.Listen(ctx, a.Address(getenv))
		if err != nil {
			return err
		}
		var o httpserve.Options
		a.Limits(&o)
		return httpserve.Serve(ctx, ln, a.New(s, getenv), s.API, &o)
	})
	var o emulate.Options
	if opts != nil {
		o = *opts
	}
	if how != nil {
		o.Timeout = how.Timeout
	}
	i, err := emulate.Start(context.Background(), a.Target, launch, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

// Conform runs the suite against each of the forms in caps.
func (a *Adapter) Conform(t *testing.T, caps map[string]adaptertest.Caps, opts *emulate.Options) {
	for variant, able := range caps {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client {
				var o emulate.Options
				if opts != nil {
					o = *opts
				}
				o.Variant = variant
				return a.Start(t, how, &o)
			}, able)
		})
	}
}
