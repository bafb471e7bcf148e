package httpserve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// exchange is one request of a lane and its answer. It is the request's context,
// which costs a channel only when somebody waits for its end. Nothing of it is
// used again: who holds it for too long holds nobody else's.
type exchange struct {
	server *server
	base   context.Context
	local  net.Addr
	body   laneBody
	answer answer

	ended atomic.Bool  // all of the body has been read: only a caller that goes away is left to read
	until atomic.Int64 // the deadline in nanoseconds after the server's start, 0 for none

	mu   sync.Mutex
	done chan struct{}
	err  error
}

var _ context.Context = (*exchange)(nil)

func newExchange(l *lane) *exchange {
	x := &exchange{server: l.server, base: l.server.lanes.base, local: l.local}
	x.body = laneBody{lane: l, exchange: x, rest: l.head.length}
	x.answer = answer{lane: l, exchange: x, length: -1, closing: l.head.close}
	x.ended.Store(l.head.length == 0)
	return x
}

// request is what the handler gets.
func (x *exchange) request(l *lane) *http.Request {
	r := l.memo.req.WithContext(x)
	r.Header, r.ContentLength = l.memo.header, l.head.length
	if l.head.length > 0 {
		r.Body = &x.body
	}
	return r
}

// EndBy gives the request a deadline and reports whether it did: there must be
// none yet, and near ones are not kept exactly enough. The zero time takes it
// away again. It is what package oip asks a context for.
func (x *exchange) EndBy(at time.Time) bool {
	if at.IsZero() {
		x.until.Store(0)
		return true
	}
	// From the server's start, so that nobody's setting the clock moves it.
	return time.Until(at) >= nearDeadline && x.until.CompareAndSwap(0, int64(at.Sub(x.server.lanes.start)))
}

func (x *exchange) Deadline() (time.Time, bool) {
	if at := x.until.Load(); at != 0 {
		return x.server.lanes.start.Add(time.Duration(at)), true
	}
	return time.Time{}, false
}

func (x *exchange) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done == nil {
		x.done = make(chan struct{})
		if x.err == nil {
			x.err = x.base.Err() // when it ends later, laneSet.cut tells x
		}
		if x.err != nil {
			close(x.done)
		}
	}
	return x.done
}

func (x *exchange) Err() error {
	x.mu.Lock()
	err := x.err
	x.mu.Unlock()
	if err != nil {
		return err
	}
	if err := x.base.Err(); err != nil {
		return err
	}
	if at := x.until.Load(); at != 0 && int64(time.Since(x.server.lanes.start)) >= at {
		x.end(context.DeadlineExceeded)
		return context.DeadlineExceeded
	}
	return nil
}

// Value is the base's, from which also comes why all requests were cut off.
func (x *exchange) Value(key any) any {
	switch key {
	case http.ServerContextKey:
		return x.server.http
	case http.LocalAddrContextKey:
		return x.local
	}
	return x.base.Value(key)
}

// end ends the context; only the first call does anything.
func (x *exchange) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err = err
		if x.done != nil {
			close(x.done)
		}
	}
}

// laneBody is the body of a request, of known length.
type laneBody struct {
	lane     *lane
	exchange *exchange

	mu       sync.Mutex // a handler may leave a reader behind
	closed   bool
	err      error
	rest     int64 // bytes still to be read
	n        int64 // bytes read off the wire
	extended int64 // n when the deadline was set
	begun    time.Time
	by       time.Time // the handler's own deadline, or zero
}

// endBy is for what is read from now on.
func (b *laneBody) endBy(at time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.by = at
	b.extended = b.n - stride // so that the next Read sets it
	return nil
}

func (b *laneBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case b.rest == 0:
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), b.rest)]
	l := b.lane
	n := copy(p, l.in[l.at:])
	l.at += n
	if n == 0 && len(p) > 0 {
		n, b.err = b.wire(p)
	}
	b.rest -= int64(n)
	switch {
	case b.rest == 0:
		b.exchange.ended.Store(true)
		return n, io.EOF
	case n > 0:
		return n, nil
	}
	return n, b.err
}

// wire reads from the connection, for as long as a body may take.
func (b *laneBody) wire(p []byte) (int, error) {
	l := b.lane
	base := l.server.opts.BodyTimeout
	if b.begun.IsZero() || b.n-b.extended >= stride {
		if b.begun.IsZero() {
			b.begun = time.Now()
		}
		b.extended = b.n
		l.reading = limitBody
		if err := l.c.SetReadDeadline(earlier(deadline(b.begun, base, b.n), b.by)); err != nil {
			return 0, err
		}
	}
	n, err := l.c.Conn.Read(p)
	b.n += int64(n)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = tooSlow()
	}
	return n, err
}

// discard drops the body if all of it is there: then it is no reason to end the
// connection.
func (b *laneBody) discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.lane; !b.closed && b.rest <= int64(len(l.in)-l.at) {
		l.at += int(b.rest)
		b.rest = 0
		b.exchange.ended.Store(true)
	}
}

// Close implements io.Closer. What was not read ends the connection.
func (b *laneBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}
