package doctor_test

import (
	"archive/zip"
	"context"
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"godwit.dev/internal/doctor"
	"godwit.dev/internal/pack"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/manifest"
	"godwit.dev/runtime/onnx"
)

// A fault is a good package with one thing wrong.
type fault struct {
	name     string
	target   string // awslambda unless it is said
	model    testmodels.Model
	spec     string                         // more of godwit.yaml
	whole    bool                           // with its manifest, as it was packaged; else without
	unzipped bool                           // examined as a folder, not as a zip
	folder   bool                           // examined as the function folder that it was
	spoil    func(t *testing.T, dir string) // in the package's folder
	want     string                         // the finding's code
	level    doctor.Level                   // error unless it is said
	where    string                         // of the finding
	does     string                         // within its What
	also     []string                       // other errors that follow from it
}

func put(name string, b []byte, mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) { write(t, dir, name, b, mode) }
}

func remove(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, name := range names {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func rename(from, to string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
}

// device is a target that takes a folder of this machine's processor.
const device = "targets: {edge: {architecture: amd64, memory: 1GiB}}\n"

const libraryFile = "lib/libonnxruntime.so.1.31.1"

func faults() []fault {
	newer := program()
	newer.needs = map[string][]string{"libc.so.6": {"GLIBC_2.28", "GLIBC_2.38"}}
	cxx := runtimeLibrary("1.31.1")
	cxx.needs = map[string][]string{"libstdc++.so.6": {"GLIBCXX_3.4.33"}, "libc.so.6": {"GLIBC_2.28"}}
	user := binary64{soname: "libuser.so", runpath: "$ORIGIN", needed: []string{"libonnxruntime.so.1", "libc.so.6"}, needs: map[string][]string{"libonnxruntime.so.1": {"VERS_1.99.0"}}}
	lost := binary64{soname: "libuser.so", needed: []string{"libgomp.so.1", "libc.so.6"}}
	arm, musl := program(), program()
	arm.arch, arm.interp = elf.EM_AARCH64, "/lib/ld-linux-aarch64.so.1"
	musl.interp, musl.needed, musl.needs = "/lib/ld-musl-x86_64.so.1", nil, nil
	cuda := binary64{soname: "libonnxruntime_providers_cuda.so", runpath: "$ORIGIN", needed: []string{"libcudart.so.12", "libcuda.so.1", "libc.so.6"}}
	shared := binary64{soname: "libonnxruntime_providers_shared.so", needed: []string{"libc.so.6"}}

	small := testmodels.Small()
	ir, opset, ml := testmodels.AddSub(), testmodels.AddSub(), testmodels.AddSub()
	ir.IR = 14
	opset.Opsets = []testmodels.Opset{{Version: 27}}
	ml.Opsets = append(slices.Clone(ml.Opsets), testmodels.Opset{Domain: "ai.onnx.ml", Version: 6})
	external, weights := testmodels.Small().Externalize("m.bin")
	escaping, _ := testmodels.Small().Externalize("../m.bin")
	wide := testmodels.Identity(onnx.Float, 4, 1024, 1024)
	withWeights := func(t *testing.T, dir string, b []byte) { write(t, dir, "m.bin", b, 0o644) }

	return []fault{
		{name: "a symbol of a newer glibc", spoil: put("bootstrap", newer.bytes(), 0o755), want: "glibc", where: "bootstrap", does: "2.38"},
		{name: "a symbol of a newer libstdc++", spoil: put(libraryFile, cxx.bytes(), 0o644), want: "libstdcxx", where: libraryFile, does: "GLIBCXX_3.4.33"},
		{name: "a symbol version of a library that has another", spoil: func(t *testing.T, dir string) {
			write(t, dir, "lib/libuser.so", user.bytes(), 0o644)
		}, want: "symbol-version", where: "lib/libuser.so", does: "VERS_1.99.0"},
		{name: "a library that is nowhere", spoil: put("lib/libuser.so", lost.bytes(), 0o644), want: "library-missing", where: "lib/libuser.so", does: "libgomp.so.1"},
		{name: "no C++ library", spoil: remove("lib/libstdc++.so.6"), want: "library-unknown", level: doctor.Warning, where: libraryFile, does: "libstdc++.so.6"},
		{name: "a program for another processor", spoil: put("bootstrap", arm.bytes(), 0o755), want: "architecture", where: "bootstrap", does: "linux/arm64"},
		{name: "a library for 32 bits", spoil: put("lib/libuser.so", elf32(), 0o644), want: "architecture", where: "lib/libuser.so", does: "32-bit 386"},
		{name: "a package for another processor", spec: "targets: {awslambda: {architecture: arm64}}\n", spoil: remove(), whole: true, want: "platform", does: "amd64", also: []string{"architecture"}},
		{name: "a program for musl", spoil: put("bootstrap", musl.bytes(), 0o755), want: "interpreter", where: "bootstrap", does: "ld-musl"},
		{name: "a program that may not be executed", spoil: put("bootstrap", program().bytes(), 0o644), want: "not-executable", where: "bootstrap"},
		{name: "a program that is text", spoil: put("bootstrap", []byte("echo hello\n"), 0o755), want: "exec-format", where: "bootstrap"},
		{name: "a script from Windows", spoil: put("bootstrap", []byte("#!/bin/sh\r\necho\r\n"), 0o755), want: "exec-format", where: "bootstrap", does: "Windows"},
		{name: "no bootstrap", spoil: rename("bootstrap", "fn-lambda"), want: "no-program", where: "bootstrap"},
		{name: "a bootstrap in a folder", spoil: rename("bootstrap", "fraud/bootstrap"), want: "no-program", where: "bootstrap"},
		{name: "another target's package", target: "edge", spec: device, spoil: rename("fn-server", "bootstrap"), want: "no-program", where: "fn-server"},
		{name: "a library that is cut off", spoil: func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, libraryFile), 300); err != nil {
				t.Fatal(err)
			}
		}, want: "elf-damaged", where: libraryFile},
		{name: "a pointer of Git LFS for a library", spoil: put(libraryFile, []byte("version https://git-lfs.github.com/spec/v1\n"), 0o644), want: "elf-damaged", where: libraryFile, does: "Git LFS"},
		{name: "no ONNX Runtime", spoil: remove(libraryFile), want: "runtime-missing"},
		{name: "ONNX Runtime beside the program", spoil: rename(libraryFile, "libonnxruntime.so.1.31.1"), want: "runtime-missing"},
		{name: "an old ONNX Runtime", spoil: func(t *testing.T, dir string) {
			remove(libraryFile)(t, dir)
			write(t, dir, "lib/libonnxruntime.so.1.24.1", runtimeLibrary("1.24.1").bytes(), 0o644)
		}, want: "runtime-version", does: "1.24.1"},
		{name: "another ONNX Runtime than the manifest says", whole: true, spoil: put(libraryFile, runtimeLibrary("1.30.0").bytes(), 0o644), want: "runtime-version", level: doctor.Warning, also: []string{"manifest-changed"}},
		{name: "part of glibc", spoil: put("lib/libm.so.6", binary64{soname: "libm.so.6"}.bytes(), 0o644), want: "libc-packaged", level: doctor.Warning, where: "lib/libm.so.6"},

		{name: "a GPU without its provider", spec: "targets: {edge: {architecture: amd64, provider: cuda, memory: 1GiB}}\n", target: "edge", spoil: remove(), want: "gpu-libraries", does: "providers_shared"},
		{name: "a provider in another folder", spec: "targets: {edge: {architecture: amd64, provider: cuda, memory: 1GiB}}\n", target: "edge", spoil: func(t *testing.T, dir string) {
			write(t, dir, "gpu/libonnxruntime_providers_cuda.so", cuda.bytes(), 0o644)
			write(t, dir, "gpu/libonnxruntime_providers_shared.so", shared.bytes(), 0o644)
		}, want: "gpu-beside", where: "gpu/libonnxruntime_providers_shared.so", also: []string{"gpu-libraries"}},
		{name: "a provider without CUDA", spec: "targets: {edge: {architecture: amd64, provider: cuda, memory: 1GiB}}\n", target: "edge", spoil: func(t *testing.T, dir string) {
			write(t, dir, "lib/libonnxruntime_providers_cuda.so", cuda.bytes(), 0o644)
			write(t, dir, "lib/libonnxruntime_providers_shared.so", shared.bytes(), 0o644)
		}, want: "gpu-libraries", where: "lib/libonnxruntime_providers_cuda.so", does: "libcudart.so.12"},

		{name: "a model that is not there", spoil: remove("m.onnx"), want: "model-missing", where: "m.onnx"},
		{name: "a model that is cut off", spoil: func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "m.onnx"), 1000); err != nil {
				t.Fatal(err)
			}
		}, want: "model-damaged", where: "m.onnx"},
		{name: "a pointer of Git LFS for a model", spoil: put("m.onnx", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"), 0o644), want: "model-damaged", where: "m.onnx"},
		{name: "another model than godwit.yaml says", folder: true, spoil: put("godwit.yaml", []byte("models:\n- {path: m.onnx, sha256: "+strings.Repeat("a", 64)+"}\n"), 0o644), want: "model-digest", where: "m.onnx"},
		{name: "a newer IR version", folder: true, spoil: put("m.onnx", ir.Bytes(), 0o644), want: "ir-version", does: "14"},
		{name: "a newer opset", spoil: put("m.onnx", opset.Bytes(), 0o644), want: "opset", does: "1.31.1"},
		{name: "a newer opset of ai.onnx.ml", spoil: put("m.onnx", ml.Bytes(), 0o644), want: "opset", does: "ai.onnx.ml 6"},
		{name: "ONNX Runtime's format of another version", spoil: put("m.onnx", ortModel("7"), 0o644), want: "ort-version", does: `"7"`, where: "m.onnx"},
		{name: "custom operators", folder: true, spoil: put("m.onnx", testmodels.CustomOp().Bytes(), 0o644), want: "custom-ops"},
		{name: "data files that are not there", folder: true, spoil: put("m.onnx", external.Bytes(), 0o644), want: "external-data"},
		{name: "data files that are too short", folder: true, spoil: func(t *testing.T, dir string) {
			write(t, dir, "m.onnx", external.Bytes(), 0o644)
			withWeights(t, dir, weights[:100])
		}, want: "external-data"},
		{name: "data files outside", folder: true, spoil: func(t *testing.T, dir string) {
			write(t, dir, "m.onnx", escaping.Bytes(), 0o644)
			write(t, filepath.Dir(dir), "m.bin", weights, 0o644)
		}, want: "external-data", does: ".."},
		{name: "types that the protocol cannot carry", folder: true, spoil: put("m.onnx", testmodels.Identity(onnx.Complex64, 2).Bytes(), 0o644), want: "signature"},
		{name: "a sequence", folder: true, spoil: put("m.onnx", testmodels.SequenceOutput().Bytes(), 0o644), want: "signature"},

		{name: "a file that was changed", whole: true, spoil: put("m.onnx", small.Bytes(), 0o644), want: "manifest-changed", where: "m.onnx", also: []string{"requests"}},
		{name: "a file that is gone", whole: true, spoil: remove("requests/m/1.want.json"), want: "manifest-missing", where: "requests/m/1.want.json"},
		{name: "a file too many", whole: true, spoil: put("lib/libpreload.so", shared.bytes(), 0o644), want: "manifest-extra", level: doctor.Warning, where: "lib/libpreload.so"},
		{name: "a damaged manifest", whole: true, spoil: put(manifest.Name, []byte("{"), 0o644), want: "manifest", where: manifest.Name},
		{name: "no recorded request", spoil: remove("requests"), want: "no-requests", level: doctor.Warning},
		{name: "requests that are none", spoil: put("requests/m/1.json", []byte("{"), 0o644), want: "requests"},
		{name: "answers of another model", spoil: func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, "requests/m/1.want.json"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "requests/m/1.want.json", []byte(`{"model_digest": "sha256:`+strings.Repeat("0", 64)+`", `+string(b[1:])), 0o644)
		}, want: "stale-answers", level: doctor.Warning},

		{name: "names that differ in case", spoil: put("M.onnx", []byte("x"), 0o644), want: "case-collision", level: doctor.Warning, also: []string{"archive"}},
		{name: "a link out of the folder", target: "edge", spec: device, folder: true, spoil: func(t *testing.T, dir string) {
			write(t, dir, "fn-server", program().bytes(), 0o755)
			if err := os.Symlink("/etc/hostname", filepath.Join(dir, "hostname")); err != nil {
				t.Fatal(err)
			}
		}, want: "link-escapes", where: "hostname", also: []string{"runtime-missing"}},
		{name: "a pipe", target: "edge", spec: device, folder: true, spoil: func(t *testing.T, dir string) {
			write(t, dir, "fn-server", program().bytes(), 0o755)
			if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, want: "special-file", where: "pipe", also: []string{"runtime-missing"}},
		{name: "a file that everybody may write to", spoil: put("m.onnx", small.Bytes(), 0o666), want: "world-writable", level: doctor.Warning, where: "m.onnx"},

		{name: "no godwit.yaml", spoil: remove("godwit.yaml"), want: "spec"},
		{name: "a key that there is not", spoil: put("godwit.yaml", []byte("modle: m.onnx\n"), 0o644), want: "spec", does: "modle"},
		{name: "a variable of the platform's", spoil: put("godwit.yaml", []byte("model: m.onnx\ntargets: {awslambda: {env: {AWS_REGION: x}}}\n"), 0o644), want: "spec", does: "AWS_REGION"},
		{name: "a target whose defaults do not fit", target: "sagemaker", folder: true, spoil: put("godwit.yaml", []byte("model: m.onnx\nauth: key\n"), 0o644), want: "spec-target", does: "key"},
		{name: "Knative without a mesh", target: "knative", folder: true, spoil: remove(), want: "auth-platform", does: "mesh"},
		{name: "everybody may call", spoil: put("godwit.yaml", []byte("model: m.onnx\nauth: none\ntargets: {awslambda: {api: url}}\n"), 0o644), want: "public", level: doctor.Warning},
		{name: "a device without a platform", target: "edge", spec: "targets: {edge: {architecture: amd64, listen: \"0.0.0.0:8080\", memory: 1GiB}}\n", spoil: remove(), want: "auth-platform"},
		{name: "a secret in godwit.yaml", spoil: put("godwit.yaml", []byte("model: m.onnx\ntargets: {awslambda: {env: {DB_PASSWORD: hunter2}}}\n"), 0o644), want: "secret-in-env", level: doctor.Warning},
		{name: "a zip where godwit.yaml says an image", spoil: put("godwit.yaml", []byte("model: m.onnx\ntargets: {awslambda: {package: image}}\n"), 0o644), want: "package-kind"},
		{name: "a zip where images run", target: "cloudrun", spoil: remove(), want: "package-kind"},
		{name: "no host.json", target: "azurefunctions", spoil: remove("host.json"), want: "azure-host", where: "host.json"},
		{name: "a host.json that starts something else", target: "azurefunctions", spoil: put("host.json", []byte(`{"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": "handler"}}}`), 0o644), want: "azure-host", where: "handler"},
		{name: "no function", target: "azurefunctions", spoil: remove("http"), want: "azure-host", where: "function.json"},

		{name: "too little memory", folder: true, spec: "targets: {awslambda: {memory: 128MiB}}\n", spoil: heavy(64 << 20), want: "memory"},
		{name: "perhaps too little memory", folder: true, spec: "targets: {awslambda: {memory: 180MiB}}\n", spoil: heavy(64 << 20), want: "memory", level: doctor.Warning},
		{name: "requests beyond the platform's", model: wide, folder: true, spoil: remove(), want: "body-limit", does: "awslambda takes 6 MB", also: []string{"response-limit", "requests"}},
		{name: "binary requests that base64 makes too large", model: testmodels.Identity(onnx.Float, 1, 1250000), folder: true, spoil: remove("requests"), want: "body-limit", level: doctor.Warning, does: "Every request of m has 6.4 MiB in binary and base64"},
		{name: "requests beyond our own", folder: true, spoil: put("godwit.yaml", []byte("model: m.onnx\nlimits: {body: 1KiB}\n"), 0o644), model: testmodels.Identity(onnx.Float, 4096), want: "body-limit", where: "limits.body"},
		{name: "longer than the platform waits", folder: true, spoil: put("godwit.yaml", []byte("model: m.onnx\nlimits: {request: 5m}\ntargets: {sagemaker: {}}\n"), 0o644), target: "sagemaker", want: "time-limit", level: doctor.Warning},
		{name: "files beyond 250 MiB", unzipped: true, spoil: sparse("data.bin", 251<<20), want: "size-unpacked", does: "250.0 MiB"},
		{name: "an archive beyond its budget", spec: "budget: {zip: 1MB}\n", spoil: func(t *testing.T, dir string) {
			write(t, dir, "noise.bin", testmodels.Medium().Bytes()[:2<<20], 0o644)
		}, want: "budget"},
	}
}

