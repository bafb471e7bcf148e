package cli_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/emulate"
)

// further is the evidence that `make e2e` adds.
var further = map[string]string{
	"awslambda": "AWS's Runtime Interface Emulator gives it the same bytes",
	"cloudrun":  "Google's functions framework serves the same handler, in `make test`",
	"knative":   "the CloudEvents SDK reads its answers, in `make test`",
}

// files is what render writes for a target, and who has judged it.
var files = map[string]string{
	"awslambda":      "CDK: rules, linters, a mock of AWS; not seen in an account",
	"sagemaker":      "CDK: rules and linters; not seen in an account",
	"knative":        "kustomize: Knative's own admission code, a real API server with its webhooks, a real cluster",
	"cloudrun":       "YAML, gcloud, Terraform: golden and linted only, not seen in an account",
	"vertexai":       "REST bodies, gcloud, Terraform: golden and linted only, not seen in an account",
	"azurefunctions": "Bicep for azd: golden and linted only, not seen in an account",
	"azureml":        "az ml and Bicep: golden and linted only, not seen in an account",
	"edge":           "systemd: a real one; Greengrass and IoT Edge: golden only, the module under podman",
}

// The README's table of targets is made of what verify reports.
func TestReadmeNamesTheEvidence(t *testing.T) {
	const path, begin, end = "../../README.md", "<!-- targets: written by make golden -->\n", "<!-- /targets -->"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	had, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md: want %q and %q", begin, end)
	}
	var b strings.Builder
	b.WriteString("| target | what runs there | evidence in `godwit verify` | and besides | files of `godwit render` |\n| --- | --- | --- | --- | --- |\n")
	b.WriteString("| this machine | `godwit serve` | real: ONNX Runtime | other people's clients (tritonclient, a browser) and a second engine (onnxruntime-node) agree, in `make e2e` |  |\n")
	for _, name := range spec.TargetNames() {
		binary := "`fn-server`"
		if name == "awslambda" {
			binary = "`fn-lambda`"
		}
		forms := emulate.Variants(name)
		if forms == nil {
			fmt.Fprintf(&b, "| `%s` | – | not yet | | |\n", name)
			continue
		}
		kind, from := emulate.EvidenceOf(name)
		fmt.Fprintf(&b, "| `%s` | %s: %s | %s: %s | %s | %s |\n", name, binary, strings.Join(forms, ", "), kind, from, further[name], files[name])
	}
	if os.Getenv("UPDATE_GOLDEN") != "" && os.Getenv("CI") == "" {
		if err := os.WriteFile(path, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(b.String(), had); diff != "" {
		t.Errorf("README.md is not current: make golden (-want +got)\n%s", diff)
	}
}
