package pack

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/runtime/fault"
)

// Built is what packages are made of beside the function: the programs and
// libraries for one architecture of Linux.
type Built struct {
	Arch           string // "amd64" or "arm64"
	Lambda, Server string // the programs
	ONNXRuntime    string // the library's file
	Version        string // of ONNX Runtime: "1.31.1"
	Libraries      []string
}

const libraryPrefix = "libonnxruntime.so."

// FindBuilt looks into the folder linux-ARCH of dir: fn-lambda, fn-server, and
// lib/ with ONNX Runtime and the C++ library. Errors: Runtime where it is not
// complete.
func FindBuilt(dir, arch string) (*Built, error) {
	home := filepath.Join(dir, "linux-"+arch)
	b := &Built{Arch: arch, Lambda: filepath.Join(home, "fn-lambda"), Server: filepath.Join(home, "fn-server")}
	missing := func(what string) error {
		return fault.New(fault.Runtime, "pack.FindBuilt", home, "want the programs and libraries of functions on linux/%s, got no %s", arch, what).
			WithHint("Unpack Godwit's archive as a whole, or run `make functions ARCH=%s` in its sources.", arch)
	}
	for _, program := range []string{b.Lambda, b.Server} {
		if info, err := os.Stat(program); err != nil || !info.Mode().IsRegular() {
			return nil, missing(filepath.Base(program))
		}
	}
	libs, err := filepath.Glob(filepath.Join(home, "lib", "*.so*"))
	if err != nil {
		return nil, fault.New(fault.Runtime, "pack.FindBuilt", home, "%w", err)
	}
	slices.Sort(libs)
	for _, lib := range libs {
		if version, ok := strings.CutPrefix(filepath.Base(lib), libraryPrefix); ok && strings.Count(version, ".") == 2 {
			b.ONNXRuntime, b.Version = lib, version
		} else if !ok {
			b.Libraries = append(b.Libraries, lib)
		}
	}
	if b.ONNXRuntime == "" {
		return nil, missing("lib/" + libraryPrefix + "VERSION")
	}
	return b, nil
}

// HostBuilt is what this machine itself has: programs beside each other in dir,
// the ONNX Runtime at library, and none of the C++ library, which the base of
// an image has. They need this machine's glibc or a newer one. Errors: Runtime.
func HostBuilt(dir, arch, library string) (*Built, error) {
	b := &Built{Arch: arch, Lambda: filepath.Join(dir, "fn-lambda"), Server: filepath.Join(dir, "fn-server"), ONNXRuntime: library}
	for _, file := range []string{b.Lambda, b.Server, library} {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return nil, fault.New(fault.Runtime, "pack.HostBuilt", file, "want a program or library of functions on linux/%s, got no such file", arch).
				WithHint("Run `make functions ARCH=%s` in Godwit's sources, or `make build` for this machine's own.", arch)
		}
	}
	version, ok := strings.CutPrefix(filepath.Base(library), libraryPrefix)
	if !ok || strings.Count(version, ".") != 2 {
		return nil, fault.New(fault.Runtime, "pack.HostBuilt", library, "want a library named %sVERSION, got %q", libraryPrefix, filepath.Base(library)).
			WithHint("Run `make onnxruntime`, and leave GODWIT_ONNXRUNTIME unset.")
	}
	b.Version = version
	return b, nil
}
