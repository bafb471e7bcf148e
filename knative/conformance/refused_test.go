package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// A spoiled manifest is a row of testdata/refused.yaml. That godwit.yaml cannot say it is
// tested beside the renderer.
type spoiled struct {
	Name, Spec, Want, File, Path, Tier string
	Image                              *string
	Patch                              json.RawMessage
}

// What godwit.yaml cannot say, Knative refuses in a manifest, and names the
// field that is wrong.
func TestFaultsAreRefusedWithTheirPaths(t *testing.T) {
	b, err := os.ReadFile("../testdata/refused.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []spoiled
	if err := yaml.UnmarshalStrict(b, &all); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, f := range all {
		if f.Tier != "admission" {
			continue
		}
		asked++
		t.Run(f.Name, func(t *testing.T) {
			if f.File == "" {
				f.File = "plain/base/service.yaml"
			}
			good, err := os.ReadFile(filepath.Join("../testdata/golden", filepath.FromSlash(f.File)))
			if err != nil {
				t.Fatal(err)
			}
			with := features(t, filepath.Join("../testdata/golden", strings.SplitN(f.File, "/", 2)[0]), "none")
			if err := accepted(t, good, with); err != nil {
				t.Fatalf("the good one: %v", err)
			}
			if err := accepted(t, patched(t, good, f.Patch), with); err == nil || !names(err, f.Path) {
				t.Errorf("got %v, want a refusal that names %s", err, f.Path)
			}
		})
	}
	if asked < 40 {
		t.Errorf("%d faults were asked about, want at least 40", asked)
	}
}

// names reports whether a refusal names path whole, and not a longer one.
func names(err error, path string) bool {
	for text := err.Error(); ; {
		before, after, ok := strings.Cut(text, path)
		if !ok {
			return false
		}
		whole := func(c byte) bool { return strings.IndexByte(" ,:\n", c) >= 0 }
		if (before == "" || whole(before[len(before)-1])) && (after == "" || whole(after[0])) {
			return true
		}
		text = after
	}
}
