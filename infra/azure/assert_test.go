package azure

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func duration(v any) time.Duration {
	n, _ := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	return time.Duration(n)
}

// all are the ARM templates of every golden spec, modules among them.
func all(t testing.TB) map[string]map[string]any {
	docs := map[string]map[string]any{}
	for name, text := range functionSpecs(t) {
		for path, doc := range templates(t, named(t, name, text)) {
			docs["functions/"+name+"/"+path] = doc
		}
	}
	for name, text := range mlSpecs(t) {
		docs["ml/"+name] = armOf(t, newML(deployment(t, text)).template())
	}
	for name, doc := range maps.Clone(docs) {
		for symbol, r := range doc["resources"].(map[string]any) {
			if inner, ok := dig(r, []any{"properties", "template"}).(map[string]any); ok && inner["resources"] != nil {
				docs[name+"/"+symbol] = inner
			}
		}
	}
	return docs
}

func resourcesOf(doc map[string]any, typ string) map[string]map[string]any {
	found := map[string]map[string]any{}
	for symbol, r := range doc["resources"].(map[string]any) {
		if m := r.(map[string]any); m["type"] == typ && m["existing"] == nil {
			found[symbol] = m
		}
	}
	return found
}

// mayDo are the built-in roles that the files may give, by Azure's own ids. None
// of them can change a resource or give a role.
var mayDo = map[string]string{
	"b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
	"ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
	"2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
	"19e7f393-937e-4f77-808e-94535e297925": "Storage Queue Data Reader",
	"8a0f0c08-91a1-4084-bc3d-661d67233fed": "Storage Queue Data Message Processor",
	"c6a89b2d-59bc-44d0-9896-0f6e12d7b80a": "Storage Queue Data Message Sender",
	"4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
	"a638d3c7-ab3a-418d-83e6-5f17a39d4fde": "Azure Event Hubs Data Receiver",
	"3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
	"4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
	"e147488a-f6f5-4113-8e2d-b22465e65bf6": "Key Vault Crypto Service Encryption User",
	"7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
}

var guids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// What no golden file can bless: who may do what, with no key anywhere, and
// nothing that fails is lost.
func TestRolesAreMinimal(t *testing.T) {
	given := map[string]bool{}
	for name, doc := range all(t) {
		text := string(asJSON(t, doc))
		for _, id := range guids.FindAllString(text, -1) {
			if id == "00000000-0000-0000-0000-000000000000" { // the subnet's subscription
				continue
			}
			if mayDo[id] == "" {
				t.Errorf("%s: %s is no role that may be given", name, id)
			}
			given[id] = true
		}
		for symbol, r := range resourcesOf(doc, "Microsoft.Authorization/roleAssignments") {
			if r["scope"] == nil {
				t.Errorf("%s: %s is for the whole resource group", name, symbol)
			}
		}
		for _, never := range []string{"listKeys", "listSecrets", "AccountKey", "SharedAccessKey", "sharedKey\"", "connectionStrings"} {
			if strings.Contains(text, never) && (never != "listKeys" || !strings.HasSuffix(name, "gateway.json")) {
				t.Errorf("%s: has %s", name, never)
			}
		}
	}
	if len(given) != len(mayDo) {
		t.Errorf("%d of %d roles are given in some spec", len(given), len(mayDo))
	}
}

func TestStorageHasNoKeysAndIsClosed(t *testing.T) {
	count := 0
	for name, doc := range all(t) {
		for _, r := range resourcesOf(doc, "Microsoft.Storage/storageAccounts") {
			count++
			p := r["properties"].(map[string]any)
			for key, want := range map[string]any{"allowSharedKeyAccess": false, "allowBlobPublicAccess": false, "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true} {
				if p[key] != want {
					t.Errorf("%s: %s: want %v, got %v", name, key, want, p[key])
				}
			}
			closed := strings.Contains(name, "closed") || strings.Contains(name, "everything")
			if got := dig(p, []any{"networkAcls", "defaultAction"}); (got == "Deny") != closed {
				t.Errorf("%s: a firewall that says %v", name, got)
			}
		}
		for _, r := range resourcesOf(doc, "Microsoft.Storage/storageAccounts/blobServices/containers") {
			if got := dig(r, []any{"properties", "publicAccess"}); got != "None" {
				t.Errorf("%s: a container with public access %v", name, got)
			}
		}
		for _, typ := range []string{"Microsoft.ServiceBus/namespaces", "Microsoft.EventHub/namespaces", "Microsoft.EventGrid/topics"} {
			for symbol, r := range resourcesOf(doc, typ) {
				if dig(r, []any{"properties", "disableLocalAuth"}) != true {
					t.Errorf("%s: %s lets keys in", name, symbol)
				}
			}
		}
	}
	if count < 5 {
		t.Errorf("%d accounts were seen", count)
	}
}

