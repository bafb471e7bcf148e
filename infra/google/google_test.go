package google_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"godwit.dev/infra/google"
	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/golden"
)

const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// deployment is what text, a godwit.yaml, becomes.
func deployment(t testing.TB, text string) *render.Deployment {
	t.Helper()
	s, err := spec.Parse(spec.FileName, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	name := s.Models[0].Name
	return &render.Deployment{
		Spec: s, Image: "europe-docker.pkg.dev/acme/models/" + s.Name + "@" + digest, Digest: digest, ModelBytes: 1 << 20,
		Request: &render.Request{Model: name, Path: "requests/" + name + "/1.json"},
	}
}

// on is the same of Cloud Run's keys, for callers that Cloud Run checks.
func on(t testing.TB, keys string) *render.Deployment {
	t.Helper()
	return deployment(t, "model: m.onnx\ntargets: {cloudrun: {"+keys+"}}\n")
}

func files(t testing.TB, d *render.Deployment) map[string]string {
	t.Helper()
	all, err := google.RenderCloudRun(d)
	if err != nil {
		t.Fatal(err)
	}
	return byPath(all)
}

// vertexFiles is files for Vertex AI.
func vertexFiles(t testing.TB, d *render.Deployment) map[string]string {
	t.Helper()
	all, err := google.RenderVertexAI(d)
	if err != nil {
		t.Fatal(err)
	}
	return byPath(all)
}

func byPath(all []render.File) map[string]string {
	m := map[string]string{}
	for _, f := range all {
		m[f.Path] = string(f.Data)
	}
	return m
}

func decoded(t testing.TB, text string) (v map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

// within follows path: keys, and indices of lists.
func within(v any, path ...string) any {
	for _, p := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[p]
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
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
		data, err := os.ReadFile(filepath.Join("..", "..", "examples", name, spec.FileName))
		if err != nil {
			t.Fatal(err)
		}
		text = string(data)
	}
	return deployment(t, text)
}

func TestGolden(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := variant(t, v.name, v.yaml)
			for path, text := range files(t, d) {
				golden.Check(t, "golden/"+v.name+"/"+path, []byte(text))
			}
		})
	}
}

// words are what a shell makes of line: quotes taken away, $NAME left as it is.
func words(t testing.TB, line string) (all []string) {
	t.Helper()
	var word strings.Builder
	in := false
	end := func() {
		if in {
			all = append(all, word.String())
		}
		word.Reset()
		in = false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case '\\':
			i++
			if i < len(line) && line[i] != '\n' {
				in = true
				word.WriteByte(line[i])
			}
		case ' ', '\n':
			end()
		case '\'', '"':
			n := strings.IndexByte(line[i+1:], c)
			if n < 0 {
				t.Fatalf("a quote is left open in %s", line)
			}
			in = true
			text := line[i+1 : i+1+n]
			if c == '"' && strings.ContainsAny(text, "`\\") {
				t.Fatalf("the shell reads more than names in %q", text)
			}
			word.WriteString(text)
			i += n + 1
		default:
			if strings.IndexByte("|&;<>()$`*?[]#~%{}!", c) >= 0 {
				t.Fatalf("%q stands outside of quotes in %s", c, line)
			}
			in = true
			word.WriteByte(c)
		}
	}
	end()
	return all
}
