// Command plot draws what knative/conformance wrote of a comparison of the
// simulator with a cluster, and writes the figures without the curves:
//
//	plot RESULTS.json PLOTS/ RUN.json...
//
// The first run is drawn.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"godwit.dev/internal/chart"
)

// run is what is drawn of a comparison; everything but curves goes to the results.
type run struct {
	Curves struct {
		Step      float64
		Arrived   []float64
		Real      []float64
		Simulated []float64
		Low       []float64 `json:"simulatedLow"`
		High      []float64 `json:"simulatedHigh"`
		Pods      [2][]float64
		CDF       [2][]struct{ X, Y float64 } `json:"cdf"`
	}
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: plot RESULTS.json PLOTS/ RUN.json...")
		os.Exit(2)
	}
	if err := draw(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func draw(results, plots string, runs []string) error {
	var figures []map[string]any
	for k, name := range runs {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var r run
		var all map[string]any
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		delete(all, "curves")
		figures = append(figures, all)
		if k > 0 {
			continue
		}
		for file, svg := range r.plots() {
			if err := os.WriteFile(filepath.Join(plots, file), []byte(svg), 0o644); err != nil {
				return err
			}
		}
	}
	text, err := json.MarshalIndent(map[string]any{"clusters": figures}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(results, append(text, '\n'), 0o644)
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
		Title: "Pods that the autoscaler wants: Knative's, over real processes, and the simulator's", X: seconds, Y: chart.Axis{Label: "pods"},
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
