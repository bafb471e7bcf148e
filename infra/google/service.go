package google

import (
	"encoding/json"
	"strconv"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// The probes, the same in YAML, on gcloud's line and in Terraform.
const (
	startSeconds                          = 240 // the most that Cloud Run gives a start
	livePeriod, liveTimeout, liveFailures = 10, 5, 3
	projectID                             = "PROJECT_ID" // stands for the project in service.yaml and job.yaml
	minScale, maxScale                    = "run.googleapis.com/minScale", "run.googleapis.com/maxScale"
	revisionMin, revisionMax              = "autoscaling.knative.dev/minScale", "autoscaling.knative.dev/maxScale"
	throttling, boost                     = "run.googleapis.com/cpu-throttling", "run.googleapis.com/startup-cpu-boost"
	environment, zonal                    = "run.googleapis.com/execution-environment", "run.googleapis.com/gpu-zonal-redundancy-disabled"
	interfaces, egress                    = "run.googleapis.com/network-interfaces", "run.googleapis.com/vpc-access-egress"
	encryption, unchecked                 = "run.googleapis.com/encryption-key", "run.googleapis.com/invoker-iam-disabled"
	ingress, description, accelerator     = "run.googleapis.com/ingress", "run.googleapis.com/description", "run.googleapis.com/accelerator"
)

// service is the Service as `gcloud run services replace` takes it.
func service(d *render.Deployment, p *plan) render.Mapping {
	t := d.Spec.Targets.CloudRun
	about := render.Mapping{}
	about.Add(description, describe(d))
	about.Add(ingress, t.Ingress)
	if !p.checks {
		about.Add(unchecked, "true", "The function checks its callers itself (auth: "+d.Spec.Auth.Mode+"), so Cloud Run lets everybody through.")
		if d.Spec.Auth.Mode == "none" {
			about[len(about)-1][2] = "Everybody may call (auth: none)."
		}
	}
	about.Add(minScale, strconv.Itoa(t.MinInstances), "Of all revisions together.")
	about.Add(maxScale, strconv.Itoa(t.MaxInstances))
	return render.Mapping{
		{"apiVersion", "serving.knative.dev/v1", "Rendered by godwit from godwit.yaml, for package " + d.Digest + ".\nChange godwit.yaml and render again rather than this file."},
		{"kind", "Service"},
		{"metadata", render.Mapping{{"name", d.Spec.Name}, {"labels", labels(d)}, {"annotations", about}}},
		{"spec", render.Mapping{
			{"template", render.Mapping{
				{"metadata", render.Mapping{{"labels", labels(d)}, {"annotations", revisionAnnotations(t)}}},
				{"spec", revision(d, p)},
			}},
			{"traffic", render.List{render.Mapping{{"latestRevision", true}, {"percent", 100}}}},
		}},
	}
}

func describe(d *render.Deployment) string {
	return d.Spec.Name + ", a function of the Open Inference Protocol"
}

func labels(d *render.Deployment) render.Mapping {
	return render.Mapping{{"function", d.Spec.Name}, {"rendered-by", "godwit"}}
}

// revisionAnnotations are those of services; a job takes a part of them.
func revisionAnnotations(t *spec.CloudRun) (m render.Mapping) {
	m.Add(revisionMax, strconv.Itoa(t.MaxInstances), "Of this revision; without it there would be 100.")
	note := "CPU is paid for, and there, only while a request is answered."
	if t.Billing == "instance" {
		note = "CPU is there, and paid for, as long as an instance is."
	}
	m.Add(throttling, strconv.FormatBool(t.Billing != "instance"), note)
	m.Add(boost, "true", "Models load faster with more CPU than is paid for afterwards.")
	return append(m, placed(t)...)
}

// placed is what service and job have in common.
func placed(t *spec.CloudRun) (m render.Mapping) {
	m.Add(environment, t.ExecutionEnvironment)
	if t.GPU != "" {
		m.Add(zonal, strconv.FormatBool(!t.GPUZonalRedundancy))
	}
	if i := networkInterfaces(t); i != "" {
		m.Add(interfaces, i)
		m.Add(egress, t.VPCEgress)
	}
	if t.EncryptionKey != "" {
		m.Add(encryption, t.EncryptionKey)
	}
	return m
}

// networkInterfaces is the annotation as gcloud writes it.
func networkInterfaces(t *spec.CloudRun) string {
	if t.Network == "" && t.Subnet == "" {
		return ""
	}
	text, _ := json.Marshal([]struct { // of strings alone: it cannot fail
		Network string `json:"network,omitempty"`
		Subnet  string `json:"subnetwork,omitempty"`
	}{{t.Network, t.Subnet}})
	return strings.ReplaceAll(strings.ReplaceAll(string(text), `":"`, `": "`), `","`, `", "`)
}

func revision(d *render.Deployment, p *plan) (m render.Mapping) {
	t := d.Spec.Targets.CloudRun
	m.Add("containerConcurrency", t.Concurrency)
	m.Add("timeoutSeconds", render.Seconds(t.Timeout), "For one request, the start of an instance included.")
	m.Add("serviceAccountName", p.runs.email(projectID))
	if t.GPU != "" {
		m.Add("nodeSelector", render.Mapping{{accelerator, t.GPU}})
	}
	c := container(d)
	name := "http1"
	if t.HTTP2 {
		name = "h2c"
	}
	port := render.Mapping{{"name", name}, {"containerPort", render.Port}}
	if t.HTTP2 {
		port[0][2] = "HTTP/2 without TLS, which streams of gRPC and bodies beyond 32 MiB need. REST comes over it as well."
	}
	c = append(c, render.Field{"ports", render.List{port}})
	c.Add("startupProbe", render.Mapping{
		{"tcpSocket", render.Mapping{{"port", render.Port}}},
		{"periodSeconds", startSeconds}, {"timeoutSeconds", startSeconds}, {"failureThreshold", 1},
	}, "The port opens when every model is loaded and answers.")
	c.Add("livenessProbe", render.Mapping{
		{"httpGet", render.Mapping{{"path", render.Live}, {"port", render.Port}}},
		{"periodSeconds", livePeriod}, {"timeoutSeconds", liveTimeout}, {"failureThreshold", liveFailures},
	})
	m.Add("containers", render.List{c})
	return m
}

// container is what service and job have in common: no user, no root file
// system and no capabilities to choose, which Cloud Run takes from the image.
func container(d *render.Deployment) render.Mapping {
	t := d.Spec.Targets.CloudRun
	limits := render.Mapping{{"cpu", render.CPUs(t.CPU)}, {"memory", render.Quantity(t.Memory)}}
	if t.GPU != "" {
		limits.Add("nvidia.com/gpu", "1")
	}
	c := render.Mapping{{"image", d.Image}, {"env", env(d)}}
	c.Add("resources", render.Mapping{{"limits", limits}})
	return c
}

func env(d *render.Deployment) (all render.List) {
	t := d.Spec.Targets.CloudRun
	for _, v := range variables(&t.Common, "cloudrun") {
		all = append(all, render.Mapping{{"name", v.name}, {"value", v.value}})
	}
	for _, s := range sorted(t.Secrets) {
		name, version := secret(s.value)
		all = append(all, render.Mapping{{"name", s.name}, {"valueFrom", render.Mapping{
			{"secretKeyRef", render.Mapping{{"name", name}, {"key", version}}},
		}}})
	}
	return all
}

// variables are ours and the spec's. What looks like $(NAME) stays as it is.
func variables(c *spec.Common, target string) []pair {
	all := []pair{{"GODWIT_TARGET", target}}
	for _, v := range sorted(c.Env) {
		all = append(all, pair{v.name, render.Literal(v.value)})
	}
	return all
}

// secret parts NAME:VERSION; without a version it is the latest.
func secret(ref string) (name, version string) {
	name, version, ok := strings.Cut(ref, ":")
	if !ok {
		version = "latest"
	}
	return name, version
}

// job is the Job as `gcloud run jobs replace` takes it.
func job(d *render.Deployment, p *plan) render.Mapping {
	t := d.Spec.Targets.CloudRun
	run := render.Mapping{{"maxRetries", t.Job.MaxRetries}, {"timeoutSeconds", render.Seconds(t.Job.TaskTimeout)}}
	run.Add("serviceAccountName", p.runs.email(projectID))
	if t.GPU != "" {
		run.Add("nodeSelector", render.Mapping{{accelerator, t.GPU}})
	}
	run.Add("containers", render.List{container(d)})
	tasks := render.Mapping{}
	tasks.Add("taskCount", t.Job.Tasks, "Each scores its share of what lies below "+d.Spec.Batch.Input+".")
	if t.Job.Parallelism > 0 {
		tasks.Add("parallelism", t.Job.Parallelism)
	}
	tasks.Add("template", render.Mapping{{"spec", run}})
	return render.Mapping{
		{"apiVersion", "run.googleapis.com/v1", "Rendered by godwit from godwit.yaml, for package " + d.Digest + ".\nChange godwit.yaml and render again rather than this file."},
		{"kind", "Job"},
		{"metadata", render.Mapping{{"name", jobName(d)}, {"labels", labels(d)}}},
		{"spec", render.Mapping{{"template", render.Mapping{
			{"metadata", render.Mapping{{"labels", labels(d)}, {"annotations", jobAnnotations(t)}}},
			{"spec", tasks},
		}}}},
	}
}

func jobName(d *render.Deployment) string { return d.Spec.Name + "-score" }

// jobAnnotations are placed, but that a job always is of the second generation
// and never has its GPUs in two zones.
func jobAnnotations(t *spec.CloudRun) render.Mapping {
	one := *t
	one.ExecutionEnvironment, one.GPUZonalRedundancy = "gen2", false
	return placed(&one)
}
