package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/internal/chart"
	"godwit.dev/loadtest"
)

// HTML is the page of a run, and of its comparison where c is not nil: one file
// that opens without a network. The recording is in it as JSON, without the
// windows' histograms.
func HTML(r *Recording, c *Comparison) ([]byte, error) {
	p := &chart.Page{Title: "Load on " + r.Model, Subtitle: subtitle(r), Tiles: tiles(r)}
	if notes := notes(r); len(notes) > 0 {
		p.Sections = append(p.Sections, chart.Section{Heading: "To be known", Text: notes})
	}
	if c != nil {
		p.Sections = append(p.Sections, c.section())
	}
	if r.Limit != nil {
		p.Sections = append(p.Sections, limitSection(r.Limit))
	}
	if len(r.Windows) > 0 {
		p.Sections = append(p.Sections, chart.Section{Heading: "Over time", SVG: overTime(r),
			Text: []string{fmt.Sprintf("Each point is a window of %s; a request belongs to the one in which it ended.", seconds(r.Run.Window))}})
	}
	if r.Histogram.Count() > 0 {
		p.Sections = append(p.Sections, distribution(r))
	}
	if len(r.Bursts) > 0 {
		p.Sections = append(p.Sections, burstSection(r.Bursts))
	}
	p.Sections = append(p.Sections, figures(r), about(r))
	data := *r
	data.Windows = slices.Clone(r.Windows)
	for i := range data.Windows {
		data.Windows[i].Histogram = loadtest.Histogram{}
	}
	p.Data = &data
	return p.HTML()
}

func subtitle(r *Recording) string {
	s := string(r.Protocol) + ", " + how(r) + ", " + r.Target
	if r.Run.Server != "" {
		s += " (" + r.Run.Server + ")"
	}
	if !r.Run.Started.IsZero() {
		s += ", " + r.Run.Started.UTC().Format("2006-01-02 15:04 UTC")
	}
	return s
}

// how says in words how requests came.
func how(r *Recording) string {
	rate := fmt.Sprintf("%s requests in a second", rateText(r.Rate))
	switch r.Loop {
	case "closed":
		return fmt.Sprintf("closed loop of %d connections", r.Connections)
	case "poisson":
		return "open loop, " + rate + " as of independent callers"
	case "constant":
		return "open loop, " + rate + " at equal distances"
	case "burst":
		return fmt.Sprintf("bursts of %s with %s, then %s without", seconds(r.Run.BurstOn), rate, seconds(r.Run.BurstOff))
	case "burst-from-zero":
		return fmt.Sprintf("bursts of %s with %s, each from zero", seconds(r.Run.BurstOn), rate)
	}
	return r.Loop + " of " + r.Run.Trace
}

func seconds(s float64) string {
	return strconv.FormatFloat(math.Round(s*1e3)/1e3, 'f', -1, 64) + " s"
}

func tiles(r *Recording) []chart.Tile {
	failed := r.Sent - r.OK
	all := []chart.Tile{
		{Label: "answered", Value: rateText(r.Achieved) + "/s", Note: fmt.Sprintf("%d of %d in %s", r.OK, r.Sent, seconds(math.Round(r.Seconds*10)/10))},
		{Label: "p50", Value: Duration(r.Latency.P50)},
		{Label: "p99", Value: Duration(r.Latency.P99)},
		{Label: "p99.9", Value: Duration(r.Latency.P999), Note: "at most " + Duration(r.Latency.Max)},
		{Label: "errors", Value: strconv.FormatInt(failed, 10), Note: percent(float64(failed), float64(r.Sent)), Bad: failed > 0},
	}
	if r.Limit != nil {
		rate := "none"
		if r.Limit.Rate > 0 {
			rate = rateText(r.Limit.Rate) + "/s"
		}
		all = slices.Insert(all, 0, chart.Tile{Label: "highest rate", Value: rate, Note: "that holds " + r.Limit.Objective.String(), Bad: r.Limit.Rate == 0})
	}
	if len(r.Bursts) > 0 {
		var first time.Duration
		for _, b := range r.Bursts {
			first = max(first, b.First)
		}
		all = append(all, chart.Tile{Label: "first answer", Value: Duration(first), Note: "the slowest of " + plural(len(r.Bursts), "burst")})
	}
	if s := r.Server; s != nil {
		all = append(all, chart.Tile{Label: "CPU per request", Value: Duration(time.Duration(r.PerRequest * 1e6)), Note: fmt.Sprintf("the server's, %.2f cores", s.CPUSeconds/math.Max(r.Seconds, 1e-9))},
			chart.Tile{Label: "server's memory", Value: mebibytes(float64(s.RSS)), Note: "at most, " + plural(s.Processes, "process")})
	}
	return all
}

