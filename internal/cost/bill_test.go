package cost_test

import (
	"fmt"
	"testing"
	"time"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/cost"
)

// one is the config of a target's block.
func one(t testing.TB, target, block string, o *cost.Options) *cost.Config {
	t.Helper()
	s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\nauth: none\ntargets:\n  "+target+": "+block+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if o == nil {
		o = &cost.Options{}
	}
	o.Targets, o.GPU = []string{target}, true
	all, err := cost.Configs(s, o)
	if err != nil || len(all) != 1 {
		t.Fatalf("want one config, got %v, %v", all, err)
	}
	return all[0]
}

const second, hour = 1000, 3600 * 1000 // in milliseconds

// What the vendors work out in their price lists and documents, to the cent. Where a
// sum of theirs is of lines that they rounded first, it is the same cent here.
func TestVendorsExamples(t *testing.T) {
	const lambda = "https://aws.amazon.com/lambda/pricing/ "
	const gateway = "https://aws.amazon.com/api-gateway/pricing/ "
	for _, tt := range []struct {
		source        string
		target, block string
		usage         cost.Usage
		free          bool
		lines         []string // what, and dollars
		total         string
	}{
		{lambda + "Example 1: mobile application backend", "awslambda", "{memory: 1536MiB, api: url}",
			cost.Usage{Requests: 3e6, Serving: 3e6 * 120}, true, []string{"requests $0.40", "compute $2.33"}, "$2.73"},
		{lambda + "Example 2: enriching streaming telemetry", "awslambda", "{memory: 1024MiB, api: none}",
			cost.Usage{Requests: 7_440_000, Serving: 7_440_000 * 2 * second}, false, []string{"requests $1.49", "compute $248.00"}, "$249.49"},
		{lambda + "Example 3: support tickets, with storage", "awslambda", "{memory: 4096MiB, api: none, ephemeralStorage: 2048MiB}",
			cost.Usage{Requests: 6e6, Serving: 6e6 * 280}, true, []string{"requests $1.00", "compute $105.33", "ephemeral storage $0.08"}, "$106.41"},
		{lambda + "Provisioned Concurrency, example 1, the hours with it and the rest", "awslambda", "{memory: 1536MiB, api: none, provisionedConcurrency: 100}",
			cost.Usage{Requests: 3e6, Serving: 500_000*100 + 2_500_000*120, Ready: 500_000 * 100, Waiting: 100 * 8 * hour}, true,
			[]string{"requests $0.40", "compute $0.83", "compute, provisioned $0.73", "provisioned concurrency $18.00"}, "$19.96"},
		{lambda + "Provisioned Concurrency, example 2: Cyber Monday", "awslambda", "{memory: 4096MiB, api: none, provisionedConcurrency: 7}",
			cost.Usage{Requests: 2e6, Serving: 2e6 * 280, Ready: 2e6 * 280, Waiting: 7 * 24 * hour}, false,
			[]string{"requests $0.40", "compute, provisioned $21.78", "provisioned concurrency $10.08"}, "$32.26"},
		{lambda + "Durable functions, compute and requests, on Arm", "awslambda", "{memory: 1024MiB, api: none, architecture: arm64}",
			cost.Usage{Requests: 2e6, Serving: 1e6 * 32 * second}, true, []string{"requests $0.20", "compute $421.34"}, "$421.54"},
		{lambda + "Tenant isolation, without its own charge", "awslambda", "{memory: 1024MiB, api: none}",
			cost.Usage{Requests: 10e6, Serving: 10e6 * 2 * second}, false, []string{"requests $2.00", "compute $333.33"}, "$335.33"},
		{lambda + "SnapStart, without its own charge", "awslambda", "{memory: 1024MiB, api: none}",
			cost.Usage{Requests: 7_440_000, Serving: 14_880_000 * second}, false, []string{"requests $1.49", "compute $248.00"}, "$249.49"},
		{gateway + "HTTP APIs, example 1", "awslambda", "{api: http}",
			cost.Usage{Units: 432e6}, false, []string{"API $418.80"}, "$418.80"},
		{gateway + "HTTP APIs, example 2: uploads of 4.5 MB", "awslambda", "{api: http}",
			cost.Usage{Units: 25 * 60 * 24 * 30 * 9}, false, []string{"API $9.72"}, "$9.72"},
		{gateway + "REST APIs, five million calls", "awslambda", "{api: rest}",
			cost.Usage{Units: 5e6}, false, []string{"API $17.50"}, "$17.50"},
		{gateway + "REST APIs, fifteen billion calls", "awslambda", "{api: rest}",
			cost.Usage{Units: 15e9}, false, []string{"API $36,353"}, "$36,353"},
		{"https://learn.microsoft.com/azure/azure-functions/monitor-functions: 3.54 billion MB-ms are 3,457.03 GB-s", "azurefunctions", "{memory: 2048MiB}",
			// of instances of 2,048 MB; a GB-s there has 1,024,000 MB-ms
			cost.Usage{Requests: 2100, Serving: 3_540_000_000 / 2048}, false, []string{"executions $0.00084", "execution time $0.09"}, "$0.09"},
	} {
		t.Run(tt.source, func(t *testing.T) {
			bill := one(t, tt.target, tt.block, nil).Bill(&tt.usage, tt.free)
			var got []string
			for _, l := range bill.Lines {
				got = append(got, l.What+" "+l.Amount.String())
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.lines) || bill.Total.String() != tt.total || bill.Unknown != "" {
				t.Errorf("got %q, together %v %s, want %q, together %s", got, bill.Total, bill.Unknown, tt.lines, tt.total)
			}
		})
	}
}

