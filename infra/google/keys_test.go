package google_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"godwit.dev/infra/google"
	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/infra/spec"
)

// others are other values of keys that do not take any text or number.
var others = map[string]any{
	"EncryptionKey": "projects/other/locations/l/keyRings/r/cryptoKeys/k", "Network": "projects/1/global/networks/other", "ServiceAccount": "other-account",
	"Push.ServiceAccounts": []string{"other@acme.iam.gserviceaccount.com"}, "Push.DeadLetterTopic": "projects/acme/topics/other",
	"Gateway.Callers": []string{"other@acme.iam.gserviceaccount.com"}, "Common.Secrets": map[string]string{"OTHER": "secret", "GODWIT_API_KEYS": "fraud-keys"},
	"ExecutionEnvironment": "gen1", "Billing": "request", "Ingress": "internal", "VPCEgress": "private-ranges-only", "GPU": "nvidia-rtx-pro-6000",
}

// each calls f with every key of the block that at finds, and a deployment in which that key alone is another.
func each(t *testing.T, fresh func() *render.Deployment, at func(*render.Deployment) reflect.Value, f func(name string, d *render.Deployment)) {
	t.Helper()
	var walk func(prefix string, at func(*render.Deployment) reflect.Value)
	walk = func(prefix string, at func(*render.Deployment) reflect.Value) {
		of := at(fresh()).Type()
		for i := range of.NumField() {
			name := prefix + of.Field(i).Name
			field := func(d *render.Deployment) reflect.Value { return at(d).Field(i) }
			switch of.Field(i).Type.Kind() {
			case reflect.Struct:
				walk(name+".", field)
				continue
			case reflect.Pointer:
				walk(name+".", func(d *render.Deployment) reflect.Value { return field(d).Elem() })
				continue
			}
			d := fresh()
			v := field(d)
			switch other, ok := others[name]; {
			case ok:
				v.Set(reflect.ValueOf(other))
			case v.Kind() == reflect.String:
				v.SetString("other")
			case v.Kind() == reflect.Int:
				v.SetInt(v.Int() + 1)
			case v.Kind() == reflect.Int64: // times, sizes, CPUs
				v.SetInt(v.Int() + 1_000_000_000*4)
			case v.Kind() == reflect.Bool:
				v.SetBool(!v.Bool())
			case v.Kind() == reflect.Map:
				v.Set(reflect.ValueOf(map[string]string{"OTHER": "one"}))
			default:
				t.Fatalf("%s is a %v", name, v.Kind())
			}
			f(name, d)
		}
	}
	walk("", at)
}

// changed are the files that differ.
func changed(before, after map[string]string) (all []string) {
	for path := range after {
		if before[path] != after[path] {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	return all
}

// Every key arrives in what gcloud applies, in the Terraform module, and, where
// it is one of the service's, in gcloud's line.
func TestEveryKeyOfCloudRunArrivesEverywhere(t *testing.T) {
	// Read of the godwit.yaml in the image, by fn-server.
	inside := map[string]bool{"Common.Provider": true, "Common.ProviderOptions": true}
	text := strings.Replace(variants[slices.IndexFunc(variants, func(v struct{ name, yaml string }) bool { return v.name == "everything" })].yaml,
		"    cpu: 2\n    memory: 3GiB\n", "    gpu: nvidia-l4\n", 1)
	text = strings.Replace(text, "taskTimeout: 2h", "taskTimeout: 1h", 1)
	fresh := func() *render.Deployment {
		d := deployment(t, text)
		d.Spec.Targets.CloudRun.Gateway = &spec.CloudRunGateway{}
		return d
	}
	plain, line := files(t, fresh()), google.CloudRunLine(fresh())
	count := 0
	each(t, fresh, func(d *render.Deployment) reflect.Value { return reflect.ValueOf(d.Spec.Targets.CloudRun).Elem() }, func(name string, d *render.Deployment) {
		if inside[name] {
			return
		}
		if name == "Gateway.Callers" { // of auth: platform
			d.Spec.Auth = spec.Auth{Mode: "platform"}
			d.Spec.Targets.CloudRun.Push = nil
			before := deployment(t, text)
			before.Spec.Auth, before.Spec.Targets.CloudRun.Push = d.Spec.Auth, nil
			before.Spec.Targets.CloudRun.Gateway = &spec.CloudRunGateway{Callers: []string{"app@acme.iam.gserviceaccount.com"}}
			if got := changed(files(t, before), files(t, d)); !slices.Contains(got, "openapi.yaml") || !slices.Contains(got, "terraform/openapi.yaml") {
				t.Errorf("%s changes %v", name, got)
			}
			return
		}
		count++
		all, err := google.RenderCloudRun(d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		got := changed(plain, rendertest.ByPath(all))
		applied := slices.ContainsFunc(got, func(path string) bool { return strings.HasSuffix(path, ".yaml") || path == "deploy.sh" })
		module := slices.Contains(got, "terraform/main.tf") || slices.Contains(got, "terraform/variables.tf")
		if !applied || !module {
			t.Errorf("%s changes %v", name, got)
		}
		if !strings.Contains(name, ".") && google.CloudRunLine(d) == line {
			t.Errorf("%s is not in gcloud's line", name)
		}
	})
	if count < 28 {
		t.Errorf("only %d keys were changed", count)
	}
}

// Every key of Vertex AI changes what is sent, or is refused.
func TestEveryKeyOfVertexAIArrives(t *testing.T) {
	inside := map[string]bool{"Common.Provider": true, "Common.ProviderOptions": true}
	fresh := func() *render.Deployment { return deployment(t, vertexVariants[1].yaml) }
	plain := vertexFiles(t, fresh())
	refused := map[string]bool{"Common.Secrets": true, "Network": true, "DedicatedEndpoint": true}
	each(t, fresh, func(d *render.Deployment) reflect.Value { return reflect.ValueOf(d.Spec.Targets.VertexAI).Elem() }, func(name string, d *render.Deployment) {
		if inside[name] {
			return
		}
		all, err := google.RenderVertexAI(d)
		if refused[name] != (err != nil) {
			t.Errorf("%s: refused %v, got %v", name, refused[name], err)
		}
		if err == nil && len(changed(plain, rendertest.ByPath(all))) == 0 {
			t.Errorf("%s changes nothing", name)
		}
	})
}
