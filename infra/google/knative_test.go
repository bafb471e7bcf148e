package google_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/render"
	"godwit.dev/infra/render/rendertest"
	"godwit.dev/knative"
)

// Of one spec Knative and Cloud Run run the same container: what both have to
// say of it they say in the same words. The user is the image's own on Cloud
// Run, which has no field for it.
func TestKnativeAndCloudRunAreOfOneBase(t *testing.T) {
	for _, c := range []struct{ name, knative, cloudrun, env string }{
		{"plain", "cpu: 1, memory: 1GiB", "", ""},
		{"sized", "cpu: 2, memory: 3GiB, timeout: 2m", "cpu: 2, memory: 3GiB, timeout: 2m, http2: true", "env: {GREETING: 'hello, $(USER) \"you\"'}, "},
		{"with a GPU", "cpu: 8, memory: 32GiB, gpu: 1", "gpu: nvidia-l4, cpu: 8, memory: 32GiB", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := deployment(t, fmt.Sprintf("model: m.onnx\nauth: key\ntargets:\n  knative: {%ssecrets: {GODWIT_API_KEYS: keys/latest}, concurrency: 8, %s}\n  cloudrun: {%ssecrets: {GODWIT_API_KEYS: \"keys:latest\"}, concurrency: 8, %s}\n", c.env, c.knative, c.env, c.cloudrun))
			all, err := knative.Render(d)
			if err != nil {
				t.Fatal(err)
			}
			other := decoded(t, rendertest.ByPath(all)["base/service.yaml"])
			if text, ok := rendertest.ByPath(all)["overlays/gpu/nodes.yaml"]; ok && len(text) > 0 {
				limits := rendertest.Within(other, "spec", "template", "spec", "containers", "0", "resources", "limits").(map[string]any)
				limits["nvidia.com/gpu"] = "1" // the overlay's
			}
			mine := decoded(t, files(t, d)["service.yaml"])
			for _, path := range [][]string{
				{"apiVersion"}, {"kind"}, {"metadata", "name"},
				{"spec", "template", "spec", "containers", "0", "image"},
				{"spec", "template", "spec", "containers", "0", "resources", "limits"},
				{"spec", "template", "spec", "containers", "0", "ports", "0", "containerPort"},
				{"spec", "template", "spec", "containers", "0", "livenessProbe", "httpGet"},
				{"spec", "template", "spec", "containerConcurrency"},
			} {
				if diff := cmp.Diff(rendertest.Within(other, path...), rendertest.Within(mine, path...)); diff != "" || rendertest.Within(mine, path...) == nil {
					t.Errorf("%v (-knative +cloudrun)\n%s", path, diff)
				}
			}
			env := func(m map[string]any) map[string]any {
				got := map[string]any{}
				for _, e := range rendertest.Within(m, "spec", "template", "spec", "containers", "0", "env").([]any) {
					e := e.(map[string]any)
					got[e["name"].(string)] = e["value"]
					if ref := rendertest.Within(e, "valueFrom", "secretKeyRef"); ref != nil {
						got[e["name"].(string)] = ref
					}
				}
				delete(got, "GODWIT_TARGET")
				return got
			}
			if diff := cmp.Diff(env(other), env(mine)); diff != "" {
				t.Errorf("variables (-knative +cloudrun)\n%s", diff)
			}
			if user := rendertest.Within(other, "spec", "template", "spec", "containers", "0", "securityContext", "runAsUser"); user != uint64(render.User) {
				t.Errorf("want the image's user %d on Knative, got %v", render.User, user)
			}
			if got := rendertest.Within(mine, "spec", "template", "spec", "containers", "0", "startupProbe", "tcpSocket", "port"); got != uint64(render.Port) {
				t.Errorf("want the start probed at %d, got %v", render.Port, got)
			}
		})
	}
}
