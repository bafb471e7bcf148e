package google_test

import (
	"testing"

	"godwit.dev/infra/google"
	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/internal/golden"
)

const digest = rendertest.Digest

// deployment is what text, a godwit.yaml, becomes.
func deployment(t testing.TB, text string) *render.Deployment {
	t.Helper()
	return rendertest.Deployment(t, text, "europe-docker.pkg.dev/acme/models")
}

// on is the same of Cloud Run's keys, for callers that Cloud Run checks.
func on(t testing.TB, keys string) *render.Deployment {
	t.Helper()
	return deployment(t, "model: m.onnx\ntargets: {cloudrun: {"+keys+"}}\n")
}

func files(t testing.TB, d *render.Deployment) map[string]string {
	t.Helper()
	return rendertest.Rendered(t, google.RenderCloudRun, d)
}

// vertexFiles is files for Vertex AI.
func vertexFiles(t testing.TB, d *render.Deployment) map[string]string {
	t.Helper()
	return rendertest.Rendered(t, google.RenderVertexAI, d)
}

func decoded(t testing.TB, text string) map[string]any {
	t.Helper()
	return rendertest.Decoded(t, text).(map[string]any)
}

// variants are what has golden files: the examples, and each larger choice once.
var variants = []struct{ name, yaml string }{
	{"digits", ""},
	{"penguins", ""},
	{"gpu", `model: resnet.onnx
auth: {jwt: {issuer: https://issuer.example.com/, audience: [models], jwksURL: https://issuer.example.com/keys}}
targets: {cloudrun: {region: europe-west4, gpu: nvidia-l4, cpu: 8, memory: 32GiB, concurrency: 4, maxInstances: 2, timeout: 10m, http2: true}}
`},
	{"blackwell", `model: llm.onnx
auth: none
targets: {cloudrun: {gpu: nvidia-rtx-pro-6000, gpuZonalRedundancy: true, ingress: internal}}
`},
	{"everything", `model: fraud.onnx
auth: key
triggers: [objects, queue, topic]
batch:
  input: gs://lake/rows/
  output: gs://scored/fraud/
  attempts: 7
  split: {queue: "https://pubsub.googleapis.com/projects/acme/topics/parts", parts: 4}
targets:
  cloudrun:
    region: europe-west1
    cpu: 2
    memory: 3GiB
    minInstances: 1
    maxInstances: 40
    concurrency: 20
    timeout: 15m
    billing: instance
    http2: true
    ingress: internal-and-cloud-load-balancing
    network: models
    subnet: models-europe
    vpcEgress: all-traffic
    serviceAccount: scoring@acme.iam.gserviceaccount.com
    encryptionKey: projects/acme/locations/europe-west1/keyRings/models/cryptoKeys/fraud
    env: {GREETING: 'say "hello", $USER # and, more'}
    secrets: {GODWIT_API_KEYS: fraud-keys, TOKEN: "fraud-token:7"}
    push:
      audience: fraud
      serviceAccounts: [push@acme.iam.gserviceaccount.com]
      ackDeadline: 90s
      deadLetterTopic: projects/acme/topics/rejected
    job: {tasks: 16, parallelism: 8, maxRetries: 2, taskTimeout: 2h}
`},
	{"bucket", `model: fraud.onnx
triggers: [objects]
batch: {input: "gs://lake/", output: "gs://scored/"}
targets: {cloudrun: {}}
`},
	{"gateway", `model: fraud.onnx
triggers: [queue]
batch: {input: rows/, output: "gs://scored/"}
targets: {cloudrun: {gateway: {callers: [app@acme.iam.gserviceaccount.com, web-app@acme.iam.gserviceaccount.com]}}}
`},
	{"gatewayjwt", `model: fraud.onnx
auth: {jwt: {issuer: https://issuer.example.com/, audience: [models, more], jwksURL: https://issuer.example.com/keys}}
targets: {cloudrun: {http2: true, gateway: {}}}
`},
	{"relative", `model: fraud.onnx
triggers: [objects]
batch: {input: rows/, output: scores/}
targets: {cloudrun: {}}
`},
}

// variant is the deployment of one of variants.
func variant(t testing.TB, name, text string) *render.Deployment {
	t.Helper()
	if text == "" {
		text = rendertest.Example(t, "../..", name)
	}
	return deployment(t, text)
}

func TestGolden(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			golden.Folder(t, "golden/"+v.name, files(t, variant(t, v.name, v.yaml)))
		})
	}
}
