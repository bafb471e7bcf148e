package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"godwit.dev/internal/app"
	"godwit.dev/internal/handlerbuild"
	"godwit.dev/runtime/fault"
)

// withHandler returns the function to work on. When its spec has a handler and
// this binary does not, it compiles a binary that does, runs this very command
// line in it, and done is true: err is then what came of it.
func (p *program) withHandler(ctx context.Context, path string) (dir string, done bool, err error) {
	dir, s, err := app.ReadSpec(path)
	if err != nil {
		return "", false, err
	}
	if s.Handler == "" || p.Wrap != nil {
		return path, false, nil
	}
	stop := p.working("compiling " + s.Handler)
	binary, err := handlerbuild.Build(ctx, filepath.Join(dir, filepath.FromSlash(s.Handler)),
		handlerbuild.Options{Source: p.source(), Cache: p.CacheDir, Stderr: p.Stderr})
	stop()
	if err != nil {
		return "", true, err
	}
	return "", true, p.become(ctx, binary)
}

// source is a checkout of Godwit: the one named, else the one that this binary
// was built in, if it lies in one.
func (p *program) source() string {
	if dir := p.Getenv("GODWIT_SOURCE"); dir != "" || p.Executable == "" {
		return dir
	}
	dir := filepath.Dir(filepath.Dir(p.Executable))
	if _, err := os.Stat(filepath.Join(dir, "godwit.go")); err != nil {
		return ""
	}
	return dir
}

// become runs the same command line in binary and ends as it ends. A stop is
// passed on; the child drains as this process would.
func (p *program) become(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, binary, p.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Hour // the child bounds its own drain
	err := cmd.Start()
	if err == nil {
		err = p.passHangups(cmd)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exited(exit.ExitCode())
	}
	if err != nil && ctx.Err() == nil {
		return fault.New(fault.Internal, "", binary, "%w", err)
	}
	return nil
}

// passHangups waits for the child and passes on what means to read everything again.
func (p *program) passHangups(cmd *exec.Cmd) error {
	if p.Hangup == nil {
		return cmd.Wait()
	}
	signals, stop := p.Hangup()
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		case s := <-signals:
			_ = cmd.Process.Signal(s) // a child that is gone needs none
		}
	}
}

// exited is a child's exit code, whose error has been printed already.
type exited int

func (exited) Error() string { return "the handler's process failed" }
