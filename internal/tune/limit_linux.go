package tune

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/quota"
)

// Limiter holds processes to a shape, in the best way that this machine allows:
// a control group of its own, else a scope of systemd's, else some whole
// processors, else not at all. The processes that it starts end with this one.
// Its methods are for one goroutine.
type Limiter struct {
	how     string
	why     []string // why not in a better way
	program []string // of systemd-run
	groups  []string // the folders that groups are made in
	apart   unix.CPUSet
	all     unix.CPUSet // what this process had before it made room
	moved   bool
}

// NewLimiter finds out what is there, by trying it on a process that does nothing.
func NewLimiter(ctx context.Context) (*Limiter, error) {
	l := &Limiter{}
	for _, try := range []func(context.Context) error{l.useV2, l.useV1, l.useSystemd, l.useAffinity} {
		err := try(ctx)
		if err == nil {
			err = l.probe(ctx)
		}
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		l.Close()
		l.why = append(l.why, strings.Join(strings.Fields(err.Error()), " "))
	}
	l.how = none
	return l, nil
}

// How is the way: "cgroup v2", "cgroup v1", "systemd-run", "affinity" or "none".
func (l *Limiter) How() string { return l.how }

// Memory reports whether memory can be limited, and Fractions whether parts of a
// processor can.
func (l *Limiter) Memory() bool    { return l.how != affinity && l.how != none }
func (l *Limiter) Fractions() bool { return l.Memory() }

// Why is why there is no better way.
func (l *Limiter) Why() string { return strings.Join(l.why, "; ") }

// Beside says where the client runs, since it must not be within the limit.
func (l *Limiter) Beside(s Shape) string {
	n := runtime.NumCPU()
	switch {
	case l.moved:
		return fmt.Sprintf("the client runs on the %d other processors", l.apart.Count())
	case l.how == none || s.CPUs == 0:
		return fmt.Sprintf("the client shares the machine's %d processors with the server", n)
	case s.CPUs > float64(n)-1:
		return fmt.Sprintf("the client runs outside of the quota, which leaves less than one of the machine's %d processors to it", n)
	}
	return fmt.Sprintf("the client runs outside of the quota, on a machine of %d processors", n)
}

// Close gives this process its processors back.
func (l *Limiter) Close() {
	if l.moved {
		eachThread(&l.all)
		l.moved = false
	}
}

func (l *Limiter) useV2(context.Context) error {
	const root = "/sys/fs/cgroup"
	own := root
	if text, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(text)) {
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/"); ok {
				own = filepath.Join(root, path)
			}
		}
	}
	var first error
	for _, in := range []string{root, filepath.Dir(own), own} {
		if !strings.HasPrefix(in, root) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(in, "cgroup.subtree_control"))
		if have := " " + strings.TrimSpace(string(text)) + " "; err == nil && !(strings.Contains(have, " cpu ") && strings.Contains(have, " memory ")) {
			err = fmt.Errorf("%s hands no cpu and memory on", in)
		}
		if err == nil {
			err = mayMake(in)
		}
		if err == nil {
			l.how, l.groups = cgroupV2, []string{in}
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return fmt.Errorf("%s: %w", cgroupV2, first)
}

func (l *Limiter) useV1(context.Context) error {
	l.groups = nil
	for _, controller := range []string{"cpu", "memory"} {
		in := filepath.Join("/sys/fs/cgroup", controller)
		if err := mayMake(in); err != nil {
			return fmt.Errorf("%s: %w", cgroupV1, err)
		}
		l.groups = append(l.groups, in)
	}
	l.how = cgroupV1
	return nil
}

func mayMake(in string) error {
	made, err := os.MkdirTemp(in, "godwit-tune.")
	if err != nil {
		return err
	}
	defer os.Remove(made)
	_, err = os.Stat(filepath.Join(made, "cgroup.procs"))
	return err
}

func (l *Limiter) useSystemd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var last error
	for _, scope := range []string{"--user", "--system"} {
		program := []string{"systemd-run", scope, "--scope", "--quiet", "--collect"}
		out, err := exec.CommandContext(ctx, program[0], append(program[1:], "true")...).CombinedOutput()
		if err == nil {
			l.how, l.program = systemdRun, program
			return nil
		}
		last = fmt.Errorf("%s %s: %w %s", systemdRun, scope, err, bytes.TrimSpace(out))
	}
	return last
}

