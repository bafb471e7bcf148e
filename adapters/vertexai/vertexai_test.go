package vertexai_test

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/vertexai"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/emulatetest"
	"godwit.dev/runtime/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var adapter = emulatetest.Adapter{
	Target: "vertexai", Address: vertexai.Address, Limits: vertexai.Limits,
	New: func(s *adaptertest.Subject, getenv func(string) string) http.Handler {
		return vertexai.New(s.API, vertexai.Routes(getenv))
	},
}

func TestConformance(t *testing.T) {
	adapter.Conform(t, map[string]adaptertest.Caps{
		"predict": {NoRoutes: true, NoHeaders: true, NoBinary: true, NoTypes: true, MaxBody: vertexai.SharedBody},
		"raw":     {NoRoutes: true, NoHeaders: true, NoBinary: true, MaxBody: vertexai.SharedBody},
		"binary":  {NoRoutes: true, NoHeaders: true, MaxBody: vertexai.SharedBody},
	}, nil)
}

// What Vertex AI does in the function's stead.
func TestFront(t *testing.T) {
	i := adapter.Start(t, nil, &emulate.Options{Variant: "raw"})
	if code, err := i.Raw(t.Context(), "text", http.Header{"Content-Type": {"application/json"}}, make([]byte, vertexai.SharedBody+1)); err != nil || code != fault.TooLarge {
		t.Errorf("1.5 MB and a byte: want too_large, got %v, %v", code, err)
	}
}
