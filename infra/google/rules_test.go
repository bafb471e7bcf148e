package google_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/google"
	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/runtime/fault"
)

// What no golden file can bless, asked of everything that is rendered.
func TestRulesOfEveryFolder(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := variant(t, v.name, v.yaml)
			all := files(t, d)
			if !strings.HasPrefix(all[google.MarkFile], google.Mark) {
				t.Errorf("%s does not begin with the mark", google.MarkFile)
			}
			m := decoded(t, all["service.yaml"])
			const c = "spec.template.spec.containers.0."
			at := func(path string) any { return rendertest.Within(m, strings.Split(path, ".")...) }
			if image, _ := at(c + "image").(string); !regexp.MustCompile(`^[^@:]+@sha256:[0-9a-f]{64}$`).MatchString(image) {
				t.Errorf("want an image by its digest alone, got %q", image)
			}
			if containers := at("spec.template.spec.containers").([]any); len(containers) != 1 {
				t.Errorf("want one container, got %d", len(containers))
			}
			if at(c+"startupProbe") == nil || at(c+"livenessProbe") == nil || at(c+"securityContext") != nil {
				t.Error("want probes, and no rights beyond the platform's")
			}
			if account, _ := at("spec.template.spec.serviceAccountName").(string); !strings.HasSuffix(account, ".iam.gserviceaccount.com") {
				t.Errorf("want an account of the function's own, as the project's may everything, got %q", account)
			}
			open := rendertest.Within(m, "metadata", "annotations", "run.googleapis.com/invoker-iam-disabled") == "true"
			if open == (d.Spec.Auth.Mode == "platform") {
				t.Errorf("auth: %s, and everybody let in is %v", d.Spec.Auth.Mode, open)
			}
			for path, text := range all {
				for _, never := range []string{"allUsers\"\n  role", "--member allUsers", "allAuthenticatedUsers", "roles/owner", "roles/editor", "roles/storage.admin", "roles/pubsub.admin", "roles/run.admin", "--allow-unauthenticated", "privileged", ":latest@"} {
					if strings.Contains(strings.ReplaceAll(text, "--no-allow-unauthenticated", ""), never) {
						t.Errorf("%s has %q", path, never)
					}
				}
				if strings.Contains(text, "GODWIT_API_KEYS=") && !strings.Contains(text, "GODWIT_API_KEYS=fraud-keys:latest") {
					t.Errorf("%s has a key's value", path)
				}
			}
			allowed := map[string]bool{"roles/run.invoker": true, "roles/pubsub.publisher": true, "roles/pubsub.subscriber": true, "roles/iam.serviceAccountTokenCreator": true,
				"roles/eventarc.eventReceiver": true, "roles/cloudkms.cryptoKeyEncrypterDecrypter": true, "roles/storage.objectViewer": true, "roles/storage.objectCreator": true, "roles/secretmanager.secretAccessor": true}
			onProject := map[string]bool{"roles/eventarc.eventReceiver": true, "roles/pubsub.publisher": true} // Eventarc makes its topic itself
			for _, r := range planned(t, all) {
				role := r.text("role")
				if role != "" && (!allowed[role] || r.typ == "google_project_iam_member" && !onProject[role]) {
					t.Errorf("%s.%s grants %s", r.typ, r.label, role)
				}
				if strings.HasSuffix(r.typ, "_iam_binding") || strings.HasSuffix(r.typ, "_iam_policy") {
					t.Errorf("%s.%s takes away what others have granted", r.typ, r.label)
				}
				if r.typ == "google_pubsub_subscription" && r.attr["push_config"] != nil && (r.attr["dead_letter_policy"] == nil || r.text("push_config", "0", "oidc_token", "0", "audience") == "") {
					t.Errorf("%s.%s has no dead letters, or no token", r.typ, r.label)
				}
				if r.typ == "google_storage_bucket" && r.text("public_access_prevention") != "enforced" {
					t.Errorf("%s.%s may become public", r.typ, r.label)
				}
			}
			if strings.Contains(all["terraform/main.tf"], "\nprovider \"") {
				t.Error("a module has no provider of its own")
			}
		})
	}
}

