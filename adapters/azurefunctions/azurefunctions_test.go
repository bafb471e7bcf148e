package azurefunctions_test

import (
	"context"
	"os"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azurefunctions"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/internal/emulate"
)

// start runs the adapter under the host, which says where the app's files are.
func start(t testing.TB, how *adaptertest.Setup, opts *emulate.Options) *emulate.Instance {
	t.Helper()
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		s, err := adaptertest.New(how)
		if err != nil {
			return err
		}
		defer s.Close()
		app, err := azurefunctions.ReadApp(os.DirFS(getenv("FUNCTIONS_APP_ROOT_PATH")))
		if err != nil {
			return err
		}
		ln, err := httpserve.Listen(ctx, azurefunctions.Address(getenv))
		if err != nil {
			return err
		}
		var o httpserve.Options
		azurefunctions.Limits(&o)
		h := azurefunctions.New(s.API, s.Events, &azurefunctions.Options{App: app})
		return httpserve.Serve(ctx, ln, h, s.API, &o)
	})
	if how != nil {
		opts.Timeout = how.Timeout
	}
	i, err := emulate.Start(context.Background(), "azurefunctions", launch, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	for variant, caps := range map[string]adaptertest.Caps{
		"proxied":   {},
		"forwarded": {NoHangup: true},                 // the host's client does not hang up
		"envelope":  {NoHangup: true, NoBinary: true}, // an answer is a JSON string
	} {
		t.Run(variant, func(t *testing.T) {
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client {
				return start(t, how, &emulate.Options{Variant: variant})
			}, caps)
		})
	}
}
