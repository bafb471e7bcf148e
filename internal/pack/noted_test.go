package pack

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

func TestLockNotesWhatIsPackaged(t *testing.T) {
	tree, err := Contents(t.Context(), copied(t, "digits"), &Options{Target: "knative", Built: built(t)})
	if err != nil {
		t.Fatal(err)
	}
	l := &Lock{Version: 1, Models: map[string]string{"gone/1": digestOf([]byte("x"))}, Packages: map[string]LockedPackage{"edge": {Digest: digestOf([]byte("e")), Platforms: []string{"linux/arm64"}}}}
	if err := l.Note(tree); err != nil {
		t.Fatal(err)
	}
	l.Made("knative", &Artifact{Digest: digestOf([]byte("k"))}, []string{"amd64", "arm64"}, "ghcr.io/acme/digits")
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeLock(text)
	if err != nil {
		t.Fatal(err)
	}
	want := &Lock{
		Version: 1,
		Runtime: map[string]LockedRuntime{"linux/amd64": {"1.31.1", digestOf([]byte("lib/libonnxruntime.so.1.31.1"))}},
		Models:  map[string]string{"digits/1": "sha256:a8b82a1f433c4a53100c4fff2532d458545fe380d20b934f6f36f89862c2f5b7"},
		Packages: map[string]LockedPackage{
			"edge":    {Digest: digestOf([]byte("e")), Platforms: []string{"linux/arm64"}},
			"knative": {Digest: digestOf([]byte("k")), Image: "ghcr.io/acme/digits", Platforms: []string{"linux/amd64", "linux/arm64"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := l.Note(&Tree{}); fault.CodeOf(err) != fault.Internal {
		t.Errorf("a tree without a manifest: want Internal, got %v", err)
	}
}
