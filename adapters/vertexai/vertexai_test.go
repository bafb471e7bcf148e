package vertexai_test

import (
	"context"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/vertexai"
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
		ln, err := httpserve.Listen(ctx, vertexai.Address(getenv))
		if err != nil {
			return err
		}
		var o httpserve.Options
		vertexai.Limits(&o)
		return httpserve.Serve(ctx, ln, vertexai.New(s.API, vertexai.Routes(getenv)), s.API, &o)
	})
	opts := &emulate.Options{Variant: variant}
	if how != nil {
		opts.Timeout = how.Timeout
	}
	i, err := emulate.Start(context.Background(), "vertexai", launch, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

func TestConformance(t *testing.T) {
	for variant, caps := range map[string]adaptertest.Caps{
		"predict": {NoRoutes: true, NoHeaders: true, NoBinary: true, NoTypes: true, MaxBody: vertexai.SharedBody},
		"raw":     {NoRoutes: true, NoHeaders: true, NoBinary: true, MaxBody: vertexai.SharedBody},
		"binary":  {NoRoutes: true, NoHeaders: true, MaxBody: vertexai.SharedBody},
	} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			adaptertest.Run(t, func(t *testing.T, how *adaptertest.Setup) adaptertest.Client { return start(t, variant, how) }, caps)
		})
	}
}

// What Vertex AI does in the function's stead.
func TestFront(t *testing.T) {
	i := start(t, "raw", nil)
	if code, err := i.Raw(t.Context(), "text", http.Header{"Content-Type": {"application/json"}}, make([]byte, vertexai.SharedBody+1)); err != nil || code != fault.TooLarge {
		t.Errorf("1.5 MB and a byte: want too_large, got %v, %v", code, err)
	}
	if _, err := i.Deliver(t.Context(), &emulate.Delivery{}); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("an event: want unsupported, got %v", err)
	}
}
