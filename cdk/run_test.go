package cdk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/cdk"
	"godwit.dev/runtime/fault"
)

// asProgram is what the test binary is told to be godwit-cdk by: jsii ends with
// the process that it is closed in.
const asProgram = "GODWIT_CDK_TEST_AS_PROGRAM"

func main() int {
	path, _ := os.Executable()
	return cdk.Main(context.Background(), cdk.Process{Args: os.Args[1:], Executable: path, Stderr: os.Stderr})
}

type ran struct {
	code   int
	stderr string
}

// program runs godwit-cdk in dir.
func program(t *testing.T, dir string, env []string, args ...string) ran {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), asProgram+"=1"), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("want nothing on stdout, got %q", out.String())
	}
	return ran{cmd.ProcessState.ExitCode(), said.String()}
}

// godwit writes a program that packages as script does.
func godwit(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "godwit")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// What goes wrong is said in the house's words, with the exit code of its kind.
func TestProgramFails(t *testing.T) {
	dir := folder(t, "targets: {awslambda: {}}")
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"help", []string{"--help"}, 0, []string{"cdk deploy -c function=../examples/digits", "Exit codes"}},
		{"no folder", nil, fault.Usage.Exit(), []string{"Error: want a function's folder", "Try: cdk synth -c function="}},
		{"an unknown flag", []string{"--nope"}, fault.Usage.Exit(), []string{"-nope"}},
		{"an argument", []string{"dir"}, fault.Usage.Exit(), []string{`got "dir"`}},
		{"no such folder", []string{"--function", "nowhere"}, fault.BadConfig.Exit(), []string{"Error: spec.Load", "nowhere"}},
		{"wrong twice", []string{"--function", folder(t, "targets: {awslambda: {api: grpc, timeout: 1h}}")}, fault.BadConfig.Exit(), []string{"api", "timeout", "Try: "}},
		{"no program that packages", []string{"--function", dir, "--godwit", "/nowhere/godwit"}, fault.NotFound.Exit(), []string{"Error: /nowhere/godwit", "Try: Give -c godwit=PATH"}},
		{"a package that is refused", []string{"--function", dir, "--godwit", godwit(t, "echo why >&2; exit 11")}, fault.BadModel.Exit(), []string{"why\n", "exit code 11"}},
		{"a stack that is refused", []string{"--function", folder(t, "auth: key\ntargets: {awslambda: {}}"), "--package", pack(t, t.TempDir()+"/m.zip", map[string]string{"bootstrap": "x"})},
			fault.BadConfig.Exit(), []string{"Error: cdk.NewStack targets.awslambda.secrets: want the variable GODWIT_API_KEYS", "Try: Add secrets: {GODWIT_API_KEYS: NAME}"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := program(t, t.TempDir(), []string{"PATH=" + os.Getenv("PATH")}, c.args...)
			if got.code != c.code {
				t.Errorf("want exit code %d, got %d: %s", c.code, got.code, got.stderr)
			}
			for _, w := range c.want {
				if !strings.Contains(got.stderr, w) {
					t.Errorf("want %q, got %s", w, got.stderr)
				}
			}
			if strings.Contains(got.stderr, "goroutine ") || strings.Contains(got.stderr, "end-of-life") {
				t.Errorf("want no stack and no banner, got %s", got.stderr)
			}
		})
	}
}

// As AWS's program runs it: where to write and what to read are in the
// environment, and the package is made on the way.
func TestProgram(t *testing.T) {
	dir, out := folder(t, "targets: {awslambda: {}}"), filepath.Join(t.TempDir(), "cdk.out")
	zipped := pack(t, filepath.Join(t.TempDir(), "m.zip"), map[string]string{"bootstrap": "x"})
	packs := godwit(t, `echo "packing $2" >&2; [ "$1 $3 $4 $5" = "package --target awslambda -o" ] && cp '`+zipped+`' "$6"`)
	context, _ := json.Marshal(map[string]string{"function": dir, "godwit": packs})
	got := program(t, t.TempDir(), []string{"CDK_OUTDIR=" + out, "CDK_CONTEXT_JSON=" + string(context)})
	if got.code != 0 || !strings.Contains(got.stderr, "packing "+dir) {
		t.Fatalf("want it made, got %d: %s", got.code, got.stderr)
	}
	made, err := os.ReadFile(filepath.Join(out, "m.template.json"))
	if err != nil {
		t.Fatal(err)
	}
	// The same by flags, from a package that is there.
	again := filepath.Join(t.TempDir(), "out")
	if got := program(t, t.TempDir(), nil, "--function", dir, "--package", zipped, "-o", again); got.code != 0 {
		t.Fatalf("want it made, got %d: %s", got.code, got.stderr)
	}
	if same, err := os.ReadFile(filepath.Join(again, "m.template.json")); err != nil || !bytes.Equal(made, same) {
		t.Errorf("want the same template, got %v", err)
	}
}

// What CDK only writes down is an error all the same.
func TestNoted(t *testing.T) {
	err := cdk.Synthesise(func() awscdk.App {
		app := app()
		stack := awscdk.NewStack(app, jsii.String("s"), nil)
		awscdk.Annotations_Of(stack).AddError(jsii.String("no such thing"))
		awscdk.Annotations_Of(stack).AddWarning(jsii.String("hm"))
		return app
	})
	if e := fault.Of(err); e == nil || e.Code != fault.BadConfig || e.Subject != "s" || !strings.Contains(err.Error(), "no such thing") || strings.Contains(err.Error(), "hm") {
		t.Errorf("want the error alone, got %v", err)
	}
	if err := cdk.Synthesise(func() awscdk.App { a := app(); awscdk.NewStack(a, jsii.String("s"), nil); return a }); err != nil {
		t.Errorf("want it made, got %v", err)
	}
	if err := cdk.Synthesise(func() awscdk.App { panic("what CDK says") }); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), "what CDK says") {
		t.Errorf("want the panic as an error, got %v", err)
	}
	report := filepath.Join(t.TempDir(), "validation-report.json")
	if err := cdk.Noted(report); err != nil {
		t.Errorf("want nothing where nothing was written, got %v", err)
	}
	write(t, report, `{"pluginReports": [{"pluginName": "p", "violations": [
		{"ruleName": "F1", "description": "bad\n", "severity": "fatal", "violatingConstructs": [{"constructPath": "s/A"}]},
		{"ruleName": "F2", "description": "worse", "severity": "error"}, {"ruleName": "W1", "description": "hm", "severity": "warning"}]}]}`)
	if got, want := fmt.Sprint(cdk.Noted(report)), "cdk.Synth s/A: bad (F1)\ncdk.Synth: worse (F2)"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
	write(t, report, "{")
	if err := cdk.Noted(report); fault.CodeOf(err) != fault.Internal {
		t.Errorf("want a report that is JSON, got %v", err)
	}
}
