package knative

import (
	"fmt"
	"slices"
	"strings"

	"godwit.dev/infra/render"
)

// An overlay is a folder below overlays: what one kind of cluster needs on top
// of the base, or of another overlay.
type overlay struct {
	name string
	on   string                                 // "" is the base
	ops  func(d *render.Deployment) render.List // of the revision
	// class is the storage class of the claim that is made, which many nodes read
	// at a time; "" leaves it to the cluster.
	class, why string
	// identity is the annotation of the service account, and label that of pods.
	identity, label string
}

const (
	podPath   = "/spec/template/spec"
	metaPath  = "/spec/template/metadata"
	gpuTaints = "Nodes with GPUs are kept free of all else by a taint.\n"
)

// clusters are the kinds of clusters that there is an overlay for, each on the
// one that says no more than CPU or GPU.
var clusters = []overlay{
	{name: "aks", ops: onAKS, class: "azurefile-csi-premium", why: "Azure Files, which many nodes mount at a time.",
		identity: "azure.workload.identity/client-id", label: "azure.workload.identity/use"},
	{name: "eks", ops: onEKS, class: "efs-sc", why: "EFS, which many nodes mount at a time: the class of the EFS CSI driver's own example.",
		identity: "eks.amazonaws.com/role-arn"},
	{name: "gke", ops: onGKE, class: "standard-rwx", why: "Filestore, which many nodes mount at a time; of 1Ti at least.",
		identity: "iam.gke.io/gcp-service-account"},
	{name: "k3s", ops: onK3s, class: "local-path", why: "A folder of the node."},
}

// generic is the overlay for every cluster: with or without GPUs.
func generic(d *render.Deployment) overlay {
	name := "cpu"
	if d.Spec.Targets.Knative.GPU > 0 {
		name = "gpu"
	}
	return overlay{name: name, ops: placement}
}

// overlays are those that are rendered: the generic one first, then the one of
// the cluster that godwit.yaml names, or those that have something to say.
func overlays(d *render.Deployment) []overlay {
	t := d.Spec.Targets.Knative
	all := []overlay{generic(d)}
	for _, c := range clusters {
		if t.Cluster == c.name || t.Cluster == "any" && (t.ModelStorage > 0 || len(c.ops(d)) > 0) {
			c.on = all[0].name
			all = append(all, c)
		}
	}
	return all
}

// overlayOf is the overlay that is applied.
func overlayOf(d *render.Deployment) overlay {
	all := overlays(d)
	if i := slices.IndexFunc(all, func(o overlay) bool { return o.name == d.Spec.Targets.Knative.Cluster }); i >= 0 {
		return all[i]
	}
	return all[0]
}

// Overlay is the folder to apply: overlays/cpu or overlays/gpu, or the one of
// the cluster that godwit.yaml names.
func Overlay(d *render.Deployment) string { return "overlays/" + overlayOf(d).name }

// own is what o says of the revision by itself.
func (o overlay) own(d *render.Deployment) render.List {
	ops := o.ops(d)
	if o.label != "" && d.Spec.Targets.Knative.Cluster == o.name && d.Spec.Targets.Knative.Identity != "" {
		ops = append(ops, add(metaPath+"/labels/"+pointer(o.label), "true", "The cluster's webhook mounts the identity's token in pods that say so."))
	}
	return ops
}

// all is what o and the one below it say of the revision.
func (o overlay) all(d *render.Deployment) render.List {
	ops := o.own(d)
	if o.on != "" {
		ops = append(generic(d).own(d), ops...)
	}
	return ops
}

// files are o's folder.
func (o overlay) files(d *render.Deployment) (files []render.File) {
	s, t := d.Spec, d.Spec.Targets.Knative
	on := "../../base"
	if o.on != "" {
		on = "../" + o.on
	}
	resources := render.List{on}
	var patches render.List
	file := func(name string, data []byte) {
		files = append(files, render.File{Path: "overlays/" + o.name + "/" + name, Data: data})
	}
	patch := func(name, kind, note string, ops render.List) {
		file(name, render.Document(ops))
		patches = append(patches, render.Mapping{{"path", name, note}, {"target", render.Mapping{{"kind", kind}, {"name", s.Name}}}})
	}
	ops := o.own(d)
	if n := len(ops); n > 0 {
		if t.Traffic != nil {
			name := revisionName(d, o.all(d))
			ops = append(ops, render.Mapping{{"op", "replace", "The name is made of all that the revision says."}, {"path", metaPath + "/name"}, {"value", name}})
			ops = append(ops, render.Mapping{{"op", "replace"}, {"path", fmt.Sprintf("/spec/traffic/%d/revisionName", len(traffic(d, name))-1)}, {"value", name}})
		}
		patch("nodes.yaml", "Service", "By JSON patch, as kustomize does not know how to merge the containers of a Knative Service.", ops)
		if t.Events != nil && t.Events.JobSink {
			patch("jobs.yaml", "JobSink", "", forJobs(ops[:n]))
		}
	}
	if o.class != "" && t.ModelStorage > 0 {
		claim := render.List{add("/spec/storageClassName", o.class, o.why)}
		if o.name != "k3s" {
			claim = append(claim, render.Mapping{{"op", "replace"}, {"path", "/spec/accessModes/0"}, {"value", "ReadWriteMany"}})
		}
		file("storage.yaml", render.Document(claim))
		patches = append(patches, render.Mapping{{"path", "storage.yaml"}, {"target", render.Mapping{{"kind", "PersistentVolumeClaim"}, {"name", t.ModelClaim}}}})
	}
	if o.identity != "" && t.Identity != "" {
		resources = append(resources, "serviceaccount.yaml")
		file("serviceaccount.yaml", render.Document(render.Mapping{
			{"apiVersion", "v1"},
			{"kind", "ServiceAccount"},
			{"metadata", render.Mapping{{"name", account(d)}, {"namespace", t.Namespace}, {"labels", render.Mapping{{"app.kubernetes.io/name", s.Name}}},
				{"annotations", render.Mapping{{o.identity, t.Identity, "What the function is to the cloud: it may read models and rows, and write scores."}}}}},
		}))
	}
	m := render.Mapping{
		{"apiVersion", "kustomize.config.k8s.io/v1beta1"},
		{"kind", "Kustomization"},
		{"resources", resources},
	}
	if len(patches) > 0 {
		m.Add("patches", patches)
	}
	file("kustomization.yaml", render.Document(m))
	return files
}

