//go:build linux || darwin

package httpserve

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// canPeek says that hungUp works here.
const canPeek = true

// hungUp reports whether the peer has closed the connection. Bytes that it has
// sent hide that, as they do from net/http.
func hungUp(raw syscall.RawConn) (gone bool) {
	err := raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = err == nil && n == 0 || err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return gone || err != nil
}

// writeNow writes what the socket takes without waiting: the sockets of package
// net never wait by themselves.
func writeNow(fd uintptr, p []byte) (int, error) { return unix.Write(int(fd), p) }
