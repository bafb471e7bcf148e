package azure

import (
	"maps"
	"slices"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/lazy"
)

var (
	pinned = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$`)
	subnet = lazy.Regexp(`^/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[A-Za-z0-9._()-]+/providers/Microsoft\.Network/virtualNetworks/[A-Za-z0-9._-]+/subnets/[A-Za-z0-9._-]+$`)
)

func at(key string) string { return "targets.azurefunctions." + key }

func checkFunctions(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.AzureFunctions
	if t == nil {
		return bad("targets", "want a target azurefunctions, got none").WithHint("Add targets: {azurefunctions: {}}.")
	}
	switch {
	case t.Plan == "containerapps" && !pinned().MatchString(d.Image):
		return bad("image", "want an image by its digest, REPOSITORY@sha256:…, got %q", d.Image).WithHint("godwit package DIR --target azurefunctions --push")
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
	if t.Subnet != "" && !subnet().MatchString(t.Subnet) {
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
		if !secretName().MatchString(t.Secrets[name]) {
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
	// The image runs as on Cloud Run, and so reads what provider to take there.
	as := &spec.Common{Provider: "cpu"}
	if s.Targets.CloudRun != nil {
		as = &s.Targets.CloudRun.Common
	}
	if as.Provider != t.Provider || !maps.Equal(as.ProviderOptions, t.ProviderOptions) {
		return bad(at("provider"), "want the target cloudrun to have the same provider %s and options, got %s: on Container Apps the image runs as it does there", t.Provider, as.Provider).
			WithHint("Add targets: {cloudrun: {…}}, with a GPU if there is one here.")
	}
	switch {
	case len(s.Name) < 2:
		return bad("name", "want at least 2 letters for a container app, got %q", s.Name).WithHint("Add name: and a longer one.")
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
			if _, ok := placeOf(p.prefix); !ok {
				return cannot("batch."+p.key, "want a prefix such as rows/, or azblob://ACCOUNT/CONTAINER/rows/, got %q", p.prefix).
					WithHint("What is in another cloud is scored there, or by godwit score.")
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

// memories are those of machine sizes in use; others are not checked.
var memories = map[string]spec.Bytes{
	"Standard_DS1_v2": 3584 * spec.MiB, "Standard_DS2_v2": 7 * spec.GiB, "Standard_DS3_v2": 14 * spec.GiB, "Standard_DS4_v2": 28 * spec.GiB, "Standard_DS5_v2": 56 * spec.GiB,
	"Standard_F2s_v2": 4 * spec.GiB, "Standard_F4s_v2": 8 * spec.GiB, "Standard_F8s_v2": 16 * spec.GiB, "Standard_F16s_v2": 32 * spec.GiB, "Standard_F32s_v2": 64 * spec.GiB,
	"Standard_NC4as_T4_v3": 28 * spec.GiB, "Standard_NC8as_T4_v3": 56 * spec.GiB, "Standard_NC16as_T4_v3": 110 * spec.GiB, "Standard_NC64as_T4_v3": 440 * spec.GiB,
	"Standard_NC24ads_A100_v4": 220 * spec.GiB, "Standard_NC48ads_A100_v4": 440 * spec.GiB, "Standard_NC40ads_H100_v5": 320 * spec.GiB,
}

func checkML(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.AzureML
	if t == nil {
		return bad("targets", "want a target azureml, got none").WithHint("Add targets: {azureml: {}}.")
	}
	at := func(key string) string { return "targets.azureml." + key }
	if !pinned().MatchString(d.Image) {
		return bad("image", "want an image by its digest, REPOSITORY@sha256:…, got %q", d.Image).WithHint("godwit package DIR --target azureml --push")
	}
	if name := newML(d).endpoint; !endpointName().MatchString(name) {
		return bad("name", "want 3 to 32 letters, digits and '-' for an endpoint, got %q", name).WithHint("Add name: and a longer one.")
	}
	if m := memories[t.InstanceType]; m > 0 && int64(m) <= d.ModelBytes {
		return bad(at("instanceType"), "want more memory than the %v of the models, got %s with %v", spec.Bytes(d.ModelBytes), t.InstanceType, m).
			WithHint("Loading takes 1.6 to 2.6 times the weights; godwit doctor DIR --target azureml says how much.")
	}
	switch mode := s.Auth.Mode; {
	case mode == "none":
		return cannot("auth: none", "want auth: platform, got none: an endpoint of Azure Machine Learning lets nobody in without a token").WithHint("Say auth: platform.")
	case mode == "jwt":
		return cannot("auth: jwt", "want auth: platform or key, got jwt: the endpoint takes the header Authorization for its own tokens").WithHint("Say auth: platform.")
	case t.Mode == "batch" && mode != "platform":
		return cannot("auth: "+mode, "want auth: platform for a batch endpoint, got %s: jobs are started by Entra tokens alone", mode).WithHint("Say auth: platform.")
	case mode == "key" && s.Auth.Key.File != "":
		return bad("auth.key.file", "want keys in a variable, got the file %q, which nothing here mounts", s.Auth.Key.File).
			WithHint("Say auth: key, and under targets.azureml secrets: {GODWIT_API_KEYS: VAULT/NAME}.")
	case mode == "key" && t.Secrets[s.Auth.Key.Env] == "" && t.Env[s.Auth.Key.Env] == "":
		return bad(at("secrets"), "want %s, which auth reads its keys of, got none", s.Auth.Key.Env).WithHint("Add secrets: {%s: VAULT/NAME}, a Key Vault and a secret in it.", s.Auth.Key.Env)
	}
	for _, name := range sorted(t.Secrets) {
		if !secretName().MatchString(t.Secrets[name]) {
			return bad(at("secrets."+name), "want a secret as VAULT/NAME, got %q", t.Secrets[name]).WithHint("az keyvault secret set --vault-name VAULT --name NAME --file FILE")
		}
	}
	if len(s.Triggers) > 0 {
		return cannot("triggers", "want none on azureml, got %s: an endpoint is called, nothing starts it", strings.Join(s.Triggers, ", ")).
			WithHint("Leave triggers out of what is rendered, or use the target azurefunctions.")
	}
	if t.Mode == "batch" {
		return checkMLBatch(s, at)
	}
	return nil
}

func checkMLBatch(s *spec.Spec, at func(string) string) error {
	t := s.Targets.AzureML
	for _, key := range []string{"requestTimeout", "maxConcurrentRequests", "maxQueueWait", "publicNetworkAccess"} {
		if s.Given(at(key)) {
			return cannot(at(key), "want none with mode batch: it is for requests").WithHint("Leave it out.")
		}
	}
	for _, p := range []struct{ key, prefix string }{{"input", s.Batch.Input}, {"output", s.Batch.Output}} {
		if strings.Contains(p.prefix, "://") {
			return cannot("batch."+p.key, "want a prefix of the folder that a job is given, such as rows/, got %q", p.prefix).WithHint("A job's input and output are named when it is started.")
		}
	}
	switch {
	case len(t.Secrets) > 0:
		return cannot(at("secrets"), "want none with mode batch: jobs are given no secrets").WithHint("Leave them out; a job reads and writes as the cluster's identity.")
	case t.InstanceCount > 1:
		return cannot(at("instanceCount"), "want 1 with mode batch, got %d: one job scores the folder", t.InstanceCount).WithHint("Leave it out; docs/scaling-batch.md has jobs of many shards.")
	}
	return nil
}
