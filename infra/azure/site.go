package azure

import (
	"slices"
	"strings"

	"godwit.dev/infra/spec"
)

// Containers of the function's storage.
const (
	packagesAt = "packages"     // the packages that were deployed
	dataAt     = "data"         // batch.input and batch.output
	deadAt     = "dead-letters" // events that failed for good
)

func (b *builder) storage() {
	vault, name, version := partsOf(b.t.KeyVaultKey)
	if vault != "" {
		b.vaultRole("encryption", keyVaultEncryption, vault, "Storage asks the vault for the key as the function's identity.")
	}
	properties := object{}
	properties.set("allowSharedKeyAccess", false, "Nobody gets in with a key: callers are identities with roles.")
	properties.set("defaultToOAuthAuthentication", true)
	properties.set("allowBlobPublicAccess", false)
	properties.set("allowCrossTenantReplication", false)
	properties.set("minimumTlsVersion", "TLS1_2")
	properties.set("supportsHttpsTrafficOnly", true)
	switch {
	case b.t.PrivateEndpoint:
		properties.set("publicNetworkAccess", "Disabled", "Reached through the private endpoints below.")
		properties.set("networkAcls", of("defaultAction", "Deny", "bypass", "AzureServices"))
	case b.t.Subnet != "":
		properties.set("publicNetworkAccess", "Enabled")
		properties.set("networkAcls", of("defaultAction", "Deny", "bypass", "AzureServices",
			"virtualNetworkRules", list{of("id", b.t.Subnet, "action", "Allow")}),
			"Only the function's subnet, which needs the service endpoint Microsoft.Storage.")
	default:
		properties.set("publicNetworkAccess", "Enabled")
		properties.set("networkAcls", of("defaultAction", "Allow", "bypass", "AzureServices"))
	}
	account := &resource{
		symbol: "storage", typ: "Microsoft.Storage/storageAccounts@2025-01-01",
		note: "What the Functions host keeps, the packages, and the data of batches.",
		name: text{"st", ref("token")},
		body: of("location", ref("location"), "kind", "StorageV2", "sku", of("name", "Standard_LRS")),
	}
	if vault != "" {
		key := of("keyvaulturi", text{"https://" + vault, fn("environment").at("suffixes.keyvaultDns")}, "keyname", name)
		if version != "" {
			key.set("keyversion", version)
		}
		properties.set("encryption", of(
			"keySource", "Microsoft.Keyvault",
			"identity", of("userAssignedIdentity", ref("identity.id")),
			"keyvaultproperties", key,
			"services", of("blob", of("enabled", true, "keyType", "Account"), "queue", of("enabled", true, "keyType", "Account")),
		), "With a key of your own. The vault has to have purge protection.")
		account.body.set("identity", of("type", "UserAssigned", "userAssignedIdentities", object{{key: ref("identity.id"), value: object{}}}))
		account.needs = []string{"encryption"}
	}
	account.body.set("properties", properties)
	blobs := &resource{symbol: "blobs", typ: "Microsoft.Storage/storageAccounts/blobServices@2025-01-01", name: "default", parent: account}
	b.main.add(account, blobs, container("packages", packagesAt, blobs))
	if b.ownData() {
		b.main.add(container("data", dataAt, blobs))
	}
	if b.byEventGrid() {
		b.main.add(container("deadLetters", deadAt, blobs))
	}
	b.grant("keepsState", blobDataOwner, account, "The Functions host keeps its locks and keys in blobs, and asks for this role.")
}

func container(symbol, name string, in *resource) *resource {
	return &resource{symbol: symbol, typ: "Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01", name: name, parent: in, body: of("properties", of("publicAccess", "None"))}
}

// site is the plan and the app on it.
func (b *builder) site() {
	plan := &resource{symbol: "plan", typ: "Microsoft.Web/serverfarms@2024-11-01", name: ref("appName")}
	properties := of("serverFarmId", ref("plan.id"), "httpsOnly", true)
	site := of("minTlsVersion", "1.2", "ftpsState", "Disabled")
	if b.t.Plan == "flex" {
		plan.note = "Flex Consumption: nothing runs, and nothing is paid for, while nobody asks."
		plan.body = of("location", ref("location"), "kind", "functionapp", "sku", of("name", "FC1", "tier", "FlexConsumption"), "properties", of("reserved", true))
		properties.set("functionAppConfig", b.flex())
	} else {
		most := object{{key: "reserved", value: true, note: "Linux."}, {key: "maximumElasticWorkerCount", value: b.t.MaxInstances}}
		plan.note = "Premium: at least one instance runs and is paid for at all times."
		plan.body = of("location", ref("location"), "kind", "elastic", "sku", of("name", premiumSize(b.t.Memory), "tier", "ElasticPremium"), "properties", most)
		site.set("linuxFxVersion", "")
		site.set("minimumElasticInstanceCount", max(1, b.t.AlwaysReady))
		site.set("functionAppScaleLimit", b.t.MaxInstances)
	}
	properties.set("siteConfig", site)
	properties.set("keyVaultReferenceIdentity", ref("identity.id"), "Who reads the secrets that settings name.")
	if b.t.Subnet != "" {
		properties.set("virtualNetworkSubnetId", b.t.Subnet, "Outgoing calls come from here.")
		properties.set("outboundVnetRouting", of("allTraffic", true))
	}
	if b.t.PrivateEndpoint {
		properties.set("publicNetworkAccess", "Disabled", "Reached through the private endpoint below.")
	} else {
		properties.set("publicNetworkAccess", "Enabled", b.whoCalls())
	}
	app := &resource{
		symbol: "app", typ: "Microsoft.Web/sites@2024-11-01", name: ref("appName"),
		body: of("location", ref("location"), "kind", "functionapp,linux",
			"tags", of("godwit-package", b.d.Digest),
			"identity", of("type", "UserAssigned", "userAssignedIdentities", object{{key: ref("identity.id"), value: object{}}}),
			"properties", properties),
		needs: []string{"keepsState"},
	}
	b.main.add(plan, app)
	for _, kind := range []string{"ftp", "scm"} {
		note := ""
		if kind == "ftp" {
			note = "Packages are deployed by identities alone, not with a password."
		}
		b.main.add(&resource{symbol: kind + "Passwords", typ: "Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01", note: note, parent: app, name: kind, body: of("properties", of("allow", false))})
	}
	if b.t.Plan == "premium" {
		g := granted("deployerUploads", b.role(blobDataContributor), b.find("packages"), fn("deployer").at("objectId"), fn("deployer").at("objectId"), "Whoever deploys puts the package there.")
		g.body[0].value = slices.DeleteFunc(g.body[0].value.(object), func(f field) bool { return f.key == "principalType" })
		b.main.add(g)
		b.out("AZURE_PACKAGE_NAME", b.blobName())
	}
	needs := b.appSettings()
	b.main.add(&resource{symbol: "settings", typ: "Microsoft.Web/sites/config@2024-11-01", parent: app, name: "appsettings", body: of("properties", b.settings), needs: needs})
	b.out("AZURE_FUNCTION_NAME", ref("app.name"))
	b.out("AZURE_STORAGE_NAME", ref("storage.name"))
	b.out("FUNCTION_URL", text{"https://", ref("app.properties.defaultHostName")})
}

