package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
	"godwit.dev/internal/cost"
	"godwit.dev/runtime/fault"
)

type costOptions struct {
	requests      string
	trace         string
	traceFunction string
	targets       []string
	html          string
	most          string
	times         string
	model         string
	node          string
	regions       []string
	free          bool
	gpuMS         float64
	serviceMS     float64
	startMS       float64
	duration      time.Duration
}

func (p *program) newCost() *cobra.Command {
	var o costOptions
	cmd := &cobra.Command{
		Use:     "cost DIR|PACKAGE",
		GroupID: "measure",
		Short:   "Say what a function would cost on each target",
		Long: `cost says what the function costs a month on each target, as godwit.yaml has it
and with one thing changed: idle, at a rate, at ten times that, with the share of
cold requests, the 99th percentile, and the rates at which another target becomes
cheaper. Managed endpoints are among them.

The times are the model's own. They are measured once, through the real server on
one processor: requests alone and among many, memory, and starts of the package
(or of the folder as a target starts it). --times FILE keeps them: what it has is
used, and where it is not there it is written. --service-ms and --start-ms give
them instead. A GPU's time must be given, with --gpu-ms; without, what has a GPU
is unknown.

--requests are independent callers at an even mean rate. --trace takes when they
come from a file instead: seconds from the start on lines, as godwit bench replays
them, or a trace in the format of Azure Functions' of 2019 or 2021.

Prices have a day, a region and a source, and a warning after 90 days. What is
free each month is left out, unless --free-tier. Every cost is a range: a cloud's
processor takes half to twice the time of this one, and so does a start. What the
figures do not include is said for each target, with --json and in the page.

--target takes a target, a target and a variant, or TARGET/* for all of it:
` + wrapNames(cost.Names()) + `

Exit codes: 0 done, 5 a target costs more than --max, 7 what --max holds is not
known.`,
		Example: `  godwit cost fraud/ --requests 2M/month
  godwit cost fraud/ --requests 20/s --target awslambda,cloudrun --times times.json
  godwit cost fraud/ --requests 2M/month --target awslambda --max '$40/month'
  godwit cost fraud.zip --requests 500k/day --html cost.html`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.cost(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.requests, "requests", "", "how many, as 2M/month, 500k/day or 20/s")
	f.StringVar(&o.trace, "trace", "", "when they come, a file, or days separated by commas, instead of --requests")
	f.StringVar(&o.traceFunction, "trace-function", "", "the function of a trace of many, as OWNER/APP/FUNCTION or APP/FUNCTION (default: all as one)")
	f.StringSliceVar(&o.targets, "target", nil, "targets and variants, separated by commas (default: all)")
	f.StringVar(&o.html, "html", "", "write a page with charts to this file")
	f.StringVar(&o.most, "max", "", "fail where --target, else a target of godwit.yaml, costs more, as $40/month")
	f.StringVar(&o.times, "times", "", "keep measured times in this file, and use them")
	f.StringVar(&o.model, "model", "", "the model to measure (default: the only one)")
	f.StringVar(&o.node, "node", "", "machine type of Knative's nodes, as m5.large, e2-standard-4 or Standard_D2s_v3")
	f.StringSliceVar(&o.regions, "region", nil, "regions to price in, one for each cloud (default: those of the price lists)")
	f.BoolVar(&o.free, "free-tier", false, "take off what an account has free each month")
	f.Float64Var(&o.gpuMS, "gpu-ms", 0, "milliseconds of a request on the GPU")
	f.Float64Var(&o.serviceMS, "service-ms", 0, "milliseconds of a request on one processor, instead of measuring")
	f.Float64Var(&o.startMS, "start-ms", 0, "milliseconds of a start, instead of measuring")
	f.DurationVar(&o.duration, "duration", 400*time.Millisecond, "how long each measurement takes")
	return cmd
}

// wrapNames is names on lines for people.
func wrapNames(names []string) string {
	var b strings.Builder
	width := 0
	for i, name := range names {
		if i > 0 && width+len(name) > 76 {
			b.WriteString("\n")
			width = 0
		} else if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(name)
		width += len(name) + 1
	}
	return b.String()
}

func (p *program) cost(ctx context.Context, path string, o *costOptions) error {
	ask, most, err := o.parse()
	if err != nil {
		return err
	}
	from, err := p.openSource(path)
	if err != nil {
		return err
	}
	defer from.Close()
	_, s, err := app.ReadSpec(from.dir)
	if err != nil {
		return err
	}
	ask.Function = s.Name
	if ask.Configs, err = cost.Configs(s, &cost.Options{Targets: o.targets, Node: o.node, GPU: o.gpuMS > 0}); err != nil {
		return err
	}
	if o.trace != "" {
		if err := o.readTrace(ask); err != nil {
			return err
		}
	}
	if ask.Times, err = p.costTimes(ctx, from, s, o); err != nil {
		return err
	}
	if !p.quiet && !p.json && p.onTerminal() {
		ask.Progress = func(done, all int, name string) {
			fmt.Fprintf(p.Stderr, "\r\x1b[Ksimulating %d of %d, %s", done+1, all, name)
		}
	}
	ask.Now, ask.Free, ask.Regions = time.Now(), o.free, o.regions
	r, err := cost.New(ctx, ask)
	if ask.Progress != nil {
		fmt.Fprint(p.Stderr, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	if o.html != "" {
		page, err := r.Page().HTML()
		if err != nil {
			return fault.New(fault.Internal, "", o.html, "%w", err)
		}
		if err := os.WriteFile(o.html, page, 0o644); err != nil {
			return fault.New(fault.Usage, "", "--html", "%w", err)
		}
	}
	if p.json {
		writeJSON(p.Stdout, r)
	} else {
		printCost(p.Stdout, r)
		if o.html != "" {
			p.say("The page is %s.\n", o.html)
		}
	}
	if o.most != "" {
		return r.Hold(most, o.targets)
	}
	return nil
}

// parse reads the flags that need no folder.
func (o *costOptions) parse() (*cost.Ask, cost.Money, error) {
	ask := &cost.Ask{}
	var most cost.Money
	var err error
	switch {
	case (o.requests == "") == (o.trace == ""):
		return nil, most, fault.New(fault.Usage, "", "", "want --requests or --trace, got %s", map[bool]string{true: "neither", false: "both"}[o.requests == ""])
	case o.requests != "":
		if ask.Arrivals.Rate, err = cost.ParseRequests(o.requests); err != nil {
			return nil, most, err
		}
	}
	if o.most != "" {
		if most, err = cost.ParseMoney(o.most); err != nil {
			return nil, most, err
		}
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"--gpu-ms", o.gpuMS}, {"--service-ms", o.serviceMS}, {"--start-ms", o.startMS}} {
		if !(f.value >= 0 && f.value <= 24*3600*1000) {
			return nil, most, fault.New(fault.Usage, "", f.name, "want milliseconds, above 0 and at most a day, got %g", f.value)
		}
	}
	if o.duration < 10*time.Millisecond || o.duration > time.Minute {
		return nil, most, fault.New(fault.Usage, "", "--duration", "want 10ms to 1m, got %v", o.duration)
	}
	return ask, most, nil
}

// costTimes are those of the file, else measured and kept there; what flags give
// stands over both.
func (p *program) costTimes(ctx context.Context, from *source, s *spec.Spec, o *costOptions) (*cost.Times, error) {
	t, err := p.keptTimes(from, s, o)
	if err != nil {
		return nil, err
	}
	if t == nil && (o.serviceMS == 0 || o.startMS == 0) {
		if t, err = p.measureTimes(ctx, from, s, o); err != nil {
			return nil, err
		}
		if o.times != "" && o.serviceMS == 0 && o.startMS == 0 {
			if err := keepTimes(o.times, t); err != nil {
				return nil, err
			}
		}
	}
	if t == nil {
		t = &cost.Times{Schema: cost.TimesSchema, Model: o.model, Taken: time.Now().UTC().Format(time.DateOnly)}
		if t.Model == "" && len(s.Models) > 0 {
			t.Model = s.Models[0].Name
		}
	}
	if o.serviceMS > 0 {
		t.Service, t.BusyMS = []cost.RowTime{{Rows: 1, Spread: cost.Spread{P50: o.serviceMS}}}, cost.Spread{}
		t.Given = append(t.Given, "service")
	}
	if o.startMS > 0 {
		t.StartMS, t.StartOf = cost.Spread{P50: o.startMS}, ""
		t.Given = append(t.Given, "start")
	}
	if o.gpuMS > 0 {
		t.GPUMS = o.gpuMS
		t.Given = append(t.Given, "gpu")
	}
	return t, t.Check()
}

// keptTimes are those of --times; nil where there are none.
func (p *program) keptTimes(from *source, s *spec.Spec, o *costOptions) (*cost.Times, error) {
	if o.times == "" {
		return nil, nil
	}
	file, err := os.Open(o.times)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "", "--times", "%w", err)
	}
	defer file.Close()
	t, err := cost.ReadTimes(file)
	if err != nil {
		return nil, err
	}
	folder, _, err := app.ReadSpec(from.dir)
	if err != nil {
		return nil, err
	}
	model, digest, err := p.costModel(folder, s, o.model)
	if err != nil {
		return nil, err
	}
	if t.Model != model || t.Digest != "" && digest != "" && t.Digest != digest {
		return nil, fault.New(fault.Mismatch, "", o.times, "want times of %s %s, got those of %s %s", model, digest, t.Model, t.Digest).
			WithHint("Name another file, or remove this one, so that it is measured again.")
	}
	return t, nil
}

