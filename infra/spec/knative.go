package spec

// NoMeshHint is what to do about auth: platform on Knative without a mesh, which
// is refused where it is served or rendered: a spec that is served here, or on
// other targets, need not know of it.
const NoMeshHint = "Name the mesh under targets.knative (mesh: istio), have callers checked with auth: key or auth: jwt, or say auth: none if everybody may call."

// Knative is one Knative service, with Eventing for batch. Field names are the
// autoscaling annotations' and the revision's where they have one.
type Knative struct {
	Common
	Namespace                    string
	CPU                          CPU
	Memory                       Bytes
	GPU                          int      // nvidia.com/gpu of one pod; 0 is none
	MinScale, MaxScale           int      // MaxScale 0 is without limit
	InitialScale                 int      // 0 leaves it to the cluster
	ActivationScale              int      // pods when leaving zero; 0 leaves it to the cluster
	Concurrency                  int      // requests of one pod at a time; 0 is without limit
	Class                        string   // "kpa" or "hpa"
	Metric                       string   // kpa: "concurrency" or "rps"; hpa: "cpu" or "memory"
	Target                       float64  // of the metric for each pod; 0 leaves it to the cluster
	TargetUtilization            Percent  // 0 leaves it to the cluster
	Window                       Duration // of averages; 0 leaves it to the cluster
	PanicWindow                  Percent  // of the window; 0 leaves it to the cluster
	PanicThreshold               Percent  // of the target; 0 leaves it to the cluster
	ScaleDownDelay               Duration
	ScaleToZeroPodRetention      Duration
	Timeout                      Duration // of one request, and of draining
	ProgressDeadline             Duration // for a new revision to become ready
	RolloutDuration              Duration // over which traffic moves to a new revision; 0 is at once
	Visibility                   string   // "external" or "cluster-local"
	Mesh                         string   // what checks callers: "none", "istio", "linkerd" or "other"
	NodeSelector                 map[string]string
	RuntimeClass, ServiceAccount string
	// ModelClaim is the PersistentVolumeClaim that holds the models; "" has
	// them in the image.
	ModelClaim string
}

func (t *Knative) keys() []key {
	label := rule{what: "a Kubernetes label", typ: "name", pattern: `^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$`, max: 317}
	dns := rule{what: "a Kubernetes name of lower-case letters, digits, '-' and '.'", typ: "name", pattern: `^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`, max: 253}
	// Knative's own validation of annotations and revisions. What differs from
	// cluster to cluster is left to the cluster unless it is given.
	const cluster = "the cluster's"
	return append([]key{
		{name: "namespace", to: text(&t.Namespace, dns), doc: "The namespace.", why: "Kubernetes' own"},
		{name: "cpu", to: cpus(&t.CPU, 10, 1_024_000), doc: "CPUs of one pod, requested and limited.", why: "one run at a time"},
		{name: "memory", to: size(&t.Memory, 32*MiB, 24*TiB, 0), doc: "Memory of one pod, requested and limited.", why: "the runtime and a model of some 100MB"},
		{name: "gpu", to: integer(&t.GPU, 0, 16), doc: "GPUs of one pod (nvidia.com/gpu)."},
		{name: "minScale", to: integer(&t.MinScale, 0, 10000), doc: "Pods that are kept.", why: "nothing runs while nothing is asked"},
		{name: "maxScale", to: integer(&t.MaxScale, 0, 10000), doc: "The most pods; 0 is without limit.", why: "a bound on cost"},
		{name: "initialScale", to: integer(&t.InitialScale, 1, 10000), doc: "Pods of a new revision.", shown: cluster},
		{name: "activationScale", to: integer(&t.ActivationScale, 2, 10000), doc: "Pods when leaving zero.", shown: cluster},
		{name: "concurrency", to: integer(&t.Concurrency, 0, 1000), doc: "containerConcurrency: requests of one pod at a time; 0 is without limit.", why: "the function's own queue bounds it"},
		{name: "class", to: oneOf(&t.Class, "kpa", "hpa"), doc: "The autoscaler: Knative's own, or Kubernetes' without scale to zero.", why: "scales to zero"},
		{name: "metric", to: oneOf(&t.Metric, "concurrency", "rps", "cpu", "memory"), doc: "What is scaled on: concurrency or rps with kpa, cpu or memory with hpa.", why: "the class's own", shown: "`concurrency`, with hpa `cpu`"},
		{name: "target", to: decimal(&t.Target, 0.01), doc: "The metric's value for each pod (hpa: percent of CPU, MiB of memory).", shown: cluster},
		{name: "targetUtilization", to: percent(&t.TargetUtilization, 1, 100), doc: "The share of the target at which pods are added.", shown: cluster},
		{name: "window", to: duration(&t.Window, 6*second, 1*hour, second), doc: "The time that averages are taken over; with kpa.", shown: cluster},
		{name: "panicWindow", to: percent(&t.PanicWindow, 1, 100), doc: "The share of the window that a burst is seen in; with kpa.", shown: cluster},
		{name: "panicThreshold", to: percent(&t.PanicThreshold, 110, 1000), doc: "The share of the target that is a burst; with kpa.", shown: cluster},
		{name: "scaleDownDelay", to: duration(&t.ScaleDownDelay, 0, 1*hour, second), doc: "How long low load must last before pods go.", shown: cluster},
		{name: "scaleToZeroPodRetention", to: duration(&t.ScaleToZeroPodRetention, 0, 1*hour, second), doc: "How long the last pod stays at least.", shown: cluster},
		{name: "timeout", to: duration(&t.Timeout, 1*second, 10*minute, second), doc: "timeoutSeconds: the time for one request, and for draining.", why: "Knative's own"},
		{name: "progressDeadline", to: duration(&t.ProgressDeadline, 1*second, 24*hour, second), doc: "The time for a new revision to become ready.", why: "Knative's own; a node with a GPU takes longer to come", shown: "10m, with a GPU 20m"},
		{name: "rolloutDuration", to: duration(&t.RolloutDuration, 0, 24*hour, second), doc: "The time over which traffic moves to a new revision.", shown: "at once"},
		{name: "visibility", to: oneOf(&t.Visibility, "external", "cluster-local"), doc: "Whether there is a route from outside of the cluster.", why: "who may call is auth's"},
		{name: "mesh", to: oneOf(&t.Mesh, "none", "istio", "linkerd", "other"), doc: "The mesh or gateway that lets nobody reach a pod unchecked; Knative itself checks no callers. auth: platform needs one (docs/knative.md).", why: "not every cluster has one, and a wrong guess lets everybody in"},
		{name: "nodeSelector", to: textMap{p: &t.NodeSelector, key: label, value: label}, doc: "Labels of the nodes; needs the cluster's feature flag."},
		{name: "runtimeClass", to: text(&t.RuntimeClass, dns), doc: "The runtime class; needs the cluster's feature flag."},
		{name: "serviceAccount", to: text(&t.ServiceAccount, dns), doc: "The service account.", shown: "the namespace's"},
		{name: "modelClaim", to: text(&t.ModelClaim, dns), doc: "The PersistentVolumeClaim that holds the models; needs the cluster's feature flag.", shown: "the image holds them"},
	}, t.common()...)
}

