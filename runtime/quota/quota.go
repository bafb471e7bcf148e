// Package quota reads how much CPU and memory this process may use: the
// container's share, not the host's cores. ONNX Runtime sees only the host,
// so every thread count in Godwit comes from here.
package quota

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// Source is where Read looks. Tests hand in a made-up tree.
type Source struct {
	FS     fs.FS               // the root file system: os.DirFS("/")
	Getenv func(string) string // the environment
	CPUs   int                 // processors that the scheduler gives us: runtime.NumCPU()
}

// Quota is what may be used.
type Quota struct {
	CPUs       float64 // processors, at least a positive fraction
	CPUFrom    string  // why: "affinity", "cgroup v2 cpu.max", …
	Memory     int64   // bytes; 0 when there is no limit
	MemoryFrom string  // "" when there is no limit
	Cache      int64   // bytes of the processor's last-level cache; 0 when not known
}

// lambdaMBPerCPU: a Lambda function gets one vCPU per 1,769 MB of memory
// (AWS, "Configure Lambda function memory"), whatever cores it sees.
const lambdaMBPerCPU = 1769

// noLimit is how cgroup v1 says "no limit": the largest page-aligned int64.
const noLimit = math.MaxInt64 &^ 0xfff

// Read returns the tightest limits that src shows: affinity, cgroup v1 or v2
// with every ancestor, and Lambda's memory size. What cannot be read does not limit.
func Read(src Source) Quota {
	q := Quota{CPUs: float64(max(src.CPUs, 1)), CPUFrom: "affinity"}
	for _, g := range groups(src.FS) {
		g.limit(src.FS, &q)
	}
	if mb, err := strconv.Atoi(src.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")); err == nil && mb > 0 {
		q.cpu(float64(mb)/lambdaMBPerCPU, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
		q.memory(int64(mb)<<20, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
	}
	q.Cache = cache(src.FS)
	return q
}

// cache is the largest of the first processor's caches. Others may share it,
// and a virtual machine may see all of a cache of which it has a part.
func cache(fsys fs.FS) int64 {
	largest := int64(0)
	for i := range 8 {
		kib, ok := strings.CutSuffix(read(fsys, "sys/devices/system/cpu/cpu0/cache/index"+strconv.Itoa(i), "size"), "K")
		if n := number(kib); ok && n < 1<<30 {
			largest = max(largest, int64(n)<<10)
		}
	}
	return largest
}

// Threads is the number of threads that keep the CPU quota busy: at least 1,
// rounded to the nearest, since 1.9 CPUs are better used by two threads than by one.
func (q Quota) Threads() int { return max(1, int(math.Round(q.CPUs))) }

func (q *Quota) cpu(n float64, from string) {
	if n > 0 && n < q.CPUs {
		q.CPUs, q.CPUFrom = n, from
	}
}

func (q *Quota) memory(n int64, from string) {
	if n > 0 && n < noLimit && (q.Memory == 0 || n < q.Memory) {
		q.Memory, q.MemoryFrom = n, from
	}
}

// group is one control group directory of one hierarchy.
type group struct {
	dir    string // below /, such as "sys/fs/cgroup/cpu/docker/1"
	v2     bool
	cpu    bool
	memory bool
}

func (g group) limit(fsys fs.FS, q *Quota) {
	switch {
	case g.v2:
		if quota, period, ok := strings.Cut(read(fsys, g.dir, "cpu.max"), " "); ok && quota != "max" {
			q.cpu(number(quota)/number(period), "cgroup v2 cpu.max")
		}
		q.memory(int64(number(read(fsys, g.dir, "memory.max"))), "cgroup v2 memory.max")
	case g.cpu:
		quota, period := number(read(fsys, g.dir, "cpu.cfs_quota_us")), number(read(fsys, g.dir, "cpu.cfs_period_us"))
		q.cpu(quota/period, "cgroup v1 cpu.cfs_quota_us")
	case g.memory:
		q.memory(int64(number(read(fsys, g.dir, "memory.limit_in_bytes"))), "cgroup v1 memory.limit_in_bytes")
	}
}

// groups lists our control groups and their ancestors. Inside a container
// /proc/self/cgroup may name a path of the host that does not exist here; the
// mount's root is then our group, and it is always in the list.
func groups(fsys fs.FS) []group {
	var all []group
	for line := range strings.Lines(read(fsys, "proc/self", "cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" && parts[1] == "" {
			for dir := range ancestors("sys/fs/cgroup", parts[2]) {
				all = append(all, group{dir: dir, v2: true})
			}
			continue
		}
		controllers := strings.Split(parts[1], ",")
		for _, c := range controllers {
			if c != "cpu" && c != "memory" {
				continue
			}
			for _, mount := range []string{c, parts[1]} {
				for dir := range ancestors("sys/fs/cgroup/"+mount, parts[2]) {
					all = append(all, group{dir: dir, cpu: c == "cpu", memory: c == "memory"})
				}
			}
		}
	}
	return all
}

func ancestors(mount, rel string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for rel = path.Clean("/" + rel); rel != "/"; rel = path.Dir(rel) {
			if !yield(mount + rel) {
				return
			}
		}
		yield(mount)
	}
}

func read(fsys fs.FS, dir, name string) string {
	data, err := fs.ReadFile(fsys, path.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// number is 0 for anything that is not a positive number: "max", "-1", "".
// NaN and infinity, from a quota over a missing period, compare false in cpu.
func number(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
