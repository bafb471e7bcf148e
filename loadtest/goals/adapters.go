//go:build linux && cgo

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Adapters have no goal of performance's own; their figures are goal 0.

// adapterLine is a line of a benchmark: what was measured, ns, and allocations.
var adapterLine = regexp.MustCompile(`(?m)^Benchmark\w+/(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op.*?(\d+) allocs/op`)

// adaptersGoal is what each adapter adds to a request over the bare handler: the
// adapters' own benchmarks, which measure both sides in turn in one process.
func adaptersGoal(ctx context.Context, b *bench) ([]*figure, error) {
	bin := filepath.Join(b.dir, "bin", "adapters")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	benches, err := filepath.Glob("adapters/*/bench_test.go")
	if err != nil {
		return nil, err
	}
	var figures []*figure
	for _, bench := range benches {
		dir := filepath.Dir(bench)
		name := filepath.Base(dir)
		test, err := filepath.Abs(filepath.Join(bin, name+".test"))
		if err != nil {
			return figures, err
		}
		build := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, "./"+dir)
		if text, err := build.CombinedOutput(); err != nil {
			return figures, fmt.Errorf("building %s: %w: %.300s", dir, err, text)
		}
		bare, forms, order, err := b.adapter(ctx, test, dir)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", name, err)
		}
		for _, form := range order {
			var pairs []pair
			for i, s := range forms[form] {
				pairs = append(pairs, pair{Ours: s.ns, Other: bare[i].ns})
			}
			figures = append(figures, &figure{What: "adapter, " + name + ", " + form, How: "a small JSON request in process, beyond the bare handler", Unit: "µs",
				Got:      each(pairs, func(p pair) float64 { return difference(p) / 1e3 }),
				Absolute: fmt.Sprintf("%s, bare %s; %+d allocations", us(each(pairs, oursOf).Median), us(each(pairs, floorOf).Median), forms[form][0].allocs-bare[0].allocs)})
		}
	}
	return figures, nil
}

type sample struct {
	ns     float64
	allocs int
}

// adapter runs one adapter's benchmarks some times. Those without a bare side
// measure something else.
func (b *bench) adapter(ctx context.Context, test, dir string) (bare []sample, forms map[string][]sample, order []string, err error) {
	forms = map[string][]sample{}
	for range b.pairs(6) {
		cmd := exec.CommandContext(ctx, test, "-test.run", "^$", "-test.bench", "^Benchmark(Invoke|Request|Infer)$", "-test.benchmem", "-test.benchtime", "5000x")
		cmd.Dir = dir
		text, err := cmd.CombinedOutput()
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%w: %.300s", err, text)
		}
		for _, m := range adapterLine.FindAllStringSubmatch(string(text), -1) {
			ns, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return nil, nil, nil, err
			}
			allocs, err := strconv.Atoi(m[3])
			if err != nil {
				return nil, nil, nil, err
			}
			s := sample{ns, allocs}
			switch {
			case m[1] == "bare":
				bare = append(bare, s)
			case strings.Contains(m[1], "alone"), strings.Contains(m[1], "empty"): // parts of a side
			default:
				if forms[m[1]] == nil {
					order = append(order, m[1])
				}
				forms[m[1]] = append(forms[m[1]], s)
			}
		}
	}
	order = slices.DeleteFunc(order, func(form string) bool { return len(forms[form]) != len(bare) })
	return bare, forms, order, nil
}
