package archtest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func sources(t *testing.T) []source {
	t.Helper()
	files, err := scan(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d Go files; the scan does not start at the repository's root", len(files))
	}
	return files
}

func TestImportsPointDown(t *testing.T) {
	for _, v := range importViolations(sources(t)) {
		t.Error(v)
	}
}

func TestOnlyOrtHasCgo(t *testing.T) {
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			if imported == "C" && !inside(s.folder, "runtime/ort") {
				t.Errorf(`%s: import "C"; native code lives in runtime/ort alone, so that everything else builds with CGO_ENABLED=0`, s.path)
			}
		}
	}
}

// process lists what may touch the process: its arguments and its end.
var process = []string{"cmd", "cdk/cmd", "fn", "internal/app/process.go", "examples", "scripts", "e2e", "loadtest/goals", "loadtest/noop", "loadtest/peers"}

func TestOnlyMainTouchesTheProcess(t *testing.T) {
	for _, s := range sources(t) {
		// Tests start themselves again as a child process, and the root
		// package is the facade that a user's main calls.
		free := s.test || s.folder == ""
		for _, folder := range process {
			free = free || inside(s.folder, folder) || s.path == folder
		}
		if free {
			continue
		}
		for _, u := range append(usesOf(s, "os", "Exit", "Args"), usesOf(s, "log", "Fatal", "Fatalf", "Fatalln")...) {
			t.Errorf("%s: %s; only %s touch the process: return an error, take arguments as values", u.path, u.name, strings.Join(process, ", "))
		}
	}
}

// tools are programs of our own, whose start is nobody's cold start.
var tools = []string{"cdk", "scripts", "e2e", "loadtest", "knative/conformance", "internal/archtest", "adapters/stores/dynamodb/dynamotest"}

func TestPatternsAreLazy(t *testing.T) {
	for _, s := range sources(t) {
		free := s.test || s.folder == "runtime/lazy"
		for _, folder := range tools {
			free = free || inside(s.folder, folder)
		}
		if free {
			continue
		}
		for _, u := range usesOf(s, "regexp", "MustCompile", "Compile") {
			t.Errorf("%s: %s; lazy.Regexp compiles a pattern when it is needed: each start would pay for it", u.path, u.name)
		}
	}
}

// An exception is a file that may do in tests what others may not, and why.
type exception struct{ file, name, why string }

var exceptions = []exception{}

func TestTestsNeitherSleepNorSkip(t *testing.T) {
	used := map[exception]bool{}
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		for _, u := range append(usesOf(s, "time", "Sleep"), skips(s)...) {
			free := false
			for _, e := range exceptions {
				if e.file == s.path && e.name == u.name {
					used[e], free = true, true
				}
			}
			if !free {
				t.Errorf("%s: %s; wait for what happens (a channel, testing/synctest) instead of sleeping, and make a test run instead of skipping it; if it must be, add it to exceptions with the reason", u.path, u.name)
			}
		}
	}
	for _, e := range exceptions {
		if !used[e] || e.why == "" {
			t.Errorf("exception %+v is not used or gives no reason; remove it", e)
		}
	}
}

// The rules themselves, on small trees.

