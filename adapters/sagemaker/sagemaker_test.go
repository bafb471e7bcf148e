package sagemaker_test

import (
	"context"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/sagemaker"
	"godwit.dev/internal/emulate"
	"godwit.dev/runtime/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t testing.TB, variant string, how *adaptertest.Setup) *emulate.Instance {
	t.Helper()
	launch := emulate.InProcess(func(ctx context.Context, getenv func(string) string) error {
		s, err := adaptertest.New(how)
		if err != nil {
			return err
		}
		defer s.Close()
		ln, err := httpserve.Listen(ctx, sagemaker.Address(getenv))
		if err != nil {
			return err
		}
		var o httpserve.Options
		sagemaker.Limits(&o)
		return httpserve.Serve(ctx, ln, sagemaker.New(s.API, nil), s.API, &o)
	})
	opts := &emulate.Options{Variant: variant}
	if how != nil {
		opts.Timeout = how.Timeout
	}
	i, err := emulate.Start(context.Background(), "sagemaker", launch, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	for variant, caps := range map[string]adaptertest.Caps{
		"json":   {NoRoutes: true, NoHeaders: true, NoBinary: true},
		"binary": {NoRoutes: true, NoHeaders: true},
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client { return start(t, variant, how) }, caps)
		})
	}
}

// What SageMaker does in the function's stead.
func TestFront(t *testing.T) {
	i := start(t, "json", nil)
	if code, err := i.Raw(t.Context(), "text", http.Header{"Content-Type": {"application/json"}}, make([]byte, sagemaker.MaxBody+1)); err != nil || code != fault.TooLarge {
		t.Errorf("6 MB and a byte: want too_large, got %v, %v", code, err)
	}
	if _, err := i.Deliver(t.Context(), &emulate.Delivery{}); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("an event: want unsupported, got %v", err)
	}
}
