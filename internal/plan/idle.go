package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
)

// A bill adds up what waits.
type bill struct {
	target  string
	choices []string
	sum     float64
	unknown bool
	idle    Idle
}

func idle(s *spec.Spec, target string, choices []string) Idle {
	b := &bill{target: target, choices: choices}
	switch t := &s.Targets; target {
	case "awslambda":
		b.lambda(t.AWSLambda)
	case "cloudrun":
		b.cloudRun(t.CloudRun)
	case "azurefunctions":
		b.functions(t.AzureFunctions)
	case "knative":
		b.knative(t.Knative)
	case "sagemaker":
		b.sageMaker(t.SageMaker)
	case "vertexai":
		v := t.VertexAI
		b.what("%s, as Vertex AI never goes to zero", count(v.MinReplicas, "machine", v.MachineType))
		b.add(v.MinReplicas, data.MachineHour, v.MachineType)
		if v.AcceleratorType != "" {
			b.idle.What = fmt.Sprintf("%s with %d of %s, as Vertex AI never goes to zero", count(v.MinReplicas, "machine", v.MachineType), v.AcceleratorCount, v.AcceleratorType)
			b.add(v.MinReplicas*v.AcceleratorCount, data.GPUHour, v.AcceleratorType)
		}
	case "azureml":
		a := t.AzureML
		if a.Mode == "batch" {
			b.what("nothing: machines come with a job")
			break
		}
		b.what("%s, as an endpoint never goes to zero", count(a.InstanceCount, "machine", a.InstanceType))
		b.add(a.InstanceCount, data.MachineHour, a.InstanceType)
	case "edge":
		b.what("the device; nothing is billed for the function")
		if t.Edge.Runtime != "systemd" {
			b.what("the device; what the cloud bills for each device is not known here")
			b.unknown = true
		}
	}
	if !b.unknown {
		cents := math.Round(b.sum*100) / 100
		b.idle.USD = &cents
	}
	return b.idle
}

func (b *bill) what(format string, args ...any) { b.idle.What = fmt.Sprintf(format, args...) }

// add puts n units of a meter on the bill.
func (b *bill) add(n int, meter data.Meter, of string) { b.part(float64(n), meter, of) }

func (b *bill) part(n float64, meter data.Meter, of string) {
	if n == 0 {
		return
	}
	p, ok := data.FindPrice(b.target, meter, of, b.choices...)
	if !ok {
		b.unknown = true
		return
	}
	b.sum += n * p.USD() * data.HoursPerMonth
	b.idle.Region = p.Region
	if source := p.Source.String(); !slices.Contains(b.idle.Sources, source) {
		b.idle.Sources = append(b.idle.Sources, source)
	}
}

func (b *bill) lambda(l *spec.AWSLambda) {
	switch {
	case l.ManagedInstances != nil:
		b.what("%s on EC2 instances of the capacity provider, which are billed as such", count(max(l.ManagedInstances.MinEnvironments, 1), "environment", l.Memory.String()))
		b.unknown = true
	case l.ProvisionedConcurrency > 0:
		b.what("%s", count(l.ProvisionedConcurrency, "provisioned environment", l.Memory.String()))
		b.part(float64(l.ProvisionedConcurrency)*gib(l.Memory), data.MemoryHour, "")
		b.unknown = b.unknown || l.GPU > 0
	default:
		b.what("nothing")
	}
	if len(l.ProvisionedSchedule) > 0 {
		b.idle.What += ", and what provisionedSchedule adds"
		b.unknown = true
	}
}

func (b *bill) cloudRun(c *spec.CloudRun) {
	if c.MinInstances == 0 {
		b.what("nothing")
		return
	}
	size := c.CPU.String() + " CPU and " + c.Memory.String()
	if c.GPU != "" {
		size += " with " + c.GPU
		b.add(c.MinInstances, data.GPUHour, c.GPU)
	}
	b.what("%s", count(c.MinInstances, "instance", size))
	b.part(float64(c.MinInstances)*float64(c.CPU)/1000, data.CPUHour, "")
	b.part(float64(c.MinInstances)*gib(c.Memory), data.MemoryHour, "")
}

func (b *bill) functions(a *spec.AzureFunctions) {
	switch {
	case a.Plan == "premium":
		cpus, memory := 1, 3.5 // EP1, which doubles twice
		for gib(a.Memory) > memory && cpus < 4 {
			cpus, memory = 2*cpus, 2*memory
		}
		n := max(a.AlwaysReady, 1)
		b.what("%s, as the plan never goes to zero", count(n, "instance", fmt.Sprintf("EP%d", map[int]int{1: 1, 2: 2, 4: 3}[cpus])))
		b.add(n*cpus, data.CPUHour, "")
		b.part(float64(n)*memory, data.MemoryHour, "")
	case a.AlwaysReady == 0:
		b.what("nothing")
	case a.Plan == "flex":
		b.what("%s", count(a.AlwaysReady, "always-ready instance", a.Memory.String()))
		b.part(float64(a.AlwaysReady)*gib(a.Memory), data.MemoryHour, "")
	default:
		size := a.CPU.String() + " CPU and " + a.Memory.String()
		if a.GPU != "" {
			size += " with a GPU " + a.GPU
			b.add(a.AlwaysReady, data.GPUHour, a.GPU)
		}
		b.what("%s", count(a.AlwaysReady, "replica", size))
		b.part(float64(a.AlwaysReady)*float64(a.CPU)/1000, data.CPUHour, "")
		b.part(float64(a.AlwaysReady)*gib(a.Memory), data.MemoryHour, "")
	}
}

func (b *bill) knative(k *spec.Knative) {
	n := k.MinScale
	if k.Class == "hpa" {
		n = max(n, 1)
	}
	if n == 0 {
		b.what("nothing of the function; the cluster's nodes are the cluster's")
		b.unknown = true
		return
	}
	size := k.CPU.String() + " CPU and " + k.Memory.String()
	if k.GPU > 0 {
		size += fmt.Sprintf(" with %d GPU", k.GPU)
	}
	b.what("%s, on the cluster's nodes", count(n, "pod", size))
	b.unknown = true
}

func (b *bill) sageMaker(s *spec.SageMaker) {
	switch {
	case s.Mode == "serverless" || s.Mode == "transform" || s.MinInstances == 0:
		b.what("nothing")
	default:
		why := ""
		if s.Mode == "realtime" {
			why = ", as a realtime endpoint never goes to zero"
		}
		b.what("%s%s", count(s.MinInstances, "machine", s.InstanceType), why)
		b.add(s.MinInstances, data.MachineHour, s.InstanceType)
	}
}

// count is "2 instances of 1 CPU".
func count(n int, what, size string) string {
	if n != 1 {
		what += "s"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s of %s", n, what, size))
}

func gib(b spec.Bytes) float64 { return float64(b) / float64(spec.GiB) }
