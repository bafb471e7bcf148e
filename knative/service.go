package knative

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// What fn-server listens on and answers probes at; the same as kn is told.
const (
	port  = 8080
	live  = "/v2/health/live"
	ready = "/v2/health/ready"
	// user is who the image runs as, by number: a kubelet cannot tell from a
	// name that it is not root.
	user = 65532
	// modelsAt is where a claim with models is mounted, with the rest of the function.
	modelsAt = "/models"
)

// A pair is one name and value; pairs are kept in the order they are written.
type pair struct{ name, value, note string }

func service(d *render.Deployment) mapping {
	t := d.Spec.Targets.Knative
	var meta mapping
	meta.add("name", d.Spec.Name)
	labels := mapping{{"app.kubernetes.io/name", d.Spec.Name, ""}}
	if t.Visibility == "cluster-local" {
		labels.add("networking.knative.dev/visibility", t.Visibility, "No route from outside of the cluster; every pod inside still is a caller.")
	}
	meta.add("labels", labels)
	if a := serviceAnnotations(t); len(a) > 0 {
		meta.add("annotations", fieldsOf(a))
	}
	templateMeta := mapping{{"labels", fieldsOf(podLabels(d)), ""}, {"annotations", fieldsOf(revisionAnnotations(t)), ""}}
	return mapping{
		{"apiVersion", "serving.knative.dev/v1", ""},
		{"kind", "Service", ""},
		{"metadata", meta, ""},
		{"spec", mapping{{"template", mapping{
			{"metadata", templateMeta, ""},
			{"spec", revision(d), ""},
		}, ""}}, ""},
	}
}

func revision(d *render.Deployment) mapping {
	t := d.Spec.Targets.Knative
	var m mapping
	if t.Concurrency == 0 {
		m.add("containerConcurrency", 0, "The function's own queue bounds what runs at a time.")
	} else {
		m.add("containerConcurrency", t.Concurrency, "More requests wait in front of the pod.")
	}
	m.add("timeoutSeconds", seconds(t.Timeout), "For one request, and for draining after SIGTERM.")
	if t.ServiceAccount != "" {
		m.add("serviceAccountName", t.ServiceAccount)
	}
	m.add("automountServiceAccountToken", false, "The function does not speak to Kubernetes.")
	m.add("containers", list{container(d)})
	volumes := list{mapping{{"name", "tmp", ""}, {"emptyDir", mapping{}, ""}}}
	if t.ModelClaim != "" {
		volumes = append(volumes, mapping{
			{"name", "models", needs("kubernetes.podspec-persistent-volume-claim")},
			{"persistentVolumeClaim", mapping{{"claimName", t.ModelClaim, ""}, {"readOnly", true, ""}}, ""},
		})
	}
	m.add("volumes", volumes)
	return m
}

func container(d *render.Deployment) mapping {
	t := d.Spec.Targets.Knative
	c := mapping{{"image", d.Image, ""}}
	c.add("ports", list{mapping{
		{"name", "h2c", "HTTP/2 without TLS, which gRPC needs. REST comes over it as well."},
		{"containerPort", port, ""},
	}})
	c.add("env", env(d))
	size := mapping{{"cpu", cpus(t.CPU), ""}, {"memory", quantity(t.Memory), ""}}
	c.add("resources", mapping{{"requests", size, ""}, {"limits", size, ""}},
		"Requested is what is limited: the engine sizes its threads by the CPU limit,", "and memory that is promised twice ends in a killed pod.")
	c.add("readinessProbe", mapping{{"httpGet", get(ready), ""}},
		"Answered when every model is loaded. Without a period queue-proxy asks all the", "time, so that a pod that starts is used within milliseconds.")
	c.add("livenessProbe", mapping{
		{"httpGet", get(live), ""},
		{"initialDelaySeconds", seconds(t.ProgressDeadline), ""},
		{"periodSeconds", livePeriod, ""}, {"timeoutSeconds", liveTimeout, ""}, {"failureThreshold", liveFailures, ""},
	}, "The port opens when the models are loaded: until a revision has to be ready,", "nobody restarts it for being slow.")
	c.add("securityContext", mapping{
		{"runAsNonRoot", true, ""},
		{"runAsUser", user, ""},
		{"allowPrivilegeEscalation", false, ""},
		{"readOnlyRootFilesystem", true, ""},
		{"capabilities", mapping{{"drop", list{"ALL"}, ""}}, ""},
		{"seccompProfile", mapping{{"type", "RuntimeDefault", ""}}, ""},
	}, "What the Pod Security Standard \"restricted\" asks for, and a root that cannot be written.")
	mounts := list{mapping{{"name", "tmp", ""}, {"mountPath", "/tmp", ""}}}
	if t.ModelClaim != "" {
		mounts = append(mounts, mapping{{"name", "models", ""}, {"mountPath", modelsAt, ""}, {"readOnly", true, ""}})
	}
	c.add("volumeMounts", mounts)
	return c
}

