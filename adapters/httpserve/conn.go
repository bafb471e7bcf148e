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
	closing sync.Once
	onClose func()

	// settled is called once, when the server behind the sniffer has the
	// connection in its books: then its own draining takes care of it.
	settled  func()
	settling sync.Once

	// stall bounds a Write whose peer does not read; 0 leaves it to net/http.
	stall time.Duration
}

func (c *conn) Read(p []byte) (int, error) {
	return c.replay.read(p, c.take)
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
		if err := c.Conn.SetWriteDeadline(time.Now().Add(patience(c.stall, int64(len(p))))); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

func (c *conn) settle() {
	if c.settled != nil {
		c.settling.Do(c.settled)
	}
}

func (c *conn) Close() error {
	c.settle()
	c.closing.Do(c.onClose)
	return c.Conn.Close()
}

// replay delivers the bytes that the sniffer has read before those still on
// the wire. When hideAck is set it leaves the first SETTINGS acknowledgement
// out: it answers the sniffer's own SETTINGS, of which the server behind does
// not know, and which net/http's takes for a protocol error.
type replay struct {
	pending []byte
	hideAck bool
	frame   int // bytes of the current frame (at first, of the preface) still to deliver
}

func (r *replay) read(p []byte, take func([]byte) (int, error)) (int, error) {
	if r.hideAck {
		if err := r.frameAhead(take); err != nil {
			return 0, err
		}
	}
	if !r.hideAck {
		if len(r.pending) == 0 {
			r.pending = nil
			return take(p)
		}
		n := copy(p, r.pending)
		r.pending = r.pending[n:]
		return n, nil
	}
	n := copy(p, r.pending[:min(len(r.pending), r.frame)])
	r.pending, r.frame = r.pending[n:], r.frame-n
	return n, nil
}

// frameAhead makes sure that pending holds bytes of a frame to deliver, and
// drops the acknowledgement when that is what comes next.
func (r *replay) frameAhead(take func([]byte) (int, error)) error {
	want := 1
	if r.frame == 0 {
		want = frameHeaderLen
	}
	for len(r.pending) < want {
		room := make([]byte, 4<<10)
		n, err := take(room)
		r.pending = append(r.pending, room[:n]...)
		if err != nil && len(r.pending) < want {
			return err
		}
	}
	if r.frame > 0 {
		return nil
	}
	h := readFrameHeader(r.pending)
	if h.kind == frameSettings && h.flags&flagAck != 0 && h.length == 0 {
		r.pending, r.hideAck = r.pending[frameHeaderLen:], false
		return nil
	}
	r.frame = frameHeaderLen + h.length
	return nil
}