// whoCalls is a comment about who gets an answer.
func (b *builder) whoCalls() string {
	switch b.s.Auth.Mode {
	case "platform":
		return "From anywhere; the Functions host asks callers for a function key."
	case "none":
		return "From anywhere, by anybody, as auth: none says."
	}
	return "From anywhere; the function itself checks who calls."
}

// flex is what Flex Consumption calls functionAppConfig.
func (b *builder) flex() object {
	scale := object{}
	scale.set("instanceMemoryMB", int(b.t.Memory/spec.MiB))
	scale.set("maximumInstanceCount", b.t.MaxInstances)
	if b.t.AlwaysReady > 0 {
		scale.set("alwaysReady", list{of("name", "http", "instanceCount", b.t.AlwaysReady)}, "These run, and are paid for, at all times.")
	}
	if b.t.HTTPConcurrency > 0 {
		scale.set("triggers", of("http", of("perInstanceConcurrency", b.t.HTTPConcurrency)))
	}
	return of(
		"deployment", of("storage", of(
			"type", "blobContainer",
			"value", text{ref("storage.properties.primaryEndpoints.blob"), ref("packages.name")},
			"authentication", of("type", "UserAssignedIdentity", "userAssignedIdentityResourceId", ref("identity.id")),
		)),
		"runtime", object{{key: "name", value: "custom", note: "host.json in the package names the program."}, {key: "version", value: "1.0"}},
		"scaleAndConcurrency", scale,
	)
}

// appSettings are what the host and the function are told; they wait for needs.
func (b *builder) appSettings() (needs []string) {
	front := b.settings // what triggers have added
	b.settings = object{}
	b.setting("AzureWebJobsStorage__blobServiceUri", ref("storage.properties.primaryEndpoints.blob"))
	b.setting("AzureWebJobsStorage__queueServiceUri", ref("storage.properties.primaryEndpoints.queue"))
	b.connection("AzureWebJobsStorage")
	b.setting("APPLICATIONINSIGHTS_CONNECTION_STRING", ref("insights.properties.ConnectionString"))
	b.setting("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", text{"ClientId=", ref("identity.properties.clientId"), ";Authorization=AAD"})
	if b.t.Plan == "premium" {
		b.setting("FUNCTIONS_EXTENSION_VERSION", "~4")
		b.setting("FUNCTIONS_WORKER_RUNTIME", "custom")
		b.setting("WEBSITE_RUN_FROM_PACKAGE", text{ref("storage.properties.primaryEndpoints.blob"), ref("packages.name"), "/" + b.blobName()}, "Read with the function's identity; there is no file share, which would need a key.")
		b.setting("WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID", ref("identity.id"))
		if b.t.HTTPConcurrency > 0 {
			b.setting("AzureFunctionsJobHost__extensions__http__maxConcurrentRequests", number(b.t.HTTPConcurrency))
		}
	}
	for _, f := range front {
		b.setting(f.key.(string), f.value, f.note)
	}
	if _, out := b.places(); b.s.Batch != nil && out.account == "" {
		b.setting("GODWIT_OUTPUT", text{"azblob://", ref("storage.name"), "/" + dataAt + "/"}, "Where batch.output is.")
	}
	b.variables()
	return b.secrets()
}

// connection makes a connection of the host one by identity.
func (b *builder) connection(name string) {
	b.setting(name+"__credential", "managedidentity")
	b.setting(name+"__clientId", ref("identity.properties.clientId"))
}

// premiumSize is the smallest of Premium's machines with so much memory.
func premiumSize(memory spec.Bytes) string {
	switch {
	case memory <= 3584*spec.MiB:
		return "EP1"
	case memory <= 7*spec.GiB:
		return "EP2"
	}
	return "EP3"
}

// blobName is the package's own, so that a setting changes with the package.
func (b *builder) blobName() string {
	return b.s.Name + "-" + short(strings.TrimPrefix(b.d.Digest, "sha256:"), 12) + ".zip"
}
