package spec

import (
	"fmt"
	"strings"
)

// AWSLambda is one Lambda function. Field names are CloudFormation's where
// they have one.
type AWSLambda struct {
	Common
	Memory       Bytes    // MemorySize; CPU is proportional, 1769MiB is one vCPU
	Architecture string   // "amd64" or "arm64"
	Package      string   // "zip" or "image"
	API          string   // "http", "rest", "url" (function URL), "alb" or "none"
	Timeout      Duration // of one request; batch has its own
	// ResponseStreaming sends the answer as it is made, beyond 6 MB; for url and rest.
	ResponseStreaming bool
	// BasePath is what an API mapping of a domain of one's own puts before each
	// path, such as "/models"; "" is nothing. For http and rest.
	BasePath               string
	EphemeralStorage       Bytes
	ReservedConcurrency    int // 0 reserves nothing
	ProvisionedConcurrency int // started and waiting; 0 is none
	// ProvisionedSchedule changes ProvisionedConcurrency at times; nil is never.
	ProvisionedSchedule []ScheduledConcurrency
	// GPU is AcceleratorMemorySize, the least memory of the GPU that each
	// environment gets; 0 is no GPU.
	GPU              Bytes
	ManagedInstances *ManagedInstances // nil runs on Lambda's own machines
	Rollout          string            // a CodeDeploy configuration, or "AllAtOnce"
	Throttle         *Throttle         // of the API; nil leaves it to the account
	CORS             []string          // origins that browsers may call from; nil is none
	EdgeCache        *EdgeCache        // nil puts no CDN in front
	VPC              *VPC              // nil runs outside of one
	KMSKey           string            // ARN; "" is AWS's own key
	LogRetention     Duration
	Tracing          string // "active" or "passThrough"
}

// ManagedInstances runs a Lambda function on EC2 instances of a capacity provider.
type ManagedInstances struct {
	CapacityProvider                 string // ARN
	MaxConcurrency                   int    // requests of one environment at a time
	MemoryPerVCPU                    Bytes
	MinEnvironments, MaxEnvironments int
}

// Throttle bounds the requests of an API.
type Throttle struct {
	Rate  int // requests per second
	Burst int // requests at once
}

// ScheduledConcurrency is how many environments wait from a time on.
type ScheduledConcurrency struct {
	At          string // cron(…), rate(…) or at(…), as Application Auto Scaling has them
	Timezone    string // as "Europe/Berlin"; "" is UTC
	Concurrency int    // 0 is none
}

// VPC is where a function's network interfaces are.
type VPC struct {
	ID                      string // needed where SecurityGroups is nil
	Subnets, SecurityGroups []string
}

