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
	"godwit.dev/internal/emulate"
	"godwit.dev/internal/recorded"
	"godwit.dev/internal/verify"
	"godwit.dev/runtime/fault"
)

type verifyOptions struct {
	targets []string
	trust   string
}

func (p *program) newVerify() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:     "verify [DIR|MODEL|PACKAGE]",
		GroupID: "ship",
		Short:   "Ask a function every recorded request on every target",
		Long: `verify starts the function under each target's contract, asks it every recorded
request in every form that the platform's requests have, with JSON and with
binary tensors, and compares the answers with the recorded ones and with each
other. Nothing is kept between two forms: each gets a process of its own.

The table has a line for each form of each target and a column for each
request, with the beginning of a SHA-256 of the answer; equal answers have equal
digests. ULP is the largest difference from a recorded answer, in representable
values. Envelope is what the platform wraps around the request and the answer.
The evidence says whose code stood for the platform: real is the platform's own,
framework the vendor's library around the function, protocol ours alone.

Of a package, as godwit package makes it, its own program is started, with the
libraries and the models that are in it.

With --trust its signature, PATH.sig, is checked first, as godwit sign does, and
nothing of it is started unless somebody who is trusted made it.

Without --target these are the targets of godwit.yaml, or all if it names none, as
far as a package is for them.

Exit codes: 0 all answers are as recorded, 2 wrong usage, 14 one is not.`,
		Example: `  godwit verify fraud/
  godwit verify fraud/ --target awslambda,knative --json
  godwit verify fraud.zip`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.verify(cmd.Context(), args, &o) },
	}
	cmd.Flags().StringSliceVar(&o.targets, "target", nil, "only these targets, separated by commas")
	cmd.Flags().StringVar(&o.trust, "trust", "", "first check its signature by these public keys or certificates")
	return cmd
}

func (p *program) verify(ctx context.Context, args []string, o *verifyOptions) error {
	path, err := p.function(args)
	if err != nil {
		return err
	}
	if err := mustBeSigned(ctx, path, o.trust); err != nil {
		return err
	}
	from, err := p.openSource(path)
	if err != nil {
		return err
	}
	defer from.Close()
	if from.pkg == nil {
		if _, done, err := p.withHandler(ctx, path); done || err != nil {
			return err
		}
	}
	folder, s, err := app.ReadSpec(from.dir)
	if err != nil {
		return err
	}
	requests, err := recorded.Load(folder)
	if err != nil {
		return err
	}
	names, err := chosenTargets(o.targets, s)
	if err != nil {
		return err
	}
	if len(o.targets) == 0 {
		if names = from.served(names); len(names) == 0 {
			names = from.served(emulate.Targets())
		}
		if len(names) == 0 {
			return fault.New(fault.Usage, "", path, "want a package with a function's program, got none of them")
		}
	}
	said := map[string]*tail{}
	var targets []verify.Target
	for _, name := range names {
		said[name] = &tail{}
		t, err := p.start(name, from, said[name])
		if err != nil {
			return err
		}
		targets = append(targets, *t)
	}
	var stop func()
	report, err := verify.Run(ctx, s.Name, requests, targets, &verify.Options{Progress: func(done, all int, what string) {
		if stop != nil {
			stop()
		}
		stop = p.working(fmt.Sprintf("%d of %d: %s", done+1, all, what))
	}})
	if stop != nil {
		stop()
	}
	if err != nil {
		return err
	}
	if p.json {
		writeJSON(p.Stdout, report)
	} else {
		printReport(p.Stdout, report, isTerminal(p.Stdout))
	}
	if !report.OK {
		for _, t := range report.Targets {
			if text := said[t.Target].last(); len(text) > 0 && !p.quiet && slices.ContainsFunc(t.Forms, func(f verify.FormReport) bool { return f.Error != "" }) {
				fmt.Fprintf(p.Stderr, "What the function wrote last on %s:\n%s", t.Target, text)
			}
		}
		return fault.New(fault.Mismatch, "", s.Name, "want every answer as recorded, got others: see above")
	}
	return nil
}

// chosenTargets are the targets named, else those of the spec, else all.
func chosenTargets(named []string, s *spec.Spec) ([]string, error) {
	known := emulate.Targets()
	if len(named) == 0 {
		if named = s.Targets.Names(); len(named) == 0 {
			named = known
		}
	}
	for _, name := range named {
		if !slices.Contains(known, name) {
			return nil, fault.New(fault.Usage, "", "--target", "want one of %s, got %q", strings.Join(known, ", "), name)
		}
	}
	return named, nil
}

// maxColumns is how many requests the table shows; the others count all the same.
const maxColumns = 5

