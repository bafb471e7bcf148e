package spec

import "strings"

// AzureFunctions is one function app with a custom handler.
type AzureFunctions struct {
	Common
	Plan            string // "flex", "containerapps" or "premium"
	Location        string // "" is the resource group's
	Memory          Bytes  // of one instance; flex has three sizes
	CPU             CPU    // of one replica; for containerapps, else 0
	GPU             string // "t4" or "a100", for containerapps; "" is none
	MaxInstances    int
	AlwaysReady     int // instances that are kept; minReplicas on Container Apps
	HTTPConcurrency int // requests of one instance at a time; 0 leaves it to the host
	Timeout         Duration
	Subnet          string // for integration with a virtual network; "" is none
	PrivateEndpoint bool   // reachable from the virtual network only
	KeyVaultKey     string // URL of the key for storage; "" is Microsoft's own
	Gateway         string // "apim", API Management in front; "" is none
}

func (t *AzureFunctions) keys() []key {
	// Microsoft's pages on plans, scaling and GPU workload profiles.
	return append([]key{
		{name: "plan", to: oneOf(&t.Plan, "flex", "containerapps", "premium"), doc: "Flex Consumption, Functions on Container Apps (images, GPU), or Premium.", why: "the one that goes to zero and takes a plain folder"},
		{name: "location", to: text(&t.Location, region), doc: "The region.", shown: "the resource group's"},
		{name: "memory", to: size(&t.Memory, 512*MiB, 220*GiB, MiB), doc: "Memory of one instance: 512MiB, 2048MiB or 4096MiB on flex.", why: "Azure's own for flex", shown: "2048MiB, on containerapps twice the CPUs in GiB, with a GPU the whole machine's"},
		{name: "cpu", to: cpus(&t.CPU, 250, 24_000), doc: "CPUs of one replica, in steps of 0.25; for containerapps.", why: "the pairs that Container Apps offer", shown: "half of memory's GiB on containerapps, with a GPU the whole machine's"},
		{name: "gpu", to: oneOf(&t.GPU, "t4", "a100"), doc: "The GPU of each replica, whole; for containerapps."},
		{name: "maxInstances", to: integer(&t.MaxInstances, 1, 1000), doc: "The most instances.", why: "a bound on cost"},
		{name: "alwaysReady", to: integer(&t.AlwaysReady, 0, 1000), doc: "Instances that are kept; minReplicas on Container Apps.", why: "nothing is paid while nothing is asked"},
		{name: "httpConcurrency", to: integer(&t.HTTPConcurrency, 1, 1000), doc: "Requests of one instance at a time.", shown: "the host's"},
		{name: "timeout", to: duration(&t.Timeout, 1*second, 24*hour, second), doc: "functionTimeout, for events too; an HTTP answer has 230s in any case.", why: "Azure's own for flex"},
		{name: "subnet", to: text(&t.Subnet, resource), doc: "The subnet that outgoing calls come from."},
		{name: "privateEndpoint", to: flag(&t.PrivateEndpoint), doc: "Reachable from the virtual network only."},
		{name: "keyVaultKey", to: text(&t.KeyVaultKey, httpsURL), doc: "The URL of the key for storage.", shown: "Microsoft's own"},
		{name: "gateway", to: oneOf(&t.Gateway, "apim"), doc: "API Management, of the tier Consumption, in front of the app; for flex and premium."},
	}, t.common()...)
}

// machine is the CPU and memory of the workload profile of the GPU.
func (t *AzureFunctions) machine() (CPU, Bytes) {
	if t.GPU == "a100" {
		return 24_000, 220 * GiB
	}
	return 8_000, 56 * GiB
}

func (t *AzureFunctions) setDefaults(d *defaults) {
	t.setProvider(d, t.GPU != "")
	set(d, "plan", &t.Plan, "flex")
	set(d, "memory", &t.Memory, 2048*MiB)
	if t.Plan == "containerapps" { // 2GiB for each CPU, in quarters
		set(d, "memory", &t.Memory, max(512*MiB, Bytes(t.CPU)*2*GiB/1000))
		if t.CPU == 0 {
			set(d, "memory", &t.Memory, 2*GiB)
		}
		set(d, "cpu", &t.CPU, CPU((t.Memory+GiB/2-1)/(GiB/2))*250)
	}
	if t.GPU != "" {
		cpu, memory := t.machine()
		set(d, "cpu", &t.CPU, cpu)
		set(d, "memory", &t.Memory, memory)
	}
	set(d, "maxInstances", &t.MaxInstances, max(10, t.AlwaysReady))
	set(d, "alwaysReady", &t.AlwaysReady, 0)
	set(d, "timeout", &t.Timeout, 30*minute)
}

