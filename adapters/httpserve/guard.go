package httpserve

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"godwit.dev/runtime/fault"
)

type connKey struct{}

// guard holds requests over net/http to the server's limits, and sends gRPC
// calls among them where they belong.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.grpc != nil && r.ProtoMajor == 2 && isGRPC(r.Header.Get("Content-Type")) {
			s.grpc.mixed.ServeHTTP(w, r)
			return
		}
		s.inFlight.Add(1)
		defer s.inFlight.Add(-1)
		g := &writer{ResponseWriter: w, server: s, control: *http.NewResponseController(w), http1: r.ProtoMajor == 1}
		if fields := countFields(r.Header); fields > s.opts.MaxHeaderFields {
			refuseHeader(g, r, http.StatusRequestHeaderFieldsTooLarge,
				fault.New(fault.TooLarge, "httpserve", "header", "want at most %d fields, got %d", s.opts.MaxHeaderFields, fields))
			return
		}
		c, _ := r.Context().Value(connKey{}).(*conn)
		if c != nil && c.lines != nil {
			if err := c.lines.check(r); err != nil {
				refuseHeader(g, r, http.StatusBadRequest, err)
				return
			}
		}
		if r.ContentLength != 0 && r.Body != nil {
			g.guardBody(r, c)
			r.Body = &g.body
		}
		next.ServeHTTP(g, r)
	})
}

func countFields(h http.Header) int {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	return n
}

func refuseHeader(w http.ResponseWriter, r *http.Request, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	if r.ProtoMajor == 1 { // in HTTP/2 it would end the other requests' connection too
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":"`+fault.Public(err)+`","code":"`+fault.CodeOf(err).String()+"\"}\n")
}

// writer gives each answer time according to its size, so that a caller who
// does not read cannot hold a handler, and asks HTTP/1.1 callers of a server
// that drains not to come back on this connection.
type writer struct {
	http.ResponseWriter
	server  *server
	control http.ResponseController
	http1   bool
	body    guardedBody // the request's, in place; without a reader when there is none
	begun   time.Time   // when the answer began, or zero
	n       int64       // bytes written
	until   int64       // n when the deadline was set
}

// extend sets the deadline for the next stride.
func (w *writer) extend() {
	switch {
	case w.begun.IsZero():
		w.begun = time.Now()
		// An answer before the body's end must not wait for the rest of it, as
		// net/http would, to use the connection again.
		if w.http1 && (w.server.draining.Load() || w.body.ReadCloser != nil && !w.body.ended) {
			w.Header().Set("Connection", "close")
		}
	case w.until == w.n:
		return
	}
	w.until = w.n
	// A connection that cannot have deadlines is not one of ours.
	_ = w.control.SetWriteDeadline(deadline(w.begun, w.server.opts.BodyTimeout, w.n))
}

func (w *writer) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.extend()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	total := 0
	for {
		w.extend()
		n, err := w.ResponseWriter.Write(p[:min(len(p), stride)])
		total, w.n, p = total+n, w.n+int64(n), p[n:]
		if err != nil || len(p) == 0 {
			return total, err
		}
	}
}

// Unwrap lets http.ResponseController reach what is below.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is for handlers that ask for http.Flusher.
func (w *writer) Flush() {
	w.extend()
	_ = w.control.Flush()
}

// framing bounds the bytes around the data of a body in chunks: that many of
// one byte have more, by what net/http may have read ahead. A flood of tiny
// chunks costs its sender next to nothing and every server on the way a lot.
func framing(chunks int) int64 { return max(5*int64(chunks)-8<<10, 16<<10) }

// guardBody bounds how slowly and in how many pieces a body may arrive.
func (w *writer) guardBody(r *http.Request, c *conn) {
	w.body = guardedBody{ReadCloser: r.Body, control: &w.control, begun: time.Now(), base: w.server.opts.BodyTimeout, chunks: w.server.opts.MaxChunks}
	if c != nil && r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
		w.body.wire, w.body.before = c, c.read.Load()
	}
	w.body.extend()
}

type guardedBody struct {
	io.ReadCloser
	control *http.ResponseController
	base    time.Duration
	begun   time.Time
	chunks  int // at most

	n        int64 // bytes read
	ended    bool
	extended int64 // n when the deadline was set
	wire     *conn // of a chunked body, else nil
	before   int64 // bytes taken off the wire before the body
}

// extend sets the deadline for the next stride.
func (b *guardedBody) extend() {
	b.extended = b.n
	_ = b.control.SetReadDeadline(deadline(b.begun, b.base, b.n))
}

func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	switch {
	case b.wire != nil && b.wire.read.Load()-b.before-b.n > framing(b.chunks):
		return n, fault.New(fault.TooLarge, "httpserve", "body", "want at most %d chunks, got more", b.chunks).
			WithHint("Send the body in larger chunks, or with a Content-Length.")
	case errors.Is(err, io.EOF):
		b.ended = true // net/http lifts the deadline now, to notice a caller that hangs up
	case err != nil:
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return n, tooSlow()
		}
	case b.n-b.extended >= stride:
		b.extend()
	}
	return n, err
}

// tooSlow is what a body is whose deadline is over.
func tooSlow() error {
	return fault.New(fault.DeadlineExceeded, "httpserve", "body", "it arrived too slowly").
		WithHint("Send at least %d bytes a second.", minRate)
}
