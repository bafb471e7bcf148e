package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// answer is what a caller reads of a response.
type answer struct {
	code    int // the protocol's own: HTTP status, or gRPC code
	ok      bool
	outcome string // "" when ok, else a name for what went wrong
	in      int    // bytes read
	out     int    // bytes sent
	later   bool   // the server said when to try again

	body   []byte // with capture only
	header int    // Inference-Header-Content-Length, -1 without
}

// A caller is one connection to the server; one request at a time.
type caller interface {
	// call sends request i and reads the whole answer, until deadline at most.
	// With capture the answer's body is kept.
	call(ctx context.Context, i int, deadline time.Time, capture bool) answer
	// open connects, so that the first call need not.
	open(ctx context.Context, deadline time.Time) error
	close()
	// rest closes the connection until the next call needs one, as far as the
	// protocol lets it; not while call runs.
	rest()
	// abort ends what call does now; it may be called while call runs.
	abort()
}

// httpConn is a caller over one HTTP/1.1 connection: it writes bytes made
// before and reads status, length and whether the connection stays.
type httpConn struct {
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	url      *url.URL
	payloads [][]byte

	r *bufio.Reader

	mu      sync.Mutex // abort comes from another goroutine
	conn    net.Conn
	aborted bool

	last time.Time // the last call's deadline
}

// idleFor is after how long without a request a connection is looked at before
// it is used: servers close those that send nothing, and a client that cares
// finds out and opens another.
const idleFor = time.Second

func (c *httpConn) open(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", hostPort(c.url))
	if err != nil {
		return err
	}
	if c.url.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{ServerName: c.url.Hostname(), NextProtos: []string{"http/1.1"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return err
		}
		conn = secure
	}
	c.mu.Lock()
	c.conn = conn
	if c.aborted {
		conn.Close()
	}
	c.mu.Unlock()
	if c.r == nil {
		c.r = bufio.NewReaderSize(conn, 16<<10)
	} else {
		c.r.Reset(conn)
	}
	return nil
}

func (c *httpConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *httpConn) rest() { c.close() }

func (c *httpConn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	if c.conn != nil {
		c.conn.Close()
	}
}

func (c *httpConn) call(ctx context.Context, i int, deadline time.Time, capture bool) answer {
	if c.conn == nil {
		if err := c.open(ctx, deadline); err != nil {
			return answer{outcome: reason(err, "connect")}
		}
	}
	c.conn.SetDeadline(deadline)
	if deadline.Sub(c.last) > idleFor && closedByPeer(c.conn) {
		c.close()
		if err := c.open(ctx, deadline); err != nil {
			return answer{outcome: reason(err, "connect")}
		}
		c.conn.SetDeadline(deadline)
	}
	c.last = deadline
	a := answer{header: -1}
	n, err := c.conn.Write(c.payloads[i])
	a.out = n
	if err != nil {
		c.close()
		a.outcome = reason(err, "closed")
		return a
	}
	keep, err := c.read(&a, capture)
	if err != nil {
		c.close()
		a.ok, a.outcome = false, reason(err, "closed")
		return a
	}
	if !keep {
		c.close()
	}
	return a
}

var errAnswer = errors.New("not an HTTP answer")

// read reads one response. keep is false where the server ends the connection.
func (c *httpConn) read(a *answer, capture bool) (keep bool, err error) {
	line, err := c.line(a)
	if err != nil {
		return false, err
	}
	if len(line) < 12 || string(line[:7]) != "HTTP/1." {
		return false, errAnswer
	}
	if a.code, err = strconv.Atoi(string(line[9:12])); err != nil {
		return false, errAnswer
	}
	keep = line[7] == '1'
	length, chunked := -1, false
	for {
		line, err := c.line(a)
		if err != nil {
			return false, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch len(name) { // most headers are told apart by their length alone
		case len("content-length"):
			if is(name, "content-length") {
				if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 {
					return false, errAnswer
				}
			}
		case len("transfer-encoding"):
			chunked = chunked || is(name, "transfer-encoding") && bytes.Contains(bytes.ToLower(value), []byte("chunked"))
		case len("connection"):
			if is(name, "connection") {
				keep = keep && !bytes.Contains(bytes.ToLower(value), []byte("close"))
			}
		case len("retry-after"):
			a.later = a.later || is(name, "retry-after")
		case len("inference-header-content-length"):
			if is(name, "inference-header-content-length") {
				if a.header, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
					return false, errAnswer
				}
			}
		}
	}
	switch {
	case chunked:
		err = c.chunks(a, capture)
	case length >= 0:
		err = c.body(a, length, capture)
	default:
		keep = false
		var rest []byte
		rest, err = io.ReadAll(c.r)
		a.in += len(rest)
		if capture {
			a.body = rest
		}
	}
	if a.ok = a.code == 200; !a.ok {
		a.outcome = strconv.Itoa(a.code)
	}
	return keep, err
}

// line reads one line of the head, without its end.
func (c *httpConn) line(a *answer) ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	a.in += len(line)
	if err != nil {
		if err == bufio.ErrBufferFull {
			err = errAnswer
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (c *httpConn) body(a *answer, n int, capture bool) error {
	a.in += n
	if !capture {
		_, err := c.r.Discard(n)
		return err
	}
	at := len(a.body)
	a.body = append(a.body, make([]byte, n)...)
	_, err := io.ReadFull(c.r, a.body[at:])
	return err
}

func (c *httpConn) chunks(a *answer, capture bool) error {
	for {
		line, err := c.line(a)
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
		if err != nil {
			return errAnswer
		}
		if n == 0 {
			break
		}
		if err := c.body(a, int(n), capture); err != nil {
			return err
		}
		if line, err = c.line(a); err != nil {
			return err
		} else if len(line) > 0 {
			return errAnswer
		}
	}
	for { // trailers
		line, err := c.line(a)
		if err != nil || len(line) == 0 {
			return err
		}
	}
}

// is compares a header's name in either case with one in lower case.
func is(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i := range name {
		ch := name[i]
		if 'A' <= ch && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		if ch != want[i] {
			return false
		}
	}
	return true
}

// reason names what went wrong below the protocol.
func reason(err error, otherwise string) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, errAnswer):
		return "malformed"
	}
	return otherwise
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
