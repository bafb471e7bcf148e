//go:build unix && !linux

package isolate

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const noSignal = 0 // a socket option says it where there is no flag

// attributes of a worker: a process group of its own. It notices its parent's
// end by the control socket.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func program(path string) string { return path }

// newMemory makes a file that has no name any more.
func newMemory(size int) (fd int, err error) {
	f, err := os.CreateTemp("", "godwit-*")
	if err != nil {
		return -1, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return -1, err
	}
	if err := f.Truncate(int64(size)); err != nil {
		return -1, err
	}
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
}

func socketPair() (ours, theirs int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	return fds[0], fds[1], err
}

const noCore = 0

// limitMemory bounds the address space by n bytes; some systems ignore it.
func limitMemory(n int64) error {
	return unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: uint64(n), Max: uint64(n)})
}
