package knative_test

import (
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/knative"
)

// A spoiled manifest is a row of testdata/refused.yaml, which says what is what. What
// Knative says to it is asked in conformance, and of a real API server in e2e.
type spoiled struct {
	Name, Spec, Want, File, Path, Tier string
	Image                              *string
	Patch                              []any
}

func faults(t *testing.T) (all []spoiled) {
	t.Helper()
	b, err := os.ReadFile("testdata/refused.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(b, &all, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFaultsAreRefusedBeforeRendering(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults(t) {
		t.Run(f.Name, func(t *testing.T) {
			if seen[f.Name] || len(f.Patch) == 0 || f.Path == "" || f.Want == "" || f.Tier != "admission" && f.Tier != "apiserver" {
				t.Errorf("want a name of its own, a patch, a path and a tier, got %+v", f)
			}
			seen[f.Name] = true
			text := f.Spec
			if strings.HasPrefix(text, "{") {
				text = "model: m.onnx\nauth: none\ntargets: {knative: " + text + "}\n"
			}
			image := "registry.example.com/acme/m@" + digest
			if f.Image != nil {
				image = *f.Image
			}
			s, err := spec.Parse(spec.FileName, []byte(text))
			if err == nil {
				var files []render.File
				if files, err = knative.Render(&render.Deployment{Spec: s, Digest: digest, Image: image, ModelBytes: 1 << 20}); files != nil {
					t.Errorf("%d files are rendered", len(files))
				}
			}
			if err == nil || !strings.Contains(err.Error(), f.Want) {
				t.Errorf("got %v, want %q", err, f.Want)
			}
		})
	}
	if len(seen) < 40 {
		t.Errorf("%d faults, want at least 40", len(seen))
	}
}
