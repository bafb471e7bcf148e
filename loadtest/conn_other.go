//go:build !unix

package loadtest

import "net"

// closedByPeer cannot look here.
func closedByPeer(net.Conn) bool { return false }
