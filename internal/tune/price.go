package tune

import (
	"fmt"
	"time"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
)

// price is what serving on a target costs, as far as its price list is known here:
// on demand, in the first tier, without what is free.
type price struct {
	perSecond  func(Shape) float64 // dollars of one instance at work; nil: not known
	perRequest float64
	step       time.Duration // that each request is billed in; 0: by the instance
	note       string
}

// priceOf is the price of the target, and why there is none.
func priceOf(s *spec.Spec, target string) price {
	const gib = 1 << 30
	t := &s.Targets
	var choices []string
	step := time.Duration(0)
	switch {
	case target == "awslambda" && t.AWSLambda != nil && t.AWSLambda.ManagedInstances == nil:
		choices, step = []string{"arch=" + t.AWSLambda.Architecture}, time.Millisecond
	case target == "cloudrun" && t.CloudRun != nil && t.CloudRun.GPU == "":
		choices = []string{"billing=" + t.CloudRun.Billing}
	case target == "azurefunctions" && t.AzureFunctions != nil && t.AzureFunctions.Plan != "premium":
		choices = []string{"plan=" + t.AzureFunctions.Plan}
	case target == "":
		return price{note: "without a target there are no prices: cost is the server's CPU for a request"}
	default:
		return price{note: "what " + target + " costs by the second is not known here: cost is the server's CPU for a request"}
	}
	memory, ok := data.FindPrice(target, data.MemorySecond, "", choices...)
	if !ok {
		return price{note: "what " + target + " costs by the second is not known here: cost is the server's CPU for a request"}
	}
	cpu, byCPU := data.FindPrice(target, data.CPUSecond, "", choices...)
	request, _ := data.FindPrice(target, data.Requests, "", choices...)
	p := price{step: step, perRequest: request.USD(), note: fmt.Sprintf("%s, %s: on demand, the first tier, without what is free", memory.Source, memory.Region)}
	p.perSecond = func(s Shape) float64 {
		sum := memory.USD() * float64(s.Memory) / gib
		if byCPU {
			sum += cpu.USD() * s.CPUs
		}
		return sum
	}
	return p
}

// perMillion is dollars for a million requests: of billed each, or where that is 0
// at the rate that fills an instance.
func (p *price) perMillion(s Shape, rate float64, billed time.Duration) float64 {
	each := p.perSecond(s) / rate
	if billed > 0 {
		each = p.perSecond(s) * billed.Seconds()
	}
	return 1e6 * (each + p.perRequest)
}
