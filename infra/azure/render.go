// Package azure renders a function for Azure: Functions as Bicep with azd's
// azure.yaml, and Azure Machine Learning's endpoints as the files of az ml and
// as Bicep.
//
// It is pure: what it knows is in the Deployment. Nothing of Godwit is needed
// to deploy what it writes.
package azure

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// Mark is how infra/main.bicep begins, by which a folder is known as one that
// this package made.
const Mark = "// Rendered by godwit from godwit.yaml"

// RenderFunctions is all the files of the target azurefunctions, sorted by path:
// azure.yaml, infra/main.bicep with its parameters and modules, and README.md;
// where there is a package deploy.sh, which azd runs; and with triggers of Event
// Grid infra/events.bicep, and with API Management infra/gateway.bicep, which are
// deployed when the function is there.
//
// On the plans flex and premium d.Package is the package's zip; on containerapps
// d.Image is an image by its digest.
//
// Errors: BadConfig and Unsupported for what cannot run as godwit.yaml says, or
// is not rendered, with what to do.
func RenderFunctions(d *render.Deployment) ([]render.File, error) {
	if err := checkFunctions(d); err != nil {
		return nil, err
	}
	b := functions(d)
	if b.err != nil {
		return nil, b.err
	}
	files := b.files()
	files = append(files, render.File{Path: "azure.yaml", Data: azdYAML(b)},
		render.File{Path: "infra/main.parameters.json", Data: parameters(b.main)},
		render.File{Path: "README.md", Data: functionsReadme(b)})
	if b.t.Plan != "containerapps" {
		files = append(files, render.File{Path: "deploy.sh", Data: deployScript(b)})
	}
	render.Sort(files)
	return files, nil
}

// A builder puts the templates of one function together.
type builder struct {
	d        *render.Deployment
	s        *spec.Spec
	t        *spec.AzureFunctions
	main     *template
	events   *template // deployed after the package; nil without such triggers
	front    *template // the same, of API Management
	modules  map[string]*template
	roles    *variable
	settings object // the app's, which are variables of the process
	outputs  []*output
	err      error
}

func functions(d *render.Deployment) *builder {
	b := &builder{d: d, s: d.Spec, t: d.Spec.Targets.AzureFunctions, main: begin(d), modules: map[string]*template{}}
	b.names()
	b.identity()
	b.monitoring()
	if b.t.Plan == "containerapps" {
		b.containerApp()
	} else {
		b.storage()
		b.lakes()
		b.triggers()
		b.site()
	}
	if b.t.Gateway != "" {
		b.front = b.gateway()
	}
	b.network()
	b.out("AZURE_RESOURCE_GROUP", fn("resourceGroup").at("name"))
	slices.SortFunc(b.outputs, func(a, b *output) int { return cmp.Compare(a.name, b.name) })
	for _, o := range b.outputs {
		b.main.add(o)
	}
	return b
}

// out hands a value back to whoever deploys.
func (b *builder) out(name string, v any) { b.outputs = append(b.outputs, &output{name, "string", v}) }

// begin is a template with its heading.
func begin(d *render.Deployment) *template {
	return &template{note: Mark[len("// "):] + ", for package " + d.Digest + ".\nChange godwit.yaml and render again rather than this file."}
}

// names is the parameters and variables that everything else is named by.
func (b *builder) names() {
	b.main.add(&param{name: "location", typ: "string", about: "The region of everything here.", value: location(b.t.Location)})
	b.main.add(&param{name: "logRetentionInDays", typ: "int", about: "How long logs and requests are kept.", value: 30})
	b.roles = &variable{name: "roles", value: object{}, note: "Azure's built-in roles, by their ids."}
	b.main.add(
		&variable{name: "token", value: fn("uniqueString", fn("resourceGroup").at("id"), b.s.Name), note: "Names that the whole of Azure shares end in what no one else has."},
		&variable{name: "appName", value: text{short(b.s.Name, 30), "-", ref("token")}},
		b.roles)
}

func location(region string) any {
	if region == "" {
		return fn("resourceGroup").at("location")
	}
	return region
}

// at is a property of what a function gives.
func (c call) at(property string) call { return call{name: c.name, args: c.args, property: property} }

// short is s in at most n bytes, which are letters, digits and '-'.
func short(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	for s[len(s)-1] == '-' {
		s = s[:len(s)-1]
	}
	return s
}

// A role is one of Azure's own.
type role struct{ symbol, id string }

