package pack

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The texts are those of the version that packages are made with, whole, in the
// package as its library is.
func TestNotices(t *testing.T) {
	lock, err := os.ReadFile(filepath.Join("..", "..", "scripts", "onnxruntime.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(lock, []byte("linux-amd64   pip "+onnxRuntimeVersion+" ")) || CUDA13().Version != onnxRuntimeVersion {
		t.Errorf("want the notices of the version that is packaged, got those of %s: take LICENSE and ThirdPartyNotices.txt out of its wheel", onnxRuntimeVersion)
	}
	tree, err := Contents(t.Context(), copied(t, "digits"), &Options{Target: "cloudrun", Built: built(t)})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"lib/onnxruntime-LICENSE.txt":           {"MIT License", "Copyright (c) Microsoft Corporation", "shall be included in all"},
		"lib/onnxruntime-ThirdPartyNotices.txt": {"protobuf", "abseil", "Eigen"},
	} {
		found := false
		for _, f := range tree.Of(Runtime) {
			if f.Path != path {
				continue
			}
			found = true
			for _, text := range want {
				if !strings.Contains(strings.ToLower(string(f.Data)), strings.ToLower(text)) {
					t.Errorf("%s: want %q in it", path, text)
				}
			}
		}
		if !found {
			t.Errorf("want %s in the package", path)
		}
		for _, f := range tree.Files {
			if f.Path == SBOMName && !bytes.Contains(f.Data, []byte(`"name": "`+path+`"`)) {
				t.Errorf("want %s in the bill of materials, beside the library", path)
			}
		}
	}
}
