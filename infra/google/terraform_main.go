package google

import (
	"fmt"
	"strings"

	"godwit.dev/infra/render"
	"godwit.dev/infra/spec"
)

// tf is main.tf in the making.
type tf struct {
	hcl
	d *render.Deployment
	p *plan
	t *spec.CloudRun
}

func runMain(d *render.Deployment, p *plan) []byte {
	h := &tf{d: d, p: p, t: d.Spec.Targets.CloudRun}
	h.note("Rendered by godwit from godwit.yaml, for package " + d.Digest + ".\nChange godwit.yaml and render again rather than this file.")
	h.locals()
	if p.number() {
		h.block(`data "google_project" "this"`, "", func() { h.attr("project_id", "var.project") })
	}
	h.services(p.apis())
	for _, a := range []struct {
		account
		label string
	}{{p.runs, "run"}, {p.pusher, "push"}, {p.gate, "gate"}} {
		if a.id != "" {
			h.account(a.account, a.label)
		}
	}
	h.key()
	h.bucket()
	h.rights()
	h.service()
	if p.checks {
		h.member("google_cloud_run_v2_service_iam_member", "invokers", "Who may call.", func() {
			h.attr("for_each", "var.invokers")
			h.onService(invoker, "each.value")
		})
	}
	if p.dead != "" {
		h.deliveries()
	}
	if h.t.Job != nil {
		h.job()
	}
	if p.gateway {
		h.gateway()
	}
	return h.bytes()
}

func (h *tf) locals() {
	h.block("locals", "", func() {
		h.attr("service_account", h.p.runs.inHCL("run"))
		if h.p.dead != "" {
			h.attr("pusher", h.p.pusher.inHCL("push"))
		}
		if h.p.gateway {
			h.attr("openapi", `replace(file("${path.module}/openapi.yaml"), "/(?m)^( *(?:address|jwt_audience): )SERVICE_URL$/", "$${1}${google_cloud_run_v2_service.this.uri}")`)
		}
		h.object("labels", func() {
			h.text("function", h.d.Spec.Name)
			h.text("rendered-by", "godwit")
		})
	})
}

func (h *hcl) services(apis []string) {
	h.block(`resource "google_project_service" "this"`, "What is used here has to be switched on once.", func() {
		h.b.WriteString(h.indent() + "for_each = toset([\n")
		for _, api := range apis {
			h.b.WriteString(h.indent() + "  " + quoted(api) + ",\n")
		}
		h.b.WriteString(h.indent() + "])\n")
		h.gap()
		h.attr("project", "var.project")
		h.attr("service", "each.value")
		h.attr("disable_on_destroy", "false")
	})
}

func (h *hcl) account(a account, label string) {
	h.block(`resource "google_service_account" `+quoted(label), "", func() {
		h.attr("project", "var.project")
		h.text("account_id", a.id)
		h.text("display_name", a.what)
	})
}

// member is one grant, or one for each of several.
func (h *hcl) member(kind, label, note string, body func()) {
	h.block("resource "+quoted(kind)+" "+quoted(label), note, body)
}

func toAccount(expression string) string {
	return `"serviceAccount:${` + expression + `}"`
}

func (a agent) hcl() string {
	return `"serviceAccount:service-${data.google_project.this.number}@` + string(a) + `.iam.gserviceaccount.com"`
}

// to writes the role and who gets it.
func (h *hcl) to(role, member string) {
	h.text("role", role)
	h.attr("member", member)
}

func (h *tf) onService(role, member string) {
	h.attr("project", "var.project")
	h.attr("location", "var.region")
	h.attr("name", "google_cloud_run_v2_service.this.name")
	h.to(role, member)
}

func (h *tf) key() {
	if h.p.key == "" {
		return
	}
	var agents []string
	for _, a := range h.p.keyAgents() {
		agents = append(agents, string(a))
	}
	h.member("google_kms_crypto_key_iam_member", "agents", "Those who keep something under the key.", func() {
		h.attr("for_each", set(agents))
		h.gap()
		h.attr("crypto_key_id", "var.kms_key")
		h.to(keyRole, `"serviceAccount:service-${data.google_project.this.number}@${each.value}.iam.gserviceaccount.com"`)
	})
}

