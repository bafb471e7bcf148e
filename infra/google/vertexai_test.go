package google_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"godwit.dev/infra/render/rendertest"
	"godwit.dev/internal/golden"
)

var vertexVariants = []struct{ name, yaml string }{
	{"vertex", "model: fraud.onnx\ntargets: {vertexai: {}}\n"},
	{"vertexeverything", `model: fraud.onnx
auth: none
targets:
  vertexai:
    region: europe-west4
    machineType: g2-standard-8
    acceleratorType: NVIDIA_L4
    acceleratorCount: 1
    minReplicas: 2
    maxReplicas: 4
    dedicatedEndpoint: true
    timeout: 10m
    serviceAccount: scoring@acme.iam.gserviceaccount.com
    encryptionKey: projects/acme/locations/europe-west4/keyRings/models/cryptoKeys/fraud
    env: {GREETING: "say \"hello\", $(USER) </b>"}
`},
	{"vertexprivate", "model: fraud.onnx\ntargets: {vertexai: {network: projects/123456789/global/networks/models}}\n"},
}

func TestVertexGolden(t *testing.T) {
	for _, v := range vertexVariants {
		t.Run(v.name, func(t *testing.T) {
			golden.Folder(t, "golden/"+v.name, vertexFiles(t, deployment(t, v.yaml)))
		})
	}
}

func TestVertexDeploysOnceAndReplacesWhatIsOld(t *testing.T) {
	for _, v := range vertexVariants {
		t.Run(v.name, func(t *testing.T) {
			d := deployment(t, v.yaml)
			all := vertexFiles(t, d)
			there := []string{}
			if a := d.Spec.Targets.VertexAI.ServiceAccount; a != "" {
				there = append(there, "iam service-accounts "+a)
			}
			c := newCloud(t, there...)
			env := []string{"PROJECT=acme", "REGION=europe-west1", "PAUSE=0"}
			changes := func(calls []call) (all []string) {
				for _, one := range calls {
					kind, verb, _, _ := one.parse()
					if verb == "create" || verb == "deploy-model" || verb == "undeploy-model" {
						all = append(all, kind+" "+verb)
					}
					if one.Args[0] == "curl" {
						path, _, _ := strings.Cut(one.Args[2], "?")
						all = append(all, one.Args[1]+" "+path)
					}
				}
				return all
			}
			first, out, ok := c.run(all, "deploy.sh", env...)
			got := strings.Join(changes(first), ", ")
			if !ok || !strings.HasSuffix(got, "POST endpoints, POST models:upload, ai endpoints deploy-model") {
				t.Fatalf("want endpoint, model and deployment, got %v %s\n%s", ok, got, out)
			}
			second, out, ok := c.run(all, "deploy.sh", env...)
			for _, one := range changes(second) {
				if !ok || !strings.HasPrefix(one, "PATCH endpoints/") {
					t.Fatalf("want no change where everything is there, got %v %s\n%s", ok, one, out)
				}
			}
			d.Image = strings.ReplaceAll(d.Image, "9f86", "0000")
			third, out, ok := c.run(vertexFiles(t, d), "deploy.sh", env...)
			if got := strings.Join(changes(third), ", "); !ok || !strings.HasSuffix(got, "POST models:upload, ai endpoints deploy-model, ai endpoints undeploy-model") {
				t.Fatalf("want another version in place of the first, got %v %s\n%s", ok, got, out)
			}
			if _, out, ok := c.run(all, "teardown.sh", env...); !ok {
				t.Fatalf("teardown.sh failed:\n%s", out)
			}
			left, err := os.ReadDir(c.dir + "/state")
			if err != nil || len(left) != len(there) {
				t.Errorf("teardown.sh leaves %v %v", left, err)
			}
		})
	}
}

// What script and module make has the same names, so that one goes on where the other ended.
func TestVertexModuleMakesTheScriptsEndpoint(t *testing.T) {
	for _, v := range vertexVariants {
		t.Run(v.name, func(t *testing.T) {
			all := vertexFiles(t, deployment(t, v.yaml))
			var endpoint, account bool
			for _, r := range planned(t, all) {
				switch r.typ {
				case "google_vertex_ai_endpoint":
					endpoint = true
					if !strings.Contains(all["deploy.sh"], "endpoints?endpointId="+r.text("name")+"\"") {
						t.Errorf("deploy.sh has another endpoint than %s", r.text("name"))
					}
					var said map[string]any
					if err := json.Unmarshal([]byte(all["endpoint.json"]), &said); err != nil {
						t.Fatal(err)
					}
					key, _ := rendertest.Within(said, "encryptionSpec", "kmsKeyName").(string)
					network, _ := said["network"].(string)
					dedicated, _ := said["dedicatedEndpointEnabled"].(bool)
					mine, _ := r.attr["dedicated_endpoint_enabled"].(bool)
					if said["displayName"] != r.text("display_name") || key != r.text("encryption_spec", "0", "kms_key_name") || network != r.text("network") || dedicated != mine {
						t.Errorf("endpoint.json has %v and the module %v", said, r.attr)
					}
				case "google_service_account":
					account = true
					if !strings.Contains(all["deploy.sh"], "service-accounts create "+r.text("account_id")+" ") {
						t.Errorf("deploy.sh makes another account than %s", r.text("account_id"))
					}
				}
			}
			if !endpoint || account != strings.Contains(all["deploy.sh"], "service-accounts create") {
				t.Errorf("endpoint %v, account %v", endpoint, account)
			}
		})
	}
}
