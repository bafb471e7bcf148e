package spec

// CloudRun is one Cloud Run service, and a job for batch. Field names are
// gcloud's flags where they have one.
type CloudRun struct {
	Common
	Region                     string // "" is gcloud's own setting
	CPU                        CPU
	Memory                     Bytes  // files count against it too
	GPU                        string // "nvidia-l4" or "nvidia-rtx-pro-6000"; "" is none
	GPUZonalRedundancy         bool   // usually without quota, so off
	MinInstances, MaxInstances int
	Concurrency                int           // requests of one instance at a time
	Timeout                    Duration      // of one request, the start of an instance included
	Billing                    string        // "request" or "instance"; a GPU needs the latter
	ExecutionEnvironment       string        // "gen1" or "gen2"
	HTTP2                      bool          // to the container: no limit on bodies, streaming gRPC
	Ingress                    string        // "all", "internal" or "internal-and-cloud-load-balancing"
	Network, Subnet, VPCEgress string        // direct VPC egress; "" is none
	ServiceAccount             string        // "" makes one with minimal roles
	EncryptionKey              string        // CMEK; "" is Google's own
	Push                       *CloudRunPush // nil leaves deliveries to auth and the subscription
	Job                        *CloudRunJob
	Gateway                    *CloudRunGateway // nil for none
}

// CloudRunGateway is an API Gateway in front of the service.
type CloudRunGateway struct {
	// Callers are the service accounts that may call by their own tokens; with
	// auth: platform alone, and needed there.
	Callers []string
}

// CloudRunPush is what the function knows of the push subscriptions and Eventarc
// triggers that deliver to it. Field names are those of gcloud pubsub
// subscriptions' flags where they have one.
type CloudRunPush struct {
	// Audience and ServiceAccounts are set together or not at all: the function
	// checks the identity token of each delivery itself.
	Audience        string
	ServiceAccounts []string
	// AckDeadline is the subscription's; the work on a delivery ends before it.
	// 0: when the caller leaves.
	AckDeadline Duration
	// DeadLetterTopic takes messages that failed for good, at once and with the
	// reason, as "projects/P/topics/T"; "" leaves them to the subscription's own
	// dead-letter policy.
	DeadLetterTopic string
}

// CloudRunJob is the job that scores whole prefixes.
type CloudRunJob struct {
	Tasks, Parallelism, MaxRetries int
	TaskTimeout                    Duration
}