// keepTimes writes t beside its name first, so that no half file is left.
func keepTimes(name string, t *cost.Times) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".times-*")
	if err != nil {
		return fault.New(fault.Usage, "", "--times", "%w", err)
	}
	err = t.Write(file)
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		os.Remove(file.Name())
		return fault.New(fault.Usage, "", "--times", "%w", err)
	}
	return nil
}

// printCost prints the table, and below it where the cheapest changes and what was
// measured.
func printCost(w io.Writer, r *cost.Report) {
	what := r.Requests.String()
	if r.Trace {
		what += " of the trace"
	}
	fmt.Fprintf(w, "\n  %s at %s: a request alone %s, a start %s\n\n", r.Function, what, r.Times.Service[0].Spread, r.Times.StartMS)
	rows := [][]string{{"target", "idle", "a month", "range", "at 10×", "cold", "p99", "p99 range", "break-even", "configuration"}}
	right := []bool{false, true, true, true, true, true, true, true, false, false}
	var unknown, over []string
	for _, row := range r.Rows {
		name := row.Name
		if row.Chosen {
			name += " *"
		}
		if row.At == nil {
			unknown = append(unknown, fmt.Sprintf("%s (%s): %s", row.Name, row.Configuration, row.Unknown))
			continue
		}
		cold, p99, spread := row.Latency()
		rows = append(rows, []string{name, row.Idle.String(), row.At.USD.String(), row.Range(), row.Ten.USD.String(), cold, p99, spread, row.Even(), row.Configuration})
		for _, what := range row.Over {
			over = append(over, row.Name+": "+what)
		}
	}
	align(w, rows, right)
	fmt.Fprintln(w)
	if slices.ContainsFunc(r.Rows, func(row *cost.Row) bool { return row.Chosen }) {
		fmt.Fprintln(w, "  * as godwit.yaml has it")
	}
	fmt.Fprintln(w, "  break-even: from there on a standing machine is cheaper, or where it stands, it is than what is billed by use")
	var ranges []string
	for _, from := range r.Cheapest {
		ranges = append(ranges, fmt.Sprintf("%s from %s on", from.Name, from.Requests))
	}
	if len(ranges) > 0 {
		fmt.Fprintf(w, "  cheapest: %s\n", strings.Join(ranges, ", "))
	}
	for _, line := range over {
		fmt.Fprintf(w, "  too small: %s\n", line)
	}
	for _, line := range unknown {
		fmt.Fprintf(w, "  unknown: %s\n", line)
	}
	free := "nothing free taken off"
	if r.Free {
		free = "with the account's free tier"
	}
	fmt.Fprintf(w, "  prices of %s, a month of 730 hours, %s; not in it: data out, logs, networks, taxes, support (--json says what, by target)\n", r.Prices, free)
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "  careful: %s\n", warning)
	}
}

// align prints rows in columns.
func align(w io.Writer, rows [][]string, right []bool) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], visible(cell))
		}
	}
	for _, row := range rows {
		line := " "
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-visible(cell))
			if right[i] {
				line += " " + pad + cell + " "
			} else {
				line += " " + cell + pad + " "
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}
