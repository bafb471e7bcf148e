package fnserver

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"godwit.dev/internal/app"
)

// SageMaker starts a container with the argument serve; nobody else gives one.
func TestArguments(t *testing.T) {
	for _, c := range []struct {
		target string
		args   []string
		want   string // within the error; each ends for want of a function, or before
	}{
		{"sagemaker", []string{"serve"}, "want a function folder"},
		{"sagemaker", nil, "want a function folder"},
		{"sagemaker", []string{"train"}, `want no arguments, got ["train"]`},
		{"sagemaker", []string{"serve", "more"}, "want no arguments"},
		{"knative", []string{"serve"}, "want no arguments"},
		{"knative", nil, "want a function folder"},
	} {
		var said bytes.Buffer
		getenv := func(name string) string { return map[string]string{"GODWIT_TARGET": c.target}[name] }
		code := Main(context.Background(), app.Process{Args: c.args, Getenv: getenv, Stderr: &said}, Parts{})
		if code != 2 || !strings.Contains(said.String(), c.want) {
			t.Errorf("%s %q: want exit code 2 and %q, got %d: %s", c.target, c.args, c.want, code, &said)
		}
	}
}
