//go:build linux && cgo

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"godwit.dev/loadtest/measure"
)

// process is a server of ours or the no-op, in a process of its own.
type process struct {
	cmd *exec.Cmd
	url string
}

// serve starts the subject as a user would: default options, its log into a
// file, here the one that takes no disk.
func (b *bench) serve(ctx context.Context, dir string) (*process, error) {
	sink, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	cmd := b.command(b.subject, "serve", dir, "--listen", "127.0.0.1:0", "--json")
	cmd.Stderr = sink
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	b.started = append(b.started, p)
	var ready struct{ URL string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s serve %s did not start: %w", b.subject, dir, b.why(ctx, dir, err))
	}
	go io.Copy(io.Discard, out) // ends with the process
	p.url = ready.URL
	return p, nil
}

// why asks the subject again, with its errors shown, what it does not like.
func (b *bench) why(ctx context.Context, dir string, err error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.subject, "serve", dir, "--listen", "127.0.0.1:0", "--json")
	cmd.Env = b.env()
	text, _ := cmd.CombinedOutput()
	if len(text) > 0 {
		return fmt.Errorf("%w: %.400s", err, text)
	}
	return err
}

func (b *bench) noop(size int) (*process, error) { return b.startNoop(b.noopPath, size) }

// startNoop starts one of the no-ops; it answers size bytes.
func (b *bench) startNoop(path string, size int) (*process, error) {
	cmd := b.command(path, "127.0.0.1:0", fmt.Sprint(size))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	b.started = append(b.started, p)
	var address string
	if _, err := fmt.Fscan(out, &address); err != nil {
		p.stop()
		return nil, err
	}
	p.url = "http://" + address
	return p, nil
}

func (b *bench) env() []string {
	return append(os.Environ(), "GODWIT_ONNXRUNTIME="+b.library, "ORT_DISABLE_TELEMETRY=1")
}

func (b *bench) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = b.env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// stop ends the process; a second call does nothing.
func (p *process) stop() {
	if p.cmd.ProcessState != nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	p.cmd.Wait()
}

// cpu is the processor time that the process has used, of all its threads: its
// own clock, which is exact to nanoseconds where /proc counts hundredths of a second.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid) }

// settled waits until a server does nothing any more of what it does once it is
// ready: trying which requests may share runs, moving weights. It is the CPU of
// nobody's request, and would be counted as that of the first ones.
func (p *process) settled(ctx context.Context) error {
	const look, still, most = 250 * time.Millisecond, 4, 30 * time.Second
	tick := time.NewTicker(look)
	defer tick.Stop()
	end := time.Now().Add(most)
	for quiet, last := 0, time.Duration(0); quiet < still && time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now, err := p.cpu()
		if err != nil {
			return err
		}
		if quiet++; now-last > look/100 {
			quiet = 0
		}
		last = now
	}
	return nil
}

func cpuOf(pid int) (time.Duration, error) { return measure.CPU(pid) }

// loop is the C program in its loop mode.
type loop struct {
	*process
	in  io.WriteCloser
	out *bufio.Reader
}

// threads are settings of the C program.
type threads struct {
	name                     string
	threads, sessions, intra int
	spin, arena              bool
}

func (b *bench) loop(model string, t threads) (*loop, error) { return b.loopIn(nil, model, t) }

// loopIn is loop in a control group.
func (b *bench) loopIn(wrap *group, model string, t threads) (*loop, error) {
	flag := map[bool]string{false: "0", true: "1"}
	cmd := wrap.command(b, b.floorPath, "-l", b.library, "-m", model, "-t", fmt.Sprint(t.threads), "-s", fmt.Sprint(t.sessions),
		"-i", fmt.Sprint(t.intra), "-p", flag[t.spin], "-a", flag[t.arena])
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &loop{&process{cmd: cmd}, in, bufio.NewReader(out)}
	b.started = append(b.started, l.process)
	return l, nil
}

// block is what the C program did in one block.
type block struct{ runs, wall, cpu float64 } // nanoseconds

func (b block) perRun() float64 { return b.wall / b.runs }
func (b block) cpuPer() float64 { return b.cpu / b.runs }

func (l *loop) run(rows int, d time.Duration) (block, error) {
	if _, err := fmt.Fprintf(l.in, "%d %d\n", rows, d.Milliseconds()); err != nil {
		return block{}, fmt.Errorf("the C loop has ended: %w", err)
	}
	var r block
	if _, err := fmt.Fscan(l.out, &r.runs, &r.wall, &r.cpu); err != nil {
		return block{}, fmt.Errorf("the C loop has ended: %w", err)
	}
	return r, nil
}

func (l *loop) close() {
	l.in.Close()
	l.stop()
}

// settings are the thread settings that the floor may choose from for n runs at once.
func settings(n int) []threads {
	if n == 1 {
		return []threads{
			{"one thread", 1, 1, 1, false, true},
			{"one thread, no arena", 1, 1, 1, false, false},
			{"one thread, spinning allowed", 1, 1, 1, true, true},
		}
	}
	return []threads{
		{fmt.Sprintf("%d threads on one session", n), n, 1, 1, false, true},
		{fmt.Sprintf("%d threads with a session each", n), n, n, 1, false, true},
		{fmt.Sprintf("one run on %d spinning threads", n), 1, 1, n, true, true},
	}
}

// bestLoop is the C loop in the fastest of its settings for n runs at once, on
// the evidence of three short blocks of each, in turn.
func (b *bench) bestLoop(model string, rows, n int) (*loop, threads, error) {
	all := settings(n)
	loops := make([]*loop, len(all))
	rates := make([][]float64, len(all))
	defer func() {
		for _, l := range loops {
			if l != nil {
				l.close()
			}
		}
	}()
	for i, t := range all {
		var err error
		if loops[i], err = b.loop(model, t); err != nil {
			return nil, t, err
		}
	}
	for range 4 {
		for i := range all {
			r, err := loops[i].run(rows, b.time(100*time.Millisecond))
			if err != nil {
				return nil, all[i], err
			}
			rates[i] = append(rates[i], r.runs/r.wall)
		}
	}
	best := 0
	for i := range all {
		if spreadOf(rates[i][1:]).Median > 1.02*spreadOf(rates[best][1:]).Median {
			best = i
		}
	}
	chosen := loops[best]
	loops[best] = nil
	return chosen, all[best], nil
}
