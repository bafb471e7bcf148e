// Package knative renders a function for Knative Serving: a kustomize base, an
// overlay for the nodes that it runs on, and a README with the line of kn that
// says the same.
//
// It is pure: what it knows is in the Deployment. Nothing of Godwit is needed
// to apply what it writes.
package knative

import (
	"fmt"
	"strings"

	"godwit.dev/infra/render"
)

// Mark is how base/kustomization.yaml begins, by which a folder is known as
// one that Render made.
const Mark = "# Rendered by godwit from godwit.yaml"

// Render is all the files of d, sorted by path: base/service.yaml,
// base/kustomization.yaml, base/networkpolicy.yaml unless there is a mesh,
// overlays/cpu or overlays/gpu, and README.md. The base runs on every cluster
// with Knative, unless it mounts models; the overlay has what the nodes are
// chosen by.
//
// Errors: BadConfig for what cannot run as godwit.yaml says, or is not rendered,
// with what to do.
func Render(d *render.Deployment) ([]render.File, error) {
	if err := check(d); err != nil {
		return nil, err
	}
	base := render.List{"service.yaml"}
	files := []render.File{{Path: "base/service.yaml", Data: render.Document(service(d))}}
	if d.Spec.Targets.Knative.Mesh == "none" {
		base = append(base, "networkpolicy.yaml")
		files = append(files, render.File{Path: "base/networkpolicy.yaml", Data: render.Document(networkPolicy(d))})
	}
	root := render.Mapping{
		{"apiVersion", "kustomize.config.k8s.io/v1beta1", strings.TrimPrefix(Mark, "# ") + ", for package " + d.Digest + ".\nChange godwit.yaml and render again rather than these files."},
		{"kind", "Kustomization"},
		{"namespace", d.Spec.Targets.Knative.Namespace},
		{"resources", base},
	}
	files = append(files, render.File{Path: "base/kustomization.yaml", Data: render.Document(root)})
	files = append(files, overlay(d)...)
	files = append(files, render.File{Path: "README.md", Data: readme(d)})
	render.Sort(files)
	return files, nil
}

// Overlay is the folder to apply: overlays/cpu or overlays/gpu.
func Overlay(d *render.Deployment) string {
	if d.Spec.Targets.Knative.GPU > 0 {
		return "overlays/gpu"
	}
	return "overlays/cpu"
}

// overlay is what chooses the nodes.
func overlay(d *render.Deployment) []render.File {
	m := render.Mapping{
		{"apiVersion", "kustomize.config.k8s.io/v1beta1"},
		{"kind", "Kustomization"},
		{"resources", render.List{"../../base"}},
	}
	dir := Overlay(d)
	ops := placement(d)
	if len(ops) == 0 {
		return []render.File{{Path: dir + "/kustomization.yaml", Data: render.Document(m)}}
	}
	m.Add("patches", render.List{render.Mapping{
		{"path", "nodes.yaml", "By JSON patch, as kustomize does not know how to merge the containers of a Knative Service."},
		{"target", render.Mapping{{"kind", "Service"}, {"name", d.Spec.Name}}},
	}})
	return []render.File{
		{Path: dir + "/kustomization.yaml", Data: render.Document(m)},
		{Path: dir + "/nodes.yaml", Data: render.Document(ops)},
	}
}

// placement is the overlay's patch of the Service; empty where every node will do.
func placement(d *render.Deployment) (ops render.List) {
	t := d.Spec.Targets.Knative
	add := func(path string, value any, note string) {
		ops = append(ops, render.Mapping{{"op", "add", note}, {"path", path}, {"value", value}})
	}
	if t.GPU > 0 {
		const why = "Only whole GPUs can be asked for, and a request is always equal to its limit."
		add("/spec/template/spec/containers/0/resources/requests/nvidia.com~1gpu", fmt.Sprint(t.GPU), why)
		add("/spec/template/spec/containers/0/resources/limits/nvidia.com~1gpu", fmt.Sprint(t.GPU), "")
	}
	if len(t.NodeSelector) > 0 {
		add("/spec/template/spec/nodeSelector", render.Texts(t.NodeSelector), needs("kubernetes.podspec-nodeselector"))
	}
	if t.RuntimeClass != "" {
		add("/spec/template/spec/runtimeClassName", t.RuntimeClass, needs("kubernetes.podspec-runtimeclassname"))
	}
	return ops
}

// needs is the comment beside what a cluster refuses as it comes.
func needs(flags ...string) string {
	set := make([]string, len(flags))
	for i, f := range flags {
		set[i] = f + ": enabled"
	}
	return "Needs " + strings.Join(set, " and ") + " in the ConfigMap\nconfig-features of the namespace knative-serving."
}
