package tune

import (
	"fmt"
	"math"
	"strings"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/chart"
)

// Head names the columns of Cells.
func (r *Report) Head() []string {
	head := []string{"", "threads", "batching", "size", "p50", "p99", "rate", "CPU/request"}
	if r.costs() {
		head = append(head, "$/million")
	}
	return append(head, "memory", "blocks", "against the default", "verdict")
}

func (r *Report) costs() bool {
	for i := range r.Candidates {
		if r.Candidates[i].Cost > 0 {
			return true
		}
	}
	return false
}

// Cells is the table's row of one candidate.
func (r *Report) Cells(i int) []string {
	l := &r.Candidates[i]
	threads := threadsText(l.setting.Threads)
	if l.setting.Threads.Mode != "fixed" && l.IntraOp > 0 {
		threads += fmt.Sprintf(" (%d×%d)", l.IntraOp, l.Runs)
	}
	mark := ""
	if i == r.Chosen {
		mark = "→"
	}
	row := []string{mark, threads, batchingText(l.setting.Batching), l.shape.String()}
	if l.Rate == 0 {
		row = append(row, "–", "–", "–", "–")
	} else {
		row = append(row, msText(l.P50), msText(l.P99), rateText(l.Rate)+"/s", rateText(l.CPU)+" µs")
	}
	if r.costs() {
		row = append(row, dollars(l.Cost))
	}
	peak := "–"
	if l.Peak > 0 {
		peak = fmt.Sprintf("%.0f MiB", float64(l.Peak)/(1<<20))
	}
	over := "–"
	if g := l.Over; g != nil {
		over = fmt.Sprintf("%.2f×", g.Ratio)
	}
	verdict := string(l.Verdict)
	if l.Reason != "" {
		verdict += ": " + l.Reason
	}
	return append(row, peak, fmt.Sprint(l.Blocks), over, verdict)
}

func msText(v float64) string { return fmt.Sprintf("%.3g ms", v) }

func rateText(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func dollars(v float64) string {
	if v == 0 {
		return "–"
	}
	if v >= 1 {
		return fmt.Sprintf("$%.2f", v)
	}
	return fmt.Sprintf("$%.3f", v)
}

// About says, line by line, how it was measured.
func (r *Report) About() []string {
	load := fmt.Sprintf("%s over %s, %s", plural(r.Load.Requests, "recorded request"), r.Load.Protocol, r.Load.Loop)
	if r.Load.Connections > 0 {
		load += fmt.Sprintf(", %s", plural(r.Load.Connections, "connection"))
	}
	if r.Load.Rate > 0 {
		load += fmt.Sprintf(" at %s/s", rateText(r.Load.Rate))
	}
	limit := "the server was not held to a size"
	if r.Limit.How != none {
		limit = fmt.Sprintf("by %s; a server saw %s", r.Limit.How, Shape{CPUs: r.Limit.CPUs})
		if r.Limit.Memory > 0 {
			limit += " and " + spec.Bytes(r.Limit.Memory).String()
		}
	} else if r.Limit.Why != "" {
		limit += ": " + r.Limit.Why
	}
	all := []string{
		"goal: " + string(r.Goal) + ", by " + r.Metric,
		"load: " + load,
		fmt.Sprintf("blocks: %d of %.2f s, in turns, a new server after each %d, in %.0f s", r.Blocks, r.Load.Seconds, perServer, r.Seconds),
		"limit: " + limit + "; " + r.Limit.Client,
		fmt.Sprintf("machine: %s, %s", r.Machine.Processor, plural(r.Machine.Processors, "processor")),
	}
	if r.Price != "" {
		all = append(all, "price: "+r.Price)
	}
	for _, n := range r.Notes {
		all = append(all, "note: "+n)
	}
	return append(all, "ended: "+r.Ended)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// HTML is the report as a page that opens without a network.
func (r *Report) HTML() ([]byte, error) {
	p := &chart.Page{Title: "godwit tune " + r.Model, Subtitle: r.Time + ", " + r.Machine.Processor, Data: r}
	p.Tiles = append(p.Tiles, chart.Tile{Label: "goal", Value: string(r.Goal), Note: r.Metric})
	if r.Chosen >= 0 {
		l := &r.Candidates[r.Chosen]
		p.Tiles = append(p.Tiles,
			chart.Tile{Label: "chosen", Value: threadsText(l.setting.Threads) + ", " + batchingText(l.setting.Batching), Note: l.Size()},
			chart.Tile{Label: "rate", Value: rateText(l.Rate) + "/s"}, chart.Tile{Label: "p99", Value: msText(l.P99), Note: "p50 " + msText(l.P50)},
			chart.Tile{Label: "CPU for a request", Value: rateText(l.CPU) + " µs"})
	}
	if g := r.Gain; g != nil {
		p.Tiles = append(p.Tiles, chart.Tile{Label: "over the default", Value: fmt.Sprintf("%.2f×", g.Ratio), Note: g.String()})
	}
	against := &chart.Bars{Title: "Against the default: above 1 is better", Axis: chart.Axis{Label: "times"}}
	both := &chart.Lines{Title: "Latency and rate", X: chart.Axis{Label: "answers in a second"}, Y: chart.Axis{Label: "p99, ms"}}
	cpu := &chart.Bars{Title: "CPU for a request", Axis: chart.Axis{Label: "µs"}}
	for i := range r.Candidates {
		l := &r.Candidates[i]
		if l.Rate == 0 {
			continue
		}
		b := chart.Bar{Label: l.Label(), Value: 1, Note: string(l.Verdict), Emphasis: i == r.Chosen}
		g := l.Over
		if i == r.Chosen && r.Gain != nil {
			g = r.Gain
		}
		if g != nil {
			b.Value = g.Ratio
			if g.Low != nil && *g.High < 4*g.Ratio && !math.IsInf(*g.High, 0) {
				b.Low, b.High = *g.Low, *g.High
			}
		}
		against.Bars = append(against.Bars, b)
		cpu.Bars = append(cpu.Bars, chart.Bar{Label: l.Label(), Value: l.CPU, Emphasis: i == r.Chosen})
		both.Series = append(both.Series, chart.Series{Name: l.Label(), Points: []chart.Point{{X: l.Rate, Y: l.P99}}})
	}
	t := &chart.Table{Head: r.Head(), Numeric: make([]bool, len(r.Head()))}
	for i := range r.Candidates {
		t.Rows = append(t.Rows, r.Cells(i))
	}
	for i := 4; i < len(t.Numeric)-1; i++ {
		t.Numeric[i] = true
	}
	p.Sections = append(p.Sections,
		chart.Section{Text: []string{r.Verdict()}, SVG: []string{against.SVG(), cpu.SVG()}},
		chart.Section{Heading: "Candidates", Table: t, SVG: []string{both.SVG()}},
		chart.Section{Heading: "How it was measured", Pre: strings.Join(r.About(), "\n")})
	if _, now, err := r.Edited(); err == nil && len(r.changes) > 0 {
		p.Sections = append(p.Sections, chart.Section{Heading: spec.FileName, Pre: string(now)})
	}
	return p.HTML()
}
