//go:build !linux

package tune

import (
	"runtime"
	"time"
)

// usage is not known here.
func usage(int) (cpu time.Duration, peak int64, err error) { return 0, 0, nil }

func thisMachine() Machine {
	return Machine{Processor: runtime.GOARCH, Processors: runtime.NumCPU(), Kernel: runtime.GOOS}
}

// available is not known here.
func available() int64 { return 0 }