const livePeriod, liveTimeout, liveFailures = 10, 5, 3

func get(path string) mapping { return mapping{{"path", path, ""}, {"port", port, ""}} }

// env is the container's variables: ours, the spec's, and those from secrets.
func env(d *render.Deployment) (all list) {
	for _, v := range variables(d) {
		all = append(all, mapping{{"name", v.name, v.note}, {"value", v.value, ""}})
	}
	for _, s := range secrets(d.Spec.Targets.Knative) {
		all = append(all, mapping{{"name", s.variable, ""}, {"valueFrom", mapping{
			{"secretKeyRef", mapping{{"name", s.secret, ""}, {"key", s.key, ""}}, ""},
		}, ""}})
	}
	return all
}

func variables(d *render.Deployment) []pair {
	t := d.Spec.Targets.Knative
	all := []pair{{"GODWIT_TARGET", "knative", ""}}
	if t.ModelClaim != "" {
		all = append(all, pair{"GODWIT_FUNCTION", modelsAt, "The claim holds the function's folder: godwit.yaml and the models it names."})
	}
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		all = append(all, pair{name, literal(t.Env[name]), ""})
	}
	return all
}

// literal keeps Kubernetes from filling in $(NAME).
func literal(s string) string {
	if strings.Contains(s, "$(") || strings.Contains(s, "$$") {
		return strings.ReplaceAll(s, "$", "$$")
	}
	return s
}

// A secret is a variable from one key of a Secret.
type secret struct{ variable, secret, key string }

// secrets reads NAME/KEY, and NAME for the key that is called as the variable is.
func secrets(t *spec.Knative) (all []secret) {
	for _, variable := range slices.Sorted(maps.Keys(t.Secrets)) {
		name, key, ok := strings.Cut(t.Secrets[variable], "/")
		if !ok {
			key = variable
		}
		all = append(all, secret{variable, name, key})
	}
	return all
}

func podLabels(d *render.Deployment) []pair {
	all := []pair{{"app.kubernetes.io/name", d.Spec.Name, ""}}
	if d.Spec.Targets.Knative.Mesh == "istio" {
		all = append(all, pair{"sidecar.istio.io/inject", "true", "Istio checks callers: docs/knative.md says what it needs for that."})
	}
	return all
}

func serviceAnnotations(t *spec.Knative) (all []pair) {
	if t.RolloutDuration > 0 {
		all = append(all, pair{"serving.knative.dev/rollout-duration", inSeconds(t.RolloutDuration), "A new revision gets its traffic little by little."})
	}
	return all
}