func (t *AWSLambda) keys() []key {
	// Lambda quotas and CloudFormation's property limits; a GPU's sizes are
	// the values that AcceleratorMemorySize takes.
	return append([]key{
		{name: "memory", to: size(&t.Memory, 128*MiB, 32*GiB, MiB), doc: "Memory of the function, at most 10GiB without managedInstances. CPU is proportional.", why: "one whole vCPU"},
		{name: "architecture", to: oneOf(&t.Architecture, "amd64", "arm64"), doc: "The processor.", why: "ONNX Runtime has been seen to abort on Lambda's arm64"},
		{name: "package", to: oneOf(&t.Package, "zip", "image"), doc: "What is uploaded. A zip holds at most 250MB unpacked.", why: "a zip needs no registry; a GPU takes an image only", shown: "`zip`, with gpu `image`"},
		{name: "api", to: oneOf(&t.API, "http", "rest", "url", "alb", "none"), doc: "What calls it: HTTP API, REST API, function URL, load balancer, or only events and direct calls.", why: "authorizers and a domain of your own, cheaper than REST"},
		{name: "timeout", to: duration(&t.Timeout, 1*second, 90*minute, second), doc: "The time for one request; beyond 15m only with managedInstances. An HTTP API gives up after 30s.", why: "below the gateways' 30s and 29s", shown: "29s for http, 28s for rest, else 60s"},
		{name: "responseStreaming", to: flag(&t.ResponseStreaming), doc: "Send the answer as it is made; for url and rest."},
		{name: "basePath", to: text(&t.BasePath, rule{what: "a path such as /models", typ: "path", pattern: `^(/[A-Za-z0-9$_.+!*'()-]+)+$`, max: 300}), doc: "The API mapping of a domain of your own, which is taken off the path; for http and rest."},
		{name: "ephemeralStorage", to: size(&t.EphemeralStorage, 512*MiB, 10240*MiB, MiB), doc: "The size of /tmp.", why: "what is free of charge"},
		{name: "reservedConcurrency", to: integer(&t.ReservedConcurrency, 1, unbounded), doc: "The most environments, taken from the account's."},
		{name: "provisionedConcurrency", to: integer(&t.ProvisionedConcurrency, 1, unbounded), doc: "Environments that are started before they are needed."},
		{name: "provisionedSchedule", to: list[ScheduledConcurrency, *ScheduledConcurrency]{&t.ProvisionedSchedule}, doc: "Other numbers of environments at other times; needs provisionedConcurrency."},
		{name: "gpu", to: pick(size(&t.GPU, 0, 0, 0), 3*GB, 6*GB, 12*GB, 16*GB, 24*GB, 48*GB), doc: "The least memory of the GPU of each environment; needs managedInstances and amd64."},
		{name: "managedInstances", to: object[ManagedInstances](&t.ManagedInstances), doc: "Run on EC2 instances of a capacity provider."},
		{name: "rollout", to: oneOf(&t.Rollout, "AllAtOnce", "Canary10Percent5Minutes", "Canary10Percent10Minutes", "Canary10Percent15Minutes", "Canary10Percent30Minutes",
			"Linear10PercentEvery1Minute", "Linear10PercentEvery2Minutes", "Linear10PercentEvery3Minutes", "Linear10PercentEvery10Minutes"),
			doc: "How CodeDeploy moves traffic to a new version.", why: "nothing to wait for until there is traffic to protect"},
		{name: "throttle", to: object[Throttle](&t.Throttle), doc: "What the API lets through."},
		{name: "cors", to: texts{&t.CORS, rule{what: "an origin such as https://example.com", pattern: `^(\*|https?://[^/\s]+)$`}}, doc: "Origins that browsers may call from."},
		{name: "edgeCache", to: object[EdgeCache](&t.EdgeCache), doc: "CloudFront in front, which keeps answers to requests made with GET."},
		{name: "vpc", to: object[VPC](&t.VPC), doc: "Run inside a VPC."},
		{name: "kmsKey", to: text(&t.KMSKey, arn), doc: "The key for variables, logs, queues and buckets.", shown: "AWS's own"},
		{name: "logRetention", to: pick(duration(&t.LogRetention, 0, 0, 0), day, 3*day, 5*day, 7*day, 14*day, 30*day, 60*day, 90*day, 120*day, 150*day, 180*day, 365*day, 400*day, 545*day, 731*day), doc: "How long logs are kept.", why: "long enough to look back a month"},
		{name: "tracing", to: oneOf(&t.Tracing, "active", "passThrough"), doc: "Whether requests are sampled for X-Ray.", why: "cold starts show in the trace"},
	}, t.common()...)
}

func (m *ManagedInstances) keys() []key {
	return []key{
		{name: "capacityProvider", to: text(&m.CapacityProvider, arn), doc: "The capacity provider's ARN.", required: true},
		{name: "maxConcurrency", to: integer(&m.MaxConcurrency, 1, 1600), doc: "Requests of one environment at a time.", why: "the work is CPU, and a queue in front hides overload"},
		{name: "memoryPerVCPU", to: pick(size(&m.MemoryPerVCPU, 0, 0, 0), 2*GiB, 4*GiB, 8*GiB), doc: "Memory for each vCPU.", why: "compute-optimised instances"},
		{name: "minEnvironments", to: integer(&m.MinEnvironments, 0, 15000), doc: "The fewest environments; from 0, starting takes minutes.", why: "AWS's own"},
		{name: "maxEnvironments", to: integer(&m.MaxEnvironments, 1, 15000), doc: "The most environments.", why: "a bound on cost"},
	}
}

