package cost

import (
	"fmt"
	"slices"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// Kind is what a platform counts.
type Kind string

// The kinds.
const (
	PerRequest  Kind = "request"  // the time of each request, with what its start takes
	PerActive   Kind = "active"   // the time in which an instance has a request
	PerInstance Kind = "instance" // the life of instances that come and go
	Standing    Kind = "standing" // machines that stand
	Device      Kind = "device"   // nothing
)

// Config is one way to run the function. It is made by Configs and not changed.
type Config struct {
	// Name is the target, "awslambda", or with a change of one thing,
	// "awslambda/arm64".
	Name   string
	Target string
	Text   string // "1769MiB, amd64 zip, HTTP API"
	Kind   Kind
	Chosen bool // as the spec has it
	// Excluded is what the figures do not contain.
	Excluded []string
	// Unknown says why there are no figures; "" where there are.
	Unknown string

	choices []string // package data's
	// One instance: processors, memory, how many requests at once (0: any number).
	cpus        float64
	memory      spec.Bytes
	concurrency int
	// min instances always stand; max is the most, 0 without a limit.
	min, max int
	storage  spec.Bytes // of files, on Lambda
	gateway  bool       // an API that bills requests of its own
	machine  string
	machines map[data.Meter]float64 // units of an hour of one instance, where it has no machine type
	gpu      string                 // what package data calls it
	gpus     int                    // GPUs that are billed apart from the machine
	onGPU    bool
	pods     podSize // on Knative's nodes
}

// podSize is what one pod asks of a node.
type podSize struct {
	cpus   float64
	memory spec.Bytes
	gpus   int
}

// Options of Configs; nil means defaults.
type Options struct {
	// Targets are names: a target, as the spec has it or with its defaults; a
	// target and a variant; "awslambda/*", which is all of it. None: all there are.
	Targets []string
	// Node is the machine type of Knative's nodes; "" leaves it unknown.
	Node string
	// GPU says that a run's time on a GPU is known.
	GPU bool
}

// A variant is a target with one thing changed.
type variant struct {
	target, name string
	// yaml is the target's block where it starts from its defaults; else edit
	// changes what the spec has.
	yaml string
	edit func(*spec.Targets)
	rare bool // only when it is named
}

func variants() []variant {
	lambda := func(edit func(*spec.AWSLambda)) func(*spec.Targets) {
		return func(t *spec.Targets) { l := *t.AWSLambda; edit(&l); t.AWSLambda = &l }
	}
	run := func(edit func(*spec.CloudRun)) func(*spec.Targets) {
		return func(t *spec.Targets) { c := *t.CloudRun; edit(&c); t.CloudRun = &c }
	}
	return []variant{
		{target: "awslambda", name: "amd64", edit: lambda(func(l *spec.AWSLambda) { l.Architecture = "amd64" })},
		{target: "awslambda", name: "arm64", edit: lambda(func(l *spec.AWSLambda) { l.Architecture = "arm64" })},
		{target: "awslambda", name: "url", edit: lambda(func(l *spec.AWSLambda) { l.API = "url" })},
		{target: "awslambda", name: "http", edit: lambda(func(l *spec.AWSLambda) { l.API = "http" })},
		{target: "awslambda", name: "rest", edit: lambda(func(l *spec.AWSLambda) { l.API = "rest" })},
		{target: "awslambda", name: "zip", edit: lambda(func(l *spec.AWSLambda) { l.Package = "zip" }), rare: true},
		{target: "awslambda", name: "image", edit: lambda(func(l *spec.AWSLambda) { l.Package = "image" }), rare: true},
		{target: "awslambda", name: "provisioned", edit: lambda(func(l *spec.AWSLambda) { l.ProvisionedConcurrency = max(1, l.ProvisionedConcurrency) })},
		{target: "cloudrun", name: "request", edit: run(func(c *spec.CloudRun) { c.Billing = "request" })},
		{target: "cloudrun", name: "instance", edit: run(func(c *spec.CloudRun) { c.Billing = "instance" })},
		{target: "cloudrun", name: "min", edit: run(func(c *spec.CloudRun) { c.MinInstances = max(1, c.MinInstances) })},
		{target: "cloudrun", name: "gpu", yaml: "{gpu: nvidia-l4}"},
		{target: "azurefunctions", name: "flex", yaml: "{plan: flex}"},
		{target: "azurefunctions", name: "ready", yaml: "{plan: flex, alwaysReady: 1}", rare: true},
		{target: "azurefunctions", name: "premium", yaml: "{plan: premium}"},
		{target: "azurefunctions", name: "containerapps", yaml: "{plan: containerapps}"},
		{target: "sagemaker", name: "realtime", yaml: "{mode: realtime}"},
		{target: "sagemaker", name: "serverless", yaml: "{mode: serverless}"},
		{target: "sagemaker", name: "gpu", yaml: "{instanceType: ml.g4dn.xlarge}"},
		{target: "vertexai", name: "gpu", yaml: "{machineType: n1-standard-4, acceleratorType: NVIDIA_TESLA_T4}", rare: true},
		{target: "azureml", name: "gpu", yaml: "{instanceType: Standard_NC4as_T4_v3}", rare: true},
	}
}

// order is that of the targets where all are asked for; a device costs nothing.
func order() []string {
	return []string{"awslambda", "cloudrun", "azurefunctions", "knative", "sagemaker", "vertexai", "azureml"}
}

// Configs are the ways to run s's function that o asks for. Those of the spec are
// Chosen. Errors: Usage for a name that nobody knows, or for a GPU by name whose
// time is not known.
func Configs(s *spec.Spec, o *Options) ([]*Config, error) {
	if o == nil {
		o = &Options{}
	}
	var all []*Config
	add := func(name string, named bool) error {
		c, err := config(s, name, o)
		if err != nil {
			return err
		}
		if named && c.onGPU && !o.GPU {
			return fault.New(fault.Usage, "cost.Configs", name, "want the time of a run on its GPU, got none").
				WithHint("Measure it there, and give it with --gpu-ms.")
		}
		same := func(d *Config) bool { return d.Target == c.Target && d.Text == c.Text }
		if !slices.ContainsFunc(all, same) {
			all = append(all, c)
		}
		return nil
	}
	if len(o.Targets) == 0 {
		for _, target := range order() {
			for _, name := range namesOf(target, false) {
				if err := add(name, false); err != nil {
					return nil, err
				}
			}
		}
		if s.Targets.Edge != nil {
			return all, add("edge", false)
		}
		return all, nil
	}
	for _, name := range o.Targets {
		names := []string{name}
		target, star := strings.CutSuffix(name, "/*")
		if star {
			names = namesOf(target, true)
		}
		for _, name := range names {
			if err := add(name, !star); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// namesOf are a target and its variants.
func namesOf(target string, rare bool) []string {
	names := []string{target}
	for _, v := range variants() {
		if v.target == target && (rare || !v.rare) {
			names = append(names, target+"/"+v.name)
		}
	}
	return names
}

// Names are all that Options.Targets may have.
func Names() []string {
	var names []string
	for _, target := range append(order(), "edge") {
		names = append(names, namesOf(target, true)...)
	}
	return names
}

// config makes the one of that name.
func config(s *spec.Spec, name string, o *Options) (*Config, error) {
	target, which, varied := strings.Cut(name, "/")
	if !slices.Contains(Names(), name) {
		return nil, fault.New(fault.Usage, "cost.Configs", "", "want a target or a variant of one, got %q", name).
			WithHint("One of %s, or TARGET/* for all of it.", strings.Join(Names(), ", "))
	}
	t := s.Targets
	there := slices.Contains(t.Names(), target)
	block := "{}"
	var edit func(*spec.Targets)
	for _, v := range variants() {
		if varied && v.target == target && v.name == which {
			edit = v.edit
			if v.yaml != "" {
				block, there = v.yaml, false
			}
		}
	}
	if !there {
		fresh, err := spec.Parse(spec.FileName, []byte("model: m.onnx\nauth: none\ntargets:\n  "+target+": "+block+"\n"))
		if err != nil {
			return nil, fmt.Errorf("cost.Configs: %w", err)
		}
		t = fresh.Targets
	}
	if edit != nil {
		edit(&t)
	}
	c := &Config{Name: name, Target: target, Chosen: !varied && there}
	c.fill(&t, o)
	if c.onGPU && !o.GPU && c.Unknown == "" {
		c.Unknown = "the time of a run on the GPU is not known: --gpu-ms gives it"
	}
	return c, nil
}

func (c *Config) fill(t *spec.Targets, o *Options) {
	c.Excluded = []string{"data that leaves the cloud", "logs and metrics", "NAT and private networks", "taxes and support", "stores and queues"}
	switch c.Target {
	case "awslambda":
		c.lambda(t.AWSLambda)
	case "cloudrun":
		c.cloudRun(t.CloudRun)
	case "azurefunctions":
		c.functions(t.AzureFunctions)
	case "knative":
		c.knative(t.Knative, o.Node)
	case "sagemaker":
		c.sageMaker(t.SageMaker)
	case "vertexai":
		c.vertex(t.VertexAI)
	case "azureml":
		c.azureML(t.AzureML)
	case "edge":
		c.Kind, c.Text, c.Excluded = Device, "the device", []string{"the device", "data"}
		if t.Edge.Runtime != "systemd" {
			c.Unknown = "what the cloud bills for each device is not known here"
		}
	}
}

func (c *Config) lambda(l *spec.AWSLambda) {
	c.Kind, c.memory, c.concurrency, c.max = PerRequest, l.Memory, 1, l.ReservedConcurrency
	c.cpus = float64(l.Memory) / float64(1769*spec.MiB)
	c.storage, c.min = l.EphemeralStorage, l.ProvisionedConcurrency
	c.choices = []string{"api=" + l.API, "package=" + l.Package, "arch=" + l.Architecture}
	c.gateway = l.API == "http" || l.API == "rest"
	api := map[string]string{"http": "HTTP API", "rest": "REST API", "url": "function URL", "alb": "load balancer", "none": "no API"}[l.API]
	c.Text = fmt.Sprintf("%s, %s %s, %s", l.Memory, l.Architecture, l.Package, api)
	if c.min > 0 {
		c.Text += fmt.Sprintf(", %d provisioned", c.min)
	}
	if l.Architecture == "arm64" {
		c.Excluded = append(c.Excluded, "how much faster or slower Arm is: times are those of the machine that measured")
	}
	switch {
	case l.ManagedInstances != nil:
		c.Unknown = "managed instances are billed as the EC2 instances of the capacity provider"
	case l.GPU > 0:
		c.Unknown = "what a GPU on Lambda costs is not known here"
	case len(l.ProvisionedSchedule) > 0:
		c.Unknown = "what provisionedSchedule adds depends on the days of the month"
	case l.API == "alb":
		c.Excluded = append(c.Excluded, "the load balancer")
	}
	if l.EdgeCache != nil {
		c.Excluded = append(c.Excluded, "CloudFront, and what it answers itself")
	}
	if l.ResponseStreaming {
		c.Excluded = append(c.Excluded, "bytes that are streamed beyond 6 MB of an answer")
	}
}

func (c *Config) cloudRun(r *spec.CloudRun) {
	c.Kind, c.cpus, c.memory, c.concurrency, c.min, c.max = PerActive, float64(r.CPU)/1000, r.Memory, r.Concurrency, r.MinInstances, r.MaxInstances
	c.choices = []string{"billing=" + r.Billing}
	c.Text = fmt.Sprintf("%s CPU, %s, billed by %s", r.CPU, r.Memory, r.Billing)
	if r.Billing == "instance" {
		c.Kind = PerInstance
	}
	if r.GPU != "" {
		c.gpu, c.gpus, c.onGPU = r.GPU, 1, true
		c.Text += ", " + r.GPU
		if r.GPUZonalRedundancy {
			c.choices = append(c.choices, "redundant")
		}
	}
	if r.MinInstances > 0 {
		c.Text += fmt.Sprintf(", %d at least", r.MinInstances)
	}
	if r.Gateway != nil {
		c.Excluded = append(c.Excluded, "the API gateway")
	}
}

func (c *Config) functions(a *spec.AzureFunctions) {
	c.choices, c.min, c.max, c.concurrency = []string{"plan=" + a.Plan}, a.AlwaysReady, a.MaxInstances, a.HTTPConcurrency
	switch a.Plan {
	case "flex":
		// 2048 MB come with one core, the others in proportion; so does what the
		// host lets into an instance at once.
		c.Kind, c.memory, c.cpus = PerActive, a.Memory, float64(a.Memory)/float64(2*spec.GiB)
		if c.concurrency == 0 {
			c.concurrency = max(4, int(16*c.cpus))
		}
		c.Text = fmt.Sprintf("Flex Consumption, %s", a.Memory)
		if c.min > 0 {
			c.Text += fmt.Sprintf(", %d always ready", c.min)
		}
	case "premium":
		cpus, memory := 1, 3584*spec.MiB // EP1, which doubles twice
		for a.Memory > memory && cpus < 4 {
			cpus, memory = 2*cpus, 2*memory
		}
		c.Kind, c.cpus, c.memory, c.min = Standing, float64(cpus), memory, max(a.AlwaysReady, 1)
		c.machines = map[data.Meter]float64{data.CPUHour: c.cpus, data.MemoryHour: gib(memory)}
		c.Text = fmt.Sprintf("Premium EP%d, %d at least", map[int]int{1: 1, 2: 2, 4: 3}[cpus], c.min)
	default:
		c.Kind, c.cpus, c.memory = PerInstance, float64(a.CPU)/1000, a.Memory
		c.Text = fmt.Sprintf("Container Apps, %s CPU, %s", a.CPU, a.Memory)
		if a.GPU != "" {
			c.gpu, c.gpus, c.onGPU = a.GPU, 1, true
			c.Text += ", " + a.GPU
		}
		if c.min > 0 {
			c.Text += fmt.Sprintf(", %d at least", c.min)
		}
	}
	if a.Gateway != "" {
		c.Excluded = append(c.Excluded, "API Management")
	}
	c.Excluded = append(c.Excluded, "the storage account of the app")
}

func (c *Config) knative(k *spec.Knative, node string) {
	c.Kind, c.min, c.max, c.concurrency = Standing, 1, 0, k.Concurrency
	c.memory, c.machine, c.onGPU = k.Memory, node, k.GPU > 0
	c.pods = podSize{float64(k.CPU) / 1000, k.Memory, k.GPU}
	c.cpus = c.pods.cpus
	c.Text = fmt.Sprintf("pods of %s CPU, %s", k.CPU, k.Memory)
	c.Excluded = append(c.Excluded, "the cluster's control plane and what else runs on the nodes")
	if node == "" {
		c.Unknown = "what a node costs: --node names its machine type"
		return
	}
	c.Text += " on " + node
	shape, ok := data.FindShape(node)
	memory, _, state := data.Machine(node)
	switch {
	case !ok:
		c.Unknown = fmt.Sprintf("what a %s has is not known here", node)
	case float64(shape.CPUs) < c.pods.cpus || shape.GPUs < c.pods.gpus || state == data.Known && memory < int64(c.pods.memory):
		c.Unknown = fmt.Sprintf("a pod does not fit on a %s", node)
	}
}

func (c *Config) sageMaker(m *spec.SageMaker) {
	c.choices, c.min, c.max = []string{"mode=" + m.Mode}, m.MinInstances, m.MaxInstances
	switch m.Mode {
	case "serverless":
		c.Kind, c.memory, c.concurrency, c.min, c.max = PerRequest, m.Memory, 1, 0, m.MaxConcurrency
		// What processor comes with the memory is not published; Lambda's is taken.
		c.cpus = float64(m.Memory) / float64(1769*spec.MiB)
		c.Text = fmt.Sprintf("serverless endpoint, %s", m.Memory)
	case "realtime":
		c.stands(m.InstanceType, strings.HasPrefix(m.InstanceType, "ml.g") || strings.HasPrefix(m.InstanceType, "ml.p"))
		c.Text = fmt.Sprintf("endpoint, %d of %s at least", m.MinInstances, m.InstanceType)
	default:
		c.Kind, c.Text = Standing, m.Mode+" on "+m.InstanceType
		c.Unknown = "how long the machines of mode " + m.Mode + " stand depends on its queue and jobs"
	}
}

func (c *Config) vertex(v *spec.VertexAI) {
	c.min, c.max = v.MinReplicas, v.MaxReplicas
	c.stands(v.MachineType, v.AcceleratorType != "")
	c.Text = fmt.Sprintf("endpoint, %d of %s at least", v.MinReplicas, v.MachineType)
	if v.AcceleratorType != "" {
		c.gpu, c.gpus = v.AcceleratorType, v.AcceleratorCount
		c.Text += fmt.Sprintf(" with %d of %s", v.AcceleratorCount, v.AcceleratorType)
	}
}

func (c *Config) azureML(a *spec.AzureML) {
	if a.Mode == "batch" {
		c.Kind, c.Text, c.Unknown = Standing, "batch endpoint", "a batch endpoint answers no requests"
		return
	}
	c.min, c.max = a.InstanceCount, a.InstanceCount
	c.stands(a.InstanceType, strings.HasPrefix(strings.ToLower(a.InstanceType), "standard_n"))
	c.Text = fmt.Sprintf("endpoint, %d of %s", a.InstanceCount, a.InstanceType)
}

// stands makes c machines of a type.
func (c *Config) stands(machine string, gpu bool) {
	c.Kind, c.machine, c.onGPU = Standing, machine, gpu
	shape, ok := data.FindShape(machine)
	if !ok {
		c.Unknown = fmt.Sprintf("what a %s has is not known here", machine)
		return
	}
	c.cpus = float64(shape.CPUs)
	if memory, _, state := data.Machine(machine); state == data.Known {
		c.memory = spec.Bytes(memory)
	}
}

func gib(b spec.Bytes) float64 { return float64(b) / float64(spec.GiB) }