func (l *Limiter) useAffinity(context.Context) error {
	if err := unix.SchedGetaffinity(0, &l.all); err != nil {
		return fmt.Errorf("%s: %w", affinity, err)
	}
	l.how = affinity
	return nil
}

// probe starts a process within a small shape and looks whether it is held to it.
func (l *Limiter) probe(ctx context.Context) error {
	s := Shape{CPUs: 1}
	if l.Memory() {
		s = Shape{CPUs: 0.5, Memory: 64 << 20}
	}
	c, err := l.cage(s)
	if err != nil {
		return err
	}
	defer c.close()
	cmd := exec.CommandContext(ctx, "sh", "-c", "echo ready; read end; exit 0")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.start(cmd); err != nil {
		return fmt.Errorf("%s: %w", l.how, err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var seen error
	if err == nil && line == "ready\n" {
		seen = s.holds(sees(cmd.Process.Pid))
	} else {
		seen = fmt.Errorf("a process that is to be held does not start: %w", err)
	}
	in.Close()
	if err := cmd.Wait(); seen == nil {
		seen = err
	}
	if seen != nil {
		return fmt.Errorf("%s: %w", l.how, seen)
	}
	return nil
}

// cage is one process's limits.
type cage struct {
	l      *Limiter
	shape  Shape
	groups []string // its own, in the order of the limiter's
	cpus   unix.CPUSet
}

// cage makes what holds one process to s. close takes it away again, after the
// process.
func (l *Limiter) cage(s Shape) (c *cage, err error) {
	c = &cage{l: l, shape: s}
	if s == (Shape{}) {
		return c, nil
	}
	defer func() {
		if err != nil {
			c.close()
			err = fault.New(fault.Runtime, "tune.Limit", l.how, "%w", err)
		}
	}()
	switch l.how {
	case cgroupV2, cgroupV1:
		for _, in := range l.groups {
			made, err := os.MkdirTemp(in, "godwit-tune.")
			if err != nil {
				return nil, err
			}
			c.groups = append(c.groups, made)
		}
		return c, c.write()
	case affinity:
		if s.Memory > 0 || s.CPUs != math.Trunc(s.CPUs) {
			return nil, fmt.Errorf("want whole processors and no limit of memory, got %v", s)
		}
		n := int(s.CPUs)
		if n > l.all.Count() {
			return nil, fmt.Errorf("want at most %d processors, got %d", l.all.Count(), n)
		}
		l.apart.Zero()
		for cpu := range 1024 {
			switch {
			case !l.all.IsSet(cpu):
			case c.cpus.Count() < n:
				c.cpus.Set(cpu)
			default:
				l.apart.Set(cpu)
			}
		}
	case none:
		return nil, errors.New("nothing on this machine limits a process")
	}
	return c, nil
}

// write sets the limits of the groups. CPU has the usual period of 100 ms, as the
// platforms' own.
func (c *cage) write() error {
	const period = 100_000
	set := func(in int, name, value string) error {
		return os.WriteFile(filepath.Join(c.groups[in], name), []byte(value), 0o644)
	}
	optional := func(in int, name, value string) error {
		// A kernel without the file accounts for no swap.
		if _, err := os.Stat(filepath.Join(c.groups[in], name)); err != nil {
			return nil
		}
		return set(in, name, value)
	}
	quota, memory := strconv.Itoa(int(math.Round(c.shape.CPUs*period))), strconv.FormatInt(c.shape.Memory, 10)
	var all []error
	v2 := c.l.how == cgroupV2
	if c.shape.CPUs > 0 && v2 {
		all = append(all, set(0, "cpu.max", quota+" "+strconv.Itoa(period)))
	} else if c.shape.CPUs > 0 {
		all = append(all, set(0, "cpu.cfs_period_us", strconv.Itoa(period)), set(0, "cpu.cfs_quota_us", quota))
	}
	if c.shape.Memory > 0 && v2 {
		all = append(all, set(0, "memory.max", memory), optional(0, "memory.swap.max", "0"))
	} else if c.shape.Memory > 0 {
		all = append(all, set(1, "memory.limit_in_bytes", memory), optional(1, "memory.memsw.limit_in_bytes", memory))
	}
	return errors.Join(all...)
}

// start starts cmd within the limits; cmd's path and arguments are changed for it.
func (c *cage) start(cmd *exec.Cmd) error {
	args := append([]string{cmd.Path}, cmd.Args[1:]...)
	wrap := func(before ...string) error {
		path, err := exec.LookPath(before[0])
		cmd.Path, cmd.Args = path, append(before, args...)
		return err
	}
	switch {
	case c.shape == (Shape{}):
	case len(c.groups) > 0:
		// The shell enters the groups and becomes the program: no thread of it has
		// ever run outside.
		script := `n=$1; shift; while [ $n -gt 0 ]; do echo $$ >"$1/cgroup.procs" || exit 125; shift; n=$((n-1)); done; exec "$@"`
		if err := wrap(append([]string{"sh", "-c", script, "sh", strconv.Itoa(len(c.groups))}, c.groups...)...); err != nil {
			return err
		}
	case c.l.how == systemdRun:
		before := append([]string{}, c.l.program...)
		if c.shape.CPUs > 0 {
			before = append(before, "-p", fmt.Sprintf("CPUQuota=%g%%", c.shape.CPUs*100))
		}
		if c.shape.Memory > 0 {
			before = append(before, "-p", fmt.Sprintf("MemoryMax=%d", c.shape.Memory), "-p", "MemorySwapMax=0")
		}
		if err := wrap(append(before, "--")...); err != nil {
			return err
		}
	case c.l.how == affinity:
		return c.startOn(cmd)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd.Start()
}

// startOn starts cmd from a thread that has the cage's processors alone, which
// the child inherits, and keeps this process off them where it has others.
func (c *cage) startOn(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	var started sync.WaitGroup
	started.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err = unix.SchedSetaffinity(0, &c.cpus); err == nil {
			err = errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &c.l.all))
		}
	})
	started.Wait()
	if err == nil && c.l.apart.Count() > 0 {
		err = eachThread(&c.l.apart)
		c.l.moved = true
	}
	return err
}

