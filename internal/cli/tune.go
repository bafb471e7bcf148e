package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/internal/client"
	"godwit.dev/internal/tune"
	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
)

type tuneOptions struct {
	tune.Options
	goal, slo, protocol, auth, html string
	cpus, memory, threads, batching []string
	dryRun                          bool
}

func (p *program) newTune() *cobra.Command {
	var o tuneOptions
	cmd := &cobra.Command{
		Use:     "tune DIR",
		GroupID: "measure",
		Short:   "Find the threads, batching and size that serve best, and write them into godwit.yaml",
		Long: `tune serves the function in DIR with one setting after another, each in a
server of its own that is held to the CPUs and the memory of a target, puts load
on it, and writes the best into godwit.yaml, with the evidence in a comment and
in tune.json beside it. All else in godwit.yaml stays as it is, byte for byte.

The settings take turns in short blocks, so that what the machine does meanwhile
meets all of them; those that are worse go, and the last is measured against
godwit.yaml as it is, in new blocks. Where nothing is better beyond the noise
and by 2 %, nothing is changed. A setting whose answers are not the recorded
ones, or that the kernel ends for its memory, is out.

--goal says what for: throughput is the highest rate, with --slo the highest
that holds it; latency the lowest p99 at --rate; cost the least money for a
request, by the prices of the target, or the least CPU where they are not known.
Without --cpus and --memory the size is that of --target in godwit.yaml, and
without a target this machine's.

Servers are held to their size by control groups, else by systemd-run, else to
whole processors, else not at all; what was done is said. The load runs outside.

Exit codes: 0 done, changed or not; 2 wrong usage, 7 what cannot be limited on
this machine, or a godwit.yaml that cannot be edited, 9 godwit.yaml was changed
meanwhile, 12 godwit.yaml is wrong, 13 the function as it is cannot be measured,
14 its answers are not the recorded ones, 130 interrupted, with nothing changed.`,
		Example: `  godwit tune fraud/
  godwit tune fraud/ --goal latency --rate 50 --dry-run
  godwit tune fraud/ --slo p99=20ms --cpus 1,2 --budget 5m
  godwit tune fraud/ --goal cost --target awslambda --memory 512MiB,1769MiB --html tune.html`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.parse(); err != nil {
				return err
			}
			return p.tune(cmd.Context(), args[0], &o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.goal, "goal", "throughput", "latency, throughput or cost")
	f.StringVar(&o.slo, "slo", "", "what must hold, p99=DURATION")
	f.Float64Var(&o.Rate, "rate", 0, "requests in a second, for latency and cost (default, for latency: a fifth of what it can)")
	f.StringVar(&o.Target, "target", "", "whose size and prices count (default: the first in godwit.yaml)")
	f.StringSliceVar(&o.cpus, "cpus", nil, "CPUs to try, as 1,2 or 0.5 (default: the target's)")
	f.StringSliceVar(&o.memory, "memory", nil, "memory to try, as 512MiB,1GiB (default: the target's)")
	f.StringSliceVar(&o.threads, "threads", nil, "threads to try: auto, latency, throughput or INTRAOPxRUNS as 2x1 (default: what differs)")
	f.StringSliceVar(&o.batching, "batching", nil, "batching to try: auto, off or the most rows of a run (default: auto,off,8,32 where it can be)")
	f.DurationVar(&o.Budget, "budget", 2*time.Minute, "the time that all may take")
	f.StringVar(&o.Model, "model", "", "the model's name (default: the only one)")
	f.StringVar(&o.Version, "model-version", "", "the model's version (default: the only one)")
	f.StringVar(&o.protocol, "protocol", "json", "json, binary (REST with binary tensors) or grpc")
	f.IntVar(&o.Connections, "connections", 0, "requests under way in a closed loop (default 16; 1 where the platform sends one at a time)")
	f.Uint64Var(&o.Seed, "seed", 1, "of arrivals and made-up values")
	authFlag(cmd, &o.auth)
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would change in godwit.yaml, and write nothing")
	f.StringVar(&o.html, "html", "", "write a page with the figures to this file")
	return cmd
}

func (o *tuneOptions) parse() error {
	o.Goal, o.Protocol = tune.Goal(o.goal), loadtest.Protocol(o.protocol)
	if o.slo != "" {
		name, text, ok := strings.Cut(o.slo, "=")
		d, err := time.ParseDuration(text)
		if !ok || name != "p99" || err != nil || d <= 0 {
			return fault.New(fault.Usage, "", "--slo", "want p99=DURATION such as p99=20ms, got %q", o.slo)
		}
		o.SLO = d
	}
	for _, text := range o.cpus {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n > 0 && n <= 1024) {
			return fault.New(fault.Usage, "", "--cpus", "want numbers such as 1 or 0.5, got %q", text)
		}
		o.CPUs = append(o.CPUs, n)
	}
	for _, text := range o.memory {
		n, err := tune.ParseMemory(text)
		if err != nil {
			return err
		}
		o.Memory = append(o.Memory, n)
	}
	for _, text := range o.threads {
		t, err := tune.ParseThreads(text)
		if err != nil {
			return err
		}
		o.Threads = append(o.Threads, t)
	}
	for _, text := range o.batching {
		b, err := tune.ParseBatching(text)
		if err != nil {
			return err
		}
		o.Batching = append(o.Batching, b)
	}
	switch o.Protocol {
	case loadtest.JSON, loadtest.Binary, loadtest.GRPC:
		return nil
	}
	return fault.New(fault.Usage, "", "--protocol", "want json, binary or grpc, got %q", o.protocol)
}