func (t *Throttle) keys() []key {
	return []key{
		{name: "rate", to: integer(&t.Rate, 1, unbounded), doc: "Requests per second.", required: true},
		{name: "burst", to: integer(&t.Burst, 1, unbounded), doc: "Requests at once.", required: true},
	}
}

func (s *ScheduledConcurrency) keys() []key {
	return []key{
		{name: "at", to: text(&s.At, rule{what: "a schedule such as cron(0 8 ? * MON-FRI *)", typ: "schedule", pattern: `^(cron|rate|at)\([A-Za-z0-9 ,*?/LW#:-]+\)$`, max: 256}), doc: "From when on: cron(…), rate(…) or at(…), as Application Auto Scaling has them.", required: true},
		{name: "timezone", to: text(&s.Timezone, rule{what: "a time zone such as Europe/Berlin", typ: "name", pattern: `^[A-Za-z_+-]+(/[A-Za-z0-9_+-]+)*$`, max: 64}), doc: "The time zone of cron and at.", shown: "UTC"},
		{name: "concurrency", to: integer(&s.Concurrency, 0, unbounded), doc: "Environments that are started before they are needed; 0 is none.", required: true},
	}
}

func (v *VPC) keys() []key {
	return []key{
		{name: "id", to: text(&v.ID, resource), doc: "The VPC, where a security group is to be made in it."},
		{name: "subnets", to: texts{&v.Subnets, resource}, doc: "Subnets, in two zones or more.", required: true},
		{name: "securityGroups", to: texts{&v.SecurityGroups, resource}, doc: "Security groups.", shown: "one is made in the VPC `id`"},
	}
}

func (t *AWSLambda) setDefaults(d *defaults) {
	t.setProvider(d, t.GPU > 0)
	set(d, "memory", &t.Memory, 1769*MiB)
	set(d, "architecture", &t.Architecture, "amd64")
	set(d, "package", &t.Package, "zip")
	if t.GPU > 0 {
		set(d, "package", &t.Package, "image")
		set(d, "memory", &t.Memory, 4*GiB)
	}
	set(d, "api", &t.API, "http")
	switch t.API {
	case "http":
		set(d, "timeout", &t.Timeout, 29*second)
	case "rest":
		set(d, "timeout", &t.Timeout, 28*second)
	default:
		set(d, "timeout", &t.Timeout, 60*second)
	}
	set(d, "ephemeralStorage", &t.EphemeralStorage, 512*MiB)
	set(d, "rollout", &t.Rollout, "AllAtOnce")
	set(d, "logRetention", &t.LogRetention, 30*day)
	set(d, "tracing", &t.Tracing, "active")
	if t.EdgeCache != nil {
		t.EdgeCache.setDefaults(d.at("edgeCache"))
	}
	if m := t.ManagedInstances; m != nil {
		d := d.at("managedInstances")
		set(d, "maxConcurrency", &m.MaxConcurrency, 4)
		set(d, "memoryPerVCPU", &m.MemoryPerVCPU, 2*GiB)
		set(d, "minEnvironments", &m.MinEnvironments, 3)
		set(d, "maxEnvironments", &m.MaxEnvironments, max(10, m.MinEnvironments))
	}
}

