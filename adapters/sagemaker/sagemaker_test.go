package sagemaker_test

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/sagemaker"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/emulatetest"
	"godwit.dev/runtime/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var adapter = emulatetest.Adapter{
	Target: "sagemaker", Address: sagemaker.Address, Limits: sagemaker.Limits,
	New: func(s *adaptertest.Subject, _ func(string) string) http.Handler {
		return sagemaker.New(s.API, s.Events, nil)
	},
}

func TestConformance(t *testing.T) {
	adapter.Conform(t, map[string]adaptertest.Caps{
		"json":   {NoRoutes: true, NoHeaders: true, NoBinary: true},
		"binary": {NoRoutes: true, NoHeaders: true},
	}, nil)
}

// What SageMaker does in the function's stead.
func TestFront(t *testing.T) {
	i := adapter.Start(t, nil, &emulate.Options{Variant: "json"})
	if code, err := i.Raw(t.Context(), "text", http.Header{"Content-Type": {"application/json"}}, make([]byte, sagemaker.MaxBody+1)); err != nil || code != fault.TooLarge {
		t.Errorf("6 MB and a byte: want too_large, got %v, %v", code, err)
	}
}