func TestImportViolations(t *testing.T) {
	tests := []struct {
		name     string
		file     string
		imports  []string
		contains []string // parts of the one violation; none means none
	}{
		{"down", "runtime/codec/a.go", []string{"godwit.dev/runtime/infer", "fmt"}, nil},
		{"inside itself", "runtime/ort/a.go", []string{"godwit.dev/runtime/ort/internal/capi"}, nil},
		{"up", "runtime/codec/a.go", []string{"godwit.dev/functions/predict"},
			[]string{"runtime/codec/a.go", "runtime/codec must not import functions/predict", arrow}},
		{"sideways in a row", "runtime/store/a.go", []string{"godwit.dev/runtime/codec"}, []string{"runtime/store must not import runtime/codec"}},
		{"the middle three", "functions/predict/a.go", []string{"godwit.dev/adapters/oip"}, []string{"functions/predict must not import adapters/oip"}},
		{"engine in a function", "functions/predict/a.go", []string{"godwit.dev/runtime/ort"}, []string{"must not import runtime/ort"}},
		{"engine in a function's test", "functions/predict/a_test.go", []string{"godwit.dev/runtime/ort", "godwit.dev/runtime/memengine"}, nil},
		{"engine in the app", "internal/app/a.go", []string{"godwit.dev/runtime/ort"}, []string{"internal/app must not import runtime/ort"}},
		{"engine in a command", "cmd/godwit/main.go", []string{"godwit.dev/runtime/ort", "godwit.dev/internal/cli"}, nil},
		{"engine in the facade", "godwit.go", []string{"godwit.dev/runtime/ort", "godwit.dev/internal/app"}, nil},
		{"the facade from below", "internal/app/a.go", []string{"godwit.dev"}, []string{"internal/app must not import the root package"}},
		{"own package from its test", "runtime/fault/a_test.go", []string{"godwit.dev/runtime/fault"}, nil},
		{"a platform", "adapters/knative/a.go", []string{"godwit.dev/adapters/httpserve"}, nil},
		{"two platforms", "adapters/knative/a.go", []string{"godwit.dev/adapters/cloudrun"}, []string{"adapters/knative must not import adapters/cloudrun"}},
		{"oip stays below httpserve", "adapters/oip/a.go", []string{"godwit.dev/adapters/httpserve"}, []string{"adapters/oip must not import adapters/httpserve"}},
		{"a platform's test", "adapters/knative/a_test.go", []string{"godwit.dev/adapters/adaptertest", "godwit.dev/internal/emulate"}, nil},
		{"a store", "adapters/stores/s3/a.go", []string{"godwit.dev/runtime/store"}, nil},
		{"a renderer", "infra/knative/a.go", []string{"godwit.dev/infra/spec"}, nil},
		{"a renderer that runs", "infra/knative/a.go", []string{"godwit.dev/runtime/infer"}, []string{"infra/knative must not import runtime/infer"}},
		{"prefix is not folder", "runtime/codec/a.go", []string{"godwit.dev/runtime/inference"}, []string{"must not import runtime/inference"}},
		{"no row", "pkg/util/a.go", nil, []string{`folder "pkg/util" has no row`}},
		{"no row in runtime", "runtime/new/a.go", nil, []string{`folder "runtime/new" has no row`}},
		{"runtime itself", "runtime/a.go", nil, []string{`folder "runtime" has no row`}},
		{"cdk", "cdk/a.go", []string{"godwit.dev/infra/spec", "github.com/aws/aws-cdk-go/awscdk/v2"}, nil},
		{"cdk and engine", "cdk/a.go", []string{"godwit.dev/runtime/ort"}, []string{"cdk must not import runtime/ort"}},
		{"gRPC in oip", "adapters/oip/a.go", []string{"google.golang.org/grpc/codes"}, []string{"adapters/oip must not import google.golang.org/grpc/codes", "httpserve"}},
		{"cloud in runtime", "runtime/store/a.go", []string{"github.com/aws/aws-sdk-go-v2/service/s3"}, []string{"must not import github.com/aws"}},
		{"environment in a function", "functions/batch/a.go", []string{"os"}, []string{"functions/batch must not import os", "environment"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var text strings.Builder
			text.WriteString("package p\n")
			for _, imported := range tt.imports {
				fmt.Fprintf(&text, "import _ %q\n", imported)
			}
			got := importViolations(scanned(t, map[string]string{tt.file: text.String()}))
			if want := min(len(tt.contains), 1); len(got) != want {
				t.Fatalf("%d violations, want %d: %q", len(got), want, got)
			}
			for _, part := range tt.contains {
				if !strings.Contains(got[0], part) {
					t.Errorf("violation %q does not contain %q", got[0], part)
				}
			}
		})
	}
}

func TestUses(t *testing.T) {
	const text = `package p

import (
	"os"
	clock "time"
	"testing"
)

func TestA(tt *testing.T) {
	clock.Sleep(1)
	tt.Skipf("no")
	tt.Run("x", func(in *testing.T) { in.SkipNow(); _ = in.Skipped() })
	r.Skip(4)
	os.Exit(len(os.Args))
	os.Getpid()
}
`
	s := scanned(t, map[string]string{"a_test.go": text})[0]
	want := []use{
		{"a_test.go:10:2", "clock.Sleep"},
		{"a_test.go:11:2", "tt.Skipf"}, {"a_test.go:12:36", "in.SkipNow"},
		{"a_test.go:14:2", "os.Exit"}, {"a_test.go:14:14", "os.Args"},
	}
	got := append(usesOf(s, "time", "Sleep"), skips(s)...)
	got = append(got, usesOf(s, "os", "Exit", "Args")...)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(use{})); diff != "" {
		t.Errorf("uses (-want +got)\n%s", diff)
	}
}

func TestScanLeavesOut(t *testing.T) {
	files := scanned(t, map[string]string{
		"a.go": "package a", "a_windows.go": "//go:build windows\n\npackage a", "cdk/go.mod": "module godwit.dev/cdk",
		"cdk/b.go": "package b", "x/testdata/c.go": "package broken {", ".git/d.go": "package d", "web/node_modules/e.go": "package e",
	})
	var got []string
	for _, f := range files {
		got = append(got, f.path)
	}
	if diff := cmp.Diff([]string{"a.go", "a_windows.go", "cdk/b.go"}, got); diff != "" {
		t.Errorf("files (-want +got)\n%s", diff)
	}
}

func scanned(t *testing.T, tree map[string]string) []source {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range tree {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	files, err := scan(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