// placement is what chooses nodes on every cluster.
func placement(d *render.Deployment) (ops render.List) {
	t := d.Spec.Targets.Knative
	if t.GPU > 0 {
		const why = "Only whole GPUs can be asked for, and a request is always equal to its limit."
		ops = append(ops, add(podPath+"/containers/0/resources/requests/nvidia.com~1gpu", fmt.Sprint(t.GPU), why))
		ops = append(ops, add(podPath+"/containers/0/resources/limits/nvidia.com~1gpu", fmt.Sprint(t.GPU), ""))
	}
	if len(t.NodeSelector) > 0 {
		ops = append(ops, add(podPath+"/nodeSelector", render.Texts(t.NodeSelector), needs("kubernetes.podspec-nodeselector")))
	}
	if t.RuntimeClass != "" {
		ops = append(ops, add(podPath+"/runtimeClassName", t.RuntimeClass, needs("kubernetes.podspec-runtimeclassname")))
	}
	return ops
}

func onEKS(d *render.Deployment) (ops render.List) {
	if d.Spec.Targets.Knative.GPU == 0 {
		return nil
	}
	// No label is common to all of EKS: Karpenter has karpenter.k8s.aws/instance-gpu-manufacturer,
	// Auto Mode eks.amazonaws.com/instance-gpu-manufacturer, and a managed node group neither.
	return append(ops, tolerate("nvidia.com/gpu", "", "The request for nvidia.com/gpu chooses the node, and Karpenter and Auto Mode start one for it; no label is\n"+
		"common to both: https://docs.aws.amazon.com/eks/latest/userguide/create-node-pool.html.\n"))
}

func onGKE(d *render.Deployment) (ops render.List) {
	// GKE's own admission adds the toleration for nvidia.com/gpu to who asks for one.
	if d.Spec.Targets.Knative.GPU == 0 || len(d.Spec.Targets.Knative.NodeSelector) > 0 {
		return nil
	}
	return append(ops, selector("cloud.google.com/gke-accelerator", "nvidia-l4", "Autopilot has to be told which GPU; elsewhere it chooses the node pool:\nhttps://cloud.google.com/kubernetes-engine/docs/how-to/autopilot-gpus."))
}

func onAKS(d *render.Deployment) (ops render.List) {
	if d.Spec.Targets.Knative.GPU == 0 {
		return nil
	}
	if len(d.Spec.Targets.Knative.NodeSelector) == 0 {
		ops = append(ops, selector("kubernetes.azure.com/accelerator", "nvidia", "The label of node pools with GPUs: https://learn.microsoft.com/azure/aks/use-labels."))
	}
	return append(ops, tolerate("sku", "gpu", "The taint is yours: https://learn.microsoft.com/azure/aks/use-nvidia-gpu.\n"))
}

func onK3s(d *render.Deployment) (ops render.List) {
	t := d.Spec.Targets.Knative
	if t.GPU == 0 || t.RuntimeClass != "" {
		return nil
	}
	return append(ops, add(podPath+"/runtimeClassName", "nvidia", "K3s has this class where it has found NVIDIA's container runtime:\nhttps://docs.k3s.io/advanced.\n"+needs("kubernetes.podspec-runtimeclassname")))
}

func selector(label, value, why string) render.Mapping {
	return add(podPath+"/nodeSelector", render.Mapping{{label, value}}, why+"\n"+needs("kubernetes.podspec-nodeselector"))
}

func tolerate(key, value, source string) render.Mapping {
	t := render.Mapping{{"key", key}, {"operator", "Exists"}}
	if value != "" {
		t = render.Mapping{{"key", key}, {"operator", "Equal"}, {"value", value}}
	}
	t.Add("effect", "NoSchedule")
	return add(podPath+"/tolerations", render.List{t}, gpuTaints+source+needs("kubernetes.podspec-tolerations"))
}

func add(path string, value any, note string) render.Mapping {
	return render.Mapping{{"op", "add", note}, {"path", path}, {"value", value}}
}

// pointer is a key as a JSON pointer has it.
func pointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// forJobs are the same operations on the pods of a JobSink.
func forJobs(ops render.List) (all render.List) {
	for _, op := range withoutNeeds(ops) {
		m := op.(render.Mapping)
		all = append(all, add("/spec/job"+m[1][1].(string), m[2][1], m[0][2].(string)))
	}
	return all
}

// withoutNeeds are operations on pods of Jobs, for which Knative has no features
// to switch on.
func withoutNeeds(ops render.List) (all render.List) {
	for _, op := range ops {
		m := op.(render.Mapping)
		note, _, _ := strings.Cut(m[0][2].(string), needsMark)
		all = append(all, add(m[1][1].(string), m[2][1], strings.TrimSpace(note)))
	}
	return all
}

const needsMark = "Needs "

// needs is the comment beside what a cluster refuses as it comes.
func needs(feature string) string {
	return needsMark + feature + ": enabled in the ConfigMap\nconfig-features of the namespace knative-serving."
}
