package cdk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/cdk"
	"godwit.dev/runtime/fault"
)

// proof is what one function becomes: its template and, under a compliance
// profile, what the rule pack found.
type proof struct {
	*document
	out string // the cloud assembly's folder
}

// prove synthesises f as the program does, within the tests' one process of
// Node.js. A refusal comes back as the *fault.Error.
func prove(t testing.TB, f *cdk.Function) (p *proof, refusal *fault.Error) {
	t.Helper()
	defer func() {
		t.Helper()
		v := recover()
		if err, ok := v.(error); v != nil && (!ok || !errors.As(err, &refusal)) {
			t.Fatalf("want a stack or a *fault.Error, got a panic: %v", v)
		}
	}()
	out := t.TempDir()
	app := cdk.NewApp(out)
	cdk.NewStack(app, f.Spec.Name, &cdk.StackProps{Function: f})
	app.Synth(nil)
	raw, err := os.ReadFile(filepath.Join(out, f.Spec.Name+".template.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := parseTemplate(t, raw)
	d.spec, d.image = f.Spec, f.Image != ""
	for _, m := range f.Spec.Models {
		if info, err := os.Stat(filepath.Join(f.Dir, m.Path)); err == nil {
			d.models += info.Size()
		}
	}
	return &proof{d, out}, nil
}
