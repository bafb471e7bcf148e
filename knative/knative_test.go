package knative_test

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/golden"
	"godwit.dev/knative"
	"godwit.dev/runtime/fault"
)

const digest = rendertest.Digest

// deployment is what text, a godwit.yaml, becomes.
func deployment(t testing.TB, text string) *render.Deployment {
	t.Helper()
	return rendertest.Deployment(t, text, "registry.example.com/acme")
}

// on is the same of a target's keys, for callers that nobody checks.
func on(t testing.TB, keys string) *render.Deployment {
	t.Helper()
	return deployment(t, "model: m.onnx\nauth: none\ntargets: {knative: {"+keys+"}}\n")
}

func files(t testing.TB, d *render.Deployment) map[string]string {
	t.Helper()
	return rendertest.Rendered(t, knative.Render, d)
}

// applied is the Service that an API server gets of the overlay that is meant.
func applied(t testing.TB, d *render.Deployment) map[string]any {
	t.Helper()
	return built(t, files(t, d), knative.Overlay(d))["Service/"+d.Spec.Name]
}

// built is what kustomize makes of a folder, by kind and name. That it does is
// tested against kustomize itself, in conformance.
func built(t testing.TB, all map[string]string, dir string) map[string]map[string]any {
	t.Helper()
	k := rendertest.Decoded(t, all[dir+"/kustomization.yaml"]).(map[string]any)
	objects := map[string]map[string]any{}
	for _, r := range k["resources"].([]any) {
		at := path.Join(dir, r.(string))
		text, ok := all[at]
		if !ok {
			maps.Copy(objects, built(t, all, at))
			continue
		}
		o := rendertest.Decoded(t, text).(map[string]any)
		objects[o["kind"].(string)+"/"+rendertest.Within(o, "metadata", "name").(string)] = o
	}
	if n, ok := k["namespace"]; ok {
		for _, o := range objects {
			o["metadata"].(map[string]any)["namespace"] = n
		}
	}
	patches, _ := k["patches"].([]any)
	for _, p := range patches {
		kind, name := rendertest.Within(p, "target", "kind").(string), rendertest.Within(p, "target", "name").(string)
		o, ok := objects[kind+"/"+name]
		if !ok {
			t.Fatalf("%s patches %s/%s, which is not there", dir, kind, name)
		}
		for _, op := range rendertest.Decoded(t, all[path.Join(dir, rendertest.Within(p, "path").(string))]).([]any) {
			patch(t, o, op.(map[string]any))
		}
	}
	return objects
}

// patch does one operation of a JSON patch.
func patch(t testing.TB, o map[string]any, op map[string]any) {
	t.Helper()
	steps := strings.Split(op["path"].(string), "/")[1:]
	for i := range steps {
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(steps[i])
	}
	last := len(steps) - 1
	at := rendertest.Within(o, steps[:last]...)
	old := rendertest.Within(at, steps[last])
	if (op["op"] == "add") == (old != nil) || op["op"] != "add" && op["op"] != "replace" {
		t.Fatalf("operation %v on %v", op, old)
	}
	if l, ok := at.([]any); ok {
		i, err := strconv.Atoi(steps[last])
		if err != nil {
			t.Fatal(err)
		}
		l[i] = op["value"]
		return
	}
	m, ok := at.(map[string]any)
	if !ok {
		t.Fatalf("operation %v on %v", op, at)
	}
	m[steps[last]] = op["value"]
}

