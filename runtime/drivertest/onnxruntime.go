package drivertest

import (
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/ort"
)

// ONNXRuntime is the real engine, whose library it finds as the command line
// does. `make test` fetches the library first; without it, opening a model
// fails and says so.
func ONNXRuntime(t testing.TB) driver.Engine {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return ort.New(&driver.Setup{Library: os.Getenv("GODWIT_ONNXRUNTIME"), CacheDir: filepath.Join(cache, "godwit")})
}