func (t *Knative) setDefaults(d *defaults) {
	t.setProvider(d, t.GPU > 0)
	set(d, "namespace", &t.Namespace, "default")
	set(d, "cpu", &t.CPU, 1_000)
	set(d, "memory", &t.Memory, 1*GiB)
	set(d, "minScale", &t.MinScale, 0)
	set(d, "maxScale", &t.MaxScale, max(10, t.MinScale))
	set(d, "concurrency", &t.Concurrency, 0)
	set(d, "class", &t.Class, "kpa")
	set(d, "metric", &t.Metric, "concurrency")
	if t.Class == "hpa" {
		set(d, "metric", &t.Metric, "cpu")
	}
	set(d, "timeout", &t.Timeout, 300*second)
	set(d, "progressDeadline", &t.ProgressDeadline, 10*minute)
	if t.GPU > 0 {
		set(d, "progressDeadline", &t.ProgressDeadline, 20*minute)
	}
	set(d, "visibility", &t.Visibility, "external")
	set(d, "mesh", &t.Mesh, "none")
}

func (t *Knative) check(d *decoder, path string, _ *Spec) {
	t.checkCommon(d, path, t.GPU > 0, "gpu: 1")
	at := func(k string) (place, string) { p := join(path, k); return d.where(p), p }
	if kpa := t.Metric == "concurrency" || t.Metric == "rps"; kpa != (t.Class == "kpa") {
		at, p := at("metric")
		want := "concurrency or rps"
		if t.Class == "hpa" {
			want = "cpu or memory"
		}
		d.add(at, p, "", "want %s with class %s, got %s", want, t.Class, t.Metric)
	}
	if t.Class == "hpa" {
		d.only(path, "class kpa", "window", "panicWindow", "panicThreshold", "activationScale", "scaleToZeroPodRetention")
		if t.Metric == "cpu" && t.Target > 100 {
			at, p := at("target")
			d.add(at, p, "", "want at most 100, percent of the pod's CPU, got %v", t.Target)
		}
		if t.MinScale == 0 && d.at[join(path, "minScale")] != (place{}) {
			at, p := at("minScale")
			d.add(at, p, "Use class: kpa to go to zero.", "want at least 1 with class hpa, got 0")
		}
	}
	if t.MaxScale > 0 && t.MaxScale < t.MinScale {
		at, p := at("maxScale")
		d.add(at, p, "", "want at least minScale %d, got %d", t.MinScale, t.MaxScale)
	}
	if t.ActivationScale > 0 && (t.ActivationScale < t.MinScale || t.MaxScale > 0 && t.ActivationScale > t.MaxScale) {
		at, p := at("activationScale")
		d.add(at, p, "", "want minScale %d to maxScale %d, got %d", t.MinScale, t.MaxScale, t.ActivationScale)
	}
}
