package quota

import (
	"strconv"
	"strings"
)

// Use is how much memory counts against the limit, in bytes.
type Use struct {
	// Held is what the kernel cannot take back when memory runs out: all that
	// is counted, less the pages of files, which it drops or writes out. Held
	// near the limit is what ends in an OOM kill.
	Held int64
	File int64  // pages of files: mapped weights are here, and look larger than the harm they do
	From string // "cgroup v2 memory.current", …, "proc"
}

// Gauge reads the memory in use, of the control group whose limit is tightest,
// which may hold other processes too, or else of this process alone. It may be
// used concurrently.
type Gauge struct {
	src   Source
	group group
	found bool
}

// NewGauge looks for the control group once; it does not change while a
// process lives, and Read is called often.
func NewGauge(src Source) *Gauge {
	g := &Gauge{src: src}
	var tightest Quota
	for _, at := range groups(src.FS) {
		before := tightest.Memory
		if at.v2 {
			tightest.memory(int64(number(read(src.FS, at.dir, "memory.max"))), "v2")
		} else if at.memory {
			tightest.memory(int64(number(read(src.FS, at.dir, "memory.limit_in_bytes"))), "v1")
		}
		if tightest.Memory != before && g.of(at).Held > 0 {
			g.group, g.found = at, true
		}
	}
	return g
}

// Read is the memory in use now. What cannot be read counts as nothing.
func (g *Gauge) Read() Use {
	if g.found {
		return g.of(g.group)
	}
	pages := strings.Fields(read(g.src.FS, "proc/self", "statm"))
	if len(pages) < 3 {
		return Use{}
	}
	const page = 4096 // of statm on every platform that has limits; elsewhere this is a guide
	resident, shared := int64(number(pages[1]))*page, int64(number(pages[2]))*page
	return Use{Held: max(resident-shared, 0), File: shared, From: "proc"}
}

func (g *Gauge) of(at group) Use {
	name, prefix, from := "memory.usage_in_bytes", "total_", "cgroup v1 memory.usage_in_bytes"
	if at.v2 {
		name, prefix, from = "memory.current", "", "cgroup v2 memory.current"
	}
	all := int64(number(read(g.src.FS, at.dir, name)))
	var file int64
	// The lists of file pages leave out shared memory, which is not given back.
	for line := range strings.Lines(read(g.src.FS, at.dir, "memory.stat")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key == prefix+"inactive_file" || key == prefix+"active_file" {
			n, err := strconv.ParseInt(value, 10, 64)
			if err == nil && n > 0 {
				file += n
			}
		}
	}
	return Use{Held: max(all-file, 0), File: min(file, all), From: from}
}