// printReport prints the table, and below it what differs.
func printReport(w io.Writer, r *verify.Report, colour bool) {
	names := requestNames(r)
	shown := names[:min(len(names), maxColumns)]
	head := append([]string{"", "target", "form", "evidence"}, shown...)
	if more := len(names) - len(shown); more > 0 {
		head = append(head, fmt.Sprintf("+%d", more))
	}
	t := newTable(append(head, "ULP", "latency", "envelope", "ready", "pid")...)
	for _, target := range r.Targets {
		for k := range target.Forms {
			f := &target.Forms[k]
			row := append([]string{mark(f.Error == "" && allOK(f), colour), target.Target, f.Form, string(target.Evidence)}, cells(f, shown, len(names))...)
			ulp, latency, envelope := summary(f)
			t.add(append(row, ulp, latency, envelope, fmt.Sprintf("%.0f ms", f.ReadyMS), fmt.Sprint(f.PID))...)
		}
	}
	fmt.Fprintln(w)
	t.print(w, "  ")
	forms, bad := 0, 0
	for _, target := range r.Targets {
		for k := range target.Forms {
			f := &target.Forms[k]
			forms++
			if f.Error != "" {
				bad++
				fmt.Fprintf(w, "\n  %s, %s: %s\n", target.Target, f.Form, f.Error)
			}
			bad += problemsOf(w, target.Target, f)
		}
	}
	fmt.Fprintln(w)
	for _, a := range artifacts(r) {
		fmt.Fprintf(w, "  %s\n", a)
	}
	if bad == 0 {
		fmt.Fprintf(w, "\n%s: %s answered as recorded, with the same bytes, in %s of %s.\n", r.Function, plural(r.Requests, "request"), plural(forms, "form"), plural(len(r.Targets), "target"))
	}
}

// problemsOf prints what is wrong with a form's answers, each thing once with
// the requests that it is wrong with, and returns how many answers are.
func problemsOf(w io.Writer, target string, f *verify.FormReport) int {
	bad := 0
	var order []string
	where := map[string][]string{}
	for _, r := range f.Results {
		if r.OK {
			continue
		}
		bad++
		text := strings.Join(r.Problems, "\n      ")
		if where[text] == nil {
			order = append(order, text)
		}
		where[text] = append(where[text], fmt.Sprintf("%s/%s with %s", r.Model, r.Request, r.Body))
	}
	for _, text := range order {
		names := where[text]
		line := strings.Join(names[:min(len(names), 3)], ", ")
		if more := len(names) - 3; more > 0 {
			line += fmt.Sprintf(" and %d more", more)
		}
		fmt.Fprintf(w, "\n  %s, %s: %s\n      %s\n", target, f.Form, line, text)
	}
	return bad
}

func allOK(f *verify.FormReport) bool {
	return !slices.ContainsFunc(f.Results, func(r verify.Result) bool { return !r.OK })
}

func mark(ok, colour bool) string {
	switch {
	case ok && colour:
		return "\x1b[32m✓\x1b[0m"
	case ok:
		return "✓"
	case colour:
		return "\x1b[31m✗\x1b[0m"
	}
	return "✗"
}

func requestNames(r *verify.Report) []string {
	var names []string
	for _, t := range r.Targets {
		for _, f := range t.Forms {
			for _, result := range f.Results {
				if name := result.Model + "/" + result.Request; !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// cells has the beginning of each shown request's answer, and for the others
// whether they are well.
func cells(f *verify.FormReport, shown []string, all int) []string {
	row := make([]string, len(shown))
	rest := "✓"
	for _, result := range f.Results {
		i := slices.Index(shown, result.Model+"/"+result.Request)
		switch {
		case i < 0 && !result.OK:
			rest = "✗"
		case i < 0:
		case !result.OK:
			row[i] = "✗"
		case row[i] == "":
			row[i] = result.Answer[:8]
		}
	}
	if all > len(shown) {
		row = append(row, rest)
	}
	return row
}

// summary is the largest difference, the median latency and the median of what
// the platform sends and gets.
func summary(f *verify.FormReport) (ulp, latency, envelope string) {
	if len(f.Results) == 0 {
		return "", "", ""
	}
	var most uint64
	var took []float64
	var sent, got []int64
	for _, r := range f.Results {
		most = max(most, r.MaxULP)
		took, sent, got = append(took, r.LatencyMS), append(sent, r.Sent), append(got, r.Got)
	}
	slices.Sort(took)
	slices.Sort(sent)
	slices.Sort(got)
	k := len(took) / 2
	return fmt.Sprint(most), fmt.Sprintf("%.1f ms", took[k]), sizeText(sent[k]) + " ⇄ " + sizeText(got[k])
}

// artifacts are the files that were run, each once.
func artifacts(r *verify.Report) []string {
	var all []string
	for _, t := range r.Targets {
		line := fmt.Sprintf("%s  sha256:%s", t.Artifact, t.Digest)
		if !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	return all
}
