// Package knative renders a function for Knative: a kustomize base with the
// Service and what brings events to it, overlays for the clusters that it runs
// on, and a README with the line of kn that says the same.
//
// It is pure: what it knows is in the Deployment. Nothing of Godwit is needed
// to apply what it writes.
package knative

import (
	"path"
	"slices"
	"strings"

	"godwit.dev/infra/render"
)

// Mark is how base/kustomization.yaml begins, by which a folder is known as
// one that Render made.
const Mark = "# Rendered by godwit from godwit.yaml"

// Render is all the files of d, sorted by path: a base that is the same for
// every cluster, with the Service and whatever brings events to it; overlays for
// the nodes, storage and identity of each kind of cluster, or of the one that
// godwit.yaml names; jobs/score.yaml where it has a job; and README.md.
//
// Errors: BadConfig and Unsupported for what cannot run as godwit.yaml says, with
// what to do.
func Render(d *render.Deployment) ([]render.File, error) {
	if err := check(d); err != nil {
		return nil, err
	}
	t := d.Spec.Targets.Knative
	files := []render.File{{Path: "base/service.yaml", Data: render.Document(service(d))}}
	if t.Mesh == "none" {
		files = append(files, render.File{Path: "base/networkpolicy.yaml", Data: render.Document(networkPolicy(d))})
	}
	files = append(files, eventing(d)...)
	if t.FetchModels {
		data, err := function(d)
		if err != nil {
			return nil, err
		}
		files = append(files, render.File{Path: "base/function.yaml", Data: data})
	}
	if t.ModelStorage > 0 {
		files = append(files, render.File{Path: "base/claim.yaml", Data: render.Document(claim(d))})
	}
	if t.Monitor != nil {
		files = append(files, render.File{Path: "base/podmonitor.yaml", Data: render.Document(podMonitor(d))})
	}
	files = append(files, render.File{Path: "base/kustomization.yaml", Data: render.Document(root(d, files))})
	for _, o := range overlays(d) {
		files = append(files, o.files(d)...)
	}
	if t.Job != nil {
		files = append(files, render.File{Path: "jobs/score.yaml", Data: render.Document(job(d))})
	}
	files = append(files, render.File{Path: "README.md", Data: readme(d)})
	render.Sort(files)
	return files, nil
}

// root is the base's kustomization of files.
func root(d *render.Deployment, files []render.File) render.Mapping {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = path.Base(f.Path)
	}
	slices.Sort(names)
	return render.Mapping{
		{"apiVersion", "kustomize.config.k8s.io/v1beta1", strings.TrimPrefix(Mark, "# ") + ", for package " + d.Digest + ".\nChange godwit.yaml and render again rather than these files."},
		{"kind", "Kustomization"},
		{"namespace", d.Spec.Targets.Knative.Namespace},
		{"resources", list(names)},
	}
}
