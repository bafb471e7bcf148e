package cdk_test

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/cdk"
	"godwit.dev/runtime/fault"
)

// All tests share one process of Node.js. It gets the environment that this one
// began with, so what is to be said to it has this one begin again.
func TestMain(m *testing.M) {
	const validation = "CDK_VALIDATION"
	if _, said := os.LookupEnv(validation); !said {
		// CDK compares each template with CloudFormation's schemas, a second of
		// CPU time for each: e2e/cdk has it do so for every example.
		os.Setenv(validation, "false")
		os.Setenv("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20")
		jsii.Close() // removes what it unpacked
		if program, err := os.Executable(); err == nil {
			_ = syscall.Exec(program, os.Args, os.Environ()) // not on Windows
		}
	}
	if os.Getenv(asProgram) != "" {
		os.Exit(main())
	}
	code := m.Run()
	jsii.Close()
	os.RemoveAll(assemblies())
	os.Exit(code)
}

// image is one that godwit package could have pushed.
const image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/models/m@sha256:" +
	"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// folder writes a function's folder: godwit.yaml with yaml behind "model:
// m.onnx" unless it says so itself, and a file for a model.
func folder(t testing.TB, yaml string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "godwit.yaml"), "model: m.onnx\n"+yaml+"\n")
	write(t, filepath.Join(dir, "m.onnx"), "not read")
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pack writes a zip with the given files.
func pack(t testing.TB, path string, files map[string]string) string {
	t.Helper()
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		one, err := w.Create(name)
		if err == nil {
			_, err = one.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// load reads a function whose godwit.yaml is yaml behind "model: m.onnx", such as
// "targets: {awslambda: {api: rest}}", with a small package, a zip or an image as
// it says.
func load(t testing.TB, yaml string) *cdk.Function {
	t.Helper()
	dir := folder(t, yaml)
	f, err := cdk.Load(dir, &cdk.LoadOptions{Zip: pack(t, filepath.Join(dir, "m.zip"), map[string]string{"bootstrap": "x"})})
	if fault.CodeOf(err) == fault.BadConfig && f == nil {
		if g, again := cdk.Load(dir, &cdk.LoadOptions{Image: image}); again == nil {
			return g
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// synth is the template of f's stack, as JSON is read.
func synth(t testing.TB, f *cdk.Function) map[string]any {
	t.Helper()
	s := cdk.NewStack(app(), f.Spec.Name, &cdk.StackProps{Function: f})
	return templateOf(t, s.Stack)
}

// assemblies is the folder for what is synthesised.
var assemblies = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "godwit-cdk-test-*")
	if err != nil {
		panic(err)
	}
	return dir
})

// app is a new app of CDK.
func app() awscdk.App {
	dir, err := os.MkdirTemp(assemblies(), "")
	if err != nil {
		panic(err)
	}
	return cdk.NewApp(dir)
}

// templateOf is a stack's, as JSON is read.
func templateOf(t testing.TB, s awscdk.Stack) map[string]any {
	t.Helper()
	text, err := json.Marshal(assertions.Template_FromStack(s, nil).ToJSON())
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// refused is the fault with which make panics, or, for nil, fails the test.
func refused(t testing.TB, make func()) (e *fault.Error) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if err, ok := v.(error); v != nil && (!ok || !errors.As(err, &e)) {
			t.Fatalf("want a *fault.Error, got %v", v)
		}
		if e == nil {
			t.Fatal("want it refused, got a stack")
		}
	}()
	make()
	return nil
}

// resources are a template's resources of one type, by logical id.
func resources(tpl map[string]any, typ string) map[string]map[string]any {
	all := map[string]map[string]any{}
	rs, _ := tpl["Resources"].(map[string]any)
	for id, r := range rs {
		if r := r.(map[string]any); r["Type"] == typ {
			all[id] = r
		}
	}
	return all
}

// only is the properties of a template's one resource of a type.
func only(t testing.TB, tpl map[string]any, typ string) map[string]any {
	t.Helper()
	all := resources(tpl, typ)
	if len(all) != 1 {
		t.Fatalf("want one %s, got %d", typ, len(all))
	}
	for _, r := range all {
		p, _ := r["Properties"].(map[string]any)
		return p
	}
	return nil
}
