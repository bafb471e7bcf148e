package pack_test

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/pack"
	"godwit.dev/runtime/fault"
)

// standIn is a build whose files have a few bytes each; their folder comes with it.
func standIn(t *testing.T) (*pack.CUDA, string) {
	t.Helper()
	c, dir := pack.CUDA13(), t.TempDir()
	for i := range c.Libraries {
		data := "stand-in for " + c.Libraries[i].Name
		put(t, dir, c.Libraries[i].Name, data, 0o644)
		sum := sha256.Sum256([]byte(data))
		c.Libraries[i].Size, c.Libraries[i].SHA256 = int64(len(data)), hex.EncodeToString(sum[:])
	}
	return c, dir
}

func TestCUDATakesItsOwnFilesOnly(t *testing.T) {
	c, dir := standIn(t)
	built := func() *pack.Built {
		return &pack.Built{Arch: "amd64", ONNXRuntime: "/cpu/libonnxruntime.so.1.31.1", Version: "1.31.1", Libraries: []string{"/cpu/libstdc++.so.6"}}
	}
	got := built()
	if err := c.Take(t.Context(), got, dir); err != nil {
		t.Fatal(err)
	}
	want := built()
	want.ONNXRuntime = filepath.Join(dir, "libonnxruntime.so.1.31.1")
	want.Libraries = append(want.Libraries, filepath.Join(dir, "libonnxruntime_providers_cuda.so"), filepath.Join(dir, "libonnxruntime_providers_shared.so"))
	slices.Sort(want.Libraries)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	arm := built()
	arm.Arch = "arm64"
	if err := c.Take(t.Context(), arm, dir); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("arm64: want unsupported, got %v", err)
	}
	if err := c.Take(t.Context(), built(), t.TempDir()); fault.CodeOf(err) != fault.Runtime || !strings.Contains(fault.Of(err).Hint, "onnxruntime-gpu.sh") {
		t.Errorf("nothing there: want runtime with a hint, got %v", err)
	}
	// Another file of the same length.
	put(t, dir, "libonnxruntime_providers_cuda.so", strings.Replace("stand-in for libonnxruntime_providers_cuda.so", "stand", "STAND", 1), 0o644)
	if err := c.Take(t.Context(), built(), dir); fault.CodeOf(err) != fault.Runtime || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another file: want runtime, got %v", err)
	}
}

// gpuTree is a package of the build's libraries.
func gpuTree(t *testing.T, c *pack.CUDA, dir, program string, more ...string) *pack.Tree {
	t.Helper()
	tr := &pack.Tree{}
	files := []pack.File{{Path: program, Part: pack.Binary, Exec: true, Data: []byte("program")}, {Path: "m.onnx", Part: pack.Weights, Data: []byte("weights")}}
	for _, l := range c.Libraries {
		files = append(files, pack.File{Path: "lib/" + l.Name, Part: pack.Runtime, From: filepath.Join(dir, l.Name)})
	}
	for _, path := range more {
		files = append(files, pack.File{Path: path, Part: pack.Runtime, Data: []byte("x")})
	}
	for _, f := range files {
		if err := tr.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func TestCUDAImage(t *testing.T) {
	c, dir := standIn(t)
	base := openBase(t, baseDir(t, "amd64"))
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	const certs = "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
	const ours = "LD_LIBRARY_PATH=/godwit/lib:/usr/local/cuda/lib64:/usr/local/nvidia/lib64"
	tests := []struct {
		program string
		env     map[string]string
		want    []string
	}{
		{"fn-server", nil, []string{path, certs, ours, "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_VISIBLE_DEVICES=all"}},
		{"fn-lambda", nil, []string{path, certs, "HOME=/tmp", ours + ":/x86_64-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia",
			"NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_VISIBLE_DEVICES=all", "XDG_CACHE_HOME=/tmp/.cache"}},
		{"fn-server", map[string]string{"NVIDIA_VISIBLE_DEVICES": "0"}, []string{path, certs, ours, "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_VISIBLE_DEVICES=0"}},
	}
	for _, test := range tests {
		t.Run(test.program, func(t *testing.T) {
			tr := gpuTree(t, c, dir, test.program)
			if err := c.Check(tr); err != nil {
				t.Fatal(err)
			}
			img := only(t, read(t, writeTar(t, image(t, base, tr, c.Image(&pack.ImageOptions{Program: test.program, Env: test.env})))))
			config, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, config.Config.Env); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
			want := []string{"755 0:0 godwit/", "755 0:0 godwit/lib/", "644 0:0 godwit/lib/libonnxruntime.so.1.31.1",
				"644 0:0 godwit/lib/libonnxruntime_providers_cuda.so", "644 0:0 godwit/lib/libonnxruntime_providers_shared.so"}
			if diff := cmp.Diff(want, entries(t, layers(t, img)[1])); diff != "" {
				t.Errorf("the runtime's layer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCUDARefusesDriversAndGaps(t *testing.T) {
	c, dir := standIn(t)
	for _, driver := range []string{"lib/libcuda.so.1", "lib/libcuda.so", "lib/libcuda.so.580.65.06"} {
		if err := c.Check(gpuTree(t, c, dir, "fn-server", driver)); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), driver) {
			t.Errorf("%s: want bad_config, got %v", driver, err)
		}
	}
	if err := c.Check(gpuTree(t, c, dir, "fn-server", "lib/libcudart.so.13")); err != nil {
		t.Errorf("want CUDA's own runtime let in, got %v", err)
	}
	tr := gpuTree(t, c, dir, "fn-server")
	tr.Files = slices.DeleteFunc(tr.Files, func(f pack.File) bool { return strings.HasSuffix(f.Path, "providers_shared.so") })
	if err := c.Check(tr); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "providers_shared") {
		t.Errorf("a provider missing: want bad_config, got %v", err)
	}
}
