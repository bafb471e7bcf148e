package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"godwit.dev/internal/chart"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
)

// CompareOptions say what counts as a change; nil is the defaults.
type CompareOptions struct {
	// Alpha is the share of comparisons of equal servers that may find any
	// change, over all figures together; default 0.05.
	Alpha float64
	// Tolerance is the smallest change that is worse, as a share of the old
	// figure; default 0.05. What is smaller is told and fails nothing.
	Tolerance float64
	// Force compares what is not alike.
	Force bool
}

// Change is one figure of both runs. Ratio is new over old with the ends of its
// 95 % confidence interval, and P the probability that equal servers differ so
// much.
type Change struct {
	Figure  string  `json:"figure"`
	Unit    string  `json:"unit"`
	Old     float64 `json:"old"` // the medians of the blocks
	New     float64 `json:"new"`
	Ratio   float64 `json:"ratio"`
	Low     float64 `json:"ratio_low"`
	High    float64 `json:"ratio_high"`
	P       float64 `json:"p"`
	Verdict string  `json:"verdict"` // "worse", "better", "same", or "small": certain, and within the tolerance
}

// Comparison is the verdict on two runs.
type Comparison struct {
	OldBlocks int      `json:"old_blocks"`
	NewBlocks int      `json:"new_blocks"`
	Alpha     float64  `json:"alpha"`
	Tolerance float64  `json:"tolerance"`
	Changes   []Change `json:"changes"`
	// Worse and Better say whether any figure is.
	Worse  bool `json:"worse"`
	Better bool `json:"better"`
	// Unlike are the differences that were let pass.
	Unlike []string `json:"unlike,omitempty"`
}

const (
	// leastBlocks is how many each side needs: with fewer no difference is
	// certain once all figures are counted.
	leastBlocks = 8
	// mostBlocks is how many there are at most, so that what follows closely in
	// time, and is alike for that, is one block.
	mostBlocks = 30
)

// Compare compares two runs, figure by figure, by blocks of neighbouring
// windows. The test is that of Mann and Whitney (1947), exact for few blocks
// without ties, else by the normal approximation with the correction for ties;
// the ratio is Hodges' and Lehmann's estimate (1963) on logarithms, and the
// bounds are held over all figures by Holm's procedure (1979). The share of
// failed requests is a figure of all requests, by Fisher's exact test or its
// normal approximation.
//
// It compares what happened within two runs. Two starts of one server differ
// too, which no statistics of one run each can see: Tolerance is for that.
//
// Errors: Usage, where the runs are not alike and Force is not set, or have
// fewer than 8 windows of load.
func Compare(before, after *Recording, opts *CompareOptions) (*Comparison, error) {
	o := CompareOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	if o.Tolerance == 0 {
		o.Tolerance = 0.05
	}
	c := &Comparison{Alpha: o.Alpha, Tolerance: math.Max(o.Tolerance, 0), Unlike: Unlike(before, after)}
	if len(c.Unlike) > 0 && !o.Force {
		return nil, fault.New(fault.Usage, "report.Compare", "", "want two runs of the same, got different ones: %s", strings.Join(c.Unlike, "; ")).
			WithHint("Measure both in the same way on the same machine, or compare them all the same with --force.")
	}
	old, now := blocks(before), blocks(after)
	c.OldBlocks, c.NewBlocks = len(old), len(now)
	if min(len(old), len(now)) < leastBlocks {
		return nil, fault.New(fault.Usage, "report.Compare", "", "want at least %d windows of load in each run, got %d and %d", leastBlocks, len(old), len(now)).
			WithHint("Measure for longer, or with a shorter --window.")
	}
	for _, f := range compared(before) {
		a, b := values(old, f.of), values(now, f.of)
		if min(len(a), len(b)) < leastBlocks {
			continue // the server's CPU is not known everywhere
		}
		one := Change{Figure: f.name, Unit: f.unit, Old: median(a), New: median(b), P: mannWhitney(a, b)}
		one.Ratio, one.Low, one.High = shift(a, b)
		c.Changes = append(c.Changes, one)
	}
	c.Changes = append(c.Changes, failures(before, after))
	c.judge()
	return c, nil
}