func (h *tf) bucket() {
	if h.p.inbox == nil || h.p.inbox.name != "" {
		return
	}
	h.block(`resource "google_storage_bucket" "rows"`, "Rows come here, and scores go here.", func() {
		h.attr("project", "var.project")
		h.attr("name", `var.bucket != "" ? var.bucket : "${var.project}-`+h.d.Spec.Name+`"`)
		h.attr("location", "var.region")
		h.attr("uniform_bucket_level_access", "true")
		h.text("public_access_prevention", "enforced")
		h.attr("labels", "local.labels")
		if h.p.key != "" {
			h.block("encryption", "", func() { h.attr("default_kms_key_name", "var.kms_key") })
		}
		h.after(h.p.key != "", "google_kms_crypto_key_iam_member.agents")
	})
}

// after is depends_on, when there is something to wait for.
func (h *hcl) after(there bool, what ...string) {
	if there {
		h.gap()
		h.list("depends_on", what)
	}
}

func (h *tf) rights() {
	if len(h.p.secrets) > 0 {
		h.member("google_secret_manager_secret_iam_member", "reads", "What the function may do with what is there.", func() {
			h.attr("for_each", set(h.p.secrets))
			h.gap()
			h.attr("project", "var.project")
			h.attr("secret_id", "each.value")
			h.to(accessor, toAccount("local.service_account"))
		})
	}
	byRole := map[string][]string{}
	for _, r := range h.p.rights() {
		switch {
		case r.kind == "bucket" && r.on == "":
			h.member("google_storage_bucket_iam_member", map[string]string{viewer: "rows_reads", creator: "rows_writes"}[r.role], "", func() {
				h.attr("bucket", "google_storage_bucket.rows.name")
				h.to(r.role, toAccount("local.service_account"))
			})
		case r.kind == "bucket":
			byRole[r.role] = append(byRole[r.role], r.on)
		}
	}
	for _, r := range []pair{{"reads", viewer}, {"writes", creator}} {
		if buckets := byRole[r.value]; len(buckets) > 0 {
			h.member("google_storage_bucket_iam_member", r.name, "", func() {
				h.attr("for_each", set(buckets))
				h.gap()
				h.attr("bucket", "each.value")
				h.to(r.value, toAccount("local.service_account"))
			})
		}
	}
}

func (h *tf) service() {
	t, p := h.t, h.p
	h.block(`resource "google_cloud_run_v2_service" "this"`, "", func() {
		h.attr("project", "var.project")
		h.text("name", h.d.Spec.Name)
		h.attr("location", "var.region")
		h.text("description", describe(h.d))
		h.attr("labels", "local.labels")
		h.text("ingress", map[string]string{"all": "INGRESS_TRAFFIC_ALL", "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
			"internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"}[t.Ingress])
		h.yes("invoker_iam_disabled", !p.checks)
		h.attr("deletion_protection", "var.deletion_protection")
		h.block("scaling", "Of all revisions together.", func() {
			h.attr("min_instance_count", "var.min_instances")
			h.attr("max_instance_count", "var.max_instances")
		})
		h.block("template", "", func() {
			h.attr("labels", "local.labels")
			h.attr("service_account", "local.service_account")
			h.text("timeout", render.InSeconds(t.Timeout))
			h.whole("max_instance_request_concurrency", t.Concurrency)
			h.placed(t)
			h.block("scaling", "", func() { h.attr("max_instance_count", "var.max_instances") })
			h.placedBlocks(t)
			h.container(func() {
				h.resources(t, true)
				h.block("ports", "", func() {
					name := "http1"
					if t.HTTP2 {
						name = "h2c"
					}
					h.text("name", name)
					h.whole("container_port", render.Port)
				})
				h.block("startup_probe", "The port opens when every model is loaded and answers.", func() {
					h.whole("period_seconds", startSeconds)
					h.whole("timeout_seconds", startSeconds)
					h.whole("failure_threshold", 1)
					h.block("tcp_socket", "", func() { h.whole("port", render.Port) })
				})
				h.block("liveness_probe", "", func() {
					h.whole("period_seconds", livePeriod)
					h.whole("timeout_seconds", liveTimeout)
					h.whole("failure_threshold", liveFailures)
					h.block("http_get", "", func() {
						h.text("path", render.Live)
						h.whole("port", render.Port)
					})
				})
			})
		})
		h.block("traffic", "", func() {
			h.text("type", "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST")
			h.whole("percent", 100)
		})
		h.after(true, h.before()...)
	})
}