func (t *CloudRun) keys() []key {
	// Google's pages on CPU and memory limits, GPUs, and quotas. The upper ends
	// only catch slips: check has the exact table, and for machines with a GPU
	// Google states the least and not the most.
	return append([]key{
		{name: "region", to: text(&t.Region, region), doc: "The region.", shown: "gcloud's own setting"},
		{name: "cpu", to: cpus(&t.CPU, 80, 64_000), doc: "CPUs of one instance: 0.08 to 1, or 1, 2, 4, 6, 8; a GPU needs 4 or 20.", why: "one run at a time", shown: "1, with a GPU what it needs"},
		{name: "memory", to: size(&t.Memory, 128*MiB, 256*GiB, MiB), doc: "Memory of one instance, files included; a GPU needs 16GiB or 80GiB.", why: "the runtime and a model of some 100MB", shown: "1GiB, with a GPU what it needs"},
		{name: "gpu", to: oneOf(&t.GPU, "nvidia-l4", "nvidia-rtx-pro-6000"), doc: "The GPU of each instance."},
		{name: "gpuZonalRedundancy", to: flag(&t.GPUZonalRedundancy), doc: "Keep GPUs in a second zone; needs a quota of its own."},
		{name: "minInstances", to: integer(&t.MinInstances, 0, 1000), doc: "Instances that are kept.", why: "nothing is paid while nothing is asked"},
		{name: "maxInstances", to: integer(&t.MaxInstances, 1, 1000), doc: "The most instances.", why: "a bound on cost"},
		{name: "concurrency", to: integer(&t.Concurrency, 1, 1000), doc: "Requests of one instance at a time.", why: "Cloud Run's own; below one CPU it takes 1 only", shown: "80, below one CPU 1"},
		{name: "timeout", to: duration(&t.Timeout, 1*second, 60*minute, second), doc: "The time for one request, the start of an instance included.", why: "Cloud Run's own"},
		{name: "billing", to: oneOf(&t.Billing, "request", "instance"), doc: "Whether CPU is paid during requests only; a GPU is paid by the instance.", why: "nothing is paid while nothing is asked", shown: "`request`, with a GPU `instance`"},
		{name: "executionEnvironment", to: oneOf(&t.ExecutionEnvironment, "gen1", "gen2"), doc: "The sandbox: gVisor, or a Linux of its own.", why: "faster CPU and files; below one CPU there is gen1 only", shown: "`gen2`, below one CPU `gen1`"},
		{name: "http2", to: flag(&t.HTTP2), doc: "HTTP/2 to the container, for bodies beyond 32MiB and streaming gRPC."},
		{name: "ingress", to: oneOf(&t.Ingress, "all", "internal", "internal-and-cloud-load-balancing"), doc: "The networks that may reach it; who may call is auth's.", why: "callers are checked, networks are not known"},
		{name: "network", to: text(&t.Network, resource), doc: "The VPC network for egress."},
		{name: "subnet", to: text(&t.Subnet, resource), doc: "The subnet for egress."},
		{name: "vpcEgress", to: oneOf(&t.VPCEgress, "all-traffic", "private-ranges-only"), doc: "What goes through the VPC network.", why: "the rest is faster without the detour", shown: "`private-ranges-only` with a network"},
		{name: "serviceAccount", to: text(&t.ServiceAccount, resource), doc: "The identity it runs as.", shown: "one is made"},
		{name: "encryptionKey", to: text(&t.EncryptionKey, resource), doc: "The Cloud KMS key.", shown: "Google's own"},
		{name: "push", to: object[CloudRunPush](&t.Push), doc: "What Pub/Sub's and Eventarc's deliveries are checked for, and where they end (docs/cloudrun.md)."},
		{name: "job", to: object[CloudRunJob](&t.Job), doc: "A job that scores whole prefixes; needs batch."},
		{name: "gateway", to: object[CloudRunGateway](&t.Gateway), doc: "An API Gateway in front of the service, which checks callers too."},
	}, t.common()...)
}

// accountEmail is a service account's address.
var accountEmail = rule{what: "a service account such as push@acme.iam.gserviceaccount.com", typ: "e-mail address", pattern: `^[a-z0-9.-]+@[a-z0-9.-]+\.gserviceaccount\.com$`, max: 320}

func (g *CloudRunGateway) keys() []key {
	return []key{
		{name: "callers", to: texts{&g.Callers, accountEmail}, doc: "The service accounts that may call through the gateway, with auth: platform."},
	}
}

func (p *CloudRunPush) keys() []key {
	email := accountEmail
	topic := rule{what: "a topic such as projects/acme/topics/rejected", typ: "topic", pattern: `^projects/[a-z0-9.:-]+/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`}
	return []key{
		{name: "audience", to: text(&p.Audience, freeText("an audience")), doc: "The aud claim that deliveries' identity tokens must have (--push-auth-token-audience; Pub/Sub's own is the URL that is pushed to). For services that let everybody call: with auth: platform Cloud Run checks the token."},
		{name: "serviceAccounts", to: texts{&p.ServiceAccounts, email}, doc: "The accounts that may deliver (--push-auth-service-account)."},
		{name: "ackDeadline", to: duration(&p.AckDeadline, 10*second, 600*second, second), doc: "The subscription's acknowledgement deadline (--ack-deadline). Work on a delivery ends before it, as it is delivered again then.", shown: "until the caller leaves"},
		{name: "deadLetterTopic", to: text(&p.DeadLetterTopic, topic), doc: "The topic that messages go to which failed for good, with the reason, instead of being delivered again. The function's account needs roles/pubsub.publisher there.", shown: "the subscription's own policy"},
	}
}

