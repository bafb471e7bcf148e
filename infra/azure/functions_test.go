package azure

import (
	"testing"

	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/internal/golden"
)

const digest = rendertest.Digest

// deployment is what text, a godwit.yaml, becomes.
func deployment(t testing.TB, text string) *render.Deployment {
	t.Helper()
	d := rendertest.Deployment(t, text, "registry.example.com/acme")
	d.Package = d.Spec.Name + ".zip"
	return d
}

const (
	subnetID = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/acme/subnets/functions"
	// everything has each key of flex, and what goes with them.
	everything = `
model: fraud.onnx
auth: {key: {}}
batch: {input: rows/, output: scores/, attempts: 7, maxConcurrency: 8, size: 20, window: 5s}
triggers: [queue, topic, stream]
targets:
  azurefunctions:
    plan: flex
    location: westeurope
    memory: 4096MiB
    maxInstances: 40
    alwaysReady: 2
    httpConcurrency: 16
    timeout: 10m
    subnet: ` + subnetID + `
    privateEndpoint: true
    keyVaultKey: https://acme.vault.azure.net/keys/storage/0123456789abcdef0123456789abcdef
    env: {LEVEL: "it's"}
    secrets: {GODWIT_API_KEYS: acme/api-keys, OTHER: other-vault/thing}
`
)

// functionSpecs are those of the golden files.
func functionSpecs(t testing.TB) map[string]string {
	all := map[string]string{
		"everything": everything,
		"events":     "model: fraud.onnx\nbatch: {input: rows/, output: scores/}\ntriggers: [objects, events]\ntargets: {azurefunctions: {}}\n",
		"closed":     "model: fraud.onnx\nbatch: {input: rows/, output: scores/}\ntriggers: [objects]\ntargets: {azurefunctions: {subnet: " + subnetID + "}}\n",
		"gpu":        "model: fraud.onnx\ntargets: {cloudrun: {gpu: nvidia-l4}, azurefunctions: {plan: containerapps, gpu: t4, maxInstances: 3, env: {LEVEL: \"1\"}, secrets: {TOKEN: acme/token}}}\n",
		"containers": "model: fraud.onnx\nauth: key\ntargets: {azurefunctions: {plan: containerapps, cpu: 0.5, alwaysReady: 1, httpConcurrency: 20, subnet: " + subnetID + ", privateEndpoint: true, secrets: {GODWIT_API_KEYS: acme/api-keys}}}\n",
		"lake":       "model: fraud.onnx\nbatch: {input: azblob://acmelake/rows/2026/, output: azblob://acmelake/scores/}\ntriggers: [objects]\ntargets: {azurefunctions: {}}\n",
		"gateway":    "model: fraud.onnx\ntargets: {azurefunctions: {gateway: apim}}\n",
		"premium":    "model: fraud.onnx\nauth: none\ntargets: {azurefunctions: {plan: premium, memory: 6GiB, gateway: apim, alwaysReady: 2, httpConcurrency: 8}}\n",
	}
	for _, name := range []string{"digits", "penguins"} {
		all[name] = rendertest.Example(t, "../..", name)
	}
	return all
}

// named is a spec of functionSpecs, one of which has its image in Azure.
func named(t testing.TB, name, text string) *render.Deployment {
	d := deployment(t, text)
	if name == "containers" {
		d.Image = "acme.azurecr.io/scoring/fraud@" + digest
	}
	return d
}

func TestFunctionsAreAsRead(t *testing.T) {
	for name, text := range functionSpecs(t) {
		t.Run(name, func(t *testing.T) {
			d := named(t, name, text)
			golden.Folder(t, "golden/functions/"+name, rendertest.Rendered(t, RenderFunctions, d))
			arm := map[string]string{}
			for path, doc := range templates(t, d) {
				arm[path] = string(asJSON(t, doc))
			}
			golden.Folder(t, "arm/functions/"+name, arm)
		})
	}
}

// templates are d's files of Bicep as ARM templates.
func templates(t testing.TB, d *render.Deployment) map[string]map[string]any {
	t.Helper()
	b := functions(d)
	if b.err != nil {
		t.Fatal(b.err)
	}
	all := map[string]map[string]any{"main.json": armOf(t, b.main)}
	if b.events != nil {
		all["events.json"] = armOf(t, b.events)
	}
	if b.front != nil {
		all["gateway.json"] = armOf(t, b.front)
	}
	return all
}