// The module's service is the one of service.yaml.
func TestModuleHasTheServiceOfTheFile(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := variant(t, v.name, v.yaml)
			all := files(t, d)
			for _, r := range planned(t, all) {
				switch r.typ {
				case "google_cloud_run_v2_service":
					if diff := cmp.Diff(plainService(t, written(t, d)).numbers(), moduleService(r).numbers()); diff != "" {
						t.Errorf("service.yaml and terraform/ (-file +module)\n%s", diff)
					}
				case "google_cloud_run_v2_job":
					if diff := cmp.Diff(plainJob(decoded(t, all["job.yaml"])).numbers(), moduleJob(r).numbers()); diff != "" {
						t.Errorf("job.yaml and terraform/ (-file +module)\n%s", diff)
					}
				}
			}
		})
	}
}

// A flat is what both forms say, under short names.
type flat map[string]any

// numbers is f with texts of numbers as these, and without what is not said.
func (f flat) numbers() flat {
	out := flat{}
	for k, v := range f {
		switch is := v.(type) {
		case nil:
			continue
		case uint64:
			v = float64(is)
		case string:
			var n float64
			if json.Unmarshal([]byte(is), &n) == nil {
				v = n
			}
		}
		if v != "" {
			out[k] = v
		}
	}
	return out
}

// plainContainer adds what manifests say of their container and where it runs.
func (f flat) plainContainer(about, revision map[string]any) {
	c := rendertest.Within(revision, "containers", "0").(map[string]any)
	f["image"], f["account"] = c["image"], strings.Replace(revision["serviceAccountName"].(string), "PROJECT_ID", "acme", 1)
	f["gpu"] = rendertest.Within(revision, "nodeSelector", "run.googleapis.com/accelerator")
	for k, v := range rendertest.Within(c, "resources", "limits").(map[string]any) {
		f["limit "+k] = v
	}
	for _, e := range c["env"].([]any) {
		e := e.(map[string]any)
		f["env "+e["name"].(string)] = e["value"]
		if ref, ok := rendertest.Within(e, "valueFrom", "secretKeyRef").(map[string]any); ok {
			f["env "+e["name"].(string)] = ref["name"].(string) + ":" + ref["key"].(string)
		}
	}
	f["environment"] = about["run.googleapis.com/execution-environment"]
	f["key"], f["egress"] = about["run.googleapis.com/encryption-key"], about["run.googleapis.com/vpc-access-egress"]
	f["one zone"] = about["run.googleapis.com/gpu-zonal-redundancy-disabled"]
	if n, ok := about["run.googleapis.com/network-interfaces"].([]any); ok {
		f["network"], f["subnet"] = n[0].(map[string]string)["network"], n[0].(map[string]string)["subnetwork"]
	}
	if text, ok := about["run.googleapis.com/network-interfaces"].(string); ok {
		var n []map[string]string
		_ = json.Unmarshal([]byte(text), &n)
		f["network"], f["subnet"] = n[0]["network"], n[0]["subnetwork"]
	}
}

func plainService(t *testing.T, m map[string]any) flat {
	t.Helper()
	about := rendertest.Within(m, "spec", "template", "metadata", "annotations").(map[string]any)
	service := rendertest.Within(m, "metadata", "annotations").(map[string]any)
	revision := rendertest.Within(m, "spec", "template", "spec").(map[string]any)
	c := rendertest.Within(revision, "containers", "0").(map[string]any)
	f := flat{"name": rendertest.Within(m, "metadata", "name"), "description": service["run.googleapis.com/description"], "ingress": service["run.googleapis.com/ingress"],
		"open": service["run.googleapis.com/invoker-iam-disabled"] == "true", "min": service["run.googleapis.com/minScale"], "max": service["run.googleapis.com/maxScale"],
		"revision's max": about["autoscaling.knative.dev/maxScale"], "idle": about["run.googleapis.com/cpu-throttling"], "boost": about["run.googleapis.com/startup-cpu-boost"],
		"concurrency": revision["containerConcurrency"], "timeout": revision["timeoutSeconds"],
		"port": rendertest.Within(c, "ports", "0", "containerPort"), "protocol": rendertest.Within(c, "ports", "0", "name"),
		"start": rendertest.Within(c, "startupProbe", "timeoutSeconds"), "start's port": rendertest.Within(c, "startupProbe", "tcpSocket", "port"),
		"live": rendertest.Within(c, "livenessProbe", "httpGet", "path"), "live's period": rendertest.Within(c, "livenessProbe", "periodSeconds"), "live's failures": rendertest.Within(c, "livenessProbe", "failureThreshold"),
	}
	f.plainContainer(about, revision)
	return f
}

