package knative

import (
	"maps"
	"slices"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// Kubernetes' own forms of names: what godwit.yaml lets pass and an API server,
// or Knative's webhook, does not.
var (
	pinned    = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)
	dnsLabel  = lazy.Regexp(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	subdomain = lazy.Regexp(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	labelText = lazy.Regexp(`^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)
	secretKey = lazy.Regexp(`^[A-Za-z0-9._-]{1,253}$`)
)

func check(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.Knative
	if t == nil {
		return bad("targets", "want a target knative, got none").WithHint("Add targets: {knative: {}}.")
	}
	at := func(key string) string { return "targets.knative." + key }
	if !pinned().MatchString(d.Image) {
		return bad("image", "want an image by its digest, REPOSITORY@sha256:…, got %q", d.Image).
			WithHint("godwit package DIR --target knative --push")
	}
	if s.Auth.Mode == "platform" && t.Mesh == "none" {
		return bad("auth: platform", "want a mesh that checks callers, got none: Knative checks nobody").WithHint("%s", spec.NoMeshHint)
	}
	if k := s.Auth.Key; k != nil {
		if k.File != "" && !(t.ModelClaim != "" && strings.HasPrefix(k.File, modelsAt+"/")) {
			return bad("auth.key.file", "want keys in a variable, got the file %q, which nothing here mounts", k.File).
				WithHint("Say auth: key, and under targets.knative secrets: {GODWIT_API_KEYS: NAME/KEY}.")
		}
		if name := k.Env; k.File == "" && t.Secrets[name] == "" && t.Env[name] == "" {
			return bad(at("secrets"), "want %s, which auth reads its keys of, got none", name).
				WithHint("Add secrets: {%s: NAME/KEY}, a Secret and a key in it.", name)
		}
	}
	if d.ModelBytes > 0 && int64(t.Memory) <= d.ModelBytes {
		return bad(at("memory"), "want more than the %v of the models, got %v", spec.Bytes(d.ModelBytes), t.Memory).
			WithHint("Loading takes 1.6 to 2.6 times the weights; godwit doctor DIR --target knative says how much.")
	}
	if err := checkEvents(d, at); err != nil {
		return err
	}
	if t.Job != nil && t.Store == "" && (!strings.Contains(s.Batch.Input, "://") || !strings.Contains(s.Batch.Output, "://")) {
		return bad(at("job"), "want batch.input and batch.output where the job finds them, got %q and %q", s.Batch.Input, s.Batch.Output).
			WithHint("Add store: and what they are below, such as s3://lake, or write them out as URLs.")
	}
	if t.ModelImage != "" && !pinned().MatchString(t.ModelImage) {
		return bad(at("modelImage"), "want an image by its digest, REPOSITORY@sha256:…, got %q", t.ModelImage).WithHint("A tag can mean other models tomorrow.")
	}
	if m := t.Monitor; m != nil && m.Token == "" && (s.Auth.Mode == "key" || s.Auth.Mode == "jwt") {
		return bad(at("monitor.token"), "want what Prometheus shows at /metrics with auth: %s, got nothing", s.Auth.Mode).
			WithHint("Add token: NAME/KEY, a Secret with a key or token that may read metrics.")
	}
	if err := checkTraffic(d, at); err != nil {
		return err
	}
	return checkNames(t, at)
}

func checkTraffic(d *render.Deployment, at func(string) string) error {
	t := d.Spec.Targets.Knative
	if t.Traffic == nil {
		return nil
	}
	if t.RolloutDuration > 0 {
		return bad(at("rolloutDuration"), "want it without traffic, got both: Knative moves traffic by itself to the latest revision alone").
			WithHint("Leave one of them out.")
	}
	for _, o := range overlays(d) {
		if name := revisionName(d, o.all(d)); name == t.Traffic.Stable {
			return bad(at("traffic.stable"), "want the revision before this one, got this one, %q", name).WithHint("Say traffic: {}, and it gets everything.")
		}
	}
	return nil
}

// checkNames refuses what godwit.yaml takes for a name and Kubernetes does not.
func checkNames(t *spec.Knative, at func(string) string) error {
	if !dnsLabel().MatchString(t.Namespace) {
		return bad(at("namespace"), "want at most 63 lower-case letters, digits and '-', got %q", t.Namespace).WithHint("A namespace has no dots.")
	}
	for _, n := range names(t) {
		if n.value != "" && !subdomain().MatchString(n.value) {
			return bad(at(n.name), "want parts of letters, digits and '-' between single dots, got %q", n.value)
		}
	}
	if err := checkLabels(t.NodeSelector, at("nodeSelector")); err != nil {
		return err
	}
	if t.Monitor != nil {
		if err := checkLabels(t.Monitor.Labels, at("monitor.labels")); err != nil {
			return err
		}
	}
	for _, s := range secrets(t) {
		if len(s.secret) > 253 || !subdomain().MatchString(s.secret) || !secretKey().MatchString(s.key) || s.key == "." || s.key == ".." {
			return bad(at("secrets."+s.variable), "want a Secret as NAME or NAME/KEY, got %q", t.Secrets[s.variable]).
				WithHint("kubectl create secret generic NAME --from-literal KEY=…")
		}
	}
	if t.InitialScale > 0 && t.MaxScale > 0 && t.InitialScale > t.MaxScale {
		return bad(at("initialScale"), "want at most maxScale %d, got %d", t.MaxScale, t.InitialScale)
	}
	return nil
}

// names are the names of objects in t, by their keys; empty ones among them.
func names(t *spec.Knative) []pair {
	all := []pair{{"serviceAccount", t.ServiceAccount, ""}, {"runtimeClass", t.RuntimeClass, ""}, {"modelClaim", t.ModelClaim, ""}}
	secretOf := func(key, ref string) {
		name, _, _ := strings.Cut(ref, "/")
		all = append(all, pair{key, name, ""})
	}
	if e := t.Events; e != nil && !strings.Contains(e.DeadLetter, "//") {
		_, name, _ := strings.Cut(e.DeadLetter, ":")
		all = append(all, pair{"events.deadLetter", name, ""})
	}
	if k := t.Kafka; k != nil && k.SASL != nil {
		secretOf("kafka.sasl.user", k.SASL.User)
		secretOf("kafka.sasl.password", k.SASL.Password)
		secretOf("kafka.sasl.mechanism", k.SASL.Mechanism)
	}
	if k := t.Kafka; k != nil && k.TLS != nil {
		secretOf("kafka.tls.ca", k.TLS.CA)
		secretOf("kafka.tls.cert", k.TLS.Cert)
		secretOf("kafka.tls.key", k.TLS.Key)
	}
	if t.Monitor != nil {
		secretOf("monitor.token", t.Monitor.Token)
	}
	return all
}

// checkLabels refuses what Kubernetes does not take for labels.
func checkLabels(labels map[string]string, path string) error {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		prefix, name, both := strings.Cut(key, "/")
		if !both {
			prefix, name = "", key
		}
		if name == "" || !labelText().MatchString(name) || both && (len(prefix) > 253 || !subdomain().MatchString(prefix)) {
			return bad(path, "want a label such as cloud.google.com/gke-accelerator, got %q", key)
		}
		if !labelText().MatchString(labels[key]) {
			return bad(path+"."+key, "want at most 63 letters, digits, '-', '_' and '.', got %q", labels[key])
		}
	}
	return nil
}

func bad(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.BadConfig, "knative.Render", subject, format, args...)
}
