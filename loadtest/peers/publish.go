//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"godwit.dev/internal/chart"
	"godwit.dev/loadtest/measure"
)

// loadNames are the loads of throughput, in the order of the tables.
var loadNames = []string{smallJSON, smallBinary, smallGRPC, imageJSON}

// goal is one of the goals that speak of peers: the least that Better must be,
// of the worst of the peers that who accepts.
type goal struct {
	number         int
	what, load     string
	who            func(*peerResult) bool
	ship, moonshot float64
}

func written(language string) func(*peerResult) bool {
	return func(p *peerResult) bool { return p.Language == language }
}

var goals = []goal{
	{14, "throughput over the best Python server's", smallJSON, written("Python"), 5, 10},
	{15, "throughput over fastify and onnxruntime-node", smallJSON, written("Node.js"), 1.7, 2.5},
	{15, "throughput over fastify and onnxruntime-node", smallBinary, written("Node.js"), 1.5, 2.2},
	{16, "throughput over Rust's axum and ort", smallJSON, written("Rust"), 0.85, 1},
	{16, "throughput over Rust's axum and ort", smallBinary, written("Rust"), 0.85, 1},
}

// hardest is the peer that leaves ours the least lead on the goal's load.
func (g *goal) hardest(r *report) (who *peerResult, f *figure) {
	for _, p := range r.Peers {
		got := p.figure(throughput, g.load)
		if got != nil && g.who(p) && (f == nil || got.Better.Median < f.Better.Median) {
			who, f = p, got
		}
	}
	return who, f
}

// reached says whether s is at least want, and whether its range leaves that open.
func reached(s measure.Spread, want float64) string {
	answer := map[bool]string{true: "yes", false: "no"}[s.Median >= want]
	if (s.Min >= want) != (s.Max >= want) {
		answer += ", within noise"
	}
	return answer
}

// line is one peer's main figure, for a terminal.
func (p *peerResult) line() string {
	if p.Missing != "" {
		return fmt.Sprintf("%s: not measured: %s", p.Title, p.Missing)
	}
	s := fmt.Sprintf("%s, %s (%.0f s)", p.Title, p.Setting, p.Seconds)
	for _, load := range loadNames {
		if f, cpu := p.figure(throughput, load), p.figure(cpuTime, load); f != nil && cpu != nil {
			s += fmt.Sprintf("\n  %-30s %s/s, ours %s/s: %s times (%s); CPU %s µs, ours %s µs: %s times", load, measure.Number(f.Other.Median), measure.Number(f.Ours.Median),
				measure.Number(f.Better.Median), ranged(f.Better), measure.Number(cpu.Other.Median), measure.Number(cpu.Ours.Median), measure.Number(cpu.Better.Median))
		}
	}
	if p.Partly != "" {
		s += "\n  not all was measured: " + p.Partly
	}
	return s
}

func ranged(s measure.Spread) string {
	return fmt.Sprintf("%s–%s, n=%d", measure.Number(s.Min), measure.Number(s.Max), s.N)
}

// times is a lead for a table.
func times(s measure.Spread) string {
	return fmt.Sprintf("**%s×** (%s)", measure.Number(s.Median), ranged(s))
}