func TestNothingThatFailsIsLost(t *testing.T) {
	seen := map[string]int{}
	for name, doc := range all(t) {
		queues := map[string]bool{}
		const queue = "Microsoft.Storage/storageAccounts/queueServices/queues"
		for _, r := range resourcesOf(doc, queue) {
			queues[r["name"].(string)] = true
		}
		for q := range queues {
			seen[queue]++
			if !strings.Contains(q, "-poison'") && !queues[strings.Replace(q, "'rows'", "'rows-poison'", 1)] {
				t.Errorf("%s: %s has no poison queue", name, q)
			}
		}
		for _, typ := range []string{"Microsoft.EventGrid/systemTopics/eventSubscriptions", "Microsoft.EventGrid/topics/eventSubscriptions"} {
			for symbol, r := range resourcesOf(doc, typ) {
				seen[typ]++
				if dig(r, []any{"properties", "deadLetterWithResourceIdentity", "deadLetterDestination", "properties", "blobContainerName"}) != deadAt {
					t.Errorf("%s: %s has no dead letters", name, symbol)
				}
			}
		}
		for symbol, r := range resourcesOf(doc, "Microsoft.ServiceBus/namespaces/topics/subscriptions") {
			seen["topic"]++
			if dig(r, []any{"properties", "deadLetteringOnMessageExpiration"}) != true || dig(r, []any{"properties", "maxDeliveryCount"}) != 7 {
				t.Errorf("%s: %s: %v", name, symbol, r["properties"])
			}
		}
	}
	// Each of them has an alarm.
	for name, doc := range all(t) {
		text := string(asJSON(t, doc["resources"]))
		if len(resourcesOf(doc, "Microsoft.Storage/storageAccounts/queueServices/queues")) > 0 {
			if rules := resourcesOf(doc, "Microsoft.Insights/scheduledQueryRules"); len(rules) != 1 || !strings.Contains(string(asJSON(t, rules)), "rows-poison'") {
				t.Errorf("%s: the poison queue has no alarm", name)
			}
		}
		for typ, metric := range map[string]string{
			"Microsoft.ServiceBus/namespaces/topics/subscriptions": "DeadletteredMessages",
			"Microsoft.EventGrid/systemTopics/eventSubscriptions":  "DeadLetteredCount", "Microsoft.EventGrid/topics/eventSubscriptions": "DeadLetteredCount",
		} {
			alarms := len(resourcesOf(doc, "Microsoft.Insights/metricAlerts")) + len(resourcesOf(doc, "Microsoft.Insights/scheduledQueryRules"))
			if len(resourcesOf(doc, typ)) > 0 && (alarms == 0 || !strings.Contains(text, metric)) {
				t.Errorf("%s: %s has no alarm", name, typ)
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("seen %v", seen)
	}
}

// Apps speak TLS, deploy without passwords, and are public only if nothing says
// otherwise; containers have images by digest, probes and enough memory.
func TestAppsAreSafe(t *testing.T) {
	sites, containers := 0, 0
	for name, doc := range all(t) {
		for _, r := range resourcesOf(doc, "Microsoft.Web/sites") {
			sites++
			p := r["properties"].(map[string]any)
			private := strings.Contains(name, "everything")
			if p["httpsOnly"] != true || (p["publicNetworkAccess"] == "Disabled") != private || dig(p, []any{"siteConfig", "minTlsVersion"}) != "1.2" {
				t.Errorf("%s: %v", name, p)
			}
			passwords := resourcesOf(doc, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
			for _, one := range passwords {
				if dig(one, []any{"properties", "allow"}) != false {
					t.Errorf("%s: passwords deploy packages", name)
				}
			}
			if len(passwords) != 2 {
				t.Errorf("%s: %d policies about passwords", name, len(passwords))
			}
		}
		for _, r := range resourcesOf(doc, "Microsoft.App/containerApps") {
			containers++
			c := dig(r, []any{"properties", "template", "containers"}).([]any)[0].(map[string]any)
			if !pinned().MatchString(c["image"].(string)) || len(c["probes"].([]any)) != 3 {
				t.Errorf("%s: %v", name, c)
			}
			if dig(r, []any{"properties", "configuration", "ingress", "allowInsecure"}) != false {
				t.Errorf("%s: plain HTTP", name)
			}
			checked := len(resourcesOf(doc, "Microsoft.App/containerApps/authConfigs")) == 1
			if platform := strings.Contains(name, "gpu"); checked != platform {
				t.Errorf("%s: checked by Entra: %v", name, checked)
			}
		}
	}
	if sites < 5 || containers != 2 {
		t.Errorf("%d sites and %d containers", sites, containers)
	}
}

// Of accounts that are there the function reads one container and writes the
// other, and is told of the rows alone.
func TestLakes(t *testing.T) {
	docs := templates(t, deployment(t, functionSpecs(t)["lake"]))
	roles := map[string]any{}
	for _, r := range resourcesOf(docs["main.json"], "Microsoft.Resources/deployments") {
		p := []any{"properties", "parameters"}
		name := number(dig(r, append(p, "accountName", "value"))) + "/" + number(dig(r, append(p, "containerName", "value")))
		roles[name] = dig(r, append(p, "roleId", "value"))
	}
	want := map[string]any{
		"acmelake/rows": "[variables('roles').storageBlobDataReader]", "acmelake/scores": "[variables('roles').storageBlobDataContributor]",
	}
	if diff := cmp.Diff(want, roles); diff != "" {
		t.Error(diff)
	}
	events := docs["events.json"]["resources"]
	if got := dig(events, []any{"objectsSubscription", "properties", "filter", "subjectBeginsWith"}); got != "/blobServices/default/containers/rows/blobs/2026/" {
		t.Errorf("events of %v", got)
	}
	if got := dig(events, []any{"objectsTopic", "properties", "source"}); !strings.Contains(got.(string), "'acmelake'") {
		t.Errorf("events of %v", got)
	}
	for prefix, want := range map[string]place{
		"rows/": {"", dataAt, "rows/"}, "./": {"", dataAt, ""}, "a/b": {"", dataAt, "a/b/"}, "azblob://acme/lake": {"acme", "lake", ""}, "azblob://acme/lake/a/b/": {"acme", "lake", "a/b/"},
	} {
		if got, ok := placeOf(prefix); got != want || !ok {
			t.Errorf("%s: want %v, got %v", prefix, want, got)
		}
	}
	for _, prefix := range []string{"s3://lake/a/", "azblob://acme/", "azblob://a/lake/", "azblob://acme/La--ke/", "azblob://acme'/lake/", "azblob://acme/la'ke/"} {
		if got, ok := placeOf(prefix); ok {
			t.Errorf("%s: want none, got %v", prefix, got)
		}
	}
}

// Behind a private endpoint the app, its blobs and its queues have one each, and
// a name by which it is found.
func TestPrivateEndpoints(t *testing.T) {
	doc := templates(t, deployment(t, everything))["main.json"]
	groups := map[any]bool{}
	for symbol, r := range resourcesOf(doc, "Microsoft.Network/privateEndpoints") {
		connection := dig(r, []any{"properties", "privateLinkServiceConnections"}).([]any)[0]
		for _, g := range dig(connection, []any{"properties", "groupIds"}).([]any) {
			groups[g] = true
		}
		if dig(r, []any{"properties", "subnet", "id"}) != "[parameters('privateEndpointSubnetId')]" {
			t.Errorf("%s is in another subnet", symbol)
		}
		if dig(doc["resources"], []any{symbol + "Names", "properties"}) == nil {
			t.Errorf("%s has no name", symbol)
		}
	}
	if diff := cmp.Diff(map[any]bool{"sites": true, "blob": true, "queue": true}, groups); diff != "" {
		t.Error(diff)
	}
	zones := len(resourcesOf(doc, "Microsoft.Network/privateDnsZones"))
	if links := len(resourcesOf(doc, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")); zones != 3 || links != 3 {
		t.Errorf("%d zones with %d links", zones, links)
	}
}

// A function that asks for a key is reached through API Management by whoever
// has a subscription; its own key is a secret there.
func TestTheGatewayChecksCallers(t *testing.T) {
	seen := map[any]bool{}
	for name, doc := range all(t) {
		for _, r := range resourcesOf(doc, "Microsoft.ApiManagement/service/apis") {
			required := dig(r, []any{"properties", "subscriptionRequired"})
			keys := resourcesOf(doc, "Microsoft.ApiManagement/service/namedValues")
			if platform := strings.Contains(name, "/gateway/"); required != platform || (len(keys) == 1) != platform {
				t.Errorf("%s: a subscription is wanted: %v, with %d keys", name, required, len(keys))
			}
			for _, k := range keys {
				if dig(k, []any{"properties", "secret"}) != true {
					t.Errorf("%s: a key that can be read", name)
				}
			}
			seen[required] = true
		}
	}
	if len(seen) != 2 {
		t.Errorf("seen %v", seen)
	}
}

// What is told to be run has nothing to fill in, and is what the README says.
func TestCommands(t *testing.T) {
	for name, text := range mlSpecs(t) {
		d := deployment(t, text)
		readme := rendered(t, d, RenderML)["README.md"]
		for _, c := range MLCommands(d) {
			line := strings.Join(c.Args, " ")
			if !strings.Contains(readme, line) || strings.ContainsAny(line, "<>$…") || c.Why == "" {
				t.Errorf("%s: %s", name, line)
			}
			for i, a := range c.Args {
				if a == "--file" && rendered(t, d, RenderML)[c.Args[i+1]] == "" {
					t.Errorf("%s: %s is not rendered", name, c.Args[i+1])
				}
			}
		}
	}
	for name, text := range functionSpecs(t) {
		files := rendered(t, deployment(t, text), RenderFunctions)
		var azd struct {
			Infra struct{ Path, Module string }
			Hooks map[string]struct{ Run string }
		}
		if err := yaml.Unmarshal([]byte(files["azure.yaml"]), &azd); err != nil {
			t.Fatal(err)
		}
		if files[azd.Infra.Path+"/"+azd.Infra.Module+".bicep"] == "" {
			t.Errorf("%s: azd finds no template", name)
		}
		if run := azd.Hooks["postprovision"].Run; run != "" && files[strings.TrimPrefix(run, "./")] == "" {
			t.Errorf("%s: azd finds no %s", name, run)
		}
		var parameters struct {
			Parameters map[string]struct{ Value any }
		}
		if err := json.Unmarshal([]byte(files["infra/main.parameters.json"]), &parameters); err != nil || len(parameters.Parameters) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		for p := range parameters.Parameters {
			if !strings.Contains(files["infra/main.bicep"], "param "+p+" ") {
				t.Errorf("%s: %s is no parameter", name, p)
			}
		}
	}
}

// What function.json in the package refers to is among the app's settings.
func TestSettingsAreThoseOfThePackage(t *testing.T) {
	source, err := os.ReadFile("../../internal/pack/azure.go")
	if err != nil {
		t.Fatal(err)
	}
	b := functions(deployment(t, "model: fraud.onnx\nbatch: {input: a/, output: b/}\ntriggers: [objects, events, queue, topic, stream]\ntargets: {azurefunctions: {}}\n"))
	has := func(prefix string) bool {
		return slices.ContainsFunc(b.settings, func(f field) bool { return strings.HasPrefix(f.key.(string), prefix) })
	}
	names := regexp.MustCompile(`%([A-Z_]+)%`).FindAllStringSubmatch(string(source), -1)
	connections := regexp.MustCompile(`"connection": "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(names) != 5 || len(connections) != 3 { // GODWIT_… and the comment's NAME
		t.Errorf("the package refers to %v and %v", names, connections)
	}
	for _, n := range names {
		if n[1] != "NAME" && !has(n[1]) {
			t.Errorf("%s is not set", n[1])
		}
	}
	for _, c := range connections {
		if !has(c[1]+"__clientId") || !has(c[1]+"__credential") {
			t.Errorf("%s is no connection by identity", c[1])
		}
	}
}
