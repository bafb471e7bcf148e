package plan_test

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/golden"
	"godwit.dev/internal/plan"
)

func parse(t testing.TB, text string) *spec.Spec {
	t.Helper()
	s, err := spec.Parse(spec.FileName, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// allTargets names each with its defaults.
func allTargets() string {
	var b strings.Builder
	for _, name := range spec.TargetNames() {
		b.WriteString("  " + name + ": {}\n")
	}
	return "model: fraud.onnx\nauth: none\ntargets:\n" + b.String()
}

const wide = `model: fraud.onnx
auth: none
limits: {body: 64MiB, response: 1GiB, request: 15m, drain: 1h}
batch: {input: rows/, output: scores/}
targets:
  awslambda: {api: rest, provisionedConcurrency: 2, memory: 2048MiB}
  cloudrun: {gpu: nvidia-l4, minInstances: 1, http2: true}
  azurefunctions: {plan: premium, alwaysReady: 3, memory: 7GiB}
  knative: {class: hpa, minScale: 2, gpu: 1}
  sagemaker: {mode: serverless}
  vertexai: {acceleratorType: NVIDIA_TESLA_T4, acceleratorCount: 2, minReplicas: 2, maxReplicas: 4, dedicatedEndpoint: true}
  azureml: {instanceCount: 2, instanceType: Standard_DS4_v2}
  edge: {runtime: greengrass}
`

func TestGolden(t *testing.T) {
	for name, text := range map[string]string{"defaults": allTargets(), "wide": wide} {
		s := parse(t, text)
		var all []*plan.Target
		for _, target := range s.Targets.Names() {
			all = append(all, plan.Of(s, target))
		}
		got, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "golden/"+name+".json", append(got, '\n'))
	}
}

// Dollars a month, each worked out by hand from the price lists.
func TestIdle(t *testing.T) {
	const unknown = -1
	for _, tt := range []struct {
		targets string
		want    float64
		what    string
	}{
		{"awslambda: {}", 0, "nothing"},
		{"awslambda: {provisionedConcurrency: 2, memory: 2048MiB}", 2 * 2 * 0.0000041667 * 3600 * 730, "2 provisioned environments of 2GiB"},
		{"awslambda: {provisionedConcurrency: 1, memory: 1024MiB, architecture: arm64}", 0.0000033334 * 3600 * 730, "1 provisioned environment of 1GiB"},
		{"cloudrun: {}", 0, "nothing"},
		{"cloudrun: {minInstances: 1}", (1 + 1) * 0.0000025 * 3600 * 730, "1 instance of 1 CPU and 1GiB"},
		{"cloudrun: {minInstances: 2, cpu: 2, memory: 4GiB, billing: instance}", 2 * (2*0.000018 + 4*0.000002) * 3600 * 730, "2 instances of 2 CPU and 4GiB"},
		{"cloudrun: {minInstances: 1, gpu: nvidia-l4}", (0.0001867 + 4*0.000018 + 16*0.000002) * 3600 * 730, "1 instance of 4 CPU and 16GiB with nvidia-l4"},
		{"cloudrun: {minInstances: 1, gpu: nvidia-l4, gpuZonalRedundancy: true}", (0.0002909 + 4*0.000018 + 16*0.000002) * 3600 * 730, "nvidia-l4"},
		{"cloudrun: {minInstances: 1, gpu: nvidia-rtx-pro-6000}", unknown, "nvidia-rtx-pro-6000"},
		{"cloudrun: {gpu: nvidia-rtx-pro-6000}", 0, "nothing"},
		{"azurefunctions: {}", 0, "nothing"},
		{"azurefunctions: {alwaysReady: 2}", 2 * 2 * 0.000004 * 3600 * 730, "2 always-ready instances of 2GiB"},
		{"azurefunctions: {plan: premium}", (0.173 + 3.5*0.0123) * 730, "1 instance of EP1"},
		{"azurefunctions: {plan: premium, memory: 7GiB, alwaysReady: 2}", 2 * (2*0.173 + 7*0.0123) * 730, "2 instances of EP2"},
		{"azurefunctions: {plan: premium, memory: 14GiB}", (4*0.173 + 14*0.0123) * 730, "1 instance of EP3"},
		{"azurefunctions: {plan: containerapps, alwaysReady: 1, cpu: 2}", (2 + 4) * 0.000003 * 3600 * 730, "1 replica of 2 CPU and 4GiB"},
		{"azurefunctions: {plan: containerapps, alwaysReady: 1, gpu: t4}", unknown, "with a GPU t4"},
		{"knative: {}", unknown, "nothing of the function"},
		{"knative: {minScale: 2}", unknown, "2 pods of 1 CPU and 1GiB, on the cluster's nodes"},
		{"knative: {class: hpa}", unknown, "1 pod of"},
		{"sagemaker: {}", 0.102 * 730, "1 machine of ml.c5.large, as a realtime endpoint never goes to zero"},
		{"sagemaker: {minInstances: 3, maxInstances: 4, instanceType: ml.m5.large}", 3 * 0.115 * 730, "3 machines of ml.m5.large"},
		{"sagemaker: {instanceType: ml.new.huge}", unknown, "ml.new.huge"},
		{"sagemaker: {mode: serverless}", 0, "nothing"},
		{"vertexai: {}", 0.1095 * 730, "1 machine of n1-standard-2, as Vertex AI never goes to zero"},
		{"vertexai: {acceleratorType: NVIDIA_TESLA_T4, acceleratorCount: 2}", (0.1095 + 2*0.4025) * 730, "with 2 of NVIDIA_TESLA_T4"},
		{"azureml: {}", 0.229 * 730, "1 machine of Standard_DS3_v2"},
		{"edge: {}", 0, "the device; nothing is billed"},
		{"edge: {runtime: iotedge}", unknown, "not known here"},
	} {
		s := parse(t, "model: m.onnx\nauth: none\ntargets:\n  "+tt.targets+"\n")
		got := plan.Of(s, s.Targets.Names()[0]).Idle
		usd := float64(unknown)
		if got.USD != nil {
			usd = *got.USD
		}
		if math.Abs(usd-tt.want) > 0.005001 || !strings.Contains(got.What, tt.what) {
			t.Errorf("%s: got %v for %q, want %v for %q", tt.targets, usd, got.What, tt.want, tt.what)
		}
		if (usd > 0) != (len(got.Sources) > 0 && got.Region != "") && usd != unknown {
			t.Errorf("%s: %v dollars by %v in %q", tt.targets, usd, got.Sources, got.Region)
		}
	}
}

func TestCannot(t *testing.T) {
	for _, tt := range []struct {
		yaml, target string
		want, not    []string // beginnings
	}{
		{"targets: {awslambda: {}}", "awslambda", []string{"take requests above 6MB, 4500kB of them binary", "give answers above 6MB", "take longer than 30s", "speak gRPC", "wait longer than 500ms"}, []string{"go to zero", "run on a GPU"}},
		{"limits: {body: 4500kB, response: 6MB, request: 30s, drain: 500ms}\ntargets: {awslambda: {}}", "awslambda", []string{"speak gRPC"}, []string{"take", "give", "wait"}},
		{"limits: {body: 4501kB}\ntargets: {awslambda: {}}", "awslambda", []string{"take requests above 6MB"}, nil},
		{"limits: {request: 14m}\ntargets: {awslambda: {api: url}}", "awslambda", nil, []string{"take longer"}},
		{"targets: {awslambda: {api: url, responseStreaming: true}}", "awslambda", nil, []string{"give answers"}},
		{"limits: {body: 64MiB, response: 64MiB}\ntargets: {cloudrun: {}}", "cloudrun", []string{"take requests above 32MiB", "give answers above 32MiB", "stream over gRPC"}, nil},
		{"limits: {body: 64MiB}\ntargets: {cloudrun: {http2: true}}", "cloudrun", nil, []string{"take requests", "give", "stream"}},
		{"limits: {request: 11m}\ntargets: {knative: {class: hpa}}", "knative", []string{"take longer than 10m", "go to zero"}, []string{"speak"}},
		{"targets: {vertexai: {}}", "vertexai", []string{"take requests above 1500kB", "speak gRPC", "go to zero"}, nil},
		{"targets: {azurefunctions: {}, knative: {gpu: 1}}", "azurefunctions", []string{"run on a GPU"}, nil},
		{"targets: {azurefunctions: {plan: containerapps}, knative: {gpu: 1}}", "azurefunctions", nil, []string{"run on a GPU"}},
		{"targets: {edge: {runtime: greengrass}}", "edge", []string{"wait longer than 5s"}, nil},
		{"targets: {edge: {}}", "edge", nil, []string{"speak", "go to zero", "wait"}},
	} {
		got := plan.Of(parse(t, "model: m.onnx\nauth: none\n"+tt.yaml+"\n"), tt.target).Cannot
		has := func(what string) bool {
			return slices.ContainsFunc(got, func(c plan.Cannot) bool { return strings.HasPrefix(c.What, what) })
		}
		for _, what := range tt.want {
			if !has(what) {
				t.Errorf("%s: no %q in %+v", tt.yaml, what, got)
			}
		}
		for _, what := range tt.not {
			if has(what) {
				t.Errorf("%s: %q in %+v", tt.yaml, what, got)
			}
		}
		for _, c := range got {
			if strings.ContainsAny(c.What, "\n") || c.Asked != "" && c.Source == "" && !strings.HasPrefix(c.What, "run on a GPU") {
				t.Errorf("%s: no source for %+v", tt.yaml, c)
			}
		}
	}
}

// No target is forgotten, and a default is listed once: with its target, or as common.
func TestEveryDefaultIsListedOnce(t *testing.T) {
	s := parse(t, allTargets())
	got := plan.Common(s)
	for _, name := range spec.TargetNames() {
		p := plan.Of(s, name)
		if p.Idle.What == "" || p.Cannot == nil {
			t.Errorf("%s: %+v", name, p)
		}
		got = append(got, p.Defaults...)
	}
	if want := plan.Defaults(s); !reflect.DeepEqual(got, want) {
		t.Errorf("got %d defaults, want %d", len(got), len(want))
	}
}