// variants are what has golden files: the examples, and each larger choice once.
var variants = []struct{ name, yaml string }{
	// The one that tests spoil: testdata/refused.yaml.
	{"plain", "model: m.onnx\nauth: none\ntargets: {knative: {}}\n"},
	{"digits", ""},
	{"penguins", ""},
	{"gpu", `model: resnet.onnx
auth: {jwt: {issuer: https://issuer.example.com/, audience: [models]}}
targets: {knative: {gpu: 1, cpu: 4, memory: 16GiB, concurrency: 8, targetUtilization: 90%, maxScale: 4, scaleToZeroPodRetention: 10m, nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, runtimeClass: nvidia}}
`},
	{"everything", `model: fraud.onnx
auth: key
targets:
  knative:
    namespace: scoring
    cpu: 500m
    memory: 768MiB
    minScale: 2
    maxScale: 40
    initialScale: 3
    activationScale: 4
    concurrency: 20
    metric: rps
    target: 150.5
    targetUtilization: 80%
    window: 30s
    panicWindow: 20%
    panicThreshold: 150%
    scaleDownDelay: 2m
    scaleToZeroPodRetention: 1m
    timeout: 1m
    progressDeadline: 5m
    rolloutDuration: 6m
    ingress: kourier
    visibility: cluster-local
    nodeSelector: {disktype: ssd}
    runtimeClass: gvisor
    serviceAccount: scorer
    modelClaim: fraud-models
    env: {LEVEL: 'a "word", $(NAME) and: #'}
    secrets: {GODWIT_API_KEYS: fraud/keys, TOKEN: token}
`},
	{"events", `model: fraud.onnx
auth: none
triggers: [events, objects, stream]
batch: {input: rows/, output: scores/, attempts: 6, timeout: 2m, order: stop}
targets:
  knative:
    visibility: cluster-local
    store: s3://lake
    cluster: eks
    identity: arn:aws:iam::123456789012:role/fraud
    events: {filter: {type: com.example.rows}, deadLetter: 'kafkasink:dead', backoffDelay: 2s}
    kafka:
      bootstrapServers: ['b-1.kafka.example.com:9096', 'b-2.kafka.example.com:9096']
      topics: [rows]
      consumerGroup: fraud-scoring
      consumers: 3
      initialOffset: earliest
      sasl: {user: kafka/user, password: kafka/password, mechanism: kafka/sasl.mechanism}
      tls: {ca: kafka/ca.crt}
    job: {tasks: 16, parallelism: 4}
    monitor: {namespace: monitoring, labels: {release: prometheus}}
`},
	{"jobsink", `model: fraud.onnx
auth: none
triggers: [events]
batch: {input: 'gs://lake/rows/', output: 'gs://lake/scores/', timeout: 1h, deadLetter: true}
targets:
  knative:
    gpu: 1
    cluster: gke
    identity: fraud@acme.iam.gserviceaccount.com
    modelImage: europe-docker.pkg.dev/acme/models/fraud@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    events: {broker: lake, deadLetter: 'https://dead.example.com/letters', backoffPolicy: linear, jobSink: true}
    job: {}
`},
	{"canary", `model: fraud.onnx
auth: none
targets:
  knative:
    gpu: 1
    modelClaim: fraud-models
    modelStorage: 20GiB
    traffic: {stable: fraud-00001, canary: 20%}
`},
	{"fetched", `models: [{name: fraud, path: 's3://lake/models/fraud.onnx', sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]
auth: none
targets: {knative: {fetchModels: true, cluster: k3s, traffic: {}}}
`},
	{"aks", "model: m.onnx\nauth: none\ntargets: {knative: {gpu: 1, cluster: aks, identity: 00000000-0000-0000-0000-000000000000, modelClaim: models, modelStorage: 100GiB, mesh: istio}}\n"},
	{"hpa", "model: m.onnx\nauth: none\ntargets: {knative: {class: hpa, metric: memory, target: 700, minScale: 1, maxScale: 0, mesh: linkerd}}\n"},
}

func text(t testing.TB, name, yaml string) string {
	t.Helper()
	if yaml != "" {
		return yaml
	}
	return rendertest.Example(t, "..", name)
}

func TestGolden(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			golden.Folder(t, "golden/"+v.name, files(t, deployment(t, text(t, v.name, v.yaml))))
		})
	}
}

