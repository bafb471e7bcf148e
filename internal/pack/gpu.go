package pack

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// CUDA is what a package for NVIDIA's GPUs is made of: a named build of ONNX
// Runtime whose files are pinned by digest, and the base with the libraries
// that it wants. There is one, for linux/amd64.
type CUDA struct {
	Name    string // "cuda13"
	Version string // of ONNX Runtime
	// Base is the image with the CUDA libraries; its tag is pinned like any other's.
	Base string
	// Libraries are the build's files; ONNX Runtime looks for its providers beside itself.
	Libraries []PinnedFile
	// Needs are the libraries that the base must have: those that the CUDA
	// provider is linked against (cuBLAS, cudart, cuRAND) and those that it opens
	// by name when it runs (cuDNN, cuFFT, NVRTC).
	Needs []string
	// Driver is what only the machine can give, since it has to fit its kernel:
	// it is never packaged.
	Driver []string
}

// PinnedFile is a file that is taken only if it has the digest.
type PinnedFile struct {
	Name   string
	Size   int64
	SHA256 string
}

// CUDA13 is ONNX Runtime 1.31.1 as PyPI's onnxruntime-gpu has it, built for CUDA
// 13 and cuDNN 9; scripts/onnxruntime-gpu.sh fetches it. TensorRT's provider is
// left out: it wants TensorRT, which is larger than all of this.
func CUDA13() *CUDA {
	return &CUDA{
		Name: "cuda13", Version: "1.31.1", Base: "docker.io/nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04",
		Libraries: []PinnedFile{
			{"libonnxruntime.so.1.31.1", 29421832, "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303"},
			{"libonnxruntime_providers_cuda.so", 284014752, "8387867e857499e045caff5d13ac6a5de29571c801562fa2dde0e45f1f31de52"},
			{"libonnxruntime_providers_shared.so", 14632, "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d"},
		},
		Needs:  []string{"libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libcudnn.so.9", "libcufft.so.12", "libcurand.so.10", "libnvrtc.so.13"},
		Driver: []string{"libcuda.so.1"},
	}
}

// Take makes b a build for GPUs with the libraries in dir, each of which must
// have its digest: ONNX Runtime's is replaced and the providers are added.
// Errors: Runtime for what is missing or another file, Unsupported for another
// architecture.
func (c *CUDA) Take(ctx context.Context, b *Built, dir string) error {
	if b.Arch != "amd64" {
		return fault.New(fault.Unsupported, "pack.CUDA", c.Name, "want linux/amd64, got linux/%s", b.Arch).
			WithHint("No platform has GPUs beside another processor; leave --arch out.")
	}
	for _, want := range c.Libraries {
		f := File{Path: want.Name, From: filepath.Join(dir, want.Name)}
		if _, err := os.Stat(f.From); err != nil {
			return fault.New(fault.Runtime, "pack.CUDA", f.From, "want ONNX Runtime %s for %s, got %w", c.Version, c.Name, err).
				WithHint("Fetch it with `scripts/onnxruntime-gpu.sh %s`.", dir)
		}
		got, err := f.digest(ctx)
		if err != nil {
			return err
		}
		if got.SHA256 != want.SHA256 || got.Size != want.Size {
			return fault.New(fault.Runtime, "pack.CUDA", f.From, "want %d bytes with SHA-256 %s, got %d with %s", want.Size, want.SHA256, got.Size, got.SHA256).
				WithHint("Fetch it again with `scripts/onnxruntime-gpu.sh %s`.", dir)
		}
		if strings.HasPrefix(want.Name, libraryPrefix) {
			b.ONNXRuntime, b.Version = f.From, c.Version
		} else {
			b.Libraries = append(b.Libraries, f.From)
		}
	}
	slices.Sort(b.Libraries)
	return nil
}

// Image is opts for an image of the build: the variables that platforms and
// NVIDIA's container runtime read, and where the loader finds libraries: ours,
// CUDA's, then the driver's where the platforms mount it. Variables of opts win.
func (c *CUDA) Image(opts *ImageOptions) *ImageOptions {
	o := opts.withDefaults()
	paths := []string{
		ImageRoot + "/lib", "/usr/local/cuda/lib64",
		"/usr/local/nvidia/lib64", // Cloud Run, GKE; others bring theirs into the loader's cache
	}
	env := map[string]string{"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
	if o.Program == "fn-lambda" {
		paths = append(paths, "/x86_64-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia") // the host of Lambda's GPUs
		env["HOME"], env["XDG_CACHE_HOME"] = "/tmp", "/tmp/.cache"                      // the only folder to write to; CUDA keeps compiled kernels
	}
	env["LD_LIBRARY_PATH"] = strings.Join(paths, ":")
	maps.Copy(env, o.Env)
	o.Env = env
	return &o
}

// Check refuses a tree that brings a driver along, which is another machine's,
// or lacks a file of the build. Errors: BadConfig.
func (c *CUDA) Check(t *Tree) error {
	has := map[string]bool{}
	for i := range t.Files {
		name := filepath.Base(t.Files[i].Path)
		has[name] = true
		for _, driver := range c.Driver {
			stem, _, _ := strings.Cut(driver, ".so")
			if strings.HasPrefix(name, stem+".so") {
				return fault.New(fault.BadConfig, "pack.CUDA", t.Files[i].Path, "want the driver's %s from the machine, got one in the package", driver).
					WithHint("Leave it out: it has to fit the machine's kernel, and every platform with GPUs mounts it.")
			}
		}
	}
	for _, want := range c.Libraries {
		if !has[want.Name] {
			return fault.New(fault.BadConfig, "pack.CUDA", want.Name, "want the libraries of %s in lib/, got none", c.Name)
		}
	}
	return nil
}
