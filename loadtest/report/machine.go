package report

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// ThisMachine is the one that this process runs on; what the system does not
// tell is empty.
func ThisMachine() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: runtime.GOARCH, Cores: runtime.NumCPU()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name, ok := entry(string(text), "model name"); ok {
			m.CPU = name
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if value, ok := entry(string(text), "MemTotal"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64) // 0 where it is in another form
			m.Memory = kb << 10
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	return m
}

// entry is the first value of that name in lines of "name : value".
func entry(text, want string) (string, bool) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == want {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