// pods are all specs of pods below v.
func pods(v any) (all []map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["containers"]; ok {
			return []map[string]any{v}
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, pods(v[k])...)
		}
	case []any:
		for _, one := range v {
			all = append(all, pods(one)...)
		}
	}
	return all
}

// What no update of golden files can bless, of every pod that any folder makes.
func TestEveryPodIsSafe(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := deployment(t, text(t, v.name, v.yaml))
			all, count := files(t, d), 0
			check := func(kind string, pod map[string]any) {
				count++
				c := rendertest.Within(pod, "containers", "0")
				if n := len(rendertest.Within(pod, "containers").([]any)); n != 1 {
					t.Errorf("%s: %d containers", kind, n)
				}
				if diff := cmp.Diff(map[string]any{
					"runAsNonRoot": true, "runAsUser": uint64(65532), "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
					"capabilities": map[string]any{"drop": []any{"ALL"}}, "seccompProfile": map[string]any{"type": "RuntimeDefault"},
				}, rendertest.Within(c, "securityContext")); diff != "" {
					t.Errorf("%s: security (-want +got):\n%s", kind, diff)
				}
				want := [][2]string{{"image", d.Image}, {"env.0.name", "GODWIT_TARGET"}, {"env.0.value", "knative"}, {"volumeMounts.0.mountPath", "/tmp"}}
				if kind == "Service" {
					want = append(want, [2]string{"readinessProbe.httpGet.path", "/v2/health/ready"}, [2]string{"livenessProbe.httpGet.path", "/v2/health/live"})
				} else if rendertest.Within(pod, "restartPolicy") != "Never" {
					t.Errorf("%s: restarts %v", kind, rendertest.Within(pod, "restartPolicy"))
				}
				for _, w := range want {
					if got := rendertest.Within(c, strings.Split(w[0], ".")...); got != w[1] {
						t.Errorf("%s: %s: got %v, want %v", kind, w[0], got, w[1])
					}
				}
				limits := rendertest.Within(c, "resources", "limits")
				if diff := cmp.Diff(limits, rendertest.Within(c, "resources", "requests")); diff != "" {
					t.Errorf("%s: resources (-limits +requests):\n%s", kind, diff)
				}
				if gpu := rendertest.Within(limits, "nvidia.com/gpu"); (gpu != nil) != (d.Spec.Targets.Knative.GPU > 0) {
					t.Errorf("%s: GPUs: %v", kind, gpu)
				}
				if rendertest.Within(pod, "automountServiceAccountToken") != false || rendertest.Within(pod, "hostNetwork") != nil || rendertest.Within(pod, "hostPID") != nil {
					t.Errorf("%s: pod %v", kind, pod)
				}
				for _, v := range rendertest.Within(pod, "volumes").([]any) {
					if rendertest.Within(v, "hostPath") != nil {
						t.Errorf("%s: volume %v", kind, v)
					}
				}
			}
			for name := range all {
				dir, ok := strings.CutSuffix(name, "/kustomization.yaml")
				if !ok || dir == "base" {
					continue
				}
				for id, o := range built(t, all, dir) {
					for _, pod := range pods(o) {
						check(rendertest.Within(o, "kind").(string), pod)
					}
					if id == "Secret/"+d.Spec.Name {
						t.Error("a Secret is rendered")
					}
				}
			}
			if text, ok := all["jobs/score.yaml"]; ok {
				for _, pod := range pods(rendertest.Decoded(t, text)) {
					check("Job", pod)
				}
			}
			if count < 1 {
				t.Errorf("%d pods", count)
			}
		})
	}
}

