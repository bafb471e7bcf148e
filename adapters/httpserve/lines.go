package httpserve

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"godwit.dev/runtime/fault"
)

// lines keeps what net/http was last given of an HTTP/1.1 connection, so that
// a request's header can be seen as it came: of a length beside an encoding in
// chunks, and of lines that go on in the next, net/http tells nothing, and a
// proxy in front may have read them differently.
type lines struct {
	mu   sync.Mutex // net/http reads in the background while a handler begins
	buf  []byte
	base int64 // where buf begins in the stream
	next int64 // where the next request begins, or -1: somewhere in buf
	trim bool  // a body is on its way, of which only what net/http reads ahead matters
}

// readAhead is how many bytes net/http reads beyond what it was asked for.
const readAhead = 4 << 10

// read takes over what was read.
func (l *lines) read(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if end := l.base + int64(len(l.buf)); end < l.next { // still in a body of known length
		n := min(l.next-end, int64(len(p)))
		l.base, l.buf, p = end+n, l.buf[:0], p[n:]
	}
	l.buf = append(l.buf, p...)
	if l.trim {
		l.forget(len(l.buf) - readAhead)
	}
}

// forget drops the first n bytes, if that is any.
func (l *lines) forget(n int) {
	if n > 0 {
		l.base, l.buf = l.base+int64(n), append(l.buf[:0], l.buf[n:]...)
	}
}

// idle says that a body is over: what comes now is a header, to be kept whole.
func (l *lines) idle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trim = false
}

// check looks at the header of r, which net/http has just read. Errors: Invalid.
func (l *lines) check(r *http.Request) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := int(l.next - l.base); l.next >= l.base && at <= len(l.buf) && begins(l.buf[at:], r) {
		n, err := checkFields(l.buf[at:])
		l.next = -1
		if len(r.TransferEncoding) == 0 {
			l.next = l.base + int64(at+n) + max(r.ContentLength, 0)
			l.forget(min(int(l.next-l.base), len(l.buf)))
		}
		l.trim = l.next < 0
		return err
	}
	// After a body in chunks, and after requests that net/http answers by itself,
	// the header is found by its first line, which may stand behind a body that
	// does not end with a line. What looks like it and is part of a body can only
	// lead to a refusal.
	for at, first := 0, []byte(r.Method+" "+r.RequestURI+" "); ; at++ {
		i := bytes.Index(l.buf[at:], first)
		if i < 0 {
			break
		}
		at += i
		if _, bad := checkFields(l.buf[at:]); bad != nil {
			err = bad
		}
	}
	l.next, l.trim = -1, true
	return err
}

// begins reports whether b begins with r's first line.
func begins(b []byte, r *http.Request) bool {
	rest, ok := bytes.CutPrefix(b, []byte(r.Method))
	if !ok || len(rest) < len(r.RequestURI)+2 || rest[0] != ' ' {
		return false
	}
	return string(rest[1:1+len(r.RequestURI)]) == r.RequestURI && rest[1+len(r.RequestURI)] == ' '
}

// checkFields reads the lines of the header at the beginning of b, and tells
// how long it is.
func checkFields(b []byte) (n int, err error) {
	length, encoding := false, false
	for {
		end := bytes.IndexByte(b[n:], '\n') + 1
		if end == 0 {
			return len(b), err
		}
		line := b[n : n+end]
		n += end
		if line[0] == '\n' || line[0] == '\r' && end == 2 {
			break
		}
		switch line[0] {
		case ' ', '\t':
			err = fault.New(fault.Invalid, "httpserve", "header", "want each field on one line, got one that goes on in the next")
		case 'c', 'C':
			length = length || named(line, "Content-Length")
		case 't', 'T':
			encoding = encoding || named(line, "Transfer-Encoding")
		}
	}
	if length && encoding {
		err = fault.New(fault.Invalid, "httpserve", "header", "want Content-Length or Transfer-Encoding, got both")
	}
	return n, err
}

// named reports whether a line is the field with that name, or a line that
// somebody might take for it.
func named(line []byte, name string) bool {
	return len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) && strings.IndexByte(": \t", line[len(name)]) >= 0
}