// heavy gives the model weights of so many bytes, in a file that takes no disk.
func heavy(size int64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		m := testmodels.AddSub()
		m.Graph.Inits = append(m.Graph.Inits, testmodels.Tensor{Name: "heavy", Elem: onnx.Float, Dims: []int64{size / 4},
			External: [][2]string{{"location", "m.bin"}}})
		write(t, dir, "m.onnx", m.Bytes(), 0o644)
		sparse("m.bin", size)(t, dir)
	}
}

// sparse is a file of zeros that takes no disk.
func sparse(name string, size int64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		write(t, dir, name, nil, 0o644)
		if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
			t.Fatal(err)
		}
	}
}

// ortModel is the first table of ONNX Runtime's own format, of a version.
func ortModel(version string) []byte {
	b := []byte{16, 0, 0, 0, 'O', 'R', 'T', 'M', 6, 0, 8, 0, 4, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, byte(len(version)), 0, 0, 0}
	return append(append(b, version...), 0, 0, 0, 0)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	b := built(t)
	dirs := map[string]string{}
	for _, f := range faults() {
		dirs[f.want] = f.name
		t.Run(f.name, func(t *testing.T) {
			t.Parallel() // most of the time is the disk's
			if f.target == "" {
				f.target = "awslambda"
			}
			if f.level == "" {
				f.level = doctor.Error
			}
			if f.model.Graph.Name == "" && len(f.model.Graph.Nodes) == 0 {
				f.model = testmodels.AddSub()
			}
			path := function(t, f.model, f.spec)
			if f.folder {
				inner := filepath.Join(t.TempDir(), "fn") // so that what is outside is the test's
				if err := os.Rename(path, inner); err != nil {
					t.Fatal(err)
				}
				path = inner
				f.spoil(t, path)
			} else {
				tree, err := pack.Contents(t.Context(), path, &pack.Options{Target: f.target, Built: b})
				if err != nil {
					t.Fatal(err)
				}
				path = filepath.Join(t.TempDir(), "package")
				if _, err := pack.Folder(t.Context(), tree, path, nil); err != nil {
					t.Fatal(err)
				}
				f.spoil(t, path)
				if !f.whole {
					remove(manifest.Name)(t, path)
				}
				if !f.unzipped && (f.target == "awslambda" || f.target == "cloudrun") {
					path = zipped(t, path)
				}
			}
			r := examine(t, path, f.target)
			found := slices.ContainsFunc(r.Findings, func(x doctor.Finding) bool {
				return x.Code == f.want && x.Level == f.level && (f.where == "" || x.Where == f.where) && strings.Contains(x.What, f.does)
			})
			if !found {
				t.Errorf("want %s %s at %q saying %q, got %+v", f.level, f.want, f.where, f.does, r.Findings)
			}
			for _, x := range r.Findings {
				if x.Level == doctor.Error && x.Code != f.want && !slices.Contains(f.also, x.Code) {
					t.Errorf("want no other error than %s, got %s: %s", f.want, x.Code, x.What)
				}
				if x.What == "" || x.Why == "" || !strings.HasSuffix(x.What, ".") || !strings.HasSuffix(x.Why, ".") || x.Do != "" && !strings.HasSuffix(x.Do, ".") && !strings.HasSuffix(x.Do, "?") {
					t.Errorf("%s: want whole sentences, got %q, %q, %q", x.Code, x.What, x.Why, x.Do)
				}
			}
		})
	}
	shown := 0
	for _, c := range doctor.Codes() {
		if c.Proof == doctor.Shown && dirs[c.Name] != "" {
			shown++
		}
	}
	if shown < 25 {
		t.Errorf("want at least 25 kinds of fault that a real loader is shown to fail by, got %d", shown)
	}
}

