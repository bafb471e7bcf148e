package knative_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/infra/spec"
	"godwit.dev/knative"
)

// variant is a deployment of variants.
func variant(t testing.TB, name string) *render.Deployment {
	t.Helper()
	i := slices.IndexFunc(variants, func(v struct{ name, yaml string }) bool { return v.name == name })
	return deployment(t, text(t, name, variants[i].yaml))
}

// Every key of the target, however deep, changes a file when it changes alone, or
// is refused.
func TestEveryKeyChangesAFile(t *testing.T) {
	// Read of the godwit.yaml in the image, by fn-server.
	inside := map[string]bool{"Common.Provider": true, "Common.ProviderOptions": true}
	fresh := func() *render.Deployment {
		d := variant(t, "events")
		k := d.Spec.Targets.Knative
		k.Kafka.TLS.Cert, k.Kafka.TLS.Key = "kafka/user.crt", "kafka/user.key"
		k.Monitor.Token = "prometheus/token"
		k.Traffic = &spec.KnativeTraffic{Stable: "fraud-1", Canary: 20}
		k.ModelClaim, k.ModelStorage, k.Cluster = "models", spec.GiB, "any"
		return d
	}
	plain := files(t, fresh())
	count := 0
	var each func(prefix string, at func(*spec.Knative) reflect.Value)
	each = func(prefix string, at func(*spec.Knative) reflect.Value) {
		of := at(fresh().Spec.Targets.Knative).Type()
		for i := range of.NumField() {
			f := of.Field(i)
			name := prefix + f.Name
			field := func(k *spec.Knative) reflect.Value { return at(k).Field(i) }
			switch {
			case f.Type.Kind() == reflect.Struct:
				each(name+".", field)
				continue
			case f.Type.Kind() == reflect.Pointer:
				each(name+".", func(k *spec.Knative) reflect.Value { return field(k).Elem() })
				continue
			case inside[name]:
				continue
			}
			count++
			d := fresh()
			v := field(d.Spec.Targets.Knative)
			switch v.Kind() {
			case reflect.String:
				other := "other"
				if strings.Contains(v.String(), "/") || name == "Monitor.Token" {
					other = "other/key"
				}
				v.SetString(other)
			case reflect.Int:
				v.SetInt(v.Int() + 1)
			case reflect.Int64: // times, sizes, CPUs
				v.SetInt(v.Int() + 1_000_000_000)
			case reflect.Float64:
				v.SetFloat(7)
			case reflect.Bool:
				v.SetBool(!v.Bool())
			case reflect.Map:
				v.Set(reflect.ValueOf(map[string]string{"other": "one"}))
			case reflect.Slice:
				v.Set(reflect.ValueOf([]string{"other:1"}))
			default:
				t.Fatalf("%s is a %v", name, v.Kind())
			}
			all, err := knative.Render(d)
			if err != nil {
				continue
			}
			now := map[string]string{}
			for _, file := range all {
				now[file.Path] = string(file.Data)
			}
			if maps.Equal(plain, now) {
				t.Errorf("targets.knative: %s arrives nowhere", name)
			}
		}
	}
	each("", func(k *spec.Knative) reflect.Value { return reflect.ValueOf(k).Elem() })
	if count < 55 {
		t.Errorf("%d keys were changed", count)
	}
}

// What delivers has retries and a place for what failed, whatever the goldens say.
func TestEveryDeliveryEndsSomewhere(t *testing.T) {
	count := 0
	for _, v := range variants {
		all := files(t, deployment(t, text(t, v.name, v.yaml)))
		for name, text := range all {
			if !strings.HasPrefix(name, "base/") || strings.HasSuffix(name, "kustomization.yaml") {
				continue
			}
			o := rendertest.Decoded(t, text)
			switch rendertest.Within(o, "kind") {
			case "Broker", "Trigger", "KafkaSource":
				count++
				delivery := rendertest.Within(o, "spec", "delivery")
				dead := rendertest.Within(delivery, "deadLetterSink")
				if retry, ok := rendertest.Within(delivery, "retry").(uint64); !ok || retry < 4 || rendertest.Within(dead, "ref", "name") == nil && rendertest.Within(dead, "uri") == nil || rendertest.Within(delivery, "backoffDelay") == nil {
					t.Errorf("%s %s: delivery %v", v.name, name, delivery)
				}
			}
		}
	}
	if count < 4 {
		t.Errorf("%d deliveries", count)
	}
}

