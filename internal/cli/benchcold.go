package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/loadtest/cold"
	"godwit.dev/runtime/fault"
)

const coldHelp = `--cold measures cold starts of a package instead: its program is started again
and again as its platform does it, asked the first recorded request until it has
answered as recorded, and killed. Half of the starts find the package's files in
memory, half have to read them from the disk. The table says what the time goes
to, at the median and at the 95th percentile, and the most memory that a start
has taken. It fails where the starts from memory are over the budget in
godwit.yaml, coldStart or memory, and names the phase that takes most. What the
phases are, and the document that --json prints, is in docs/cold.md.`

type coldOptions struct {
	on     bool
	target string
	starts int
}

func (o *coldOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.on, "cold", false, "measure cold starts of a package")
	f.StringVar(&o.target, "target", "", "with --cold: the platform (default: the first in godwit.yaml that takes the package)")
	f.IntVarP(&o.starts, "starts", "n", 20, "with --cold: how many count, from memory and from the disk each")
}

// loadFlags are those that say nothing of cold starts.
var loadFlags = []string{"rate", "arrivals", "on", "off", "idle", "until", "trace", "trace-function", "speed", "protocol", "connections", "duration", "warmup", "timeout", "model", "model-version",
	"auth", "header", "request", "payloads", "seed", "out", "window", "html", "slo", "compare", "tolerance", "force", "benchstat"}

// check refuses flags that say nothing here.
func (o *coldOptions) check(cmd *cobra.Command) error {
	others, word := []string{"target", "starts"}, "with"
	if o.on {
		others, word = loadFlags, "without"
	}
	for _, name := range others {
		if cmd.Flags().Changed(name) {
			return fault.New(fault.Usage, "", "--"+name, "want it %s --cold", word).WithHint("godwit bench --help")
		}
	}
	if o.on && o.starts < 1 {
		return fault.New(fault.Usage, "", "--starts", "want at least 1, got %d", o.starts)
	}
	return nil
}

// coldReport is what bench --cold prints as JSON; documented in docs/cold.md.
type coldReport struct {
	Artifact string `json:"artifact"`
	Digest   string `json:"digest"`
	*cold.Report
	Budget *coldBudget `json:"budget,omitempty"`
}

type coldBudget struct {
	ColdStartMS float64 `json:"cold_start_ms,omitempty"`
	Memory      int64   `json:"memory_bytes,omitempty"`
	OK          bool    `json:"ok"`
}

func (p *program) benchCold(ctx context.Context, path string, o *coldOptions) error {
	from, err := p.openSource(path)
	if err != nil {
		return err
	}
	defer from.Close()
	if from.pkg == nil {
		return fault.New(fault.Usage, "", path, "want a package, whose cold starts can be measured, got none").
			WithHint("godwit package %s --target awslambda -o NAME.zip", path)
	}
	folder, s, err := app.ReadSpec(from.dir)
	if err != nil {
		return err
	}
	requests, err := recorded.Load(folder)
	if err != nil {
		return err
	}
	target, err := coldTarget(o.target, from, s)
	if err != nil {
		return err
	}
	subject := cold.Subject{Target: target, Log: &cold.Log{}, Dir: from.dir}
	if i := slices.IndexFunc(requests, func(r recorded.Request) bool { return r.Want != nil }); i >= 0 {
		subject.Request = &requests[i]
	}
	t, err := p.start(target, from, subject.Log)
	if err != nil {
		return err
	}
	subject.Launch, subject.Env = t.Launch, t.Env
	if len(t.Forms) > 0 {
		subject.Form = t.Forms[0]
	}
	say, clear := p.coldLine()
	r, err := cold.Run(ctx, &subject, &cold.Options{Starts: o.starts, Progress: say})
	clear()
	if err != nil {
		if text := subject.Log.Last(); len(text) > 0 && !p.quiet && ctx.Err() == nil {
			fmt.Fprintf(p.Stderr, "What the function wrote last:\n%s", text)
		}
		return err
	}
	over := r.Check(s.Budget)
	report := &coldReport{Artifact: path, Digest: from.pkg.Digest, Report: r}
	if b := s.Budget; b != nil && (b.ColdStart > 0 || b.Memory > 0) {
		report.Budget = &coldBudget{ColdStartMS: float64(b.ColdStart) / 1e6, Memory: int64(b.Memory), OK: over == nil}
	}
	if p.json {
		writeJSON(p.Stdout, report)
	} else {
		report.print(p.Stdout, isTerminal(p.Stdout))
	}
	return over
}

