//go:build cgo && linux

package mallocs

// long long gw_mallocs(void);
// long long gw_mapped(void);
// void gw_leave(int pieces);
import "C"

// Count is how often native code has allocated memory since the process began;
// the difference of two counts is what lay between them, on all threads. ok is
// false where nothing is counted.
func Count() (n int64, ok bool) {
	n = int64(C.gw_mallocs())
	return n, n > 0
}

// Mapped is how many bytes native code holds in pieces so large that the C
// library maps each by itself: at least all those of more than 32 MiB.
func Mapped() int64 { return int64(C.gw_mapped()) }

// Leave uses so many pieces of 100 KiB, at most 1000, and leaves them to the C library.
func Leave(pieces int) { C.gw_leave(C.int(pieces)) }
