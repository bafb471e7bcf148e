package httpserve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/mem"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// Deadlines are set for each stride, not for each piece.
func TestStrides(t *testing.T) {
	s := &server{opts: (*Options)(nil).withDefaults()}
	to := &timed{ResponseRecorder: httptest.NewRecorder()}
	w := &writer{ResponseWriter: to, server: s}
	w.control = *http.NewResponseController(to)
	w.guardBody(&http.Request{ProtoMajor: 2, Body: io.NopCloser(io.LimitReader(zeros{}, 10*stride))}, nil)
	var buf [stride / 4]byte
	for {
		if _, err := w.body.Read(buf[:]); err != nil {
			break
		}
	}
	if to.reads != 11 || w.body.n != 10*stride { // at first, and for each stride
		t.Errorf("%d deadlines for reading %d bytes, want 11", to.reads, w.body.n)
	}
	for range 3 {
		_, _ = w.Write(make([]byte, 2*stride))
		w.extend() // at the same place: none
	}
	if to.writes != 7 { // the same
		t.Errorf("%d deadlines for writing six strides, want 7", to.writes)
	}
	b := &w.body
	b.ReadCloser = io.NopCloser(broken{})
	b.wire = nil
	if _, err := b.Read(buf[:]); fault.CodeOf(err) != fault.DeadlineExceeded {
		t.Errorf("too slow: %v", err)
	}
	b.ReadCloser = io.NopCloser(strings.NewReader(""))
	if _, err := b.Read(buf[:]); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
	wire := &recorder{Conn: readOnly{zeros{}}}
	l := &lane{server: s, c: &conn{Conn: wire}}
	s.lanes = newLaneSet(s, t.Context(), nil)
	l.head.length = 4 * stride
	x := newExchange(l)
	for range 16 {
		if _, err := x.body.Read(buf[:]); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	if len(wire.read) != 4 || !x.ended.Load() {
		t.Errorf("%d deadlines for a body of four strides, want 4", len(wire.read))
	}
	x = newExchange(l)
	_, _ = x.body.Read(buf[:])
	by := time.Now().Add(time.Second)
	_ = x.answer.SetReadDeadline(by)
	_, _ = x.body.Read(buf[:])
	if last := wire.read[len(wire.read)-1]; !last.Equal(by) {
		t.Errorf("the handler's own deadline is %v, want %v", last, by)
	}
}

type zeros struct{}

type broken struct{}

type readOnly struct{ io.Reader }

// timed counts deadlines.
type timed struct {
	*httptest.ResponseRecorder
	reads, writes int
}

func (w *timed) SetReadDeadline(time.Time) error { w.reads++; return nil }

func (w *timed) SetWriteDeadline(time.Time) error { w.writes++; return nil }

// A connection gives its place back once, settles once, and replays what was
// read before what is still to come.
func TestConnections(t *testing.T) {
	ours, theirs := net.Pipe()
	closed, settled, acked := 0, 0, 0
	c := &conn{Conn: ours, onClose: func() { closed++ }, settled: func() { settled++ }, acked: func() { acked++ }, replay: replay{pending: []byte("abc")}}
	go func() { _, _ = theirs.Write([]byte("def")) }()
	var buf [2]byte
	var got string
	for len(got) < 6 {
		n, err := c.Read(buf[:])
		if err != nil {
			t.Fatal(err)
		}
		got += string(buf[:n])
	}
	if got != "abcdef" || c.read.Load() != 3 {
		t.Errorf("read %q, %d bytes of it off the wire", got, c.read.Load())
	}
	go func() { _, _ = io.ReadFull(theirs, make([]byte, 2)) }()
	for range 2 {
		if n, err := c.Write([]byte("x")); n != 1 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if settled != 1 {
		t.Errorf("settled %d times by writing", settled)
	}
	for range 2 {
		_ = c.Close()
	}
	if closed != 1 || settled != 1 || acked != 2 {
		t.Errorf("closed %d, settled %d, acknowledged %d", closed, settled, acked)
	}
	_ = theirs.Close()
	ours, theirs = net.Pipe()
	defer theirs.Close()
	early := &conn{Conn: ours, onClose: func() {}, settled: func() { settled++ }}
	if _ = early.Close(); settled != 2 {
		t.Error("what is closed is not settled")
	}
	flooded := &conn{Conn: readOnly{strings.NewReader(strings.Repeat("\x00\x00\x00\x03\x00\x00\x00\x00\x01", 5000))}, frames: newFrames()}
	flooded.frames.rest = 0
	for {
		var big [900]byte
		n, err := flooded.Read(big[:])
		if err == nil {
			continue
		}
		if fault.CodeOf(err) != fault.RateLimited || n != 0 {
			t.Errorf("a flood: %d, %v", n, err)
		}
		break
	}
	for _, s := range []said{{settings: true}, {window: true}, {ack: true}, {rest: 1}} {
		if s.all() {
			t.Errorf("%+v: nothing is left out", s)
		}
	}
	if !(&said{}).all() {
		t.Error("something is left out where nothing was said")
	}
	var set connSet
	other := &conn{Conn: readOnly{}}
	set.add(c)
	set.add(other)
	set.add(c)
	if set.size() != 2 {
		t.Errorf("%d in the set", set.size())
	}
	set.remove(c)
	if set.size() != 1 {
		t.Errorf("%d in the set", set.size())
	}
	gone := 0
	set.closeIf(func(c *conn) bool { gone++; return c == other })
	if gone != 1 {
		t.Errorf("asked %d times", gone)
	}
	h := newHandoff(&net.TCPAddr{Port: 5})
	_ = h.Close()
	_ = h.Close()
	if _, err := h.Accept(); !errors.Is(err, net.ErrClosed) || h.Addr().String() != ":5" {
		t.Errorf("after its end: %v, %v", err, h.Addr())
	}
	ours, theirs = net.Pipe()
	h.give(ours)
	if _, err := theirs.Read(buf[:]); err != io.EOF {
		t.Errorf("given to nobody: %v", err)
	}
	for err, want := range map[error]bool{syscall.EMFILE: true, syscall.ENFILE: true, syscall.ENOBUFS: true, syscall.ENOMEM: true, syscall.ECONNABORTED: true,
		syscall.EINTR: true, syscall.EPROTO: true, syscall.EPERM: true, syscall.EINVAL: false, syscall.EACCES: false, io.EOF: false} {
		if got := passing(&net.OpError{Err: err}); got != want {
			t.Errorf("%v passes: %v", err, got)
		}
	}
}

// A header is read to its end, and what is wrong with it is seen wherever it is.
func TestFieldsOfHeaders(t *testing.T) {
	const first = "GET / HTTP/1.1\r\n"
	for text, want := range map[string]bool{
		"\r\n": true, "\n": true, "A: b\r\n\r\n": true, "A: b\n\n": true, "A: b\r\n": true, "A: b": true, "": true,
		"Content-Length: 1\r\n\r\n": true, "Transfer-Encoding: chunked\r\n\r\n": true,
		"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": false, "transfer-encoding: chunked\r\nX: y\r\ncontent-length: 1\r\n\r\n": false,
		"Content-Length : 1\r\nTransfer-Encoding\t: chunked\r\n\r\n": false, "Content-Lengths: 1\r\nTransfer-Encoding: chunked\r\n\r\n": true,
		"Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n": true, "Cookie: 1\r\nTE: 2\r\n\r\n": true,
		"A: b\r\n c\r\n\r\n": false, "A: b\r\n\tc\r\n\r\n": false, "A: b\r\n\r\n c\r\n": true,
		"A: b\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": true, // of the body
	} {
		n, err := checkFields([]byte(first + text))
		if (err == nil) != want || err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v, want it taken: %v", text, err, want)
		}
		end := len(first + text)
		for _, mark := range []string{"\r\n\r\n", "\n\n"} {
			if i := strings.Index(first+text, mark); i >= 0 {
				end = min(end, i+len(mark))
			}
		}
		if n != end {
			t.Errorf("%q: ends at %d, want %d", text, n, end)
		}
	}
	for line, want := range map[string]bool{"Content-Length:": true, "content-length: 1": true, "CONTENT-LENGTH\t": true, "Content-Length ": true, "Content-Length": false, "Content-LengthX": false, "Content-Lengthx": false, "Content": false, "": false} {
		if got := named([]byte(line), "Content-Length"); got != want {
			t.Errorf("%q is named so: %v", line, got)
		}
	}
	r := &http.Request{Method: "GET", RequestURI: "/a"}
	for text, want := range map[string]bool{"GET /a HTTP/1.1": true, "GET /a ": true, "GET /a": false, "GET /ab ": false, "GET  /a ": false, "GETX/a ": false, "POST /a ": false, "GET ": false, "": false, "GET /a\t": false} {
		if got := begins([]byte(text), r); got != want {
			t.Errorf("%q begins with it: %v", text, got)
		}
	}
}

// Requests one after another are each found where they begin, however their
// bytes come, and a bad one is seen after bodies of both kinds.
func TestLinesOfRequests(t *testing.T) {
	const (
		get     = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
		post    = "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab\ncd"
		chunked = "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\ncd\r\n0\r\n\r\n"
		bad     = "GET /d HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"
	)
	requests := map[string]*http.Request{
		get: {Method: "GET", RequestURI: "/a"}, post: {Method: "POST", RequestURI: "/b", ContentLength: 5},
		chunked: {Method: "POST", RequestURI: "/c", ContentLength: -1, TransferEncoding: []string{"chunked"}}, bad: {Method: "GET", RequestURI: "/d"},
	}
	for _, order := range [][]string{
		{get, get, bad}, {post, get, bad}, {post, post, post, bad}, {chunked, get, bad}, {chunked, chunked, post, bad}, {bad}, {get, chunked, bad}, {chunked, bad, get}, {post, bad, get},
	} {
		for _, piece := range []int{1, 7, 40, 10_000} {
			l := &lines{}
			for i, text := range order {
				header := strings.Index(text, "\r\n\r\n") + 4
				feed := func(part string) {
					for len(part) > 0 {
						n := min(piece, len(part))
						l.read([]byte(part[:n]))
						part = part[n:]
					}
				}
				feed(text[:header])
				err := l.check(requests[text])
				if (err != nil) != (text == bad) {
					t.Errorf("%.10q number %d in pieces of %d: %v", text, i, piece, err)
				}
				feed(text[header:])
				l.idle()
			}
		}
	}
	l := &lines{next: -1} // what is left begins with the header
	l.read([]byte(bad))
	if err := l.check(requests[bad]); err == nil {
		t.Error("at the beginning of what is left nothing is seen")
	}
	l = &lines{}
	l.read([]byte(chunked[:strings.Index(chunked, "\r\n\r\n")+4]))
	if err := l.check(requests[chunked]); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		l.read(make([]byte, readAhead))
	}
	if len(l.buf) > readAhead {
		t.Errorf("%d bytes of a body are kept", len(l.buf))
	}
	l = &lines{} // behind what net/http has answered by itself
	l.read([]byte("\r\n" + chunked[:strings.Index(chunked, "\r\n\r\n")+4]))
	if err := l.check(requests[chunked]); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		l.read(make([]byte, readAhead))
	}
	if len(l.buf) > readAhead {
		t.Errorf("%d bytes of a body are kept", len(l.buf))
	}
	l = &lines{}
	l.read([]byte("POST /b HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"))
	if err := l.check(&http.Request{Method: "POST", RequestURI: "/b", ContentLength: 1_000_000}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		l.read(make([]byte, 100_000))
	}
	if len(l.buf) != 0 || l.base != l.next {
		t.Errorf("%d bytes of a body are kept; at %d, the next begins at %d", len(l.buf), l.base, l.next)
	}
	l.read([]byte(bad))
	if err := l.check(requests[bad]); err == nil {
		t.Error("after a long body nothing is seen")
	}
}

