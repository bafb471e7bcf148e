package azure

import (
	"net/url"
	"slices"
	"strings"

	"godwit.dev/runtime/lazy"
)

// network adds private endpoints, with the names by which they are found.
func (b *builder) network() {
	if !b.t.PrivateEndpoint || b.t.Plan == "containerapps" {
		return
	}
	// A subnet with integrated apps takes no private endpoints.
	at := &param{name: "privateEndpointSubnetId", typ: "string", about: "The id of the subnet for private endpoints, in the same network as the function's and not the same."}
	b.param(at)
	b.main.add(&variable{name: "networkId", note: "The network that the subnet is in.",
		value: fn("join", fn("take", fn("split", ref("privateEndpointSubnetId"), "/"), 9), "/")})
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
var secretName = lazy.Regexp(`^(?:https://)?([A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9])(?:\.vault\.azure\.net/secrets)?/([A-Za-z0-9-]{1,127})(?:/([0-9a-f]{32}))?$`)

// secrets are settings that the platform fills from Key Vaults; roles are the
// symbols of what lets it.
func (b *builder) secrets() (roles []string) {
	vaults := map[string]string{}
	for _, name := range sorted(b.t.Secrets) {
		part := secretName().FindStringSubmatch(b.t.Secrets[name])
		uri := text{"@Microsoft.KeyVault(SecretUri=https://" + part[1], fn("environment").at("suffixes.keyvaultDns"), "/secrets/" + part[2]}
		if part[3] != "" {
			uri = append(uri, "/"+part[3])
		}
		vaults[strings.ToLower(part[1])] = part[1]
		b.setting(name, append(uri, ")"))
	}
	return b.readers(vaults)
}

// readers are the symbols of the roles that let the function read vaults.
func (b *builder) readers(vaults map[string]string) (roles []string) {
	for i, name := range sorted(vaults) {
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

// vaultRole gives the identity a role on a Key Vault that is there.
func (b *builder) vaultRole(symbol string, r role, vault, note string) {
	b.roleElsewhere(symbol, r, vault, note, elsewhere{
		"vault", "Microsoft.KeyVault/vaults@2024-11-01", "keyVaultResourceGroup", "Where the Key Vaults are.",
		"The vault has to ask for roles (enableRbacAuthorization), not for access policies.",
	})
}

// registryRole lets the identity pull from a registry that is there.
func (b *builder) registryRole(registry string) string {
	b.roleElsewhere("pullsImages", containerRegistryPull, registry, "", elsewhere{
		"registry", "Microsoft.ContainerRegistry/registries@2023-07-01", "registryResourceGroup", "Where the registry of the image is.", "",
	})
	return "pullsImages"
}

// elsewhere is a kind of resource that these files do not make, and that may be
// in another resource group, which only a module can reach.
type elsewhere struct{ what, typ, group, about, note string }

func (b *builder) roleElsewhere(symbol string, r role, name, note string, e elsewhere) {
	path := "modules/" + e.what + "-role.bicep"
	if b.modules[path] == nil {
		t := begin(b.d)
		t.add(
			&param{name: e.what + "Name", typ: "string"},
			&param{name: "identityId", typ: "string"},
			&param{name: "principalId", typ: "string"},
			&param{name: "roleId", typ: "string"},
		)
		v := &resource{symbol: e.what, typ: e.typ, existing: true, name: ref(e.what + "Name")}
		t.add(v, granted("role", ref("roleId"), v, ref("identityId"), ref("principalId"), e.note))
		b.modules[path] = t
		b.param(&param{name: e.group, typ: "string", about: e.about, value: fn("resourceGroup").at("name")})
	}
	b.main.add(&module{
		symbol: symbol, path: path, note: note, name: e.what + "-role-" + symbol, group: ref(e.group), of: b.modules[path],
		params: of(e.what+"Name", name, "identityId", ref("identity.id"), "principalId", ref("identity.properties.principalId"), "roleId", b.role(r)),
	})
}

// param adds p behind the parameters that are there.
func (b *builder) param(p *param) {
	i := slices.IndexFunc(b.main.items, func(i any) bool { _, ok := i.(*variable); return ok })
	b.main.items = slices.Insert(b.main.items, i, any(p))
}

// keyPath is what follows the vault in a key's URL.
var keyPath = lazy.Regexp(`^/keys/([A-Za-z0-9-]{1,127})(?:/([0-9a-f]{32}))?/?$`)

// partsOf are the name of a key's vault, its own, and its version or "".
func partsOf(key string) (vault, name, version string) {
	u, err := url.Parse(key)
	if err != nil {
		return "", "", ""
	}
	part := keyPath().FindStringSubmatch(u.Path)
	vault, ours := strings.CutSuffix(u.Host, ".vault.azure.net")
	if part == nil || u.RawQuery != "" || u.Fragment != "" || !ours || !vaultName().MatchString(vault) {
		return "", "", ""
	}
	return vault, part[1], part[2]
}

var vaultName = lazy.Regexp(`^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$`)
