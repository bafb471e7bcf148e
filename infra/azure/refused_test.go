package azure

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

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
				return rendertest.ByPath(files), err
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
