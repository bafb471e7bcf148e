package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"godwit.dev/internal/emulate"
)

// container is the program in a container, as a platform sees it: signals reach
// it and its end is seen without podman in between, which takes its time.
type container struct {
	podman []string // podman and its global flags
	id     string
	pid    int
	done   chan struct{}
	err    func() error // once, after done
}

var _ emulate.Process = (*container)(nil)

// start runs image with the environment; run is a command line of podman that
// has the word "run" in it.
func start(ctx context.Context, run []string, image string, args, env []string) (*container, error) {
	at := slices.Index(run, "run")
	if at < 0 {
		return nil, fmt.Errorf("want podman's run, got %q", run)
	}
	line := append(slices.Clone(run), "--detach")
	for _, v := range env {
		line = append(line, "--env", v)
	}
	c := &container{podman: run[:at:at], done: make(chan struct{})}
	var err error
	if c.id, err = output(ctx, append(append(line, image), args...)); err != nil {
		return nil, err
	}
	pid, err := output(ctx, append(c.podman, "inspect", "--format", "{{.State.Pid}}", c.id))
	if err != nil {
		return nil, err
	}
	if c.pid, err = strconv.Atoi(pid); err != nil || c.pid == 0 {
		return nil, fmt.Errorf("want a container that runs, got one that ended: %s", c.logs())
	}
	fd, err := unix.PidfdOpen(c.pid, 0)
	if err != nil {
		return nil, fmt.Errorf("want a container that runs: %w: %s", err, c.logs())
	}
	c.err = sync.OnceValue(func() error {
		code, err := output(context.Background(), append(c.podman, "wait", c.id))
		if err == nil && code != "0" {
			err = fmt.Errorf("exit code %s: %s", code, c.logs())
		}
		return err
	})
	go func() {
		defer close(c.done)
		defer unix.Close(fd)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}()
	return c, nil
}

func (c *container) Done() <-chan struct{} { return c.done }
func (c *container) PID() int              { return c.pid }

func (c *container) Err() error {
	<-c.done
	return c.err()
}

func (c *container) Signal(sig os.Signal) error {
	s, ok := sig.(unix.Signal)
	if !ok {
		return fmt.Errorf("want a signal of Unix, got %v", sig)
	}
	if err := unix.Kill(c.pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// logs is what the container printed last.
func (c *container) logs() string {
	out, err := exec.Command(c.podman[0], append(c.podman[1:], "logs", "--tail", "20", c.id)...).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// output runs a command and is what it printed, without the last newline.
func output(ctx context.Context, line []string) (string, error) {
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}
