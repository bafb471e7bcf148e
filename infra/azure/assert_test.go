package azure

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
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
			if !pinned.MatchString(c["image"].(string)) || len(c["probes"].([]any)) != 3 {
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

// hostile breaks out of whatever does not quote it.
const hostile = `'" ''' \ ${'x'} $(x) %x% [concat('x')] {{x}} {0} // #` + "`x` é \u202e"

func TestNothingBreaksOut(t *testing.T) {
	d := deployment(t, "model: fraud.onnx\ntargets: {azurefunctions: {env: {HOSTILE: x}}, azureml: {env: {HOSTILE: x}}}\n")
	for _, text := range []string{hostile, "[x]", "two\nlines\t\r", "", "'", "${", "$${", `\${`} {
		d.Spec.Targets.AzureFunctions.Env["HOSTILE"] = text
		d.Spec.Targets.AzureML.Env["HOSTILE"] = text
		d.Request.Path = "requests/a b'$(x)/1.json"
		d.Package = "a b'$(x).zip"
		var scripts string
		for path, data := range rendered(t, d, RenderFunctions, RenderML) {
			if strings.HasSuffix(path, ".bicep") && strings.Contains(data, "HOSTILE") {
				if got := literalOf(t, data, "HOSTILE: "); got != text {
					t.Errorf("%s: want %q, got %q", path, text, got)
				}
			}
			if path == "deployment.yml" {
				var v map[string]any
				if err := yaml.Unmarshal([]byte(data), &v); err != nil {
					t.Fatal(err)
				}
				if got := dig(v, []any{"environment_variables", "HOSTILE"}); got != text {
					t.Errorf("deployment.yml: want %q, got %q", text, got)
				}
			}
			if path == "deploy.sh" {
				scripts = data
			}
		}
		// A shell reads the name of the package as one word.
		cmd := exec.Command("sh")
		cmd.Stdin = strings.NewReader("AZURE_RESOURCE_GROUP=g AZURE_FUNCTION_NAME=f AZURE_STORAGE_NAME=s; az() { for w; do printf '%s\\n' \"$w\"; done; }\n" + scripts)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "\n--src\n"+d.Package+"\n--resource-group\ng\n") {
			t.Errorf("deploy.sh: %v\n%s", err, out)
		}
	}
}

// A variable may be called what Bicep has words for.
func TestWordsOfBicepAreNames(t *testing.T) {
	d := deployment(t, "model: fraud.onnx\ntargets: {azurefunctions: {env: {\"null\": a, \"true\": b, resource: c, _: d}}}\n")
	main := rendered(t, d, RenderFunctions)["infra/main.bicep"]
	for _, want := range []string{"\n    'null': 'a'\n", "\n    'true': 'b'\n", "\n    resource: 'c'\n", "\n    _: 'd'\n"} {
		if !strings.Contains(main, want) {
			t.Errorf("want %q", want)
		}
	}
}

func rendered(t testing.TB, d *render.Deployment, with ...func(*render.Deployment) ([]render.File, error)) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, f := range with {
		files, err := f(d)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(files, func(a, b render.File) int { return strings.Compare(a.Path, b.Path) }) {
			t.Error("files are not sorted")
		}
		for _, f := range files {
			all[f.Path] = string(f.Data)
		}
	}
	return all
}

// literalOf reads Bicep's string behind a key, which has to end the line.
func literalOf(t testing.TB, text, key string) string {
	t.Helper()
	_, rest, _ := strings.Cut(text, key)
	s, rest, err := unquoted(rest)
	if err != nil || !strings.HasPrefix(rest, "\n") {
		t.Fatalf("behind %s: %v, and then %.20q", key, err, rest)
	}
	return s
}

