//go:build !linux

package loadtest

// Listener finds nothing where there is no /proc.
func Listener(int) (pid int, ok bool) { return 0, false }

// ProcessUsage knows nothing where there is no /proc.
func ProcessUsage(int) (Usage, bool) { return Usage{}, false }