// eachThread puts all threads of this process on these processors; those that
// come later inherit that.
func eachThread(cpus *unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		if id, bad := strconv.Atoi(t.Name()); bad == nil {
			if e := unix.SchedSetaffinity(id, cpus); e != nil && !errors.Is(e, unix.ESRCH) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// killed reports whether the kernel has ended a process of the cage for its memory.
func (c *cage) killed() bool {
	files := map[string]string{"memory.events": "oom_kill ", "memory.oom_control": "oom_kill "}
	for _, g := range c.groups {
		for name, key := range files {
			text, _ := os.ReadFile(filepath.Join(g, name))
			for line := range strings.Lines(string(text)) {
				if n, ok := strings.CutPrefix(line, key); ok && strings.TrimSpace(n) != "0" {
					return true
				}
			}
		}
	}
	return false
}

// close removes the groups, whose processes must have ended.
func (c *cage) close() {
	for _, g := range c.groups {
		// The kernel may take a moment to see that the last process is gone.
		for range 50 {
			if err := os.Remove(g); err == nil || !errors.Is(err, unix.EBUSY) {
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	c.groups = nil
}

// sees is the quota that a process reads.
func sees(pid int) quota.Quota {
	var set unix.CPUSet
	n := runtime.NumCPU()
	if unix.SchedGetaffinity(pid, &set) == nil {
		n = set.Count()
	}
	return quota.Read(quota.Source{FS: asSeenBy{pid, os.DirFS("/")}, CPUs: n, Getenv: func(string) string { return "" }})
}

// asSeenBy is the root file system with another process as proc/self.
type asSeenBy struct {
	pid  int
	root fs.FS
}

func (a asSeenBy) Open(name string) (fs.File, error) {
	if rest, ok := strings.CutPrefix(name, "proc/self/"); ok {
		name = fmt.Sprintf("proc/%d/%s", a.pid, rest)
	}
	return a.root.Open(name)
}