// Keys arrive at their places in the Service.
func TestEveryKeyArrives(t *testing.T) {
	revision := "spec.template.metadata.annotations|autoscaling.knative.dev/"
	pod, container := "spec.template.spec.", "spec.template.spec.containers.0."
	tests := []struct {
		field, keys, path string
		want              any
	}{
		{"Namespace", "namespace: a", "metadata.namespace", "a"},
		{"CPU", "cpu: 1.5", container + "resources.limits.cpu", "1500m"},
		{"CPU", "cpu: 3", container + "resources.requests.cpu", "3"},
		{"Memory", "memory: 3GiB", container + "resources.limits.memory", "3Gi"},
		{"Memory", "memory: 1500MB", container + "resources.limits.memory", "1500000000"},
		{"GPU", "gpu: 2", container + "resources.limits|nvidia.com/gpu", "2"},
		{"MinScale", "minScale: 2", revision + "min-scale", "2"},
		{"MinScale", "", revision + "min-scale", "0"},
		{"MaxScale", "maxScale: 7", revision + "max-scale", "7"},
		{"MaxScale", "maxScale: 0", revision + "max-scale", "0"},
		{"InitialScale", "initialScale: 2", revision + "initial-scale", "2"},
		{"ActivationScale", "activationScale: 3", revision + "activation-scale", "3"},
		{"Concurrency", "concurrency: 9", pod + "containerConcurrency", uint64(9)},
		{"Concurrency", "", pod + "containerConcurrency", uint64(0)},
		{"Class", "class: hpa", revision + "class", "hpa.autoscaling.knative.dev"},
		{"Class", "class: hpa", revision + "min-scale", nil},
		{"Metric", "metric: rps", revision + "metric", "rps"},
		{"Target", "target: 0.5", revision + "target", "0.5"},
		{"Target", "", revision + "target", nil},
		{"TargetUtilization", "targetUtilization: 71%", revision + "target-utilization-percentage", "71"},
		{"Window", "window: 90s", revision + "window", "90s"},
		{"PanicWindow", "panicWindow: 11%", revision + "panic-window-percentage", "11"},
		{"PanicThreshold", "panicThreshold: 201%", revision + "panic-threshold-percentage", "201"},
		{"ScaleDownDelay", "scaleDownDelay: 15m", revision + "scale-down-delay", "900s"},
		{"ScaleToZeroPodRetention", "scaleToZeroPodRetention: 1h", revision + "scale-to-zero-pod-retention-period", "3600s"},
		{"Timeout", "timeout: 42s", pod + "timeoutSeconds", uint64(42)},
		{"ProgressDeadline", "progressDeadline: 11m", "spec.template.metadata.annotations|serving.knative.dev/progress-deadline", "660s"},
		{"ProgressDeadline", "progressDeadline: 11m", container + "livenessProbe.initialDelaySeconds", uint64(660)},
		{"RolloutDuration", "rolloutDuration: 4m", "metadata.annotations|serving.knative.dev/rollout-duration", "240s"},
		{"RolloutDuration", "", "metadata.annotations", nil},
		{"Visibility", "visibility: cluster-local", "metadata.labels|networking.knative.dev/visibility", "cluster-local"},
		{"Mesh", "mesh: istio", "spec.template.metadata.labels|sidecar.istio.io/inject", "true"},
		{"Mesh", "mesh: linkerd", "spec.template.metadata.annotations|linkerd.io/inject", "enabled"},
		{"NodeSelector", "nodeSelector: {a.b/c: d}", pod + "nodeSelector|a.b/c", "d"},
		{"RuntimeClass", "runtimeClass: kata", pod + "runtimeClassName", "kata"},
		{"ServiceAccount", "serviceAccount: me", pod + "serviceAccountName", "me"},
		{"ModelClaim", "modelClaim: mine", pod + "volumes.1.persistentVolumeClaim.claimName", "mine"},
		{"ModelClaim", "modelClaim: mine", container + "env.1.value", "/models"},
		{"ModelImage", "modelImage: 'a/b@" + digest + "'", pod + "volumes.1.image.reference", "a/b@" + digest},
		{"ModelImage", "modelImage: 'a/b@" + digest + "'", container + "env.1.value", "/models"},
		{"Identity", "cluster: gke, identity: a@b", pod + "serviceAccountName", "m"},
		{"Identity", "cluster: gke, identity: a@b, serviceAccount: me", pod + "serviceAccountName", "me"},
		{"Identity", "cluster: aks, identity: a-b", "spec.template.metadata.labels|azure.workload.identity/use", "true"},
		{"Store", "store: 's3://lake'", container + "env.2.value", "s3://lake"},
		{"Cluster", "cluster: gke, gpu: 1", pod + "nodeSelector|cloud.google.com/gke-accelerator", "nvidia-l4"},
		{"Cluster", "cluster: gke, gpu: 1, nodeSelector: {a: b}", pod + "nodeSelector|cloud.google.com/gke-accelerator", nil},
		{"Cluster", "cluster: eks, gpu: 1", pod + "tolerations.0.key", "nvidia.com/gpu"},
		{"Cluster", "cluster: aks, gpu: 1", pod + "tolerations.0.value", "gpu"},
		{"Cluster", "cluster: k3s, gpu: 1", pod + "runtimeClassName", "nvidia"},
		{"Cluster", "cluster: k3s, gpu: 1, runtimeClass: other", pod + "runtimeClassName", "other"},
		{"Cluster", "cluster: eks", pod + "tolerations", nil},
		{"Ingress", "ingress: kourier", "metadata.annotations|networking.knative.dev/ingress.class", "kourier.ingress.networking.knative.dev"},
		{"Traffic", "traffic: {}", "spec.traffic.0.percent", uint64(100)},
		{"Traffic", "traffic: {stable: m-1, canary: 20%}", "spec.traffic.0.percent", uint64(80)},
		{"Traffic", "traffic: {stable: m-1, canary: 20%}", "spec.traffic.0.revisionName", "m-1"},
		{"Traffic", "traffic: {stable: m-1, canary: 20%}", "spec.traffic.1.tag", "canary"},
		{"Traffic", "traffic: {stable: m-1}", "spec.traffic.1.percent", uint64(0)},
		{"Traffic", "", "spec.template.metadata.name", nil},
		{"Common.Env", "env: {A: b}", container + "env.1.value", "b"},
		{"Common.Secrets", "secrets: {A: b/c}", container + "env.1.valueFrom.secretKeyRef.key", "c"},
		{"Common.Secrets", "secrets: {A: b}", container + "env.1.valueFrom.secretKeyRef.key", "A"},
		{"Common.Secrets", "secrets: {A: b/c}", container + "env.1.valueFrom.secretKeyRef.name", "b"},
	}
	for _, tt := range tests {
		t.Run(tt.field, func(t *testing.T) {
			steps, last, both := strings.Cut(tt.path, "|")
			path := strings.Split(steps, ".")
			if both {
				path = append(path, last)
			}
			if got := rendertest.Within(applied(t, on(t, tt.keys)), path...); got != tt.want {
				t.Errorf("%s: %s: got %v (%T), want %v", tt.keys, tt.path, got, got, tt.want)
			}
		})
	}
}