// unquoted is a reader of Bicep's strings in one line, by its grammar.
func unquoted(text string) (s, rest string, err error) {
	if !strings.HasPrefix(text, "'") {
		return "", "", fmt.Errorf("want a quote, got %.20q", text)
	}
	var b strings.Builder
	for i := 1; i < len(text); {
		switch c := text[i]; {
		case c == '\'':
			return b.String(), text[i+1:], nil
		case c == '\n' || c == '\r':
			return "", "", fmt.Errorf("the line ends within the string")
		case c == '$' && strings.HasPrefix(text[i:], "${"):
			return "", "", fmt.Errorf("an interpolation at %d", i)
		case c == '\\':
			plain, ok := map[byte]string{'\\': `\`, '\'': "'", 'n': "\n", 'r': "\r", 't': "\t", '$': "$"}[text[i+1]]
			i += 2
			if ok {
				b.WriteString(plain)
				break
			}
			var code rune
			end := strings.IndexByte(text[i:], '}')
			if text[i-1] != 'u' || end < 0 {
				return "", "", fmt.Errorf("an unknown escape at %d", i)
			}
			if _, err := fmt.Sscanf(text[i:i+end+1], "{%x}", &code); err != nil {
				return "", "", err
			}
			b.WriteRune(code)
			i += end + 1
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", "", fmt.Errorf("no end")
}

func FuzzLiteral(f *testing.F) {
	for _, s := range []string{hostile, "", "'", "${}", "\\${", "$$$${{", "a\x00b\u2028", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := strings.ToValidUTF8(s, "\ufffd")
		got, rest, err := unquoted(literal(s))
		// Each byte that is no UTF-8 is one sign of its own.
		if err != nil || rest != "" || strings.ReplaceAll(got, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("want %q, got %q and %q, %v", want, got, rest, err)
		}
	})
}

// Every key of the targets changes a file when it changes alone, or is refused.
func TestEveryKeyArrives(t *testing.T) {
	type change struct{ base, with string }
	flex, containers := "plan: flex", "plan: containerapps, gpu: t4"
	functions := map[string]change{
		"Plan": {flex, "plan: premium, memory: 2GiB"}, "Location": {flex, flex + ", location: westus2"}, "Memory": {flex, flex + ", memory: 512MiB"},
		"CPU": {"plan: containerapps", "plan: containerapps, cpu: 2"}, "GPU": {containers, "plan: containerapps, gpu: a100"},
		"MaxInstances": {flex, flex + ", maxInstances: 11"}, "AlwaysReady": {flex, flex + ", alwaysReady: 1"}, "HTTPConcurrency": {flex, flex + ", httpConcurrency: 3"},
		"Timeout": {containers, containers + ", timeout: 5m"}, "Subnet": {flex, flex + ", subnet: " + subnetID},
		"PrivateEndpoint": {flex + ", subnet: " + subnetID, flex + ", privateEndpoint: true, subnet: " + subnetID},
		"KeyVaultKey":     {flex, flex + ", keyVaultKey: https://acme.vault.azure.net/keys/k"},
		"Provider":        {containers, containers + ", provider: tensorrt"}, "ProviderOptions": {containers, containers + ", providerOptions: {device_id: \"0\"}"},
		"Gateway": {flex, flex + ", gateway: apim"},
		"Env":     {flex, flex + ", env: {A: b}"}, "Secrets": {flex, flex + ", secrets: {A: acme/b}"},
	}
	ml := map[string]change{
		"Mode": {"", "mode: batch"}, "Location": {"", "location: westus2"}, "InstanceType": {"", "instanceType: Standard_F4s_v2"}, "InstanceCount": {"", "instanceCount: 2"},
		"RequestTimeout": {"", "requestTimeout: 6s"}, "MaxConcurrentRequests": {"", "maxConcurrentRequests: 5"}, "MaxQueueWait": {"", "maxQueueWait: 1s"},
		"PublicNetworkAccess": {"", "publicNetworkAccess: disabled"}, "Env": {"", "env: {A: b}"}, "Secrets": {"", "secrets: {A: acme/b}"},
	}
	// fn-server reads these of the godwit.yaml in the image.
	inside := []string{"azureml.Provider", "azureml.ProviderOptions"}
	for target, of := range map[string]struct {
		typ     reflect.Type
		changes map[string]change
		render  func(*render.Deployment) ([]render.File, error)
	}{
		"azurefunctions": {reflect.TypeFor[spec.AzureFunctions](), functions, RenderFunctions},
		"azureml":        {reflect.TypeFor[spec.AzureML](), ml, RenderML},
	} {
		for _, f := range reflect.VisibleFields(of.typ) {
			if f.Anonymous || slices.Contains(inside, target+"."+f.Name) {
				continue
			}
			c, ok := of.changes[f.Name]
			if !ok {
				t.Errorf("%s: nothing changes %s here", target, f.Name)
				continue
			}
			with := func(keys string) (map[string]string, error) {
				other := "cloudrun: {}"
				if strings.Contains(keys, "gpu") {
					other = "cloudrun: {gpu: nvidia-l4}"
				}
				d := deployment(t, "model: fraud.onnx\nbatch: {input: rows/, output: scores/}\ntargets: {"+other+", "+target+": {"+keys+"}}\n")
				files, err := of.render(d)
				all := map[string]string{}
				for _, f := range files {
					all[f.Path] = string(f.Data)
				}
				return all, err
			}
			before, err := with(c.base)
			if err != nil {
				t.Fatalf("%s: %s: %v", target, f.Name, err)
			}
			after, err := with(c.with)
			switch {
			case err != nil && fault.CodeOf(err) != fault.BadConfig && fault.CodeOf(err) != fault.Unsupported:
				t.Errorf("%s.%s: %v", target, f.Name, err)
			case err == nil && cmp.Equal(before, after):
				t.Errorf("%s: %s arrives nowhere", target, f.Name)
			}
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	functions := func(keys string) string { return "model: m.onnx\ntargets: {azurefunctions: {" + keys + "}}\n" }
	ml := func(keys string) string { return "model: model.onnx\ntargets: {azureml: {" + keys + "}}\n" }
	for name, c := range map[string]struct {
		text   string
		change func(*render.Deployment)
		ml     bool
		code   fault.Code
		want   string
	}{
		"no target":           {text: "model: m.onnx\n", code: fault.BadConfig, want: "targets"},
		"no package":          {text: functions(""), change: func(d *render.Deployment) { d.Package = "" }, code: fault.BadConfig, want: "package"},
		"a package elsewhere": {text: functions(""), change: func(d *render.Deployment) { d.Package = "../m.zip" }, code: fault.BadConfig, want: "package"},
		"no digest":           {text: functions("plan: containerapps"), change: func(d *render.Deployment) { d.Image = "ghcr.io/acme/m:1" }, code: fault.BadConfig, want: "image"},
		"too small":           {text: functions("memory: 512MiB"), change: func(d *render.Deployment) { d.ModelBytes = 512 << 20 }, code: fault.BadConfig, want: at("memory")},
		"premium's largest":   {text: functions("plan: premium, memory: 15GiB"), code: fault.BadConfig, want: at("memory")},
		"a subnet's name":     {text: functions("subnet: functions"), code: fault.BadConfig, want: at("subnet")},
		"private, no subnet":  {text: functions("privateEndpoint: true"), code: fault.BadConfig, want: at("privateEndpoint")},
		"events to a private app": {text: "model: m.onnx\ntriggers: [events]\nbatch: {input: a/, output: b/}\ntargets: {azurefunctions: {privateEndpoint: true, subnet: " + subnetID + "}}\n",
			code: fault.Unsupported, want: at("privateEndpoint")},
		"a key elsewhere":         {text: functions("keyVaultKey: https://example.com/keys/k"), code: fault.BadConfig, want: at("keyVaultKey")},
		"a secret of a vault":     {text: functions("keyVaultKey: https://acme.vault.azure.net/secrets/k"), code: fault.BadConfig, want: at("keyVaultKey")},
		"a secret without vault":  {text: functions("secrets: {A: b}"), code: fault.BadConfig, want: at("secrets.A")},
		"auth key without keys":   {text: "model: m.onnx\nauth: key\ntargets: {azurefunctions: {}}\n", code: fault.BadConfig, want: at("secrets")},
		"auth key in a file":      {text: "model: m.onnx\nauth: {key: {file: /keys}}\ntargets: {azurefunctions: {}}\n", code: fault.BadConfig, want: "auth.key.file"},
		"our own variable":        {text: functions("env: {AZURE_CLIENT_ID: x}"), code: fault.BadConfig, want: at("env")},
		"a short name":            {text: functions("plan: containerapps"), code: fault.BadConfig, want: "name"},
		"triggers in containers":  {text: "model: fraud.onnx\ntriggers: [queue]\nbatch: {input: a/, output: b/}\ntargets: {azurefunctions: {plan: containerapps}}\n", code: fault.Unsupported, want: "triggers"},
		"a GPU nobody uses":       {text: "name: fraud\n" + functions("plan: containerapps, gpu: t4"), code: fault.BadConfig, want: at("provider")},
		"no pair":                 {text: "name: fraud\n" + functions("plan: containerapps, cpu: 2, memory: 3GiB"), code: fault.BadConfig, want: at("memory")},
		"a key without storage":   {text: "name: fraud\n" + functions("plan: containerapps, keyVaultKey: https://acme.vault.azure.net/keys/k"), code: fault.Unsupported, want: at("keyVaultKey")},
		"a bucket":                {text: "model: m.onnx\nbatch: {input: s3://lake/a/, output: b/}\ntargets: {azurefunctions: {}}\n", code: fault.Unsupported, want: "batch.input"},
		"no container":            {text: "model: m.onnx\nbatch: {input: azblob://acme/, output: b/}\ntargets: {azurefunctions: {}}\n", code: fault.Unsupported, want: "batch.input"},
		"split":                   {text: "model: m.onnx\ntriggers: [queue]\nbatch: {input: a/, output: b/, split: {queue: https://acme.queue.core.windows.net/rows}}\ntargets: {azurefunctions: {}}\n", code: fault.Unsupported, want: "batch.split"},
		"too many at a time":      {text: "model: m.onnx\ntriggers: [queue]\nbatch: {input: a/, output: b/, maxConcurrency: 33}\ntargets: {azurefunctions: {}}\n", code: fault.BadConfig, want: "batch.maxConcurrency"},
		"too many tries":          {text: "model: m.onnx\ntriggers: [objects]\nbatch: {input: a/, output: b/, attempts: 31}\ntargets: {azurefunctions: {}}\n", code: fault.BadConfig, want: "batch.attempts"},
		"ml: no target":           {text: "model: model.onnx\n", ml: true, code: fault.BadConfig, want: "targets"},
		"ml: no digest":           {text: ml(""), ml: true, change: func(d *render.Deployment) { d.Image = "" }, code: fault.BadConfig, want: "image"},
		"ml: a short name":        {text: "model: m.onnx\ntargets: {azureml: {}}\n", ml: true, code: fault.BadConfig, want: "name"},
		"ml: too small":           {text: ml(""), ml: true, change: func(d *render.Deployment) { d.ModelBytes = 14 << 30 }, code: fault.BadConfig, want: "targets.azureml.instanceType"},
		"ml: anybody":             {text: "auth: none\n" + ml(""), ml: true, code: fault.Unsupported, want: "auth: none"},
		"ml: tokens":              {text: "auth: {jwt: {issuer: https://a.example, audience: [a]}}\n" + ml(""), ml: true, code: fault.Unsupported, want: "auth: jwt"},
		"ml: no keys":             {text: "auth: key\n" + ml(""), ml: true, code: fault.BadConfig, want: "targets.azureml.secrets"},
		"ml: a secret alone":      {text: ml("secrets: {A: b}"), ml: true, code: fault.BadConfig, want: "targets.azureml.secrets.A"},
		"ml: triggers":            {text: "triggers: [queue]\nbatch: {input: a/, output: b/}\n" + ml(""), ml: true, code: fault.Unsupported, want: "triggers"},
		"ml: a batch's timeout":   {text: "batch: {input: a/, output: b/}\n" + ml("mode: batch, requestTimeout: 5s"), ml: true, code: fault.Unsupported, want: "targets.azureml.requestTimeout"},
		"ml: a batch of many":     {text: "batch: {input: a/, output: b/}\n" + ml("mode: batch, instanceCount: 2"), ml: true, code: fault.Unsupported, want: "targets.azureml.instanceCount"},
		"ml: a batch's secrets":   {text: "batch: {input: a/, output: b/}\n" + ml("mode: batch, secrets: {A: acme/b}"), ml: true, code: fault.Unsupported, want: "targets.azureml.secrets"},
		"ml: a batch of a bucket": {text: "batch: {input: s3://lake/a/, output: b/}\n" + ml("mode: batch"), ml: true, code: fault.Unsupported, want: "batch.input"},
	} {
		d := deployment(t, c.text)
		if c.change != nil {
			c.change(d)
		}
		with := RenderFunctions
		if c.ml {
			with = RenderML
		}
		files, err := with(d)
		e := fault.Of(err)
		if e == nil || files != nil || e.Code != c.code || e.Subject != c.want {
			t.Errorf("%s: want %v about %s, got %v", name, c.code, c.want, err)
		}
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