// revisionAnnotations is what the autoscaler is told. What godwit.yaml leaves to
// the cluster is not there.
func revisionAnnotations(t *spec.Knative) (all []pair) {
	scaling := func(name, value, note string) {
		all = append(all, pair{"autoscaling.knative.dev/" + name, value, note})
	}
	whole := func(name string, n int, note string) {
		if n != 0 {
			scaling(name, strconv.Itoa(n), note)
		}
	}
	lasting := func(name string, d spec.Duration, note string) {
		if d != 0 {
			scaling(name, inSeconds(d), note)
		}
	}
	scaling("class", t.Class+".autoscaling.knative.dev", "")
	scaling("metric", t.Metric, "")
	if t.Target != 0 {
		scaling("target", strconv.FormatFloat(t.Target, 'f', -1, 64), "")
	}
	whole("target-utilization-percentage", int(t.TargetUtilization), "")
	switch {
	case t.MinScale > 0:
		scaling("min-scale", strconv.Itoa(t.MinScale), "")
	case t.Class == "kpa": // Kubernetes' own never goes to zero
		scaling("min-scale", "0", "Nothing runs, and nothing is paid for, while nobody asks.")
	}
	if t.MaxScale == 0 {
		scaling("max-scale", "0", "Without limit.")
	} else {
		scaling("max-scale", strconv.Itoa(t.MaxScale), "")
	}
	whole("initial-scale", t.InitialScale, "")
	whole("activation-scale", t.ActivationScale, "")
	lasting("window", t.Window, "")
	whole("panic-window-percentage", int(t.PanicWindow), "")
	whole("panic-threshold-percentage", int(t.PanicThreshold), "")
	lasting("scale-down-delay", t.ScaleDownDelay, "")
	lasting("scale-to-zero-pod-retention-period", t.ScaleToZeroPodRetention, "")
	note := ""
	if t.GPU > 0 {
		note = "A node with a GPU takes minutes to come, and the image minutes to be there."
	}
	all = append(all, pair{"serving.knative.dev/progress-deadline", inSeconds(t.ProgressDeadline), note})
	if t.Mesh == "linkerd" {
		all = append(all, pair{"linkerd.io/inject", "enabled", "Linkerd checks callers: docs/knative.md says what it needs for that."})
	}
	return all
}

func networkPolicy(d *render.Deployment) mapping {
	ports := list{}
	for _, p := range []struct {
		port int
		note string
	}{{8012, "requests"}, {8013, "requests over HTTP/2"}, {8112, "requests over TLS"}, {8022, "probes and draining"}, {9090, "what the autoscaler reads"}, {9091, "what Prometheus reads"}} {
		ports = append(ports, mapping{{"port", p.port, p.note}})
	}
	return mapping{
		{"apiVersion", "networking.k8s.io/v1", "Pods are reached through queue-proxy alone. Whoever could reach the function's own port\nwould get past the limit of requests at a time, and would not count as load."},
		{"kind", "NetworkPolicy", ""},
		{"metadata", mapping{{"name", d.Spec.Name, ""}, {"labels", mapping{{"app.kubernetes.io/name", d.Spec.Name, ""}}, ""}}, ""},
		{"spec", mapping{
			{"podSelector", mapping{{"matchLabels", mapping{{"serving.knative.dev/service", d.Spec.Name, ""}}, ""}}, ""},
			{"policyTypes", list{"Ingress"}, ""},
			{"ingress", list{mapping{{"ports", ports, "From anywhere: which pods the gateway and the activator are differs from cluster to cluster."}}}, ""},
		}, ""},
	}
}

func fieldsOf(all []pair) mapping {
	var m mapping
	for _, p := range all {
		m.add(p.name, p.value, p.note)
	}
	return m
}

// texts is a map in the order of its keys.
func texts(all map[string]string) mapping {
	var m mapping
	for _, k := range slices.Sorted(maps.Keys(all)) {
		m.add(k, all[k])
	}
	return m
}

func seconds(d spec.Duration) int { return int(time.Duration(d) / time.Second) }

func inSeconds(d spec.Duration) string { return fmt.Sprintf("%ds", seconds(d)) }

// cpus and quantity are Kubernetes' quantities, exactly.
func cpus(c spec.CPU) string {
	if c%1000 == 0 {
		return strconv.FormatInt(int64(c)/1000, 10)
	}
	return strconv.FormatInt(int64(c), 10) + "m"
}

func quantity(b spec.Bytes) string {
	for _, u := range []struct {
		size   spec.Bytes
		suffix string
	}{{spec.GiB, "Gi"}, {spec.MiB, "Mi"}, {spec.KiB, "Ki"}} {
		if b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
