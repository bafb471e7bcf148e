package cold

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mincore says of each page of mapped whether it is in memory, in the lowest
// bit of pages, which has a byte for each.
func mincore(mapped, pages []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapped[0])), uintptr(len(mapped)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
