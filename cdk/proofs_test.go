package cdk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"

	"godwit.dev/cdk"
	"godwit.dev/runtime/fault"
)

// proof is what one function becomes: its template and, under a compliance
// profile, what the rule pack found, as nagged says it.
type proof struct {
	*document
	found []string
}

// prove synthesises f as the program does, within the tests' one process of
// Node.js. A refusal comes back as the *fault.Error.
func prove(t testing.TB, f *cdk.Function) (p *proof, refusal *fault.Error) {
	t.Helper()
	out := t.TempDir()
	err := cdk.Synthesise(func() awscdk.App {
		app := cdk.NewApp(out)
		cdk.NewStack(app, f.Spec.Name, &cdk.StackProps{Function: f})
		return app
	})
	if err != nil {
		if !errors.As(err, &refusal) || fault.CodeOf(err) != fault.BadConfig {
			t.Fatalf("want a stack or what is wrong with godwit.yaml, got %v", err)
		}
		return nil, refusal
	}
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
	p = &proof{document: d}
	if f.Spec.Compliance != "none" {
		p.found = nagged(t, out, f.Spec.Name)
	}
	return p, nil
}