// Fifteen billion calls of a REST API cost $36,353.10 by AWS's example, of which a
// person is shown the dollars.
func TestCentsOfLargeSums(t *testing.T) {
	bill := one(t, "awslambda", "{api: rest}", nil).Bill(&cost.Usage{Units: 15e9}, false)
	if got := bill.Total.Cents().Int64(); got != 3_635_310 {
		t.Errorf("want $36353.10, got %d cents", got)
	}
}

// Bills of which no vendor publishes an example, each worked out by hand from its
// price list.
func TestBillsByHand(t *testing.T) {
	for _, tt := range []struct {
		what          string
		target, block string
		usage         cost.Usage
		free          bool
		want          string
	}{
		{"10 M requests of 100 ms on 1 vCPU and 1 GiB: 1 M s × ($0.000024 + $0.0000025) + 10 × $0.40", "cloudrun", "{}",
			cost.Usage{Requests: 10e6, Serving: 1e6 * second}, false, "$30.50"},
		{"the same less 180,000 vCPU-s, 360,000 GiB-s and 2 M requests: 820,000 × 0.000024 + 640,000 × 0.0000025 + 8 × 0.4", "cloudrun", "{}",
			cost.Usage{Requests: 10e6, Serving: 1e6 * second}, true, "$24.48"},
		{"an instance of 1 vCPU and 1 GiB all month, billed by instance: 2,628,000 × ($0.000018 + $0.000002), requests free", "cloudrun", "{billing: instance}",
			cost.Usage{Requests: 10e6, Instances: cost.MonthMillis}, false, "$52.56"},
		{"an idle instance all month: 2,628,000 × 2 × $0.0000025", "cloudrun", "{minInstances: 1}",
			cost.Usage{Waiting: cost.MonthMillis}, false, "$13.14"},
		{"L4 with 4 vCPU and 16 GiB for an hour: 3600 × ($0.0001867 + 4 × $0.000018 + 16 × $0.000002)", "cloudrun", "{gpu: nvidia-l4}",
			cost.Usage{Instances: hour}, false, "$1.05"},
		{"1 M executions of a second on 2 GB: 2 M GB-s × $0.000026 + $0.40", "azurefunctions", "{}",
			cost.Usage{Requests: 1e6, Serving: 1e6 * second}, false, "$52.40"},
		{"the same less 100,000 GB-s and 250,000 executions", "azurefunctions", "{}",
			cost.Usage{Requests: 1e6, Serving: 1e6 * second}, true, "$49.70"},
		{"always ready: baseline 730 h × 2 GB × $0.0144, execution at $0.000016, nothing free", "azurefunctions", "{alwaysReady: 1}",
			cost.Usage{Requests: 1e6, Serving: 1e6 * second, Ready: 1e6 * second, Waiting: cost.MonthMillis}, true, "$53.42"},
		{"EP1 all month: 730 × ($0.173 + 3.5 × $0.0123)", "azurefunctions", "{plan: premium}",
			cost.Usage{Instances: cost.MonthMillis}, false, "$157.72"},
		{"Container Apps, 0.5 CPU and 1 GiB for 100,000 s: 1.2 + 0.3, and 1 M requests", "azurefunctions", "{plan: containerapps, cpu: 0.5, memory: 1GiB}",
			cost.Usage{Requests: 1e6, Instances: 100_000 * second}, false, "$1.90"},
		{"serverless endpoint: 1,000 calls of a second on 3 GB at $0.00006", "sagemaker", "{mode: serverless, memory: 3GiB}",
			cost.Usage{Requests: 1000, Serving: 1000 * second}, false, "$0.06"},
		{"the same for ten seconds, and 10 GB in and out at $0.016", "sagemaker", "{mode: serverless, memory: 3GiB}",
			cost.Usage{Requests: 1000, Serving: 10_000 * second, Bytes: 10 << 30}, false, "$0.76"},
		{"two of ml.m5.large all month", "sagemaker", "{instanceType: ml.m5.large, minInstances: 2}",
			cost.Usage{Instances: 2 * cost.MonthMillis}, false, "$167.90"},
		{"n1-standard-2 with two T4 all month: 730 × ($0.1095 + 2 × $0.4025)", "vertexai", "{acceleratorType: NVIDIA_TESLA_T4, acceleratorCount: 2}",
			cost.Usage{Instances: cost.MonthMillis}, false, "$667.59"},
		{"Standard_DS3_v2 all month", "azureml", "{}", cost.Usage{Instances: cost.MonthMillis}, false, "$167.17"},
		{"tiers: 7 billion GB-s, 6 at $0.0000166667 and one at $0.000015", "awslambda", "{memory: 1024MiB, api: url}",
			cost.Usage{Serving: 7e9 * second}, false, "$115,000"},
		{"a device", "edge", "{}", cost.Usage{Requests: 1e9}, false, "$0.00"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			bill := one(t, tt.target, tt.block, nil).Bill(&tt.usage, tt.free)
			if bill.Total.String() != tt.want || bill.Unknown != "" {
				t.Errorf("got %v %s %+v, want %s", bill.Total, bill.Unknown, bill.Lines, tt.want)
			}
			for _, l := range bill.Lines {
				if l.Source == "" || l.Unit == "" || l.Each <= 0 {
					t.Errorf("want a source, a unit and a price, got %+v", l)
				}
			}
		})
	}
}

