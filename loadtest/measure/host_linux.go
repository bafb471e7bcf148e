package measure

import (
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is the machine that something was measured on.
type Host struct {
	Time            string // when, in UTC
	Machine, Kernel string // the processor's name
	Processors      int
	Load            string // the load average: who else was busy
	Go              string
}

// ThisHost is this machine, now.
func ThisHost() Host {
	h := Host{Time: time.Now().UTC().Format("2006-01-02 15:04 UTC"), Machine: runtime.GOARCH, Processors: runtime.NumCPU(), Go: runtime.Version()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(text), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				h.Machine = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil && len(strings.Fields(string(text))) > 0 {
		h.Load = strings.Fields(string(text))[0]
	}
	return h
}
