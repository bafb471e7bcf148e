package cost_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/cost"
)

// A month's usage where it can be said without a calculator.
func TestUsage(t *testing.T) {
	const month = cost.MonthMillis
	aSecond := func(n cost.Requests) cost.Requests { return n * cost.MonthSeconds }
	quick := cost.Load{Service: 10 * time.Millisecond}
	for _, tt := range []struct {
		what          string
		target, block string
		requests      cost.Requests
		load          cost.Load
		want          cost.Usage
	}{
		{"each request to the next millisecond", "awslambda", "{api: url}", 1000, cost.Load{Service: 10_001 * time.Microsecond}, cost.Usage{Requests: 1000, Serving: 11_000}},
		{"half a processor takes twice as long", "awslambda", "{api: url, memory: 1024MiB}", 1000, cost.Load{Service: 1024 * time.Millisecond}, cost.Usage{Requests: 1000, Serving: 1_769_000}},
		{"two do not make one request faster", "awslambda", "{api: url, memory: 3538MiB}", 1000, quick, cost.Usage{Requests: 1000, Serving: 10_000}},
		{"a body of 512 KiB is one request", "awslambda", "{api: http}", 1000, cost.Load{Service: time.Millisecond, Body: 512 << 10}, cost.Usage{Requests: 1000, Units: 1000, Serving: 1000}},
		{"a byte more is two", "awslambda", "{api: http}", 1000, cost.Load{Service: time.Millisecond, Body: 512<<10 + 1}, cost.Usage{Requests: 1000, Units: 2000, Serving: 1000}},
		{"provisioned and never busy", "awslambda", "{api: url, provisionedConcurrency: 2}", 0, quick, cost.Usage{Waiting: 2 * month}},
		{"an instance that always stands serves a tenth of the time", "cloudrun", "{minInstances: 2}", 1000, cost.Load{Service: time.Millisecond},
			cost.Usage{Requests: 1000, Serving: 99_999, Waiting: 2*month - 99_999}}, // 100 ms each, less what two share
		{"always ready: the baseline is billed beside", "azurefunctions", "{alwaysReady: 2}", 0, quick, cost.Usage{Waiting: 2 * month}},
		{"no request, no instance", "cloudrun", "{billing: instance}", 0, quick, cost.Usage{}},
		{"two processors answer 200 a second, and 140 at the aim", "sagemaker", "{}", aSecond(140), quick, cost.Usage{Requests: aSecond(140), Instances: month}},
		{"one more is a machine more", "sagemaker", "{}", aSecond(141), quick, cost.Usage{Requests: aSecond(141), Instances: 2 * month}},
		{"Vertex AI aims at 120", "vertexai", "{}", aSecond(120), quick, cost.Usage{Requests: aSecond(120), Instances: month}},
		{"and adds a node beyond", "vertexai", "{}", aSecond(121), quick, cost.Usage{Requests: aSecond(121), Instances: 2 * month}},
		{"shared runs answer more", "vertexai", "{}", aSecond(121), cost.Load{Service: 10 * time.Millisecond, Busy: 5 * time.Millisecond}, cost.Usage{Requests: aSecond(121), Instances: month}},
		{"a GPU has its own time", "vertexai", "{acceleratorType: NVIDIA_TESLA_T4}", aSecond(121), cost.Load{Service: time.Second, GPU: time.Millisecond}, cost.Usage{Requests: aSecond(121), Instances: month}},
		{"bytes in and out of an endpoint", "sagemaker", "{mode: serverless}", 1000, cost.Load{Service: time.Millisecond, Body: 10, Bytes: 30}, cost.Usage{Requests: 1000, Serving: 1000, Bytes: 30_000}},
		{"two pods to a node: 141 a second need three", "knative", "{}", aSecond(141), quick, cost.Usage{Requests: aSecond(141), Instances: 2 * month}},
		{"as do 139, which need two", "knative", "{}", aSecond(139), quick, cost.Usage{Requests: aSecond(139), Instances: month}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got := one(t, tt.target, tt.block, &cost.Options{Node: "m5.large"}).Steady(tt.requests, &tt.load)
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
