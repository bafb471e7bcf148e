package spec

import "strings"

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
	// ModelClaim is the PersistentVolumeClaim that holds the models, and
	// ModelImage the OCI image; at most one is given. "" has them in the image.
	ModelClaim, ModelImage string
	ModelStorage           Bytes // of a claim that is made; 0: it is there
	FetchModels            bool  // models are fetched from their URLs at every start
	// Cluster chooses nodes, storage and identity: "any", "eks", "gke", "aks" or "k3s".
	Cluster  string
	Identity string // the cloud's, of the service account; "" is none
	Ingress  string // whose routes: "kourier", "istio", "contour", "gateway-api" or "traefik"; "" is the cluster's
	Store    string // what batch.input and batch.output are below; "" where they are whole URLs
	Traffic  *KnativeTraffic
	Events   *KnativeEvents
	Kafka    *KnativeKafka
	Job      *KnativeJob
	Monitor  *KnativeMonitor
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
		{name: "modelStorage", to: size(&t.ModelStorage, 1*MiB, 64*TiB, 0), doc: "The size of the claim, which is made; the cluster's overlay chooses the storage class.", shown: "the claim is there"},
		{name: "modelImage", to: text(&t.ModelImage, resource), doc: "The OCI image, by digest, whose root is the function's folder, mounted as a volume; needs the cluster's feature flag and Kubernetes 1.33.", shown: "the function's image holds them"},
		{name: "fetchModels", to: flag(&t.FetchModels), doc: "Fetch the models from their URLs at every start instead of having them in the image."},
		{name: "cluster", to: oneOf(&t.Cluster, "any", "eks", "gke", "aks", "k3s"), doc: "The kind of cluster: which overlay is applied, with its nodes, storage and identity. With any there are overlays for all.", why: "the base runs on all of them"},
		{name: "identity", to: text(&t.Identity, resource), doc: "The cloud's identity that the service account stands for: a role's ARN on EKS, a service account's e-mail on GKE, a client id on AKS.", shown: "none"},
		{name: "ingress", to: oneOf(&t.Ingress, "kourier", "istio", "contour", "gateway-api", "traefik"), doc: "Which of the cluster's ingresses routes to it.", shown: cluster},
		{name: "store", to: text(&t.Store, prefix), doc: "The prefix that a relative batch.input and batch.output are below, such as s3://lake.", shown: "the event's own bucket"},
		{name: "traffic", to: object[KnativeTraffic](&t.Traffic), doc: "Named revisions, and which share of requests the new one gets (docs/knative.md). {} is all of them."},
		{name: "events", to: object[KnativeEvents](&t.Events), doc: "How events are delivered; needs triggers."},
		{name: "kafka", to: object[KnativeKafka](&t.Kafka), doc: "The topics that the trigger stream reads."},
		{name: "job", to: object[KnativeJob](&t.Job), doc: "A job that scores all below batch.input; needs batch."},
		{name: "monitor", to: object[KnativeMonitor](&t.Monitor), doc: "A PodMonitor for the Prometheus operator."},
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
	set(d, "cluster", &t.Cluster, "any")
	if c := t.Traffic; c != nil {
		share := Percent(0)
		if c.Stable == "" {
			share = 100
		}
		set(d.at("traffic"), "canary", &c.Canary, share)
	}
	if e := t.Events; e != nil {
		d := d.at("events")
		set(d, "backoffPolicy", &e.BackoffPolicy, "exponential")
		set(d, "backoffDelay", &e.BackoffDelay, 1*second)
	}
	if k := t.Kafka; k != nil {
		d := d.at("kafka")
		set(d, "initialOffset", &k.InitialOffset, "latest")
		set(d, "consumers", &k.Consumers, 1)
	}
	if j := t.Job; j != nil {
		d := d.at("job")
		set(d, "tasks", &j.Tasks, 1)
		set(d, "parallelism", &j.Parallelism, j.Tasks)
		set(d, "maxRetries", &j.MaxRetries, 3)
	}
}

func (t *Knative) check(d *decoder, path string, s *Spec) {
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
	t.checkModels(d, at, s)
	if c := t.Traffic; c != nil {
		at, p := at("traffic.stable")
		if c.Stable == "" && c.Canary != 100 {
			d.add(at, p, "kubectl get revisions shows their names, and the rendered README this one's.", "want the revision that gets the other %d%%, got none", 100-c.Canary)
		}
		if name, ok := strings.CutPrefix(c.Stable, s.Name+"-"); c.Stable != "" && (!ok || name == "") {
			d.add(at, p, "", "want a revision of %s, whose name begins with %s, got %s", s.Name, quote(s.Name+"-"), quote(c.Stable))
		}
	}
	if j := t.Job; j != nil {
		if s.Batch == nil {
			at, p := at("job")
			d.add(at, p, "Add batch: {input: rows/, output: scores/}.", "a job scores what lies below batch.input, and there is no batch")
		}
		if j.Parallelism > j.Tasks {
			at, p := at("job.parallelism")
			d.add(at, p, "", "want at most tasks %d, got %d", j.Tasks, j.Parallelism)
		}
	}
	if k := t.Kafka; k != nil && k.TLS != nil && (k.TLS.Cert == "") != (k.TLS.Key == "") {
		at, p := at("kafka.tls")
		d.add(at, p, "", "want cert and key, or neither")
	}
	if e := t.Events; e != nil && e.Broker != "" && e.BrokerClass != "" {
		at, p := at("events.brokerClass")
		d.add(at, p, "Leave it out, or leave broker out.", "only for a Broker that is made, and %s is there already", quote(e.Broker))
	}
	if t.Store != "" && !remote(t.Store) {
		at, p := at("store")
		d.add(at, p, "", "want a URL such as s3://lake, got %s", quote(t.Store))
	}
	if t.Identity != "" && (t.Cluster == "any" || t.Cluster == "k3s") {
		at, p := at("identity")
		d.add(at, p, "Say cluster: eks, gke or aks.", "want a cluster whose service accounts stand for a cloud's identities, got %s", t.Cluster)
	}
}

// checkModels notes models that would be in two places, or in none.
func (t *Knative) checkModels(d *decoder, at func(string) (place, string), s *Spec) {
	if t.ModelClaim != "" && t.ModelImage != "" {
		at, p := at("modelImage")
		d.add(at, p, "", "want modelClaim or modelImage, got both")
	}
	if t.ModelStorage > 0 && t.ModelClaim == "" {
		at, p := at("modelStorage")
		d.add(at, p, "Add modelClaim: and a name.", "want the name of the claim that is made, got none")
	}
	if !t.FetchModels {
		return
	}
	where, p := at("fetchModels")
	if t.ModelClaim != "" || t.ModelImage != "" {
		d.add(where, p, "", "want models from one place, got fetchModels beside modelClaim or modelImage")
	}
	if s.Handler != "" {
		d.add(where, p, "Leave fetchModels out: the image holds the models.", "want no handler, whose folder is not there where models are fetched, got %s", quote(s.Handler))
	}
	for _, m := range s.Models {
		if !remote(m.Path) {
			d.add(where, p, "", "want models behind URLs, got %s", quote(m.Path))
			return
		}
	}
}
