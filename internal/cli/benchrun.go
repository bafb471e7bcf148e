package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"godwit.dev/internal/app"
	"godwit.dev/loadtest"
	"godwit.dev/loadtest/report"
	"godwit.dev/runtime/fault"
)

// bench puts load on where and tells what came of it.
func (p *program) bench(cmd *cobra.Command, where string, o *benchOptions) error {
	ctx := cmd.Context()
	objective, err := o.check(cmd)
	if err != nil {
		return err
	}
	var st *starter
	o.load.Target = where
	if !strings.HasPrefix(where, "http://") && !strings.HasPrefix(where, "https://") {
		if st, err = p.benchDir(ctx, where, o); err != nil {
			return err
		}
		defer st.rest()
		o.load.Dial, o.load.Usage = st.dial, st.usage
	}
	if err := p.sign(ctx, o); err != nil {
		return err
	}
	isLocal := st != nil
	if u, err := url.Parse(o.load.Target); st == nil && err == nil {
		if pid, ok := local(u); ok {
			isLocal = true
			o.load.Usage = func() (loadtest.Usage, bool) { return loadtest.ProcessUsage(pid) }
		}
	}
	if o.pattern.arrivals == fromZero {
		o.load.Zero = p.zero(&o.pattern, st)
	}
	out, err := o.output.create()
	if err != nil {
		return err
	}
	defer out.close()
	rec := &report.Recording{}
	o.load.Window = func(w *loadtest.Window) {
		rec.Add(w)
		out.Window(w)
	}
	if objective != nil {
		o.load.Window = nil // the steps are what is told
	}
	clear := p.liveLine(&o.load)
	defer clear()
	s, err := loadtest.Open(ctx, &o.load)
	if err != nil {
		return err
	}
	rec.Run = p.describe(ctx, s, o, isLocal)
	out.Start(&rec.Run)
	if objective != nil {
		rec.Limit, rec.Result, err = s.Limit(ctx, objective, func(one *loadtest.Step, _ *loadtest.Result) { out.Step(one) })
	} else {
		rec.Result, err = s.Run(ctx)
	}
	clear()
	if rec.Result == nil {
		return err
	}
	if err != nil {
		rec.Interrupted = true
		if ctx.Err() == nil {
			rec.Error = err.Error()
		}
	}
	if failed := out.End(rec); failed != nil && err == nil {
		err = failed
	}
	if failed := p.present(rec, &o.output, o.output.next()); err == nil {
		err = failed
	}
	switch {
	case err != nil:
		return err
	case objective != nil && rec.Limit.Rate == 0:
		return exited(fault.TooLarge.Exit())
	case objective == nil && rec.OK < rec.Sent:
		return exited(fault.Internal.Exit()) // the result has said what failed
	}
	return nil
}

// check reads all flags before anything is started.
func (o *benchOptions) check(cmd *cobra.Command) (*loadtest.Objective, error) {
	if err := o.parse(); err != nil {
		return nil, err
	}
	if err := o.pattern.apply(&o.load, cmd.Flags().Changed); err != nil {
		return nil, err
	}
	if err := o.readRequests(); err != nil {
		return nil, err
	}
	if o.load.WindowEvery = o.output.window; o.load.WindowEvery < minWindow {
		return nil, fault.New(fault.Usage, "", "--window", "want at least %v, got %v", minWindow, o.load.WindowEvery)
	}
	if err := o.output.check(); err != nil {
		return nil, err
	}
	if o.output.slo == "" {
		return nil, nil
	}
	objective, err := loadtest.ParseObjective(o.output.slo)
	switch {
	case err != nil:
		return nil, fault.New(fault.Usage, "", "--slo", "%w", err)
	case o.load.Burst != nil || o.load.Offsets != nil:
		return nil, fault.New(fault.Usage, "", "--slo", "want --arrivals poisson or constant, got %s", o.pattern.arrivals+o.pattern.trace)
	case o.output.compare != "" || o.output.benchstat:
		return nil, fault.New(fault.Usage, "", "--slo", "want it without --compare and --benchstat: a search has no one load")
	}
	return objective, nil
}

const minWindow = 50 * time.Millisecond

