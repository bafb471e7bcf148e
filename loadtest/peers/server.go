//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit.dev/loadtest"
	"godwit.dev/loadtest/measure"
)

// server is one side, in processes of its own.
type server struct {
	cmd        *exec.Cmd
	http, grpc string // where it listens, as URLs
	mark       string // in its environment, and in that of all it starts
	log        string
	loading    time.Duration // how long models may still load behind the first answer
	ended      chan struct{} // closed when the first process has ended
	stopped    bool
}

// target is where a protocol is spoken.
func (s *server) target(p loadtest.Protocol) string {
	if p == loadtest.GRPC {
		return s.grpc
	}
	return s.http
}

// launch says how to start a side.
type launch struct {
	name string
	argv func(http, grpc int) (argv, env []string)
	dir  string
	// samePort is set where gRPC is spoken on the port of HTTP.
	samePort bool
}

// start begins the side; it may not answer yet. What it says goes to a file.
func (b *bench) start(l *launch) (*server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	if l.samePort {
		ports[1] = ports[0]
	}
	b.count++
	s := &server{
		http: "http://127.0.0.1:" + strconv.Itoa(ports[0]), grpc: "http://127.0.0.1:" + strconv.Itoa(ports[1]),
		mark: fmt.Sprintf("GODWIT_PEER=%d.%d", os.Getpid(), b.count), log: filepath.Join(b.dir, l.name+".log"), loading: b.durations.loading, ended: make(chan struct{}),
	}
	argv, env := l.argv(ports[0], ports[1])
	out, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	s.cmd = exec.Command(argv[0], argv[1:]...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = l.dir, out, out
	s.cmd.Env = append(append(os.Environ(), "ORT_DISABLE_TELEMETRY=1", s.mark), env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	b.running = append(b.running, s)
	go func() { // ends with the process, which stop sees to
		s.cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// freePorts are ports of loopback that nobody listens at.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// tree is the side's processes, those that left their parent too.
func (s *server) tree() ([]measure.Process, error) {
	root := s.cmd.Process.Pid
	select {
	case <-s.ended: // its number may be another's by now
		root = -1
	default:
	}
	return measure.Tree("/proc", root, s.mark)
}

// cpu is the processor time that all of the side has used.
func (s *server) cpu() (time.Duration, error) {
	tree, err := s.tree()
	if err != nil {
		return 0, err
	}
	return measure.TreeCPU(tree)
}

// peak is the most memory that the side has had, in bytes.
func (s *server) peak() (float64, error) {
	tree, err := s.tree()
	if err != nil {
		return 0, err
	}
	n, err := measure.TreePeak("/proc", tree)
	return float64(n), err
}

// stop ends the side and all that it started; a second call does nothing.
func (s *server) stop(patience time.Duration) {
	if s.stopped {
		return
	}
	s.stopped = true
	if patience > 0 {
		s.cmd.Process.Signal(syscall.SIGTERM)
		late := time.NewTimer(patience)
		defer late.Stop()
		select {
		case <-s.ended:
		case <-late.C:
		}
	}
	s.kill(false)
	// What tidies up behind Python's processes ends by itself when it has.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < time.Second && s.kill(false) > 0; {
		<-tick.C
	}
	s.kill(true)
	<-s.ended
}

// kill ends the side's processes and says how many there were. Those that
// remove shared memory of others when these have ended are left unless all is true.
func (s *server) kill(all bool) int {
	tree, err := s.tree()
	if err != nil {
		return 0
	}
	for _, p := range tree {
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID)); all || err == nil && !bytes.Contains(line, []byte("resource_tracker")) {
			unix.Kill(p.PID, unix.SIGKILL) // what has ended meanwhile is no matter
		}
	}
	return len(tree)
}

// ready waits for the side's first right answer to l over JSON, and says how
// long after began it came. A wrong answer is an error at once.
func (s *server) ready(ctx context.Context, l *load, began time.Time, patience time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("want an answer within %v, got none", patience))
	defer cancel()
	const pause = 2 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-s.ended:
			text, _ := os.ReadFile(s.log)
			return 0, fmt.Errorf("it ended before it answered: %s", tail(text))
		case <-ctx.Done():
			text, _ := os.ReadFile(s.log)
			return 0, fmt.Errorf("%w; last: %v; it said: %s", context.Cause(ctx), last, tail(text))
		case <-tick.C:
		}
		got, err := askHTTP(ctx, s.http, l, 0)
		took := time.Since(began)
		if err == nil {
			if err = l.check(0, got); err != nil {
				return took, err
			}
			return took, nil
		}
		var wrong *wrongAnswer
		if errors.As(err, &wrong) {
			return took, err
		}
		last = err
	}
}