// before is what has to be there for an instance to start.
func (h *tf) before() []string {
	all := []string{"google_project_service.this"}
	if len(h.p.secrets) > 0 {
		all = append(all, "google_secret_manager_secret_iam_member.reads")
	}
	if h.p.key != "" {
		all = append(all, "google_kms_crypto_key_iam_member.agents")
	}
	return all
}

// placed is what service and job have in common.
func (h *tf) placed(t *spec.CloudRun) {
	h.text("execution_environment", "EXECUTION_ENVIRONMENT_"+strings.ToUpper(t.ExecutionEnvironment))
	if t.GPU != "" {
		h.yes("gpu_zonal_redundancy_disabled", !t.GPUZonalRedundancy)
	}
	if t.EncryptionKey != "" {
		h.attr("encryption_key", "var.kms_key")
	}
}

func (h *tf) placedBlocks(t *spec.CloudRun) {
	if t.GPU != "" {
		h.block("node_selector", "", func() { h.text("accelerator", t.GPU) })
	}
	if t.Network != "" || t.Subnet != "" {
		h.block("vpc_access", "", func() {
			h.text("egress", strings.ToUpper(strings.ReplaceAll(t.VPCEgress, "-", "_")))
			h.block("network_interfaces", "", func() {
				if t.Network != "" {
					h.text("network", t.Network)
				}
				if t.Subnet != "" {
					h.text("subnetwork", t.Subnet)
				}
			})
		})
	}
}

func (h *tf) container(more func()) {
	h.block("containers", "", func() {
		h.attr("image", "var.image")
		for _, v := range variables(&h.t.Common, "cloudrun") {
			h.block("env", "", func() {
				h.text("name", v.name)
				h.text("value", v.value)
			})
		}
		for _, s := range sorted(h.t.Secrets) {
			name, version := secret(s.value)
			h.block("env", "", func() {
				h.text("name", s.name)
				h.block("value_source", "", func() {
					h.block("secret_key_ref", "", func() {
						h.text("secret", name)
						h.text("version", version)
					})
				})
			})
		}
		more()
	})
}

func (h *tf) resources(t *spec.CloudRun, service bool) {
	h.block("resources", "", func() {
		h.object("limits", func() {
			h.text("cpu", render.CPUs(t.CPU))
			h.text("memory", render.Quantity(t.Memory))
			if t.GPU != "" {
				h.text(`"nvidia.com/gpu"`, "1")
			}
		})
		if service {
			h.yes("cpu_idle", t.Billing != "instance")
			h.attr("startup_cpu_boost", "true")
		}
	})
}

func (h *tf) deliveries() {
	p, name := h.p, h.d.Spec.Name
	if p.checks {
		h.member("google_cloud_run_v2_service_iam_member", "push", "Deliveries are calls like all others.", func() {
			h.onService(invoker, toAccount("local.pusher"))
		})
	}
	h.block(`resource "google_pubsub_topic" "dead"`, "What failed for good waits here for a week: godwit score --redrive brings it back.", func() {
		h.attr("project", "var.project")
		h.text("name", p.dead)
		h.attr("labels", "local.labels")
		h.encrypted()
	})
	h.block(`resource "google_pubsub_subscription" "dead"`, "", func() {
		h.attr("project", "var.project")
		h.text("name", p.dead)
		h.attr("topic", "google_pubsub_topic.dead.id")
		h.attr("labels", "local.labels")
		h.kept()
	})
	h.member("google_pubsub_topic_iam_member", "dead", "Pub/Sub itself puts messages aside, and takes them from their subscription for that.", func() {
		h.attr("project", "var.project")
		h.attr("topic", "google_pubsub_topic.dead.name")
		h.to(publisher, pubsubAgent.hcl())
	})
	if len(p.topics) > 0 {
		h.pushed()
	}
	for _, r := range p.publishes() {
		label, on := "parts", `google_pubsub_topic.push[`+quoted(r.on)+`].name`
		if r.on == p.dead {
			label, on = "aside", "google_pubsub_topic.dead.name"
		}
		h.member("google_pubsub_topic_iam_member", label, map[string]string{"parts": "The function sends parts of large objects to its own queue.", "aside": "The function puts aside what failed for good, with the reason."}[label], func() {
			h.attr("project", "var.project")
			h.attr("topic", on)
			h.to(r.role, toAccount("local.service_account"))
		})
	}
	if b := p.inbox; b != nil {
		h.block(`data "google_storage_project_service_account" "this"`, "", func() { h.attr("project", "var.project") })
		if b.topic != "" {
			h.notification(b)
		} else {
			h.eventarc(b, name)
		}
	}
}