func (t *AWSLambda) check(d *decoder, path string, s *Spec) {
	t.checkCommon(d, path, t.GPU > 0, "gpu", "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
		"AWS_LAMBDA_*", "AWS_ACCESS_KEY*", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "TZ")
	at := func(k string) (place, string) { p := join(path, k); return d.where(p), p }
	for _, m := range []struct {
		key    string
		values map[string]string
	}{{"env", t.Env}, {"secrets", t.Secrets}} {
		for _, name := range sortedKeys(m.values) {
			if len(name) < 2 {
				at, p := at(m.key + "." + name)
				d.add(at, p, "Choose a longer name.", "want a name of two characters or more, as Lambda does, got %s", quote(name))
			}
		}
	}
	if total := t.envBytes(); total > 4*KiB {
		at, p := at("env")
		d.add(at, p, "Put long values into a file of the function's folder.", "want at most 4KiB of variables in all, got %s", total)
	}
	if m := t.ManagedInstances; m == nil {
		if t.GPU > 0 {
			at, p := at("gpu")
			d.add(at, p, "Add managedInstances: {capacityProvider: arn:…}.", "a GPU needs managedInstances")
		}
		if t.Memory > 10240*MiB {
			at, p := at("memory")
			d.add(at, p, "Use managedInstances for more.", "want at most 10GiB without managedInstances, got %s", t.Memory)
		}
		if t.Timeout > 15*minute {
			at, p := at("timeout")
			d.add(at, p, "Use managedInstances for longer.", "want at most 15m without managedInstances, got %s", t.Timeout)
		}
		if b := s.Batch; b != nil && b.Timeout > 15*minute {
			d.add(d.where("batch.timeout"), "batch.timeout", "Use managedInstances for longer.", "want at most 15m on awslambda without managedInstances, got %s", b.Timeout)
		}
	} else {
		if t.Memory < 2*GiB {
			at, p := at("memory")
			d.add(at, p, "Give memory: 2GiB or more.", "want at least 2GiB with managedInstances, got %s", t.Memory)
		}
		if t.ProvisionedConcurrency > 0 {
			at, p := at("provisionedConcurrency")
			d.add(at, p, "Use managedInstances.minEnvironments.", "managed instances have no provisioned concurrency")
		}
		if m.MaxEnvironments < m.MinEnvironments {
			at, p := at("managedInstances.maxEnvironments")
			d.add(at, p, "", "want at least minEnvironments %d, got %d", m.MinEnvironments, m.MaxEnvironments)
		}
	}
	if t.GPU > 0 {
		if t.Architecture != "amd64" {
			at, p := at("architecture")
			d.add(at, p, "Leave the architecture out.", "want amd64 with a GPU, got %s", t.Architecture)
		}
		if t.Package != "image" {
			at, p := at("package")
			d.add(at, p, "Leave the package out.", "want image with a GPU, got %s", t.Package)
		}
	}
	if t.API == "http" && t.Timeout >= 30*second {
		at, p := at("timeout")
		d.add(at, p, "Use api: url or rest for longer answers; batch.timeout is for events.", "want less than the 30s after which an HTTP API gives up, got %s", t.Timeout)
	}
	if t.ResponseStreaming && t.API != "url" && t.API != "rest" {
		at, p := at("responseStreaming")
		d.add(at, p, "Use api: url or rest.", "api %s cannot stream", t.API)
	}
	if t.EdgeCache != nil {
		t.EdgeCache.check(d, join(path, "edgeCache"), t.API, s)
	}
	if t.API != "http" && t.API != "rest" {
		d.only(path, "api http or rest", "throttle", "basePath")
	}
	if t.ReservedConcurrency > 0 && t.ProvisionedConcurrency > t.ReservedConcurrency {
		at, p := at("provisionedConcurrency")
		d.add(at, p, "", "want at most reservedConcurrency %d, got %d", t.ReservedConcurrency, t.ProvisionedConcurrency)
	}
	if t.ProvisionedConcurrency == 0 {
		d.only(path, "provisionedConcurrency given", "provisionedSchedule")
	}
	for i, one := range t.ProvisionedSchedule {
		if t.ReservedConcurrency > 0 && one.Concurrency > t.ReservedConcurrency {
			at, p := at(fmt.Sprintf("provisionedSchedule[%d].concurrency", i))
			d.add(at, p, "", "want at most reservedConcurrency %d, got %d", t.ReservedConcurrency, one.Concurrency)
		}
	}
	if b := s.Batch; b != nil && b.Size > 10 && b.Window < second {
		d.add(d.where("batch.size"), "batch.size", "Add window: 1s.", "want at most 10 without a window on awslambda, as SQS has it, got %d", b.Size)
	}
}

