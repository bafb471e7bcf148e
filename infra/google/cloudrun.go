// Package google renders a function for Google Cloud: a Cloud Run service, with
// the job, topics and gateway that godwit.yaml asks for, and a Vertex AI
// endpoint. Each comes as a script of gcloud and as a Terraform module that
// make the same things by the same names.
//
// It is pure: what it knows is in the Deployment. Nothing of Godwit is needed
// to apply what it writes.
package google

import (
	"godwit.dev/infra/render"
)

// MarkFile begins with Mark, by which a folder is known as one that this
// package rendered.
const (
	MarkFile = "deploy.sh"
	Mark     = "#!/usr/bin/env bash\n# Rendered by godwit from godwit.yaml"
)

// RenderCloudRun is all the files of d for Cloud Run, sorted by path:
// service.yaml; job.yaml with a job; openapi.yaml with a gateway; deploy.sh and
// teardown.sh; the module terraform/; README.md.
//
// Errors: BadConfig for what cannot run as godwit.yaml says, Unsupported for
// what Cloud Run or this renderer has nothing for; both with what to do.
func RenderCloudRun(d *render.Deployment) ([]render.File, error) {
	if err := checkCloudRun(d); err != nil {
		return nil, err
	}
	p, err := newPlan(d)
	if err != nil {
		return nil, err
	}
	files := []render.File{
		{Path: "service.yaml", Data: render.Document(service(d, p))},
		{Path: "deploy.sh", Data: deployScript(d, p)},
		{Path: "teardown.sh", Data: teardownScript(d, p)},
		{Path: "README.md", Data: runReadme(d, p)},
	}
	if p.gateway {
		files = append(files, render.File{Path: "openapi.yaml", Data: render.Document(openAPI(d, p))})
	}
	if d.Spec.Targets.CloudRun.Job != nil {
		files = append(files, render.File{Path: "job.yaml", Data: render.Document(job(d, p))})
	}
	files = append(files, module(d, p)...)
	render.Sort(files)
	return files, nil
}