func (j *CloudRunJob) keys() []key {
	return []key{
		{name: "tasks", to: integer(&j.Tasks, 1, 10000), doc: "Tasks that share the work.", why: "splitting is asked for by number"},
		{name: "parallelism", to: integer(&j.Parallelism, 1, 10000), doc: "Tasks at a time.", shown: "as many as the quota allows"},
		{name: "maxRetries", to: integer(&j.MaxRetries, 0, 10), doc: "How often a failed task is tried again.", why: "Cloud Run's own"},
		{name: "taskTimeout", to: duration(&j.TaskTimeout, 1*second, 7*day, second), doc: "The time for one task; with a GPU at most 1h.", why: "with a GPU the most there is"},
	}
}

func (t *CloudRun) setDefaults(d *defaults) {
	t.setProvider(d, t.GPU != "")
	floor, memory := t.floor()
	set(d, "cpu", &t.CPU, max(1000, floor))
	set(d, "memory", &t.Memory, max(1*GiB, memory))
	set(d, "minInstances", &t.MinInstances, 0)
	set(d, "maxInstances", &t.MaxInstances, max(10, t.MinInstances))
	set(d, "concurrency", &t.Concurrency, 80)
	set(d, "timeout", &t.Timeout, 300*second)
	set(d, "billing", &t.Billing, "request")
	set(d, "executionEnvironment", &t.ExecutionEnvironment, "gen2")
	set(d, "ingress", &t.Ingress, "all")
	if t.GPU != "" {
		set(d, "billing", &t.Billing, "instance")
	}
	if t.CPU < 1000 {
		set(d, "concurrency", &t.Concurrency, 1)
		set(d, "executionEnvironment", &t.ExecutionEnvironment, "gen1")
		set(d, "memory", &t.Memory, 512*MiB)
	}
	if t.Network != "" {
		set(d, "vpcEgress", &t.VPCEgress, "private-ranges-only")
	}
	if j := t.Job; j != nil {
		d := d.at("job")
		set(d, "tasks", &j.Tasks, 1)
		set(d, "maxRetries", &j.MaxRetries, 3)
		set(d, "taskTimeout", &j.TaskTimeout, 1*hour)
	}
}

// floor is the CPU and memory that the GPU needs.
func (t *CloudRun) floor() (CPU, Bytes) {
	switch t.GPU {
	case "nvidia-l4":
		return 4_000, 16 * GiB
	case "nvidia-rtx-pro-6000":
		return 20_000, 80 * GiB
	}
	return 0, 0
}

// memoryRange is what Cloud Run takes with so many CPUs, without a GPU; hi is
// 0 for a number of CPUs that there is not.
func memoryRange(c CPU) (lo, hi Bytes) {
	switch {
	case c < 500:
		return 128 * MiB, 512 * MiB
	case c < 1000:
		return 128 * MiB, 1 * GiB
	case c == 1000:
		return 128 * MiB, 4 * GiB
	case c == 2000:
		return 128 * MiB, 8 * GiB
	case c == 4000:
		return 2 * GiB, 16 * GiB
	case c == 6000:
		return 4 * GiB, 24 * GiB
	case c == 8000:
		return 4 * GiB, 32 * GiB
	}
	return 0, 0
}

