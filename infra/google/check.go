package google

import (
	"slices"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// Google's own forms of names: what godwit.yaml lets pass and Google does not.
var (
	pinned     = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)
	registries = lazy.Regexp(`^([a-z0-9-]+-)?docker\.pkg\.dev/|^([a-z]+\.)?gcr\.io/|^(index\.)?docker\.io/`)
	accountID  = lazy.Regexp(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	email      = lazy.Regexp(`^[a-z0-9.-]+@[a-z0-9.-]+\.gserviceaccount\.com$`)
	cryptoKey  = lazy.Regexp(`^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}$`)
	secretName = lazy.Regexp(`^[A-Za-z0-9_-]{1,255}(:(latest|[1-9][0-9]*|[A-Za-z][A-Za-z0-9_-]{0,62}))?$`)
	bucketName = lazy.Regexp(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	topicName  = lazy.Regexp(`^projects/[a-z][a-z0-9-]{2,28}[a-z0-9]/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)
	resource   = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._:/-]*$`)
)

func checkCloudRun(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.CloudRun
	if t == nil {
		return bad("targets", "want a target cloudrun, got none").WithHint("Add targets: {cloudrun: {}}.")
	}
	if err := checkImage(d, "cloudrun"); err != nil {
		return err
	}
	at := func(key string) string { return "targets.cloudrun." + key }
	if err := checkCommon(d, &t.Common, at, "cloudrun"); err != nil {
		return err
	}
	if d.ModelBytes > 0 && int64(t.Memory) <= d.ModelBytes {
		return bad(at("memory"), "want more than the %v of the models, got %v", spec.Bytes(d.ModelBytes), t.Memory).
			WithHint("Loading takes 1.6 to 2.6 times the weights; godwit doctor DIR --target cloudrun says how much.")
	}
	if err := checkNames(at, t.ServiceAccount, t.EncryptionKey); err != nil {
		return err
	}
	for _, n := range []struct{ key, name string }{{"network", t.Network}, {"subnet", t.Subnet}} {
		if n.name != "" && !resource().MatchString(n.name) {
			return bad(at(n.key), "want a name, or projects/PROJECT/…, got %q", n.name)
		}
	}
	if t.Job != nil {
		for _, p := range []struct{ key, place string }{{"batch.input", s.Batch.Input}, {"batch.output", s.Batch.Output}} {
			if !strings.HasPrefix(p.place, "gs://") {
				return bad(p.key, "want a place in a bucket, as a job's files go with it, got %q", p.place).WithHint("Say %s: gs://BUCKET/%s/.", p.key[len("batch."):], strings.Trim(p.place, "./"))
			}
		}
	}
	if t.Job != nil && (t.CPU < 1000 || t.Memory < 512*spec.MiB) {
		return bad(at("job"), "want at least one CPU and 512MiB, as a job is always of gen2, got cpu %v and memory %v", t.CPU, t.Memory)
	}
	if j := s.Auth.JWT; t.Gateway != nil && j != nil && j.JWKSURL == "" {
		return bad("auth.jwt.jwksURL", "want the URL of the issuer's keys, which a gateway does not look for, got none").
			WithHint("curl %s/.well-known/openid-configuration has it as jwks_uri.", strings.TrimSuffix(j.Issuer, "/"))
	}
	if b := s.Batch; b != nil {
		for _, p := range []struct{ key, place string }{{"batch.input", b.Input}, {"batch.output", b.Output}} {
			if strings.HasPrefix(p.place, "gs://") && !bucketName().MatchString(bucketOf(p.place)) {
				return bad(p.key, "want a bucket's name of lower-case letters, digits, '-', '_' and '.', got %q", p.place)
			}
		}
	}
	return checkTriggers(d)
}

// checkTriggers refuses what nothing on Google would deliver, or only in vain.
func checkTriggers(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.CloudRun
	if len(s.Triggers) == 0 {
		return nil
	}
	for _, trigger := range s.Triggers {
		if trigger == "events" || trigger == "stream" {
			return fault.New(fault.Unsupported, op, "triggers", "want objects, queue or topic on Cloud Run, got %s", trigger).
				WithHint("Let what you have publish to the topic of queue; docs/cloudrun.md says which events are read.")
		}
	}
	messages := slices.Contains(s.Triggers, "queue") || slices.Contains(s.Triggers, "topic")
	if messages && !strings.Contains(s.Batch.Output, "://") {
		return bad("batch.output", "want a place in a bucket, as answers to messages have no other, got %q", s.Batch.Output).
			WithHint("Say output: gs://BUCKET/%s/.", strings.Trim(s.Batch.Output, "./"))
	}
	for _, p := range []struct{ key, place string }{{"batch.input", s.Batch.Input}, {"batch.output", s.Batch.Output}} {
		if strings.Contains(p.place, "://") && !strings.HasPrefix(p.place, "gs://") {
			return fault.New(fault.Unsupported, op, p.key, "want gs://, which the service's own account may use, got %q", p.place).
				WithHint("Keep rows and scores in Cloud Storage, or leave triggers out and give the account its rights yourself.")
		}
	}
	if t.Push != nil && t.Push.DeadLetterTopic != "" && !topicName().MatchString(t.Push.DeadLetterTopic) {
		return bad("targets.cloudrun.push.deadLetterTopic", "want projects/PROJECT/topics/TOPIC, got %q", t.Push.DeadLetterTopic)
	}
	// A delivery cannot carry a key of ours, nor a token of another issuer.
	own := t.Push != nil && len(t.Push.ServiceAccounts) > 0
	if (s.Auth.Mode == "key" || s.Auth.Mode == "jwt") && !own {
		return bad("targets.cloudrun.push", "want the audience and serviceAccounts of deliveries, as Pub/Sub has no %s to send, got none", s.Auth.Mode).
			WithHint("Add push: {audience: %s, serviceAccounts: [push@PROJECT.iam.gserviceaccount.com]}, or use auth: platform.", s.Name)
	}
	return nil
}

// checkImage wants what Google's runtimes can pull, and only that.
func checkImage(d *render.Deployment, target string) error {
	if !pinned().MatchString(d.Image) {
		return bad("image", "want an image by its digest, REPOSITORY@sha256:…, got %q", d.Image).
			WithHint("godwit package DIR --target %s --push", target)
	}
	if !registries().MatchString(d.Image) {
		return bad("image", "want an image in Artifact Registry or Docker Hub, as Google pulls from no other registry, got %q", d.Image).
			WithHint("Say image: europe-docker.pkg.dev/PROJECT/REPOSITORY/%s; a remote repository of Artifact Registry stands for another registry.", d.Spec.Name)
	}
	return nil
}

// checkCommon is what both of Google's targets want of auth and secrets.
func checkCommon(d *render.Deployment, c *spec.Common, at func(string) string, target string) error {
	if k := d.Spec.Auth.Key; k != nil {
		if k.File != "" {
			return bad("auth.key.file", "want keys in a variable, got the file %q, which nothing here mounts", k.File).
				WithHint("Say auth: key, and under targets.%s secrets: {GODWIT_API_KEYS: SECRET}.", target)
		}
		if c.Secrets[k.Env] == "" && c.Env[k.Env] == "" {
			return bad(at("secrets"), "want %s, which auth reads its keys of, got none", k.Env).
				WithHint("Add secrets: {%s: SECRET}, a secret of Secret Manager.", k.Env)
		}
	}
	for _, v := range sorted(c.Secrets) {
		if !secretName().MatchString(v.value) {
			return bad(at("secrets."+v.name), "want a secret of the same project as NAME or NAME:VERSION, got %q", v.value).
				WithHint("gcloud secrets create NAME --data-file=-")
		}
	}
	return nil
}

func checkNames(at func(string) string, account, key string) error {
	if account != "" && !accountID().MatchString(account) && !email().MatchString(account) {
		return bad(at("serviceAccount"), "want an account's e-mail address, or its id of 6 to 30 lower-case letters, digits and '-', got %q", account)
	}
	if key != "" && !cryptoKey().MatchString(key) {
		return bad(at("encryptionKey"), "want projects/P/locations/L/keyRings/R/cryptoKeys/K, got %q", key)
	}
	return nil
}

const op = "google.Render"

func bad(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.BadConfig, op, subject, format, args...)
}
