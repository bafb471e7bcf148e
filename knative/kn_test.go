package knative_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/knative"
)

// knService is the Service that kn makes of the line, read from kn's own
// reference: what each flag sets.
func knService(t testing.TB, d *render.Deployment) map[string]any {
	t.Helper()
	w := rendertest.Words(t, knative.KnLine(d))
	if strings.Join(w[:3], " ") != "kn service create" {
		t.Fatalf("line %q", w)
	}
	type object = map[string]any
	labels, annotations := object{}, object{}
	podLabels, podAnnotations := object{}, object{}
	limits, requests := object{}, object{}
	container := object{"resources": object{"limits": limits, "requests": requests}}
	pod := object{"containers": []any{container}}
	meta := object{"name": w[3], "labels": labels}
	templateMeta := object{"labels": podLabels, "annotations": podAnnotations}
	var env, mounts, volumes []any
	for i := 4; i < len(w); i++ {
		flag := w[i]
		if flag == "--cluster-local" {
			labels["networking.knative.dev/visibility"] = "cluster-local"
			continue
		}
		i++
		if i == len(w) {
			t.Fatalf("%s has no value", flag)
		}
		v := w[i]
		name, to, _ := strings.Cut(v, "=")
		probe := func() object {
			p := strings.SplitN(v, ":", 4)
			if len(p) != 4 || p[0] != "http" || p[1] != "" {
				t.Fatalf("probe %q", v)
			}
			return object{"httpGet": object{"port": number(t, p[2]), "path": p[3]}}
		}
		sizes := func(into object) {
			for one := range strings.SplitSeq(v, ",") {
				name, to, _ := strings.Cut(one, "=")
				into[name] = to
			}
		}
		switch flag {
		case "--namespace":
			meta["namespace"] = v
		case "--image":
			container["image"] = v
		case "--port":
			name, at, _ := strings.Cut(v, ":")
			container["ports"] = []any{object{"name": name, "containerPort": number(t, at)}}
		case "--env":
			env = append(env, object{"name": name, "value": to})
		case "--env-value-from":
			p := strings.Split(to, ":")
			if len(p) != 3 || p[0] != "secret" {
				t.Fatalf("from %q", to)
			}
			env = append(env, object{"name": name, "valueFrom": object{"secretKeyRef": object{"name": p[1], "key": p[2]}}})
		case "--request":
			sizes(requests)
		case "--limit":
			sizes(limits)
		case "--concurrency-limit":
			pod["containerConcurrency"] = number(t, v)
		case "--timeout":
			pod["timeoutSeconds"] = number(t, v)
		case "--label-service":
			labels[name] = to
		case "--label-revision":
			podLabels[name] = to
		case "--annotation-service":
			annotations[name] = to
		case "--annotation-revision":
			podAnnotations[name] = to
		case "--scale-metric", "--scale-utilization", "--scale-min", "--scale-max", "--scale-init", "--scale-activation", "--scale-window":
			of := map[string]string{"utilization": "target-utilization-percentage", "min": "min-scale", "max": "max-scale", "init": "initial-scale", "activation": "activation-scale"}
			name := strings.TrimPrefix(flag, "--scale-")
			if of[name] != "" {
				name = of[name]
			}
			podAnnotations["autoscaling.knative.dev/"+name] = v
		case "--node-selector":
			if pod["nodeSelector"] == nil {
				pod["nodeSelector"] = object{}
			}
			pod["nodeSelector"].(object)[name] = to
		case "--revision-name":
			templateMeta["name"] = v
		case "--service-account":
			pod["serviceAccountName"] = v
		case "--probe-readiness":
			container["readinessProbe"] = probe()
		case "--probe-liveness":
			container["livenessProbe"] = probe()
		case "--probe-liveness-opts":
			for one := range strings.SplitSeq(v, ",") {
				name, to, _ := strings.Cut(one, "=")
				container["livenessProbe"].(object)[name] = number(t, to)
			}
		case "--security-context":
			if v != "strict" {
				t.Fatalf("security context %q", v)
			}
			container["securityContext"] = object{"runAsNonRoot": true, "allowPrivilegeEscalation": false,
				"capabilities": object{"drop": []any{"ALL"}}, "seccompProfile": object{"type": "RuntimeDefault"}}
		case "--user":
			container["securityContext"].(object)["runAsUser"] = number(t, v)
		case "--volume":
			if kind, of, _ := strings.Cut(to, ":"); kind == "ed" {
				volumes = append(volumes, object{"name": name, "emptyDir": object{}})
			} else if kind == "pvc" {
				volumes = append(volumes, object{"name": name, "persistentVolumeClaim": object{"claimName": of}})
			} else if kind == "cm" {
				volumes = append(volumes, object{"name": name, "configMap": object{"name": of}})
			} else {
				t.Fatalf("volume %q", v)
			}
		case "--mount":
			mount := object{"mountPath": name, "name": to}
			of := slices.IndexFunc(volumes, func(v any) bool { return v.(object)["name"] == to })
			if of < 0 {
				t.Fatalf("mount %q of no volume: kn takes one with more words for a kind of volume", v)
			}
			if volumes[of].(object)["configMap"] != nil {
				mount["readOnly"] = true // kn's own default for what cannot be written
			}
			mounts = append(mounts, mount)
		default:
			t.Fatalf("unknown flag %q", flag)
		}
	}
	container["env"], container["volumeMounts"], pod["volumes"] = env, mounts, volumes
	if len(annotations) > 0 {
		meta["annotations"] = annotations
	}
	return object{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": meta,
		"spec": object{"template": object{"metadata": templateMeta, "spec": pod}}}
}

