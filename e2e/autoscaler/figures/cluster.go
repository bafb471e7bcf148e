package main

import (
	"math"

	"godwit.dev/internal/chart"
)

// run is a comparison with a cluster, as knative/conformance writes it.
type run struct {
	Seconds       float64
	Requests      float64
	Pods          float64 `json:"podsStarted"`
	PodsSimulated float64 `json:"podsStartedSimulated"`
	Decisions     float64
	Lag           float64 `json:"lagSeconds"`
	MaxLag        float64 `json:"maxLagSeconds"`
	Outside       float64 `json:"decisionsOutsideOneTick"`
	KS            float64
	KSBetween     float64 `json:"ksBetweenSeeds"`
	Latency       [2]struct {
		P50, P90, P99 float64
	} `json:"latencySecondsRealSimulated"`
	PodSeconds [2]float64 `json:"podSecondsRealSimulated"`
	Refused    [2]float64 `json:"refusedShareRealSimulated"`
	Curves     struct {
		Step      float64
		Real      []float64
		Simulated []float64
		Low       []float64 `json:"simulatedLow"`
		High      []float64 `json:"simulatedHigh"`
		Pods      [2][]float64
		CDF       [2][]struct{ X, Y float64 } `json:"cdf"`
	}
}

func (r *run) figures(name string) []figure {
	f := func(id string, value float64, unit, what string) figure {
		return figure{name + "." + id, value, unit, what}
	}
	return []figure{
		f("seconds", r.Seconds, "s", "length of the trace"),
		f("requests", r.Requests, "", "requests"),
		f("refused", 100*r.Refused[0], "%", "refused by a pod's proxy in the cluster"),
		f("refused-simulated", 100*r.Refused[1], "%", "refused by a pod's proxy in the simulator"),
		f("decisions", r.Decisions, "", "decisions of Knative's autoscaler"),
		f("lag", math.Abs(r.Lag), "s", "the shift that brings both curves of desired pods closest"),
		f("max-lag", r.MaxLag, "s", "the furthest that a real decision is from where the simulated ones have it"),
		f("outside", r.Outside, "", "decisions further than a tick from there"),
		f("ks", r.KS, "", "distance of the two distributions of latency"),
		f("ks-seeds", r.KSBetween, "", "the same between two seeds of the simulator"),
		f("pods", r.Pods, "", "pods started in the cluster"),
		f("pods-simulated", r.PodsSimulated, "", "pods started in the simulator, mean"),
		f("pod-seconds", r.PodSeconds[0], "s", "ready pods over time in the cluster"),
		f("pod-seconds-simulated", r.PodSeconds[1], "s", "the same in the simulator, mean"),
		f("p50", r.Latency[0].P50, "s", "median latency in the cluster"),
		f("p50-simulated", r.Latency[1].P50, "s", "median latency in the simulator"),
		f("p99", r.Latency[0].P99, "s", "99th percentile in the cluster"),
		f("p99-simulated", r.Latency[1].P99, "s", "99th percentile in the simulator"),
	}
}

func (r *run) plots() map[string]string {
	c := &r.Curves
	at := func(values []float64) (points []chart.Point) {
		for k, v := range values {
			points = append(points, chart.Point{X: float64(k) * c.Step, Y: v})
		}
		return points
	}
	seconds := chart.Axis{Label: "time, s"}
	desired := chart.Lines{
		Title: "Desired pods: Knative's autoscaler over real processes, and simulated", X: seconds, Y: chart.Axis{Label: "pods"},
		Series: []chart.Series{
			{Name: "cluster", Points: at(c.Real), Steps: true},
			{Name: "simulated, 20 seeds: median, 5 to 95 %", Points: at(c.Simulated), Low: c.Low, High: c.High, Steps: true, Dashed: true},
		},
	}
	pods := chart.Lines{
		Title: "Ready pods", X: seconds, Y: chart.Axis{Label: "pods"},
		Series: []chart.Series{{Name: "cluster", Points: at(c.Pods[0]), Steps: true}, {Name: "simulated, one seed", Points: at(c.Pods[1]), Steps: true, Dashed: true}},
	}
	latency := chart.Lines{
		Title: "Latency of the same trace", X: chart.Axis{Label: "latency, s", Log: true}, Y: chart.Axis{Label: "share of the requests"},
		Series: []chart.Series{{Name: "cluster"}, {Name: "simulated", Dashed: true}},
	}
	for k := range latency.Series {
		for _, p := range c.CDF[k] {
			latency.Series[k].Points = append(latency.Series[k].Points, chart.Point{X: math.Max(p.X, 1e-3), Y: p.Y})
		}
	}
	return map[string]string{"simulator-desired.svg": desired.SVG(), "simulator-pods.svg": pods.SVG(), "simulator-latency.svg": latency.SVG()}
}
