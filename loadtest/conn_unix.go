//go:build unix

package loadtest

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// closedByPeer looks, without waiting, whether the other side has closed conn,
// or sent what nobody asked for, as a farewell. Where it cannot look it says no.
func closedByPeer(conn net.Conn) bool {
	secure, isTLS := conn.(*tls.Conn)
	if isTLS {
		conn = secure.NetConn()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil && n > 0:
			gone = !isTLS // TLS has messages of its own
		case err == nil:
			gone = true
		default:
			gone = !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
		}
		return true
	})
	return gone
}