func (t *AzureFunctions) check(d *decoder, path string, _ *Spec) {
	t.checkCommon(d, path, t.GPU != "", "gpu: t4", "FUNCTIONS_*", "WEBSITE_*", "AzureWebJobs*", "APPLICATIONINSIGHTS_*")
	at := func(k string) (place, string) { p := join(path, k); return d.where(p), p }
	if t.Plan != "containerapps" {
		d.only(path, "plan containerapps", "cpu", "gpu")
	} else if t.CPU%250 != 0 {
		at, p := at("cpu")
		d.add(at, p, "", "want steps of 0.25 CPUs, got %s", t.CPU)
	}
	if t.Plan == "flex" && t.Memory != 512*MiB && t.Memory != 2048*MiB && t.Memory != 4096*MiB {
		at, p := at("memory")
		d.add(at, p, "Use plan: containerapps for other sizes.", "want 512MiB, 2048MiB or 4096MiB on flex, got %s", t.Memory)
	}
	if cpu, memory := t.machine(); t.GPU != "" && (t.CPU > cpu || t.Memory > memory) {
		at, p := at("memory")
		d.add(at, p, "Leave cpu and memory out for the whole machine.", "want at most %s CPUs and %s with %s, got %s and %s", cpu, memory, t.GPU, t.CPU, t.Memory)
	}
	if t.Gateway != "" && t.Plan == "containerapps" {
		at, p := at("gateway")
		d.add(at, p, "Leave it out.", "only for plan flex and premium")
	}
	if t.Gateway != "" && t.PrivateEndpoint {
		at, p := at("gateway")
		d.add(at, p, "Leave one of them out.", "want none with privateEndpoint: API Management's tier Consumption has no way into a network")
	}
	if t.MaxInstances < t.AlwaysReady {
		at, p := at("maxInstances")
		d.add(at, p, "", "want at least alwaysReady %d, got %d", t.AlwaysReady, t.MaxInstances)
	}
}

// AzureML is a managed online or batch endpoint with our image.
type AzureML struct {
	Common
	Mode                  string // "online" or "batch"
	Location              string // "" is the workspace's
	InstanceType          string // "Standard_DS3_v2"; it decides CPU, memory and GPU
	InstanceCount         int
	RequestTimeout        Duration // of one request
	MaxConcurrentRequests int      // of one instance
	MaxQueueWait          Duration
	PublicNetworkAccess   string // "enabled" or "disabled"
}

func (t *AzureML) keys() []key {
	return append([]key{
		{name: "mode", to: oneOf(&t.Mode, "online", "batch"), doc: "The kind of endpoint.", why: "what most callers mean"},
		{name: "location", to: text(&t.Location, region), doc: "The region.", shown: "the workspace's"},
		{name: "instanceType", to: text(&t.InstanceType, rule{what: "a machine size such as Standard_DS3_v2", typ: "name", pattern: `^Standard_[A-Za-z0-9_]+$`}), doc: "The machine; it decides CPU, memory and GPU.", why: "four vCPUs without a GPU"},
		{name: "instanceCount", to: integer(&t.InstanceCount, 1, 1000), doc: "The number of machines.", why: "no scaling until asked for"},
		{name: "requestTimeout", to: duration(&t.RequestTimeout, Duration(1e6), 180*second, Duration(1e6)), doc: "The time for one request.", why: "Azure's own"},
		{name: "maxConcurrentRequests", to: integer(&t.MaxConcurrentRequests, 1, 10000), doc: "Requests of one machine at a time.", why: "one for each vCPU of the default machine"},
		{name: "maxQueueWait", to: duration(&t.MaxQueueWait, 0, 180*second, Duration(1e6)), doc: "The time that a request may wait in Azure's proxy.", why: "Azure's own"},
		{name: "publicNetworkAccess", to: oneOf(&t.PublicNetworkAccess, "enabled", "disabled"), doc: "Whether the endpoint is reachable from outside of the workspace's network.", why: "callers are checked, networks are not known"},
	}, t.common()...)
}

// gpu: the sizes whose name begins with N have GPUs.
func (t *AzureML) gpu() bool { return strings.HasPrefix(t.InstanceType, "Standard_N") }

func (t *AzureML) setDefaults(d *defaults) {
	set(d, "mode", &t.Mode, "online")
	set(d, "instanceType", &t.InstanceType, "Standard_DS3_v2")
	set(d, "instanceCount", &t.InstanceCount, 1)
	set(d, "requestTimeout", &t.RequestTimeout, 5*second)
	set(d, "maxConcurrentRequests", &t.MaxConcurrentRequests, 4)
	set(d, "maxQueueWait", &t.MaxQueueWait, Duration(500e6))
	set(d, "publicNetworkAccess", &t.PublicNetworkAccess, "enabled")
	t.setProvider(d, t.gpu())
}

func (t *AzureML) check(d *decoder, path string, s *Spec) {
	t.checkCommon(d, path, t.gpu(), "an instanceType of Standard_N", "AZUREML_*", "AML_*")
	if p := join(path, "mode"); t.Mode == "batch" && s.Batch == nil {
		d.add(d.where(p), p, "Add batch: {input: rows/, output: scores/}.", "a batch endpoint scores a batch, and there is no batch")
	}
}
