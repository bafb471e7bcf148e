package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/knative"
)

// A variant is a godwit.yaml: keys of targets.knative, and what stands before them.
type variant struct{ name, keys, rest string }

// text is the variant's godwit.yaml.
func (v *variant) text() string {
	text := v.rest
	if text == "" {
		text = "model: m.onnx\n"
	}
	if !strings.Contains(text, "auth:") {
		text += "auth: none\n"
	}
	if !strings.Contains(text, "\nname:") {
		text = "name: m\n" + text
	}
	return text + "targets: {knative: {" + v.keys + "}}\n"
}

func (v *variant) deployment() (*render.Deployment, error) {
	s, err := spec.Parse(spec.FileName, []byte(v.text()))
	if err != nil {
		return nil, err
	}
	return &render.Deployment{Spec: s, Digest: digest, Image: "registry.example.com/acme/m@" + digest, ModelBytes: 1 << 20}, nil
}

// variants say every key of targets.knative at both ends of what it takes, and
// each choice once.
var variants = []variant{
	{"least", `cpu: 10m, memory: 32MiB, minScale: 0, maxScale: 1, initialScale: 1, concurrency: 1, class: kpa, metric: concurrency, target: 0.01,
		targetUtilization: 1%, window: 6s, panicWindow: 1%, panicThreshold: 110%, scaleDownDelay: 1s, scaleToZeroPodRetention: 1s, timeout: 1s, progressDeadline: 1s, rolloutDuration: 1s`, ""},
	{"most", `cpu: 1024, memory: 24TiB, minScale: 10000, maxScale: 10000, initialScale: 10000, activationScale: 10000, concurrency: 1000, metric: rps, target: 123456789.25,
		targetUtilization: 100%, window: 1h, panicWindow: 100%, panicThreshold: 1000%, scaleDownDelay: 1h, scaleToZeroPodRetention: 1h, timeout: 10m, progressDeadline: 24h, rolloutDuration: 24h`, ""},
	{"unlimited", "maxScale: 0, concurrency: 0, memory: 1500MB, cpu: 1.5, activationScale: 2", ""},
	{"hpa-cpu", "class: hpa, metric: cpu, target: 100, minScale: 1", ""},
	{"hpa-memory", "class: hpa, metric: memory, target: 4000, minScale: 3, maxScale: 3", ""},
	{"istio", "mesh: istio, visibility: cluster-local", ""},
	{"linkerd", "mesh: linkerd, visibility: external", ""},
	{"other-mesh", "mesh: other", ""},
	{"names", "namespace: " + strings.Repeat("n", 63) + ", serviceAccount: a.b-c, env: {A_1: a, _b: ' ', C: '$(A_1) $$'}, secrets: {D: a.b/_.c-D, E: e}", ""},
	{"gpus", "gpu: 16, provider: cuda, providerOptions: {device_id: 1}, nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4, disktype: ssd}, runtimeClass: nvidia", ""},
	{"claim", "modelClaim: models, modelStorage: 1TiB", ""},
	{"image", "modelImage: registry.example.com/models/m@" + digest, ""},
	{"fetched", "fetchModels: true, cluster: k3s", "models: [{name: m, path: 's3://lake/m.onnx', sha256: " + strings.TrimPrefix(digest, "sha256:") + "}]\n"},
	{"eks", "cluster: eks, identity: 'arn:aws:iam::123456789012:role/m'", ""},
	{"gke", "cluster: gke, gpu: 1, identity: m@acme.iam.gserviceaccount.com", ""},
	{"aks", "cluster: aks, identity: 12345678-1234-1234-1234-123456789012", ""},
	{"any", "cluster: any, ingress: gateway-api, traffic: {}", ""},
	{"canary", "traffic: {stable: m-00001, canary: 100%}", ""},
	{"events", `store: 's3://lake', events: {brokerClass: MTChannelBasedBroker, filter: {type: com.example.rows, source: '/a b'}, deadLetter: 'ksvc:dead', backoffPolicy: linear, backoffDelay: 1h}`,
		"model: m.onnx\ntriggers: [events, objects]\nbatch: {input: rows/, output: scores/, timeout: 1m}\n"},
	{"jobs", `events: {broker: lake, deadLetter: 'https://dead.example.com/letters', backoffPolicy: exponential, jobSink: true}, job: {tasks: 10000, parallelism: 10000, maxRetries: 10}`,
		"model: m.onnx\ntriggers: [events]\nbatch: {input: 's3://lake/rows/', output: 's3://lake/scores/', deadLetter: true}\n"},
	{"stream", `store: 's3://lake', events: {deadLetter: 'kafkasink:dead'}, kafka: {bootstrapServers: ['kafka:9092'], topics: [rows], consumerGroup: m, initialOffset: earliest, consumers: 1000,
		sasl: {user: kafka/user, password: kafka/password, mechanism: kafka/mechanism}, tls: {ca: kafka/ca, cert: kafka/cert, key: kafka/key}}`,
		"model: m.onnx\ntriggers: [stream]\nbatch: {input: rows/, output: scores/, timeout: 1m}\n"},
	{"monitor", "monitor: {namespace: monitoring, labels: {release: prometheus}, token: prometheus/token}", ""},
}

// renderAll writes each variant into a folder of dir, and wants every key that
// godwit.yaml has for Knative in one of them.
func renderAll(dir string) error {
	said := map[string]bool{}
	for _, v := range variants {
		var of struct {
			Targets struct{ Knative map[string]any }
		}
		if err := yaml.Unmarshal([]byte(v.text()), &of); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		note(said, "", of.Targets.Knative)
		d, err := v.deployment()
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		files, err := knative.Render(d)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		for _, f := range files {
			path := filepath.Join(dir, v.name, filepath.FromSlash(f.Path))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, f.Data, 0o644); err != nil {
				return err
			}
		}
	}
	keys, err := schemaKeys()
	if err != nil {
		return err
	}
	var missing []error
	for _, k := range keys {
		if !said[k] {
			missing = append(missing, fmt.Errorf("want a variant that says targets.knative.%s", k))
		}
	}
	fmt.Printf("%d variants say all %d keys\n", len(variants), len(keys))
	return errors.Join(missing...)
}

// note marks the keys of in, with a dot between those within each other.
func note(said map[string]bool, prefix string, in map[string]any) {
	for k, v := range in {
		said[prefix+k] = true
		if within, ok := v.(map[string]any); ok {
			note(said, prefix+k+".", within)
		}
	}
}

// schemaKeys are the keys of targets.knative, as godwit.yaml's schema has them.
func schemaKeys() (all []string, err error) {
	var root node
	if err := json.Unmarshal(spec.Schema(), &root); err != nil {
		return nil, err
	}
	var walk func(prefix string, n node)
	walk = func(prefix string, n node) {
		for name, p := range n.Properties {
			all = append(all, prefix+name)
			for _, choice := range append(p.AnyOf, p) {
				if def, ok := strings.CutPrefix(choice.Ref, "#/$defs/"); ok {
					walk(prefix+name+".", root.Defs[def])
				}
			}
		}
	}
	walk("", root.Defs["Knative"])
	slices.Sort(all)
	if len(all) < 35 {
		return nil, fmt.Errorf("want 35 keys or more in the schema, got %d", len(all))
	}
	return all, nil
}

type node struct {
	Ref        string          `json:"$ref"`
	Defs       map[string]node `json:"$defs"`
	Properties map[string]node `json:"properties"`
	AnyOf      []node          `json:"anyOf"`
}
