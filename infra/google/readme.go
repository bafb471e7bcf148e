package google

import (
	"fmt"
	"strings"

	"godwit.dev/infra/render"
)

func intro(b *strings.Builder, d *render.Deployment, where string) {
	fmt.Fprintf(b, "# %s on %s\n\nRendered by godwit from godwit.yaml and the package %s. Change godwit.yaml and render again rather than these files.\n\n", d.Spec.Name, where, d.Digest)
}

func runReadme(d *render.Deployment, p *plan) []byte {
	s, t := d.Spec, d.Spec.Targets.CloudRun
	var b strings.Builder
	intro(&b, d, "Cloud Run")
	all := []pair{{exportProject(t.Region), "yours"}, {"gcloud auth login", ""}}
	for _, name := range p.secrets {
		all = append(all, pair{"gcloud secrets describe " + name + " --project $PROJECT", "has to be there"})
	}
	all = append(all, pair{"bash deploy.sh", "makes what is missing, prints the URL"})
	as := ""
	switch {
	case s.Auth.Mode == "key":
		as = ` -H "x-api-key: $KEY"`
	case s.Auth.Mode == "jwt":
		as = ` -H "authorization: Bearer $TOKEN"`
	case p.checks && p.gateway:
		as = ` -H "authorization: Bearer $TOKEN"`
	case p.checks:
		as = ` -H "authorization: Bearer $(gcloud auth print-identity-token)"`
	}
	if p.gateway {
		all = append(all, pair{fmt.Sprintf("URL=https://$(gcloud api-gateway gateways describe %s --project $PROJECT --location $REGION --format='value(defaultHostname)')", s.Name), ""})
	} else {
		all = append(all, pair{fmt.Sprintf("URL=$(gcloud run services describe %s --project $PROJECT --region $REGION --format='value(status.url)')", s.Name), ""})
	}
	all = append(all, pair{"curl $URL/v2/health/ready" + as, ""})
	if r := d.Request; r != nil {
		all = append(all, pair{fmt.Sprintf("curl $URL/v2/models/%s/infer%s -d @%s", r.Model, as, render.Shell(r.Path)), "in the function's folder"})
	}
	if t.Job != nil {
		all = append(all, pair{fmt.Sprintf("gcloud run jobs execute %s --project $PROJECT --region $REGION --wait", jobName(d)), ""})
	}
	for _, topic := range p.topics {
		if topic.name == s.Name+"-queue" || topic.name == s.Name+"-topic" {
			all = append(all, pair{fmt.Sprintf("gcloud pubsub topics publish %s --project $PROJECT --message \"$(cat REQUEST.json)\"", topic.name), ""})
		}
	}
	all = append(all, pair{"bash teardown.sh", "buckets, secrets and keys stay"})
	commandsBlock(&b, all)
	b.WriteString("\nTerraform instead of deploy.sh: `terraform/`, a module that makes the same; its README has two commands.\n")
	switch {
	case p.checks && !p.gateway:
		fmt.Fprintf(&b, "\nCloud Run checks callers: those who may call have `%s` on the service. `INVOKERS=\"group:models@example.com\" bash deploy.sh` gives it.\n", invoker)
	case p.gateway && p.checks:
		fmt.Fprintf(&b, "\nThe gateway checks callers: `TOKEN` is one that a service account of godwit.yaml has signed for the audience `%s`.\n", s.Name)
	}
	if t.Ingress != "all" {
		b.WriteString("\nThe URL answers within your networks only (ingress: " + t.Ingress + "), so call it from there.\n")
	}
	fmt.Fprintf(&b, "\nA new version without traffic, a part of it, all of it, and back:\n\n")
	revisions := []pair{
		{"gcloud run deploy " + s.Name + " --project $PROJECT --region $REGION --image IMAGE --no-traffic --tag next", ""},
		{"gcloud run services update-traffic " + s.Name + " --project $PROJECT --region $REGION --to-tags next=20", ""},
		{"gcloud run services update-traffic " + s.Name + " --project $PROJECT --region $REGION --to-latest", ""},
		{"gcloud run services update-traffic " + s.Name + " --project $PROJECT --region $REGION --to-revisions REVISION=100", ""},
	}
	commandsBlock(&b, revisions)
	fmt.Fprintf(&b, "\nservice.yaml as one line of gcloud's:\n\n    %s\n", strings.ReplaceAll(CloudRunLine(d), "\n", "\n    "))
	return []byte(b.String())
}

func (v *vertex) readme() []byte {
	s, t := v.d.Spec, v.t
	var b strings.Builder
	intro(&b, v.d, "Vertex AI")
	all := []pair{{exportProject(t.Region), "yours"}, {"gcloud auth login", ""}, {"bash deploy.sh", "twenty minutes the first time; prints the endpoint"}}
	const token = `-H "authorization: Bearer $(gcloud auth print-access-token)" -H 'content-type: application/json'`
	host := "$REGION-aiplatform.googleapis.com"
	if t.DedicatedEndpoint {
		host = "$DNS"
		all = append(all, pair{"DNS=$(gcloud ai endpoints describe " + v.id + " --project $PROJECT --region $REGION --format='value(dedicatedEndpointDns)')", ""})
	}
	if r := v.d.Request; r != nil {
		all = append(all, pair{fmt.Sprintf("curl %s https://%s/v1/projects/$PROJECT/locations/$REGION/endpoints/%s:rawPredict -d @%s", token, host, v.id, render.Shell(r.Path)), "in the function's folder"})
	}
	all = append(all, pair{"bash teardown.sh", "an endpoint costs its replicas, asked or not"})
	commandsBlock(&b, all)
	fmt.Fprintf(&b, "\nWith Terraform: `terraform/` makes endpoint, account and rights; deploy.sh, run afterwards, uploads and deploys the model.\n\nVertex AI checks callers: those who may call have `roles/aiplatform.user`.\n")
	if len(s.Models) > 1 {
		b.WriteString("Of several models a request names one: docs/vertexai.md.\n")
	}
	return []byte(b.String())
}
