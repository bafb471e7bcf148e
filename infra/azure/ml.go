package azure

import (
	"fmt"
	"strings"
	"time"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/lazy"
)

// mlPort is what fn-server listens on there; containers do not run as root.
const mlPort = 5001

// RenderML is all the files of the target azureml, sorted by path: what az ml
// takes (endpoint.yml, deployment.yml, for batches compute.yml, pipeline.yml and
// score.yml too), the same as infra/main.bicep, and README.md. Of a batch
// endpoint Bicep has all but the deployment, whose component az ml registers.
//
// d.Image is an image by its digest.
//
// Errors: BadConfig and Unsupported for what cannot run as godwit.yaml says, or
// is not rendered, with what to do.
func RenderML(d *render.Deployment) ([]render.File, error) {
	if err := checkML(d); err != nil {
		return nil, err
	}
	m := newML(d)
	t := m.template()
	files := append(m.files(),
		render.File{Path: "infra/main.bicep", Data: bicep(t)},
		render.File{Path: "infra/main.parameters.json", Data: parameters(t)},
		render.File{Path: "README.md", Data: m.readme()})
	render.Sort(files)
	return files, nil
}

// MLMark is how endpoint.yml begins, by which a folder is known as one of RenderML's.
const MLMark = "# Rendered by godwit from godwit.yaml"

// An ml is one function on Azure Machine Learning.
type ml struct {
	d          *render.Deployment
	s          *spec.Spec
	t          *spec.AzureML
	endpoint   string
	deployment string // named after the package, so that a new one stands beside the old
	version    string
}

func newML(d *render.Deployment) *ml {
	version := short(strings.TrimPrefix(d.Digest, "sha256:"), 12)
	return &ml{d: d, s: d.Spec, t: d.Spec.Targets.AzureML, endpoint: short(d.Spec.Name, 32), deployment: "v" + version, version: version}
}

func (m *ml) batch() bool { return m.t.Mode == "batch" }

const schemas = "https://azuremlschemas.azureedge.net/latest/"

func (m *ml) files() []render.File {
	endpoint := render.Mapping{}
	kind := "managedOnlineEndpoint"
	if m.batch() {
		kind = "batchEndpoint"
	}
	endpoint.Add("$schema", schemas+kind+".schema.json", strings.TrimPrefix(MLMark, "# ")+", for package "+m.d.Digest+".", "Change godwit.yaml and render again rather than these files.")
	endpoint.Add("name", m.endpoint)
	if m.batch() {
		endpoint.Add("auth_mode", "aad_token")
		endpoint.Add("defaults", render.Mapping{{"deployment_name", m.deployment}})
		return append(m.batchFiles(), render.File{Path: "endpoint.yml", Data: render.Document(endpoint)})
	}
	endpoint.Add("auth_mode", "aad_token", "Callers show an Entra token, and need the right to score on this endpoint.")
	endpoint.Add("public_network_access", m.t.PublicNetworkAccess)
	return []render.File{
		{Path: "endpoint.yml", Data: render.Document(endpoint)},
		{Path: "deployment.yml", Data: render.Document(m.online())},
	}
}

// environment is our image, and where it answers.
func (m *ml) environment() render.Mapping {
	var e render.Mapping
	e.Add("name", m.endpoint)
	e.Add("version", m.version)
	e.Add("image", m.d.Image)
	if m.batch() {
		return e
	}
	var routes render.Mapping
	for _, r := range mlRoutes {
		routes.Add(r.name, render.Mapping{{"path", r.path}, {"port", mlPort}})
	}
	e.Add("inference_config", routes)
	return e
}

var mlRoutes = []struct{ name, arm, path string }{
	{"liveness_route", "livenessRoute", render.Live},
	{"readiness_route", "readinessRoute", render.Ready},
	{"scoring_route", "scoringRoute", "/score"},
}

// A probe of a deployment, in seconds.
type probe struct {
	name, arm                       string
	initial, period, timeout, fails int
}

var mlProbes = []probe{
	{"liveness_probe", "livenessProbe", 30, 10, 5, 30},
	{"readiness_probe", "readinessProbe", 10, 10, 5, 60},
}

func (m *ml) online() render.Mapping {
	var y render.Mapping
	y.Add("$schema", schemas+"managedOnlineDeployment.schema.json")
	y.Add("name", m.deployment)
	y.Add("endpoint_name", m.endpoint)
	y.Add("environment", m.environment())
	y.Add("instance_type", m.t.InstanceType)
	y.Add("instance_count", m.t.InstanceCount)
	y.Add("environment_variables", render.Texts(m.variables("${{keyvault:", "}}")))
	y.Add("request_settings", render.Mapping{
		{"request_timeout_ms", milliseconds(m.t.RequestTimeout)},
		{"max_concurrent_requests_per_instance", m.t.MaxConcurrentRequests},
		{"max_queue_wait_ms", milliseconds(m.t.MaxQueueWait)},
	}, "The proxy in front passes on one request at a time unless it is told.")
	for _, p := range mlProbes {
		y.Add(p.name, render.Mapping{{"initial_delay", p.initial}, {"period", p.period}, {"timeout", p.timeout}, {"failure_threshold", p.fails}, {"success_threshold", 1}})
	}
	y.Add("egress_public_network_access", m.t.PublicNetworkAccess)
	return y
}