// describe says what is run, where.
func (p *program) describe(ctx context.Context, s *loadtest.Subject, o *benchOptions, local bool) report.Run {
	load, about := s.Options(), s.About(ctx)
	r := report.Run{
		Version: report.Version, Started: time.Now().UTC().Truncate(time.Millisecond), Command: append([]string{"godwit"}, withoutSecrets(p.Args)...),
		Target: load.Target, Server: about.Server, Local: local, Model: about.Model, ModelVersion: about.Version, Digest: about.Digest, Protocol: load.Protocol,
		Loop: s.Loop(), Rate: load.Rate, Trace: o.pattern.trace, Connections: load.Connections, Payloads: s.Payloads(), Seed: load.Seed,
		Warmup: load.Warmup.Seconds(), Duration: load.Duration.Seconds(), Timeout: load.Timeout.Seconds(), Window: load.WindowEvery.Seconds(), SLO: o.output.slo,
		Machine: report.ThisMachine(), Godwit: app.Version(), Go: runtime.Version(),
	}
	if u, err := url.Parse(r.Target); err == nil {
		r.Target = u.Redacted()
	}
	if r.Trace != "" {
		r.Speed = o.pattern.speed
	}
	if load.Burst != nil {
		r.BurstOn, r.BurstOff = load.Burst.On.Seconds(), load.Burst.Off.Seconds()
	}
	return r
}

// withoutSecrets is a command line whose headers have lost their values and
// whose URLs their passwords.
func withoutSecrets(args []string) []string {
	all := make([]string, len(args))
	for i, a := range args {
		if flag, value, ok := strings.Cut(a, "="); ok && flag == "--header" {
			name, _, _ := strings.Cut(value, ":")
			a = "--header=" + name + ": …"
		} else if i > 0 && args[i-1] == "--header" {
			name, _, _ := strings.Cut(a, ":")
			a = "'" + name + ": …'"
		} else if u, err := url.Parse(a); err == nil && u.User != nil {
			a = u.Redacted()
		}
		all[i] = a
	}
	return all
}

// resultFile is where --out goes; without it nothing is written.
type resultFile struct {
	*report.Writer
	file *os.File
}

func (o *outputOptions) create() (*resultFile, error) {
	if o.out == "" {
		return &resultFile{Writer: report.NewWriter(discard{})}, nil
	}
	f, err := os.Create(o.out)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "", "--out", "%w", err)
	}
	return &resultFile{report.NewWriter(f), f}, nil
}

func (f *resultFile) close() {
	if f.file != nil {
		f.file.Close() // each line has been written before
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// readResult reads a result file.
func readResult(path string) (*report.Recording, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "", path, "%w", err)
	} else if err != nil {
		return nil, fault.New(fault.BadConfig, "", path, "%w", err)
	}
	defer f.Close()
	return report.Read(path, f)
}

// liveLine shows on a terminal how the load goes. The returned clear takes the
// line away and may be called again.
func (p *program) liveLine(o *loadtest.Options) (clear func()) {
	if p.quiet || p.json || !p.onTerminal() {
		return func() {}
	}
	var last loadtest.Progress
	o.Progress = func(now loadtest.Progress) {
		if now.Elapsed < last.Elapsed {
			last = loadtest.Progress{} // another step, or burst
		}
		fmt.Fprint(p.Stderr, "\r\x1b[K"+live(&last, &now))
		last = now
	}
	shown := true
	return func() {
		if shown {
			fmt.Fprint(p.Stderr, "\r\x1b[K")
		}
		shown = false
	}
}

// live is the line: how far it is, and what the last moments were like.
func live(last, now *loadtest.Progress) string {
	const width = 20
	what := "warming up"
	if now.Warm {
		what = "measuring"
	}
	full := 0
	if now.Total > 0 {
		full = int(min(now.Elapsed, now.Total) * width / now.Total)
	}
	rate := float64(now.Done-last.Done) / max((now.Elapsed-last.Elapsed).Seconds(), 1e-3)
	line := fmt.Sprintf("%s [%s%s] %.1f of %.1f s  %.0f/s", what, strings.Repeat("#", full), strings.Repeat(".", width-full), now.Elapsed.Seconds(), now.Total.Seconds(), rate)
	if w := now.Latest; w != nil && w.OK > 0 {
		line += fmt.Sprintf("  p50 %s  p99 %s", report.Duration(w.Latency.P50), report.Duration(w.Latency.P99))
	}
	return line + fmt.Sprintf("  %d failed  %d under way", now.Failed, now.Outstanding)
}
