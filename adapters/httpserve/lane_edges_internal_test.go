package httpserve

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestUsualHeads(t *testing.T) {
	opts := (&Options{MaxHeaderFields: 3, MaxHeaderBytes: 200}).withDefaults()
	const first = "POST /a HTTP/1.1\r\n"
	padded := func(n int) string {
		const begun = "GET / HTTP/1.1\r\nHost: x\r\nA: "
		return begun + strings.Repeat("a", n-len(begun))
	}
	for text, want := range map[string]headVerdict{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                           headWhole,
		first + "Host: x\r\nContent-Length: 0\r\n\r\n":                headWhole,
		first + "Host: x\r\nContent-Length: 5\r\n\r\nabcde":           headWhole,
		first + "host:x\r\ncontent-length:  5\r\n\r\n":                headWhole,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n": headWhole,
		"GET / HTTP/1.1\r\nHost: x\r\nA: b\tc\r\nB: \r\n\r\n":         headWhole,
		"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n":   headUnusual, // a field too many
		padded(200):                     headPartial,
		padded(201):                     headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\n": headPartial,
		"GET / HTTP/1.1\r\n\r\n":        headUnusual, // no host
		"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n":                      headUnusual,
		"GET / HTTP/1.1\nHost: x\r\n\r\n":                                   headUnusual,
		"GET / HTTP/1.1\r\n\nHost: x\r\n\r\n":                               headUnusual,
		"GET / HTTP/1.0\r\nHost: x\r\n\r\n":                                 headUnusual,
		"GET  / HTTP/1.1\r\nHost: x\r\n\r\n":                                headUnusual,
		"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n":                             headUnusual,
		"GET /~ HTTP/1.1\r\nHost: x\r\n\r\n":                                headWhole,
		"GET /! HTTP/1.1\r\nHost: x\r\n\r\n":                                headWhole,
		"GET / x HTTP/1.1\r\nHost: x\r\n\r\n":                               headUnusual,
		"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n":                                headUnusual,
		"PUT / HTTP/1.1\r\nHost: x\r\n\r\n":                                 headUnusual,
		first + "Host: x\r\n\r\n":                                           headUnusual, // no length
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n":            headUnusual,
		first + "Host: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n": headUnusual,
		first + "Host: x\r\nContent-Length: 05\r\n\r\n":                     headUnusual,
		first + "Host: x\r\nContent-Length: 5 \r\n\r\n":                     headUnusual,
		first + "Host: x\r\nContent-Length: 123456789012345\r\n\r\n":        headWhole,
		first + "Host: x\r\nContent-Length: 1234567890123456\r\n\r\n":       headUnusual,
		first + "Host: x\r\nTransfer-Encoding: chunked\r\n\r\n":             headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n":         headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n":                 headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nTrailer: a\r\n\r\n":                   headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n":          headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n":                          headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n":                       headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n":                            headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n":                      headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n":                      headUnusual,
		"GET / HTTP/1.1\r\nHost: x\r\n A: b\r\n\r\n":                        headUnusual,
		"GET / HTTP/1.1\r\nHost: x y\r\n\r\n":                               headUnusual,
	} {
		for _, whole := range []bool{true, false} {
			h, got := headScan{}, headPartial
			if whole {
				got = h.scan([]byte(text), &opts)
			} else {
				for n := 5; n <= len(text) && got == headPartial; n++ { // as it comes
					got = h.scan([]byte(text[:n]), &opts)
				}
			}
			if got != want {
				t.Errorf("%q, whole %v: %v, want %v", text, whole, got, want)
			}
			if body := strings.Index(text, "\r\n\r\n"); got == headWhole && h.end != body+4 {
				t.Errorf("%q: ends at %d, want %d", text, h.end, body+4)
			}
		}
	}
	h := headScan{}
	if text := first + "Host: x\r\nContent-Length:  42\r\nConnection: close\r\n\r\n"; h.scan([]byte(text), &opts) != headWhole || !h.post || !h.close || !h.host || h.fields != 3 || h.length != 42 || text[h.from:h.to] != "42" {
		t.Errorf("got %+v", h)
	}
	for text, want := range map[string]bool{"": false, "G": false, "GET": false, "GET ": true, "GET /": true, "GET x": false, "POS": false, "POST": true, "POST /x": true, "PUT /": false, "POST x": false} {
		if got := promising([]byte(text)); got != want {
			t.Errorf("%q is promising: %v", text, got)
		}
	}
	for host, want := range map[string]bool{"": false, "a": true, "AZ.az-0_9:80": true, "[::1]:1": true, "a/b": false, "a@b": false, "a b": false, "ä": false, "a;b": false, "a`": false, "a{": false, "/": false} {
		if got := usualHost([]byte(host)); got != want {
			t.Errorf("%q is a usual host: %v", host, got)
		}
	}
	for digits, want := range map[string]int{"": 0, "0": 1, "5": 1, "12x": 2, "x": 0, "00": 0, "012": 0, "0x": 1, "123456789012345": 15, "1234567890123456": 0, "9:": 1, "/": 0} {
		if got := parseLength([]byte(digits)); got != want {
			t.Errorf("%q begins with %d digits, want %d", digits, got, want)
		}
	}
}

