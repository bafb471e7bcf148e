package google

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// RenderVertexAI is all the files of d for Vertex AI, sorted by path:
// model.json and endpoint.json, which the API takes as they are; deploy.sh and
// teardown.sh; the module terraform/, which makes all but the model, as no
// resource of Terraform's uploads one; README.md.
//
// Errors: as RenderCloudRun.
func RenderVertexAI(d *render.Deployment) ([]render.File, error) {
	if err := checkVertexAI(d); err != nil {
		return nil, err
	}
	v := newVertex(d)
	files := []render.File{
		{Path: "model.json", Data: v.model()},
		{Path: "endpoint.json", Data: v.endpoint()},
		{Path: "deploy.sh", Data: v.deploy()},
		{Path: "teardown.sh", Data: v.teardown()},
		{Path: "README.md", Data: v.readme()},
	}
	files = append(files, v.module()...)
	render.Sort(files)
	return files, nil
}

// vertex is a deployment with the names that script and module share.
type vertex struct {
	d    *render.Deployment
	t    *spec.VertexAI
	runs account
	id   string // of the endpoint: a number of ten digits, as Vertex AI wants
	tag  string // of what is deployed: another image, machine or account is another
}

func newVertex(d *render.Deployment) *vertex {
	t := d.Spec.Targets.VertexAI
	v := &vertex{d: d, t: t, runs: identity(d.Spec.Name, "-vertex", t.ServiceAccount, "runs "+d.Spec.Name+" on Vertex AI")}
	sum := sha256.Sum256([]byte(d.Spec.Name))
	v.id = strconv.FormatUint(1e9+binary.BigEndian.Uint64(sum[:8])%9e9, 10)
	all := sha256.Sum256(fmt.Append(v.model(), t.MachineType, t.AcceleratorType, t.AcceleratorCount, t.MinReplicas, t.MaxReplicas, t.ServiceAccount))
	v.tag = fmt.Sprintf("%s-%x", d.Spec.Name, all[:6])
	return v
}

var networkName = lazy.Regexp(`^projects/[a-z0-9.:-]+/global/networks/[a-z]([a-z0-9-]*[a-z0-9])?$`)

func checkVertexAI(d *render.Deployment) error {
	s, t := d.Spec, d.Spec.Targets.VertexAI
	if t == nil {
		return bad("targets", "want a target vertexai, got none").WithHint("Add targets: {vertexai: {}}.")
	}
	if err := checkImage(d, "vertexai"); err != nil {
		return err
	}
	at := func(key string) string { return "targets.vertexai." + key }
	if s.Auth.Mode == "key" || s.Auth.Mode == "jwt" {
		return fault.New(fault.Unsupported, op, "auth", "want auth: platform, as Vertex AI lets nobody past IAM and passes no %s on, got %s", s.Auth.Mode, s.Auth.Mode).
			WithHint("Say auth: platform; docs/vertexai.md says who may call.")
	}
	if len(t.Secrets) > 0 {
		return fault.New(fault.Unsupported, op, at("secrets"), "want none, as Vertex AI fills no variables from Secret Manager, got %s", sorted(t.Secrets)[0].name).
			WithHint("Let the handler read the secret with its service account.")
	}
	if len(s.Triggers) > 0 {
		return fault.New(fault.Unsupported, op, "triggers", "want none on Vertex AI, which delivers no events, got %s", strings.Join(s.Triggers, ", ")).
			WithHint("Batch predictions are asked for: docs/vertexai.md. Deliveries come to Cloud Run.")
	}
	if m := machineMemory(t.MachineType); m > 0 && d.ModelBytes > 0 && m <= d.ModelBytes {
		return bad(at("machineType"), "want a machine with more memory than the %v of the models, got %s with %v", spec.Bytes(d.ModelBytes), t.MachineType, spec.Bytes(m))
	}
	if err := checkNames(at, t.ServiceAccount, t.EncryptionKey); err != nil {
		return err
	}
	if t.Network != "" && !networkName().MatchString(t.Network) {
		return bad(at("network"), "want projects/NUMBER/global/networks/NAME, got %q", t.Network).
			WithHint("gcloud projects describe PROJECT --format='value(projectNumber)'")
	}
	if t.Network != "" && t.DedicatedEndpoint {
		return bad(at("dedicatedEndpoint"), "want a dedicated endpoint or one in a network, got both")
	}
	if !t.DedicatedEndpoint && render.Seconds(t.Timeout) != 60 {
		return bad(at("timeout"), "want 60s, which every shared endpoint has, got %v", t.Timeout).WithHint("Leave timeout out, or add dedicatedEndpoint: true.")
	}
	return nil
}

