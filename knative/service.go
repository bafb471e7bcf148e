package knative

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// A pair is one name and value; pairs are kept in the order they are written.
type pair struct{ name, value, note string }

func service(d *render.Deployment) render.Mapping {
	t := d.Spec.Targets.Knative
	var meta render.Mapping
	meta.Add("name", d.Spec.Name)
	labels := render.Mapping{{"app.kubernetes.io/name", d.Spec.Name}}
	if t.Visibility == "cluster-local" {
		labels.Add("networking.knative.dev/visibility", t.Visibility, "No route from outside of the cluster; every pod inside still is a caller.")
	}
	meta.Add("labels", labels)
	if a := serviceAnnotations(t); len(a) > 0 {
		meta.Add("annotations", fieldsOf(a))
	}
	spec := render.Mapping{{"template", template(d, "")}}
	if t.Traffic != nil {
		name := revisionName(d, nil)
		spec = render.Mapping{{"template", template(d, name)}, {"traffic", traffic(d, name)}}
	}
	return render.Mapping{
		{"apiVersion", "serving.knative.dev/v1"},
		{"kind", "Service"},
		{"metadata", meta},
		{"spec", spec},
	}
}

// template is the revision's; without a name Knative gives it one.
func template(d *render.Deployment, name string) render.Mapping {
	var meta render.Mapping
	if name != "" {
		meta.Add("name", name, "Made of all that the revision says, so that another revision has another name.")
	}
	meta.Add("labels", fieldsOf(podLabels(d)))
	meta.Add("annotations", fieldsOf(revisionAnnotations(d.Spec.Targets.Knative)))
	return render.Mapping{{"metadata", meta}, {"spec", revision(d)}}
}

func revision(d *render.Deployment) render.Mapping {
	t := d.Spec.Targets.Knative
	var m render.Mapping
	if t.Concurrency == 0 {
		m.Add("containerConcurrency", 0, "The function's own queue bounds what runs at a time.")
	} else {
		m.Add("containerConcurrency", t.Concurrency, "More requests wait in front of the pod.")
	}
	m.Add("timeoutSeconds", render.Seconds(t.Timeout), "For one request, and for draining after SIGTERM.")
	if a := account(d); a != "" {
		m.Add("serviceAccountName", a)
	}
	m.Add("automountServiceAccountToken", false, "The function does not speak to Kubernetes.")
	m.Add("containers", render.List{container(d)})
	m.Add("volumes", volumes(d, true))
	return m
}

// account is the service account; "" is the namespace's own.
func account(d *render.Deployment) string {
	t := d.Spec.Targets.Knative
	if t.ServiceAccount == "" && t.Identity != "" {
		return d.Spec.Name
	}
	return t.ServiceAccount
}

func container(d *render.Deployment) render.Mapping {
	t := d.Spec.Targets.Knative
	var c render.Mapping
	ready := render.Mapping{{"httpGet", get(render.Ready)}}
	if t.Traffic != nil {
		c.Add("name", "user-container", "This and successThreshold are what Knative would fill in, the first time alone where\na revision has a name: without them it could not be applied again.")
		ready.Add("successThreshold", 1)
	}
	c.Add("image", d.Image)
	c.Add("ports", render.List{render.Mapping{
		{"name", "h2c", "HTTP/2 without TLS, which gRPC needs. REST comes over it as well."},
		{"containerPort", render.Port},
	}})
	c.Add("env", env(d))
	c.Add("resources", resources(d),
		"Requested is what is limited: the engine sizes its threads by the CPU limit,", "and memory that is promised twice ends in a killed pod.")
	c.Add("readinessProbe", ready,
		"Answered when every model is loaded. Without a period queue-proxy asks all the", "time, so that a pod that starts is used within milliseconds.")
	c.Add("livenessProbe", render.Mapping{
		{"httpGet", get(render.Live)},
		{"initialDelaySeconds", render.Seconds(t.ProgressDeadline)},
		{"periodSeconds", livePeriod}, {"timeoutSeconds", liveTimeout}, {"failureThreshold", liveFailures},
	}, "The port opens when the models are loaded: until a revision has to be ready,", "nobody restarts it for being slow.")
	c.Add("securityContext", security(), "What the Pod Security Standard \"restricted\" asks for, and a root that cannot be written.")
	c.Add("volumeMounts", mounts(d))
	return c
}

func resources(d *render.Deployment) render.Mapping {
	t := d.Spec.Targets.Knative
	size := func() render.Mapping {
		return render.Mapping{{"cpu", render.CPUs(t.CPU)}, {"memory", render.Quantity(t.Memory)}}
	}
	return render.Mapping{{"requests", size()}, {"limits", size()}}
}

