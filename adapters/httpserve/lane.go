package httpserve

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

// A lane answers the HTTP/1.1 requests of one connection that have the usual
// form, with the handler that net/http has: net/http's own loop costs more than
// a small model. Whatever is unusual ends it: the connection goes to net/http
// for good, with all that was read and not answered, so that everything odd is
// treated in one place. All but state, current and what they lead to belongs to
// the goroutine that serves.
type lane struct {
	server *server
	c      *conn
	raw    syscall.RawConn
	remote string
	local  net.Addr

	in   []byte // what was read, of which in[at:] is not used yet
	at   int
	head headScan // of the request that begins at at
	memo memo

	header http.Header // of answers, cleared between them
	names  []string    // of the header, to be sorted
	out    []byte      // what try writes
	wrote  int         // how much of it went out
	fault  error
	write  func(fd uintptr) bool // try, as RawConn wants it

	reading    limitKind // whose deadline is set for reading
	posted     bool      // the last request was a POST
	since      time.Time // when the last answer was written; zero before the first
	writeLimit bool      // a deadline is set for writing

	state   atomic.Int32 // one of the lane states
	current atomic.Pointer[exchange]

	index int // in laneSet.all

	// The watcher's own.
	seen *exchange // what it found last
	age  int       // how often it found that
}

// The states of a lane. A drain closes those that are idle, waits for those
// that read a header, which net/http may have to answer, and then for the rest.
const (
	laneIdle   int32 = iota
	laneHead         // bytes of a request are there
	laneBusy         // a handler works, or its answer is sent
	laneClosed       // nothing is answered any more
)

// limitKind says what a deadline for reading is for.
type limitKind int

const (
	noLimit limitKind = iota
	limitIdle
	limitHead
	limitBody
)

// firstRead is how much of a connection is read at once at first, and mostHead
// how long a header may be to be usual.
const (
	firstRead = 4 << 10
	mostHead  = 16 << 10
	fewBytes  = 4 // net/http takes fewer behind a request for nothing
)

// newLane returns a lane for c if it begins like a usual request, else nil.
func (s *server) newLane(c *conn) *lane {
	if s.opts.NoLane || c.lines == nil || !promising(c.replay.pending) {
		return nil
	}
	sys, ok := c.Conn.(syscall.Conn)
	if !ok || !canPeek {
		return nil
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return nil
	}
	l := &lane{server: s, c: c, raw: raw, remote: c.RemoteAddr().String(), local: c.LocalAddr(), in: c.replay.pending, header: http.Header{}}
	l.write = l.try
	l.state.Store(laneHead)
	c.replay.pending = nil
	return l
}

// verdict is what becomes of a lane.
type verdict int

const (
	answered verdict = iota // the next request may come
	over                    // the connection ends
	early                   // the same, and the request's body is still on its way
	unusual                 // it is net/http's
)

// run serves until the connection ends or is given to net/http.
func (l *lane) run() {
	s := l.server
	v := over
	defer func() {
		if v == unusual {
			s.unsettled.Add(1) // before it leaves these books
			l.c.settled = func() { s.unsettled.Add(-1) }
		}
		s.lanes.remove(l)
		if v != unusual || l.c.Conn.SetDeadline(time.Time{}) != nil {
			_ = l.c.Close()
			return
		}
		l.c.replay.pending, l.c.lines = l.in[l.at:], &lines{}
		s.httpConns.give(l.c)
	}()
	for {
		if v = l.wait(); v != answered {
			return
		}
		if v = l.answer(); v == early {
			l.linger()
		}
		if v != answered {
			return
		}
	}
}

// wait reads until a usual request's header is there.
func (l *lane) wait() verdict {
	l.head = headScan{}
	if l.reading != limitIdle {
		l.reading = noLimit // what is set was for something else
	}
	skip, few := 0, 0
	if !l.since.IsZero() {
		few = fewBytes
	}
	if l.posted {
		skip = fewBytes // old clients end a body with a line that is not theirs to send
	}
	idle := l.at == len(l.in)
	if idle {
		l.state.Store(laneIdle)
	} else {
		l.state.Store(laneHead)
	}
	if l.server.lanes.closing.Load() && !l.since.IsZero() {
		return over // after the state is set: settle sees it, or is seen here
	}
	for {
		for ; skip > 0 && l.at < len(l.in); l.at++ {
			if skip--; l.in[l.at] != '\r' && l.in[l.at] != '\n' {
				break
			}
			few--
		}
		if l.at < len(l.in) {
			if idle {
				if !l.state.CompareAndSwap(laneIdle, laneHead) {
					return over
				}
				idle = false
			}
			b := l.in[l.at:]
			if l.memo.match(b, &l.head) {
				return answered
			}
			switch v := l.head.scan(b, &l.server.opts); {
			case len(b) < few: // to tell
			case v == headUnusual:
				return unusual
			case v == headWhole:
				if !l.memo.parse(l, b) {
					return unusual
				}
				return answered
			}
		}
		switch err := l.more(idle); {
		case err == nil:
		case !idle && errors.Is(err, io.EOF) && len(l.in)-l.at >= few:
			return unusual
		default:
			return over
		}
	}
}