var (
	blobDataOwner         = role{"storageBlobDataOwner", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"}
	blobDataContributor   = role{"storageBlobDataContributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"}
	blobDataReader        = role{"storageBlobDataReader", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"}
	queueDataReader       = role{"storageQueueDataReader", "19e7f393-937e-4f77-808e-94535e297925"}
	queueDataProcessor    = role{"storageQueueDataMessageProcessor", "8a0f0c08-91a1-4084-bc3d-661d67233fed"}
	queueDataSender       = role{"storageQueueDataMessageSender", "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"}
	serviceBusReceiver    = role{"serviceBusDataReceiver", "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"}
	eventHubsReceiver     = role{"eventHubsDataReceiver", "a638d3c7-ab3a-418d-83e6-5f17a39d4fde"}
	metricsPublisher      = role{"monitoringMetricsPublisher", "3913510d-42f4-4e42-8a64-420c390055eb"}
	keyVaultSecretsUser   = role{"keyVaultSecretsUser", "4633458b-17de-408a-b874-0445c86b69e6"}
	keyVaultEncryption    = role{"keyVaultCryptoServiceEncryptionUser", "e147488a-f6f5-4113-8e2d-b22465e65bf6"}
	containerRegistryPull = role{"acrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d"}
)

// grant gives whom, the function's identity unless it is said, a role on a resource.
func (b *builder) grant(symbol string, r role, on *resource, note string) *resource {
	g := granted(symbol, b.role(r), on, ref("identity.id"), ref("identity.properties.principalId"), note)
	b.main.add(g)
	return g
}

// role is the id of r, which is said once.
func (b *builder) role(r role) ref {
	roles := b.roles.value.(object)
	if !slices.ContainsFunc(roles, func(f field) bool { return f.key == r.symbol }) {
		roles.set(r.symbol, r.id)
		b.roles.value = roles
	}
	return ref("roles." + r.symbol)
}

// granted is an assignment of a role.
func granted(symbol string, id any, on *resource, whose, principal any, note string) *resource {
	return &resource{
		symbol: symbol, typ: "Microsoft.Authorization/roleAssignments@2022-04-01", note: note,
		scope: on, name: fn("guid", ref(on.symbol+".id"), whose, id),
		body: of("properties", of(
			"principalId", principal,
			"principalType", "ServicePrincipal",
			"roleDefinitionId", fn("subscriptionResourceId", "Microsoft.Authorization/roleDefinitions", id),
		)),
	}
}

func (b *builder) identity() {
	b.main.add(&resource{
		symbol: "identity", typ: "Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30",
		note: "Who the function is. No key or password is anywhere in these files.",
		name: ref("appName"), body: of("location", ref("location")),
	})
}

func (b *builder) monitoring() {
	b.main.add(&resource{
		symbol: "logs", typ: "Microsoft.OperationalInsights/workspaces@2025-02-01", name: ref("appName"),
		body: of("location", ref("location"), "properties", of("sku", of("name", "PerGB2018"), "retentionInDays", ref("logRetentionInDays"))),
	})
	if b.t.Plan == "containerapps" {
		return
	}
	insights := &resource{
		symbol: "insights", typ: "Microsoft.Insights/components@2020-02-02", name: ref("appName"),
		body: of("location", ref("location"), "kind", "web", "properties", of(
			"Application_Type", "web",
			"WorkspaceResourceId", ref("logs.id"),
			"DisableLocalAuth", true,
		)),
	}
	b.main.add(insights)
	b.grant("writesMetrics", metricsPublisher, insights, "")
}

// setting is a variable of the function's process.
func (b *builder) setting(name string, v any, note ...string) {
	if slices.ContainsFunc(b.settings, func(f field) bool { return f.key == name }) && b.err == nil {
		b.err = bad("targets.azurefunctions.env", "want a variable of your own, got %q, which these files set", name).WithHint("Choose another name.")
	}
	b.settings.set(name, v, note...)
}

// variables adds those of godwit.yaml; those of the platform are there by then.
func (b *builder) variables() {
	b.setting("GODWIT_TARGET", "azurefunctions")
	b.setting("AZURE_CLIENT_ID", ref("identity.properties.clientId"), "Whose tokens the function asks for, where it reads and writes blobs.")
	for _, name := range sorted(b.t.Env) {
		b.setting(name, b.t.Env[name])
	}
}

// files are the templates.
func (b *builder) files() (all []render.File) {
	add := func(path string, t *template) { all = append(all, render.File{Path: "infra/" + path, Data: bicep(t)}) }
	add("main.bicep", b.main)
	if b.events != nil {
		add("events.bicep", b.events)
	}
	if b.front != nil {
		add("gateway.bicep", b.front)
	}
	for path, t := range b.modules {
		add(path, t)
	}
	return all
}

func bad(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.BadConfig, "azure.Render", subject, format, args...)
}

func cannot(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.Unsupported, "azure.Render", subject, format, args...)
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// number is for values that Azure takes as texts.
func number(v any) string { return fmt.Sprint(v) }