// zipped makes an archive of a folder, with its modes, as a person would.
func zipped(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fn.zip")
	w, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	z := zip.NewWriter(w)
	if err := z.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// Libraries are looked up where the dynamic linker does, and nowhere else. want
// are the files that miss one.
func TestSearch(t *testing.T) {
	t.Parallel()
	lib := func(name, rpath, runpath string, needed ...string) []byte {
		return binary64{soname: name, rpath: rpath, runpath: runpath, needed: append(needed, "libc.so.6")}.bytes()
	}
	newest := program()
	newest.needs = map[string][]string{"libc.so.6": {"GLIBC_2.34"}}
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  []string
	}{
		{"the base's newest glibc", map[string][]byte{"bootstrap": newest.bytes()}, nil},
		{"lib/, where Lambda looks", map[string][]byte{"x/liba.so": lib("liba.so", "", "", "libb.so"), "lib/libb.so": lib("libb.so", "", "")}, nil},
		{"nowhere else", map[string][]byte{"x/liba.so": lib("liba.so", "", "", "libb.so"), "x/libb.so": lib("libb.so", "", "")}, []string{"x/liba.so"}},
		{"RPATH", map[string][]byte{"x/liba.so": lib("liba.so", "$ORIGIN/d", "", "libb.so"), "x/d/libb.so": lib("libb.so", "", "")}, nil},
		{"RUNPATH", map[string][]byte{"x/liba.so": lib("liba.so", "", "/nowhere:$ORIGIN/d", "libb.so"), "x/d/libb.so": lib("libb.so", "", "")}, nil},
		{"RPATH counts only without RUNPATH", map[string][]byte{"x/liba.so": lib("liba.so", "$ORIGIN/d", "$ORIGIN/e", "libb.so"), "x/d/libb.so": lib("libb.so", "", "")}, []string{"x/liba.so"}},
		{"RUNPATH is for its own library alone", map[string][]byte{"x/liba.so": lib("liba.so", "", "$ORIGIN/d", "libb.so"),
			"x/d/libb.so": lib("libb.so", "", "", "libc1.so"), "x/d/libc1.so": lib("libc1.so", "", "")}, []string{"x/d/libb.so"}},
		{"files for other processors are passed over", map[string][]byte{"x/liba.so": lib("liba.so", "", "$ORIGIN/d:$ORIGIN/e", "libb.so"),
			"x/d/libb.so": binary64{arch: elf.EM_AARCH64, soname: "libb.so"}.bytes()}, []string{"x/liba.so"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "bootstrap", program().bytes(), 0o755)
			write(t, dir, "godwit.yaml", []byte("model: m.onnx\n"), 0o644)
			for name, b := range c.files {
				write(t, dir, name, b, 0o755)
			}
			var got []string
			for _, f := range examine(t, dir, "awslambda").Findings {
				if f.Code == "library-missing" || f.Code == "glibc" || f.Code == "glibc-unknown" {
					got = append(got, f.Where)
				}
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, c.want) {
				t.Errorf("want a library missing for %q, got %q", c.want, got)
			}
		})
	}
}

