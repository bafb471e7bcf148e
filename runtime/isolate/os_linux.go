package isolate

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const noSignal = unix.MSG_NOSIGNAL

// attributes of a worker: a process group of its own, so that a terminal's
// Ctrl-C reaches the server alone, and death with the thread that started it,
// which the supervisor holds for as long.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// program is path, or the file that this process runs if path names that: it
// stays what it is when an upgrade replaces the file.
func program(path string) string {
	const self = "/proc/self/exe"
	if exe, err := os.Readlink(self); err == nil && exe == path {
		return self
	}
	return path
}

// newMemory makes a file in memory that can neither shrink nor grow any more:
// a worker that cut it short would end the parent with SIGBUS.
func newMemory(size int) (fd int, err error) {
	fd, err = unix.MemfdCreate("godwit", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	if err = unix.Ftruncate(fd, int64(size)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func socketPair() (ours, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	return fds[0], fds[1], err
}

// noCore: a limit of 1 byte and not of 0, because Linux ignores the limit for
// dumps that go to a program, but for this one.
const noCore = 1

// limitMemory lets the process have n more bytes of memory of its own than it
// has now. It counts what is writable and private, not address space, of which
// Go and the C library reserve much that they never use.
func limitMemory(n int64) error {
	has := status("VmData:") << 10
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(has + n), Max: uint64(has + n)})
}

// status is a number of /proc/self/status in KiB, 0 when it is not there.
func status(name string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), name)
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(line), " kB"), 10, 64)
	return n
}
