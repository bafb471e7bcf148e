package cli

import (
	"context"
	"log/slog"
	"os"

	"golang.org/x/term"

	"godwit.dev/internal/app"
	"godwit.dev/internal/fetch"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/telemetry"
)

func (p *program) engine(log *slog.Logger) driver.Engine { return p.Engine(p.Setup(log)) }

// logger writes to stderr: text on a terminal, JSON elsewhere.
func (p *program) logger(level slog.Level) *slog.Logger {
	return telemetry.NewLogger(p.Stderr, p.onTerminal(), level)
}

func (p *program) onTerminal() bool {
	return isTerminal(p.Stderr)
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// open opens and loads the function in dir for one command's own use.
func (p *program) open(ctx context.Context, dir string) (*app.Function, error) {
	log := p.logger(slog.LevelWarn)
	eng := p.engine(log)
	app.Prepare(eng)
	f, err := app.Open(dir, eng, &app.Options{Logger: log, Wrap: p.Wrap, Quota: p.Quota(), Single: true, Fetch: fetch.New(p.FetchOptions(log))})
	if err != nil {
		return nil, err
	}
	stop := p.working("loading " + f.Spec.Models[0].Name)
	err = f.Load(ctx)
	stop()
	if err != nil {
		return nil, err
	}
	return f, nil
}

// function is the folder that a command works on: the argument, else what a
// deployed binary is told, else the folder that it lies in.
func (p *program) function(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return p.Folder()
}