func (h *tf) encrypted() {
	if h.p.key != "" {
		h.attr("kms_key_name", "var.kms_key")
		h.after(true, "google_kms_crypto_key_iam_member.agents")
	}
}

// kept is how long messages wait, and that a subscription does not end.
func (h *hcl) kept() {
	h.text("message_retention_duration", "604800s")
	h.block("expiration_policy", "It never ends.", func() { h.text("ttl", "") })
}

func (h *tf) pushed() {
	p := h.p
	var names []string
	for _, t := range p.topics {
		names = append(names, t.name)
	}
	h.block(`resource "google_pubsub_topic" "push"`, "What is published here is delivered to the service.", func() {
		h.attr("for_each", set(names))
		h.gap()
		h.attr("project", "var.project")
		h.attr("name", "each.value")
		h.attr("labels", "local.labels")
		h.encrypted()
	})
	h.block(`resource "google_pubsub_subscription" "push"`, "", func() {
		h.attr("for_each", "google_pubsub_topic.push")
		h.gap()
		h.attr("project", "var.project")
		h.attr("name", "each.key")
		h.attr("topic", "each.value.id")
		h.attr("labels", "local.labels")
		h.whole("ack_deadline_seconds", p.deadline)
		h.kept()
		h.block("push_config", "", func() {
			h.attr("push_endpoint", `"${google_cloud_run_v2_service.this.uri}/events"`)
			h.block("oidc_token", "", func() {
				h.attr("service_account_email", "local.pusher")
				if p.audience != "" {
					h.text("audience", p.audience)
				} else {
					h.attr("audience", "google_cloud_run_v2_service.this.uri")
				}
			})
		})
		h.block("retry_policy", "", func() {
			h.text("minimum_backoff", fmt.Sprintf("%ds", minBackoff))
			h.text("maximum_backoff", fmt.Sprintf("%ds", maxBackoff))
		})
		h.block("dead_letter_policy", "", func() {
			h.attr("dead_letter_topic", "google_pubsub_topic.dead.id")
			h.whole("max_delivery_attempts", p.attempts)
		})
	})
	h.member("google_pubsub_subscription_iam_member", "push", "", func() {
		h.attr("for_each", "google_pubsub_subscription.push")
		h.gap()
		h.attr("project", "var.project")
		h.attr("subscription", "each.value.name")
		h.to(subscriber, pubsubAgent.hcl())
	})
	if p.pusher.id != "" {
		h.member("google_service_account_iam_member", "push", "", func() {
			h.attr("service_account_id", "google_service_account.push.name")
			h.to(tokenCreator, pubsubAgent.hcl())
		})
	}
}

const agentMember = `"serviceAccount:${data.google_storage_project_service_account.this.email_address}"`

func (h *tf) inbox() string {
	if h.p.inbox.name == "" {
		return "google_storage_bucket.rows.name"
	}
	return quoted(h.p.inbox.name)
}

func (h *tf) notification(b *bucket) {
	topic := "google_pubsub_topic.push[" + quoted(b.topic) + "]"
	h.member("google_pubsub_topic_iam_member", "bucket", "The bucket tells of new objects below its prefix, and of no others.", func() {
		h.attr("project", "var.project")
		h.attr("topic", topic+".name")
		h.to(publisher, agentMember)
	})
	h.block(`resource "google_storage_notification" "rows"`, "", func() {
		h.attr("bucket", h.inbox())
		h.attr("topic", topic+".id")
		h.text("payload_format", "JSON_API_V1")
		h.attr("event_types", `["OBJECT_FINALIZE"]`)
		if b.prefix != "" {
			h.text("object_name_prefix", b.prefix)
		}
		h.after(true, "google_pubsub_topic_iam_member.bucket")
	})
}