func (t *CloudRun) check(d *decoder, path string, s *Spec) {
	t.checkCommon(d, path, t.GPU != "", "gpu: nvidia-l4", "CLOUD_RUN_*")
	at := func(k string) (place, string) { p := join(path, k); return d.where(p), p }
	if floor, memory := t.floor(); t.GPU != "" {
		if t.CPU < floor {
			at, p := at("cpu")
			d.add(at, p, "", "want at least %s CPUs with %s, got %s", floor, t.GPU, t.CPU)
		}
		if t.CPU%1000 != 0 {
			at, p := at("cpu")
			d.add(at, p, "", "want a whole number of CPUs with a GPU, got %s", t.CPU)
		}
		if t.Memory < memory {
			at, p := at("memory")
			d.add(at, p, "", "want at least %s with %s, got %s", memory, t.GPU, t.Memory)
		}
		if t.Billing != "instance" {
			at, p := at("billing")
			d.add(at, p, "Leave billing out.", "want instance with a GPU, got %s", t.Billing)
		}
		if t.ExecutionEnvironment != "gen2" {
			at, p := at("executionEnvironment")
			d.add(at, p, "Leave it out.", "want gen2 with a GPU, got %s", t.ExecutionEnvironment)
		}
		if t.Job != nil && t.Job.TaskTimeout > 1*hour {
			at, p := at("job.taskTimeout")
			d.add(at, p, "", "want at most 1h with a GPU, got %s", t.Job.TaskTimeout)
		}
	} else if lo, hi := memoryRange(t.CPU); hi == 0 {
		at, p := at("cpu")
		d.add(at, p, "", "want 0.08 to 1, or 1, 2, 4, 6 or 8 CPUs, got %s", t.CPU)
	} else if t.Memory < lo || t.Memory > hi {
		at, p := at("memory")
		d.add(at, p, "", "want %s to %s with cpu %s, got %s", lo, hi, t.CPU, t.Memory)
	}
	if t.CPU < 1000 && t.Concurrency != 1 {
		at, p := at("concurrency")
		d.add(at, p, "", "want 1 below one CPU, got %d", t.Concurrency)
	}
	if t.CPU < 1000 && (t.ExecutionEnvironment != "gen1" || t.Billing != "request") {
		at, p := at("cpu")
		d.add(at, p, "Leave executionEnvironment and billing out.", "want at least one CPU with gen2 or billing by the instance, got %s", t.CPU)
	}
	if t.ExecutionEnvironment == "gen2" && t.Memory < 512*MiB {
		at, p := at("memory")
		d.add(at, p, "", "want at least 512MiB with gen2, got %s", t.Memory)
	}
	if t.MaxInstances < t.MinInstances {
		at, p := at("maxInstances")
		d.add(at, p, "", "want at least minInstances %d, got %d", t.MinInstances, t.MaxInstances)
	}
	if t.GPU == "" {
		d.only(path, "gpu given", "gpuZonalRedundancy")
	}
	if t.Network == "" && t.Subnet == "" {
		d.only(path, "network given", "vpcEgress")
	}
	t.checkPush(d, path, s)
	t.checkGateway(d, path, s)
	if t.Job != nil && s.Batch == nil {
		at, p := at("job")
		d.add(at, p, "Add batch: {input: rows/, output: scores/}.", "a job scores a batch, and there is no batch")
	}
}

func (t *CloudRun) checkGateway(d *decoder, path string, s *Spec) {
	if t.Gateway == nil {
		return
	}
	p := join(path, "gateway.callers")
	switch {
	case s.Auth.Mode == "platform" && len(t.Gateway.Callers) == 0:
		d.add(d.where(p), p, "Add gateway: {callers: [app@acme.iam.gserviceaccount.com]}, or use auth: jwt or key.", "a gateway checks callers instead of Cloud Run, and nobody is named")
	case s.Auth.Mode != "platform" && len(t.Gateway.Callers) > 0:
		d.add(d.where(p), p, "Leave callers out.", "want callers with auth: platform only, got auth: %s", s.Auth.Mode)
	}
	if p := join(path, "ingress"); t.Ingress != "all" {
		d.add(d.where(p), p, "Leave ingress out, or the gateway.", "want all with a gateway, which comes from outside of every network of yours, got %s", t.Ingress)
	}
}

func (t *CloudRun) checkPush(d *decoder, path string, s *Spec) {
	push := t.Push
	if push == nil {
		return
	}
	path = join(path, "push")
	at := func(k string) (place, string) { p := join(path, k); return d.where(p), p }
	switch {
	case len(push.ServiceAccounts) > 0 && s.Auth.Mode == "platform":
		at, p := at("serviceAccounts")
		d.add(at, p, "Leave audience and serviceAccounts out and give the accounts roles/run.invoker, or use auth: key, jwt or none.",
			"Cloud Run checks the tokens of deliveries itself with auth: platform, and takes their signatures away")
	case push.Audience == "" && len(push.ServiceAccounts) > 0:
		at, p := at("audience")
		d.add(at, p, "Add the subscription's --push-auth-token-audience; the URL that is pushed to, unless it was set.", "serviceAccounts need the audience of their tokens")
	case push.Audience != "" && len(push.ServiceAccounts) == 0:
		at, p := at("serviceAccounts")
		d.add(at, p, "Add serviceAccounts: [push@acme.iam.gserviceaccount.com].", "want the accounts that may deliver, got an audience only: every Google account can have a token for it")
	}
}

