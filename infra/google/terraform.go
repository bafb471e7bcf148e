package google

import (
	"fmt"
	"strconv"
	"strings"

	"godwit.dev/infra/render"
)

// The providers that the modules are written for.
const (
	terraformVersion = ">= 1.7.0" // tests with mocks of providers
	providerVersion  = ">= 7.0.0, < 8.0.0"
)

// A tfvar is a variable of a module, and an output when it has no type.
type tfvar struct {
	name, kind, about, def string // def is an expression; "" has to be given
	check, says            string // a condition, and what is said when it is not met
}

// module is the folder terraform/ that makes what deploy.sh makes.
func module(d *render.Deployment, p *plan) []render.File {
	vars, outs := runVariables(d, p), runOutputs(d, p)
	files := []render.File{
		{Path: "terraform/main.tf", Data: runMain(d, p)},
		{Path: "terraform/variables.tf", Data: variablesTF(vars)},
		{Path: "terraform/outputs.tf", Data: outputsTF(outs)},
		{Path: "terraform/versions.tf", Data: versionsTF(p.gateway)},
		{Path: "terraform/examples/basic/main.tf", Data: exampleTF(d, vars, p.gateway)},
		{Path: "terraform/tests/module.tftest.hcl", Data: runTests(d, p)},
		{Path: "terraform/README.md", Data: moduleReadme(d, "Cloud Run", vars, outs)},
	}
	if p.gateway {
		files = append(files, render.File{Path: "terraform/openapi.yaml", Data: render.Document(openAPI(d, p))})
	}
	return files
}

func versionsTF(beta bool) []byte {
	var h hcl
	h.block("terraform", "", func() {
		h.text("required_version", terraformVersion)
		h.block("required_providers", "", func() {
			for _, name := range []string{"google", "google-beta"} {
				if name == "google" || beta {
					h.object(name, func() {
						h.text("source", "hashicorp/"+name)
						h.text("version", providerVersion)
					})
				}
			}
		})
	})
	return h.bytes()
}

func variablesTF(all []tfvar) []byte {
	var h hcl
	for _, v := range all {
		h.block("variable "+quoted(v.name), "", func() {
			h.attr("type", v.kind)
			h.text("description", v.about)
			if v.def != "" {
				h.attr("default", v.def)
			}
			h.attr("nullable", "false")
			if v.check != "" {
				h.block("validation", "", func() {
					h.attr("condition", v.check)
					h.text("error_message", v.says)
				})
			}
		})
	}
	return h.bytes()
}

func outputsTF(all []tfvar) []byte {
	var h hcl
	for _, v := range all {
		h.block("output "+quoted(v.name), "", func() {
			h.text("description", v.about)
			h.attr("value", v.def)
		})
	}
	return h.bytes()
}

// baseVariables are those of every module of ours.
func baseVariables(region, image string) []tfvar {
	place := tfvar{name: "region", kind: "string", about: "The region, such as europe-west1.",
		check: `can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))`, says: "Want a region such as europe-west1."}
	if region != "" {
		place.def = quoted(region)
	}
	return []tfvar{
		{name: "project", kind: "string", about: "The project that everything is in.",
			check: `can(regex("^[a-z][a-z0-9-]{2,28}[a-z0-9]$", var.project))`, says: "Want a project's id, not its name or number."},
		place,
		{name: "image", kind: "string", about: "The function's image, by its digest.", def: quoted(image),
			check: `can(regex("@sha256:[0-9a-f]{64}$", var.image))`, says: "Want an image by its digest, REPOSITORY@sha256:…: a tag may be another image tomorrow."},
	}
}

func runVariables(d *render.Deployment, p *plan) []tfvar {
	t := d.Spec.Targets.CloudRun
	all := baseVariables(t.Region, d.Image)
	all = append(all,
		tfvar{name: "min_instances", kind: "number", about: "Instances that are kept, of all revisions together.", def: strconv.Itoa(t.MinInstances),
			check: "var.min_instances >= 0 && floor(var.min_instances) == var.min_instances", says: "Want a whole number, 0 or more."},
		tfvar{name: "max_instances", kind: "number", about: "The most instances: a bound on cost.", def: strconv.Itoa(t.MaxInstances),
			check: "var.max_instances >= 1 && floor(var.max_instances) == var.max_instances", says: "Want a whole number, 1 or more."},
		tfvar{name: "deletion_protection", kind: "bool", about: "Whether Terraform refuses to delete the service.", def: "true"},
	)
	if p.checks {
		all = append(all, tfvar{name: "invokers", kind: "set(string)", about: "Who may call, as group:models@example.com or serviceAccount:…", def: "[]",
			check: `alltrue([for m in var.invokers : can(regex("^(user|group|serviceAccount|domain):", m))])`,
			says:  "Want members such as group:models@example.com; everybody (allUsers) is auth: none in godwit.yaml."})
	}
	if p.inbox != nil && p.inbox.name == "" {
		all = append(all, tfvar{name: "bucket", kind: "string", about: "The bucket to make for rows and scores; by default PROJECT-" + d.Spec.Name + ".", def: `""`})
	}
	if p.key != "" {
		all = append(all, tfvar{name: "kms_key", kind: "string", about: "The Cloud KMS key of what is kept.", def: quoted(p.key),
			check: `can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))`, says: "Want projects/P/locations/L/keyRings/R/cryptoKeys/K."})
	}
	return all
}

