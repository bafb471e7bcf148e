package azure

import (
	"regexp"
	"slices"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

var (
	pinned = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)
	subnet = regexp.MustCompile(`^/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[A-Za-z0-9._()-]+/providers/Microsoft\.Network/virtualNetworks/[A-Za-z0-9._-]+/subnets/[A-Za-z0-9._-]+$`)
)

func at(key string) string { return "targets.azurefunctions." + key }

func checkFunctions(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.AzureFunctions
	if t == nil {
		return bad("targets", "want a target azurefunctions, got none").WithHint("Add targets: {azurefunctions: {}}.")
	}
	switch {
	case t.Plan == "containerapps" && !pinned.MatchString(d.Image):
		return bad("image", "want an image by its digest, REPOSITORY@sha256:…, got %q", d.Image).WithHint("godwit package DIR --target knative --push makes the image that Container Apps runs too.")
	case t.Plan != "containerapps" && (d.Package == "" || strings.ContainsAny(d.Package, "/\\")):
		return bad("package", "want the name of a zip beside the files, got %q", d.Package).WithHint("godwit package DIR --target azurefunctions -o NAME.zip")
	}
	if d.ModelBytes > 0 && int64(t.Memory) <= d.ModelBytes {
		return bad(at("memory"), "want more than the %v of the models, got %v", spec.Bytes(d.ModelBytes), t.Memory).
			WithHint("Loading takes 1.6 to 2.6 times the weights; godwit doctor DIR --target azurefunctions says how much.")
	}
	if t.Plan == "premium" && t.Memory > 14*spec.GiB {
		return bad(at("memory"), "want at most 14GiB, which is Premium's largest machine, got %v", t.Memory).WithHint("Use plan: containerapps.")
	}
	if t.Subnet != "" && !subnet.MatchString(t.Subnet) {
		return bad(at("subnet"), "want the id of a subnet, /subscriptions/…/virtualNetworks/NAME/subnets/NAME, got %q", t.Subnet).
			WithHint("az network vnet subnet show --query id")
	}
	if t.PrivateEndpoint && t.Subnet == "" {
		return bad(at("privateEndpoint"), "want a subnet too: without one the function does not reach its own storage").WithHint("Add subnet: and the id of a subnet for the function.")
	}
	if t.PrivateEndpoint && (slices.Contains(s.Triggers, "objects") || slices.Contains(s.Triggers, "events")) {
		return cannot(at("privateEndpoint"), "want none with the triggers objects and events: Event Grid has no way into the network").
			WithHint("Use the trigger queue, or leave privateEndpoint out: subnet closes the storage all the same.")
	}
	if v, _, _ := partsOf(t.KeyVaultKey); t.KeyVaultKey != "" && v == "" {
		return bad(at("keyVaultKey"), "want a key's URL, https://VAULT.vault.azure.net/keys/NAME, got %q", t.KeyVaultKey).
			WithHint("az keyvault key show --vault-name VAULT --name NAME --query key.kid")
	}
	for _, name := range sorted(t.Secrets) {
		if !secretName.MatchString(t.Secrets[name]) {
			return bad(at("secrets."+name), "want a secret as VAULT/NAME, got %q", t.Secrets[name]).
				WithHint("az keyvault secret set --vault-name VAULT --name NAME --file FILE")
		}
	}
	if k := s.Auth.Key; k != nil {
		if k.File != "" {
			return bad("auth.key.file", "want keys in a variable, got the file %q, which nothing here mounts", k.File).
				WithHint("Say auth: key, and under targets.azurefunctions secrets: {GODWIT_API_KEYS: VAULT/NAME}.")
		}
		if t.Secrets[k.Env] == "" && t.Env[k.Env] == "" {
			return bad(at("secrets"), "want %s, which auth reads its keys of, got none", k.Env).WithHint("Add secrets: {%s: VAULT/NAME}, a Key Vault and a secret in it.", k.Env)
		}
	}
	if t.Plan == "containerapps" {
		return checkContainerApp(s)
	}
	return checkBatch(s)
}

func checkContainerApp(s *spec.Spec) error {
	t := s.Targets.AzureFunctions
	switch {
	case len(s.Triggers) > 0:
		return cannot("triggers", "want none on containerapps, got %s: they take the Functions host, which the image does not have", strings.Join(s.Triggers, ", ")).
			WithHint("Use plan: flex, or leave triggers out and score with a Container Apps job: docs/scaling-batch.md.")
	case s.Given(at("timeout")):
		return cannot(at("timeout"), "want none on containerapps, got %v: Container Apps gives every request 240s", t.Timeout).WithHint("Leave it out.")
	case t.KeyVaultKey != "":
		return cannot(at("keyVaultKey"), "want none on containerapps, got %q: there is no storage to keep with it", t.KeyVaultKey).WithHint("Leave it out.")
	case t.GPU == "" && (t.CPU > 4000 || int64(t.Memory)*1000 != int64(t.CPU)*int64(2*spec.GiB)):
		return bad(at("memory"), "want 2GiB for each CPU and at most 4 CPUs, got %v and %v", t.Memory, t.CPU).WithHint("Leave cpu or memory out.")
	}
	return nil
}

// checkBatch refuses what the triggers' files cannot say.
func checkBatch(s *spec.Spec) error {
	if b := s.Batch; b != nil {
		for _, p := range []struct{ key, prefix string }{{"input", b.Input}, {"output", b.Output}} {
			if strings.Contains(p.prefix, "://") {
				return cannot("batch."+p.key, "want a prefix of the container that these files make, such as rows/, got %q", p.prefix).
					WithHint("Copy the data there, or let a Container Apps job score it where it is: docs/scaling-batch.md.")
			}
		}
		if b.Split != nil {
			return cannot("batch.split", "want none: the queue's account is named only when it is deployed, got %q", b.Split.Queue).
				WithHint("Score large objects with shards: docs/scaling-batch.md.")
		}
		if slices.Contains(s.Triggers, "queue") && b.MaxConcurrency > 32 {
			return bad("batch.maxConcurrency", "want at most 32, which is the most of one instance, got %d", b.MaxConcurrency)
		}
		if b.Attempts > 30 && (slices.Contains(s.Triggers, "objects") || slices.Contains(s.Triggers, "events")) {
			return bad("batch.attempts", "want at most 30, which is Event Grid's, got %d", b.Attempts)
		}
	}
	return nil
}
