// Command figures writes docs/results/simulator.json and the plots beside it:
//
//	figures RESULTS.json PLOTS/ NAME=RUN.json...
//
// Each RUN is what knative/conformance wrote of a comparison of the simulator
// with a cluster; the first is drawn. Beside them it measures how fast a
// thousand functions live through two weeks, and what starts that are twice as
// slow or as fast change; with FIGURES_KEEP set these stay as RESULTS.json has them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figure is a line that documents are tied to.
type figure struct {
	ID    string  `json:"id"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	What  string  `json:"what"`
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: figures RESULTS.json PLOTS/ NAME=RUN.json...")
		os.Exit(2)
	}
	if err := write(context.Background(), os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, results, plots string, runs []string) error {
	var all []figure
	for k, arg := range runs {
		name, file, _ := strings.Cut(arg, "=")
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var r run
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, r.figures(name)...)
		if k > 0 {
			continue
		}
		for file, svg := range r.plots() {
			if err := os.WriteFile(filepath.Join(plots, file), []byte(svg), 0o644); err != nil {
				return err
			}
		}
	}
	measures := []func(context.Context) ([]figure, error){fortnight, sensitivity}
	if os.Getenv("FIGURES_KEEP") != "" {
		measures = []func(context.Context) ([]figure, error){func(context.Context) ([]figure, error) { return kept(results) }}
	}
	for _, measure := range measures {
		more, err := measure(ctx)
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	for _, f := range all {
		fmt.Printf("%-36s %12.6g %-6s %s\n", f.ID, f.Value, f.Unit, f.What)
	}
	text, err := json.MarshalIndent(map[string]any{
		"about": "The simulator beside a cluster of processes with Knative's autoscaler, and by itself. AUTOSCALER_SECONDS=300 AUTOSCALER_DOCS=docs e2e/run.sh autoscaler writes it.",
		"time":  time.Now().UTC().Format("2006-01-02 15:04 UTC"), "go": runtime.Version(), "processors": runtime.NumCPU(), "load": load(),
		"figures": all,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(results, append(text, '\n'), 0o644)
}

// load is how many processes of this machine want a processor, which says how
// much the cluster was disturbed.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// kept are the figures of the results that are not of a cluster.
func kept(results string) ([]figure, error) {
	text, err := os.ReadFile(results)
	if err != nil {
		return nil, err
	}
	var all struct{ Figures []figure }
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", results, err)
	}
	return slices.DeleteFunc(all.Figures, func(f figure) bool {
		return !strings.HasPrefix(f.ID, "fortnight.") && !strings.HasPrefix(f.ID, "starts.")
	}), nil
}
