package knative

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// Kubernetes' own forms of names: what godwit.yaml lets pass and an API server,
// or Knative's webhook, does not.
var (
	pinned    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)
	dnsLabel  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	labelText = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)
	secretKey = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
)

func check(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.Knative
	if t == nil {
		return bad("targets", "want a target knative, got none").WithHint("Add targets: {knative: {}}.")
	}
	at := func(key string) string { return "targets.knative." + key }
	if !pinned.MatchString(d.Image) {
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
	if len(s.Triggers) > 0 {
		return bad("triggers", "want none, as Serving alone is rendered, got %s", strings.Join(s.Triggers, ", ")).
			WithHint("Leave triggers out of what is rendered, and apply Triggers of your own; docs/knative.md says what they meet.")
	}
	return checkNames(t, at)
}

// checkNames refuses what godwit.yaml takes for a name and Kubernetes does not.
func checkNames(t *spec.Knative, at func(string) string) error {
	if !dnsLabel.MatchString(t.Namespace) {
		return bad(at("namespace"), "want at most 63 lower-case letters, digits and '-', got %q", t.Namespace).WithHint("A namespace has no dots.")
	}
	for _, n := range []struct{ key, name string }{{"serviceAccount", t.ServiceAccount}, {"runtimeClass", t.RuntimeClass}, {"modelClaim", t.ModelClaim}} {
		if n.name != "" && !subdomain.MatchString(n.name) {
			return bad(at(n.key), "want parts of letters, digits and '-' between single dots, got %q", n.name)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(t.NodeSelector)) {
		prefix, name, both := strings.Cut(key, "/")
		if !both {
			prefix, name = "", key
		}
		if name == "" || !labelText.MatchString(name) || both && (len(prefix) > 253 || !subdomain.MatchString(prefix)) {
			return bad(at("nodeSelector"), "want a label such as cloud.google.com/gke-accelerator, got %q", key)
		}
		if !labelText.MatchString(t.NodeSelector[key]) {
			return bad(at("nodeSelector."+key), "want at most 63 letters, digits, '-', '_' and '.', got %q", t.NodeSelector[key])
		}
	}
	for _, s := range secrets(t) {
		if len(s.secret) > 253 || !subdomain.MatchString(s.secret) || !secretKey.MatchString(s.key) || s.key == "." || s.key == ".." {
			return bad(at("secrets."+s.variable), "want a Secret as NAME or NAME/KEY, got %q", t.Secrets[s.variable]).
				WithHint("kubectl create secret generic NAME --from-literal KEY=…")
		}
	}
	if t.InitialScale > 0 && t.MaxScale > 0 && t.InitialScale > t.MaxScale {
		return bad(at("initialScale"), "want at most maxScale %d, got %d", t.MaxScale, t.InitialScale)
	}
	return nil
}

func bad(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.BadConfig, "knative.Render", subject, format, args...)
}