// The first request of an environment is billed with its start: of 250.06 ms and an
// Init Duration of 100.77 ms AWS makes 351 ms, in
// https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/
func TestInitIsBilled(t *testing.T) {
	c := one(t, "awslambda", "{memory: 1769MiB}", nil)
	u := c.Steady(1, &cost.Load{Service: 250_060 * time.Microsecond, Start: 100_770 * time.Microsecond})
	if got := u.Serving + u.Starting; got != 351 {
		t.Errorf("want 351 ms, got %d", got)
	}
}

// What has no price is unknown, and not free.
func TestUnknownPrice(t *testing.T) {
	for _, tt := range []struct{ target, block string }{
		{"cloudrun", "{gpu: nvidia-rtx-pro-6000}"},
		{"azurefunctions", "{plan: containerapps, gpu: t4}"},
		{"sagemaker", "{instanceType: ml.new.huge}"},
		{"knative", "{}"},
		{"edge", "{runtime: iotedge}"},
	} {
		c := one(t, tt.target, tt.block, nil)
		bill := c.Bill(&cost.Usage{Instances: hour}, false)
		if c.Unknown == "" && bill.Unknown == "" {
			t.Errorf("%s %s: want it unknown, got %v", tt.target, tt.block, bill.Total)
		}
	}
	if data.StaleDays != 90 {
		t.Error("want prices to be believed for 90 days")
	}
}
