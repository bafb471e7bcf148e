package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewer(t *testing.T) {
	order := []string{"0", "2", "2.2.5", "2.3", "2.3.4", "2.14", "2.17", "2.28", "2.34", "2.100", "3.0", "PRIVATE"}
	for i, a := range order {
		for j, b := range order {
			if got := newer(a, b); got != (i > j) {
				t.Errorf("newer(%q, %q) = %v, want %v", a, b, got, i > j)
			}
		}
	}
	if newer("2.28", "2.28.0") || newer("2.28.0", "2.28") {
		t.Error("2.28 and 2.28.0 are one version")
	}
}

// The pinned library is a file of which it is known what it needs.
func TestNewestSymbolOfAFile(t *testing.T) {
	library := library(t)
	got, err := glibc(library)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("2.28", got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", library, diff)
	}
}

// A folder is refused for one file, wherever in it, and for a file that is none of Linux's.
func TestCheckAll(t *testing.T) {
	library := library(t)
	data, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	older := t.TempDir()
	if err := install(library, filepath.Join(older, filepath.Base(library))); err != nil {
		t.Fatal(err)
	}
	// One name more than there is: in the table of names, every version is there once.
	newer := filepath.Join(t.TempDir(), "lib", "library.so")
	if err := os.MkdirAll(filepath.Dir(newer), 0o755); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "\x00GLIBC_2.28\x00", "\x00GLIBC_2.29\x00")
	if err := os.WriteFile(newer, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "fn-server")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"+strings.Repeat("# no program\n", 99)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, folder, want string }{
		{"as pinned", older, ""},
		{"a newer symbol", filepath.Dir(filepath.Dir(newer)), "want at most glibc 2.28, got 2.29"},
		{"no program", filepath.Dir(script), "bad magic number"},
		{"no folder", filepath.Join(older, "absent"), "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := run(t.Context(), []string{"-check", test.folder}, &out)
			if test.want == "" {
				if err != nil || !strings.Contains(out.String(), "bytes, glibc 2.28") {
					t.Errorf("got %v and %q", err, &out)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("want an error with %q, got %v", test.want, err)
			}
		})
	}
}

// library is ONNX Runtime for Linux, whatever runs this test.
func library(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "../onnxruntime.sh", "--platform", "linux-amd64").Output()
	if err != nil {
		t.Fatal("run make onnxruntime: ", err)
	}
	return strings.TrimSpace(string(out))
}
