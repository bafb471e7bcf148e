package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// slow is what makes a test one that is asked only when the others saw nothing.
const slow = time.Second

// runner runs the tests of an instrumented package.
type runner struct {
	p       *pack
	work    string
	binary  string
	mutants []*mutant
	tests   []*test
	skip    *regexp.Regexp // tests not to ask; nil: none
}

// test is one test function.
type test struct {
	name    string
	took    time.Duration
	reaches map[int]bool // ids of mutants
}

var compilerSays = regexp.MustCompile(`(?m)^(?:vet: )?(\S+\.go):(\d+):\d+: .*$`)

// build compiles the package's tests with all mutants in it. Mutants that do
// not compile are left out where drop says so.
func build(ctx context.Context, p *pack, mutants []*mutant, work string, drop bool) (*runner, error) {
	r := &runner{p: p, work: work, binary: filepath.Join(work, "tests"), mutants: mutants}
	for range 20 {
		replace := map[string]string{}
		put := func(path, text string) error {
			replace[path] = filepath.Join(work, filepath.Base(path))
			return os.WriteFile(replace[path], []byte(text), 0o600)
		}
		for _, s := range p.files {
			if err := put(s.path, instrument(s, r.mutants)); err != nil {
				return nil, err
			}
		}
		if err := put(filepath.Join(p.dir, "mutate_switches.go"), switches(p.types.Name())); err != nil {
			return nil, err
		}
		overlay, err := json.Marshal(map[string]any{"Replace": replace})
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(work, "overlay.json"), overlay, 0o600); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", filepath.Join(work, "overlay.json"), "-o", r.binary, ".")
		cmd.Dir = p.dir
		out, err := cmd.CombinedOutput()
		if err == nil {
			return r, nil
		}
		if drop && r.drop(string(out)) {
			continue
		}
		return nil, fmt.Errorf("go test -c: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil, errors.New("want mutants that compile, got none after 20 tries")
}

// drop leaves out the mutants of the lines that the compiler complains about.
func (r *runner) drop(output string) bool {
	before := len(r.mutants)
	for _, at := range compilerSays.FindAllStringSubmatch(output, -1) {
		line, _ := strconv.Atoi(at[2])
		r.mutants = slices.DeleteFunc(r.mutants, func(m *mutant) bool {
			last := m.line + bytes.Count(m.file.text[m.start:m.end], []byte("\n"))
			return filepath.Base(m.file.path) == filepath.Base(at[1]) && m.line <= line && line <= last
		})
	}
	return len(r.mutants) < before
}

// survey runs every test by itself, without a mistake, and notes how long it
// takes and which mutants it reaches.
func (r *runner) survey(ctx context.Context) error {
	if err := r.make(traceAll); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, r.binary, "-test.list", ".")
	cmd.Dir = r.p.dir
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("tests: %w", err)
	}
	for scan := bufio.NewScanner(bytes.NewReader(out)); scan.Scan(); {
		name := scan.Text()
		if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") && !strings.HasPrefix(name, "Example") {
			continue
		}
		if r.skip != nil && r.skip.MatchString(name) {
			continue
		}
		t := &test{name: name, reaches: map[int]bool{}}
		trace := filepath.Join(r.work, traceFile)
		start := time.Now()
		res := r.run(ctx, []*test{t}, 10*time.Minute)
		if res.err != nil {
			return fmt.Errorf("want %s to pass without a mistake, got: %w\n%s", name, res.err, res.output)
		}
		t.took = time.Since(start)
		seen, err := os.ReadFile(trace)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		_ = os.Remove(trace)
		for id := range strings.FieldsSeq(string(seen)) {
			n, _ := strconv.Atoi(id)
			t.reaches[n] = true
		}
		r.tests = append(r.tests, t)
	}
	slices.SortStableFunc(r.tests, func(a, b *test) int { return cmp.Compare(a.took, b.took) })
	return ctx.Err()
}

// try runs the tests that reach m with m made: first the quick ones at once,
// then each of the others. Those may be slow because they measure time, so what
// one of them sees counts when it sees it twice.
func (r *runner) try(ctx context.Context, m *mutant, quick bool) (fate, by string, err error) {
	var short, long []*test
	for _, t := range r.tests {
		switch {
		case !t.reaches[m.id]:
		case t.took < slow:
			short = append(short, t)
		default:
			long = append(long, t)
		}
	}
	if len(short)+len(long) == 0 {
		return unreached, "", nil
	}
	if err := r.make(strconv.Itoa(m.id)); err != nil {
		return "", "", err
	}
	if len(short) > 0 {
		if res := r.run(ctx, short, limit(short)); res.err != nil {
			return res.fate, res.by, ctx.Err()
		}
	}
	for _, t := range long {
		if quick {
			break
		}
		one := []*test{t}
		if res := r.run(ctx, one, limit(one)); res.err == nil {
			continue
		} else if res.fate == timedOut {
			return res.fate, res.by, ctx.Err()
		}
		if res := r.run(ctx, one, limit(one)); res.err != nil {
			return res.fate, res.by, ctx.Err()
		}
	}
	return survived, "", ctx.Err()
}

// limit is how long tests may take before a mistake has them hang.
func limit(tests []*test) time.Duration {
	d := 20 * time.Second
	for _, t := range tests {
		d += 4 * t.took
	}
	return d
}

type result struct {
	err      error
	fate, by string
	output   string
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// make has what runs next make one mistake, or note which it comes by.
func (r *runner) make(made string) error {
	return os.WriteFile(filepath.Join(r.work, madeFile), []byte(made), 0o600)
}

// run runs tests and says how they ended; err is nil when all passed.
func (r *runner) run(ctx context.Context, tests []*test, limit time.Duration) result {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = t.name
	}
	ctx, cancel := context.WithTimeout(ctx, limit+10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.binary, "-test.failfast", "-test.timeout="+limit.String(), "-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Dir = r.p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // tests may start processes
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	res := result{err: cmd.Run(), fate: killed}
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what a failed test has left
	}
	r.sweep()
	if res.err == nil || errors.Is(res.err, exec.ErrWaitDelay) {
		return result{}
	}
	res.output = out.String()
	if ctx.Err() != nil || strings.Contains(res.output, "panic: test timed out after") {
		res.fate = timedOut
	}
	if at := failed.FindStringSubmatch(res.output); at != nil {
		res.by = at[1]
	}
	return res
}

// sweep ends what tests have left running in a process group of its own, where
// the system says which processes run our binary.
func (r *runner) sweep() {
	processes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range processes {
		if path, err := os.Readlink(exe); err != nil || path != r.binary {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(exe))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