// figure is what is compared of a block; more is worse unless less is.
type figure struct {
	name, unit string
	of         func(*loadtest.Window) (float64, bool)
}

const throughput = "answered"

func compared(r *Recording) []figure {
	of := func(q float64) func(*loadtest.Window) (float64, bool) {
		return func(w *loadtest.Window) (float64, bool) { return quantile(&w.Histogram, q), w.OK > 0 }
	}
	all := []figure{{"p50", "ms", of(0.5)}, {"p99", "ms", of(0.99)},
		{"cpu", "ms a request", func(w *loadtest.Window) (float64, bool) {
			n := float64(w.OK + w.Failed())
			if w.Server == nil || n == 0 {
				return 0, false
			}
			return w.Server.CPUSeconds * 1e3 / n, w.Server.CPUSeconds > 0
		}}}
	if r.Loop == "closed" { // in an open loop it is what was asked
		all = append(all, figure{throughput, "in a second", func(w *loadtest.Window) (float64, bool) { return float64(w.OK) / w.Seconds, w.OK > 0 }})
	}
	return all
}

// quantile is a histogram's quantile in ms, between the neighbouring buckets:
// whole buckets would tie blocks that differ.
func quantile(h *loadtest.Histogram, q float64) float64 {
	want := q * float64(h.Count())
	sum, last := 0.0, 0.0
	for d, n := range h.Buckets {
		v := float64(d) / 1e6
		if sum+float64(n) >= want {
			return v - (v-math.Max(last, v*(1-1.0/128)))*(1-(want-sum)/float64(n))
		}
		sum, last = sum+float64(n), v
	}
	return last
}

// blocks joins neighbouring windows of the load until there are mostBlocks.
func blocks(r *Recording) []loadtest.Window {
	windows := r.load()
	if n := len(windows); n > 1 && windows[n-1].Seconds < windows[0].Seconds/2 {
		windows = windows[:n-1] // the rest of a window
	}
	each := (len(windows) + mostBlocks - 1) / mostBlocks
	if each <= 1 {
		return windows
	}
	var all []loadtest.Window
	for i := 0; i+each <= len(windows); i += each {
		one := windows[i]
		for k := i + 1; k < i+each; k++ {
			one = join(&one, &windows[k])
		}
		all = append(all, one)
	}
	return all
}

func values(windows []loadtest.Window, of func(*loadtest.Window) (float64, bool)) []float64 {
	var all []float64
	for i := range windows {
		if v, ok := of(&windows[i]); ok {
			all = append(all, v)
		}
	}
	return all
}

// failures compares the shares of failed requests.
func failures(before, after *Recording) Change {
	failedOld, failedNew := before.Sent-before.OK, after.Sent-after.OK
	share := func(failed, sent int64) float64 { return float64(failed) / math.Max(float64(sent), 1) }
	one := Change{Figure: "errors", Unit: "share", Old: share(failedOld, before.Sent), New: share(failedNew, after.Sent)}
	one.P = fisher(failedOld, before.Sent, failedNew, after.Sent)
	return one
}

// judge gives the verdicts: p-values in ascending order, each held against what
// Holm's procedure leaves.
func (c *Comparison) judge() {
	order := make([]int, len(c.Changes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, c.Changes[a].P-c.Changes[b].P)) })
	certain := true
	for k, i := range order {
		one := &c.Changes[i]
		certain = certain && one.P <= c.Alpha/float64(len(order)-k)
		one.Verdict = "same"
		if !certain {
			continue
		}
		rises, change := one.New > one.Old, math.Abs(one.New-one.Old)
		if one.Figure != "errors" {
			rises, change = one.Ratio > 1, math.Abs(one.Ratio-1)
		}
		switch {
		case one.Figure == "errors" && change < c.Tolerance/100 || one.Figure != "errors" && change < c.Tolerance:
			one.Verdict = "small"
		case rises == (one.Figure != throughput):
			one.Verdict, c.Worse = "worse", true
		default:
			one.Verdict, c.Better = "better", true
		}
	}
}

