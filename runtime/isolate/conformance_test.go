package isolate_test

import (
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/isolate"
	"godwit.dev/runtime/tensor"
)

func TestConformance(t *testing.T) {
	t.Run("memengine", func(t *testing.T) {
		e := newEngine(t, "memengine", isolate.Options{})
		open(t, e, "addsub") // keeps the worker between the cases
		drivertest.Run(t, drivertest.Harness{
			Engine:    e,
			Path:      func(_ testing.TB, name string) string { return name },
			NotAModel: func(testing.TB) string { return "no-model" },
		})
		if n := e.Restarts(); n != 0 {
			t.Errorf("%d restarts, want none", n)
		}
	})
	t.Run("onnxruntime", func(t *testing.T) {
		e := newEngine(t, "ort", isolate.Options{})
		open(t, e, testmodels.AddSub().File(t, "addsub"))
		drivertest.Run(t, drivertest.Harness{Engine: e, Path: drivertest.ONNX, NotAModel: func(t testing.TB) string {
			return write(t, filepath.Join(t.TempDir(), "page.onnx"), "<!DOCTYPE html>")
		}})
		if n := e.Restarts(); n != 0 {
			t.Errorf("%d restarts, want none", n)
		}
		if info := e.Info(); info.Name != "onnxruntime" || info.Version == "" {
			t.Errorf("Info = %+v, want the engine's in the worker", info)
		}
	})
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func model(t testing.TB) string {
	t.Helper()
	return testmodels.AddSub().File(t, "addsub")
}

// addsub runs the model of that name and checks its answer.
func addsub(t testing.TB, s driver.Session) error {
	t.Helper()
	a := tensor.Of("a", []int64{1, 4}, []float32{1, 2, 3, 4})
	out := []tensor.Tensor{{Name: "sum"}}
	if err := s.Run(t.Context(), []tensor.Tensor{a, a}, out); err != nil {
		return err
	}
	if v, _ := tensor.View[float32](&out[0]); v[3] != 8 {
		t.Errorf("addsub answers %v", v)
	}
	return nil
}