func TestEventsArrive(t *testing.T) {
	objects := built(t, files(t, variant(t, "events")), "overlays/eks")
	ref := func(kind string) map[string]any {
		return map[string]any{"ref": map[string]any{"apiVersion": map[string]string{"Service": "serving.knative.dev/v1", "JobSink": "sinks.knative.dev/v1alpha1"}[kind], "kind": kind, "name": "fraud"}}
	}
	delivery := map[string]any{
		"retry": uint64(5), "backoffPolicy": "exponential", "backoffDelay": "PT2S", "timeout": "PT120S",
		"deadLetterSink": map[string]any{"ref": map[string]any{"apiVersion": "eventing.knative.dev/v1alpha1", "kind": "KafkaSink", "name": "dead"}},
	}
	key := func(k string) map[string]any {
		return map[string]any{"secretKeyRef": map[string]any{"name": "kafka", "key": k}}
	}
	for _, want := range []struct {
		object string
		spec   map[string]any
	}{
		{"Trigger/fraud", map[string]any{"broker": "fraud", "filter": map[string]any{"attributes": map[string]any{"type": "com.example.rows"}}, "subscriber": ref("Service"), "delivery": delivery}},
		{"KafkaSource/fraud", map[string]any{
			"bootstrapServers": []any{"b-1.kafka.example.com:9096", "b-2.kafka.example.com:9096"}, "topics": []any{"rows"}, "consumerGroup": "fraud-scoring",
			"consumers": uint64(3), "initialOffset": "earliest", "ordering": "ordered", "sink": ref("Service"), "delivery": delivery,
			"net": map[string]any{"sasl": map[string]any{"enable": true, "user": key("user"), "password": key("password"), "type": key("sasl.mechanism")},
				"tls": map[string]any{"enable": true, "caCert": key("ca.crt")}},
		}},
	} {
		if diff := cmp.Diff(want.spec, objects[want.object]["spec"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.object, diff)
		}
	}
	if a := objects["ServiceAccount/fraud"]; rendertest.Within(a, "metadata", "annotations", "eks.amazonaws.com/role-arn") != "arn:aws:iam::123456789012:role/fraud" || rendertest.Within(a, "metadata", "namespace") != "default" {
		t.Errorf("service account %v", a)
	}
	objects = built(t, files(t, variant(t, "jobsink")), "overlays/gke")
	trigger := objects["Trigger/fraud"]["spec"]
	if diff := cmp.Diff(any(ref("JobSink")), rendertest.Within(trigger, "subscriber")); diff != "" || rendertest.Within(trigger, "delivery", "timeout") != nil || rendertest.Within(trigger, "broker") != "lake" || objects["Broker/lake"] != nil {
		t.Errorf("trigger %v", trigger)
	}
	job := rendertest.Within(objects["JobSink/fraud"], "spec", "job", "spec")
	if rendertest.Within(job, "backoffLimit") != uint64(4) || rendertest.Within(job, "activeDeadlineSeconds") != uint64(3600) || rendertest.Within(job, "template", "spec", "nodeSelector", "cloud.google.com/gke-accelerator") != "nvidia-l4" {
		t.Errorf("job %v", job)
	}
}

