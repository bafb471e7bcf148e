package httpserve

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"godwit.dev/runtime/fault"
)

// handoff is the listener of a server that gets its connections from the
// accept loop instead of the network.
type handoff struct {
	address net.Addr
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func newHandoff(address net.Addr) *handoff {
	return &handoff{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handoff) Addr() net.Addr { return h.address }

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// give passes c on, or closes it when nobody accepts any more.
func (h *handoff) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		_ = c.Close()
	}
}

// The pauses of an accept loop that finds the machine short of something.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// accept takes connections until the listener is closed. A machine short of
// descriptors or memory makes it slower, never busy, and never ends it.
func (s *server) accept(ln net.Listener) error {
	pause := time.Duration(0)
	for {
		raw, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.admit(raw)
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded): // see stopAccepting
			return nil
		case !passing(err):
			return fault.New(fault.Internal, "httpserve.Serve", "accept", "%w", err)
		default:
			pause = min(max(2*pause, firstPause), lastPause)
			s.opts.Log.Warn("cannot accept connections", "error", err, "pause_ms", pause.Milliseconds())
			select {
			case <-time.After(pause):
			case <-s.stopAccept:
				return nil
			}
		}
	}
}

// passing reports whether an error of accept goes by itself.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO, syscall.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// admit finds out whose raw is, in a goroutine that serve waits for. Over the
// limit it is closed at once: a caller that is refused can go elsewhere, one
// that waits in a queue cannot.
func (s *server) admit(raw net.Conn) {
	if s.open.Add(1) > int64(s.opts.MaxConns) {
		s.open.Add(-1)
		s.opts.Log.Debug("connection refused: too many are open", "limit", s.opts.MaxConns)
		_ = raw.Close()
		return
	}
	c := &conn{Conn: raw, since: time.Now(), onClose: func() { s.open.Add(-1) }}
	s.sniffing.add(c)
	s.sniffers.Go(func() {
		k := sniff(c, &s.opts, s.grpc != nil && !s.opts.Mixed)
		s.sniffing.remove(c)
		if k == nobody {
			_ = c.Close()
			return
		}
		if k == toHTTP {
			if l := s.newLane(c); l != nil {
				s.lanes.add(l)
				go l.run() // s.lanes.close waits for it
				return
			}
		}
		s.unsettled.Add(1)
		c.settled = func() { s.unsettled.Add(-1) }
		if k == toGRPC {
			c.stall = s.opts.BodyTimeout
			s.grpc.conns.add(c)
			c.onClose = func() {
				s.open.Add(-1)
				s.grpc.conns.remove(c)
			}
			s.grpcConns.give(c)
			return
		}
		s.httpConns.give(c)
	})
}

// connSet is a set of open connections.
type connSet struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (s *connSet) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
}

func (s *connSet) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// newcomer is how long a connection may be open without a byte of a request
// before nothing is expected of it: its caller may still be writing.
const newcomer = 500 * time.Millisecond

// empty waits until no connection is being sniffed. Those that stay quiet are
// closed once they are no newcomers any more.
func (s *connSet) empty() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; s.size() > 0; <-tick.C {
		s.closeIf(func(c *conn) bool { return c.quiet.Load() && time.Since(c.since) > newcomer })
	}
}

func (s *connSet) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// closeAll closes all of them.
func (s *connSet) closeAll() { s.closeIf(func(*conn) bool { return true }) }

func (s *connSet) closeIf(ask func(*conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if ask(c) {
			_ = c.Conn.Close() // whoever reads it notices, and gives its place back
		}
	}
}
