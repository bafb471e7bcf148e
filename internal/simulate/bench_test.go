package simulate_test

import (
	"testing"
	"time"

	"godwit.dev/internal/simulate"
)

// BenchmarkFortnight is a thousand functions over two weeks, with about six
// million requests, on each platform that scales.
func BenchmarkFortnight(b *testing.B) {
	const functions, length = 1000, 14 * 24 * time.Hour
	for _, p := range []struct {
		name   string
		policy simulate.Policy
	}{
		{"knative", simulate.Knative{Concurrency: 4}}, {"lambda", simulate.Lambda{}}, {"cloudrun", simulate.CloudRun{}}, {"azureflex", simulate.AzureFlex{}},
	} {
		b.Run(p.name, func(b *testing.B) {
			o := &simulate.Options{Policy: p.policy, Until: length, Seed: 1}
			for range functions {
				o.Functions = append(o.Functions, simulate.Function{
					Service: simulate.Constant(50 * time.Millisecond),
					Start:   simulate.Lifecycle{Start: simulate.Dist{P50: 2 * time.Second, P99: 5 * time.Second}},
				})
			}
			for range b.N {
				src, err := simulate.Synthetic{Functions: functions, Until: length, Rate: 5, Seed: 1}.Source()
				if err != nil {
					b.Fatal(err)
				}
				r, err := simulate.Run(b.Context(), src, o)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(r.Requests), "requests")
				b.ReportMetric(100*r.ColdShare(), "%cold")
			}
			each := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(length.Seconds()/each, "virtual-s/s")
			b.ReportMetric(length.Seconds()*functions/each, "function-s/s")
		})
	}
}
