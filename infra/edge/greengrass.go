package edge

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// component is the name of the Greengrass component.
func component(s *spec.Spec) string { return "dev.godwit." + s.Name }

// version is the component's: a cloud never takes another recipe or package under
// a version that it knows, so each has its own, made of both. Its numbers end at
// 999999.
func version(d *render.Deployment) string {
	h := sha256.New()
	h.Write([]byte(d.Digest + "\n"))
	h.Write(render.Document(recipe(d, "")))
	sum := h.Sum(nil)
	return fmt.Sprintf("1.%d.%d", binary.BigEndian.Uint64(sum)%1_000_000, binary.BigEndian.Uint64(sum[8:])%1_000_000)
}

func greengrass(d *render.Deployment) []render.File {
	v := version(d)
	files := []render.File{{Path: recipePath(d), Data: render.Document(recipe(d, v))}}
	if l := limits(d.Spec.Targets.Edge); l != nil {
		files = append(files, render.File{Path: "limits.json", Data: indented(map[string]any{component(d.Spec): l})})
	}
	if g := d.Spec.Targets.Edge.Greengrass; g != nil {
		files = append(files, render.File{Path: "deployment.json", Data: indented(deployment(d, v, g))})
	}
	return files
}

func recipePath(d *render.Deployment) string {
	return "recipes/" + component(d.Spec) + "-" + version(d) + ".yaml"
}

// run starts the function up to four times. Greengrass stops the shell and all
// below it by SIGTERM, each process by itself.
const run = `trap stop=1 TERM; for n in 1 2 3 4; do {work:path}/app/fn-server & wait $! && exit; [ "$stop" ] || sleep 2; [ "$stop" ] && { wait; exit; }; done; exit 1`

func recipe(d *render.Deployment, v string) render.Mapping {
	s, t := d.Spec, d.Spec.Targets.Edge
	env := render.Mapping{
		{"GODWIT_TARGET", "edge"},
		{"GODWIT_STATE", "{work:path}/state", "What waits, and copies of healthy versions; it outlives this version."},
		{"GODWIT_OUTPUT", "{work:path}", "The folder that batch.output is in."},
	}
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		env.Add(name, t.Env[name])
	}
	architecture := map[string]string{"arm64": "aarch64", "amd64": "amd64"}[t.Architecture]
	return render.Mapping{
		{"RecipeFormatVersion", "2020-01-25", Mark + ".\nChange godwit.yaml and render again rather than this file."},
		{"ComponentName", component(s)},
		{"ComponentVersion", v, "Made of the package and this recipe, since a version is never taken twice."},
		{"ComponentDescription", s.Name + ", package " + d.Digest},
		{"ComponentPublisher", "godwit"},
		{"Manifests", render.List{render.Mapping{
			{"Platform", render.Mapping{{"os", "linux"}, {"architecture", architecture}}},
			{"Artifacts", render.List{render.Mapping{
				{"URI", "s3://" + bucket(t) + "/" + objectKey(d, v)},
				{"Permission", render.Mapping{{"Read", "OWNER"}}},
			}}},
			{"Lifecycle", render.Mapping{
				{"Setenv", env},
				{"Install", render.Mapping{
					{"Script", "rm -rf {work:path}/app && mkdir {work:path}/app && tar -xzf {artifacts:path}/" + d.Package + " -C {work:path}/app", "Greengrass itself unpacks zips alone, and drops the modes of files."},
					{"Timeout", 300},
				}},
				{"Run", render.Mapping{{"Script", run, "Greengrass gives up what fails three times in an hour. Four starts are one failure to it,\nso that a version that crashes three times can give way to the last healthy one."}}},
			}},
		}}},
	}
}

// bucket is where devices fetch the package; on the device itself the name of the
// file is all that counts.
func bucket(t *spec.Edge) string {
	if t.Greengrass != nil {
		return t.Greengrass.Bucket
	}
	return "on-this-device"
}

func objectKey(d *render.Deployment, v string) string {
	if v == "" { // the version is not known while it is made
		return d.Package
	}
	return component(d.Spec) + "/" + v + "/" + d.Package
}

// limits are what the component's processes may take; nil is all there is.
func limits(t *spec.Edge) map[string]any {
	l := map[string]any{}
	if t.CPU > 0 {
		l["cpus"] = float64(t.CPU) / 1000
	}
	if t.Memory > 0 {
		l["memory"] = int64(t.Memory) / 1024 // in kilobytes
	}
	if len(l) == 0 {
		return nil
	}
	return l
}

// deployment is what create-deployment of AWS's command reads.
func deployment(d *render.Deployment, v string, g *spec.Greengrass) any {
	c := map[string]any{"componentVersion": v}
	if l := limits(d.Spec.Targets.Edge); l != nil {
		c["runWith"] = map[string]any{"systemResourceLimits": l}
	}
	return map[string]any{
		"targetArn":      g.Target,
		"deploymentName": "godwit-" + d.Spec.Name,
		"components":     map[string]any{component(d.Spec): c},
		"deploymentPolicies": map[string]any{
			"failureHandlingPolicy": "ROLLBACK",
			"componentUpdatePolicy": map[string]any{"action": "NOTIFY_COMPONENTS", "timeoutInSeconds": 60},
		},
	}
}

// indented is v as a file, its keys sorted.
func indented(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic(err) // maps of texts and numbers alone
	}
	return b.Bytes()
}
