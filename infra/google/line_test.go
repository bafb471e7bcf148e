package google_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/google"
	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
)

// pairs reads gcloud's NAME=VALUE,… as `gcloud topic escaping` says.
func pairs(text string) map[string]string {
	by := ","
	if rest, ok := strings.CutPrefix(text, "^"); ok {
		by, text, _ = strings.Cut(rest, "^")
	}
	all := map[string]string{}
	for one := range strings.SplitSeq(text, by) {
		name, value, _ := strings.Cut(one, "=")
		all[name] = value
	}
	return all
}

// whole is text as a number where it is one.
func whole(text string) any {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	return text
}

// said is the Service that gcloud makes of line.
func said(t *testing.T, line string) map[string]any {
	t.Helper()
	all := rendertest.Words(t, strings.NewReplacer("$PROJECT", "PROJECT_ID").Replace(line))
	if got := all[:3]; !cmp.Equal(got, []string{"gcloud", "run", "deploy"}) {
		t.Fatalf("want gcloud run deploy, got %q", got)
	}
	c := map[string]any{}
	limits := map[string]any{}
	port := map[string]any{}
	about, service, rev := map[string]any{}, map[string]any{}, map[string]any{}
	labels := map[string]any{}
	network := map[string]string{}
	env := []any{}
	probe := func(text string) map[string]any {
		p := map[string]any{}
		for k, v := range pairs(text) {
			if of, key, ok := strings.Cut(k, "."); ok {
				if p[of] == nil {
					p[of] = map[string]any{}
				}
				p[of].(map[string]any)[key] = whole(v)
			} else {
				p[k] = whole(v)
			}
		}
		return p
	}
	for i := 4; i < len(all); i++ {
		flag, value := all[i], ""
		if i+1 < len(all) && !strings.HasPrefix(all[i+1], "--") {
			i++
			value = all[i]
		}
		switch flag {
		case "--region", "--no-allow-unauthenticated", "--invoker-iam-check":
		case "--image":
			c["image"] = value
		case "--description":
			service["run.googleapis.com/description"] = value
		case "--labels":
			for k, v := range pairs(value) {
				labels[k] = v
			}
		case "--service-account":
			rev["serviceAccountName"] = value
		case "--port":
			port["containerPort"] = whole(value)
		case "--use-http2":
			port["name"] = "h2c"
		case "--no-use-http2":
			port["name"] = "http1"
		case "--set-env-vars":
			for k, v := range pairs(value) {
				env = append(env, map[string]any{"name": k, "value": v})
			}
		case "--set-secrets":
			for k, v := range pairs(value) {
				name, version, _ := strings.Cut(v, ":")
				env = append(env, map[string]any{"name": k, "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": name, "key": version}}})
			}
		case "--cpu":
			limits["cpu"] = value
		case "--memory":
			limits["memory"] = value
		case "--gpu":
			limits["nvidia.com/gpu"] = value
		case "--gpu-type":
			rev["nodeSelector"] = map[string]any{"run.googleapis.com/accelerator": value}
		case "--gpu-zonal-redundancy":
			about["run.googleapis.com/gpu-zonal-redundancy-disabled"] = "false"
		case "--no-gpu-zonal-redundancy":
			about["run.googleapis.com/gpu-zonal-redundancy-disabled"] = "true"
		case "--min":
			service["run.googleapis.com/minScale"] = value
		case "--max":
			service["run.googleapis.com/maxScale"] = value
		case "--max-instances":
			about["autoscaling.knative.dev/maxScale"] = value
		case "--concurrency":
			rev["containerConcurrency"] = whole(value)
		case "--timeout":
			rev["timeoutSeconds"] = whole(value)
		case "--cpu-throttling":
			about["run.googleapis.com/cpu-throttling"] = "true"
		case "--no-cpu-throttling":
			about["run.googleapis.com/cpu-throttling"] = "false"
		case "--cpu-boost":
			about["run.googleapis.com/startup-cpu-boost"] = "true"
		case "--execution-environment":
			about["run.googleapis.com/execution-environment"] = value
		case "--ingress":
			service["run.googleapis.com/ingress"] = value
		case "--network":
			network["network"] = value
		case "--subnet":
			network["subnetwork"] = value
		case "--vpc-egress":
			about["run.googleapis.com/vpc-access-egress"] = value
		case "--key":
			about["run.googleapis.com/encryption-key"] = value
		case "--startup-probe":
			c["startupProbe"] = probe(value)
		case "--liveness-probe":
			c["livenessProbe"] = probe(value)
		case "--no-invoker-iam-check":
			service["run.googleapis.com/invoker-iam-disabled"] = "true"
		default:
			t.Errorf("what is %s %q?", flag, value)
		}
	}
	if len(network) > 0 {
		about["run.googleapis.com/network-interfaces"] = []any{network}
	}
	c["ports"], c["env"], c["resources"] = []any{port}, env, map[string]any{"limits": limits}
	rev["containers"] = []any{c}
	return map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"name": all[3], "labels": labels, "annotations": service},
		"spec": map[string]any{
			"template": map[string]any{"metadata": map[string]any{"labels": labels, "annotations": about}, "spec": rev},
			"traffic":  []any{map[string]any{"latestRevision": true, "percent": uint64(100)}},
		},
	}
}

// written is service.yaml in the same form: lists of variables without order,
// JSON within an annotation read.
func written(t *testing.T, d *render.Deployment) map[string]any {
	t.Helper()
	m := decoded(t, files(t, d)["service.yaml"])
	about := rendertest.Within(m, "spec", "template", "metadata", "annotations").(map[string]any)
	if text, ok := about["run.googleapis.com/network-interfaces"].(string); ok {
		var all []map[string]string
		if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 {
			t.Fatalf("network-interfaces %q: %v", text, err)
		}
		about["run.googleapis.com/network-interfaces"] = []any{all[0]}
	}
	return m
}

var unordered = cmp.Transformer("env", func(m map[string]any) map[string]any {
	all, ok := m["env"].([]any)
	if !ok {
		return m
	}
	next := map[string]any{}
	for k, v := range m {
		next[k] = v
	}
	byName := map[string]any{}
	for _, one := range all {
		byName[one.(map[string]any)["name"].(string)] = one
	}
	next["env"] = byName
	return next
})

func TestLineAndFileAreTheSameService(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := variant(t, v.name, v.yaml)
			if diff := cmp.Diff(written(t, d), said(t, google.CloudRunLine(d)), unordered); diff != "" {
				t.Errorf("service.yaml and gcloud's line (-file +line)\n%s", diff)
			}
		})
	}
}