func TestJobHasItsShards(t *testing.T) {
	d := variant(t, "events")
	job := rendertest.Decoded(t, files(t, d)["jobs/score.yaml"])
	c := rendertest.Within(job, "spec", "template", "spec", "containers", "0")
	env := map[any]any{}
	for _, v := range rendertest.Within(c, "env").([]any) {
		env[rendertest.Within(v, "name")] = rendertest.Within(v, "value")
	}
	if diff := cmp.Diff(map[any]any{"GODWIT_TARGET": "knative", "GODWIT_INPUT": "s3://lake", "GODWIT_OUTPUT": "s3://lake", "GODWIT_SHARDS": "16"}, env); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	for path, want := range map[string]any{"completions": uint64(16), "parallelism": uint64(4), "backoffLimitPerIndex": uint64(3), "completionMode": "Indexed"} {
		if got := rendertest.Within(job, "spec", path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

// A revision's name stands for all that it says, and for nothing of its traffic.
func TestRevisionNames(t *testing.T) {
	name := func(keys string) string { return knative.RevisionName(on(t, keys)) }
	first := name("traffic: {}")
	if first != name("traffic: {stable: m-1, canary: 5%}") || first != name("traffic: {}, namespace: other, cluster: eks") {
		t.Error("the name is another one with other traffic, namespace or a cluster that says nothing")
	}
	for _, keys := range []string{"cpu: 2", "env: {A: b}", "minScale: 1", "gpu: 1", "nodeSelector: {a: b}", "modelClaim: c"} {
		if name(keys+", traffic: {}") == first {
			t.Errorf("%s: the same name", keys)
		}
	}
	fetched := func(traffic string) string {
		return knative.RevisionName(deployment(t, "models: [{path: 's3://b/m.onnx', sha256: "+digest[7:]+"}]\nauth: none\ntargets: {knative: {fetchModels: true, traffic: "+traffic+"}}\n"))
	}
	if fetched("{}") != fetched("{stable: m-1, canary: 5%}") {
		t.Error("the name is another one with other traffic, where models are fetched")
	}
	if name("gpu: 1, traffic: {}") == name("gpu: 1, cluster: gke, traffic: {}") {
		t.Error("another overlay, another template, the same name")
	}
	d := on(t, "traffic: {}")
	d.Image = "registry.example.com/acme/m@sha256:" + strings.Repeat("0", 64)
	if knative.RevisionName(d) == first {
		t.Error("another image, the same name")
	}
	d = on(t, "traffic: {}")
	d.Spec.Targets.Knative.Traffic.Stable = first
	if _, err := knative.Render(d); err == nil || !strings.Contains(err.Error(), "targets.knative.traffic.stable: want the revision before this one") {
		t.Errorf("a revision beside itself: %v", err)
	}
}

// Commands are whole, and speak of what is rendered.
func TestCommands(t *testing.T) {
	for _, v := range variants {
		d := deployment(t, text(t, v.name, v.yaml))
		all := files(t, d)
		objects := built(t, all, knative.Overlay(d))
		kinds := map[string]string{"ksvc": "Service", "broker": "Broker", "trigger": "Trigger", "kafkasource": "KafkaSource", "jobsink": "JobSink"}
		commands := knative.Commands(d)
		if _, ok := all[commands[0].Args[3]+"/kustomization.yaml"]; !ok || strings.Join(commands[0].Args[:3], " ") != "kubectl apply --kustomize" {
			t.Errorf("%s: first %q", v.name, commands[0].Args)
		}
		for _, c := range commands {
			if c.Args[0] != "kubectl" || c.Why == "" || slices.ContainsFunc(c.Args, func(a string) bool { return a == "" || strings.ContainsAny(a, "<>$") }) {
				t.Errorf("%s: %q", v.name, c)
			}
			if slices.Contains(c.Args, "wait") {
				kind, name, _ := strings.Cut(c.Args[len(c.Args)-1], "/")
				if there := d.Spec.Targets.Knative.Events; objects[kinds[kind]+"/"+name] == nil && (kind != "broker" || there.Broker != name) {
					t.Errorf("%s: waits for %s/%s, which is not rendered", v.name, kind, name)
				}
			}
		}
	}
}

// Whatever a filter's value, a topic's store or a dead letter's URL has in it, it
// is the same value in the file, and nothing else changes.
func TestTextsOfEventsStayInTheirPlaces(t *testing.T) {
	for _, nasty := range []string{`"`, "'", "a\nkind: Secret", "{{ x }}", "${x}", "$(HOME)", "- x", "null", "a: b # c", "\\", "*a", "\u2028"} {
		d := variant(t, "events")
		k := d.Spec.Targets.Knative
		k.Events.Filter, k.Monitor.Labels = map[string]string{"type": nasty}, map[string]string{"release": "x"}
		k.Events.DeadLetter, k.Kafka.Topics = "https://dead.example.com/"+nasty, []string{nasty}
		k.Identity = nasty
		objects := built(t, files(t, d), "overlays/eks")
		for _, got := range []any{
			rendertest.Within(objects["Trigger/fraud"], "spec", "filter", "attributes", "type"), rendertest.Within(objects["KafkaSource/fraud"], "spec", "topics", "0"),
			rendertest.Within(objects["ServiceAccount/fraud"], "metadata", "annotations", "eks.amazonaws.com/role-arn"),
			strings.TrimPrefix(rendertest.Within(objects["Broker/fraud"], "spec", "delivery", "deadLetterSink", "uri").(string), "https://dead.example.com/"),
		} {
			if got != nasty {
				t.Errorf("%q: got %q", nasty, got)
			}
		}
	}
}

// What the function reads is what was written, whatever is in it.
func TestFetchedFunctionIsWhole(t *testing.T) {
	d := deployment(t, "models: [{path: 's3://b/m.onnx', sha256: "+digest[7:]+"}]\nauth: none\ntargets: {knative: {fetchModels: true, env: {A: b}}}\n")
	d.Spec.Targets.Knative.Env["A"] = "it's \"{{ x }}\" # : | >- é"
	o := rendertest.Decoded(t, files(t, d)["base/function.yaml"])
	want, err := d.Spec.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), rendertest.Within(o, "data", "godwit.yaml")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := spec.Parse(spec.FileName, []byte(rendertest.Within(o, "data", "godwit.yaml").(string))); err != nil {
		t.Error(err)
	}
	service := applied(t, d)
	volume := rendertest.Within(service, "spec", "template", "spec", "volumes", "1", "configMap", "name")
	if volume == nil || volume != rendertest.Within(o, "metadata", "name") || rendertest.Within(service, "spec", "template", "spec", "containers", "0", "env", "1", "value") != "/models" {
		t.Errorf("mounts %v, there is %v", volume, rendertest.Within(o, "metadata", "name"))
	}
}

// What stands beside the Service says what it has to, whatever the goldens say.
func TestObjectsBesideTheService(t *testing.T) {
	tests := []struct {
		name, yaml, object, path string
		want                     any
	}{
		{"models are read only", "modelClaim: c", "Service/m", "spec.template.spec.volumes.1.persistentVolumeClaim.readOnly", true},
		{"an account of one's own stands for the identity", "cluster: eks, identity: 'arn:x', serviceAccount: me", "ServiceAccount/me", "metadata.annotations|eks.amazonaws.com/role-arn", "arn:x"},
		{"many nodes read EFS", "cluster: eks, modelClaim: c, modelStorage: 1GiB", "PersistentVolumeClaim/c", "spec.accessModes.0", "ReadWriteMany"},
		{"of the class of its driver", "cluster: eks, modelClaim: c, modelStorage: 1GiB", "PersistentVolumeClaim/c", "spec.storageClassName", "efs-sc"},
		{"one node reads a folder", "cluster: k3s, modelClaim: c, modelStorage: 1GiB", "PersistentVolumeClaim/c", "spec.accessModes.0", "ReadWriteOnce"},
		{"the size that was asked for", "modelClaim: c, modelStorage: 3GiB", "PersistentVolumeClaim/c", "spec.resources.requests.storage", "3Gi"},
		{"the cluster's own class", "modelClaim: c, modelStorage: 3GiB", "PersistentVolumeClaim/c", "spec.storageClassName", nil},
		{"only Prometheus' namespace reaches the function's port", "monitor: {namespace: mon}", "NetworkPolicy/m", "spec.ingress.1.from.0.namespaceSelector.matchLabels|kubernetes.io/metadata.name", "mon"},
		{"and no other port", "monitor: {namespace: mon}", "NetworkPolicy/m", "spec.ingress.1.ports.1", nil},
		{"nobody reaches it without", "", "NetworkPolicy/m", "spec.ingress.1", nil},
		{"what Prometheus shows", "monitor: {namespace: mon, token: a/b}", "PodMonitor/m", "spec.podMetricsEndpoints.1.authorization.credentials.key", "b"},
		{"at the function's port", "monitor: {namespace: mon}", "PodMonitor/m", "spec.podMetricsEndpoints.1.port", "user-port"},
		{"and queue-proxy's", "monitor: {namespace: mon}", "PodMonitor/m", "spec.podMetricsEndpoints.0.port", "http-usermetric"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := on(t, tt.yaml)
			steps, last, both := strings.Cut(tt.path, "|")
			path := strings.Split(steps, ".")
			if both {
				path = append(path, last)
			}
			o, ok := built(t, files(t, d), knative.Overlay(d))[tt.object]
			if got := rendertest.Within(o, path...); !ok || got != tt.want {
				t.Errorf("%s: got %v, want %v", tt.path, got, tt.want)
			}
		})
	}
}

// A Job's pod goes to the nodes that the overlay would choose, and no mesh's
// sidecar outlives its work.
func TestJobsOfClustersAndMeshes(t *testing.T) {
	const yaml = "model: m.onnx\nbatch: {input: 's3://a/b/', output: 's3://c/d/'}\ntargets: {knative: {gpu: 1, cluster: eks, mesh: MESH, job: {}}}\n"
	for mesh, want := range map[string][2]any{"istio": {"false", "disabled"}, "linkerd": {"false", "disabled"}, "other": {nil, nil}} {
		job := rendertest.Decoded(t, files(t, deployment(t, strings.ReplaceAll(yaml, "MESH", mesh)))["jobs/score.yaml"])
		template := rendertest.Within(job, "spec", "template")
		got := [2]any{rendertest.Within(template, "metadata", "labels", "sidecar.istio.io/inject"), rendertest.Within(template, "metadata", "annotations", "linkerd.io/inject")}
		if got != want {
			t.Errorf("%s: got %v, want %v", mesh, got, want)
		}
		if rendertest.Within(template, "spec", "tolerations", "0", "key") != "nvidia.com/gpu" || rendertest.Within(template, "spec", "containers", "0", "resources", "limits", "nvidia.com/gpu") != "1" {
			t.Errorf("%s: pod %v", mesh, template)
		}
	}
}

func TestTeardownTellsOfTheClaim(t *testing.T) {
	for keys, want := range map[string]string{"": "claims and secrets stay", "modelClaim: c": "claims and secrets stay", "modelClaim: c, modelStorage: 1GiB": "of the models in the claim as well"} {
		if readme := files(t, on(t, keys))["README.md"]; !strings.Contains(readme, want) {
			t.Errorf("%s: the README does not say that %s", keys, want)
		}
	}
}

// Each Secret that is needed is named once, with all its keys.
func TestReadmeNamesSecrets(t *testing.T) {
	d := variant(t, "events")
	d.Spec.Targets.Knative.Monitor.Token = "prometheus/token"
	d.Spec.Targets.Knative.Secrets = map[string]string{"A": "kafka/user", "B": "other"}
	readme := files(t, d)["README.md"]
	for secret, keys := range map[string][]string{"kafka": {"user, for A", "user, for Kafka's user", "ca.crt, for"}, "other": {"B, for B"}, "prometheus": {"token, for Prometheus"}} {
		_, line, ok := strings.Cut(readme, "get secret "+secret+" ")
		line, _, _ = strings.Cut(line, "\n")
		if !ok || strings.Count(readme, "get secret "+secret+" ") != 1 {
			t.Errorf("%s is named %d times", secret, strings.Count(readme, "get secret "+secret+" "))
		}
		for _, key := range keys {
			if !strings.Contains(line, key) {
				t.Errorf("%s: %q lacks %q", secret, line, key)
			}
		}
	}
}
