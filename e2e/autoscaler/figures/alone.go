package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"godwit.dev/internal/simulate"
)

// starts is a start that takes two seconds.
var starts = simulate.Lifecycle{
	Schedule: simulate.Dist{P50: 700 * time.Millisecond, P99: 2 * time.Second}, Pull: simulate.Dist{P50: 800 * time.Millisecond, P99: 4 * time.Second},
	Start: simulate.Dist{P50: 100 * time.Millisecond, P99: 200 * time.Millisecond}, Load: simulate.Dist{P50: 400 * time.Millisecond, P99: 800 * time.Millisecond},
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fortnight is a thousand functions over two weeks.
func fortnight(ctx context.Context) (all []figure, err error) {
	const functions, length = 1000, 14 * 24 * time.Hour
	for _, p := range []struct {
		name   string
		policy simulate.Policy
	}{{"knative", simulate.Knative{Concurrency: 4}}, {"lambda", simulate.Lambda{}}, {"cloudrun", simulate.CloudRun{}}, {"azureflex", simulate.AzureFlex{}}} {
		o := &simulate.Options{Policy: p.policy, Until: length, Seed: 1}
		for range functions {
			o.Functions = append(o.Functions, simulate.Function{Service: simulate.Constant(50 * time.Millisecond), Start: starts})
		}
		began, used := time.Now(), cpu()
		src, err := simulate.Synthetic{Functions: functions, Until: length, Rate: 5, Seed: 1}.Source()
		if err != nil {
			return nil, err
		}
		r, err := simulate.Run(ctx, src, o)
		if err != nil {
			return nil, err
		}
		took, used := time.Since(began), cpu()-used
		f := func(id string, value float64, unit, what string) {
			all = append(all, figure{"fortnight." + p.name + "." + id, value, unit, what})
		}
		f("requests", float64(r.Requests), "", "requests of a thousand functions in two weeks")
		f("seconds", took.Seconds(), "s", "what that took")
		f("cpu", used.Seconds(), "s", "processor time of it, generator and collector included")
		f("speed", length.Seconds()*functions/used.Seconds()/1e6, "M/s", "seconds of a function, in millions, for each second of a processor")
		f("cold", 100*r.ColdShare(), "%", "requests that waited for a start")
	}
	return all, nil
}

// sensitivity is one function with bursts for a day, with starts that take half
// as long, as long, and twice as long.
func sensitivity(ctx context.Context) (all []figure, err error) {
	g := simulate.Synthetic{Until: 24 * time.Hour, Rate: 5, Switching: -1, Bursty: 1, Seed: 2}
	for _, p := range []struct {
		name   string
		policy simulate.Policy
	}{{"knative", simulate.Knative{Concurrency: 2}}, {"lambda", simulate.Lambda{}}, {"cloudrun", simulate.CloudRun{Concurrency: 4}}} {
		for _, k := range []float64{0.5, 1, 2} {
			src, err := g.Source()
			if err != nil {
				return nil, err
			}
			r, err := simulate.Run(ctx, src, &simulate.Options{
				Seed: 1, Until: 24 * time.Hour, Policy: p.policy,
				Functions: []simulate.Function{{Service: simulate.Service{Table: simulate.Constant(150 * time.Millisecond).Table, Spread: 3}, Runs: 2, Start: starts.Scaled(k)}},
			})
			if err != nil {
				return nil, err
			}
			f := func(id string, value float64, unit, what string) {
				all = append(all, figure{fmt.Sprintf("starts.%s.%gx.%s", p.name, k, id), value, unit, what})
			}
			f("cold", 100*r.ColdShare(), "%", "requests that waited for a start")
			f("p99", r.Latency.P99, "s", "99th percentile of latency")
			f("p999", r.Latency.P999, "s", "99.9th percentile of latency")
			f("hours", r.ReadySeconds/3600, "h", "hours of instances")
		}
	}
	return all, nil
}
