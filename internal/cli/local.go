package cli

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/term"

	"godwit.dev/internal/app"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/quota"
	"godwit.dev/runtime/telemetry"
)

// Setup is where a process with this environment finds ONNX Runtime: the
// library named, else lib/ beside the binary, else the one in the user's cache.
func (e *Env) Setup(log *slog.Logger) *driver.Setup {
	setup := &driver.Setup{Library: e.Getenv("GODWIT_ONNXRUNTIME"), CacheDir: e.CacheDir, Logger: log}
	if e.Executable != "" {
		setup.LibraryDirs = []string{filepath.Join(filepath.Dir(e.Executable), "lib")}
	}
	return setup
}

func (p *program) engine(log *slog.Logger) driver.Engine { return p.Engine(p.Setup(log)) }

func (p *program) quota() quota.Quota {
	return quota.Read(quota.Source{FS: os.DirFS("/"), Getenv: p.Getenv, CPUs: runtime.NumCPU()})
}

// memory reads what counts against the quota's limit.
func (p *program) memory() *quota.Gauge {
	return quota.NewGauge(quota.Source{FS: os.DirFS("/"), Getenv: p.Getenv, CPUs: runtime.NumCPU()})
}

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
	f, err := app.Open(dir, p.engine(log), &app.Options{Logger: log, Wrap: p.Wrap, Quota: p.quota(), Single: true})
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
	if dir := p.Getenv("GODWIT_FUNCTION"); dir != "" {
		return dir, nil
	}
	if p.Executable != "" {
		dir := filepath.Dir(p.Executable)
		if _, err := os.Stat(filepath.Join(dir, "godwit.yaml")); err == nil {
			return dir, nil
		}
	}
	return "", fault.New(fault.Usage, "", "", "want a function folder or a model file, got none").
		WithHint("Name the folder, or set GODWIT_FUNCTION.")
}