func (r *report) text(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %d processors; ONNX Runtime %s, %s\n\n", r.Machine, r.Processors, r.Library, r.Subject)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "peer\tsmall, JSON\tours over it\tCPU\tit over ours\tp99 at 80 %\tours\tpeak memory\tcold start")
	for _, p := range r.Peers {
		f, cpu := p.figure(throughput, smallJSON), p.figure(cpuTime, smallJSON)
		if f == nil || cpu == nil {
			fmt.Fprintf(t, "%s\tnot measured\n", p.Title)
			continue
		}
		row := []string{p.Title, measure.Number(f.Other.Median) + "/s", measure.Number(f.Better.Median) + "×", measure.Number(cpu.Other.Median) + " µs", measure.Number(cpu.Better.Median) + "×"}
		for _, cell := range []struct{ what, load, unit string }{{p99, points[2].name, " ms"}, {memory, "after all loads", " MB"}, {coldStart, "exec to the first answer", " ms"}} {
			got := p.figure(cell.what, cell.load)
			if got == nil {
				row = append(row, "–")
			} else {
				row = append(row, measure.Number(got.Other.Median)+cell.unit)
			}
			if got != nil && cell.what == p99 {
				row = append(row, measure.Number(got.Ours.Median)+cell.unit)
			} else if cell.what == p99 {
				row = append(row, "–")
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
	for _, g := range goals {
		if who, f := g.hardest(r); f != nil {
			fmt.Fprintf(w, "goal %d: %s, %s: %s of %s (%s), ship ≥ %g: %s, moonshot ≥ %g: %s\n", g.number, g.what, g.load, measure.Number(f.Better.Median), who.Title, ranged(f.Better),
				g.ship, reached(f.Better, g.ship), g.moonshot, reached(f.Better, g.moonshot))
		}
	}
	for _, p := range r.Peers {
		if p.Missing != "" {
			fmt.Fprintf(w, "%s: %s\n", p.Title, p.Missing)
		}
		if p.Partly != "" {
			fmt.Fprintf(w, "%s, not all: %s\n", p.Title, p.Partly)
		}
	}
}

// table begins a Markdown table.
func table(w io.Writer, head ...string) {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
}

func row(w io.Writer, cells ...string) {
	for i := range cells {
		cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}

func (r *report) markdown(w io.Writer) {
	kind, minutes := "", 0.0
	if r.Quick {
		kind = " **A quick run on a busy machine**: few and short blocks, to see that all of it works; ratios are rough."
	}
	var loads []float64
	when, keys := r.Time, map[string]bool{}
	for _, p := range r.Peers {
		minutes += p.Seconds / 60
		if load, err := strconv.ParseFloat(p.Load, 64); err == nil {
			loads = append(loads, load)
		}
		when = max(when, p.When)
		if p.Key != "" {
			keys[p.Key] = true
		}
	}
	if len(keys) > 1 {
		kind += " Some peers were measured beside an earlier build of ours or another ONNX Runtime."
	}
	busy := ""
	if len(loads) > 0 {
		busy = fmt.Sprintf(", load average before each peer %.2f to %.2f", slices.Min(loads), slices.Max(loads))
	}
	fmt.Fprintf(w, "Measured until %s in %.0f minutes on %d virtual processors (%s), kernel %s%s; ours is %s with ONNX Runtime %s.%s\n\n",
		when, math.Ceil(minutes), r.Processors, r.Machine, r.Kernel, busy, r.Subject, r.Library, kind)

	table(w, "goal", "what", "load", "ours over the hardest", "range", "ship", "moonshot")
	for _, g := range goals {
		who, f := g.hardest(r)
		if f == nil {
			row(w, fmt.Sprint(g.number), g.what, g.load, "not measured", "", "–", "–")
			continue
		}
		row(w, fmt.Sprint(g.number), g.what, g.load, fmt.Sprintf("**%s** (%s)", measure.Number(f.Better.Median), who.Title), ranged(f.Better),
			fmt.Sprintf("≥ %g: %s", g.ship, reached(f.Better, g.ship)), fmt.Sprintf("≥ %g: %s", g.moonshot, reached(f.Better, g.moonshot)))
	}

	fmt.Fprint(w, "\nThroughput at 16 connections, and the CPU that all processes of a server take for a request:\n\n")
	table(w, "peer", "load", "answers/s", "ours", "ours over it", "CPU/request", "ours", "it over ours")
	for _, p := range r.Peers {
		for _, load := range loadNames {
			f, cpu := p.figure(throughput, load), p.figure(cpuTime, load)
			if f == nil || cpu == nil {
				continue
			}
			row(w, p.Title, load, measure.Number(f.Other.Median), measure.Number(f.Ours.Median), times(f.Better), measure.Number(cpu.Other.Median)+" µs", measure.Number(cpu.Ours.Median)+" µs", times(cpu.Better))
		}
	}

	fmt.Fprint(w, "\nLatency of small JSON requests that arrive by themselves (Poisson), p50 / p99 in ms, from when a request was due; at shares of what each server can do by itself, and last at the same rate for both:\n\n")
	head := []string{"peer"}
	for _, at := range points {
		head = append(head, at.name, "ours")
	}
	table(w, head...)
	for _, p := range r.Peers {
		if p.figure(p50, points[0].name) == nil {
			continue
		}
		cells := []string{p.Title}
		for _, at := range points {
			half, most := p.figure(p50, at.name), p.figure(p99, at.name)
			if half == nil || most == nil {
				cells = append(cells, "–", "–")
				continue
			}
			cells = append(cells, measure.Number(half.Other.Median)+" / "+measure.Number(most.Other.Median), measure.Number(half.Ours.Median)+" / "+measure.Number(most.Ours.Median))
		}
		row(w, cells...)
	}

	fmt.Fprint(w, "\nMemory at its peak after all loads (the sum over processes, shared pages counted in each), and time from exec to the first right answer with all files in the page cache:\n\n")
	table(w, "peer", "peak", "ours", "it over ours", "cold start", "ours", "it over ours")
	for _, p := range r.Peers {
		m, c := p.figure(memory, "after all loads"), p.figure(coldStart, "exec to the first answer")
		if m == nil && c == nil {
			continue
		}
		cells := []string{p.Title, "–", "–", "–", "–", "–", "–"}
		if m != nil {
			cells[1], cells[2], cells[3] = measure.Number(m.Other.Median)+" MB", measure.Number(m.Ours.Median)+" MB", measure.Number(m.Better.Median)+"×"
		}
		if c != nil {
			cells[4], cells[5], cells[6] = measure.Number(c.Other.Median)+" ms", measure.Number(c.Ours.Median)+" ms", times(c.Better)
		}
		row(w, cells...)
	}

	fmt.Fprint(w, "\nHow each was run, the best of its settings on small JSON:\n\n")
	table(w, "peer", "versions", "best setting", "others: ours over them", "note")
	for _, p := range r.Peers {
		var others []string
		for _, t := range p.Sweep {
			if t.Setting == p.Setting {
				continue
			}
			value := measure.Number(t.Ratio)
			if t.Missing != "" {
				value = "does not work"
			}
			others = append(others, t.Setting+": "+value)
		}
		note := p.Note
		if p.Missing == "" && !p.Settled {
			note += "; its windows of the warm-up never agreed within 3 %"
		}
		if p.Partly != "" {
			note += "; **not all was measured**: " + p.Partly
		}
		if p.Missing != "" {
			row(w, p.Title, versionText(nil, p.Versions), "**not measured**", "", p.Missing)
			continue
		}
		row(w, p.Title, versionText(nil, p.Versions), p.Setting, strings.Join(others, "; "), note)
	}
	for _, name := range r.drawn() {
		fmt.Fprintf(w, "\n![%s](plots/%s)\n", titles[name], name)
	}
}

// versionText is the versions in the order of names, or of the alphabet.
func versionText(names []string, versions map[string]string) string {
	if names == nil {
		for name := range versions {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	var all []string
	for _, name := range names {
		all = append(all, name+" "+versions[name])
	}
	return strings.Join(all, ", ")
}

// The plots, by file.
const (
	plotThroughput = "peers-throughput.svg"
	plotCPU        = "peers-cpu.svg"
	plotLatency    = "peers-latency.svg"
	plotMemory     = "peers-memory.svg"
	plotCold       = "peers-cold.svg"
)

var titles = map[string]string{
	plotThroughput: "Answers in a second, small JSON, 16 connections",
	plotCPU:        "Server's CPU for a request, small JSON",
	plotLatency:    "p99 at half of a server's own capacity, small JSON",
	plotMemory:     "Peak memory of all processes",
	plotCold:       "Exec to the first right answer",
}

// plotted is the figure that each plot shows.
var plotted = []struct{ file, what, load, unit string }{
	{plotThroughput, throughput, smallJSON, "answers in a second"},
	{plotCPU, cpuTime, smallJSON, "µs"},
	{plotLatency, p99, points[1].name, "ms"},
	{plotMemory, memory, "after all loads", "MB"},
	{plotCold, coldStart, "exec to the first answer", "ms"},
}

// drawn are the plots that there is something for.
func (r *report) drawn() []string {
	var names []string
	for _, q := range plotted {
		if slices.ContainsFunc(r.Peers, func(p *peerResult) bool { return p.figure(q.what, q.load) != nil }) {
			names = append(names, q.file)
		}
	}
	return names
}

// plots draws each peer beside ours, whose bar is the median of what it showed
// beside each of them, with the range of these medians.
func (r *report) plots() map[string][]byte {
	files := map[string][]byte{}
	for _, q := range plotted {
		bars := chart.Bars{Title: titles[q.file], Axis: chart.Axis{Label: q.unit, Log: true, Format: plain}}
		var ours []float64
		for _, p := range r.Peers {
			f := p.figure(q.what, q.load)
			if f == nil {
				continue
			}
			ours = append(ours, f.Ours.Median)
			bars.Bars = append(bars.Bars, chart.Bar{Label: p.Title, Value: f.Other.Median, Low: f.Other.Min, High: f.Other.Max,
				Note: lead(f.Better.Median)})
		}
		if len(ours) == 0 {
			continue
		}
		less := q.what != throughput
		slices.SortStableFunc(bars.Bars, func(a, b chart.Bar) int {
			if (a.Value > b.Value) == less {
				return 1
			}
			return -1
		})
		s := measure.SpreadOf(ours)
		bars.Bars = slices.Insert(bars.Bars, 0, chart.Bar{Label: "Godwit", Value: s.Median, Low: s.Min, High: s.Max, Emphasis: true})
		files[q.file] = []byte(bars.SVG())
	}
	return files
}

// plain is a number without zeros that say nothing.
func plain(v float64) string {
	s := measure.Number(v)
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// lead says in words who is ahead, v times.
func lead(v float64) string {
	if v < 1 {
		return "ours " + measure.Number(1/v) + "× worse"
	}
	return "ours " + measure.Number(v) + "× better"
}

// The marks between which the section is.
const docsBegin = "<!-- figures of peers.json, compared by loadtest/peers:TestSection, written by make bench-peers -->"

// publish writes what f asks for: the samples, the plots, the section.
func (r *report) publish(f *flags) error {
	if f.results != "" {
		if err := r.save(f.results); err != nil {
			return err
		}
	}
	if f.plots != "" {
		if err := os.MkdirAll(f.plots, 0o755); err != nil {
			return err
		}
		for name, svg := range r.plots() {
			if err := measure.Replace(filepath.Join(f.plots, name), svg); err != nil {
				return err
			}
		}
	}
	if f.docs == "" {
		return nil
	}
	var b bytes.Buffer
	r.markdown(&b)
	return (&measure.Section{Path: f.docs, Begin: docsBegin}).Write(b.String())
}