func plural(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "s"):
		what += "e"
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func percent(part, all float64) string {
	if all == 0 {
		return "of none"
	}
	return strconv.FormatFloat(math.Round(part/all*1e5)/1e3, 'f', -1, 64) + " % of all"
}

// rateText writes a rate as people compare it, without a suffix.
func rateText(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// Duration writes d with three digits and a unit that people say.
func Duration(d time.Duration) string { return milliseconds(float64(d) / 1e6) }

// milliseconds writes v with three digits and a unit that people say.
func milliseconds(v float64) string {
	three := func(v float64) string {
		return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(math.Max(v, 1e-3))))), 64)
	}
	switch {
	case v <= 0:
		return "0 ms"
	case v < 0.9995:
		return trim(three(v*1e3)) + " µs"
	case v < 999.5:
		return trim(three(v)) + " ms"
	}
	return trim(three(v/1e3)) + " s"
}

func trim(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func mebibytes(v float64) string {
	if v >= 1<<30 {
		return chart.Number(math.Round(v/(1<<30)*100)/100) + " GiB"
	}
	return chart.Number(math.Round(v/(1<<20)*10)/10) + " MiB"
}

// notes are what a reader must know before he believes the figures.
func notes(r *Recording) []string {
	var all []string
	if r.Interrupted {
		all = append(all, "The run ended before its time: what is shown was measured up to then. "+r.Error)
	} else if r.Error != "" {
		all = append(all, r.Error)
	}
	if r.Late != "" {
		all = append(all, "Careful: "+r.Late+".")
	}
	if r.Waited > 0 && r.Loop != "closed" {
		all = append(all, fmt.Sprintf("%d requests were due while every connection was in use, %d of them; their wait counts.", r.Waited, r.Connections))
	}
	if r.Loop == "closed" {
		all = append(all, "In a closed loop a connection sends its next request when it has the last answer: throughput is what it shows, its latencies hide queueing.")
	}
	if r.Run.Local {
		all = append(all, "Client and server shared one machine; the server's CPU time of a request is what to compare.")
	}
	return all
}

// xs are the middles of the windows, as a series; y picks its figure, NaN for none.
func series(name string, windows []loadtest.Window, y func(*loadtest.Window) float64) chart.Series {
	s := chart.Series{Name: name}
	for i := range windows {
		w := &windows[i]
		if i > 0 && w.At-(windows[i-1].At+windows[i-1].Seconds) > 1e-3 { // a rest between bursts
			s.Points = append(s.Points, chart.Point{X: w.At, Y: math.NaN()})
		}
		s.Points = append(s.Points, chart.Point{X: w.At + w.Seconds/2, Y: y(w)})
	}
	return s
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// overTime draws what changed while the load went.
func overTime(r *Recording) []string {
	windows := slices.DeleteFunc(slices.Clone(r.Windows), func(w loadtest.Window) bool { return w.Seconds < r.Run.Window/4 }) // figures of a moment say nothing
	if len(windows) == 0 {
		windows = r.Windows
	}
	time := chart.Axis{Label: "seconds since it counts"}
	var marks []chart.Vertical
	if windows[0].At < -r.Run.Window/4 {
		marks = append(marks, chart.Vertical{X: 0, Label: "it counts"})
	}
	if last := len(windows) - 1; windows[last].Part == loadtest.PartDrain {
		i := slices.IndexFunc(windows, func(w loadtest.Window) bool { return w.Part == loadtest.PartDrain })
		marks = append(marks, chart.Vertical{X: windows[i].At, Label: "no new requests"})
	}
	answered := func(f func(*loadtest.Window) float64) func(*loadtest.Window) float64 {
		return func(w *loadtest.Window) float64 {
			if w.OK == 0 {
				return math.NaN()
			}
			return f(w)
		}
	}
	latency := &chart.Lines{Title: "Latency, from when a request was due", X: time, Y: chart.Axis{Label: "logarithmic", Log: true, Format: milliseconds}, Verticals: marks,
		Series: []chart.Series{
			series("p50", windows, answered(func(w *loadtest.Window) float64 { return ms(w.Latency.P50) })),
			series("p90", windows, answered(func(w *loadtest.Window) float64 { return ms(w.Latency.P90) })),
			series("p99", windows, answered(func(w *loadtest.Window) float64 { return ms(w.Latency.P99) })),
			series("max", windows, answered(func(w *loadtest.Window) float64 { return ms(w.Latency.Max) })),
		}}
	latency.Series[3].Dashed = true
	rate := func(n int64, w *loadtest.Window) float64 { return float64(n) / math.Max(w.Seconds, 1e-9) }
	throughput := &chart.Lines{Title: "Answered well", X: time, Y: chart.Axis{Label: "in a second"}, Verticals: marks,
		Series: []chart.Series{series("answered", windows, func(w *loadtest.Window) float64 { return rate(w.OK, w) })}}
	if r.Rate > 0 && (r.Loop == "poisson" || r.Loop == "constant") {
		throughput.Series = append(throughput.Series, chart.Series{Name: "asked", Dashed: true,
			Points: []chart.Point{{X: windows[0].At, Y: r.Rate}, {X: windows[len(windows)-1].At, Y: r.Rate}}})
	}
	errors := &chart.Lines{Title: "Errors", X: time, Y: chart.Axis{Label: "in a second"}, Verticals: marks}
	for _, name := range slices.Sorted(maps.Keys(r.Errors)) {
		errors.Series = append(errors.Series, series(name, windows, func(w *loadtest.Window) float64 { return rate(w.Errors[name], w) }))
	}
	if len(errors.Series) == 1 {
		errors.Title += ": " + errors.Series[0].Name
	}
	if len(errors.Series) == 0 {
		errors.Title = "Errors: none"
		errors.Series = []chart.Series{series("errors", windows, func(w *loadtest.Window) float64 { return rate(w.Failed(), w) })}
	}
	outstanding := &chart.Lines{Title: "Under way at the window's end", X: time, Y: chart.Axis{Label: "requests"}, Verticals: marks,
		Series: []chart.Series{series("under way", windows, func(w *loadtest.Window) float64 { return float64(w.Outstanding) })}}
	all := []string{latency.SVG(), throughput.SVG(), errors.SVG(), outstanding.SVG()}
	used := func(f func(*loadtest.Window) float64) func(*loadtest.Window) float64 {
		return func(w *loadtest.Window) float64 {
			if w.Server == nil {
				return math.NaN()
			}
			return f(w)
		}
	}
	if slices.ContainsFunc(windows, func(w loadtest.Window) bool { return w.Server != nil }) {
		cpu := &chart.Lines{Title: "Server's CPU", X: time, Y: chart.Axis{Label: "cores"}, Verticals: marks,
			Series: []chart.Series{series("cores", windows, used(func(w *loadtest.Window) float64 { return w.Server.CPUSeconds / w.Seconds }))}}
		memory := &chart.Lines{Title: "Server's memory", X: time, Y: chart.Axis{Label: "resident", Format: func(v float64) string { return chart.Number(v) + " MiB" }}, Verticals: marks,
			Series: []chart.Series{series("resident", windows, used(func(w *loadtest.Window) float64 { return float64(w.Server.RSS) / (1 << 20) }))}}
		all = append(all, cpu.SVG(), memory.SVG())
	}
	return all
}

// distribution draws how latencies are spread: their density, the share that is
// not above, and the percentiles towards the slowest.
func distribution(r *Recording) chart.Section {
	n := float64(r.Histogram.Count())
	axis := chart.Axis{Label: "latency, logarithmic", Log: true, Format: milliseconds}
	cdf := chart.Series{Name: "share"}
	tail := chart.Series{Name: "latency"}
	bins := map[int]float64{}
	const perDecade = 20
	sum := 0.0
	for d, k := range r.Histogram.Buckets {
		v := math.Max(ms(d), 1e-3)
		cdf.Points = append(cdf.Points, chart.Point{X: v, Y: sum / n})
		sum += float64(k)
		cdf.Points = append(cdf.Points, chart.Point{X: v, Y: sum / n})
		if sum < n {
			tail.Points = append(tail.Points, chart.Point{X: n / (n - sum), Y: v})
		}
		bins[int(math.Floor(math.Log10(v)*perDecade))] += float64(k) / n
	}
	density := chart.Series{Name: "share of requests", Steps: true}
	keys := slices.Sorted(maps.Keys(bins))
	edge := func(k int) float64 { return math.Pow(10, float64(k)/perDecade) }
	for k := keys[0] - 1; k <= keys[len(keys)-1]+1; k++ {
		density.Points = append(density.Points, chart.Point{X: edge(k), Y: bins[k]})
	}
	share := func(v float64) string { return trim(strconv.FormatFloat(v*100, 'f', 3, 64)) + " %" }
	marks := []chart.Vertical{{X: ms(r.Latency.P50), Label: "p50"}, {X: ms(r.Latency.P99), Label: "p99"}}
	return chart.Section{Heading: "Distribution of latencies", SVG: []string{
		(&chart.Lines{Title: "How often which latency", X: axis, Y: chart.Axis{Label: "share of the answers", Format: share}, Series: []chart.Series{density}, Verticals: marks}).SVG(),
		(&chart.Lines{Title: "Share that is not slower", X: axis, Y: chart.Axis{Label: "share of the answers", Format: share}, Series: []chart.Series{cdf}, Verticals: marks}).SVG(),
		(&chart.Lines{Title: "Towards the slowest", X: chart.Axis{Label: "percentile", Log: true, Format: func(v float64) string { return "p" + trim(strconv.FormatFloat(100-100/v, 'f', 4, 64)) }},
			Y: chart.Axis{Label: "latency", Format: milliseconds}, Series: []chart.Series{tail}}).SVG(),
	}}
}

func burstSection(bursts []loadtest.Cold) chart.Section {
	t := &chart.Table{Head: []string{"burst", "first answer", "answered", "failed", "p50", "p99", "max"}, Numeric: []bool{true, true, true, true, true, true, true}}
	for i, b := range bursts {
		first := "none"
		if b.OK > 0 {
			first = Duration(b.First)
		}
		t.Rows = append(t.Rows, []string{strconv.Itoa(i + 1), first, strconv.FormatInt(b.OK, 10), strconv.FormatInt(b.Failed, 10), Duration(b.Latency.P50), Duration(b.Latency.P99), Duration(b.Latency.Max)})
	}
	return chart.Section{Heading: "Bursts from zero", Text: []string{"Each burst met a server at rest; what its start took is in the latencies."}, Table: t}
}

func limitSection(l *loadtest.Limit) chart.Section {
	name := l.Objective.String()
	within := ms(l.Objective.Within)
	s := chart.Section{Heading: "The highest rate that holds " + name}
	switch {
	case l.Rate == 0 && l.Above == 0:
		s.Text = append(s.Text, "It is not known: the search did not come to its end.")
	case l.Rate == 0:
		s.Text = append(s.Text, fmt.Sprintf("No rate holds it, down to %s requests in a second.", rateText(l.Above)))
	case l.Above == 0:
		s.Text = append(s.Text, fmt.Sprintf("%s requests in a second hold it; nothing higher was asked.", rateText(l.Rate)))
	default:
		s.Text = append(s.Text, fmt.Sprintf("%s requests in a second hold it, %s do not.", rateText(l.Rate), rateText(l.Above)))
	}
	if l.Note != "" {
		s.Text = append(s.Text, l.Note+".")
	}
	held, missed := chart.Series{Name: "holds"}, chart.Series{Name: "misses"}
	steps := slices.SortedFunc(slices.Values(l.Steps), func(a, b loadtest.Step) int { return int(math.Copysign(1, a.Rate-b.Rate)) })
	for _, one := range steps {
		to := &missed
		if one.Holds {
			to = &held
		}
		to.Points = append(to.Points, chart.Point{X: one.Rate, Y: one.LatencyMS})
	}
	percentile, _, _ := strings.Cut(name, "=")
	plot := &chart.Lines{Title: "Latency at " + percentile + " by rate", X: chart.Axis{Label: "requests in a second, logarithmic", Log: true}, Y: chart.Axis{Label: "of what was answered, logarithmic", Log: true, Format: milliseconds},
		Series: []chart.Series{held, missed}}
	if len(steps) > 0 {
		first, last := steps[0].Rate, steps[len(steps)-1].Rate
		plot.Series = append(plot.Series, chart.Series{Name: "objective", Dashed: true, Points: []chart.Point{{X: first, Y: within}, {X: last, Y: within}}})
	}
	if l.Rate > 0 {
		plot.Verticals = []chart.Vertical{{X: l.Rate, Label: rateText(l.Rate) + "/s"}}
	}
	s.SVG = []string{plot.SVG()}
	s.Table = &chart.Table{Head: []string{"step", "rate", "answered", "seconds", "sent", "missed", "share", percentile, "verdict"}, Numeric: []bool{true, true, true, true, true, true, true, true, false}}
	for i := range l.Steps {
		one := &l.Steps[i]
		s.Table.Rows = append(s.Table.Rows, []string{strconv.Itoa(i + 1), fmt.Sprintf("%.1f", one.Rate), fmt.Sprintf("%.1f", one.Achieved), fmt.Sprintf("%.1f", one.Seconds),
			strconv.FormatInt(one.Sent, 10), strconv.FormatInt(one.Missed, 10), strconv.FormatFloat(one.Share*100, 'f', 2, 64) + " %", milliseconds(one.LatencyMS), Verdict(one)})
	}
	return s
}

// Verdict says in a few words how a step ended.
func Verdict(s *loadtest.Step) string {
	v := "misses"
	switch {
	case s.Client != "":
		v = "the client could not keep up"
	case s.Holds:
		v = "holds"
	case s.Early:
		v = "misses, ended early"
	}
	return v + " (" + s.Why + ")"
}

// figures are the numbers themselves, for whoever cannot see the charts.
func figures(r *Recording) chart.Section {
	t := &chart.Table{Head: []string{"", "mean", "p50", "p90", "p99", "p99.9", "max"}, Numeric: []bool{false, true, true, true, true, true, true}}
	row := func(name string, l loadtest.Latencies) {
		t.Rows = append(t.Rows, []string{name, Duration(l.Mean), Duration(l.P50), Duration(l.P90), Duration(l.P99), Duration(l.P999), Duration(l.Max)})
	}
	row("latency, from when it was due", r.Latency)
	if r.Loop != "closed" && r.Service.Max > 0 {
		row("service, from when it was sent", r.Service)
		row("lag, the client's own", r.Lag)
	}
	var errors []string
	for _, name := range slices.Sorted(maps.Keys(r.Errors)) {
		errors = append(errors, fmt.Sprintf("%s: %d", name, r.Errors[name]))
	}
	text := "No request failed."
	if len(errors) > 0 {
		text = "Failed: " + strings.Join(errors, ", ") + "."
	}
	return chart.Section{Heading: "Figures", Text: []string{text}, Table: t}
}

// about says what was run where.
func about(r *Recording) chart.Section {
	run, m := &r.Run, &r.Run.Machine
	t := &chart.Table{}
	add := func(name, value string) {
		if value != "" {
			t.Rows = append(t.Rows, []string{name, value})
		}
	}
	add("model", strings.TrimSpace(run.Model+" "+run.ModelVersion))
	add("digest", run.Digest)
	add("target", run.Target)
	add("server", run.Server)
	add("load", how(r))
	if run.Trace != "" && run.Speed != 1 {
		add("trace", fmt.Sprintf("%s, %g times as fast", run.Trace, run.Speed))
	}
	add("connections", strconv.Itoa(r.Connections))
	add("different requests", strconv.Itoa(r.Payloads))
	add("seed", strconv.FormatUint(r.Seed, 10))
	add("warm-up, duration, timeout", seconds(run.Warmup)+", "+seconds(run.Duration)+", "+seconds(run.Timeout))
	add("machine", fmt.Sprintf("%s, %s, %s/%s %s", m.CPU, plural(m.Cores, "core"), m.OS, m.Arch, m.Kernel))
	if m.Memory > 0 {
		add("memory", mebibytes(float64(m.Memory)))
	}
	add("client", "godwit "+run.Godwit+", "+run.Go)
	if !run.Started.IsZero() {
		add("started", run.Started.UTC().Format(time.RFC3339))
	}
	return chart.Section{Heading: "What was run", Table: t, Pre: strings.Join(run.Command, " ")}
}
