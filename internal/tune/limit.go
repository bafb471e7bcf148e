package tune

import (
	"fmt"
	"strings"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/quota"
)

// Shape is the size that a server is held to; a zero is not limited.
type Shape struct {
	CPUs   float64
	Memory int64 // bytes
}

// String is "1 CPU, 512MiB".
func (s Shape) String() string {
	var parts []string
	if s.CPUs == 1 {
		parts = append(parts, "1 CPU")
	} else if s.CPUs > 0 {
		parts = append(parts, fmt.Sprintf("%g CPUs", s.CPUs))
	}
	if s.Memory > 0 {
		parts = append(parts, spec.Bytes(s.Memory).String())
	}
	if len(parts) == 0 {
		return "no limit"
	}
	return strings.Join(parts, ", ")
}

// Ways of holding a process to a shape.
const (
	cgroupV2   = "cgroup v2"
	cgroupV1   = "cgroup v1"
	systemdRun = "systemd-run"
	affinity   = "affinity"
	none       = "none"
)

// holds reports whether what a server sees is what it was to be held to: a quota
// to a hundredth, memory to a page.
func (s Shape) holds(q quota.Quota) error {
	if s.CPUs > 0 && (q.CPUs > s.CPUs+0.01 || q.CPUs < s.CPUs-0.01) {
		return fmt.Errorf("want a quota of %g CPUs, got %g by %s", s.CPUs, q.CPUs, q.CPUFrom)
	}
	if s.Memory > 0 && (q.Memory > s.Memory+4096 || q.Memory < s.Memory-4096) {
		return fmt.Errorf("want a limit of %v of memory, got %v by %q", spec.Bytes(s.Memory), spec.Bytes(q.Memory), q.MemoryFrom)
	}
	return nil
}
