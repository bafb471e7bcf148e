//go:build !linux

package cold

import (
	"runtime"

	"godwit.dev/runtime/fault"
)

// Evict is for Linux alone: elsewhere nothing shows that pages have left memory.
func Evict(dir string) (Eviction, error) {
	return Eviction{}, fault.New(fault.Unsupported, "cold.Evict", dir, "the page cache cannot be evicted, and that shown, on %s", runtime.GOOS)
}

// Peak is for Linux alone; here it is 0, for not known.
func Peak(int) (int64, error) { return 0, nil }
