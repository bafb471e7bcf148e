package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/pack"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/ort"
)

// A handler may take other requests than its model, which is baked all the same;
// without one they are mistakes.
func TestBakesBehindAHandler(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"addsub.onnx":            string(testmodels.AddSub().Bytes()),
		"requests/addsub/1.json": `{"inputs":[{"name":"words","shape":[1],"datatype":"BYTES","data":["one"]}]}`,
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := &program{Env: app.OS(), Parts: Parts{Engine: ort.New}, quiet: true}
	library, err := p.library()
	if err != nil {
		t.Fatal(err)
	}
	for handler, want := range map[string]fault.Code{"./handler": fault.OK, "": fault.Invalid} {
		s := &spec.Spec{Handler: handler, Models: []spec.Model{{Name: "addsub", Version: "1", Path: "addsub.onnx"}}}
		w := &work{p: p, options: &packageOptions{target: "cloudrun"}, spec: s}
		forms, err := w.bake(t.Context(), dir, t.TempDir(), &pack.Built{Arch: runtime.GOARCH, ONNXRuntime: library})
		if got := fault.CodeOf(err); got != want {
			t.Errorf("handler %q: want %v, got %v (%v)", handler, want, got, err)
		}
		if n := len(forms["addsub/1"]); (n == 0) != (want != fault.OK) || len(w.notes) > 0 {
			t.Errorf("handler %q: %d forms, %q", handler, n, w.notes)
		}
	}
}
