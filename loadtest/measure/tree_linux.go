package measure

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one line of a table of processes.
type Process struct {
	PID, Parent int
	// Waited is the CPU time of children that have ended and were waited for,
	// in hundredths of a second as the kernel counts it.
	Waited time.Duration
}

// ParseStat reads a process's line of proc's "stat". The name in it is the
// program's to choose: it may hold blanks and brackets.
func ParseStat(line []byte) (Process, error) {
	bad := func() (Process, error) {
		return Process{}, fmt.Errorf("want a line of /proc/PID/stat, got %.80q", line)
	}
	open, closed := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || closed < open {
		return bad()
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	rest := bytes.Fields(line[closed+1:]) // from the third field on, the state
	if err != nil || len(rest) < 15 {
		return bad()
	}
	var numbers [3]int64
	for i, field := range []int{1, 13, 14} { // ppid, cutime, cstime
		if numbers[i], err = strconv.ParseInt(string(rest[field]), 10, 64); err != nil {
			return bad()
		}
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	return Process{PID: pid, Parent: int(numbers[0]), Waited: time.Duration(numbers[1]+numbers[2]) * tick}, nil
}

// Tree is the process root of the table proc ("/proc"), all that descend from
// it, and all whose environment has the entry mark: what a server starts may
// have left its parent. An empty mark finds none.
func Tree(proc string, root int, mark string) ([]Process, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	var all []Process
	in := map[int]bool{root: true}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join(proc, e.Name(), "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		p, err := ParseStat(line)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
		if mark != "" && !in[pid] {
			env, err := os.ReadFile(filepath.Join(proc, e.Name(), "environ"))
			in[pid] = err == nil && (bytes.HasPrefix(env, []byte(mark+"\x00")) || bytes.Contains(env, []byte("\x00"+mark+"\x00")))
		}
	}
	for grown := true; grown; { // a child may stand before its parent
		grown = false
		for _, p := range all {
			if !in[p.PID] && in[p.Parent] {
				in[p.PID], grown = true, true
			}
		}
	}
	var tree []Process
	for _, p := range all {
		if in[p.PID] {
			tree = append(tree, p)
		}
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("process %d: %w", root, fs.ErrNotExist)
	}
	return tree, nil
}

// CPU is the processor time that a process has used, of all its threads: its
// own clock, which is exact to nanoseconds where /proc counts hundredths of a second.
func CPU(pid int) (time.Duration, error) {
	var t unix.Timespec
	clock := int32(^pid<<3 | 2) // the kernel's name of a process's CPU clock
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// TreeCPU is the processor time of a tree: of its processes' clocks, and of
// the children that have ended.
func TreeCPU(tree []Process) (time.Duration, error) {
	var sum time.Duration
	for _, p := range tree {
		d, err := CPU(p.PID)
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: it has ended
			return 0, err
		}
		sum += d + p.Waited
	}
	return sum, nil
}

// TreePeak is the memory that the processes of a tree have had resident at
// most, in bytes: the sum of their peaks, where shared pages count for each.
func TreePeak(proc string, tree []Process) (int64, error) {
	var sum int64
	for _, p := range tree {
		text, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(p.PID), "status"))
		if err != nil {
			continue
		}
		_, rest, ok := bytes.Cut(text, []byte("\nVmHWM:"))
		if !ok {
			continue // a zombie has no memory
		}
		fields := bytes.Fields(rest)
		if len(fields) < 2 || string(fields[1]) != "kB" {
			return 0, fmt.Errorf("process %d: want VmHWM in kB, got %.40q", p.PID, rest)
		}
		kb, err := strconv.ParseInt(string(fields[0]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process %d: want VmHWM in kB, got %.40q", p.PID, rest)
		}
		sum += kb << 10
	}
	return sum, nil
}
