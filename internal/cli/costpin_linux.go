package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/fault"
)

// pin has this process, and what it starts, run on its first processor until the
// returned free.
func pin() (free func(), err error) {
	var all, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fault.New(fault.Internal, "", "affinity", "%w", err)
	}
	for cpu := 0; first.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			first.Set(cpu)
		}
	}
	if err := setAffinity(&first); err != nil {
		return nil, err
	}
	return func() { setAffinity(&all) }, nil // what could be set once can be set back
}

// setAffinity is of every thread: new ones get that of the one that makes them.
func setAffinity(set *unix.CPUSet) error {
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return fault.New(fault.Internal, "", "affinity", "%w", err)
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(filepath.Base(thread))
		if err == nil {
			err = unix.SchedSetaffinity(tid, set)
		}
		if err != nil && err != unix.ESRCH { // gone meanwhile
			return fault.New(fault.Internal, "", "affinity", "%w", err)
		}
	}
	return nil
}

// processorTime is what the threads of a process that live have used.
func processorTime(pid int) time.Duration {
	var sum time.Duration
	stats, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "schedstat"))
	if err != nil {
		return 0
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // gone meanwhile
		}
		ns, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err == nil {
			sum += time.Duration(n)
		}
	}
	return sum
}

// processorName is what Linux calls this machine's.
func processorName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
