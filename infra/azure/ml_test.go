package azure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"godwit.dev/infra/render/rendertest"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/golden"
)

// mlSpecs are those of the golden files.
func mlSpecs(t testing.TB) map[string]string {
	all := map[string]string{
		"everything": `
model: fraud.onnx
auth: key
targets:
  azureml:
    mode: online
    location: westeurope
    instanceType: Standard_DS4_v2
    instanceCount: 3
    requestTimeout: 20s
    maxConcurrentRequests: 16
    maxQueueWait: 750ms
    publicNetworkAccess: disabled
    env: {LEVEL: "it's"}
    secrets: {GODWIT_API_KEYS: acme/api-keys}
`,
		"gpu":   "model: fraud.onnx\ntargets: {azureml: {instanceType: Standard_NC4as_T4_v3}}\n",
		"batch": "model: fraud.onnx\nbatch: {input: rows/, output: scores/}\ntargets: {azureml: {mode: batch, location: westeurope, instanceType: Standard_F4s_v2, env: {LEVEL: debug}}}\n",
	}
	for _, name := range []string{"digits", "penguins"} {
		text, err := os.ReadFile(filepath.Join("../../examples", name, spec.FileName))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(string(text), "\n")
		for i, l := range lines {
			if strings.HasPrefix(l, "targets:") {
				lines[i] = "targets: {azureml: {}}\n"
			}
		}
		all[name] = strings.Join(lines, "")
	}
	return all
}

func TestMLIsAsRead(t *testing.T) {
	for name, text := range mlSpecs(t) {
		t.Run(name, func(t *testing.T) {
			d := deployment(t, text)
			files, err := RenderML(d)
			if err != nil {
				t.Fatal(err)
			}
			golden.Folder(t, "golden/ml/"+name, rendertest.ByPath(files))
			golden.Check(t, "arm/ml/"+name+"/main.json", asJSON(t, armOf(t, newML(d).template())))
		})
	}
}

// The files of az ml and Bicep say the same.
func TestMLFilesAndBicepAgree(t *testing.T) {
	for name, text := range mlSpecs(t) {
		d := deployment(t, text)
		if d.Spec.Targets.AzureML.Mode == "batch" {
			continue
		}
		files, err := RenderML(d)
		if err != nil {
			t.Fatal(err)
		}
		y := map[string]any{}
		for _, f := range files {
			if f.Path == "deployment.yml" || f.Path == "endpoint.yml" {
				var one map[string]any
				if err := yaml.Unmarshal(f.Data, &one); err != nil {
					t.Fatal(err)
				}
				y[f.Path] = one
			}
		}
		arm := armOf(t, newML(d).template())
		for _, pair := range []struct {
			yaml []any
			arm  []any
			as   func(any) any
		}{
			{[]any{"deployment.yml", "name"}, []any{"deployment", "name"}, func(v any) any {
				return "[format('{0}/{1}/{2}', parameters('workspaceName'), '" + d.Spec.Name + "', '" + v.(string) + "')]"
			}},
			{[]any{"deployment.yml", "instance_type"}, []any{"deployment", "properties", "instanceType"}, nil},
			{[]any{"deployment.yml", "instance_count"}, []any{"deployment", "sku", "capacity"}, nil},
			{[]any{"deployment.yml", "environment", "image"}, []any{"imageVersion", "properties", "image"}, nil},
			{[]any{"deployment.yml", "environment", "inference_config", "scoring_route", "path"}, []any{"imageVersion", "properties", "inferenceConfig", "scoringRoute", "path"}, nil},
			{[]any{"deployment.yml", "environment", "inference_config", "liveness_route", "port"}, []any{"imageVersion", "properties", "inferenceConfig", "livenessRoute", "port"}, nil},
			{[]any{"deployment.yml", "environment", "inference_config", "readiness_route", "path"}, []any{"imageVersion", "properties", "inferenceConfig", "readinessRoute", "path"}, nil},
			{[]any{"deployment.yml", "request_settings", "request_timeout_ms"}, []any{"deployment", "properties", "requestSettings", "requestTimeout"}, inISO},
			{[]any{"deployment.yml", "request_settings", "max_queue_wait_ms"}, []any{"deployment", "properties", "requestSettings", "maxQueueWait"}, inISO},
			{[]any{"deployment.yml", "request_settings", "max_concurrent_requests_per_instance"}, []any{"deployment", "properties", "requestSettings", "maxConcurrentRequestsPerInstance"}, nil},
			{[]any{"deployment.yml", "environment_variables", "GODWIT_TARGET"}, []any{"deployment", "properties", "environmentVariables", "GODWIT_TARGET"}, nil},
			{[]any{"deployment.yml", "egress_public_network_access"}, []any{"deployment", "properties", "egressPublicNetworkAccess"}, func(v any) any { return enabled(v.(string)) }},
			{[]any{"deployment.yml", "liveness_probe", "failure_threshold"}, []any{"deployment", "properties", "livenessProbe", "failureThreshold"}, nil},
			{[]any{"deployment.yml", "readiness_probe", "failure_threshold"}, []any{"deployment", "properties", "readinessProbe", "failureThreshold"}, nil},
			{[]any{"endpoint.yml", "public_network_access"}, []any{"endpoint", "properties", "publicNetworkAccess"}, func(v any) any { return enabled(v.(string)) }},
		} {
			got, want := dig(arm["resources"], pair.arm), dig(y, pair.yaml)
			if pair.as != nil {
				want = pair.as(want)
			}
			if number(got) != number(want) || got == nil {
				t.Errorf("%s: %v: want %v of %v, got %v", name, pair.arm, want, pair.yaml, got)
			}
		}
	}
}

func inISO(v any) any { return iso(1e6 * duration(v)) }

func dig(v any, path []any) any {
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p.(string)]
	}
	return v
}
