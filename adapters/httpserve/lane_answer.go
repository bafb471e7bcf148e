package httpserve

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// answer is the http.ResponseWriter of a lane. Head and body go out in one
// write where the handler says how long the body is, or writes little. Trailers
// are left out.
type answer struct {
	lane     *lane
	exchange *exchange

	buf     *[]byte // the head, and what of the body waits to be sent with it
	body    []byte  // what waits while it is not known how long the body will be
	begun   time.Time
	status  int
	length  int64 // what the handler says, or -1
	written int64 // bytes of the body
	sent    int64 // bytes on the wire
	began   bool  // the header is fixed
	headed  bool  // its end is written too
	chunked bool
	none    bool // the status has no body
	closing bool // the connection ends with this answer
	early   bool // it began before the end of the request's body
	writeBy time.Time
	err     error
}

var (
	_ http.ResponseWriter = (*answer)(nil)
	_ http.Flusher        = (*answer)(nil)
)

// held is how much of a body waits before it goes out in pieces, and joined how
// much of one is copied behind its head.
const (
	held   = 4 << 10
	joined = 16 << 10
)

func (a *answer) Header() http.Header { return a.lane.header }

func (a *answer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("invalid WriteHeader code " + strconv.Itoa(status))
	}
	if a.began {
		return
	}
	if a.buf == nil {
		a.buf = a.lane.server.lanes.buffers.Get(joined)
		*a.buf = (*a.buf)[:0]
		a.begun = time.Now()
	}
	h := a.lane.header
	if status < 200 && status != http.StatusSwitchingProtocols {
		a.start(status)
		a.fields(h)
		a.send(append(*a.buf, "\r\n"...))
		*a.buf = (*a.buf)[:0]
		return
	}
	a.began, a.status = true, status
	a.none = status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	a.early = !a.exchange.ended.Load()
	// An answer before the body's end does not wait for the rest of it.
	if a.early || a.lane.server.draining.Load() || slices.ContainsFunc(h["Connection"], hasClose) {
		a.closing = true
	}
	if values := h["Content-Length"]; len(values) > 0 && !a.none {
		if n, err := strconv.ParseInt(strings.TrimSpace(values[0]), 10, 64); err == nil && n >= 0 {
			a.length = n
		}
	}
	a.start(status)
	a.fields(h)
	if a.none || a.length == 0 || a.length > 0 && typed(h) {
		a.finishHead()
	}
}

// typed reports whether a handler says what its answer is, or hides it.
func typed(h http.Header) bool {
	_, ok := h["Content-Type"]
	return ok || len(h["Content-Encoding"]) > 0
}

// hasClose reports whether a Connection header ends the connection.
func hasClose(value string) bool {
	return httpguts.HeaderValuesContainsToken([]string{value}, "close")
}

// start writes the first line.
func (a *answer) start(status int) {
	b := *a.buf
	if status == http.StatusOK {
		*a.buf = append(b, "HTTP/1.1 200 OK\r\n"...)
		return
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if text := http.StatusText(status); text != "" {
		b = append(b, text...)
	} else {
		b = append(b, "status code "...)
		b = strconv.AppendInt(b, int64(status), 10)
	}
	*a.buf = append(b, "\r\n"...)
}

// fields writes the handler's header, but what frames the answer, in order of
// the names.
func (a *answer) fields(h http.Header) {
	names := a.lane.names[:0]
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	a.lane.names = names
	b := *a.buf
	for _, name := range names {
		switch {
		case name == "Content-Length", name == "Transfer-Encoding", name == "Trailer",
			name == "Connection" && a.closing,
			strings.HasPrefix(name, http.TrailerPrefix), !httpguts.ValidHeaderFieldName(name):
			continue
		}
		for _, value := range h[name] {
			b = append(b, name...)
			b = append(b, ": "...)
			b = appendValue(b, value)
			b = append(b, "\r\n"...)
		}
	}
	*a.buf = b
}

// appendValue writes a field's value, which cannot begin another line.
func appendValue(b []byte, value string) []byte {
	for i := range len(value) {
		if c := value[i]; c == '\n' || c == '\r' {
			at := len(b)
			b = append(b, strings.Trim(value, " \t\r\n")...)
			for i, c := range b[at:] {
				if c == '\n' || c == '\r' {
					b[at+i] = ' '
				}
			}
			return b
		}
	}
	return append(b, strings.Trim(value, " \t")...)
}

// finishHead writes what frames the answer and ends the head.
func (a *answer) finishHead() {
	a.headed = true
	b := *a.buf
	if _, ok := a.lane.header["Date"]; !ok {
		b = append(b, "Date: "...)
		b = append(b, a.lane.server.lanes.date(a.begun)...)
		b = append(b, "\r\n"...)
	}
	switch {
	case a.none:
	case a.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, a.length, 10)
		b = append(b, "\r\n"...)
	}
	if a.closing {
		b = append(b, "Connection: close\r\n"...)
	}
	*a.buf = append(b, "\r\n"...)
}

