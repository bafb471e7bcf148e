package handlerbuild_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"godwit.dev/internal/handlerbuild"
	"godwit.dev/runtime/fault"
)

// What compiles is tried by e2e/functions: a build takes a minute.
func TestFunctionsThatCannotBeBuilt(t *testing.T) {
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	folder := func(text string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "handler.go"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	good := "package handler\n\nimport \"godwit.dev/runtime/infer\"\n\nfunc Wrap(next infer.Handler) infer.Handler { return next }\n"
	for _, test := range []struct {
		name, dir, arch string
		opts            handlerbuild.Options
		want, hint      string
	}{
		{"architecture", folder(good), "riscv64", handlerbuild.Options{Source: source}, `got "riscv64"`, ""},
		{"no compiler for another architecture", folder(good), other, handlerbuild.Options{Source: source, Cache: t.TempDir()},
			"want a C compiler for linux/" + other, "make functions ARCH=" + other},
		{"program", folder(good), "amd64", handlerbuild.Options{Source: source, Programs: []string{"fn-azure"}}, `got "fn-azure"`, ""},
		{"no sources", "", runtime.GOARCH, handlerbuild.Options{}, "want a checkout of Godwit", ""},
		{"no module", folder(good), runtime.GOARCH, handlerbuild.Options{}, "got no go.mod", "not published yet"},
		{"no folder", filepath.Join(t.TempDir(), "handler"), runtime.GOARCH, handlerbuild.Options{Source: source}, "got none", ""},
		{"package", folder("package wrong\n"), runtime.GOARCH, handlerbuild.Options{Source: source}, "got package wrong", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			err := handlerbuild.Functions(t.Context(), test.dir, test.arch, out, test.opts)
			if fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("want %s with %q, got %v", fault.BadConfig, test.want, err)
			}
			if hint := fault.HintOf(err); !strings.Contains(hint, test.hint) {
				t.Errorf("want a hint with %q, got %q", test.hint, hint)
			}
			if files, _ := filepath.Glob(filepath.Join(out, "*")); len(files) > 0 {
				t.Errorf("want nothing built, got %q", files)
			}
		})
	}
}

// The script fetches the compiler that this package looks for.
func TestPinnedCompilerIsTheOneThatIsUsed(t *testing.T) {
	lock, err := os.ReadFile("../../scripts/zig.lock")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lock)) {
		if f := strings.Fields(line); !strings.HasPrefix(line, "#") && f[1] != handlerbuild.ZigVersion {
			t.Errorf("scripts/zig.lock: want version %s, got %s", handlerbuild.ZigVersion, f[1])
		}
	}
}
