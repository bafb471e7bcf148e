package emulate

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"godwit.dev/runtime/fault"
)

// A Process is a function that was started. Methods may be called concurrently.
type Process interface {
	// Done is closed when it has ended.
	Done() <-chan struct{}
	// Err is, after Done, nil if it ended with exit code 0.
	Err() error
	// Signal sends os.Interrupt, SIGTERM or SIGKILL.
	Signal(sig os.Signal) error
	// PID is its process id, or 0 for one that shares ours.
	PID() int
}

// A Launch starts a function with the environment, KEY=VALUE, that a platform
// gives it. The process may outlive ctx, which bounds the start only.
type Launch func(ctx context.Context, env []string) (Process, error)

// InProcess runs serve in this process; SIGTERM and os.Interrupt end its
// context, and SIGKILL cannot be played.
func InProcess(serve func(ctx context.Context, getenv func(string) string) error) Launch {
	return func(_ context.Context, env []string) (Process, error) {
		ctx, cancel := context.WithCancel(context.Background())
		p := &inProcess{cancel: cancel, done: make(chan struct{})}
		go func() {
			defer close(p.done)
			p.err = serve(ctx, func(name string) string { return lookup(env, name) })
		}()
		return p, nil
	}
}

func lookup(env []string, name string) string {
	for _, e := range slices.Backward(env) { // the last one counts, as for exec
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

type inProcess struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

func (p *inProcess) Done() <-chan struct{} { return p.done }

func (p *inProcess) Err() error {
	<-p.done
	return p.err
}

func (p *inProcess) PID() int { return 0 }

func (p *inProcess) Signal(sig os.Signal) error {
	if sig == os.Kill {
		return fault.New(fault.Unsupported, "emulate.Signal", "", "this process cannot be killed")
	}
	p.cancel()
	return nil
}

// Command runs a program. env is what it has beside the platform's variables,
// which win; nothing of our own environment gets through. Its output goes to
// stdout and stderr; nil discards.
func Command(path string, args, env []string, stdout, stderr io.Writer) Launch {
	return func(_ context.Context, platform []string) (Process, error) {
		cmd := exec.Command(path, args...)
		cmd.Env = append(slices.Clone(env), platform...)
		cmd.Stdout, cmd.Stderr = stdout, stderr
		// A signal for our terminal's group is ours to pass on, or not.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			return nil, fault.New(fault.Internal, "emulate.Start", path, "%w", err)
		}
		p := &command{cmd: cmd, done: make(chan struct{})}
		go func() {
			defer close(p.done)
			p.err = cmd.Wait()
		}()
		return p, nil
	}
}

type command struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
}

func (p *command) Done() <-chan struct{} { return p.done }

func (p *command) Err() error {
	<-p.done
	return p.err
}

func (p *command) PID() int { return p.cmd.Process.Pid }

func (p *command) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fault.New(fault.Internal, "emulate.Signal", p.cmd.Path, "%w", err)
	}
	return nil
}