func security() render.Mapping {
	return render.Mapping{
		{"runAsNonRoot", true},
		{"runAsUser", render.User},
		{"allowPrivilegeEscalation", false},
		{"readOnlyRootFilesystem", true},
		{"capabilities", render.Mapping{{"drop", render.List{"ALL"}}}},
		{"seccompProfile", render.Mapping{{"type", "RuntimeDefault"}}},
	}
}

const livePeriod, liveTimeout, liveFailures = 10, 5, 3

func get(path string) render.Mapping { return render.Mapping{{"path", path}, {"port", render.Port}} }

// env is the container's variables: ours with more of them, the spec's, and those
// from secrets.
func env(d *render.Deployment, more ...pair) (all render.List) {
	for _, v := range append(variables(d), more...) {
		all = append(all, render.Mapping{{"name", v.name, v.note}, {"value", v.value}})
	}
	for _, s := range secrets(d.Spec.Targets.Knative) {
		all = append(all, render.Mapping{{"name", s.variable}, {"valueFrom", render.Mapping{
			{"secretKeyRef", render.Mapping{{"name", s.secret}, {"key", s.key}}},
		}}})
	}
	return all
}

func variables(d *render.Deployment) []pair {
	t := d.Spec.Targets.Knative
	all := []pair{{"GODWIT_TARGET", "knative", ""}}
	switch {
	case t.ModelClaim != "":
		all = append(all, pair{"GODWIT_FUNCTION", modelsAt, "The claim holds the function's folder: godwit.yaml and the models it names."})
	case t.ModelImage != "":
		all = append(all, pair{"GODWIT_FUNCTION", modelsAt, "The volume's image holds the function's folder: godwit.yaml and the models it names."})
	case t.FetchModels:
		all = append(all, pair{"GODWIT_FUNCTION", modelsAt, "godwit.yaml alone, which names the models' URLs."})
	}
	if t.Store != "" {
		all = append(all, pair{"GODWIT_INPUT", render.Literal(t.Store), "What prefixes of godwit.yaml are below."}, pair{"GODWIT_OUTPUT", render.Literal(t.Store), ""})
	}
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		all = append(all, pair{name, render.Literal(t.Env[name]), ""})
	}
	return all
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
	if t.Ingress != "" {
		all = append(all, pair{"networking.knative.dev/ingress.class", t.Ingress + ".ingress.networking.knative.dev", ""})
	}
	if t.RolloutDuration > 0 {
		all = append(all, pair{"serving.knative.dev/rollout-duration", render.InSeconds(t.RolloutDuration), "A new revision gets its traffic little by little."})
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
			scaling(name, render.InSeconds(d), note)
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
	all = append(all, pair{"serving.knative.dev/progress-deadline", render.InSeconds(t.ProgressDeadline), note})
	if t.Mesh == "linkerd" {
		all = append(all, pair{"linkerd.io/inject", "enabled", "Linkerd checks callers: docs/knative.md says what it needs for that."})
	}
	return all
}

func networkPolicy(d *render.Deployment) render.Mapping {
	ports := render.List{}
	for _, p := range []struct {
		port int
		note string
	}{{8012, "requests"}, {8013, "requests over HTTP/2"}, {8112, "requests over TLS"}, {8022, "probes and draining"}, {9090, "what the autoscaler reads"}, {9091, "what Prometheus reads"}} {
		ports = append(ports, render.Mapping{{"port", p.port, p.note}})
	}
	ingress := render.List{render.Mapping{{"ports", ports, "From anywhere: which pods the gateway and the activator are differs from cluster to cluster."}}}
	if m := d.Spec.Targets.Knative.Monitor; m != nil {
		ingress = append(ingress, render.Mapping{
			{"from", render.List{render.Mapping{{"namespaceSelector", render.Mapping{{"matchLabels", render.Mapping{{"kubernetes.io/metadata.name", m.Namespace}}}}}}}, "Prometheus reads the function's own metrics at its own port."},
			{"ports", render.List{render.Mapping{{"port", render.Port}}}},
		})
	}
	return render.Mapping{
		{"apiVersion", "networking.k8s.io/v1", "Pods are reached through queue-proxy alone. Whoever could reach the function's own port\nwould get past the limit of requests at a time, and would not count as load."},
		{"kind", "NetworkPolicy"},
		{"metadata", render.Mapping{{"name", d.Spec.Name}, {"labels", render.Mapping{{"app.kubernetes.io/name", d.Spec.Name}}}}},
		{"spec", render.Mapping{
			{"podSelector", render.Mapping{{"matchLabels", render.Mapping{{"serving.knative.dev/service", d.Spec.Name}}}}},
			{"policyTypes", render.List{"Ingress"}},
			{"ingress", ingress},
		}},
	}
}

func fieldsOf(all []pair) render.Mapping {
	var m render.Mapping
	for _, p := range all {
		m.Add(p.name, p.value, p.note)
	}
	return m
}