// Forms that packaging made of a model are judged by the same measures.
func TestBaked(t *testing.T) {
	blocked := testmodels.AddSub()
	blocked.Graph.Nodes = slices.Clone(blocked.Graph.Nodes)
	blocked.Graph.Nodes[0].Domain = "com.microsoft.nchwc"
	external, _ := testmodels.Small().Externalize("m.bin")
	for _, c := range []struct {
		name, format string
		form         []byte
		want         string // an error; "" is none
	}{
		{"a good one", "onnx", testmodels.AddSub().Bytes(), ""},
		{"a good one in ONNX Runtime's format", "ort", ortModel("6"), ""},
		{"of a newer format", "ort", ortModel("7"), "ort-version"},
		{"in a format that it has not", "ort", testmodels.AddSub().Bytes(), "model-damaged"},
		{"cut off", "onnx", testmodels.AddSub().Bytes()[:100], "model-damaged"},
		{"for one kind of CPU", "onnx", blocked.Bytes(), "cpu-specific"},
		{"without its data", "onnx", external.Bytes(), "external-data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			form := pack.Form{Baked: manifest.Baked{Path: "m.extended." + c.format, Format: c.format, Level: "extended"}}
			form.Files = []pack.File{{Path: form.Baked.Path, Part: pack.Weights, Data: c.form}}
			o := &pack.Options{Target: "awslambda", Built: built(t), Forms: map[string][]pack.Form{"m/1": {form}}}
			tree, err := pack.Contents(t.Context(), function(t, testmodels.AddSub(), ""), o)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "fn.zip")
			if _, err := pack.Zip(t.Context(), tree, file, nil); err != nil {
				t.Fatal(err)
			}
			r := examine(t, file, "awslambda")
			if c.want == "" && r.Count(doctor.Error)+r.Count(doctor.Warning) > 0 || c.want != "" && (find(r, c.want) == nil || find(r, c.want).Level != doctor.Error) {
				t.Errorf("want the error %q, got %+v", c.want, r.Findings)
			}
			if !r.Models[0].Baked || r.Models[0].Path != form.Baked.Path {
				t.Errorf("want the baked form told, got %+v", r.Models)
			}
		})
	}
}