// What is wrong with an address says what would be right.
func TestAddresses(t *testing.T) {
	const form = "Give a host and a port, as in 127.0.0.1:8080, [::1]:8080 or :8080."
	for address, want := range map[string][2]string{
		"8080":                 {"want host:port, missing port in address", form},
		"a:b:c":                {"want host:port, too many colons in address", form},
		"127.0.0.1:65536":      {`want a port from 0 to 65535, got "65536"`, form},
		"127.0.0.1:http":       {`want a port from 0 to 65535, got "http"`, form},
		"127.0.0.1:7a":         {`want a port from 0 to 65535, got "7a"`, form},
		"192.0.2.1:7":          {`this machine has no address "192.0.2.1"`, "Use an address of this machine, or :7 for all of them, IPv4 and IPv6."},
		"nowhere.invalid.:700": {`no such host "nowhere.invalid."`, "Use an address of this machine, or :700 for all of them, IPv4 and IPv6."},
	} {
		_, err := Listen(t.Context(), address)
		if fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), want[0]) || fault.HintOf(err) != want[1] {
			t.Errorf("%s: %v (%s), want %q", address, err, fault.HintOf(err), want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Listen(ctx, "localhost:0"); err != nil && fault.CodeOf(err) != fault.Canceled {
		t.Errorf("canceled: %v", err)
	}
}

// What a connection may send beyond its requests fills up again with time, to
// no more than at first.
func TestFramesFillUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reset := []byte{0, 0, 4, frameReset, 0, 0, 0, 0, 1, 0, 0, 0, 0}
		f := newFrames()
		f.rest = 0
		take := func() (n int) {
			for n < 10_000 && f.read(reset) == nil {
				n++
			}
			return n
		}
		if n := take(); n != idleFrames {
			t.Errorf("%d at first, want %d", n, idleFrames)
		}
		for range 3 {
			<-time.After(time.Second)
			if n := take(); n < idleRate-2 || n > idleRate {
				t.Errorf("%d after a second, want %d", n, idleRate)
			}
		}
		<-time.After(time.Hour)
		if n := take(); n < idleFrames-2 || n > idleFrames+idleRate {
			t.Errorf("%d after an hour, want %d", n, idleFrames)
		}
	})
	c := newCodec(&oip.Buffers{})
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer("\xff\xff")}, &oippb.ModelReadyRequest{}); err == nil {
		t.Error("what is no message is read")
	}
	if _, err := c.Marshal("no message"); err == nil || c.Name() != "proto" {
		t.Errorf("what is no message is written, as %s", c.Name())
	}
}
