package google

import (
	"fmt"
	"slices"
	"strings"

	"godwit.dev/infra/render"
)

// A script is one of bash, made line by line.
type script struct{ strings.Builder }

func (s *script) line(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// call is a command whose words, read by the shell as they are, are broken into
// lines before each flag when there are many.
func (s *script) call(words ...string) {
	long := len(strings.Join(words, " ")) > 110
	for i, w := range words {
		switch {
		case i > 0 && long && strings.HasPrefix(w, "--"):
			s.WriteString(" \\\n  ")
		case i > 0:
			s.WriteByte(' ')
		}
		s.WriteString(w)
	}
	s.WriteByte('\n')
}

// part begins what belongs together, with the reason above it.
func (s *script) part(note string) { s.line("\n# %s", strings.ReplaceAll(note, "\n", "\n# ")) }

// head is what every script of ours begins with.
func (s *script) head(d *render.Deployment, name, what, region string) {
	s.line("%s, for package %s.", Mark, d.Digest)
	s.line("# Change godwit.yaml and render again rather than this file.")
	s.line("#\n# %s", what)
	usage := "PROJECT=my-project ./" + name
	if region == "" {
		usage = "PROJECT=my-project REGION=europe-west1 ./" + name
	}
	s.line("#\n#   %s", usage)
	s.line("set -euo pipefail")
	s.line("cd \"$(dirname \"$0\")\"\n")
	s.line("die() {\n  echo \"%s: $*\" >&2\n  exit 2\n}\n", name)
	s.line("PROJECT=${PROJECT:-$(gcloud config get-value project 2>/dev/null || true)}")
	s.line("[[ $PROJECT =~ ^[a-z][a-z0-9-]{2,28}[a-z0-9]$ ]] || die \"want a project in PROJECT, got '$PROJECT'\"")
	if region == "" {
		s.line("REGION=${REGION:-$(gcloud config get-value run/region 2>/dev/null || true)}")
	} else {
		s.line("REGION=${REGION:-%s}", region)
	}
	s.line("[[ $REGION =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || die \"want a region such as europe-west1 in REGION, got '$REGION'\"")
	s.line("export CLOUDSDK_CORE_PROJECT=$PROJECT CLOUDSDK_CORE_DISABLE_PROMPTS=1")
}

// helpers are the functions of a script that makes things.
func (s *script) helpers() {
	s.line(`
# there says whether what a command describes is there.
there() { "$@" >/dev/null 2>&1; }

# grant tries again, as an account that was just made is not known everywhere at once.
grant() {
  local pause
  for pause in 2 4 8 16; do
    if "$@" >/dev/null; then return; fi
    sleep "$pause"
  done
  "$@" >/dev/null
}`)
}

func deployScript(d *render.Deployment, p *plan) []byte {
	t := d.Spec.Targets.CloudRun
	name := d.Spec.Name
	var s script
	s.head(d, "deploy.sh", "Makes what is missing and brings what is there up to date, so run it after every change.", t.Region)
	for _, home := range p.homes(d) {
		s.line("[[ $PROJECT == %s ]] || die \"godwit.yaml names %s, so want project %s, got $PROJECT\"", home.project, home.name, home.project)
	}
	s.helpers()
	if p.number() {
		s.line("\nNUMBER=$(gcloud projects describe \"$PROJECT\" --format='value(projectNumber)')")
	}
	if p.inbox != nil && p.inbox.name == "" {
		s.line("BUCKET=${BUCKET:-$PROJECT-%s}", name)
	}

	s.part("What is used here has to be switched on once.")
	s.call(append([]string{"gcloud", "services", "enable"}, p.apis()...)...)

	if accounts := p.own(); len(accounts) > 0 {
		s.part("Identities of their own, which may only what is granted below.")
		for _, a := range accounts {
			s.line("there gcloud iam service-accounts describe %s ||", inShell(a))
			s.line("  gcloud iam service-accounts create %s --display-name %s", a.id, render.Shell(a.what))
		}
	}
	if p.key != "" {
		s.part("Those who keep something under the key.")
		for _, agent := range p.keyAgents() {
			s.grant("gcloud kms keys add-iam-policy-binding "+p.key, agent.shell(), keyRole)
		}
	}
	if p.inbox != nil && p.inbox.name == "" {
		s.part("Rows come here, and scores go here.")
		s.line("there gcloud storage buckets describe \"gs://$BUCKET\" ||")
		flags := []string{"  gcloud storage buckets create \"gs://$BUCKET\"", "--location \"$REGION\"", "--uniform-bucket-level-access", "--public-access-prevention"}
		if p.key != "" {
			flags = append(flags, "--default-encryption-key "+p.key)
		}
		s.call(flags...)
	}
	if rights := p.rights(); len(rights) > 0 {
		s.part("What the function may do with what is there.")
		for _, r := range rights {
			s.grant(r.command, inShell(p.runs), r.role)
		}
	}

	s.part("The service. The account's address has the project in it.")
	s.replace("services", "service.yaml")
	s.line("URL=$(gcloud run services describe %s --region \"$REGION\" --format='value(status.url)')", name)
	if p.checks {
		s.part("Who may call: INVOKERS=\"group:models@example.com serviceAccount:…\"")
		s.line("for member in ${INVOKERS:-}; do")
		s.line("  grant gcloud run services add-iam-policy-binding %s --region \"$REGION\" --member \"$member\" --role %s", name, invoker)
		s.line("done")
	}
	if len(d.Spec.Triggers) > 0 {
		s.deliveries(d, p)
	}
	if t.Job != nil {
		s.part("The job. To run it: gcloud run jobs execute " + jobName(d))
		s.replace("jobs", "job.yaml")
	}
	if p.gateway {
		s.gateway(d, p)
	}
	s.line("\necho \"$URL\"")
	return []byte(s.String())
}

func (s *script) grant(command, address, role string) {
	s.call("grant "+command, "--member "+member(address), "--role "+role)
}

// member puts the kind in front of an address as the shell reads it.
func member(address string) string {
	if rest, quoted := strings.CutPrefix(address, `"`); quoted {
		return `"serviceAccount:` + rest
	}
	return "serviceAccount:" + address
}

// replace fills the project in where a manifest names an account, and nowhere else.
func (s *script) replace(kind, file string) {
	s.line("sed \"s/^\\( *serviceAccountName: .*\\)@%s\\./\\1@$PROJECT./\" %s |", projectID, file)
	s.line("  gcloud run %s replace - --region \"$REGION\"", kind)
}

func (s *script) deliveries(d *render.Deployment, p *plan) {
	name := d.Spec.Name
	if p.checks {
		s.part("Deliveries are calls like all others.")
		s.grant("gcloud run services add-iam-policy-binding "+name+" --region \"$REGION\"", inShell(p.pusher), invoker)
	}
	encrypted := ""
	if p.key != "" {
		encrypted = " --topic-encryption-key " + p.key
	}
	makeTopic := func(topic string) {
		s.line("there gcloud pubsub topics describe %s ||", topic)
		s.line("  gcloud pubsub topics create %s%s", topic, encrypted)
	}
	s.part("What failed for good waits here for a week: godwit score --redrive brings it back.")
	makeTopic(p.dead)
	s.line("if there gcloud pubsub subscriptions describe %s; then", p.dead)
	s.line("  gcloud pubsub subscriptions update %s --message-retention-duration 7d --expiration-period never", p.dead)
	s.line("else")
	s.line("  gcloud pubsub subscriptions create %s --topic %s --message-retention-duration 7d --expiration-period never", p.dead, p.dead)
	s.line("fi")
	if len(p.topics) > 0 {
		s.part("Pub/Sub itself puts messages aside, and takes them from their subscription for that.")
		s.grant("gcloud pubsub topics add-iam-policy-binding "+p.dead, pubsubAgent.shell(), publisher)
		if p.pusher.id != "" {
			s.grant("gcloud iam service-accounts add-iam-policy-binding "+inShell(p.pusher), pubsubAgent.shell(), tokenCreator)
		}
	}
	audience := `"$URL"`
	if p.audience != "" {
		audience = render.Shell(p.audience)
	}
	for _, t := range p.topics {
		s.part(t.why)
		makeTopic(t.name)
		s.line("flags=(\n  --push-endpoint \"$URL/events\"\n  --push-auth-service-account %s\n  --push-auth-token-audience=%s\n  --ack-deadline %d\n  --min-retry-delay %ds --max-retry-delay %ds\n  --dead-letter-topic %s --max-delivery-attempts %d\n  --message-retention-duration 7d --expiration-period never\n)",
			inShell(p.pusher), audience, p.deadline, minBackoff, maxBackoff, p.dead, p.attempts)
		s.line("if there gcloud pubsub subscriptions describe %s; then", t.name)
		s.line("  gcloud pubsub subscriptions update %s \"${flags[@]}\"", t.name)
		s.line("else")
		s.line("  gcloud pubsub subscriptions create %s --topic %s \"${flags[@]}\"", t.name, t.name)
		s.line("fi")
		s.grant("gcloud pubsub subscriptions add-iam-policy-binding "+t.name, pubsubAgent.shell(), subscriber)
	}
	if all := p.publishes(); len(all) > 0 {
		s.part("The function itself sends parts of large objects, and what failed for good.")
		for _, r := range all {
			s.grant(r.command, inShell(p.runs), r.role)
		}
	}
	if p.inbox != nil {
		s.part("Cloud Storage's own account is there once it was asked for.")
		s.line("gcloud storage service-agent >/dev/null")
	}
	if b := p.inbox; b != nil && b.topic != "" {
		s.part("The bucket tells of new objects below " + orAll(b.prefix) + ", and of no others.")
		s.grant("gcloud pubsub topics add-iam-policy-binding "+b.topic, storageAgent.shell(), publisher)
		url := b.url()
		s.line("[[ \"$(gcloud storage buckets notifications list %s) \" == *\"/topics/%s\"[[:space:]]* ]] ||", url, b.topic)
		flags := []string{"  gcloud storage buckets notifications create " + url, "--topic " + b.topic, "--event-types OBJECT_FINALIZE"}
		if b.prefix != "" {
			flags = append(flags, "--object-prefix="+render.Shell(b.prefix))
		}
		s.call(append(flags, "--skip-topic-setup")...)
	} else if b != nil {
		s.eventarc(d, p)
	}
}

func (s *script) eventarc(d *render.Deployment, p *plan) {
	name := d.Spec.Name
	b := p.inbox
	s.part("Eventarc tells of every new object of the bucket. It delivers through a subscription\nthat it makes itself, which gets the same dead letters as others.")
	s.grant("gcloud projects add-iam-policy-binding \"$PROJECT\" --condition None", inShell(p.pusher), receiver)
	s.grant("gcloud projects add-iam-policy-binding \"$PROJECT\" --condition None", storageAgent.shell(), publisher)
	s.line("LOCATION=$(gcloud storage buckets describe %s --format='value(location)' | tr '[:upper:]' '[:lower:]')", b.url())
	s.line("there gcloud eventarc triggers describe %s --location \"$LOCATION\" ||", name)
	s.call("  gcloud eventarc triggers create "+name, "--location \"$LOCATION\"",
		"--event-filters type="+finalized+",bucket="+b.name, "--destination-run-service "+name, "--destination-run-region \"$REGION\"",
		"--destination-run-path /events", "--service-account "+inShell(p.pusher))
	s.line("SUBSCRIPTION=$(gcloud eventarc triggers describe %s --location \"$LOCATION\" --format='value(transport.pubsub.subscription)')", name)
	s.call("gcloud pubsub subscriptions update \"$SUBSCRIPTION\"", fmt.Sprintf("--ack-deadline %d", p.deadline), "--dead-letter-topic "+p.dead, fmt.Sprintf("--max-delivery-attempts %d", p.attempts))
	s.grant("gcloud pubsub topics add-iam-policy-binding "+p.dead, pubsubAgent.shell(), publisher)
	s.grant("gcloud pubsub subscriptions add-iam-policy-binding \"$SUBSCRIPTION\"", pubsubAgent.shell(), subscriber)
}

func orAll(prefix string) string {
	if prefix == "" {
		return "it"
	}
	return strings.Map(func(r rune) rune { // it stands in a comment
		if r < ' ' {
			return '?'
		}
		return r
	}, prefix)
}

// url is the bucket as the shell reads it.
func (b *bucket) url() string {
	if b.name == "" {
		return `"gs://$BUCKET"`
	}
	return render.Shell("gs://" + b.name)
}

// inURL is the bucket's name within double quotes of the shell's.
func (b *bucket) inURL() string {
	if b.name == "" {
		return "$BUCKET"
	}
	return b.name
}

const (
	invoker      = "roles/run.invoker"
	publisher    = "roles/pubsub.publisher"
	subscriber   = "roles/pubsub.subscriber"
	tokenCreator = "roles/iam.serviceAccountTokenCreator"
	receiver     = "roles/eventarc.eventReceiver"
	keyRole      = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
	viewer       = "roles/storage.objectViewer"
	creator      = "roles/storage.objectCreator"
	accessor     = "roles/secretmanager.secretAccessor"

	finalized              = "google.cloud.storage.object.v1.finalized"
	minBackoff, maxBackoff = 10, 600 // seconds between deliveries: the least by default, and the most there is
)

// An agent is an account of Google's own in every project.
type agent string

const (
	pubsubAgent  agent = "gcp-sa-pubsub"
	runAgent     agent = "serverless-robot-prod"
	storageAgent agent = "gs-project-accounts"
)

func (a agent) shell() string { return `"service-$NUMBER@` + string(a) + `.iam.gserviceaccount.com"` }

// keyAgents are those that keep something under the key.
func (p *plan) keyAgents() []agent {
	all := []agent{runAgent}
	if p.dead != "" {
		all = append(all, pubsubAgent)
	}
	if p.inbox != nil && p.inbox.name == "" {
		all = append(all, storageAgent)
	}
	return all
}

// number says whether the project's number is needed.
func (p *plan) number() bool { return p.dead != "" || p.key != "" }

// own are the accounts that are made.
func (p *plan) own() (all []account) {
	for _, a := range []account{p.runs, p.pusher, p.gate} {
		if a.id != "" {
			all = append(all, a)
		}
	}
	return all
}

// apis are what has to be switched on.
func (p *plan) apis() []string {
	all := []string{"iam.googleapis.com", "run.googleapis.com"}
	if p.dead != "" {
		all = append(all, "pubsub.googleapis.com")
	}
	if p.inbox != nil && p.inbox.topic == "" {
		all = append(all, "eventarc.googleapis.com")
	}
	if p.inbox != nil || len(p.reads)+len(p.writes) > 0 {
		all = append(all, "storage.googleapis.com")
	}
	if len(p.secrets) > 0 {
		all = append(all, "secretmanager.googleapis.com")
	}
	if p.key != "" {
		all = append(all, "cloudkms.googleapis.com")
	}
	if p.gateway {
		all = append(all, "apigateway.googleapis.com", "servicecontrol.googleapis.com", "servicemanagement.googleapis.com")
	}
	slices.Sort(all)
	return all
}

// A right is one role of the function on one thing.
type right struct {
	kind, on string // "secret", "bucket" or "topic"; on is "" for the bucket that is made
	role     string
	command  string // of gcloud's, up to the member
}

// rights are what the function's account may do with secrets and buckets.
func (p *plan) rights() (all []right) {
	for _, s := range p.secrets {
		all = append(all, right{"secret", s, accessor, "gcloud secrets add-iam-policy-binding " + s})
	}
	add := func(b *bucket, role string) {
		all = append(all, right{"bucket", b.name, role, "gcloud storage buckets add-iam-policy-binding " + b.url()})
	}
	if p.inbox != nil {
		add(p.inbox, viewer)
		if p.inbox.out {
			add(p.inbox, creator)
		}
	}
	for _, name := range p.reads {
		if p.inbox == nil || p.inbox.name != name {
			add(&bucket{name: name}, viewer)
		}
	}
	for _, name := range p.writes {
		// Parts that are there are found and not written again, so it reads too.
		if !slices.Contains(p.reads, name) {
			add(&bucket{name: name}, viewer)
		}
		add(&bucket{name: name}, creator)
	}
	return all
}

// publishes are the topics that the function sends to: parts of large objects,
// and what failed for good.
func (p *plan) publishes() (all []right) {
	for _, t := range p.publish {
		_, name, _ := topicOf(t)
		all = append(all, right{"topic", name, publisher, "gcloud pubsub topics add-iam-policy-binding " + name})
	}
	return all
}

// A home is the project that a name of godwit.yaml is in.
type home struct{ project, name string }

// homes are the projects that godwit.yaml has named, each once.
func (p *plan) homes(*render.Deployment) (all []home) {
	for _, t := range p.publish {
		project, _, _ := topicOf(t)
		if !slices.ContainsFunc(all, func(h home) bool { return h.project == project }) {
			all = append(all, home{project, t})
		}
	}
	return all
}