func TestNetworkPolicyOnlyWithoutAMesh(t *testing.T) {
	for mesh, want := range map[string]bool{"none": true, "istio": false, "linkerd": false, "other": false} {
		all := files(t, on(t, "mesh: "+mesh))
		_, there := all["base/networkpolicy.yaml"]
		if listed := strings.Contains(all["base/kustomization.yaml"], "networkpolicy.yaml"); there != want || listed != want {
			t.Errorf("mesh %s: there %t, listed %t, want %t", mesh, there, listed, want)
		}
	}
	policy := rendertest.Decoded(t, files(t, on(t, ""))["base/networkpolicy.yaml"])
	for _, p := range rendertest.Within(policy, "spec", "ingress", "0", "ports").([]any) {
		if rendertest.Within(p, "port") == uint64(8080) {
			t.Error("the function's own port is open")
		}
	}
}

func TestTextsStayInTheirPlaces(t *testing.T) {
	for _, nasty := range []string{
		`"`, `'`, `\`, "a\nb: c", "a: b # c", "- x", "{{ .Values.x }}", "$(HOME)", "$$", "$HOME `id` $'x'", "true", "null", "0x10", "1e3", "~", "", " a ",
		"\t\x00\x7f\u0085\u2028\ufeff", "é\U0001F986", "---\nkind: Secret", "*a", "&a", "!!b", "%", "@", "|", ">-", "yes", "012", "2026-01-02", "'; rm -rf /; '",
	} {
		d := on(t, "env: {A: b}, secrets: {S: t/u}")
		d.Spec.Targets.Knative.Env["A"] = nasty
		service := applied(t, d)
		want := nasty
		if strings.Contains(nasty, "$(") || strings.Contains(nasty, "$$") {
			want = strings.ReplaceAll(nasty, "$", "$$") // Kubernetes makes one of two
		}
		env := rendertest.Within(service, "spec", "template", "spec", "containers", "0", "env").([]any)
		if got := rendertest.Within(env[1], "value"); len(env) != 3 || got != want {
			t.Errorf("%q: got %d variables, %#v", nasty, len(env), got)
		}
		if got := knService(t, d); !cmp.Equal(rendertest.Within(got, "spec", "template", "spec", "containers", "0", "env"), any(env)) {
			t.Errorf("%q: kn says %v", nasty, rendertest.Within(got, "spec", "template", "spec", "containers", "0", "env"))
		}
	}
}

// Readers of older YAML take these words for booleans and nothing at all.
func TestWordsAreQuoted(t *testing.T) {
	for _, word := range []string{"y", "N", "Yes", "NO", "on", "Off", "True", "FALSE", "Null"} {
		d := on(t, "env: {A: b}")
		d.Spec.Targets.Knative.Env["A"] = word
		if text := files(t, d)["base/service.yaml"]; !strings.Contains(text, `value: "`+word+`"`) {
			t.Errorf("%s is not quoted", word)
		}
	}
}

func TestKeysInTheClaim(t *testing.T) {
	d := deployment(t, "model: m.onnx\nauth: {key: {file: /models/keys}}\ntargets: {knative: {modelClaim: c}}\n")
	if _, err := knative.Render(d); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	const none, batch = "model: m.onnx\nauth: none\n", "batch: {input: a/, output: 's3://b/c/'}\n"
	tests := []struct {
		name, yaml string
		change     func(*render.Deployment)
		code       fault.Code
		want, hint string
	}{
		{"a tag", none, func(d *render.Deployment) { d.Image = "ghcr.io/acme/m:latest" }, fault.BadConfig, `by its digest, REPOSITORY@sha256:…, got "ghcr.io/acme/m:latest"`, "godwit package DIR --target knative --push"},
		{"no image", none, func(d *render.Deployment) { d.Image = "" }, fault.BadConfig, "by its digest", "--push"},
		{"an image that ends a line", none, func(d *render.Deployment) { d.Image = "a\nb@" + digest }, fault.BadConfig, "by its digest", ""},
		{"no target", none + "targets: {cloudrun: {}}", nil, fault.BadConfig, "want a target knative", ""},
		{"platform without a mesh", "model: m.onnx\n", nil, fault.BadConfig, "Knative checks nobody", spec.NoMeshHint},
		{"keys from nowhere", "model: m.onnx\nauth: key\n", nil, fault.BadConfig, "targets.knative.secrets: want GODWIT_API_KEYS", "secrets: {GODWIT_API_KEYS: NAME/KEY}"},
		{"keys in a file", "model: m.onnx\nauth: {key: {file: /run/keys}}\n", nil, fault.BadConfig, `the file "/run/keys"`, "GODWIT_API_KEYS"},
		{"memory of the models alone", none, func(d *render.Deployment) { d.ModelBytes = 1 << 30 }, fault.BadConfig, "targets.knative.memory: want more than the 1GiB of the models, got 1GiB", "doctor"},
		{"triggers without who gets what failed", none + batch + "triggers: [events]\n", nil, fault.BadConfig, "targets.knative.events: want who gets what failed", "deadLetter: ksvc:NAME"},
		{"a queue", none + batch + "triggers: [queue]\n", nil, fault.Unsupported, "got queue", "IntegrationSource"},
		{"events without triggers", none + "targets: {knative: {events: {deadLetter: 'ksvc:dead'}}}", nil, fault.BadConfig, "targets.knative.events: want triggers", "triggers: [events]"},
		{"Kafka without triggers", none + "targets: {knative: {kafka: {bootstrapServers: ['k:9092'], topics: [a]}}}", nil, fault.BadConfig, "targets.knative.kafka: want the trigger stream", ""},
		{"a stream of nothing", none + batch + "triggers: [stream]\ntargets: {knative: {events: {deadLetter: 'ksvc:dead'}}}", nil, fault.BadConfig, "targets.knative.kafka: want the topics", "bootstrapServers"},
		{"Kafka beside other triggers", none + batch + "triggers: [events]\ntargets: {knative: {events: {deadLetter: 'ksvc:dead'}, kafka: {bootstrapServers: ['k:9092'], topics: [a]}}}", nil, fault.BadConfig, "targets.knative.kafka: want the trigger stream, got events", ""},
		{"a filter of a stream", none + batch + "triggers: [stream]\ntargets: {knative: {events: {deadLetter: 'ksvc:dead', filter: {type: a}}, kafka: {bootstrapServers: ['k:9092'], topics: [a]}}}", nil, fault.BadConfig, "stream alone", ""},
		{"events with keys", "model: m.onnx\nauth: key\n" + batch + "triggers: [events]\ntargets: {knative: {secrets: {GODWIT_API_KEYS: a/b}, events: {deadLetter: 'ksvc:dead'}}}", nil, fault.BadConfig, "which it does not send", "jobSink: true"},
		{"a delivery longer than a request", none + "batch: {input: a/, output: 's3://b/c/', timeout: 6m}\ntriggers: [events]\ntargets: {knative: {events: {deadLetter: 'ksvc:dead'}}}", nil, fault.BadConfig, "batch.timeout: want at most the 5m", "jobSink: true"},
		{"scores in no bucket", none + "batch: {input: a/, output: b/}\ntriggers: [events]\ntargets: {knative: {events: {deadLetter: 'ksvc:dead'}}}", nil, fault.BadConfig, "targets.knative.store: want where scores", "s3://lake"},
		{"dead letters that come back", none + batch + "triggers: [events]\ntargets: {knative: {events: {deadLetter: 'broker:m'}}}", nil, fault.BadConfig, "round for ever", ""},
		{"dead letters to itself", none + batch + "triggers: [events]\ntargets: {knative: {events: {deadLetter: 'ksvc:m'}}}", nil, fault.BadConfig, "round for ever", ""},
		{"Jobs whose events are gone", none + batch + "triggers: [events]\ntargets: {knative: {events: {jobSink: true, deadLetter: 'ksvc:dead'}}}", nil, fault.BadConfig, "batch.deadLetter: want true", "deadLetter: true"},
		{"dead letters to its own Jobs", none + "batch: {input: a/, output: 's3://b/c/', deadLetter: true}\ntriggers: [events]\ntargets: {knative: {events: {jobSink: true, deadLetter: 'jobsink:m'}}}", nil, fault.BadConfig, "round for ever", ""},
		{"dead letters to two dots", none + batch + "triggers: [events]\ntargets: {knative: {events: {deadLetter: 'ksvc:a..b'}}}", nil, fault.BadConfig, "targets.knative.events.deadLetter", ""},
		{"a job that finds nothing", none + "batch: {input: a/, output: b/}\ntargets: {knative: {job: {}}}", nil, fault.BadConfig, "targets.knative.job: want batch.input", "store:"},
		{"models by a tag", none + "targets: {knative: {modelImage: 'ghcr.io/acme/models:1'}}", nil, fault.BadConfig, "targets.knative.modelImage: want an image by its digest", ""},
		{"metrics behind keys", "model: m.onnx\nauth: key\ntargets: {knative: {secrets: {GODWIT_API_KEYS: a/b}, monitor: {namespace: m}}}", nil, fault.BadConfig, "targets.knative.monitor.token", "NAME/KEY"},
		{"a monitor's label", none + "targets: {knative: {monitor: {namespace: m, labels: {a: b/c}}}}", nil, fault.BadConfig, "targets.knative.monitor.labels.a", ""},
		{"two who move traffic", none + "targets: {knative: {traffic: {}, rolloutDuration: 1m}}", nil, fault.BadConfig, "targets.knative.rolloutDuration: want it without traffic", ""},
		{"Kafka's Secret with two dots", none + batch + "triggers: [stream]\ntargets: {knative: {events: {deadLetter: 'ksvc:dead'}, kafka: {bootstrapServers: ['k:9092'], topics: [a], tls: {ca: a..b/c}}}}", nil, fault.BadConfig, "targets.knative.kafka.tls.ca", ""},
		{"a namespace with a dot", none + "targets: {knative: {namespace: a.b}}", nil, fault.BadConfig, `namespace: want at most 63`, ""},
		{"a long namespace", none + "targets: {knative: {namespace: " + strings.Repeat("a", 64) + "}}", nil, fault.BadConfig, "namespace", ""},
		{"two dots", none + "targets: {knative: {serviceAccount: a..b}}", nil, fault.BadConfig, `serviceAccount: want parts`, ""},
		{"a dash before a dot", none + "targets: {knative: {runtimeClass: a-.b}}", nil, fault.BadConfig, "runtimeClass", ""},
		{"a claim", none + "targets: {knative: {modelClaim: a..b}}", nil, fault.BadConfig, "modelClaim", ""},
		{"a label with two slashes", none + "targets: {knative: {nodeSelector: {a/b/c: d}}}", nil, fault.BadConfig, `got "a/b/c"`, ""},
		{"a label's value with a slash", none + "targets: {knative: {nodeSelector: {a: b/c}}}", nil, fault.BadConfig, `nodeSelector.a: want at most 63`, ""},
		{"a label's long value", none + "targets: {knative: {nodeSelector: {a: " + strings.Repeat("b", 64) + "}}}", nil, fault.BadConfig, "nodeSelector.a", ""},
		{"a Secret's upper case", none + "targets: {knative: {secrets: {A: Name}}}", nil, fault.BadConfig, `secrets.A: want a Secret as NAME or NAME/KEY, got "Name"`, "kubectl create secret"},
		{"an ARN", none + "targets: {knative: {secrets: {A: 'arn:aws:secretsmanager:eu:1:secret:x'}}}", nil, fault.BadConfig, "secrets.A", ""},
		{"a key with a slash", none + "targets: {knative: {secrets: {A: a/b/c}}}", nil, fault.BadConfig, "secrets.A", ""},
		{"more at first than at most", none + "targets: {knative: {initialScale: 11}}", nil, fault.BadConfig, "initialScale: want at most maxScale 10, got 11", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(tt.yaml, "targets:") {
				tt.yaml += "targets: {knative: {}}\n"
			}
			d := deployment(t, tt.yaml)
			if tt.change != nil {
				tt.change(d)
			}
			got, err := knative.Render(d)
			if fault.CodeOf(err) != tt.code || got != nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.HintOf(err), tt.hint) {
				t.Errorf("got %v, %v (hint %q), want %v with %q", got, err, fault.HintOf(err), tt.code, tt.want)
			}
		})
	}
}