var machine = lazy.Regexp(`^([a-z][0-9][a-z]?)-(standard|highmem|highcpu)-([0-9]+)$`)

// machineMemory is what a machine of a usual family has; 0 for what is not known.
func machineMemory(name string) int64 {
	m := machine().FindStringSubmatch(name)
	if m == nil {
		return 0
	}
	perCPU := map[string]float64{"standard": 4, "highmem": 8, "highcpu": 1}
	switch m[1] {
	case "n1":
		perCPU = map[string]float64{"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}
	case "e2", "n2", "n2d", "g2":
	default:
		return 0
	}
	cpus, err := strconv.Atoi(m[3])
	if err != nil {
		return 0
	}
	return int64(perCPU[m[2]] * float64(cpus) * float64(spec.GiB))
}

// indented is a document of the API's.
func indented(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // of maps and texts: it cannot fail
	return b.Bytes()
}

type jsonEnv struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type jsonKey struct {
	KMSKeyName string `json:"kmsKeyName"`
}

func (v *vertex) key() *jsonKey {
	if v.t.EncryptionKey == "" {
		return nil
	}
	return &jsonKey{v.t.EncryptionKey}
}

func (v *vertex) labels() map[string]string {
	return map[string]string{"function": v.d.Spec.Name, "rendered-by": "godwit"}
}

// model is the Model that is uploaded: the function's own image.
func (v *vertex) model() []byte {
	type port struct {
		ContainerPort int `json:"containerPort"`
	}
	type container struct {
		ImageURI     string    `json:"imageUri"`
		Env          []jsonEnv `json:"env"`
		Ports        []port    `json:"ports"`
		PredictRoute string    `json:"predictRoute"`
		HealthRoute  string    `json:"healthRoute"`
	}
	c := container{ImageURI: v.d.Image, Ports: []port{{render.Port}}, PredictRoute: "/predict", HealthRoute: "/health"}
	for _, e := range variables(&v.t.Common, "vertexai") {
		c.Env = append(c.Env, jsonEnv{e.name, e.value})
	}
	return indented(struct {
		DisplayName    string            `json:"displayName"`
		Description    string            `json:"description"`
		ContainerSpec  container         `json:"containerSpec"`
		EncryptionSpec *jsonKey          `json:"encryptionSpec,omitempty"`
		Labels         map[string]string `json:"labels"`
	}{v.d.Spec.Name, describe(v.d) + ", of package " + v.d.Digest, c, v.key(), v.labels()})
}

// endpoint is the Endpoint that requests go to.
func (v *vertex) endpoint() []byte {
	type connection struct {
		InferenceTimeout string `json:"inferenceTimeout"`
	}
	var c *connection
	if v.t.DedicatedEndpoint {
		c = &connection{render.InSeconds(v.t.Timeout)}
	}
	return indented(struct {
		DisplayName              string            `json:"displayName"`
		Description              string            `json:"description"`
		DedicatedEndpointEnabled bool              `json:"dedicatedEndpointEnabled,omitempty"`
		ClientConnectionConfig   *connection       `json:"clientConnectionConfig,omitempty"`
		Network                  string            `json:"network,omitempty"`
		EncryptionSpec           *jsonKey          `json:"encryptionSpec,omitempty"`
		Labels                   map[string]string `json:"labels"`
	}{v.d.Spec.Name, describe(v.d), v.t.DedicatedEndpoint, c, v.t.Network, v.key(), v.labels()})
}

const vertexAgent agent = "gcp-sa-aiplatform"

func (v *vertex) apis() []string {
	all := []string{"aiplatform.googleapis.com"}
	if v.t.EncryptionKey != "" {
		all = append(all, "cloudkms.googleapis.com")
	}
	return append(all, "iam.googleapis.com")
}

func (v *vertex) deploy() []byte {
	name, t := v.d.Spec.Name, v.t
	var s script
	s.head(v.d, "deploy.sh", "Makes what is missing, uploads the model if it is another, and deploys it in place of the last one.\nEverything may be called again, also after terraform/ has made the endpoint.", t.Region)
	s.helpers()
	s.line(`
# post sends a file to the API and waits until it is done. gcloud has no flags for
# dedicated endpoints, their time limit, and a model's key.
API=https://$REGION-aiplatform.googleapis.com/v1
post() {
  local method=$1 path=$2 file=$3 answer name
  answer=$(curl -fsS -X "$method" -H "Authorization: Bearer $(gcloud auth print-access-token)" \
    -H 'Content-Type: application/json' --data-binary @"$file" "$API/$path")
  name=$(sed -nE 's#^ *"name": *"(.*/operations/[^"]*)".*#\1#p' <<<"$answer" | head -n 1)
  [[ -n $name ]] || return 0
  until [[ $answer == *'"done": true'* ]]; do
    sleep "${PAUSE:-5}"
    answer=$(curl -fsS -H "Authorization: Bearer $(gcloud auth print-access-token)" "$API/$name")
  done
  [[ $answer != *'"error": {'* ]] || die "$answer"
}`)
	s.line("HOME_OF=projects/$PROJECT/locations/$REGION")
	s.part("What is used here has to be switched on once.")
	s.call(append([]string{"gcloud", "services", "enable"}, v.apis()...)...)
	if v.runs.id != "" {
		s.part("An identity of its own, which may nothing.")
		s.line("there gcloud iam service-accounts describe %s ||", inShell(v.runs))
		s.line("  gcloud iam service-accounts create %s --display-name %s", v.runs.id, render.Shell(v.runs.what))
	}
	if t.EncryptionKey != "" {
		s.part("Who keeps model and endpoint under the key.")
		s.line("NUMBER=$(gcloud projects describe \"$PROJECT\" --format='value(projectNumber)')")
		s.grant("gcloud kms keys add-iam-policy-binding "+t.EncryptionKey, vertexAgent.shell(), keyRole)
	}
	s.part("The endpoint.")
	s.line("if ! there gcloud ai endpoints describe %s --region \"$REGION\"; then", v.id)
	s.line("  post POST \"$HOME_OF/endpoints?endpointId=%s\" endpoint.json", v.id)
	if t.DedicatedEndpoint {
		s.line("else\n  post PATCH \"$HOME_OF/endpoints/%s?updateMask=client_connection_config,description,labels\" endpoint.json", v.id)
	}
	s.line("fi")
	s.part("The model: a version for each image.")
	s.line("REQUEST=$(mktemp)")
	s.line("IMAGE=$(gcloud ai models describe %s --region \"$REGION\" --format='value(containerSpec.imageUri)' 2>/dev/null || true)", name)
	s.line("if [[ -z $IMAGE ]]; then")
	s.line("  printf '{\"modelId\": \"%s\", \"model\": %%s}' \"$(cat model.json)\" >\"$REQUEST\"", name)
	s.line("  post POST \"$HOME_OF/models:upload\" \"$REQUEST\"")
	s.line("elif [[ $IMAGE != %s ]]; then", v.d.Image)
	s.line("  printf '{\"parentModel\": \"%%s\", \"model\": %%s}' \"$HOME_OF/models/%s\" \"$(cat model.json)\" >\"$REQUEST\"", name)
	s.line("  post POST \"$HOME_OF/models:upload\" \"$REQUEST\"")
	s.line("fi")
	s.part("All traffic goes to what is deployed here, and what was deployed before is taken away.")
	s.line("DEPLOYED=$(gcloud ai endpoints describe %s --region \"$REGION\" --format='csv[no-heading](deployedModels.displayName.flatten(separator=\" \"))')", v.id)
	s.line("if [[ \" $DEPLOYED \" != *\" %s \"* ]]; then", v.tag)
	s.line("  BEFORE=$(gcloud ai endpoints describe %s --region \"$REGION\" --format='csv[no-heading](deployedModels.id.flatten(separator=\" \"))')", v.id)
	s.WriteString("  ")
	s.call(v.deployModel()...)
	s.line("  for id in $BEFORE; do")
	s.line("    gcloud ai endpoints undeploy-model %s --region \"$REGION\" --deployed-model-id \"$id\"", v.id)
	s.line("  done")
	s.line("fi")
	s.line("\necho \"$API/$HOME_OF/endpoints/%s\"", v.id)
	return []byte(s.String())
}

// deployModel is gcloud's line that puts the model behind the endpoint.
func (v *vertex) deployModel() []string {
	t := v.t
	words := []string{"gcloud ai endpoints deploy-model " + v.id, "--region \"$REGION\"", "--model " + v.d.Spec.Name, "--display-name " + v.tag,
		"--machine-type " + t.MachineType, "--min-replica-count " + strconv.Itoa(t.MinReplicas), "--max-replica-count " + strconv.Itoa(t.MaxReplicas)}
	if t.AcceleratorType != "" {
		words = append(words, fmt.Sprintf("--accelerator count=%d,type=%s", t.AcceleratorCount, strings.ToLower(strings.ReplaceAll(t.AcceleratorType, "_", "-"))))
	}
	return append(words, "--service-account "+inShell(v.runs), "--traffic-split 0=100")
}

func (v *vertex) teardown() []byte {
	var s script
	name := v.d.Spec.Name
	s.head(v.d, "teardown.sh", "Takes away endpoint, model and account. The image and the key stay.", v.t.Region)
	s.line("")
	s.line("IDS=$(gcloud ai endpoints describe %s --region \"$REGION\" --format='csv[no-heading](deployedModels.id.flatten(separator=\" \"))' 2>/dev/null || true)", v.id)
	s.line("for id in $IDS; do")
	s.line("  gcloud ai endpoints undeploy-model %s --region \"$REGION\" --deployed-model-id \"$id\"", v.id)
	s.line("done")
	for _, one := range []string{"ai endpoints %s " + v.id + " --region \"$REGION\"", "ai models %s " + name + " --region \"$REGION\""} {
		s.line("if gcloud "+one+" >/dev/null 2>&1; then", "describe")
		s.line("  gcloud "+one, "delete")
		s.line("fi")
	}
	if v.runs.id != "" {
		s.line("if gcloud iam service-accounts describe %s >/dev/null 2>&1; then", inShell(v.runs))
		s.line("  gcloud iam service-accounts delete %s", inShell(v.runs))
		s.line("fi")
	}
	return []byte(s.String())
}

func (v *vertex) module() []render.File {
	t := v.t
	vars := baseVariables(t.Region, v.d.Image)[:2]
	if t.EncryptionKey != "" {
		vars = append(vars, tfvar{name: "kms_key", kind: "string", about: "The Cloud KMS key of the endpoint.", def: quoted(t.EncryptionKey),
			check: `can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))`, says: "Want projects/P/locations/L/keyRings/R/cryptoKeys/K."})
	}
	outs := []tfvar{
		{name: "endpoint", about: "The endpoint, to which deploy.sh deploys the model.", def: "google_vertex_ai_endpoint.this.id"},
		{name: "service_account", about: "What the model's containers run as.", def: "local.service_account"},
	}
	if t.DedicatedEndpoint {
		outs = append(outs, tfvar{name: "dns", about: "The endpoint's own name.", def: "google_vertex_ai_endpoint.this.dedicated_endpoint_dns"})
	}
	return []render.File{
		{Path: "terraform/main.tf", Data: v.main()},
		{Path: "terraform/variables.tf", Data: variablesTF(vars)},
		{Path: "terraform/outputs.tf", Data: outputsTF(outs)},
		{Path: "terraform/versions.tf", Data: versionsTF(false)},
		{Path: "terraform/examples/basic/main.tf", Data: exampleTF(v.d, vars, false)},
		{Path: "terraform/tests/module.tftest.hcl", Data: v.tests()},
		{Path: "terraform/README.md", Data: append(moduleReadme(v.d, "Vertex AI", vars, outs), "\nNo resource of Terraform's uploads a model, deploys one or sets an endpoint's time limit: `../deploy.sh` does, into the endpoint that is here.\n"...)},
	}
}

func (v *vertex) main() []byte {
	t, name := v.t, v.d.Spec.Name
	var h hcl
	h.note("Rendered by godwit from godwit.yaml, for package " + v.d.Digest + ".\nChange godwit.yaml and render again rather than this file.")
	h.block("locals", "", func() {
		h.attr("service_account", v.runs.inHCL("run"))
		h.object("labels", func() {
			h.text("function", name)
			h.text("rendered-by", "godwit")
		})
	})
	h.services(v.apis())
	if v.runs.id != "" {
		h.account(v.runs, "run")
	}
	if t.EncryptionKey != "" {
		h.block(`data "google_project" "this"`, "", func() { h.attr("project_id", "var.project") })
		h.member("google_kms_crypto_key_iam_member", "agents", "Who keeps model and endpoint under the key.", func() {
			h.attr("crypto_key_id", "var.kms_key")
			h.to(keyRole, vertexAgent.hcl())
		})
	}
	h.block(`resource "google_vertex_ai_endpoint" "this"`, "A number names it, as Vertex AI wants: the same that deploy.sh has.", func() {
		h.attr("project", "var.project")
		h.text("name", v.id)
		h.attr("location", "var.region")
		h.text("display_name", name)
		h.text("description", describe(v.d))
		h.attr("labels", "local.labels")
		if t.DedicatedEndpoint {
			h.attr("dedicated_endpoint_enabled", "true")
		}
		if t.Network != "" {
			h.text("network", t.Network)
		}
		wait := []string{"google_project_service.this"}
		if t.EncryptionKey != "" {
			h.block("encryption_spec", "", func() { h.attr("kms_key_name", "var.kms_key") })
			wait = append(wait, "google_kms_crypto_key_iam_member.agents")
		}
		h.block("lifecycle", "What is deployed is deploy.sh's.", func() { h.attr("ignore_changes", "[traffic_split]") })
		h.after(true, wait...)
	})
	return h.bytes()
}

func (v *vertex) tests() []byte {
	var h hcl
	h.note("terraform init && terraform test: nothing is made, and no account is needed.")
	h.mocks(false)
	h.block("variables", "", func() {
		h.text("project", "my-project")
		h.text("region", "europe-west1")
	})
	h.block(`run "as_godwit_yaml_says"`, "", func() {
		h.attr("command", "plan")
		h.block("assert", "", func() {
			h.attr("condition", "google_vertex_ai_endpoint.this.name == "+quoted(v.id))
			h.text("error_message", "Want the endpoint that deploy.sh deploys to.")
		})
	})
	h.block(`run "a_zone_is_refused"`, "", func() {
		h.attr("command", "plan")
		h.block("variables", "", func() { h.text("region", "europe-west1-b") })
		h.gap()
		h.attr("expect_failures", "[var.region]")
	})
	return h.bytes()
}
