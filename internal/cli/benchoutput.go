package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/loadtest"
	"godwit.dev/loadtest/report"
	"godwit.dev/runtime/fault"
)

// outputOptions say what becomes of what was measured.
type outputOptions struct {
	out       string
	html      string
	window    time.Duration
	slo       string
	compare   string
	tolerance float64
	force     bool
	benchstat bool
}

func (o *outputOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "file to write the result to while it is measured, JSON Lines: one line for each --window")
	f.DurationVar(&o.window, "window", time.Second, "how long a line of --out, a point of --html and a sample of --compare is")
	f.StringVar(&o.html, "html", "", "file to write a page about the result to, which opens without a network")
	f.StringVar(&o.slo, "slo", "", "look for the highest rate at which this holds, such as p99=20ms; failed requests miss it")
	f.StringVar(&o.compare, "compare", "", "file with an earlier result to hold this one against")
	f.Float64Var(&o.tolerance, "tolerance", 0.05, "with --compare: the smallest change that counts, as a share")
	f.BoolVar(&o.force, "force", false, "with --compare: compare what was measured in different ways too")
	f.BoolVar(&o.benchstat, "benchstat", false, "print a line for each window as go test -bench does, for benchstat")
}

// check refuses what cannot be written or compared before any load.
func (o *outputOptions) check() error {
	if o.compare != "" {
		if _, err := readResult(o.compare); err != nil {
			return err
		}
	}
	if !(o.tolerance >= 0 && o.tolerance < 1) {
		return fault.New(fault.Usage, "", "--tolerance", "want a share from 0 to 1, got %g", o.tolerance)
	}
	for flag, path := range map[string]string{"--out": o.out, "--html": o.html} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return fault.New(fault.BadConfig, "", flag, "want a file in a folder that is there, got %q", path)
		}
	}
	return nil
}

// next is what to do with a result after this.
func (o *outputOptions) next() string {
	if o.out != "" && o.html == "" {
		return fmt.Sprintf("godwit bench %s --html report.html", o.out)
	}
	return ""
}

// present prints a result, and writes and compares what is asked for.
func (p *program) present(r *report.Recording, o *outputOptions, next string) error {
	var c *report.Comparison
	var failed error
	if o.compare != "" && r.Sent > 0 {
		old, err := readResult(o.compare)
		if err != nil {
			return err
		}
		tolerance := o.tolerance
		if tolerance == 0 {
			tolerance = -1 // none
		}
		if c, failed = report.Compare(old, r, &report.CompareOptions{Tolerance: tolerance, Force: o.force}); failed != nil {
			failed = fault.New(fault.CodeOf(failed), "", o.compare, "%w", failed).WithHint("%s", fault.HintOf(failed))
		}
	}
	if o.html != "" {
		page, err := report.HTML(r, c)
		if err == nil {
			err = os.WriteFile(o.html, page, 0o666)
		}
		if err != nil {
			return fault.New(fault.BadConfig, "", "--html", "%w", err)
		}
	}
	switch {
	case p.json:
		writeJSON(p.Stdout, struct {
			*report.Recording
			Comparison *report.Comparison `json:"comparison,omitempty"`
		}{r, c})
	case o.benchstat:
		if err := report.Benchstat(p.Stdout, r); err != nil {
			return err
		}
	default:
		if r.Limit != nil {
			printLimit(p.Stdout, r.Limit)
		}
		if r.Sent > 0 || r.Limit == nil {
			r.Text(p.Stdout)
		}
		if c != nil {
			printComparison(p.Stdout, c)
		}
	}
	switch {
	case failed != nil:
		return failed
	case c != nil && c.Worse:
		return exited(fault.TooLarge.Exit())
	case o.html != "":
		p.say("The page is %s.\n", o.html)
	case next != "" && !o.benchstat && o.compare == "":
		p.say("A page about it: %s\n", next)
	}
	return nil
}

func printLimit(w io.Writer, l *loadtest.Limit) {
	fmt.Fprintf(w, "\n  %s: the highest rate that holds it\n\n", l.Objective.String())
	t := newTable("step", "rate", "answered", "seconds", "sent", "missed", "latency", "verdict")
	for i := range l.Steps {
		s := &l.Steps[i]
		t.add(fmt.Sprint(i+1), fmt.Sprintf("%.1f", s.Rate), fmt.Sprintf("%.1f", s.Achieved), fmt.Sprintf("%.1f", s.Seconds), fmt.Sprint(s.Sent),
			fmt.Sprintf("%.2f %%", s.Share*100), ms(s.LatencyMS), report.Verdict(s))
	}
	t.print(w, "  ")
	switch {
	case l.Rate == 0 && l.Above == 0:
		fmt.Fprintf(w, "\n  not known: the search did not come to its end\n")
	case l.Rate == 0:
		fmt.Fprintf(w, "\n  no rate holds it, down to %.1f requests in a second\n", l.Above)
	case l.Above == 0:
		fmt.Fprintf(w, "\n  %.1f requests in a second hold it\n", l.Rate)
	default:
		fmt.Fprintf(w, "\n  %.1f requests in a second hold it, %.1f do not\n", l.Rate, l.Above)
	}
	if l.Note != "" {
		fmt.Fprintf(w, "  %s\n", l.Note)
	}
	fmt.Fprintln(w)
}

func printComparison(w io.Writer, c *report.Comparison) {
	fmt.Fprintf(w, "\n  %s (blocks of windows: %d before, %d now)\n\n", c.Summary(), c.OldBlocks, c.NewBlocks)
	head, rows := c.Rows()
	t := newTable(head...)
	for _, row := range rows {
		t.add(row...)
	}
	t.print(w, "  ")
	for _, u := range c.Unlike {
		fmt.Fprintf(w, "  careful: %s\n", u)
	}
}
