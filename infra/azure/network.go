package azure

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// network adds private endpoints, with the names by which they are found.
func (b *builder) network() {
	if !b.t.PrivateEndpoint || b.t.Plan == "containerapps" {
		return
	}
	// A subnet with integrated apps takes no private endpoints.
	at := &param{name: "privateEndpointSubnetId", typ: "string", about: "The id of the subnet for private endpoints, in the same network as the function's and not the same."}
	i := slices.IndexFunc(b.main.items, func(i any) bool { _, ok := i.(*variable); return ok })
	b.main.items = slices.Insert(b.main.items, i, any(at))
	b.main.items = slices.Insert(b.main.items, i+1, any(&variable{name: "networkId", note: "The network that the subnet is in.",
		value: fn("join", fn("take", fn("split", ref("privateEndpointSubnetId"), "/"), 9), "/")}))
	storage := fn("environment").at("suffixes.storage")
	for _, e := range []struct {
		symbol, group, of string
		zone              any
	}{
		{"calls", "sites", "app", "privatelink.azurewebsites.net"},
		{"blob", "blob", "storage", text{"privatelink.blob.", storage}},
		{"queue", "queue", "storage", text{"privatelink.queue.", storage}},
	} {
		zone := &resource{symbol: e.symbol + "Zone", typ: "Microsoft.Network/privateDnsZones@2024-06-01", name: e.zone, body: of("location", "global")}
		link := &resource{symbol: e.symbol + "ZoneInNetwork", typ: "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01", parent: zone, name: ref("appName"),
			body: of("location", "global", "properties", of("registrationEnabled", false, "virtualNetwork", of("id", ref("networkId"))))}
		end := &resource{symbol: e.symbol + "Endpoint", typ: "Microsoft.Network/privateEndpoints@2024-10-01", name: text{ref("appName"), "-" + e.group},
			body: of("location", ref("location"), "properties", of(
				"subnet", of("id", ref("privateEndpointSubnetId")),
				"privateLinkServiceConnections", list{of("name", e.group, "properties", of("privateLinkServiceId", ref(e.of+".id"), "groupIds", list{e.group}))},
			))}
		names := &resource{symbol: e.symbol + "EndpointNames", typ: "Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-10-01", parent: end, name: "default",
			body: of("properties", of("privateDnsZoneConfigs", list{of("name", e.group, "properties", of("privateDnsZoneId", ref(zone.symbol+".id")))}))}
		b.main.add(zone, link, end, names)
	}
}

// A secret's name is VAULT/NAME or VAULT/NAME/VERSION, or its URL.
var secretName = regexp.MustCompile(`^(?:https://)?([A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9])(?:\.vault\.azure\.net/secrets)?/([A-Za-z0-9-]{1,127})(?:/([0-9a-f]{32}))?$`)

// secrets are settings that the platform fills from Key Vaults; roles are the
// symbols of what lets it.
func (b *builder) secrets() (roles []string) {
	vaults := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(b.t.Secrets)) {
		part := secretName.FindStringSubmatch(b.t.Secrets[name])
		uri := text{"@Microsoft.KeyVault(SecretUri=https://" + part[1], fn("environment").at("suffixes.keyvaultDns"), "/secrets/" + part[2]}
		if part[3] != "" {
			uri = append(uri, "/"+part[3])
		}
		vaults[strings.ToLower(part[1])] = part[1]
		b.setting(name, append(uri, ")"))
	}
	for i, name := range slices.Sorted(maps.Keys(vaults)) {
		b.vaultRole("readsSecrets"+suffix(i), keyVaultSecretsUser, vaults[name], "")
		roles = append(roles, "readsSecrets"+suffix(i))
	}
	return roles
}

func suffix(i int) string {
	if i == 0 {
		return ""
	}
	return number(i + 1)
}

// vaultRole gives the identity a role on a vault that is there, perhaps in
// another resource group, which only a module can reach.
func (b *builder) vaultRole(symbol string, r role, vault, note string) {
	const path = "modules/vault-role.bicep"
	if b.modules[path] == nil {
		t := begin(b.d)
		t.add(
			&param{name: "vaultName", typ: "string"},
			&param{name: "identityId", typ: "string"},
			&param{name: "principalId", typ: "string"},
			&param{name: "roleId", typ: "string"},
		)
		v := &resource{symbol: "vault", typ: "Microsoft.KeyVault/vaults@2024-11-01", existing: true, name: ref("vaultName")}
		t.add(v, granted("role", ref("roleId"), v, ref("identityId"), ref("principalId"), "The vault has to ask for roles (enableRbacAuthorization), not for access policies."))
		b.modules[path] = t
		i := slices.IndexFunc(b.main.items, func(i any) bool { _, ok := i.(*variable); return ok })
		b.main.items = slices.Insert(b.main.items, i, any(&param{name: "keyVaultResourceGroup", typ: "string", about: "Where the Key Vaults are.", value: fn("resourceGroup").at("name")}))
	}
	b.main.add(&module{
		symbol: symbol, path: path, note: note, name: "vault-role-" + symbol, group: ref("keyVaultResourceGroup"), of: b.modules[path],
		params: of("vaultName", vault, "identityId", ref("identity.id"), "principalId", ref("identity.properties.principalId"), "roleId", b.role(r)),
	})
}

// keyPath is what follows the vault in a key's URL.
var keyPath = regexp.MustCompile(`^/keys/([A-Za-z0-9-]{1,127})(?:/([0-9a-f]{32}))?/?$`)

// partsOf are the name of a key's vault, its own, and its version or "".
func partsOf(key string) (vault, name, version string) {
	u, err := url.Parse(key)
	if err != nil {
		return "", "", ""
	}
	part := keyPath.FindStringSubmatch(u.Path)
	vault, ours := strings.CutSuffix(u.Host, ".vault.azure.net")
	if part == nil || u.RawQuery != "" || u.Fragment != "" || !ours || !vaultName.MatchString(vault) {
		return "", "", ""
	}
	return vault, part[1], part[2]
}

var vaultName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$`)
