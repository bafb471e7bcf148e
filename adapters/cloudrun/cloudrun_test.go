package cloudrun_test

import (
	"context"
	"testing"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/cloudrun"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/internal/emulate"
)

func start(t *testing.T, variant string, how *adaptertest.Setup) *emulate.Instance {
	if how == nil {
		how = &adaptertest.Setup{}
	}
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		s, err := adaptertest.New(how)
		if err != nil {
			return err
		}
		defer s.Close()
		ln, err := httpserve.Listen(ctx, cloudrun.Address(getenv))
		if err != nil {
			return err
		}
		var o httpserve.Options
		cloudrun.Limits(&o)
		return httpserve.Serve(ctx, ln, cloudrun.New(s.API, s.Events, nil), s.API, &o)
	})
	i, err := emulate.Start(t.Context(), "cloudrun", launch, &emulate.Options{Variant: variant, Timeout: how.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	for _, variant := range emulate.Variants("cloudrun") {
		t.Run(variant, func(t *testing.T) {
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client { return start(t, variant, how) }, adaptertest.Caps{})
		})
	}
}