// Unlike says in which ways two runs cannot be compared.
func Unlike(a, b *Recording) []string {
	var all []string
	differ := func(what, x, y string) {
		if x != y {
			all = append(all, fmt.Sprintf("%s %q and %q", what, x, y))
		}
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	differ("model", a.Model, b.Model)
	differ("protocol", string(a.Protocol), string(b.Protocol))
	differ("load", a.Loop, b.Loop)
	differ("rate", number(a.Rate), number(b.Rate))
	differ("connections", strconv.Itoa(a.Connections), strconv.Itoa(b.Connections))
	differ("window in seconds", number(a.Run.Window), number(b.Run.Window))
	differ("trace", a.Run.Trace, b.Run.Trace)
	differ("processor", a.Run.Machine.CPU, b.Run.Machine.CPU)
	differ("cores", strconv.Itoa(a.Run.Machine.Cores), strconv.Itoa(b.Run.Machine.Cores))
	differ("system", a.Run.Machine.OS+"/"+a.Run.Machine.Arch, b.Run.Machine.OS+"/"+b.Run.Machine.Arch)
	if a.Limit != nil || b.Limit != nil {
		all = append(all, "a search for a rate has no one load")
	}
	return all
}

// Text writes the comparison for people, a line for each figure.
func (c *Comparison) Rows() (head []string, rows [][]string) {
	head = []string{"figure", "old", "new", "change", "95 % of it", "p", "verdict"}
	for i := range c.Changes {
		one := &c.Changes[i]
		if one.Figure == "errors" {
			rows = append(rows, []string{"errors", percent(one.Old, 1), percent(one.New, 1), "", "", probability(one.P), one.Verdict})
			continue
		}
		write := func(v float64) string {
			if strings.HasPrefix(one.Unit, "ms") {
				return milliseconds(v)
			}
			return chart.Number(v) + "/s"
		}
		rows = append(rows, []string{one.Figure, write(one.Old), write(one.New), signed(one.Ratio), signed(one.Low) + " to " + signed(one.High), probability(one.P), one.Verdict})
	}
	return head, rows
}

func signed(ratio float64) string { return fmt.Sprintf("%+.1f %%", (ratio-1)*100) }

func probability(p float64) string {
	if p < 0.0005 {
		return "0.000"
	}
	return fmt.Sprintf("%.3f", p)
}

// Summary is the verdict in a sentence.
func (c *Comparison) Summary() string {
	pick := func(verdict string) []string {
		var names []string
		for _, one := range c.Changes {
			if one.Verdict == verdict {
				names = append(names, one.Figure)
			}
		}
		return names
	}
	worse, better := pick("worse"), pick("better")
	var parts []string
	if len(worse) > 0 {
		parts = append(parts, "worse: "+strings.Join(worse, ", "))
	}
	if len(better) > 0 {
		parts = append(parts, "better: "+strings.Join(better, ", "))
	}
	if len(parts) == 0 {
		parts = append(parts, fmt.Sprintf("no change of %.3g %% or more is certain", c.Tolerance*100))
	}
	return strings.Join(parts, "; ")
}

func (c *Comparison) section() chart.Section {
	head, rows := c.Rows()
	s := chart.Section{Heading: "Compared with an earlier run", Table: &chart.Table{Head: head, Rows: rows, Numeric: []bool{false, true, true, true, true, true, false}},
		Text: []string{fmt.Sprintf("%s. Blocks of windows, %d before and %d now; Mann and Whitney's test, Hodges' and Lehmann's ratio, Holm's bounds: of a hundred comparisons of equal servers %.3g at most find any change.",
			strings.ToUpper(c.Summary()[:1])+c.Summary()[1:], c.OldBlocks, c.NewBlocks, c.Alpha*100)}}
	if len(c.Unlike) > 0 {
		s.Text = append(s.Text, "Careful, the runs are not alike: "+strings.Join(c.Unlike, "; ")+".")
	}
	return s
}