func plainJob(m map[string]any) flat {
	tasks := rendertest.Within(m, "spec", "template", "spec").(map[string]any)
	run := rendertest.Within(tasks, "template", "spec").(map[string]any)
	f := flat{"name": rendertest.Within(m, "metadata", "name"), "tasks": tasks["taskCount"], "parallel": tasks["parallelism"], "retries": run["maxRetries"], "timeout": run["timeoutSeconds"]}
	f.plainContainer(rendertest.Within(m, "spec", "template", "metadata", "annotations").(map[string]any), run)
	return f
}

// moduleContainer adds what the module says of the same.
func (f flat) moduleContainer(template map[string]any) {
	c := rendertest.Within(template, "containers", "0").(map[string]any)
	f["image"], f["account"] = c["image"], template["service_account"]
	f["gpu"] = rendertest.Within(template, "node_selector", "0", "accelerator")
	for k, v := range rendertest.Within(c, "resources", "0", "limits").(map[string]any) {
		f["limit "+k] = v
	}
	for _, e := range c["env"].([]any) {
		e := e.(map[string]any)
		f["env "+e["name"].(string)] = e["value"]
		if ref, ok := rendertest.Within(e, "value_source", "0", "secret_key_ref", "0").(map[string]any); ok {
			f["env "+e["name"].(string)] = ref["secret"].(string) + ":" + ref["version"].(string)
		}
	}
	f["environment"] = strings.ToLower(strings.TrimPrefix(template["execution_environment"].(string), "EXECUTION_ENVIRONMENT_"))
	f["key"], f["egress"], f["one zone"] = template["encryption_key"], nil, nil
	if z, ok := template["gpu_zonal_redundancy_disabled"].(bool); ok {
		f["one zone"] = map[bool]string{true: "true", false: "false"}[z]
	}
	if vpc, ok := rendertest.Within(template, "vpc_access", "0").(map[string]any); ok {
		f["egress"] = strings.ReplaceAll(strings.ToLower(vpc["egress"].(string)), "_", "-")
		f["network"], f["subnet"] = rendertest.Within(vpc, "network_interfaces", "0", "network"), rendertest.Within(vpc, "network_interfaces", "0", "subnetwork")
	}
}