func runOutputs(d *render.Deployment, p *plan) []tfvar {
	all := []tfvar{
		{name: "uri", about: "The service's URL.", def: "google_cloud_run_v2_service.this.uri"},
		{name: "service_account", about: "What the service runs as.", def: "local.service_account"},
	}
	if p.dead != "" {
		all = append(all, tfvar{name: "dead_letters", about: "The subscription with what failed for good.", def: "google_pubsub_subscription.dead.id"})
	}
	if len(p.topics) > 0 {
		all = append(all, tfvar{name: "topics", about: "The topics whose messages are delivered, by name.", def: "{ for name, topic in google_pubsub_topic.push : name => topic.id }"})
	}
	if p.inbox != nil && p.inbox.name == "" {
		all = append(all, tfvar{name: "bucket", about: "The bucket for rows and scores.", def: "google_storage_bucket.rows.name"})
	}
	if d.Spec.Targets.CloudRun.Job != nil {
		all = append(all, tfvar{name: "job", about: "The job's name.", def: "google_cloud_run_v2_job.this.name"})
	}
	if p.gateway {
		all = append(all, tfvar{name: "gateway", about: "The gateway's URL.", def: `"https://${google_api_gateway_gateway.this.default_hostname}"`})
	}
	return all
}

// inHCL is an account's address as an expression.
func (a account) inHCL(label string) string {
	switch {
	case !a.there():
		return "google_service_account." + label + ".email"
	case strings.Contains(a.mail, "@"+projectID+"."):
		return `"` + a.email("${var.project}") + `"`
	}
	return quoted(a.mail)
}

func exampleTF(d *render.Deployment, vars []tfvar, beta bool) []byte {
	var h hcl
	for _, v := range vars {
		if v.def == "" {
			h.block("variable "+quoted(v.name), "", func() {
				h.attr("type", v.kind)
				h.text("description", v.about)
			})
		}
	}
	for _, name := range []string{"google", "google-beta"} {
		if name == "google" || beta {
			h.block("provider "+quoted(name), "", func() { h.attr("project", "var.project") })
		}
	}
	h.block("module "+quoted(d.Spec.Name), "", func() {
		h.text("source", "../..")
		h.gap()
		for _, v := range vars {
			if v.def == "" {
				h.attr(v.name, "var."+v.name)
			}
		}
	})
	return h.bytes()
}

// runTests are for `terraform test`, with mocks of the providers.
func runTests(d *render.Deployment, p *plan) []byte {
	t := d.Spec.Targets.CloudRun
	var h hcl
	h.note("terraform init && terraform test: nothing is made, and no account is needed.")
	h.mocks(p.gateway)
	h.block("variables", "", func() {
		h.text("project", "my-project")
		h.text("region", "europe-west1")
	})
	h.block(`run "as_godwit_yaml_says"`, "", func() {
		h.attr("command", "plan")
		assert := func(condition, says string) {
			h.block("assert", "", func() {
				h.attr("condition", condition)
				h.text("error_message", says)
			})
		}
		const template = "google_cloud_run_v2_service.this.template[0]"
		assert(template+".containers[0].image == "+quoted(d.Image), "Want the image that was packaged.")
		assert(fmt.Sprintf("%s.max_instance_request_concurrency == %d", template, t.Concurrency), "Want the concurrency of godwit.yaml.")
		assert(fmt.Sprintf("google_cloud_run_v2_service.this.invoker_iam_disabled == %v", !p.checks), "Want callers checked as auth says.")
		if len(p.topics) > 0 {
			assert("alltrue([for s in google_pubsub_subscription.push : length(s.dead_letter_policy) == 1])", "Want dead letters for every subscription.")
		}
	})
	refused := func(name, variable, value string) {
		h.block("run "+quoted(name), "", func() {
			h.attr("command", "plan")
			h.block("variables", "", func() { h.attr(variable, value) })
			h.gap()
			h.attr("expect_failures", "[var."+variable+"]")
		})
	}
	refused("an_image_by_its_tag_is_refused", "image", quoted("europe-docker.pkg.dev/my-project/models/"+d.Spec.Name+":latest"))
	refused("no_instances_are_refused", "max_instances", "0")
	if p.checks {
		refused("everybody_is_refused", "invokers", `["allUsers"]`)
	}
	return h.bytes()
}

func (h *hcl) mocks(beta bool) {
	for _, name := range []string{"google", "google-beta"} {
		if name == "google" || beta {
			h.b.WriteString("\nmock_provider " + quoted(name) + " {}\n")
		}
	}
}

func moduleReadme(d *render.Deployment, where string, vars, outs []tfvar) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s on %s\n\nA module that makes what `../deploy.sh` makes. It has no provider of its own: `examples/basic` shows one.\n\n", d.Spec.Name, where)
	fmt.Fprintf(&b, "    terraform -chdir=examples/basic init\n    terraform -chdir=examples/basic apply -var project=my-project")
	if vars[1].def == "" {
		b.WriteString(" -var region=europe-west1")
	}
	b.WriteString("\n\n| variable | type | default | |\n| --- | --- | --- | --- |\n")
	for _, v := range vars {
		def := "has to be given"
		if v.def != "" {
			def = "`" + v.def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", v.name, v.kind, def, v.about)
	}
	b.WriteString("\n| output | |\n| --- | --- |\n")
	for _, v := range outs {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, v.about)
	}
	return []byte(b.String())
}
