package azure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit.dev/infra/render"
)

// azdYAML is what the Azure Developer CLI reads.
func azdYAML(b *builder) []byte {
	m := render.Mapping{}
	m.Add("name", b.s.Name, strings.TrimPrefix(Mark, "// ")+".")
	m.Add("infra", render.Mapping{{"provider", "bicep"}, {"path", "infra"}, {"module", "main"}})
	if b.t.Plan != "containerapps" {
		m.Add("hooks", render.Mapping{{"postprovision", render.Mapping{{"shell", "sh"}, {"run", "./deploy.sh"}}}},
			"azd builds from sources; here the package is ready.")
	}
	return render.Document(m)
}

// parameters are the values that azd fills in; what has a default is not there.
func parameters(t *template) []byte {
	doc := map[string]any{
		"$schema":        "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
		"contentVersion": "1.0.0.0",
	}
	values := map[string]any{}
	for _, i := range t.items {
		if p, ok := i.(*param); ok && p.name == "logRetentionInDays" {
			values[p.name] = map[string]any{"value": p.value}
		}
	}
	doc["parameters"] = values
	return indented(doc)
}

func indented(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // maps, strings and numbers always can be
	return b.Bytes()
}

// deployScript is what azd runs behind main.bicep.
func deployScript(b *builder) []byte {
	var s strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	line("#!/bin/sh\n# Deploys the package into what main.bicep has made, whose outputs are in the environment.\n# azd up runs it; README.md says how it is run without azd.\nset -eu")
	line(`in_group() { "$@" --resource-group "$AZURE_RESOURCE_GROUP" ${AZURE_SUBSCRIPTION_ID:+--subscription "$AZURE_SUBSCRIPTION_ID"}; }` + "\n")
	zip := render.Shell(b.d.Package)
	if b.t.Plan == "flex" {
		line(`in_group az functionapp deployment source config-zip --name "$AZURE_FUNCTION_NAME" --src %s`, zip)
	} else {
		line(`az storage blob upload --auth-mode login --account-name "$AZURE_STORAGE_NAME" --container-name %s --name "$AZURE_PACKAGE_NAME" --file %s --overwrite`, packagesAt, zip)
		line(`in_group az functionapp restart --name "$AZURE_FUNCTION_NAME"`)
	}
	if b.events != nil {
		line("\n# Event Grid asks for the functions it calls, so they had to be there first.")
		lake := ""
		if in, _ := b.places(); in.account != "" && b.trigger("objects") {
			lake = ` batchResourceGroup="$AZURE_BATCH_RESOURCE_GROUP"`
		}
		line("in_group az deployment group create --name events --template-file infra/events.bicep \\\n  --parameters appName=\"$AZURE_FUNCTION_NAME\" storageName=\"$AZURE_STORAGE_NAME\"%s ${ALERT_ACTION_GROUP:+alertActionGroupId=\"$ALERT_ACTION_GROUP\"}", lake)
	}
	if b.front != nil {
		line("\n# API Management asks the host for a key, so it had to run first.")
		line("in_group az deployment group create --name gateway --template-file infra/gateway.bicep \\\n  --parameters appName=\"$AZURE_FUNCTION_NAME\" publisherEmail=\"$PUBLISHER_EMAIL\"")
	}
	return []byte(s.String())
}

// Commands is what deploys the files of RenderFunctions, in their folder: azd
// asks for what it is not told, which is the subscription and the resource group.
func Commands(*render.Deployment) []render.Command {
	return []render.Command{{Args: []string{"azd", "up"}, Why: "deploys infra/main.bicep and then the package"}}
}