// VertexAI is an endpoint with our image.
type VertexAI struct {
	Common
	Region                   string // "" is gcloud's own setting
	MachineType              string // "n1-standard-2"
	AcceleratorType          string // "NVIDIA_L4"; "" is none
	AcceleratorCount         int    // 0 without a type
	MinReplicas, MaxReplicas int
	DedicatedEndpoint        bool     // larger bodies, longer requests, gRPC
	Timeout                  Duration // of one request; beyond 60s only on a dedicated endpoint
	ServiceAccount           string
	Network, EncryptionKey   string
}

func (t *VertexAI) keys() []key {
	return append([]key{
		{name: "region", to: text(&t.Region, region), doc: "The region.", shown: "gcloud's own setting"},
		{name: "machineType", to: text(&t.MachineType, rule{what: "a machine type such as n1-standard-2", typ: "name", pattern: `^[a-z0-9]+-[a-z0-9-]+$`}), doc: "The machine; it decides CPU and memory.", why: "the smallest of the family that takes GPUs"},
		{name: "acceleratorType", to: text(&t.AcceleratorType, rule{what: "an accelerator such as NVIDIA_L4", typ: "name", pattern: `^NVIDIA_[A-Z0-9_]+$`}), doc: "The GPU."},
		{name: "acceleratorCount", to: integer(&t.AcceleratorCount, 1, 16), doc: "GPUs of one replica.", why: "the least", shown: "1 with an acceleratorType"},
		{name: "minReplicas", to: integer(&t.MinReplicas, 1, 1000), doc: "The fewest replicas.", why: "Vertex AI does not go to zero"},
		{name: "maxReplicas", to: integer(&t.MaxReplicas, 1, 1000), doc: "The most replicas.", why: "no scaling until asked for"},
		{name: "dedicatedEndpoint", to: flag(&t.DedicatedEndpoint), doc: "An endpoint with its own DNS name: bodies to 10MB instead of 1.5MB, longer requests, gRPC."},
		{name: "timeout", to: duration(&t.Timeout, 1*second, 60*minute, second), doc: "The time for one request; beyond 60s only on a dedicated endpoint.", why: "Vertex AI's own"},
		{name: "serviceAccount", to: text(&t.ServiceAccount, resource), doc: "The identity it runs as.", shown: "one is made"},
		{name: "network", to: text(&t.Network, resource), doc: "The VPC network of a private endpoint."},
		{name: "encryptionKey", to: text(&t.EncryptionKey, resource), doc: "The Cloud KMS key.", shown: "Google's own"},
	}, t.common()...)
}

func (t *VertexAI) setDefaults(d *defaults) {
	t.setProvider(d, t.AcceleratorType != "")
	set(d, "machineType", &t.MachineType, "n1-standard-2")
	if t.AcceleratorType != "" {
		set(d, "acceleratorCount", &t.AcceleratorCount, 1)
	}
	set(d, "minReplicas", &t.MinReplicas, 1)
	set(d, "maxReplicas", &t.MaxReplicas, max(1, t.MinReplicas))
	set(d, "timeout", &t.Timeout, 60*second)
}

func (t *VertexAI) check(d *decoder, path string, _ *Spec) {
	t.checkCommon(d, path, t.AcceleratorType != "", "acceleratorType: NVIDIA_L4", "AIP_*")
	if t.AcceleratorType == "" {
		d.only(path, "acceleratorType given", "acceleratorCount")
	}
	if p := join(path, "timeout"); t.Timeout > 60*second && !t.DedicatedEndpoint {
		d.add(d.where(p), p, "Add dedicatedEndpoint: true.", "want at most 60s on a shared endpoint, got %s", t.Timeout)
	}
	if p := join(path, "maxReplicas"); t.MaxReplicas < t.MinReplicas {
		d.add(d.where(p), p, "", "want at least minReplicas %d, got %d", t.MinReplicas, t.MaxReplicas)
	}
}