func number(t testing.TB, s string) any {
	t.Helper()
	return rendertest.Decoded(t, s)
}

// The line and the files make the same Service, key by key, but for what kn is
// said not to have a flag for; and that is really there.
func TestKnLineEqualsTheFiles(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			d := deployment(t, text(t, v.name, v.yaml))
			want := applied(t, d)
			if d.Spec.Targets.Knative.Traffic != nil {
				// Knative fills them in for kn; files without them could be applied only once.
				for _, path := range []string{"name", "readinessProbe.successThreshold"} {
					if !without(want, strings.Split("spec.template.spec.containers.0."+path, ".")) {
						t.Errorf("%s is not in the files", path)
					}
				}
			}
			for _, path := range knative.KnCannot(d) {
				if !without(want, strings.Split(strings.NewReplacer("[", ".", "]", "").Replace(path), ".")) {
					t.Errorf("%s is not in the files", path)
				}
			}
			if diff := cmp.Diff(want, knService(t, d)); diff != "" {
				t.Errorf("(-files +kn):\n%s", diff)
			}
			if readme := files(t, d)["README.md"]; !strings.Contains(readme, strings.ReplaceAll(knative.KnLine(d), "\n", "\n    ")) {
				t.Error("the line is not in the README")
			}
		})
	}
}

// without takes what is at steps out of v, the last one of a list, and reports
// whether it was there.
func without(v any, steps []string) bool {
	last := len(steps) - 1
	at := rendertest.Within(v, steps[:last]...)
	if l, ok := at.([]any); ok {
		i, err := strconv.Atoi(steps[last])
		if err != nil || i != len(l)-1 {
			return false
		}
		rendertest.Within(v, steps[:last-1]...).(map[string]any)[steps[last-1]] = l[:i]
		return true
	}
	m, ok := at.(map[string]any)
	_, there := m[steps[last]]
	if ok {
		delete(m, steps[last])
	}
	return ok && there
}

// The second line, which shares the traffic, does it as the files do.
func TestKnTrafficEqualsTheFiles(t *testing.T) {
	for _, keys := range []string{"", "traffic: {}", "traffic: {stable: m-1}", "traffic: {stable: m-1, canary: 20%}", "gpu: 1, cluster: gke, traffic: {stable: m-1, canary: 100%}"} {
		d := on(t, keys)
		line := knative.KnTraffic(d)
		if keys == "" {
			if line != "" || rendertest.Within(applied(t, d), "spec", "traffic") != nil {
				t.Errorf("traffic without being asked for: %q", line)
			}
			continue
		}
		w := rendertest.Words(t, line)
		if got := strings.Join(w[:6], " "); got != "kn service update m --namespace default" {
			t.Errorf("line %q", got)
		}
		var got []any
		for i := 6; i+3 < len(w); i += 4 {
			name, percent, _ := strings.Cut(w[i+1], "=")
			of, tag, _ := strings.Cut(w[i+3], "=")
			if w[i] != "--traffic" || w[i+2] != "--tag" || of != name {
				t.Fatalf("words %q", w[i:i+4])
			}
			got = append(got, map[string]any{"revisionName": name, "percent": number(t, percent), "tag": tag, "latestRevision": false})
		}
		service := applied(t, d)
		if diff := cmp.Diff(rendertest.Within(service, "spec", "traffic"), any(got)); diff != "" {
			t.Errorf("%s (-files +kn):\n%s", keys, diff)
		}
		if name := rendertest.Within(service, "spec", "template", "metadata", "name"); name != knative.RevisionName(d) || name != rendertest.Within(got[len(got)-1], "revisionName") {
			t.Errorf("%s: the revision is %v, %s is meant, and the traffic goes to %v", keys, name, knative.RevisionName(d), got)
		}
	}
}
