package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"godwit.dev/internal/app"
	"godwit.dev/internal/cli"
	"godwit.dev/internal/golden"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/memengine"
)

// What people are shown of a function on every target, and programs are.
func TestPlanOfEveryTarget(t *testing.T) {
	dir := t.TempDir()
	const text = `model: digits.onnx
limits: {body: 64MiB}
targets:
  awslambda: {provisionedConcurrency: 1}
  cloudrun: {minInstances: 2}
  azurefunctions: {}
  knative: {}
  sagemaker: {}
  vertexai: {}
  azureml: {}
  edge: {}
`
	if err := os.WriteFile(filepath.Join(dir, "godwit.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"plan.txt":  {"render", dir, "--diff"},
		"plan.json": {"render", dir, "--diff", "--json"},
	} {
		var out, said bytes.Buffer
		env := app.Process{Args: args, Getenv: func(string) string { return "" }, Stdin: bytes.NewReader(nil), Stdout: &out, Stderr: &said}
		if code := cli.Main(t.Context(), env, cli.Parts{Engine: func(*driver.Setup) driver.Engine { return memengine.New(nil) }}); code != 0 {
			t.Fatalf("exit code %d: %s", code, said.String())
		}
		golden.Check(t, name, out.Bytes())
	}
}