// envBytes counts variables as Lambda does: names and values.
func (c *Common) envBytes() (total Bytes) {
	for k, v := range c.Env {
		total += Bytes(len(k) + len(v))
	}
	for k, v := range c.Secrets {
		total += Bytes(len(k) + len(v))
	}
	return total
}

// NoKeysHint is what to do about auth: key and auth: jwt on SageMaker.
const NoKeysHint = "Say auth: platform, with which SageMaker checks callers by IAM, or keep this target in a godwit.yaml of its own."

// SageMaker is an endpoint or a transform job with our image.
type SageMaker struct {
	Common
	Mode                       string // "realtime", "serverless", "async" or "transform"
	Region                     string // "" is the caller's
	InstanceType               string // "ml.c5.large"; it decides CPU, memory and GPU; "" when serverless
	MinInstances, MaxInstances int    // equal ones do not scale; 0 when serverless
	Memory                     Bytes  // of a serverless endpoint; else 0
	MaxConcurrency             int    // of a serverless endpoint; else 0
	StartupTimeout             Duration
	AsyncOutput                string // s3:// prefix for the answers of an async endpoint
	MaxPayload                 Bytes  // of one request of a transform job; 0 otherwise
	MaxConcurrentTransforms    int    // requests of a transform job at a time; 0 otherwise
	Role, KMSKey               string // ARNs; "" makes a role, and uses AWS's own key
	VPC                        *VPC
}

func (t *SageMaker) keys() []key {
	return append([]key{
		{name: "mode", to: oneOf(&t.Mode, "realtime", "serverless", "async", "transform"), doc: "The kind of endpoint, or a batch transform job.", why: "what most callers mean"},
		{name: "region", to: text(&t.Region, region), doc: "The region.", shown: "the caller's"},
		{name: "instanceType", to: text(&t.InstanceType, rule{what: "an instance type such as ml.c5.large", typ: "name", pattern: `^ml\.[a-z0-9-]+\.[a-z0-9]+$`}), doc: "The machine; it decides CPU, memory and GPU.", why: "two vCPUs, compute-optimised"},
		{name: "minInstances", to: integer(&t.MinInstances, 0, 1000), doc: "The fewest instances; 0 only for async.", why: "only async endpoints go to zero"},
		{name: "maxInstances", to: integer(&t.MaxInstances, 1, 1000), doc: "The most instances.", why: "no scaling until asked for"},
		{name: "memory", to: size(&t.Memory, 1*GiB, 6*GiB, GiB), doc: "Memory of a serverless endpoint.", why: "CPU is proportional, and this is its second step", shown: "2GiB when serverless"},
		{name: "maxConcurrency", to: integer(&t.MaxConcurrency, 1, 200), doc: "Requests of a serverless endpoint at a time.", why: "a bound on cost", shown: "10 when serverless"},
		{name: "startupTimeout", to: duration(&t.StartupTimeout, 60*second, 60*minute, second), doc: "How long an instance may take until it is healthy.", why: "SageMaker's own"},
		{name: "asyncOutput", to: text(&t.AsyncOutput, rule{what: "an s3:// prefix", typ: "prefix", pattern: `^s3://[a-z0-9.-]+(/.*)?$`}), doc: "Where an async endpoint puts its answers."},
		{name: "maxPayload", to: size(&t.MaxPayload, 1*MiB, 100*MiB, MiB), doc: "The largest request of a transform job.", why: "SageMaker's own", shown: "6MiB for transform"},
		{name: "maxConcurrentTransforms", to: integer(&t.MaxConcurrentTransforms, 1, 1000), doc: "Requests of a transform job at a time on one instance.", why: "enough to keep the CPUs busy", shown: "4 for transform"},
		{name: "role", to: text(&t.Role, arn), doc: "The execution role.", shown: "one is made"},
		{name: "kmsKey", to: text(&t.KMSKey, arn), doc: "The key for volumes and results.", shown: "AWS's own"},
		{name: "vpc", to: object[VPC](&t.VPC), doc: "Run inside a VPC."},
	}, t.common()...)
}