// Archives whose names lie are told before anything is unpacked.
func TestArchives(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  string
		level doctor.Level
		make  func(*testing.T, *zip.Writer)
	}{
		{"a name out of it", "link-escapes", doctor.Error, func(t *testing.T, z *zip.Writer) { add(t, z, "../bootstrap", "x", 0o755) }},
		{"an absolute name", "link-escapes", doctor.Error, func(t *testing.T, z *zip.Writer) { add(t, z, "/etc/cron.d/x", "x", 0o644) }},
		{"a name twice", "duplicate", doctor.Error, func(t *testing.T, z *zip.Writer) {
			add(t, z, "bootstrap", "x", 0o755)
			add(t, z, "bootstrap", "y", 0o755)
		}},
		{"a link", "link-escapes", doctor.Error, func(t *testing.T, z *zip.Writer) {
			add(t, z, "lib/libonnxruntime.so.1", "/usr/lib/libonnxruntime.so.1", fs.ModeSymlink|0o777)
		}},
		{"names that differ in case", "case-collision", doctor.Warning, func(t *testing.T, z *zip.Writer) {
			add(t, z, "Model.onnx", "x", 0o644)
			add(t, z, "model.onnx", "x", 0o644)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "fn.zip")
			w, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			z := zip.NewWriter(w)
			c.make(t, z)
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			if f := find(examine(t, file, "awslambda"), c.want); f == nil || f.Level != c.level {
				t.Errorf("want %s %s, got %+v", c.level, c.want, f)
			}
		})
	}
	for _, c := range []struct{ name, content string }{{"no.zip", "PK\x03\x04 and nothing else"}, {"no.tar", "no archive at all"}} {
		file := filepath.Join(t.TempDir(), c.name)
		write(t, filepath.Dir(file), c.name, []byte(c.content), 0o644)
		if f := find(examine(t, file, "awslambda"), "archive"); f == nil || f.Level != doctor.Error {
			t.Errorf("%s: want an error about the archive, got %+v", c.name, f)
		}
	}
}

