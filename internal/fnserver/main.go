package fnserver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"

	"godwit.dev/internal/app"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/telemetry"
)

// Parts are what a binary hands to Main.
type Parts struct {
	Engine driver.NewEngine
	// Wrap is the user's handler, when the binary contains one.
	Wrap func(infer.Handler) infer.Handler
}

// Main serves the function of this process's folder under the contract of the
// platform that the process runs on, until ctx ends, and returns the exit code:
// 0 when it has drained. What goes wrong is on stderr, and where the platform
// shows why a container ended.
//
// Where the platform says that the process is a task of a job, it scores its share
// of what lies below batch.input, and ends: 0 when that is done, so that what is
// told to stop or fails is tried again, and goes on from there.
//
// The platform is GODWIT_TARGET's, else the one whose variables are there. With
// GODWIT_BIND the port is opened on that address only: platforms want all of
// them, a machine on which a platform is played wants loopback.
func Main(ctx context.Context, p app.Process, parts Parts) int {
	var err error
	if p.IsWorker() {
		err = p.Work(parts.Engine)
	} else if err = run(ctx, &p, parts); err != nil {
		app.Tell(err)
	}
	return p.End(err)
}

func run(ctx context.Context, p *app.Process, parts Parts) error {
	share, err := taskOf(p.Getenv)
	if err != nil {
		return err
	}
	t, err := targetOf(p.Getenv)
	if err != nil && (share == nil || p.Getenv("GODWIT_TARGET") != "") {
		return err
	}
	if err != nil {
		t = jobTarget()
	}
	if len(p.Args) > 0 && !slices.Equal(p.Args, t.args) {
		return fault.New(fault.Usage, "fnserver.Main", "", "want no arguments, got %q", p.Args).
			WithHint("What it serves and where is in the environment: GODWIT_TARGET, GODWIT_FUNCTION and the platform's own variables.")
	}
	path, err := p.Folder(t.folders(p.Getenv)...)
	if err != nil && t.missing != nil {
		err = t.missing(p.Getenv, err)
	}
	if err != nil {
		return err
	}
	if t.job != nil {
		if work := t.job(p.Getenv); work != nil {
			return job(ctx, p, parts, t, path, p.Getenv("GODWIT_OUTPUT"), work)
		}
	}
	if share != nil {
		base := p.Getenv(inputIn)
		return job(ctx, p, parts, t, path, cmp.Or(p.Getenv("GODWIT_OUTPUT"), base), func(ctx context.Context, f *app.Function) error {
			return share.score(ctx, f, base, t.log(p))
		})
	}
	address, err := t.address(p.Getenv)
	if err != nil {
		return err
	}
	if host := p.Getenv("GODWIT_BIND"); host != "" && strings.HasPrefix(address, ":") {
		address = net.JoinHostPort(host, address[1:])
	}
	log := t.log(p)
	o := &Options{
		Process: p, Path: path, Engine: parts.Engine, Wrap: parts.Wrap, Target: t.name, Log: log,
		Listen: address, Limits: t.limits, Start: t.start,
		Adapt: t.adapt(p, log),
		Mixed: t.mixed,
		Loading: func(f *app.Function) func() {
			log.InfoContext(ctx, "starting", "target", t.name, "function", f.Spec.Name, "version", app.Version())
			return func() {}
		},
	}
	if t.life == nil {
		return Serve(ctx, o)
	}
	if o.Life, err = t.life(p, log, path); err != nil {
		return err
	}
	o.Path = o.Life.Path
	o.Listen = cmp.Or(o.Life.Listen, o.Listen)
	err = Serve(ctx, o)
	return errors.Join(err, o.Life.Close(err))
}

// job opens the function for one piece of work, and ends.
func job(ctx context.Context, p *app.Process, parts Parts, t *target, path, output string, work func(context.Context, *app.Function) error) error {
	open := &app.Options{
		Target: t.name, Logger: t.log(p), Wrap: parts.Wrap, Quota: p.Quota(), Memory: p.Memory(),
		Output: output, Stores: Stores(p),
	}
	defer open.Stores.Close()
	eng, _, err := p.Isolate(path, "", parts.Engine, open)
	if err != nil {
		return err
	}
	f, err := app.Open(path, eng, open)
	if err != nil {
		return err
	}
	if err := f.Load(ctx); err != nil {
		return err
	}
	err = work(ctx, f)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer cancel()
	return errors.Join(err, f.Close(end))
}

// targetOf finds out where the process runs.
func targetOf(getenv func(string) string) (*target, error) {
	var names, found []string
	for i := range targets {
		names = append(names, targets[i].name)
		if targets[i].here(getenv) {
			found = append(found, targets[i].name)
		}
	}
	name := getenv("GODWIT_TARGET")
	switch {
	case name != "":
	case len(found) == 1:
		name = found[0]
	case len(found) == 0:
		return nil, fault.New(fault.BadConfig, "fnserver.Main", "GODWIT_TARGET", "want the platform that this runs on, one of %s, got none, and no platform's own variables", strings.Join(names, ", ")).
			WithHint("Set GODWIT_TARGET; rendered files do. On a laptop use godwit serve --as TARGET.")
	default:
		return nil, fault.New(fault.BadConfig, "fnserver.Main", "GODWIT_TARGET", "want one platform, got the variables of %s", strings.Join(found, " and ")).
			WithHint("Set GODWIT_TARGET to the one that is meant.")
	}
	i := slices.Index(names, name)
	if i < 0 {
		return nil, fault.New(fault.BadConfig, "fnserver.Main", "GODWIT_TARGET", "want one of %s, got %q", strings.Join(names, ", "), name)
	}
	return &targets[i], nil
}

// jsonLog writes JSON lines to stderr.
func jsonLog(p *app.Process) *slog.Logger {
	return telemetry.NewLogger(p.Stderr, false, slog.LevelInfo)
}