// more reads what there is of a header, or waits for it.
func (l *lane) more(idle bool) error {
	if l.at > 0 {
		l.in, l.at = l.in[:copy(l.in, l.in[l.at:])], 0
	}
	if len(l.in) == cap(l.in) || cap(l.in) < firstRead {
		l.in = append(make([]byte, 0, max(2*cap(l.in), firstRead)), l.in...)
	}
	for {
		if err := l.limitHeader(idle); err != nil {
			return err
		}
		n, err := l.c.Conn.Read(l.in[len(l.in):cap(l.in)])
		l.in = l.in[:len(l.in)+n]
		if n > 0 {
			return nil
		}
		// The deadline may be that of an earlier wait: it is not set for each.
		if !idle || !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(l.since.Add(l.server.opts.IdleTimeout)) {
			return cmp.Or(err, io.ErrNoProgress)
		}
		l.reading = noLimit
	}
}

// limitHeader sees to it that waiting for a request, or for the rest of its
// header, ends. The first header's time began when the connection came.
func (l *lane) limitHeader(idle bool) error {
	switch {
	case idle && l.reading != limitIdle:
		l.reading = limitIdle
		return l.c.SetReadDeadline(l.since.Add(l.server.opts.IdleTimeout))
	case !idle && l.reading != limitHead:
		l.reading = limitHead
		begun := l.c.since
		if !l.since.IsZero() {
			begun = time.Now()
		}
		return l.c.SetReadDeadline(begun.Add(l.server.opts.HeaderTimeout))
	}
	return nil
}

// answer has the handler answer the request whose header is there.
func (l *lane) answer() (v verdict) {
	s := l.server
	x := newExchange(l)
	r := x.request(l)
	l.at += l.head.end
	l.posted = l.head.post
	l.state.Store(laneBusy)
	l.current.Store(x)
	s.lanes.begin()
	finished := false
	defer func() {
		x.end(context.Canceled)
		l.current.Store(nil)
		s.inFlight.Add(-1)
		_ = x.body.Close()
		if !finished {
			v = over
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				s.http.ErrorLog.Printf("http: panic serving %v: %v\n%s", l.remote, p, debug.Stack())
			}
		}
		clear(l.header)
	}()
	s.lanes.handler.ServeHTTP(&x.answer, r)
	x.end(context.Canceled)
	keep, unread := x.answer.finish()
	finished = true
	switch {
	case keep:
		return answered
	case unread:
		return early
	}
	return over
}

// linger lets the caller read an answer that came before the end of a body:
// closing at once would throw it away with the rest of the body.
func (l *lane) linger() {
	if c, ok := l.c.Conn.(interface{ CloseWrite() error }); !ok || c.CloseWrite() != nil {
		return
	}
	l.state.Store(laneClosed)
	wait := time.NewTimer(lingering)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-l.server.lanes.ended:
	}
}

// lingering is as long as net/http does the same.
const lingering = 500 * time.Millisecond

// send writes p. What the socket takes at once needs no deadline.
func (l *lane) send(a *answer, p []byte) error {
	if l.writeLimit {
		l.writeLimit = false
		if err := l.c.SetWriteDeadline(time.Time{}); err != nil {
			return err
		}
	}
	l.out, l.wrote, l.fault = p, 0, nil
	err := l.raw.Write(l.write)
	l.out = nil
	if err == nil {
		err = l.fault
	}
	a.sent += int64(l.wrote)
	for p = p[l.wrote:]; err == nil && len(p) > 0; {
		l.writeLimit = true
		if err = l.c.SetWriteDeadline(earlier(deadline(a.begun, l.server.opts.BodyTimeout, a.sent), a.writeBy)); err != nil {
			return err
		}
		var n int
		n, err = l.c.Conn.Write(p[:min(len(p), stride)])
		a.sent += int64(n)
		p = p[n:]
	}
	return err
}

// earlier is the earlier of two deadlines, of which b may be none.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// try writes as much of out as the socket takes without waiting.
func (l *lane) try(fd uintptr) bool {
	for l.wrote < len(l.out) {
		n, err := writeNow(fd, l.out[l.wrote:])
		if n > 0 {
			l.wrote += n
		}
		switch {
		case err == nil && n > 0, errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return true
		default:
			l.fault = cmp.Or(err, error(io.ErrShortWrite))
			return true
		}
	}
	return true
}
