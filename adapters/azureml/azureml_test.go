package azureml_test

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"godwit.dev/adapters/adaptertest"
	"godwit.dev/adapters/azureml"
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/emulatetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var adapter = emulatetest.Adapter{
	Target: "azureml", Address: azureml.Address, Limits: azureml.Limits,
	New: func(s *adaptertest.Subject, _ func(string) string) http.Handler { return azureml.New(s.API, nil) },
}

func TestConformance(t *testing.T) {
	adapter.Conform(t, map[string]adaptertest.Caps{"score": {NoRoutes: true}, "protocol": {}}, &emulate.Options{Concurrency: 64})
}