func add(t *testing.T, z *zip.Writer, name, content string, mode fs.FileMode) {
	t.Helper()
	h := &zip.FileHeader{Name: name}
	h.SetMode(mode)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// An image that is run otherwise than it should be.
func TestImages(t *testing.T) {
	t.Parallel()
	good := doctor.Config{User: "65532:65532", WorkingDir: "/godwit", Entrypoint: []string{"/godwit/fn-server"}, OS: "linux", Arch: "amd64", Env: []string{"PATH=/usr/bin"}}
	for _, c := range []struct {
		name   string
		target string
		spoil  func(*testing.T, *doctor.Config, string) // the image's root
		want   string
		level  doctor.Level
	}{
		{"root", "cloudrun", func(_ *testing.T, c *doctor.Config, _ string) { c.User = "" }, "root-user", doctor.Warning},
		{"root by number", "cloudrun", func(_ *testing.T, c *doctor.Config, _ string) { c.User = "0:0" }, "root-user", doctor.Warning},
		{"a shell", "cloudrun", func(t *testing.T, _ *doctor.Config, root string) { write(t, root, "bin/busybox", []byte("x"), 0o755) }, "shell", doctor.Warning},
		{"an entrypoint that is not there", "cloudrun", func(_ *testing.T, c *doctor.Config, _ string) { c.Entrypoint = []string{"/app/server"} }, "entrypoint", doctor.Error},
		{"no entrypoint", "cloudrun", func(_ *testing.T, c *doctor.Config, _ string) { c.Entrypoint = nil }, "entrypoint", doctor.Error},
		{"a command where SageMaker puts its own", "sagemaker", func(_ *testing.T, c *doctor.Config, _ string) { c.Entrypoint, c.Cmd = nil, c.Entrypoint }, "entrypoint", doctor.Error},
		{"the server on Lambda", "awslambda", func(*testing.T, *doctor.Config, string) {}, "wrong-program", doctor.Error},
		{"another processor", "cloudrun", func(_ *testing.T, c *doctor.Config, _ string) { c.Arch = "arm64" }, "platform", doctor.Error},
		{"another system", "knative", func(_ *testing.T, c *doctor.Config, _ string) { c.OS = "windows" }, "platform", doctor.Error},
		{"the platform's variables", "knative", func(_ *testing.T, c *doctor.Config, _ string) { c.Env = append(c.Env, "PORT=9090") }, "reserved-env", doctor.Error},
		{"another target's name", "knative", func(_ *testing.T, c *doctor.Config, _ string) { c.Env = append(c.Env, "GODWIT_TARGET=sagemaker") }, "reserved-env", doctor.Error},
		{"a secret", "knative", func(_ *testing.T, c *doctor.Config, _ string) { c.Env = append(c.Env, "DB_PASSWORD=x") }, "secret-in-env", doctor.Warning},
		{"a glibc that is too old", "cloudrun", func(t *testing.T, _ *doctor.Config, root string) {
			for name, b := range glibc("GLIBC_2.2.5", "GLIBC_2.14", "GLIBC_2.17") {
				write(t, root, name, b, 0o755)
			}
		}, "glibc", doctor.Error},
		{"no glibc", "cloudrun", func(t *testing.T, _ *doctor.Config, root string) { remove("usr")(t, root) }, "interpreter", doctor.Error},
		{"a program that its user may not execute", "cloudrun", func(t *testing.T, _ *doctor.Config, root string) {
			if err := os.Chmod(filepath.Join(root, "godwit/fn-server"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not-executable", doctor.Error},
		{"nothing wrong", "cloudrun", func(*testing.T, *doctor.Config, string) {}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root, config := t.TempDir(), good
			config.Env = slices.Clone(good.Env)
			tree, err := pack.Contents(context.Background(), function(t, testmodels.AddSub(), everywhere), &pack.Options{Target: "cloudrun", Built: built(t)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pack.Folder(t.Context(), tree, filepath.Join(root, "godwit"), nil); err != nil {
				t.Fatal(err)
			}
			for name, b := range glibc("GLIBC_2.2.5", "GLIBC_2.14", "GLIBC_2.25", "GLIBC_2.27", "GLIBC_2.28") {
				write(t, root, name, b, 0o755)
			}
			for link, to := range map[string]string{"lib64": "usr/lib64", "lib": "usr/lib"} {
				if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
					t.Fatal(err)
				}
			}
			c.spoil(t, &config, root)
			m, err := manifest.Load(filepath.Join(root, "godwit"))
			if err != nil {
				t.Fatal(err)
			}
			a := &doctor.Artifact{Path: "image", Kind: doctor.Image, Dir: filepath.Join(root, "godwit"), Root: root, Config: &config, Manifest: m}
			r, err := doctor.Examine(t.Context(), a, &doctor.Options{Target: c.target})
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if n := r.Count(doctor.Error) + r.Count(doctor.Warning); n > 0 {
					t.Errorf("want no alarm, got %+v", r.Findings)
				}
				return
			}
			if f := find(r, c.want); f == nil || f.Level != c.level {
				t.Errorf("want %s %s, got %+v", c.level, c.want, r.Findings)
			}
		})
	}
}
