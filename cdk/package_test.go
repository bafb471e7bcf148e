package cdk_test

import (
	"archive/zip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit.dev/cdk"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/manifest"
)

const digest64 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// described is a manifest of one model, with its weights baked or not.
func described(t testing.TB, function, platform string, weights int64, baked bool) string {
	t.Helper()
	m := manifest.Manifest{
		Version: 1, Function: function, Godwit: "v1", Platform: platform, Runtime: manifest.Runtime{Version: "1.31.1", SHA256: digest64},
		Files:  []manifest.File{{Path: "bootstrap", Size: 1, SHA256: digest64}, {Path: "m.onnx", Size: 1, SHA256: digest64}, {Path: "m.onnx.data", Size: 1, SHA256: digest64}},
		Models: []manifest.Model{{Name: "m", Version: "1", Path: "m.onnx", Digest: "sha256:" + digest64}},
	}
	if baked {
		m.Models[0].Baked = []manifest.Baked{{Path: "m.onnx", Format: "onnx", Level: "extended", Data: []string{"m.onnx.data"}}}
		m.Files[2].Size = weights
	} else {
		m.Files[1].Size = weights
	}
	for i := range m.Files {
		for n := m.Files[i].Size; n > manifest.ChunkBytes; n -= manifest.ChunkBytes {
			m.Files[i].Chunks = append(m.Files[i].Chunks, digest64)
		}
		if m.Files[i].Chunks != nil {
			m.Files[i].Chunks = append(m.Files[i].Chunks, digest64)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A package that Lambda would refuse, that is another function's, or whose
// models need more memory than there is, is refused before anything is uploaded.
func TestPackages(t *testing.T) {
	const mb = 1_000_000
	for _, c := range []struct {
		name, yaml string
		files      map[string]string
		want       string
	}{
		{"no program", "memory: 256MiB", map[string]string{"main": "x"}, "want a file bootstrap"},
		{"another function's", "memory: 256MiB", map[string]string{"bootstrap": "x", manifest.Name: described(t, "other", "linux/amd64", 1, true)}, `want the package of "m", got that of "other"`},
		{"another processor's", "architecture: arm64", map[string]string{"bootstrap": "x", manifest.Name: described(t, "m", "linux/amd64", 1, true)}, "want a package for linux/arm64, got one for linux/amd64"},
		{"a damaged manifest", "memory: 256MiB", map[string]string{"bootstrap": "x", manifest.Name: "{"}, "want a manifest"},
		{"memory for baked models", "memory: 256MiB", map[string]string{"bootstrap": "x", manifest.Name: described(t, "m", "linux/amd64", 200*mb, true)}, ""},
		{"too little memory for baked models", "memory: 256MiB", map[string]string{"bootstrap": "x", manifest.Name: described(t, "m", "linux/amd64", 220*mb, true)}, "want at least 258MiB"},
		{"memory for plain models", "memory: 256MiB", map[string]string{"bootstrap": "x", manifest.Name: described(t, "m", "linux/amd64", 130*mb, false)}, ""},
		{"too little memory for plain models", "memory: 256MiB", map[string]string{"bootstrap": "x", manifest.Name: described(t, "m", "linux/amd64", 150*mb, false)}, "want at least 274MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, "targets: {awslambda: {"+c.yaml+"}}")
			f, err := cdk.Load(dir, &cdk.LoadOptions{Zip: pack(t, filepath.Join(dir, "m.zip"), c.files)})
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				synth(t, f)
				return
			}
			if e := refused(t, func() { synth(t, f) }); e.Code != fault.BadConfig || !strings.Contains(e.Error(), c.want) || e.Hint == "" {
				t.Errorf("want %q and a hint, got %v, %q", c.want, e, e.Hint)
			}
		})
	}
}

// A zip of more than Lambda unpacks is told by its directory.
func TestTooLargePackage(t *testing.T) {
	dir := folder(t, "targets: {awslambda: {}}")
	path := filepath.Join(dir, "m.zip")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(out)
	for name, size := range map[string]uint64{"bootstrap": 1, "m.onnx": 250 << 20} {
		if _, err := w.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, UncompressedSize64: size}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	f, err := cdk.Load(dir, &cdk.LoadOptions{Zip: path})
	if err != nil {
		t.Fatal(err)
	}
	if e := refused(t, func() { synth(t, f) }); e.Code != fault.TooLarge || !strings.Contains(e.Error(), "want at most 250 MB unpacked") || !strings.Contains(e.Hint, "image") {
		t.Errorf("want it too large, got %v, %q", e, e.Hint)
	}
}

// Models beside godwit.yaml count where the package says nothing of them.
func TestModelsBeside(t *testing.T) {
	dir := folder(t, "targets: {awslambda: {package: image, memory: 256MiB}}")
	if err := os.Truncate(filepath.Join(dir, "m.onnx"), 200<<20); err != nil {
		t.Fatal(err)
	}
	f, err := cdk.Load(dir, &cdk.LoadOptions{Image: image})
	if err != nil {
		t.Fatal(err)
	}
	if e := refused(t, func() { synth(t, f) }); !strings.Contains(e.Error(), "want at least 364MiB") {
		t.Errorf("want more memory, got %v", e)
	}
}

// What is to be deployed is one thing, and the one that godwit.yaml says.
func TestLoad(t *testing.T) {
	zipped := pack(t, filepath.Join(t.TempDir(), "m.zip"), map[string]string{"bootstrap": "x"})
	for _, c := range []struct {
		yaml string
		o    *cdk.LoadOptions
		code fault.Code
		want string
	}{
		{"targets: {awslambda: {}}", nil, fault.NotFound, "want a package, got none"},
		{"targets: {awslambda: {}}", &cdk.LoadOptions{Zip: "/nowhere.zip"}, fault.NotFound, `got none at "/nowhere.zip"`},
		{"targets: {awslambda: {}}", &cdk.LoadOptions{Zip: zipped, Image: image}, fault.BadConfig, "package is zip, got an image"},
		{"targets: {awslambda: {package: image}}", nil, fault.BadConfig, "want the digest"},
		{"targets: {awslambda: {package: image}}", &cdk.LoadOptions{Zip: zipped}, fault.BadConfig, "want the digest"},
		{"targets: {knative: {mesh: istio}}", nil, fault.BadConfig, "want a target awslambda"},
		{"targets: {awslambda: {}, nope: {}}", nil, fault.BadConfig, "nope"},
	} {
		if f, err := cdk.Load(folder(t, c.yaml), c.o); fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %+v: want %v %q, got %v, %v", c.yaml, c.o, c.code, c.want, f, err)
		}
	}
	f, err := cdk.Load(folder(t, "targets: {awslambda: {package: image}}"), &cdk.LoadOptions{Image: strings.Replace(image, "@sha256:", ":", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if e := refused(t, func() { synth(t, f) }); !strings.Contains(e.Error(), "@sha256:DIGEST") {
		t.Errorf("want a digest, got %v", e)
	}
}
