package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// machine tells how much processor time the server has had, and how much more
// it could have had: what other programs take of its processors meanwhile is
// no fault of its.
type machine struct {
	pid  int
	cpus []string // as /proc/stat names those that the server may use
}

// tick is Linux's unit of processor times in /proc, in seconds: USER_HZ, which
// is 100 wherever Go runs.
const tick = 0.01

func newMachine(pid int) (*machine, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(status), "Cpus_allowed_list:")
	list, _, _ := strings.Cut(rest, "\n")
	m := &machine{pid: pid}
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		low, high, ok := strings.Cut(part, "-")
		if !ok {
			high = low
		}
		from, err := strconv.Atoi(low)
		if err != nil {
			return nil, fmt.Errorf("list of processors %q: %w", list, err)
		}
		to, err := strconv.Atoi(high)
		if err != nil {
			return nil, fmt.Errorf("list of processors %q: %w", list, err)
		}
		for ; from <= to; from++ {
			m.cpus = append(m.cpus, "cpu"+strconv.Itoa(from))
		}
	}
	return m, nil
}

// could is the time in seconds that the server has used its processors for up
// to now, and that nobody has: only differences mean something.
func (m *machine) could() (float64, error) {
	own, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(m.pid), "stat"))
	if err != nil {
		return 0, err
	}
	after := string(own[strings.LastIndexByte(string(own), ')')+1:]) // the program's name may hold anything
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", m.pid, len(fields))
	}
	ticks, err := sum(fields[11:13]) // utime, stime
	if err != nil {
		return 0, err
	}
	all, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(all)) {
		if f := strings.Fields(line); len(f) > 5 && slices.Contains(m.cpus, f[0]) {
			idle, err := sum(f[4:6]) // idle, iowait
			if err != nil {
				return 0, err
			}
			ticks += idle
		}
	}
	return float64(ticks) * tick, nil
}

func sum(fields []string) (total int64, err error) {
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