func functionsReadme(b *builder) []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "# %s on %s\n\nRendered by godwit from godwit.yaml and the package %s. Change godwit.yaml and render again rather than these files.\n\n", b.s.Name, map[bool]string{true: "Azure Container Apps", false: "Azure Functions"}[b.t.Plan == "containerapps"], b.d.Digest)
	line := func(command, why string) {
		if why != "" {
			command = fmt.Sprintf("%-58s # %s", command, why)
		}
		s.WriteString("    " + command + "\n")
	}
	line("az login && azd auth login", "")
	if b.t.Subnet != "" && !b.t.PrivateEndpoint && b.t.Plan != "containerapps" {
		line("az network vnet subnet update --ids "+render.Shell(b.t.Subnet)+" --service-endpoints Microsoft.Storage", "storage lets the subnet in by this")
	}
	if b.t.Plan == "containerapps" && b.s.Auth.Mode == "platform" {
		line("CLIENT=$(az ad app create --display-name "+b.s.Name+" --query appId -o tsv)", "who gets a token for it may call")
		line("az ad app update --id $CLIENT --identifier-uris api://$CLIENT && az ad sp create --id $CLIENT", "")
	}
	if b.front != nil {
		line("export PUBLISHER_EMAIL=YOU@EXAMPLE.COM", "API Management wants to know who answers for the API")
	}
	line("azd up", "asks for a subscription and a resource group; prints the names below")
	line("azd env get-values", "")
	line("eval \"$(azd env get-values | sed 's/^/export /')\"", "")
	key := ""
	switch b.s.Auth.Mode {
	case "platform":
		if b.t.Plan == "containerapps" {
			line("TOKEN=$(az account get-access-token --scope api://$CLIENT/.default --query accessToken -o tsv)", "")
			key = ` -H "authorization: Bearer $TOKEN"`
			break
		}
		line(`KEY=$(az functionapp keys list -g $AZURE_RESOURCE_GROUP -n $AZURE_FUNCTION_NAME --query functionKeys.default -o tsv)`, "")
		key = ` -H "x-functions-key: $KEY"`
	case "key":
		key = ` -H "x-api-key: $KEY"`
	case "jwt":
		key = ` -H "authorization: Bearer $TOKEN"`
	}
	line("curl $FUNCTION_URL/v2/health/ready"+healthKey(b.s.Auth.Mode, key), "")
	if r := b.d.Request; r != nil {
		line(fmt.Sprintf("curl $FUNCTION_URL/v2/models/%s/infer%s -d @%s", r.Model, key, render.Shell(r.Path)), "in the function's folder")
	}
	if b.front != nil {
		line("GATEWAY=$(az deployment group show -g $AZURE_RESOURCE_GROUP -n gateway --query properties.outputs.GATEWAY_URL.value -o tsv)", "the same through API Management")
		if b.s.Auth.Mode == "platform" {
			line("curl $GATEWAY/v2/health/ready -H \"Ocp-Apim-Subscription-Key: $SUBSCRIPTION_KEY\"", "a subscription's key is made in the portal")
		} else {
			line("curl $GATEWAY/v2/health/ready", "")
		}
	}
	line("az group delete -n $AZURE_RESOURCE_GROUP", "teardown: everything that is in the group")
	s.WriteString("\nWithout azd:\n\n")
	line("az group create -n GROUP -l REGION", "")
	more := ""
	for _, i := range b.main.items {
		if p, ok := i.(*param); ok && p.value == nil {
			more += " " + p.name + "=ID"
		}
	}
	line("az deployment group create -g GROUP -f infra/main.bicep -p infra/main.parameters.json"+more+" --query properties.outputs", "")
	if b.t.Plan != "containerapps" {
		line("AZURE_RESOURCE_GROUP=GROUP AZURE_FUNCTION_NAME=… AZURE_STORAGE_NAME=…"+b.packageName()+" sh deploy.sh", "the names are the outputs")
	}
	s.WriteString("\n" + b.cost() + "\n")
	if b.t.PrivateEndpoint && b.t.Plan != "containerapps" {
		s.WriteString("\nThe app, its storage and deploying a package are reachable from the virtual network alone: run azd up there, or the part after infra/main.bicep (`sh deploy.sh`).\n")
	}
	if b.t.KeyVaultKey != "" || len(b.t.Secrets) > 0 {
		fmt.Fprintf(&s, "\nNot made here: %s, Key Vaults of the resource group that `keyVaultResourceGroup` names. Whoever deploys has to be able to give roles on them.\n", strings.Join(b.vaults(), ", "))
	}
	return []byte(s.String())
}

func (b *builder) packageName() string {
	if b.t.Plan == "premium" {
		return " AZURE_PACKAGE_NAME=" + b.blobName()
	}
	return ""
}

// healthKey is the header for a route that auth leaves open in the process, and
// that the host checks all the same.
func healthKey(mode, key string) string {
	if mode == "platform" {
		return key
	}
	return ""
}

func (b *builder) vaults() []string {
	all := map[string]bool{}
	if b.t.KeyVaultKey != "" {
		vault, _, _ := partsOf(b.t.KeyVaultKey)
		all[vault] = true
	}
	for _, s := range b.t.Secrets {
		all[secretName().FindStringSubmatch(s)[1]] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func (b *builder) cost() string {
	always := "Idle, nothing runs: storage and logs are what is paid for."
	switch {
	case b.t.Plan == "premium":
		always = fmt.Sprintf("Idle, %d of %s run and are paid for, and no less than one can.", max(1, b.t.AlwaysReady), premiumSize(b.t.Memory))
	case b.t.Plan == "containerapps" && b.t.AlwaysReady == 0:
		always = "Idle, nothing runs: logs are what is paid for."
	case b.t.AlwaysReady > 0:
		always = fmt.Sprintf("Idle, %d instances with %v are kept and paid for.", b.t.AlwaysReady, b.t.Memory)
	}
	if b.trigger("topic") {
		always += " Service Bus has a base price for the tier Standard."
	}
	if b.trigger("stream") {
		always += " Event Hubs is paid for by the hour for its one throughput unit."
	}
	if b.t.PrivateEndpoint && b.t.Plan != "containerapps" {
		always += " Each of the three private endpoints is paid for by the hour."
	}
	return always
}
