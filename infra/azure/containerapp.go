package azure

import (
	"strconv"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// profiles are Container Apps' machines with a GPU, by spec's names.
var profiles = map[string]string{"t4": "Consumption-GPU-NC8as-T4", "a100": "Consumption-GPU-NC24-A100"}

// containerApp is the image that every container platform runs, as a container
// app. It is none of kind functionapp, since that wants the Functions host in
// the image, and Microsoft's images with the host have no CUDA.
func (b *builder) containerApp() {
	environment := &resource{symbol: "managedEnvironment", typ: "Microsoft.App/managedEnvironments@2025-07-01", name: ref("appName")}
	profile := "Consumption"
	machines := list{of("name", profile, "workloadProfileType", profile)}
	if b.t.GPU != "" {
		environment.note = "A serverless GPU: nothing is paid for while no replica runs. Regions and quotas are few."
		profile = b.t.GPU
		machines = append(machines, of("name", profile, "workloadProfileType", profiles[b.t.GPU]))
	}
	properties := of("workloadProfiles", machines)
	properties.set("appLogsConfiguration", of("destination", "azure-monitor"), "To the workspace, by the setting below and so without its key.")
	if b.t.Subnet != "" {
		network := of("infrastructureSubnetId", b.t.Subnet)
		note := "The subnet is delegated to Microsoft.App/environments."
		if b.t.PrivateEndpoint {
			network.set("internal", true)
			note += "\nThe app's address is one within the network."
		}
		properties.set("vnetConfiguration", network, note)
	}
	environment.body = of("location", ref("location"), "properties", properties)
	logged := &resource{
		symbol: "logged", typ: "Microsoft.Insights/diagnosticSettings@2021-05-01-preview", scope: environment, name: "logs",
		body: of("properties", of("workspaceId", ref("logs.id"), "logs", list{of("categoryGroup", "allLogs", "enabled", true)})),
	}
	b.main.add(environment, logged)
	variables, secrets, needs := b.containerVariables()
	configuration := object{}
	configuration.set("activeRevisionsMode", "Single")
	ingress := of("external", true, "targetPort", render.Port, "transport", "auto", "allowInsecure", false)
	configuration.set("ingress", ingress, b.whoCallsContainer())
	if registry, ok := azureRegistry(b.d.Image); ok {
		needs = append(needs, b.registryRole(registry))
		configuration.set("registries", list{of("server", text{registry, fn("environment").at("suffixes.acrLoginServer")}, "identity", ref("identity.id"))})
	}
	if len(secrets) > 0 {
		configuration.set("secrets", secrets)
	}
	container := of("name", b.s.Name, "image", b.d.Image)
	size := object{}
	size.set("cpu", cores(b.t.CPU))
	size.set("memory", render.Quantity(b.t.Memory))
	container.set("resources", size)
	container.set("env", variables)
	container.set("probes", list{
		object{{key: "type", value: "Startup", note: "A machine with a GPU takes minutes, and a large model too."}, {key: "httpGet", value: of("path", render.Ready, "port", render.Port)}, {key: "periodSeconds", value: 10}, {key: "failureThreshold", value: 60}},
		of("type", "Readiness", "httpGet", of("path", render.Ready, "port", render.Port), "periodSeconds", 5),
		of("type", "Liveness", "httpGet", of("path", render.Live, "port", render.Port), "periodSeconds", 10, "timeoutSeconds", 5, "failureThreshold", 3),
	})
	scale := of("minReplicas", b.t.AlwaysReady, "maxReplicas", b.t.MaxInstances)
	if b.t.HTTPConcurrency > 0 {
		scale.set("rules", list{of("name", "http", "http", of("metadata", of("concurrentRequests", number(b.t.HTTPConcurrency))))}, "Above so many requests at a time in each replica there are more replicas.")
	}
	b.main.add(&resource{
		symbol: "app", typ: "Microsoft.App/containerApps@2025-07-01", name: short(b.s.Name, 32),
		body: of("location", ref("location"), "tags", of("godwit-package", b.d.Digest),
			"identity", of("type", "UserAssigned", "userAssignedIdentities", object{{key: ref("identity.id"), value: object{}}}),
			"properties", of(
				"environmentId", ref("managedEnvironment.id"),
				"workloadProfileName", profile,
				"configuration", configuration,
				"template", of("terminationGracePeriodSeconds", 30, "containers", list{container}, "scale", scale),
			)),
		needs: needs,
	})
	if b.s.Auth.Mode == "platform" {
		b.easyAuth()
	}
	b.out("FUNCTION_URL", text{"https://", ref("app.properties.configuration.ingress.fqdn")})
}

func (b *builder) whoCallsContainer() string {
	switch b.s.Auth.Mode {
	case "platform":
		return "Who calls is checked in front of the container, by authentication below."
	case "none":
		return "Anybody may call, as auth: none says."
	}
	return "The function itself checks who calls."
}

// easyAuth has Container Apps check callers' Entra tokens.
func (b *builder) easyAuth() {
	b.param(&param{name: "authClientId", typ: "string", about: "The client id of the Entra application that callers ask tokens for."})
	b.main.add(&resource{
		symbol: "authentication", typ: "Microsoft.App/containerApps/authConfigs@2025-07-01", parent: b.find("app"), name: "current",
		note: "Callers without a token of this tenant for the application get 401.",
		body: of("properties", of(
			"platform", of("enabled", true),
			"globalValidation", of("unauthenticatedClientAction", "Return401"),
			"identityProviders", of("azureActiveDirectory", of(
				"enabled", true,
				"registration", of("clientId", ref("authClientId"), "openIdIssuer", text{fn("environment").at("authentication.loginEndpoint"), fn("tenant").at("tenantId"), "/v2.0"}),
				"validation", of("allowedAudiences", list{ref("authClientId"), text{"api://", ref("authClientId")}}),
			)),
		)),
	})
}

// containerVariables are the container's variables, the secrets that some of
// them are read from, and the roles that this takes.
func (b *builder) containerVariables() (variables, secrets list, needs []string) {
	b.setting("GODWIT_TARGET", "cloudrun", "The server's life is as on Cloud Run: it listens on "+strconv.Itoa(render.Port)+" and drains after SIGTERM.")
	for _, name := range sorted(b.t.Env) {
		b.setting(name, b.t.Env[name])
	}
	for _, f := range b.settings {
		variables = append(variables, object{{key: "name", value: f.key, note: f.note}, {key: "value", value: f.value}})
	}
	vaults := map[string]string{}
	for i, name := range sorted(b.t.Secrets) {
		part := secretName().FindStringSubmatch(b.t.Secrets[name])
		own := "secret-" + strconv.Itoa(i+1)
		path := "/secrets/" + part[2]
		if part[3] != "" {
			path += "/" + part[3]
		}
		secrets = append(secrets, of("name", own, "keyVaultUrl", text{"https://" + part[1], fn("environment").at("suffixes.keyvaultDns"), path}, "identity", ref("identity.id")))
		variables = append(variables, of("name", name, "secretRef", own))
		vaults[strings.ToLower(part[1])] = part[1]
	}
	return variables, secrets, b.readers(vaults)
}

// azureRegistry is the name of the image's registry, if it is one of Azure's.
func azureRegistry(image string) (name string, ok bool) {
	host, _, _ := strings.Cut(image, "/")
	return strings.CutSuffix(host, ".azurecr.io")
}

// cores is a number for ARM, which knows no fractions in Bicep.
func cores(c spec.CPU) any {
	if c%1000 == 0 {
		return int(c / 1000)
	}
	return fn("json", strconv.FormatFloat(float64(c)/1000, 'f', -1, 64))
}
