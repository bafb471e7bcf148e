package google

import (
	"godwit.dev/infra/render"
)

// teardownScript takes away what deployScript has made, but for what holds data
// of the user's: buckets, secrets, keys, and accounts that godwit.yaml names.
func teardownScript(d *render.Deployment, p *plan) []byte {
	t, name := d.Spec.Targets.CloudRun, d.Spec.Name
	var s script
	s.head(d, "teardown.sh", "Takes away what deploy.sh has made. Buckets, secrets, keys and the image stay.", t.Region)
	s.line(`
# gone runs the second command if what the first one describes is there.
gone() {
  local kind=$1 what=$2
  shift 2
  # shellcheck disable=SC2086 # kind is several words
  if gcloud $kind describe "$what" "$@" >/dev/null 2>&1; then gcloud $kind delete "$what" "$@"; fi
}`)
	s.line("")
	if p.gateway {
		s.line("gone \"api-gateway gateways\" %s --location \"$REGION\"", name)
		s.line("for config in $(gcloud api-gateway api-configs list --api %s --format='value(name.basename())' 2>/dev/null); do", name)
		s.line("  gcloud api-gateway api-configs delete \"$config\" --api %s", name)
		s.line("done")
		s.line("gone \"api-gateway apis\" %s", name)
	}
	if b := p.inbox; b != nil {
		if b.name == "" {
			s.line("BUCKET=${BUCKET:-$PROJECT-%s}", name)
		}
		if b.topic == "" {
			s.line("LOCATION=$(gcloud storage buckets describe %s --format='value(location)' | tr '[:upper:]' '[:lower:]')", b.url())
			s.line("gone \"eventarc triggers\" %s --location \"$LOCATION\"", name)
		} else {
			s.line("# Of all notifications of the bucket only ours is at this topic.")
			s.line("gcloud storage buckets notifications list %s |", b.url())
			s.line("  awk '$1 == \"id:\" { id = $2 } $1 == \"topic:\" && $2 ~ \"/topics/%s$\" { gsub(/[^0-9]/, \"\", id); print id }' |", b.topic)
			s.line("  while read -r id; do gcloud storage buckets notifications delete \"gs://%s/notificationConfigs/$id\"; done", b.inURL())
		}
	}
	for _, t := range p.topics {
		s.line("gone \"pubsub subscriptions\" %s", t.name)
		s.line("gone \"pubsub topics\" %s", t.name)
	}
	if p.dead != "" {
		s.line("gone \"pubsub subscriptions\" %s", p.dead)
		s.line("gone \"pubsub topics\" %s", p.dead)
	}
	if t.Job != nil {
		s.line("gone \"run jobs\" %s --region \"$REGION\"", jobName(d))
	}
	s.line("gone \"run services\" %s --region \"$REGION\"", name)
	for _, a := range p.own() {
		s.line("gone \"iam service-accounts\" %s", inShell(a))
	}
	return []byte(s.String())
}