// coldTarget is the one that was named, else the first that the spec names and
// that starts the package.
func coldTarget(named string, from *source, s *spec.Spec) (string, error) {
	var chosen []string
	if named != "" {
		chosen = []string{named}
	}
	names, err := chosenTargets(chosen, s)
	if err != nil || named != "" {
		return named, err
	}
	for _, all := range [][]string{names, spec.TargetNames()} {
		if i := slices.IndexFunc(all, from.serves); i >= 0 {
			return all[i], nil
		}
	}
	return "", fault.New(fault.Usage, "", from.pkg.Path, "want a package with a program for a target, got one without").WithHint("Make it with `godwit package`.")
}

// coldLine shows on a terminal how far the starts have come.
func (p *program) coldLine() (say func(done, all int, cache string), clear func()) {
	if p.quiet || p.json || !p.onTerminal() {
		return nil, func() {}
	}
	where := map[string]string{cold.Warm: "from memory", cold.Evicted: "from the disk"}
	return func(done, all int, cache string) {
		fmt.Fprintf(p.Stderr, "\r\x1b[Kstart %d of %d, %s", done+1, all, where[cache])
	}, func() { fmt.Fprint(p.Stderr, "\r\x1b[K") }
}

// print prints the table: a line for each phase, and what it is of all as a bar.
func (r *coldReport) print(w io.Writer, colour bool) {
	fmt.Fprintf(w, "\n  %s on %s: from exec to the right answer to %s, %s\n\n", r.Artifact, r.Target, r.Request, plural(r.Starts, "start"))
	head := []string{"", "cached p50", "p95"}
	if r.Evicted != nil {
		head = append(head, "disk p50", "p95")
	}
	t := newTable(append(head, "")...)
	most := r.Warm.Largest().Phase
	row := func(name string, warm, evicted cold.Figure, bar string) {
		cells := []string{name, ms(warm.P50), ms(warm.P95)}
		if r.Evicted != nil {
			cells = append(cells, ms(evicted.P50), ms(evicted.P95))
		}
		t.add(append(cells, bar)...)
	}
	for _, phase := range cold.Phases() {
		warm, ok := find(r.Warm, phase)
		evicted, too := find(r.Evicted, phase)
		if (ok || too) && max(warm.P95, evicted.P95) >= 0.05 { // what would not be 0.0
			row(strings.ReplaceAll(phase, "_", " "), warm, evicted, share(warm.P50/r.Warm.Total.P50, colour, phase == most))
		}
	}
	var evicted cold.Figure
	if r.Evicted != nil {
		evicted = r.Evicted.Total
	}
	row("total", r.Warm.Total, evicted, "")
	t.print(w, "  ")
	fmt.Fprintln(w)
	if r.Warm.Memory > 0 {
		fmt.Fprintf(w, "  peak memory %s\n", sizeText(r.Warm.Memory))
	}
	switch c := &r.Cache; {
	case r.Unproven != "":
		fmt.Fprintf(w, "  nothing was read from the disk: %s\n", r.Unproven)
	case r.Evicted != nil:
		fmt.Fprintf(w, "  before each start from the disk %s of %s were taken out of memory, and %s stayed\n", sizeText(c.Before-c.Left), sizeText(c.Size), sizeText(c.Left))
	}
	if b := r.Budget; b != nil {
		line := "  " + mark(b.OK, colour) + " budget:"
		if b.ColdStartMS > 0 {
			line += fmt.Sprintf(" %s of %s at p95", ms(r.Warm.Total.P95), ms(b.ColdStartMS))
		}
		if b.Memory > 0 {
			line += fmt.Sprintf(" %s of %s", sizeText(r.Warm.Memory), sizeText(b.Memory))
		}
		fmt.Fprintln(w, line)
	}
}

func find(s *cold.State, phase string) (cold.Figure, bool) {
	if s != nil {
		for _, f := range s.Phases {
			if f.Phase == phase {
				return f, true
			}
		}
	}
	return cold.Figure{}, false
}

func ms(v float64) string { return fmt.Sprintf("%.1f ms", v) }

// share is a part of the whole as a bar.
func share(part float64, colour, largest bool) string {
	const width = 32
	eighths := int(part*width*8 + 0.5)
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	if colour && largest {
		return "\x1b[33m" + bar + "\x1b[0m"
	}
	return bar
}