func (p *program) tune(ctx context.Context, dir string, o *tuneOptions) error {
	// A handler of the user's is compiled once, and the binary with it serves all.
	if _, done, err := p.withHandler(ctx, dir); done || err != nil {
		return err
	}
	o.Program, o.Quota = p.Executable, p.Quota()
	sign, err := p.tuneSigner(o.auth)
	if err != nil {
		return err
	}
	o.Sign = sign
	clear := p.tuneLine(&o.Options)
	r, err := tune.Run(ctx, dir, &o.Options)
	clear()
	if err != nil {
		return err
	}
	was, now, err := r.Edited()
	if err != nil {
		return err
	}
	if o.html != "" {
		page, err := r.HTML()
		if err == nil {
			err = os.WriteFile(o.html, page, 0o644)
		}
		if err != nil {
			return fault.New(fault.Usage, "", "--html", "%w", err)
		}
	}
	if !o.dryRun {
		if err := r.Write(); err != nil {
			return err
		}
	}
	if p.json {
		writeJSON(p.Stdout, r)
		return nil
	}
	p.printTuned(r, o, string(was), string(now))
	return nil
}

// tuneSigner is how requests to the servers of ours show who asks. What holds for
// one address of a cloud holds for none of ours.
func (p *program) tuneSigner(auth string) (tune.Signer, error) {
	s, err := p.caller(auth).Signer(&url.URL{Scheme: "http", Host: "127.0.0.1"})
	if err != nil {
		return nil, err
	}
	if s.Auth == client.None {
		return nil, nil
	}
	if s.Auth == client.AWS {
		return nil, fault.New(fault.Usage, "", "--auth", "want auto, none, key or token for a server on this machine, got aws")
	}
	return func(ctx context.Context, r *http.Request, body []byte) error { return s.Sign(ctx, r, body) }, nil
}

func (p *program) printTuned(r *tune.Report, o *tuneOptions, was, now string) {
	w := p.Stdout
	t := newTable(r.Head()...)
	for i := range r.Candidates {
		t.add(r.Cells(i)...)
	}
	t.print(w, "")
	fmt.Fprintln(w)
	if !p.quiet {
		for _, line := range r.About() {
			fmt.Fprintln(w, line)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, r.Verdict())
	if was != now {
		fmt.Fprintf(w, "\n--- %s\n+++ %s\n%s", r.Path(), r.Path(), unified(lineEdits(splitLines(was), splitLines(now))))
	}
	switch {
	case o.dryRun && was != now:
		p.say("Nothing was written; without --dry-run this is.\n")
	case o.dryRun:
	case was != now:
		p.say("Written, with the evidence in %s. Next: godwit verify %s\n", tune.FileName, strings.TrimSuffix(r.Path(), "/godwit.yaml"))
	default:
		p.say("godwit.yaml stays as it is; the evidence is in %s.\n", tune.FileName)
	}
}

// splitLines is text line by line, without the ends that they share.
func splitLines(text string) []string {
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
}

// tuneLine shows on a terminal how far it is.
func (p *program) tuneLine(o *tune.Options) (clear func()) {
	if p.quiet || p.json || !p.onTerminal() {
		return func() {}
	}
	o.Progress = func(s tune.Step) {
		left := ""
		if s.Of > 0 {
			left = fmt.Sprintf(", block %d, %d of %s left", s.Block, s.Left, plural(s.Of, "candidate"))
		}
		fmt.Fprintf(p.Stderr, "\r\x1b[K%.0f of %.0f s%s: %s", s.Elapsed.Seconds(), s.Budget.Seconds(), left, s.Doing)
	}
	return func() { fmt.Fprint(p.Stderr, "\r\x1b[K") }
}
