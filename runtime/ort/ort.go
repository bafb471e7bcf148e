// Package ort is the ONNX Runtime engine, and the only place in Godwit with
// native code. It loads the shared library at run time, so that the binary
// starts, and says what to do, without it.
//
// The binding github.com/yalue/onnxruntime_go keeps environment, session
// options and execution providers; sessions, values and runs are our own C
// beside it, where the binding's defects or costs ask for it: see
// docs/adr/002-engine-beside-the-binding.md.
package ort

import (
	"path/filepath"
	"runtime"

	"godwit.dev/runtime/driver"
)

// versions are the ONNX Runtimes that this package is tested with, the
// preferred one first: `make onnxruntime` fetches the first that the machine's
// package manager has. A newer library works too; an older one is refused.
var versions = []string{"1.31.1", "1.30.0"}

var _ driver.NewEngine = New

// New returns the engine. Nothing is loaded until the first Open. setup nil
// means: look for the library in no place at all.
func New(setup *driver.Setup) driver.Engine { return newEngine(setup) }

// libraryName is the file name of a version's library on this system.
func libraryName(version string) string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime." + version + ".dylib"
	}
	return "libonnxruntime.so." + version
}

// candidates are the files that may be the library, best first: the one that
// was named, beside the binary, in the user's cache.
func candidates(s *driver.Setup) []string {
	if s == nil {
		return nil
	}
	if s.Library != "" {
		return []string{s.Library}
	}
	var files []string
	for _, dir := range s.LibraryDirs {
		for _, v := range versions {
			files = append(files, filepath.Join(dir, libraryName(v)))
		}
	}
	if s.CacheDir != "" {
		for _, v := range versions {
			files = append(files, filepath.Join(s.CacheDir, "onnxruntime", v, runtime.GOOS+"-"+runtime.GOARCH, libraryName(v)))
		}
	}
	return files
}