// gpu: the families p and g of ml instances have GPUs.
func (t *SageMaker) gpu() bool {
	family := strings.TrimPrefix(t.InstanceType, "ml.")
	return t.Mode != "serverless" && len(family) > 1 && strings.Contains("pg", family[:1]) && family[1] >= '0' && family[1] <= '9'
}

func (t *SageMaker) setDefaults(d *defaults) {
	set(d, "mode", &t.Mode, "realtime")
	switch t.Mode {
	case "serverless":
		set(d, "memory", &t.Memory, 2*GiB)
		set(d, "maxConcurrency", &t.MaxConcurrency, 10)
	default:
		set(d, "instanceType", &t.InstanceType, "ml.c5.large")
		set(d, "minInstances", &t.MinInstances, 1)
		set(d, "maxInstances", &t.MaxInstances, max(1, t.MinInstances))
		if t.Mode == "transform" {
			set(d, "maxPayload", &t.MaxPayload, 6*MiB)
			set(d, "maxConcurrentTransforms", &t.MaxConcurrentTransforms, 4)
		}
		set(d, "startupTimeout", &t.StartupTimeout, 8*minute)
	}
	t.setProvider(d, t.gpu())
}

func (t *SageMaker) check(d *decoder, path string, s *Spec) {
	if mode := s.Auth.Mode; mode == "key" || mode == "jwt" {
		d.add(d.where(path), path, NoKeysHint, "auth: %s lets nobody in here: SageMaker takes every credential but IAM's away", mode)
	}
	t.checkCommon(d, path, t.gpu(), "an instanceType of the families ml.g or ml.p", "SAGEMAKER_*", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONTAINER_*")
	if t.Mode != "serverless" {
		d.only(path, "mode serverless", "memory", "maxConcurrency")
	} else {
		d.only(path, "mode realtime, async or transform", "instanceType", "minInstances", "maxInstances", "startupTimeout")
	}
	if t.Mode != "transform" {
		d.only(path, "mode transform", "maxPayload", "maxConcurrentTransforms")
	} else {
		p := join(path, "maxPayload")
		// CreateTransformJob refuses more than 100 MB under way.
		if total := t.MaxPayload * Bytes(t.MaxConcurrentTransforms); total > 100*MiB {
			d.add(d.where(p), p, "Make maxConcurrentTransforms or maxPayload smaller.", "want at most 100MiB for maxPayload times maxConcurrentTransforms, got %s", total)
		}
		if t.MaxPayload > s.Limits.Body {
			d.add(d.where(p), p, "Raise limits.body, or make maxPayload smaller.", "want at most limits.body %s, got %s", s.Limits.Body, t.MaxPayload)
		}
	}
	if t.Mode != "async" {
		d.only(path, "mode async", "asyncOutput")
		if p := join(path, "minInstances"); t.Mode != "serverless" && t.MinInstances < 1 {
			d.add(d.where(p), p, "Use mode: async or serverless to go to zero.", "want at least 1 for mode %s, got %d", t.Mode, t.MinInstances)
		}
	} else if p := join(path, "asyncOutput"); t.AsyncOutput == "" {
		d.add(d.where(p), p, "Add asyncOutput: s3://bucket/answers/.", "mode async needs asyncOutput")
	}
	if p := join(path, "maxInstances"); t.MaxInstances < t.MinInstances {
		d.add(d.where(p), p, "", "want at least minInstances %d, got %d", t.MinInstances, t.MaxInstances)
	}
}
