package pack

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/spec"
)

// What a platform runs as an image has nothing of the platform in it, so that all
// of them run the same one.
func TestImagesHaveNothingOfTheirTarget(t *testing.T) {
	dir := copied(t, "digits")
	if err := os.WriteFile(filepath.Join(dir, spec.FileName), []byte("name: digits\nmodel: digits.onnx\nauth: none\ntriggers: [queue]\nbatch: {input: a/, output: b/}\ntargets: {edge: {runtime: iotedge}, azurefunctions: {plan: containerapps}, knative: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	names := func(target string) (all []string) {
		tree, err := Contents(t.Context(), dir, &Options{Target: target, Built: built(t)})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range tree.Files {
			all = append(all, f.Path)
		}
		return all
	}
	for _, target := range []string{"edge", "azurefunctions"} {
		if diff := cmp.Diff(names("knative"), names(target)); diff != "" {
			t.Errorf("%s (-knative +%s):\n%s", target, target, diff)
		}
	}
}
