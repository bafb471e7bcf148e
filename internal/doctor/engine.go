package doctor

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"godwit.dev/infra/data"
)

const libraryPrefix = "libonnxruntime.so"

// findLibrary finds ONNX Runtime in lib/, where the programs look for it, and
// its version, which is the name of its own symbol version.
func (e *exam) findLibrary() {
	for i := range e.files {
		p := e.files[i].path
		if path.Dir(p) == "lib" && strings.HasPrefix(path.Base(p), libraryPrefix) && (e.library == "" || len(p) > len(e.library)) {
			e.library = p
		}
	}
	if o := e.objects[e.library]; o != nil {
		for v := range o.defs {
			if number, ok := strings.CutPrefix(v, "VERS_"); ok {
				e.runtime = number
			}
		}
	}
	if e.runtime == "" {
		if v := strings.TrimPrefix(path.Base(e.library), libraryPrefix+"."); strings.Count(v, ".") == 2 {
			e.runtime = v
		}
	}
	e.r.Runtime = e.runtime
}

// engine checks ONNX Runtime and its providers.
func (e *exam) engine(context.Context) error {
	if !e.packaged() {
		return nil
	}
	if e.library == "" {
		f := Finding{Code: "runtime-missing", Level: Error, Where: "lib/", What: "There is no ONNX Runtime in lib/.",
			Why: "The function ends at its start: want ONNX Runtime, got no such file.", Do: "Package with `godwit package`, which puts it there."}
		for i := range e.files {
			if strings.HasPrefix(path.Base(e.files[i].path), libraryPrefix) {
				f.Do = fmt.Sprintf("Move %s into lib/.", e.files[i].path)
			}
		}
		e.add(f)
	}
	if e.runtime != "" && data.Compare(e.runtime, data.LeastRuntime) < 0 {
		e.add(Finding{Code: "runtime-version", Level: Error, Where: e.library, What: fmt.Sprintf("The package has ONNX Runtime %s; the program wants %s or newer.", e.runtime, data.LeastRuntime),
			Why: "The library does not have the interface that the program was compiled for, so the function does not start.", Do: "Package with the version that `make onnxruntime` fetches."})
	}
	if name, ok := strings.CutPrefix(path.Base(e.library), libraryPrefix+"."); ok && e.runtime != "" && strings.Count(name, ".") == 2 && name != e.runtime {
		e.add(Finding{Code: "runtime-version", Level: Warning, Where: e.library, What: fmt.Sprintf("%s is ONNX Runtime %s.", path.Base(e.library), e.runtime),
			Why: "What was proven with the one need not hold with the other.", Do: "Give the file its own version's name, or package the version that it says."})
	}
	if m := e.a.Manifest; m != nil && e.runtime != "" && m.Runtime.Version != e.runtime {
		f := Finding{Code: "runtime-version", Level: Warning, Where: e.library, What: fmt.Sprintf("The manifest says ONNX Runtime %s; the library is %s.", m.Runtime.Version, e.runtime),
			Why: "The package was proven with another version.", Do: "Make the package again."}
		for i := range m.Models {
			if len(m.Models[i].Baked) > 0 {
				f.Code, f.Level = "baked-runtime", Error
				f.Why = fmt.Sprintf("The baked forms of model %s were made and compared by version %s; another one may refuse them, or answer otherwise.", m.Models[i].Name, m.Runtime.Version)
			}
		}
		e.add(f)
	}
	e.providers()
	return nil
}

// providerFiles are the libraries that a provider is loaded from, which must
// lie beside ONNX Runtime itself.
func providerFiles(provider string) []string {
	switch provider {
	case "cuda", "tensorrt", "openvino":
		return []string{"libonnxruntime_providers_shared.so", "libonnxruntime_providers_" + provider + ".so"}
	}
	return nil
}

// unusedProvider reports whether the file is a provider's library that the
// target does not ask for.
func (e *exam) unusedProvider(p string) bool {
	name := path.Base(p)
	return strings.HasPrefix(name, "libonnxruntime_providers_") && !slices.Contains(providerFiles(e.t.common.Provider), name)
}

func (e *exam) providers() {
	provider := e.t.common.Provider
	for _, name := range providerFiles(provider) {
		if e.library == "" || e.byPath[path.Join(path.Dir(e.library), name)] != nil {
			continue
		}
		f := Finding{Code: "gpu-libraries", Level: Error, Where: "targets." + e.t.name + ".provider", What: fmt.Sprintf("godwit.yaml asks for provider %s; %s is not in lib/.", provider, name),
			Why: "A function whose provider cannot be used does not start.", Do: fmt.Sprintf("Package a build of ONNX Runtime %s with the provider, on a base that has its libraries, or ask for provider: cpu.", e.runtime)}
		for i := range e.files {
			if path.Base(e.files[i].path) == name {
				f.Code, f.Where = "gpu-beside", e.files[i].path
				f.What = fmt.Sprintf("%s is in %s, but ONNX Runtime is in lib/.", name, path.Dir(e.files[i].path))
				f.Why = "ONNX Runtime looks for its providers beside itself and nowhere else."
				f.Do = "Put them into one folder."
			}
		}
		e.add(f)
	}
	if provider == "coreml" {
		e.add(Finding{Code: "gpu-libraries", Level: Error, Where: "targets." + e.t.name + ".provider", What: "godwit.yaml asks for provider coreml, which is Apple's; packages are for Linux.",
			Why: "A function whose provider cannot be used does not start.", Do: "Ask for provider: cpu."})
	}
	var unused []string
	var size int64
	for i := range e.files {
		if f := &e.files[i]; e.unusedProvider(f.path) && !strings.Contains(f.path, "_shared") {
			unused = append(unused, filepath.Base(f.path))
			size += f.size
		}
	}
	if len(unused) > 0 {
		e.add(Finding{Code: "gpu-unused", Level: Note, Where: unused[0], What: fmt.Sprintf("The package has %s, %s, which provider: %s does not use.", strings.Join(unused, ", "), Bytes(size), provider),
			Why: "It makes the package larger and its start slower.", Do: "Package a build without it."})
	}
}