func moduleService(r thing) flat {
	template := rendertest.Within(r.attr, "template", "0").(map[string]any)
	c := rendertest.Within(template, "containers", "0").(map[string]any)
	yes := func(v any) string { return map[bool]string{true: "true", false: "false"}[v.(bool)] }
	f := flat{"name": r.attr["name"], "description": r.attr["description"],
		"ingress": map[string]string{"INGRESS_TRAFFIC_ALL": "all", "INGRESS_TRAFFIC_INTERNAL_ONLY": "internal", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER": "internal-and-cloud-load-balancing"}[r.text("ingress")],
		"open":    r.attr["invoker_iam_disabled"], "min": rendertest.Within(r.attr, "scaling", "0", "min_instance_count"), "max": rendertest.Within(r.attr, "scaling", "0", "max_instance_count"),
		"revision's max": rendertest.Within(template, "scaling", "0", "max_instance_count"), "idle": yes(rendertest.Within(c, "resources", "0", "cpu_idle")), "boost": yes(rendertest.Within(c, "resources", "0", "startup_cpu_boost")),
		"concurrency": template["max_instance_request_concurrency"], "timeout": strings.TrimSuffix(template["timeout"].(string), "s"),
		"port": rendertest.Within(c, "ports", "0", "container_port"), "protocol": rendertest.Within(c, "ports", "0", "name"),
		"start": rendertest.Within(c, "startup_probe", "0", "timeout_seconds"), "start's port": rendertest.Within(c, "startup_probe", "0", "tcp_socket", "0", "port"),
		"live": rendertest.Within(c, "liveness_probe", "0", "http_get", "0", "path"), "live's period": rendertest.Within(c, "liveness_probe", "0", "period_seconds"), "live's failures": rendertest.Within(c, "liveness_probe", "0", "failure_threshold"),
	}
	f.moduleContainer(template)
	return f
}

func moduleJob(r thing) flat {
	tasks := rendertest.Within(r.attr, "template", "0").(map[string]any)
	run := rendertest.Within(tasks, "template", "0").(map[string]any)
	f := flat{"name": r.attr["name"], "tasks": tasks["task_count"], "parallel": tasks["parallelism"], "retries": run["max_retries"], "timeout": strings.TrimSuffix(run["timeout"].(string), "s")}
	f.moduleContainer(run)
	return f
}

// hostile are texts that would break out of YAML, a shell, HCL or gcloud's lists.
var hostile = []string{
	`'; touch x; '`, `"; touch x; "`, "`touch x`", `$(touch x)`, `$PROJECT`, `%{ if true }x%{ endif }`, `{{ .x }}`, `\" \\ \n`, `a,b=c,#@d`, `^#@^`, `-- # : & * ! | >`,
	`yes`, `null`, `0x10`, `1e3`, `<b>&amp;</b>`, `é 😀 `, `$$(x)`, `$`, `%`, `#`, `@`, `=`, `ends with \`,
}

func TestNoTextBreaksOut(t *testing.T) {
	for _, text := range hostile {
		d := on(t, "")
		run := d.Spec.Targets.CloudRun
		run.Env = map[string]string{"A": text, "B": "after"}
		// Cloud Run fills $(NAME) in as Kubernetes does.
		want := map[string]string{"A": render.Literal(text), "B": "after", "GODWIT_TARGET": "cloudrun"}
		all := files(t, d)
		read := func(list any, name, value string) map[string]string {
			got := map[string]string{}
			for _, e := range list.([]any) {
				got[e.(map[string]any)[name].(string)] = e.(map[string]any)[value].(string)
			}
			return got
		}
		m := decoded(t, all["service.yaml"])
		if got := read(rendertest.Within(m, "spec", "template", "spec", "containers", "0", "env"), "name", "value"); !maps.Equal(got, want) {
			t.Errorf("%q is %q in service.yaml", text, got)
		}
		line := rendertest.Words(t, google.CloudRunLine(d))
		if got := pairs(line[slices.Index(line, "--set-env-vars")+1]); !maps.Equal(got, want) {
			t.Errorf("%q is %q in gcloud's line", text, got)
		}
		for _, r := range planned(t, all) {
			if r.typ == "google_cloud_run_v2_service" {
				if got := read(rendertest.Within(r.attr, "template", "0", "containers", "0", "env"), "name", "value"); !maps.Equal(got, want) {
					t.Errorf("%q is %q in the module", text, got)
				}
			}
		}

		v := deployment(t, vertexVariants[0].yaml)
		v.Spec.Targets.VertexAI.Env = map[string]string{"A": text}
		var model struct {
			ContainerSpec struct {
				Env []struct{ Name, Value string }
			}
		}
		if err := json.Unmarshal([]byte(vertexFiles(t, v)["model.json"]), &model); err != nil || model.ContainerSpec.Env[1].Value != render.Literal(text) {
			t.Errorf("%q is %q in model.json: %v", text, model.ContainerSpec.Env, err)
		}
	}
}

// Prefixes and audiences stand in the scripts themselves.
func TestNoTextBreaksOutOfTheScript(t *testing.T) {
	for _, text := range []string{strings.Join(hostile, " "), "-- x", `$(touch x)`, `ends with \`} {
		d := deployment(t, "model: m.onnx\nauth: key\ntriggers: [objects]\nbatch: {input: \"gs://lake/rows/\", output: \"gs://scored/\"}\ntargets: {cloudrun: {secrets: {GODWIT_API_KEYS: keys}, push: {audience: a, serviceAccounts: [push@acme.iam.gserviceaccount.com]}}}\n")
		d.Spec.Batch.Input = "gs://lake/" + text + "/"
		d.Spec.Targets.CloudRun.Push.Audience = text
		all := files(t, d)
		c := newCloud(t, beforehand(d)...)
		calls, out, ok := c.run(all, "deploy.sh", "PROJECT=acme", "REGION=europe-west1")
		if !ok {
			t.Fatalf("%q: %s", text, out)
		}
		var prefix, audience bool
		for _, one := range calls {
			prefix = prefix || slices.Contains(one.Args, "--object-prefix="+text+"/")
			audience = audience || slices.Contains(one.Args, "--push-auth-token-audience="+text)
		}
		if !prefix || !audience {
			t.Errorf("%q: prefix %v, audience %v", text, prefix, audience)
		}
		if diff := cmp.Diff(byScript(t, calls), byTerraform(t, all)); diff != "" {
			t.Errorf("%q: deploy.sh and terraform/ (-script +module)\n%s", text, diff)
		}
	}
}

func TestWhatGoogleDoesNotTakeIsRefused(t *testing.T) {
	long := strings.Repeat("x", 31)
	for _, c := range []struct {
		name, yaml, image, want, hint string
	}{
		{"no target", "model: m.onnx\n", "", "want a target cloudrun", "Add targets"},
		{"no image", "model: m.onnx\ntargets: {cloudrun: {}}\n", "-", "want an image by its digest", "godwit package DIR --target cloudrun --push"},
		{"an image by its tag", "model: m.onnx\ntargets: {cloudrun: {}}\n", "europe-docker.pkg.dev/acme/m/m:1", "want an image by its digest", "--push"},
		{"another registry", "model: m.onnx\ntargets: {cloudrun: {}}\n", "ghcr.io/acme/m@" + digest, "no other registry", "docker.pkg.dev"},
		{"memory below the model", "model: m.onnx\ntargets: {cloudrun: {memory: 512MiB, cpu: 500m}}\n", "", "want more than the 600MiB of the models", "doctor"},
		{"an account of another form", "model: m.onnx\ntargets: {cloudrun: {serviceAccount: " + long + "}}\n", "", "want an account's e-mail address", ""},
		{"a key of another form", "model: m.onnx\ntargets: {cloudrun: {encryptionKey: key}}\n", "", "want projects/P/locations", ""},
		{"a network of another form", "model: m.onnx\ntargets: {cloudrun: {network: '-a'}}\n", "", "want a name", ""},
		{"a secret of another project", "model: m.onnx\ntargets: {cloudrun: {secrets: {A: projects/p/secrets/s}}}\n", "", "want a secret of the same project", "gcloud secrets create"},
		{"keys in a file", "model: m.onnx\nauth: {key: {file: /keys}}\ntargets: {cloudrun: {}}\n", "", "nothing here mounts", "GODWIT_API_KEYS"},
		{"no keys", "model: m.onnx\nauth: key\ntargets: {cloudrun: {}}\n", "", "want GODWIT_API_KEYS", "Secret Manager"},
		{"a job without a bucket", "model: m.onnx\nbatch: {input: rows/, output: scores/}\ntargets: {cloudrun: {job: {}}}\n", "", "want a place in a bucket", "gs://BUCKET/rows/"},
		{"a small job", "model: m.onnx\nbatch: {input: \"gs://lake/a/\", output: \"gs://lake/b/\"}\ntargets: {cloudrun: {cpu: 500m, memory: 1GiB, job: {}}}\n", "", "want at least one CPU", ""},
		{"a stream", "model: m.onnx\nbatch: {input: rows/, output: scores/}\ntriggers: [stream]\ntargets: {cloudrun: {}}\n", "", "want objects, queue or topic", "topic of queue"},
		{"events", "model: m.onnx\nbatch: {input: rows/, output: scores/}\ntriggers: [events]\ntargets: {cloudrun: {}}\n", "", "want objects, queue or topic", "topic of queue"},
		{"answers without a place", "model: m.onnx\nbatch: {input: rows/, output: scores/}\ntriggers: [queue]\ntargets: {cloudrun: {}}\n", "", "answers to messages", "gs://BUCKET/scores/"},
		{"another cloud's bucket", "model: m.onnx\nbatch: {input: \"s3://lake/a/\", output: scores/}\ntriggers: [objects]\ntargets: {cloudrun: {}}\n", "", "want gs://", "Cloud Storage"},
		{"a bad bucket", "model: m.onnx\nbatch: {input: \"gs://La$ke/a/\", output: scores/}\ntriggers: [objects]\ntargets: {cloudrun: {}}\n", "", "want a bucket's name", ""},
		{"keys that deliveries lack", "model: m.onnx\nauth: key\nbatch: {input: rows/, output: \"gs://scored/\"}\ntriggers: [queue]\ntargets: {cloudrun: {secrets: {GODWIT_API_KEYS: k}}}\n", "", "Pub/Sub has no key", "push"},
		{"parts that go elsewhere", "model: m.onnx\nbatch: {input: rows/, output: \"gs://scored/\", split: {queue: \"https://sqs.eu-west-1.amazonaws.com/1/q\"}}\ntriggers: [queue]\ntargets: {cloudrun: {}}\n", "", "want https://pubsub.googleapis.com", ""},
		{"parts without a queue", "model: m.onnx\nbatch: {input: rows/, output: \"gs://scored/\", split: {queue: \"https://pubsub.googleapis.com/projects/acme/topics/parts\"}}\ntriggers: [topic]\ntargets: {cloudrun: {}}\n", "", "want queue", "Add queue"},
		{"a gateway without the issuer's keys", "model: m.onnx\nauth: {jwt: {issuer: https://i.example.com/, audience: [a]}}\ntargets: {cloudrun: {gateway: {}}}\n", "", "want the URL of the issuer's keys", "openid-configuration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := deployment(t, c.yaml)
			d.ModelBytes = 600 << 20
			switch c.image {
			case "":
			case "-":
				d.Image = ""
			default:
				d.Image = c.image
			}
			_, err := google.RenderCloudRun(d)
			refused(t, err, c.want, c.hint)
		})
	}
	for _, c := range []struct {
		name, yaml, want, hint string
	}{
		{"no target", "model: m.onnx\n", "want a target vertexai", "Add targets"},
		{"keys", "model: m.onnx\nauth: key\ntargets: {vertexai: {}}\n", "passes no key on", "auth: platform"},
		{"secrets", "model: m.onnx\ntargets: {vertexai: {secrets: {A: b}}}\n", "want none", "service account"},
		{"triggers", "model: m.onnx\nbatch: {input: rows/, output: scores/}\ntriggers: [queue]\ntargets: {vertexai: {}}\n", "delivers no events", "Cloud Run"},
		{"memory below the model", "model: m.onnx\ntargets: {vertexai: {machineType: n1-highcpu-2}}\n", "want a machine with more memory", ""},
		{"a network by its name", "model: m.onnx\ntargets: {vertexai: {network: models}}\n", "want projects/NUMBER/global/networks/NAME", "projectNumber"},
		{"a network and a dedicated endpoint", "model: m.onnx\ntargets: {vertexai: {dedicatedEndpoint: true, network: projects/1/global/networks/n}}\n", "got both", ""},
		{"a time that is not to be chosen", "model: m.onnx\ntargets: {vertexai: {timeout: 30s}}\n", "want 60s", "dedicatedEndpoint"},
	} {
		t.Run("Vertex AI "+c.name, func(t *testing.T) {
			d := deployment(t, c.yaml)
			d.ModelBytes = 2 << 30
			_, err := google.RenderVertexAI(d)
			refused(t, err, c.want, c.hint)
		})
	}
}

func refused(t *testing.T, err error, want, hint string) {
	t.Helper()
	code := fault.CodeOf(err)
	if err == nil || code != fault.BadConfig && code != fault.Unsupported || !strings.Contains(err.Error(), want) || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("want a coded %q with hint %q, got %v %v, hint %q", want, hint, code, err, fault.HintOf(err))
	}
}

// Names of accounts have 6 to 30 letters, whatever the function's has.
func TestAccountsHaveNamesThatGoogleTakes(t *testing.T) {
	id := regexp.MustCompile(`service-accounts create ([a-z][a-z0-9-]{4,28}[a-z0-9]) `)
	seen := map[string]bool{}
	for _, name := range []string{"m", "fraud", strings.Repeat("a", 49), strings.Repeat("a", 48) + "b", "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r"} {
		d := deployment(t, "model: m.onnx\nname: "+name+"\nbatch: {input: rows/, output: \"gs://scored/\"}\ntriggers: [queue]\ntargets: {cloudrun: {}, vertexai: {}}\n")
		d.Spec.Triggers = []string{"queue"}
		text := files(t, d)["deploy.sh"]
		d.Spec.Triggers = nil
		text += vertexFiles(t, d)["deploy.sh"]
		all := id.FindAllStringSubmatch(text, -1)
		if len(all) != 3 {
			t.Errorf("%s: want three accounts, got %q", name, all)
		}
		for _, m := range all {
			if seen[m[1]] {
				t.Errorf("%s has another function's account %s", name, m[1])
			}
			seen[m[1]] = true
		}
	}
}

func TestCommandsHaveNothingToFillIn(t *testing.T) {
	d := on(t, "")
	want := []render.Command{{Args: []string{"bash", "deploy.sh"}, Why: "makes what is missing on Google Cloud by gcloud, and brings the rest up to date"}}
	if diff := cmp.Diff(want, google.Commands(d)); diff != "" {
		t.Error(diff)
	}
	if _, ok := files(t, d)[google.Commands(d)[0].Args[1]]; !ok {
		t.Error("the script is not among the files")
	}
}
