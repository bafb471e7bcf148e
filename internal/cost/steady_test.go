package cost_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/cost"
	"godwit.dev/internal/plan"
)

func load(service time.Duration) *cost.Load {
	return &cost.Load{Service: service, Start: 400 * time.Millisecond, GPU: service / 10, Body: 2000, Bytes: 3000}
}

// billed are targets of every kind.
var billed = []struct{ target, block string }{
	{"awslambda", "{}"},
	{"awslambda", "{memory: 512MiB, architecture: arm64, api: rest, ephemeralStorage: 1GiB}"},
	{"awslambda", "{provisionedConcurrency: 3, api: url}"},
	{"cloudrun", "{}"},
	{"cloudrun", "{minInstances: 2, cpu: 2, memory: 4GiB}"},
	{"cloudrun", "{billing: instance}"},
	{"cloudrun", "{gpu: nvidia-l4}"},
	{"azurefunctions", "{}"},
	{"azurefunctions", "{alwaysReady: 2, memory: 4096MiB}"},
	{"azurefunctions", "{plan: premium, memory: 7GiB}"},
	{"azurefunctions", "{plan: containerapps}"},
	{"azurefunctions", "{plan: containerapps, alwaysReady: 1}"},
	{"knative", "{}"},
	{"sagemaker", "{}"},
	{"sagemaker", "{mode: serverless}"},
	{"sagemaker", "{minInstances: 2, maxInstances: 4, instanceType: ml.m5.xlarge}"},
	{"vertexai", "{}"},
	{"vertexai", "{acceleratorType: NVIDIA_TESLA_T4}"},
	{"azureml", "{}"},
	{"edge", "{}"},
}

func total(c *cost.Config, r cost.Requests, l *cost.Load) float64 {
	return c.Bill(c.Steady(r, l), false).Total.Float()
}

// A month without requests costs what package plan says of waiting: one list of
// prices, read in two ways.
func TestIdleIsPlans(t *testing.T) {
	for _, tt := range billed {
		s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\nauth: none\ntargets:\n  "+tt.target+": "+tt.block+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		idle := plan.Of(s, tt.target).Idle
		c := one(t, tt.target, tt.block, &cost.Options{Node: "m5.large"})
		bill := c.Bill(c.Idle(load(time.Millisecond)), false)
		if idle.USD == nil {
			if tt.target != "knative" { // whose nodes --node names
				t.Errorf("%s %s: the plan knows no price", tt.target, tt.block)
			}
			continue
		}
		if got := float64(bill.Total.Cents().Int64()) / 100; math.Abs(got-*idle.USD) > 0.0051 || bill.Unknown != "" {
			t.Errorf("%s %s: got %v, the plan says %v (%s)", tt.target, tt.block, bill.Total, *idle.USD, idle.What)
		}
	}
}

// standing says that some instances of tt stand anyway: what comes beside them costs
// more each than what they serve.
func standing(block string) bool {
	return strings.Contains(block, "alwaysReady") || strings.Contains(block, "provisioned") || strings.Contains(block, "minInstances")
}

// More requests cost at least as much where starts take no time, and ten times as
// many at most ten times as much, beside what stands anyway. (With starts they may
// cost less: environments that stay up are not started again.)
func TestMoreCostsMore(t *testing.T) {
	for _, tt := range billed {
		for _, service := range []time.Duration{300 * time.Microsecond, 20 * time.Millisecond, 1500 * time.Millisecond} {
			c := one(t, tt.target, tt.block, &cost.Options{Node: "m5.large"})
			l := load(service)
			l.Start = 0
			last := 0.0
			for _, r := range []cost.Requests{0, 1, 10, 1e3, 1e4, 1e5, 1e6, 3e6, 1e7, 1e8, 1e9, 1e10} {
				got := total(c, r, l)
				if got < last-1e-9 {
					t.Errorf("%s %s %v: %v cost %v, and fewer cost %v", tt.target, tt.block, service, r, got, last)
				}
				last = got
				if standing(tt.block) {
					continue
				}
				// A machine more is one step; what stands is paid once.
				fixed, step := total(c, 0, l), 0.0
				if c.Kind == cost.Standing {
					step = total(c, 1, l)
				}
				if ten := total(c, 10*r, l); ten > (10*(got+step)+fixed)*(1+1e-9)+1e-6 {
					t.Errorf("%s %s %v: %v cost %v, ten times that %v", tt.target, tt.block, service, r, got, ten)
				}
			}
		}
	}
}

