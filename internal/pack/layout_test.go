package pack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// What was written is looked at again, file by file.
func TestWholeLayouts(t *testing.T) {
	for name, tt := range map[string]struct {
		harm func(path string) error
		of   string // the kind of the blob that is harmed
		want string
	}{
		"as it was written":        {func(string) error { return nil }, "layer", ""},
		"a layer is missing":       {os.Remove, "layer", "no such file"},
		"a layer is cut":           {func(path string) error { return os.Truncate(path, 100) }, "layer", "got 100"},
		"a configuration is gone":  {os.Remove, "config", "no such file"},
		"a configuration is other": {replaced(`"architecture"`, `"Architecture"`), "config", "want sha256:"},
		"a manifest is other":      {replaced("{", "{ "), "manifest", "want sha256:"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			to, err := layout.Write(dir, empty.Index)
			if err != nil {
				t.Fatal(err)
			}
			img, err := random.Image(1000, 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := to.AppendImage(img); err != nil {
				t.Fatal(err)
			}
			digest, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			m, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			hex := map[string]string{"manifest": digest.Hex, "config": m.Config.Digest.Hex, "layer": m.Layers[1].Digest.Hex}[tt.of]
			if err := tt.harm(filepath.Join(dir, "blobs", "sha256", hex)); err != nil {
				t.Fatal(err)
			}
			switch err := whole(dir); {
			case tt.want == "" && err != nil:
				t.Errorf("want a whole layout, got %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("want an error with %q, got %v", tt.want, err)
			}
		})
	}
}

func replaced(old, by string) func(string) error {
	return func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), old) {
			return errors.New("nothing to replace")
		}
		return os.WriteFile(path, []byte(strings.Replace(string(text), old, by, 1)), 0o644)
	}
}