func (h *tf) eventarc(b *bucket, name string) {
	h.member("google_project_iam_member", "receiver", "Eventarc tells of every new object of the bucket.", func() {
		h.attr("project", "var.project")
		h.to(receiver, toAccount("local.pusher"))
	})
	h.member("google_project_iam_member", "bucket", "", func() {
		h.attr("project", "var.project")
		h.to(publisher, agentMember)
	})
	h.block(`data "google_storage_bucket" "rows"`, "", func() { h.text("name", b.name) })
	h.block(`resource "google_eventarc_trigger" "rows"`, "Its own subscription gets its dead letters from deploy.sh: no resource knows of it.", func() {
		h.attr("project", "var.project")
		h.text("name", name)
		h.attr("location", "lower(data.google_storage_bucket.rows.location)")
		h.attr("service_account", "local.pusher")
		h.attr("labels", "local.labels")
		for _, f := range []pair{{"type", finalized}, {"bucket", b.name}} {
			h.block("matching_criteria", "", func() {
				h.text("attribute", f.name)
				h.text("value", f.value)
			})
		}
		h.block("destination", "", func() {
			h.block("cloud_run_service", "", func() {
				h.attr("service", "google_cloud_run_v2_service.this.name")
				h.attr("region", "var.region")
				h.text("path", "/events")
			})
		})
		h.after(true, "google_project_iam_member.bucket", "google_project_iam_member.receiver")
	})
}

func (h *tf) job() {
	one := *h.t // as jobAnnotations does
	one.ExecutionEnvironment, one.GPUZonalRedundancy = "gen2", false
	j := h.t.Job
	h.block(`resource "google_cloud_run_v2_job" "this"`, "Each task scores its share of what lies below the prefix.", func() {
		h.attr("project", "var.project")
		h.text("name", jobName(h.d))
		h.attr("location", "var.region")
		h.attr("labels", "local.labels")
		h.attr("deletion_protection", "var.deletion_protection")
		h.block("template", "", func() {
			h.attr("labels", "local.labels")
			h.whole("task_count", j.Tasks)
			if j.Parallelism > 0 {
				h.whole("parallelism", j.Parallelism)
			}
			h.block("template", "", func() {
				h.attr("service_account", "local.service_account")
				h.text("timeout", render.InSeconds(j.TaskTimeout))
				h.whole("max_retries", j.MaxRetries)
				h.placed(&one)
				h.placedBlocks(&one)
				h.container(func() { h.resources(&one, false) })
			})
		})
		h.after(true, h.before()...)
	})
}

func (h *tf) gateway() {
	if h.p.checks {
		h.member("google_cloud_run_v2_service_iam_member", "gate", "", func() { h.onService(invoker, toAccount("google_service_account.gate.email")) })
	}
	name := h.d.Spec.Name
	beta := func() {
		h.attr("provider", "google-beta")
		h.attr("project", "var.project")
	}
	h.block(`resource "google_api_gateway_api" "this"`, "", func() {
		beta()
		h.text("api_id", name)
		h.after(true, "google_project_service.this")
	})
	h.block(`resource "google_api_gateway_api_config" "this"`, "What a gateway is configured by cannot be changed: each has a name of its own.", func() {
		beta()
		h.attr("api", "google_api_gateway_api.this.api_id")
		h.attr("api_config_id", `"`+name+`-${substr(sha256(local.openapi), 0, 12)}"`)
		h.block("openapi_documents", "", func() {
			h.block("document", "", func() {
				h.text("path", "openapi.yaml")
				h.attr("contents", "base64encode(local.openapi)")
			})
		})
		if h.p.checks {
			h.block("gateway_config", "", func() {
				h.block("backend_config", "", func() { h.attr("google_service_account", "google_service_account.gate.email") })
			})
		}
		h.block("lifecycle", "", func() { h.attr("create_before_destroy", "true") })
	})
	h.block(`resource "google_api_gateway_gateway" "this"`, "", func() {
		beta()
		h.attr("region", "var.region")
		h.text("gateway_id", name)
		h.attr("api_config", "google_api_gateway_api_config.this.id")
		h.attr("labels", "local.labels")
	})
}