// A slower machine never costs less; but where times are rounded up by instance,
// requests that take longer share more of them, which is worth some hundredths.
func TestSlowerCostsMore(t *testing.T) {
	for _, tt := range billed {
		c := one(t, tt.target, tt.block, &cost.Options{Node: "m5.large"})
		l := load(30 * time.Millisecond)
		slack := 1.0
		if c.Kind == cost.PerActive || c.Kind == cost.PerInstance && standing(tt.block) {
			slack = 1.03
		}
		for _, r := range []cost.Requests{1e3, 1e6, 1e8} {
			half, double := l.Scaled(0.5, 0.5), l.Scaled(2, 2)
			a, b, d := total(c, r, &half), total(c, r, l), total(c, r, &double)
			if a > b*slack+1e-9 || b > d*slack+1e-9 {
				t.Errorf("%s %s %v: want costs to rise, got %v, %v, %v", tt.target, tt.block, r, a, b, d)
			}
		}
	}
}

// The closed forms agree with the simulator, which plays every request.
func TestSteadyIsSimulated(t *testing.T) {
	t.Parallel()
	type point struct {
		r       cost.Requests
		service time.Duration
	}
	for _, tt := range []struct {
		target, block string
		points        []point
		within        float64
	}{
		{"awslambda", "{api: url}", []point{{20_000, 40 * time.Millisecond}, {2e6, 40 * time.Millisecond}, {50e6, 200 * time.Millisecond}}, 0.05},
		{"awslambda", "{api: url, memory: 512MiB}", []point{{1e6, 10 * time.Millisecond}}, 0.05},
		{"cloudrun", "{}", []point{{20_000, 40 * time.Millisecond}, {1e6, 40 * time.Millisecond}, {5e6, 150 * time.Millisecond}}, 0.15},
		{"cloudrun", "{billing: instance}", []point{{20_000, 40 * time.Millisecond}, {1e6, 40 * time.Millisecond}}, 0.10},
		{"azurefunctions", "{}", []point{{20_000, 40 * time.Millisecond}, {1e6, 40 * time.Millisecond}}, 0.15},
		{"azurefunctions", "{plan: containerapps}", []point{{20_000, 40 * time.Millisecond}, {1e6, 40 * time.Millisecond}}, 0.10},
		{"sagemaker", "{}", []point{{1e6, 40 * time.Millisecond}, {1e8, 40 * time.Millisecond}}, 0.001},
		{"sagemaker", "{mode: serverless}", []point{{1e6, 40 * time.Millisecond}}, 0.05},
	} {
		c := one(t, tt.target, tt.block, nil)
		for _, p := range tt.points {
			name := fmt.Sprintf("%s %s %v %v", tt.target, tt.block, p.r, p.service)
			l := load(p.service)
			seen, used, err := c.Simulate(context.Background(), &cost.Arrivals{Rate: p.r}, l, 1, 1)
			if err != nil || seen == nil {
				t.Fatalf("%s: %v, %v", name, seen, err)
			}
			// What was played is a sample: compare for one request.
			played := c.Bill(used, false).Total.Float() / float64(used.Requests)
			closed := total(c, used.Requests, l) / float64(used.Requests)
			if off := closed/played - 1; math.Abs(off) > tt.within {
				t.Errorf("%s: the closed form says $%.4g a million, the simulator $%.4g: %+.1f %%\n%+v\n%+v\n%+v", name, closed*1e6, played*1e6, off*100, seen, used, c.Steady(used.Requests, l))
			}
			if seen.P99 < seen.P50 || seen.P50 < p.service.Seconds()*999 || seen.Refused > 0.001 {
				t.Errorf("%s: %+v", name, seen)
			}
		}
	}
}
