package tune

import (
	"os"
	"strconv"
	"strings"
	"time"

	"godwit.dev/loadtest/measure"
)

// usage is the processor time that a process and those that it started have
// used, and the memory that they have had resident at most.
func usage(pid int) (cpu time.Duration, peak int64, err error) {
	tree, err := measure.Tree("/proc", pid, "")
	if err != nil {
		return 0, 0, err
	}
	if cpu, err = measure.TreeCPU(tree); err != nil {
		return 0, 0, err
	}
	peak, err = measure.TreePeak("/proc", tree)
	return cpu, peak, err
}

// thisMachine is what all was measured on.
func thisMachine() Machine {
	h := measure.ThisHost()
	return Machine{Processor: h.Machine, Processors: h.Processors, Kernel: h.Kernel, Load: h.Load}
}

// available is the memory that new processes may take, in bytes; 0 where that is
// not known.
func available() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemAvailable:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}