func TestValuesOfFields(t *testing.T) {
	for value, want := range map[string]string{"a": "a", " a\t": "a", "a\nb": "a b", "a\r\nB: c": "a  B: c", "\n": "", "\r\na ": "a", "": "", "a\r": "a"} {
		if got := string(appendValue([]byte("x: "), value)); got != "x: "+want {
			t.Errorf("%q is written %q, want %q", value, got, "x: "+want)
		}
	}
	for value, want := range map[string]bool{"close": true, "Keep-Alive, Close": true, "closed": false, "": false} {
		if got := hasClose(value); got != want {
			t.Errorf("%q closes: %v", value, got)
		}
	}
	for _, tt := range []struct {
		h    http.Header
		want bool
	}{{http.Header{}, false}, {http.Header{"Content-Type": nil}, true}, {http.Header{"Content-Encoding": {"gzip"}}, true}, {http.Header{"Content-Encoding": nil}, false}} {
		if got := typed(tt.h); got != tt.want {
			t.Errorf("%v is typed: %v", tt.h, got)
		}
	}
	var d dates
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		at   time.Time
		want string
	}{{noon, "Mon, 23 Nov 2026 11:00:00 GMT"}, {noon.Add(999 * time.Millisecond), "Mon, 23 Nov 2026 11:00:00 GMT"}, {noon.Add(time.Second), "Mon, 23 Nov 2026 11:00:01 GMT"}} {
		if got := d.date(tt.at); got != tt.want {
			t.Errorf("%v is written %q", tt.at, got)
		}
	}
}

// A request's context has its deadline, its server's values, and one end.
func TestExchangeIsAContext(t *testing.T) {
	base, cut := context.WithCancel(context.WithValue(t.Context(), connKey{}, "value"))
	defer cut()
	s := &server{opts: (*Options)(nil).withDefaults(), http: &http.Server{}}
	s.lanes = newLaneSet(s, base, nil)
	s.lanes.start = time.Now().Add(-time.Hour)
	local := &net.TCPAddr{Port: 7}
	x := newExchange(&lane{server: s, local: local})
	if _, ok := x.Deadline(); ok || x.Err() != nil || !x.ended.Load() {
		t.Error("it ends from the start, or waits for a body")
	}
	if x.Value(connKey{}) != "value" || x.Value(http.ServerContextKey) != s.http || x.Value(http.LocalAddrContextKey) != net.Addr(local) {
		t.Error("values are missing")
	}
	if x.EndBy(time.Now().Add(nearDeadline / 2)) {
		t.Error("a near deadline is kept")
	}
	at := time.Now().Add(time.Minute)
	if !x.EndBy(at) || x.EndBy(at.Add(time.Hour)) {
		t.Error("no deadline, or two")
	}
	if got, ok := x.Deadline(); !ok || got.Sub(at).Abs() > time.Millisecond || x.Err() != nil {
		t.Errorf("ends at %v, %v, want %v; %v", got, ok, at, x.Err())
	}
	if !x.EndBy(time.Time{}) {
		t.Error("it cannot be taken away")
	}
	if _, ok := x.Deadline(); ok {
		t.Error("it was not taken away")
	}
	x.until.Store(int64(time.Minute)) // an hour ago and a minute
	if err := x.Err(); err != context.DeadlineExceeded {
		t.Errorf("over: %v", err)
	}
	x.end(context.Canceled)
	if err := x.Err(); err != context.DeadlineExceeded {
		t.Errorf("ended twice: %v", err)
	}
	<-x.Done()
	waited := newExchange(&lane{server: s})
	done := waited.Done()
	select {
	case <-done:
		t.Error("done before its end")
	default:
	}
	waited.end(context.Canceled)
	<-done
	late := newExchange(&lane{server: s})
	cut()
	if err := late.Err(); err != context.Canceled {
		t.Errorf("after the base: %v", err)
	}
	<-late.Done()
}

