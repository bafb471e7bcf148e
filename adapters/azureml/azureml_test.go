package azureml_test

import (
	"context"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azureml"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/internal/emulate"
)

func start(t testing.TB, how *adaptertest.Setup, opts *emulate.Options) *emulate.Instance {
	t.Helper()
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		s, err := adaptertest.New(how)
		if err != nil {
			return err
		}
		defer s.Close()
		ln, err := httpserve.Listen(ctx, azureml.Address(getenv))
		if err != nil {
			return err
		}
		var o httpserve.Options
		azureml.Limits(&o)
		return httpserve.Serve(ctx, ln, azureml.New(s.API, nil), s.API, &o)
	})
	if how != nil {
		opts.Timeout = how.Timeout
	}
	i, err := emulate.Start(context.Background(), "azureml", launch, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	for variant, caps := range map[string]adaptertest.Caps{
		"score":    {NoRoutes: true},
		"protocol": {},
	} {
		t.Run(variant, func(t *testing.T) {
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client {
				return start(t, how, &emulate.Options{Variant: variant, Concurrency: 64})
			}, caps)
		})
	}
}
