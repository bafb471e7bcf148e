package cost

import (
	"fmt"
	"slices"
	"strings"

	"godwit.dev/internal/chart"
)

// drawn is how many lines a chart has at most.
const drawn = 8

// Page is the report as a page: cost over the rate, a table, what is assumed.
func (r *Report) Page() *chart.Page {
	l := r.Times.Load()
	page := &chart.Page{
		Title:    "What " + r.Function + " costs",
		Subtitle: fmt.Sprintf("%v, in dollars a month of 730 hours, prices of %s", r.Requests, or(r.Prices, "no day")),
		Data:     r,
	}
	known := slices.DeleteFunc(slices.Clone(r.Rows), func(row *Row) bool { return row.At == nil })
	for _, row := range known {
		if row.config.Kind != Device {
			page.Tiles = append(page.Tiles, chart.Tile{Label: "cheapest at the rate", Value: row.At.USD.String(), Note: row.Name})
			break
		}
	}
	page.Tiles = append(page.Tiles,
		chart.Tile{Label: "a request alone", Value: millisText(r.Times.Service[0].P50), Note: "on one processor"},
		chart.Tile{Label: "a start", Value: millisText(r.Times.StartMS.P50), Note: "from exec to the first answer"})
	if r.Times.Memory > 0 {
		page.Tiles = append(page.Tiles, chart.Tile{Label: "memory", Value: fmt.Sprintf("%.0f MiB", float64(r.Times.Memory)/(1<<20)), Note: "the most the server had"})
	}
	for _, w := range r.Warnings {
		page.Tiles = append(page.Tiles, chart.Tile{Label: "careful", Value: "old prices", Note: w, Bad: true})
	}

	page.Sections = append(page.Sections, chart.Section{
		Heading: "Cost over the rate",
		Text: []string{"Independent callers at an even mean rate. The band is half and twice the measured times of serving and starting: a cloud's processor is not this one. " +
			"Vertical lines are where another target becomes the cheapest, and the rate that was asked for."},
		SVG: []string{r.lines(known, l).SVG()},
	})
	page.Sections = append(page.Sections, chart.Section{Heading: "Cost at " + r.Requests.String(), SVG: []string{r.bars(known).SVG()}})
	page.Sections = append(page.Sections, chart.Section{Heading: "Targets", Table: r.table(),
		Text: []string{"Break-even of what is billed by use: the fewest requests from which a standing machine is cheaper, and which. Of a standing machine: those from which it is cheaper than what is the cheapest at the rate."}})
	page.Sections = append(page.Sections, chart.Section{Heading: "The cheapest", Table: r.cheapest(),
		Text: []string{"Of the targets above, by requests a month at an even rate, up to a thousand times the one that was asked for."}})
	page.Sections = append(page.Sections, chart.Section{Heading: "Bills", Text: []string{"At the rate, line by line."}, Table: bills(known)})
	page.Sections = append(page.Sections, chart.Section{Heading: "Not included", Table: excluded(r.Rows)})
	page.Sections = append(page.Sections, chart.Section{Heading: "Measured", Table: r.measured()})
	page.Sections = append(page.Sections, chart.Section{Heading: "Assumed", Text: Assumptions()})
	return page
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// Assumptions are what the figures rest on beside measured times and price lists.
func Assumptions() []string {
	return []string{
		"A month has 730 hours, and its requests come independently of each other at an even mean rate, unless there is a trace.",
		"A cloud's processor takes half to twice as long as the one that was measured on, and a start too; both ends are shown. What a platform takes around the program is in no figure: finding a machine, fetching the package, its gateways and networks.",
		"An instance with less than one processor is slower in proportion, one with more answers more requests at once and none of them faster.",
		"Platforms keep idle instances: Lambda for 5 minutes in bills and for 5 to 15 in latencies (not promised by AWS), Cloud Run for 15 minutes, Flex Consumption for one (not published), Container Apps for 5.",
		"Machines are added at 70 % of what they can answer (60 % on Cloud Run and Vertex AI), also beyond the most that the spec allows, which is then said. Knative's nodes hold this function alone.",
		"Cold starts and latencies are those of a simulation with a fixed seed; docs/simulator.md says what it is held to.",
	}
}

// lines is cost over rate of the chosen ones, the winners and the cheapest.
func (r *Report) lines(known []*Row, l *Load) *chart.Lines {
	var rows []*Row
	add := func(row *Row) {
		if row.config.Kind != Device && len(rows) < drawn && !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	for _, from := range r.Cheapest {
		for _, row := range known {
			if row.Name == from.Name {
				add(row)
			}
		}
	}
	for _, row := range known {
		if row.Chosen {
			add(row)
		}
	}
	for _, row := range known {
		if !row.Chosen && row.config.Kind == Standing {
			add(row)
		}
	}
	for _, row := range known {
		add(row)
	}
	var rates []Requests
	low, high := max(r.Requests/300, 100), max(r.Requests*1000, 1e8)
	for i, n := range grid() {
		if n >= low && n <= high && i%3 == 0 {
			rates = append(rates, n)
		}
	}
	figure := &chart.Lines{Title: "Dollars a month over requests a month",
		X: chart.Axis{Label: "requests a month", Log: true, Format: func(v float64) string { return strings.TrimSuffix(Requests(v).String(), "/month") }}, Y: chart.Axis{Label: "dollars a month", Log: true, Format: usd}}
	half, twice := l.Scaled(0.5, 0.5), l.Scaled(2, 2)
	for _, row := range rows {
		s := chart.Series{Name: row.Name, Dashed: row.config.Kind == Standing}
		for _, n := range rates {
			at := func(l *Load) float64 { return row.config.Bill(row.config.Steady(n, l), r.Free).Total.Float() }
			mid, a, b := at(l), at(&half), at(&twice)
			s.Points = append(s.Points, chart.Point{X: float64(n), Y: mid})
			s.Low, s.High = append(s.Low, min(mid, a, b)), append(s.High, max(mid, a, b))
		}
		if !row.Chosen { // bands of all of them would hide the lines
			s.Low, s.High = nil, nil
		}
		figure.Series = append(figure.Series, s)
	}
	for i, from := range r.Cheapest {
		if i > 0 && from.Requests >= low && from.Requests <= high {
			figure.Verticals = append(figure.Verticals, chart.Vertical{X: float64(from.Requests), Label: from.Requests.String() + ": " + from.Name})
		}
	}
	if r.Requests > 0 {
		figure.Verticals = append(figure.Verticals, chart.Vertical{X: float64(r.Requests), Label: "asked: " + r.Requests.String()})
	}
	return figure
}

// usd is an axis's dollars.
func usd(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("$%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("$%gk", v/1e3)
	case v >= 0.01 || v == 0:
		return fmt.Sprintf("$%.4g", v)
	}
	return fmt.Sprintf("$%.2g", v)
}

func (r *Report) bars(known []*Row) *chart.Bars {
	figure := &chart.Bars{Title: "Dollars at " + r.Requests.String(), Axis: chart.Axis{Label: "dollars a month", Format: func(v float64) string { return fmt.Sprintf("$%.2f", v) }}}
	for _, row := range known {
		note := ""
		if low, high := row.At.Low.String(), row.At.High.String(); low != high {
			note = low + " to " + high
		}
		figure.Bars = append(figure.Bars, chart.Bar{Label: row.Name, Value: row.At.USD.Float(), Low: row.At.Low.Float(), High: row.At.High.Float(), Note: note, Emphasis: row.Chosen})
	}
	return figure
}

func (r *Report) table() *chart.Table {
	t := &chart.Table{Head: []string{"target", "configuration", "idle", "at the rate", "range", "at ten times", "cold", "p99", "break-even"},
		Numeric: []bool{false, false, true, true, true, true, true, true, false}}
	for _, row := range r.Rows {
		if row.At == nil {
			t.Rows = append(t.Rows, []string{row.Name, row.Configuration + ": " + row.Unknown, "", "unknown", "", "", "", "", ""})
			continue
		}
		cold, p99, spread := row.Latency()
		if spread != "" {
			p99 += " (" + spread + ")"
		}
		configuration := row.Configuration
		if row.Region != "" {
			configuration += ", " + row.Region
		}
		if len(row.Over) > 0 {
			configuration += "; " + strings.Join(row.Over, "; ")
		}
		t.Rows = append(t.Rows, []string{row.Name, configuration, row.Idle.String(), row.At.USD.String(), row.Range(), row.Ten.USD.String(), cold, p99, row.Even()})
	}
	return t
}

// Range is the cost's, for people.
func (row *Row) Range() string { return row.At.Low.String() + " – " + row.At.High.String() }

// Latency is the share of cold requests, the 99th percentile and its range, for
// people; "" where the platform was not simulated.
func (row *Row) Latency() (cold, p99, spread string) {
	s := row.At.Seen
	if s == nil {
		return "", "", ""
	}
	cold = fmt.Sprintf("%.2g %%", s.ColdShare*100)
	switch {
	case s.ColdShare >= 0.1:
		cold = fmt.Sprintf("%.0f %%", s.ColdShare*100)
	case s.ColdShare == 0 && row.Kind != Standing && s.Requests > 0: // the rule of three
		cold = fmt.Sprintf("<%.2g %%", 300/float64(s.Requests))
	}
	if row.At.SlowP99 > 0 {
		spread = shortMillis(row.At.FastP99) + " – " + shortMillis(row.At.SlowP99)
	}
	return cold, shortMillis(s.P99), spread
}

func shortMillis(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2g ms", v)
	case v < 1000:
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.1f s", v/1000)
}

// Even is the break-even point for people: "84M/month, vertexai"; "" where there is
// nothing to compare with.
func (row *Row) Even() string {
	switch {
	case !row.compared:
		return ""
	case row.BreakEven == nil:
		return "never"
	}
	return row.BreakEven.Requests.String() + ", " + row.BreakEven.Against
}

func (r *Report) cheapest() *chart.Table {
	t := &chart.Table{Head: []string{"from", "target"}, Numeric: []bool{true, false}}
	for _, from := range r.Cheapest {
		t.Rows = append(t.Rows, []string{from.Requests.String(), from.Name})
	}
	return t
}

func bills(known []*Row) *chart.Table {
	t := &chart.Table{Head: []string{"target", "what", "quantity", "unit", "dollars", "source"}, Numeric: []bool{false, false, true, false, true, false}}
	for _, row := range known {
		for _, l := range row.At.Bill.Lines {
			t.Rows = append(t.Rows, []string{row.Name, l.What, chart.Number(l.Quantity), l.Unit, l.Amount.String(), l.Source})
		}
	}
	return t
}

func excluded(rows []*Row) *chart.Table {
	t := &chart.Table{Head: []string{"target", "not included"}}
	for _, row := range rows {
		t.Rows = append(t.Rows, []string{row.Name, strings.Join(row.Excluded, "; ")})
	}
	return t
}

func (r *Report) measured() *chart.Table {
	m := r.Times
	t := &chart.Table{Head: []string{"what", "value"}}
	add := func(what, value string) { t.Rows = append(t.Rows, []string{what, value}) }
	add("model", m.Model)
	add("machine", or(m.Machine, "not said"))
	add("taken", m.Taken)
	for _, s := range m.Service {
		add(fmt.Sprintf("a request of %d rows, alone", s.Rows), s.Spread.String())
	}
	if m.BusyMS.P50 > 0 {
		add("processor's time of a request among many", m.BusyMS.String())
	}
	add("start, "+or(m.StartOf, "given"), m.StartMS.String())
	if m.GPUMS > 0 {
		add("a request on a GPU", millisText(m.GPUMS)+", given")
	}
	if m.Memory > 0 {
		add("most memory", fmt.Sprintf("%.1f MiB", float64(m.Memory)/(1<<20)))
	}
	if m.Body > 0 {
		add("bytes of a request and its answer", fmt.Sprintf("%d and %d", m.Body, m.Answer))
	}
	return t
}