// A body of known length is read from what is there and then from the wire, and
// not one byte of the next request.
func TestLaneBodies(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s := &server{opts: (*Options)(nil).withDefaults()}
	s.lanes = newLaneSet(s, t.Context(), nil)
	l := &lane{server: s, c: &conn{Conn: ours, onClose: func() {}}, in: []byte("xxabcnext"), at: 2}
	defer l.c.Close()
	l.head.length = 3
	x := newExchange(l)
	if x.ended.Load() || x.answer.length != -1 {
		t.Errorf("a body of three bytes has ended: %+v", x)
	}
	var buf [8]byte
	if n, err := x.body.Read(buf[:2]); n != 2 || err != nil || string(buf[:2]) != "ab" {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := x.body.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	if n, err := x.body.Read(buf[:]); n != 1 || err != io.EOF || !x.ended.Load() || string(l.in[l.at:]) != "next" {
		t.Errorf("got %d, %v, and %q is left", n, err, l.in[l.at:])
	}
	if n, err := x.body.Read(buf[:]); n != 0 || err != io.EOF {
		t.Errorf("at its end: %d, %v", n, err)
	}
	_ = x.body.Close()
	if _, err := x.body.Read(buf[:]); err != http.ErrBodyReadAfterClose {
		t.Errorf("after it was closed: %v", err)
	}
	// Dropped where all of it is there, and only then.
	for have, want := range map[string]bool{"abc": true, "abcd": true, "ab": false} {
		l.in, l.at = []byte("head"+have), 4
		x = newExchange(l)
		if x.body.discard(); x.ended.Load() != want || want && l.at != 7 || !want && l.at != 4 {
			t.Errorf("%q: ended %v, at %d", have, x.ended.Load(), l.at)
		}
	}
	// From the wire, and cut.
	l.in, l.at = nil, 0
	x = newExchange(l)
	go func() {
		_, _ = theirs.Write([]byte("a"))
		_ = theirs.Close()
	}()
	if n, err := x.body.Read(buf[:]); n != 1 || err != nil || x.body.n != 1 || l.reading != limitBody {
		t.Errorf("from the wire: %d, %v", n, err)
	}
	for range 2 {
		if n, err := x.body.Read(buf[:]); n != 0 || err != io.ErrUnexpectedEOF || x.ended.Load() {
			t.Errorf("cut: %d, %v", n, err)
		}
	}
}

// Who is in the set is in it once.
func TestSetsOfLanes(t *testing.T) {
	s := &server{opts: (*Options)(nil).withDefaults()}
	set := newLaneSet(s, t.Context(), nil)
	all := []*lane{{}, {}, {}, {}}
	for _, l := range all {
		set.add(l)
	}
	for k, gone := range []int{1, 0, 3, 2} {
		set.remove(all[gone])
		if len(set.all) != 3-k {
			t.Fatalf("%d are left", len(set.all))
		}
		for i, l := range set.all {
			if l == nil || l.index != i || l == all[gone] {
				t.Errorf("number %d is %+v", i, l)
			}
		}
	}
	set.begin()
	if s.inFlight.Load() != 1 || len(set.wake) != 0 {
		t.Errorf("%d in flight, woken %d", s.inFlight.Load(), len(set.wake))
	}
	set.asleep.Store(true)
	set.begin()
	set.begin() // does not wait for who is woken already
	if s.inFlight.Load() != 3 || len(set.wake) != 1 {
		t.Errorf("%d in flight, woken %d", s.inFlight.Load(), len(set.wake))
	}
	x := newExchange(&lane{server: &server{lanes: set}})
	l := &lane{}
	l.current.Store(x)
	set.add(l)
	set.cut(context.DeadlineExceeded)
	if x.Err() != context.DeadlineExceeded {
		t.Errorf("cut: %v", x.Err())
	}
}

// recorder is a connection that remembers what deadlines are set.
type recorder struct {
	net.Conn
	read, write []time.Time
}

func (r *recorder) SetReadDeadline(at time.Time) error { r.read = append(r.read, at); return nil }

func (r *recorder) SetWriteDeadline(at time.Time) error { r.write = append(r.write, at); return nil }

// The time for a header counts from when the connection came, for later ones
// from when they begin, and idle time from the last answer; each is set once.
func TestLimitsOfHeaders(t *testing.T) {
	s := &server{opts: (&Options{HeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}).withDefaults()}
	wire := &recorder{}
	came := time.Now().Add(-time.Hour)
	l := &lane{server: s, c: &conn{Conn: wire, since: came}}
	step := func(what string, idle bool, want time.Time, sets bool) {
		t.Helper()
		n := len(wire.read)
		if err := l.limitHeader(idle); err != nil {
			t.Fatal(err)
		}
		if set := len(wire.read) - n; set > 1 || (set == 1) != sets {
			t.Errorf("%s: set %d times, want %v", what, set, sets)
		} else if sets && wire.read[n].Sub(want).Abs() > 2*time.Second {
			t.Errorf("%s: %v, want %v", what, wire.read[n], want)
		}
	}
	step("the first", false, came.Add(5*time.Second), true)
	step("the first, again", false, came, false)
	l.since = time.Now().Add(-10 * time.Second)
	step("idle", true, l.since.Add(time.Minute), true)
	step("idle, again", true, came, false)
	step("the next", false, time.Now().Add(5*time.Second), true)
	step("the next, again", false, came, false)
	l.reading = limitBody
	step("after a body", true, l.since.Add(time.Minute), true)
}
