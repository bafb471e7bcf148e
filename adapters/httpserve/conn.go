package httpserve

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is an accepted connection. It counts what is read, gives its place
// back when it is closed, and replays what the sniffer has read.
type conn struct {
	net.Conn
	since   time.Time    // when it was accepted
	read    atomic.Int64 // bytes taken off the wire
	quiet   atomic.Bool  // the sniffer waits, and nothing of a request is there
	replay  replay
	lines   *lines  // of HTTP/1.1, else nil
	frames  *frames // of HTTP/2, else nil
	said    said
	acked   func() // lets replay go on; nil unless the sniffer has acknowledged SETTINGS
	closing sync.Once
	onClose func()

	// settled is called once, when the server behind the sniffer has the
	// connection in its books: then its own draining takes care of it.
	settled  func()
	settling sync.Once

	// stall bounds a Write whose peer does not read, to it or twice as long; 0
	// leaves it to net/http. until is the deadline that is set.
	stall time.Duration
	until time.Time
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.replay.read(p, c.take)
	switch {
	case c.lines != nil:
		c.lines.read(p[:n])
	case c.frames != nil:
		if flood := c.frames.read(p[:n]); flood != nil {
			return 0, flood // the server hangs up
		}
	}
	return n, err
}

// take reads from the wire.
func (c *conn) take(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// Write marks the connection as settled: an HTTP/2 server begins with its
// settings, after it has registered the connection.
func (c *conn) Write(p []byte) (int, error) {
	c.settle()
	if c.stall > 0 {
		// Not for each write: a deadline further away serves those that follow.
		if least := time.Now().Add(patience(c.stall, int64(len(p)))); least.After(c.until) {
			c.until = least.Add(c.stall)
			if err := c.Conn.SetWriteDeadline(c.until); err != nil {
				return 0, err
			}
		}
	}
	if c.said.all() {
		return c.Conn.Write(p)
	}
	if out := c.said.filter(p); len(out) > 0 {
		if _, err := c.Conn.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (c *conn) settle() {
	if c.settled != nil {
		c.settling.Do(c.settled)
	}
}

func (c *conn) Close() error {
	c.settle()
	c.closing.Do(c.onClose)
	if c.acked != nil {
		c.acked() // whoever waits for it reads the end
	}
	return c.Conn.Close()
}

// replay delivers the bytes that the sniffer has read before those still on
// the wire.
type replay struct {
	pending []byte
	// acked, if not nil, is closed when the server has acknowledged the SETTINGS
	// that end first bytes before the rest: so that it does not acknowledge these
	// together with later ones, whose acknowledgement the client still waits for.
	acked <-chan struct{}
	first int
}

func (r *replay) read(p []byte, take func([]byte) (int, error)) (int, error) {
	if r.acked != nil {
		if r.first > 0 {
			n := copy(p, r.pending[:r.first])
			r.pending, r.first = r.pending[n:], r.first-n
			return n, nil
		}
		<-r.acked
		r.acked = nil
	}
	if len(r.pending) == 0 {
		r.pending = nil
		return take(p)
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// said is what the sniffer has told a client already and the server behind it
// says again: its first SETTINGS, the connection's window, and the first
// acknowledgement of the client's SETTINGS. They are left out of what the
// server writes. Writes come one after another.
type said struct {
	settings, window, ack bool
	acked                 func() // told when the acknowledgement comes; set with ack

	head []byte // the part of a frame header that is there
	rest int    // bytes of the current frame still to come
	drop bool   // the current frame is left out
}

// all reports whether nothing is left to leave out.
func (s *said) all() bool { return !s.settings && !s.window && !s.ack && s.rest == 0 }

// filter returns what of p is to be sent now.
func (s *said) filter(p []byte) []byte {
	var out []byte
	for len(p) > 0 && !s.all() {
		if s.rest > 0 {
			n := min(s.rest, len(p))
			if !s.drop {
				out = append(out, p[:n]...)
			}
			p, s.rest = p[n:], s.rest-n
			continue
		}
		n := min(frameHeaderLen-len(s.head), len(p))
		s.head, p = append(s.head, p[:n]...), p[n:]
		if len(s.head) < frameHeaderLen {
			return out
		}
		h := readFrameHeader(s.head)
		switch {
		case h.isSettingsAck():
			if s.drop = s.ack; s.drop {
				s.ack = false
				s.acked()
			}
		case h.kind == frameSettings:
			s.drop, s.settings = s.settings, false
		case h.kind == frameWindowUpdate && h.stream == 0:
			s.drop, s.window = s.window, false
		default:
			s.drop = false
		}
		if !s.drop {
			out = append(out, s.head...)
		}
		s.head, s.rest = s.head[:0], h.length
	}
	return append(out, p...)
}