// variables are the process's; secrets stand between open and end, which Azure
// Machine Learning fills in as the endpoint's identity.
func (m *ml) variables(open, end string) map[string]string {
	all := map[string]string{"GODWIT_TARGET": "azureml", "PORT": number(mlPort)}
	for name, v := range m.t.Env {
		all[name] = v
	}
	for name, v := range m.t.Secrets {
		part := secretName().FindStringSubmatch(v)
		uri := "https://" + part[1] + ".vault.azure.net/secrets/" + part[2]
		if part[3] != "" {
			uri += "/" + part[3]
		}
		all[name] = open + uri + end
	}
	return all
}

func milliseconds(d spec.Duration) int { return int(time.Duration(d) / time.Millisecond) }

// iso is d as ISO 8601 has it, to the millisecond: "PT0.5S".
func iso(d time.Duration) string {
	return "PT" + strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", d.Seconds()), "0"), ".") + "S"
}

// batchFiles are a cluster that goes to zero, a pipeline of one step, and its deployment.
func (m *ml) batchFiles() []render.File {
	var compute, step, pipeline, deployment render.Mapping
	compute.Add("$schema", schemas+"amlCompute.schema.json")
	compute.Add("name", m.cluster())
	compute.Add("type", "amlcompute")
	compute.Add("size", m.t.InstanceType)
	compute.Add("min_instances", 0, "Nothing runs, and nothing is paid for, between jobs.")
	compute.Add("max_instances", m.t.InstanceCount)
	compute.Add("idle_time_before_scale_down", 120)
	if m.t.Location != "" {
		compute.Add("location", m.t.Location)
	}

	folder := render.Mapping{{"type", "uri_folder"}}
	step.Add("$schema", schemas+"commandComponent.schema.json")
	step.Add("type", "command")
	step.Add("name", m.s.Name+"_score")
	step.Add("version", m.version)
	step.Add("environment", m.environment())
	step.Add("inputs", render.Mapping{{"rows", folder}}, "The folder that batch.input is in.")
	step.Add("outputs", render.Mapping{{"scores", folder}}, "The folder that batch.output is in.")
	step.Add("command", "GODWIT_SHARD=0/1 GODWIT_INPUT=${{inputs.rows}} GODWIT_OUTPUT=${{outputs.scores}} /godwit/fn-server",
		"As a task of one, fn-server scores what is there and ends. Azure Machine Learning", "runs this by bash, which the image has to have: godwit package --base debian:12-slim.")

	pipeline.Add("$schema", schemas+"pipelineComponent.schema.json")
	pipeline.Add("type", "pipeline")
	pipeline.Add("name", m.s.Name+"_batch")
	pipeline.Add("version", m.version)
	pipeline.Add("inputs", render.Mapping{{"rows", folder}})
	pipeline.Add("outputs", render.Mapping{{"scores", folder}})
	job := render.Mapping{{"type", "command"}, {"component", "./score.yml"},
		{"inputs", render.Mapping{{"rows", "${{parent.inputs.rows}}"}}},
		{"outputs", render.Mapping{{"scores", "${{parent.outputs.scores}}"}}}}
	if len(m.t.Env) > 0 {
		job.Add("environment_variables", render.Texts(m.t.Env))
	}
	pipeline.Add("jobs", render.Mapping{{"score", job}})

	deployment.Add("$schema", schemas+"pipelineComponentBatchDeployment.schema.json")
	deployment.Add("name", m.deployment)
	deployment.Add("endpoint_name", m.endpoint)
	deployment.Add("type", "pipeline")
	deployment.Add("component", "./pipeline.yml")
	deployment.Add("settings", render.Mapping{{"default_compute", "azureml:" + m.cluster()}, {"continue_on_step_failure", false}})
	return []render.File{
		{Path: "compute.yml", Data: render.Document(compute)},
		{Path: "deployment.yml", Data: render.Document(deployment)},
		{Path: "pipeline.yml", Data: render.Document(pipeline)},
		{Path: "score.yml", Data: render.Document(step)},
	}
}

// cluster is the compute's name, which has at most 24 characters.
func (m *ml) cluster() string { return short(m.s.Name, 16) + "-batch" }

// endpointName is Azure's own form of an endpoint's name.
var endpointName = lazy.Regexp(`^[a-z][a-z0-9-]{1,30}[a-z0-9]$`)