func (a *answer) Write(p []byte) (int, error) {
	if !a.began {
		a.WriteHeader(http.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case a.none:
		return 0, http.ErrBodyNotAllowed
	case a.length >= 0 && a.written+int64(len(p)) > a.length:
		a.written += int64(len(p)) // so that the connection ends
		return 0, http.ErrContentLength
	case a.err != nil:
		return 0, a.err
	}
	a.written += int64(len(p))
	if !a.headed {
		if len(a.body)+len(p) <= held && a.written != a.length {
			a.body = append(a.body, p...)
			return len(p), nil
		}
		a.cut(p)
	}
	if a.chunked {
		a.chunk(p)
	} else {
		a.known(p)
	}
	if a.err != nil {
		return 0, a.err
	}
	return len(p), nil
}

// sniff names the body's type where the handler does not, as net/http does.
func (a *answer) sniff(p []byte) {
	if len(p) == 0 || typed(a.lane.header) {
		return
	}
	b := append(*a.buf, "Content-Type: "...)
	b = append(b, http.DetectContentType(p)...)
	*a.buf = append(b, "\r\n"...)
}

// known writes a part of a body whose length is said.
func (a *answer) known(p []byte) {
	n := min(len(p), max(joined-len(*a.buf), 0))
	*a.buf = append(*a.buf, p[:n]...)
	if p = p[n:]; len(p) == 0 && a.written < a.length && len(*a.buf) < joined {
		return
	}
	a.flush()
	if len(p) > 0 {
		a.send(p)
	}
}

// cut ends the head and sends what waits, before p, of which sniff wants to
// see something.
func (a *answer) cut(p []byte) {
	body := a.body
	a.body = nil
	if len(body) > 0 && len(body) < sniffed {
		a.sniff(append(body, p[:min(len(p), sniffed)]...))
	} else if len(body) > 0 {
		a.sniff(body)
	} else {
		a.sniff(p)
	}
	a.chunked = a.length < 0
	a.finishHead()
	switch {
	case len(body) == 0:
	case a.chunked:
		a.chunk(body)
	default:
		*a.buf = append(*a.buf, body...)
	}
}

// sniffed is how much http.DetectContentType looks at.
const sniffed = 512

func (a *answer) chunk(p []byte) {
	b := strconv.AppendInt(*a.buf, int64(len(p)), 16)
	*a.buf = append(b, "\r\n"...)
	if len(*a.buf)+len(p) > joined {
		a.flush()
		a.send(p)
	} else {
		*a.buf = append(*a.buf, p...)
	}
	*a.buf = append(*a.buf, "\r\n"...)
	if len(*a.buf) >= held {
		a.flush()
	}
}

// flush sends what waits behind the head.
func (a *answer) flush() {
	a.send(*a.buf)
	*a.buf = (*a.buf)[:0]
}

func (a *answer) send(p []byte) {
	if a.err == nil && len(p) > 0 {
		a.err = a.lane.send(a, p)
	}
}

// Flush sends what the handler has written up to now.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is what http.ResponseController calls.
func (a *answer) FlushError() error {
	if !a.began {
		a.WriteHeader(http.StatusOK)
	}
	if !a.headed {
		a.cut(nil)
	}
	a.flush()
	return a.err
}

// SetReadDeadline is what http.ResponseController calls. The server's own holds
// where it is earlier.
func (a *answer) SetReadDeadline(at time.Time) error { return a.exchange.body.endBy(at) }

// SetWriteDeadline is what http.ResponseController calls. The server's own holds
// where it is earlier. It is for what is written from now on.
func (a *answer) SetWriteDeadline(at time.Time) error {
	a.writeBy = at
	return nil
}

// finish ends the answer when the handler has returned. keep says that another
// request may follow, unread that a part of the request's body is on its way.
func (a *answer) finish() (keep, unread bool) {
	if !a.began {
		a.exchange.body.discard()
		a.WriteHeader(http.StatusOK)
	}
	if !a.headed {
		a.sniff(a.body)
		if a.length < 0 {
			a.length = a.written
		}
		a.finishHead()
		*a.buf = append(*a.buf, a.body...)
	}
	if a.chunked {
		*a.buf = append(*a.buf, "0\r\n\r\n"...)
	}
	a.flush()
	lanes := a.lane.server.lanes
	lanes.buffers.Put(a.buf)
	a.buf = nil
	a.lane.since = a.begun
	if a.lane.writeLimit {
		a.lane.since = time.Now() // it took a while
	}
	whole := a.none || a.chunked || a.written == a.length
	return a.err == nil && whole && !a.closing, a.err == nil && (a.early || !a.exchange.ended.Load())
}

// dates keeps the text of a second: what Date says.
type dates struct {
	last atomic.Pointer[date]
}

type date struct {
	second int64
	text   string
}

func (d *dates) date(now time.Time) string {
	second := now.Unix()
	if last := d.last.Load(); last != nil && last.second == second {
		return last.text
	}
	next := &date{second, now.UTC().Format(http.TimeFormat)}
	d.last.Store(next)
	return next.text
}
