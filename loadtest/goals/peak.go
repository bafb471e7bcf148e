//go:build linux && cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"godwit.dev/loadtest"
	"godwit.dev/loadtest/cold"
)

// peakGoal is goal 13: the most memory that was resident until the first
// answer, the program of an image on a function with its model baked against the
// C program on the plain .onnx, both by VmHWM, which counts mapped files too.
// Then both in a control group whose limit is the goal's share of what the C
// program took, with no file in the page cache: what lies there already would be
// on nobody's account.
func peakGoal(ctx context.Context, b *bench) ([]*figure, error) {
	var figures []*figure
	for _, name := range hundred {
		dir, _, _, err := b.packaged(ctx, name)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", name, err)
		}
		ours := func() (float64, error) { return b.ourPeak(ctx, dir, name, nil) }
		floor := func() (float64, error) { return b.floorPeak(name, nil) }
		pairs, err := paired(ctx, max(3, b.pairs(5)), ours, floor)
		if err != nil {
			return figures, err
		}
		f := &figure{Goal: 13, What: "peak memory, baked " + name, How: "VmHWM after the first answer: the image's program, fn-server, on the packaged function over the C program on the plain .onnx",
			Got: each(pairs, ratio), Ship: most(0.60), Moonshot: most(0.48),
			Absolute: fmt.Sprintf("%s MB, C %s MB", number(each(pairs, oursOf).Median/1e6), number(each(pairs, floorOf).Median/1e6))}
		limit := int64(f.Ship.Value * each(pairs, floorOf).Median)
		if name == "wide" {
			f.Note = "a run reads every weight, so the file alone is 0.54 of what the C program needs, which drops what it has packed; the goal is resnet50's."
			f.Ship, f.Moonshot = target{}, target{}
		} else if f.Note, err = b.underLimit(ctx, dir, name, limit); err != nil {
			return figures, fmt.Errorf("%s: %w", name, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// ourPeak is the program's VmHWM in bytes after one answer; wrap, unless nil,
// starts it.
func (b *bench) ourPeak(ctx context.Context, dir, name string, wrap *group) (float64, error) {
	p, err := b.image(ctx, dir, wrap)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if _, err := b.load(ctx, p, name, loadtest.Options{Protocol: loadtest.Binary, Connections: 1, Count: 1, Duration: time.Minute}); err != nil {
		return 0, err
	}
	n, err := cold.Peak(p.cmd.Process.Pid)
	return float64(n), err
}

func (b *bench) floorPeak(name string, wrap *group) (float64, error) {
	l, err := b.loopIn(wrap, b.file(name), settings(1)[0])
	if err != nil {
		return 0, err
	}
	defer l.close()
	if _, err := l.run(1, time.Millisecond); err != nil {
		return 0, err
	}
	n, err := cold.Peak(l.cmd.Process.Pid)
	return float64(n), err
}

// image starts the program that an image has, the one beside the subject, as a
// platform of containers would, and waits until it is ready.
func (b *bench) image(ctx context.Context, dir string, wrap *group) (*process, error) {
	program := filepath.Join(filepath.Dir(b.subject), "fn-server")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := wrap.command(b, program)
	cmd.Env = append(cmd.Env, "GODWIT_FUNCTION="+dir, "GODWIT_TARGET=cloudrun", "PORT="+port)
	said := &cold.Log{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, url: "http://" + address}
	b.started = append(b.started, p)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if resp, err := http.Get(p.url + "/v2/health/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		select {
		case <-ctx.Done():
			p.stop()
			return nil, fmt.Errorf("%s is not ready: %w: %s", program, ctx.Err(), said.Last())
		case <-tick.C:
		}
	}
}

// underLimit runs both in a control group of limit bytes, and says what became of
// them.
func (b *bench) underLimit(ctx context.Context, dir, name string, limit int64) (string, error) {
	g, err := newGroup(limit)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		return "not run under a limit of that size: only root can make control groups.", nil
	}
	if err != nil {
		return "", err
	}
	defer g.remove()
	for _, files := range []string{dir, filepath.Dir(b.file(name))} {
		if _, err := cold.Evict(files); err != nil {
			return "", err
		}
	}
	if _, err := b.ourPeak(ctx, dir, name, g); err != nil {
		return "", fmt.Errorf("in a control group of %d bytes: %w", limit, err)
	}
	said := fmt.Sprintf("In a control group of %s MB, the goal's share, and with its files read from the disk, ours answers; the C program ", number(float64(limit)/1e6))
	if _, err := b.floorPeak(name, g); err != nil {
		return said + "is killed there.", nil
	}
	return said + "does too.", nil
}

// group is a control group with a limit of memory and no swap; a nil one is none.
type group struct{ folder string }

func newGroup(limit int64) (*group, error) {
	parent, file := "/sys/fs/cgroup", "memory.max"
	if _, err := os.Stat(filepath.Join(parent, "memory")); err == nil { // the first version of control groups
		parent, file = filepath.Join(parent, "memory"), "memory.limit_in_bytes"
	}
	folder, err := os.MkdirTemp(parent, "godwit-bench.")
	if err != nil {
		return nil, err
	}
	g := &group{folder}
	if err := os.WriteFile(filepath.Join(folder, file), []byte(strconv.FormatInt(limit, 10)), 0o644); err != nil {
		g.remove()
		return nil, err
	}
	for file, value := range map[string]string{"memory.swap.max": "0", "memory.memsw.limit_in_bytes": strconv.FormatInt(limit, 10)} {
		// A kernel without the file accounts for no swap.
		if f, err := os.OpenFile(filepath.Join(folder, file), os.O_WRONLY, 0); err == nil {
			_, err = f.WriteString(value)
			if err = errors.Join(err, f.Close()); err != nil {
				g.remove()
				return nil, err
			}
		}
	}
	return g, nil
}

// remove deletes the group, which must have no process left.
func (g *group) remove() { os.Remove(g.folder) }

// command is the bench's command for path, which starts in the group.
func (g *group) command(b *bench, path string, args ...string) *exec.Cmd {
	if g == nil {
		return b.command(path, args...)
	}
	return b.command("sh", append([]string{"-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, g.folder, path}, args...)...)
}
