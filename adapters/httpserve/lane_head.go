package httpserve

import (
	"bufio"
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// headScan looks at a request's header, of which more and more is there, and
// says whether it has the usual form. It is stricter than any rule of HTTP asks:
// what it does not know is net/http's to judge.
type headScan struct {
	at     int // where the first line that was not looked at begins
	fields int
	host   bool
	post   bool
	close  bool // Connection: close

	// The digits of Content-Length are b[from:to], and length is what they say.
	// Without one all are 0.
	from, to int
	length   int64

	end int // of the header, once it is whole
}

// headVerdict is what is known of a header.
type headVerdict int

const (
	headPartial headVerdict = iota
	headWhole
	headUnusual
)

// promising reports whether b may begin a usual request.
func promising(b []byte) bool {
	for _, method := range [...]string{"POST /", "GET /"} {
		if n := min(len(b), len(method)); n > 0 && string(b[:n]) == method[:n] {
			// Less than a method is rare, and net/http answers it.
			return n >= len("GET ")
		}
	}
	return false
}

// scan goes on where it stopped. b begins with the header.
func (h *headScan) scan(b []byte, opts *Options) headVerdict {
	if h.at == 0 && !promising(b) {
		return headUnusual
	}
	for {
		n := bytes.IndexByte(b[h.at:], '\n')
		if n < 0 {
			if len(b) > min(mostHead, opts.MaxHeaderBytes) {
				return headUnusual
			}
			return headPartial
		}
		line := b[h.at : h.at+n]
		at := h.at
		h.at += n + 1
		if h.at > min(mostHead, opts.MaxHeaderBytes) || n == 0 || line[n-1] != '\r' {
			return headUnusual
		}
		switch line = line[:n-1]; {
		case at == 0:
			if !h.requestLine(line) {
				return headUnusual
			}
		case len(line) == 0:
			if !h.host || h.post != (h.to > 0) {
				return headUnusual
			}
			h.end = h.at
			return headWhole
		default:
			if h.fields++; h.fields > opts.MaxHeaderFields || !h.field(line, at) {
				return headUnusual
			}
		}
	}
}

func (h *headScan) requestLine(line []byte) bool {
	target, ok := bytes.CutSuffix(line, []byte(" HTTP/1.1"))
	if !ok {
		return false
	}
	target, h.post = bytes.CutPrefix(target, []byte("POST "))
	if !h.post {
		target = target[len("GET "):] // promising
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(target) > 0 && target[0] == '/'
}

// field looks at one line of the header, which begins at at.
func (h *headScan) field(line []byte, at int) bool {
	colon := 0
	for colon < len(line) && tokens[line[colon]] {
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return false
	}
	name, value := line[:colon], line[colon+1:]
	for _, c := range value {
		if (c < ' ' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	is := func(what string) bool { return bytes.EqualFold(name, []byte(what)) }
	switch len(name) {
	case len("Host"):
		if is("Host") {
			first := !h.host
			h.host = true
			return first && usualHost(bytes.Trim(value, " "))
		}
	case len("Expect"):
		return !is("Expect")
	case len("Upgrade"): // and Trailer
		return !is("Upgrade") && !is("Trailer")
	case len("Connection"):
		if is("Connection") {
			value = bytes.Trim(value, " ")
			h.close = h.close || bytes.EqualFold(value, []byte("close"))
			return h.close || bytes.EqualFold(value, []byte("keep-alive"))
		}
	case len("Content-Length"):
		if is("Content-Length") {
			digits := bytes.TrimLeft(value, " ")
			n := parseLength(digits)
			if h.to > 0 || !h.post || n != len(digits) {
				return false
			}
			h.to = at + len(line)
			h.from = h.to - n
			h.length, _ = strconv.ParseInt(string(digits), 10, 64)
		}
	case len("Transfer-Encoding"):
		return !is("Transfer-Encoding")
	}
	return true
}

// mostDigits bounds a usual Content-Length.
const mostDigits = 15

// parseLength is how many digits b begins with, 0 where they are no usual
// Content-Length.
func parseLength(b []byte) int {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	if n > mostDigits || n > 1 && b[0] == '0' {
		return 0
	}
	return n
}

// usualHost reports whether a host is one that nobody could read in two ways.
func usualHost(b []byte) bool {
	for _, c := range b {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && !('0' <= c && c <= ':') && c != '.' && c != '-' && c != '_' && c != '[' && c != ']' {
			return false
		}
	}
	return len(b) > 0
}

// tokens are the bytes of a field's name (RFC 9110, 5.6.2).
var tokens = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

// memo is the last header of a connection and what it means: callers who keep a
// connection send the same one again and again, but for the length of the body.
type memo struct {
	head   headScan
	text   []byte
	header http.Header   // as the text has it
	req    *http.Request // the rest, never given to a handler itself
}

// mostMemo bounds the header that a connection remembers.
const mostMemo = 4 << 10

// match reports whether b begins with the header that is remembered, with any
// length, and if so fills h in.
func (m *memo) match(b []byte, h *headScan) bool {
	known, from := m.text, m.head.from
	if len(known) == 0 {
		return false
	}
	if m.head.to == 0 {
		if !bytes.HasPrefix(b, known) {
			return false
		}
		*h = m.head
		return true
	}
	if !bytes.HasPrefix(b, known[:from]) {
		return false
	}
	n := parseLength(b[from:])
	if n == 0 || !bytes.HasPrefix(b[from+n:], known[m.head.to:]) {
		return false
	}
	*h = m.head
	if digits := b[from : from+n]; !bytes.Equal(digits, known[from:m.head.to]) {
		m.relength(digits)
		*h = m.head
	}
	return true
}

// relength remembers another length. Handlers may still hold the header that
// there was, so it is not changed.
func (m *memo) relength(digits []byte) {
	if by := len(digits) - (m.head.to - m.head.from); by == 0 {
		copy(m.text[m.head.from:], digits)
	} else {
		m.text = slices.Replace(m.text, m.head.from, m.head.to, digits...)
		m.head.to, m.head.end = m.head.to+by, m.head.end+by
	}
	text := string(digits)
	m.head.length, _ = strconv.ParseInt(text, 10, 64)
	m.header = maps.Clone(m.header)
	m.header["Content-Length"] = []string{text}
}

// parse reads the header that l.head has found usual, as net/http reads it.
func (m *memo) parse(l *lane, b []byte) bool {
	p, _ := l.server.lanes.parsers.Get().(*parser)
	if p == nil {
		p = &parser{}
		p.buf = bufio.NewReader(&p.text)
	}
	defer l.server.lanes.parsers.Put(p)
	p.text.Reset(b[:l.head.end])
	p.buf.Reset(&p.text)
	r, err := http.ReadRequest(p.buf)
	p.text.Reset(nil)
	if err != nil || r.ContentLength != l.head.length || len(r.TransferEncoding) > 0 || r.Close != l.head.close {
		*m = memo{}
		return false
	}
	r.Body = http.NoBody
	r.RemoteAddr = l.remote
	m.head, m.req, m.header = l.head, r, r.Header
	m.text = m.text[:0]
	if l.head.end <= mostMemo {
		m.text = append(m.text, b[:l.head.end]...)
	}
	return true
}

type parser struct {
	text bytes.Reader
	buf  *bufio.Reader
}
