package httpserve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/infer"
)

// stream writes an HTTP/2 connection's first bytes.
func stream(build func(f *http2.Framer, block func(fields ...string) []byte)) []byte {
	var out, b bytes.Buffer
	out.WriteString(preface)
	enc := hpack.NewEncoder(&b)
	build(http2.NewFramer(&out, nil), func(fields ...string) []byte {
		b.Reset()
		for i := 0; i+1 < len(fields); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return bytes.Clone(b.Bytes())
	})
	return out.Bytes()
}

func open(fields ...string) []byte {
	return stream(func(f *http2.Framer, block func(...string) []byte) {
		_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		_ = f.WriteWindowUpdate(0, 1<<20)
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(fields...), EndHeaders: true})
	})
}

var grpcCall = []string{":method", "POST", ":scheme", "http", ":path", "/x/Y", "content-type", "application/grpc", "te", "trailers"}

func sniffCases() map[string]struct {
	bytes []byte
	want  kind
} {
	type c = struct {
		bytes []byte
		want  kind
	}
	big := make([]string, 0, 2000)
	for range 1000 {
		big = append(big, "x-padding", strings.Repeat("v", 100))
	}
	return map[string]c{
		"HTTP/1.1":             {[]byte("GET / HTTP/1.1\r\n\r\n"), toHTTP},
		"POST begins like PRI": {[]byte("P"), nobody},
		"PRI, not a preface":   {[]byte("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), toHTTP},
		"TLS":                  {[]byte("\x16\x03\x01\x02\x00"), toHTTP},
		"nothing":              {nil, nobody},
		"half a preface":       {[]byte(preface[:20]), nobody},
		"preface alone":        {[]byte(preface), nobody},
		"gRPC":                 {open(grpcCall...), toGRPC},
		"gRPC+proto":           {open("content-type", "application/grpc+proto"), toGRPC},
		"gRPC;":                {open("content-type", "application/grpc;x=y"), toGRPC},
		"gRPC-Web":             {open("content-type", "application/grpc-web"), toHTTP},
		"JSON":                 {open("content-type", "application/json"), toHTTP},
		"no content type":      {open(":method", "GET"), toHTTP},
		"gRPC, forwarded":      {open(append(grpcCall, "x-forwarded-for", "192.0.2.7")...), toHTTP},
		"gRPC, via":            {open(append(grpcCall, "via", "1.1 x")...), toHTTP},
		"gRPC, Envoy":          {open(append(grpcCall, "x-envoy-attempt-count", "1")...), toHTTP},
		"header of 100 KB":     {open(append(big, grpcCall...)...), toHTTP},
		"padding and priority": {stream(func(f *http2.Framer, block func(...string) []byte) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(grpcCall...), EndHeaders: true, PadLength: 200, Priority: http2.PriorityParam{Weight: 3}})
		}), toGRPC},
		"continuation": {stream(func(f *http2.Framer, block func(...string) []byte) {
			b := block(grpcCall...)
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:3]})
			_ = f.WriteContinuation(1, false, b[3:9])
			_ = f.WriteContinuation(1, true, b[9:])
		}), toGRPC},
		"continuation interrupted": {stream(func(f *http2.Framer, block func(...string) []byte) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(grpcCall...)})
			_ = f.WriteSettings()
		}), toHTTP},
		"continuation alone": {stream(func(f *http2.Framer, block func(...string) []byte) {
			_ = f.WriteContinuation(1, true, block(grpcCall...))
		}), toHTTP},
		"continuation flood": {stream(func(f *http2.Framer, block func(...string) []byte) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(grpcCall...)})
			for range 20_000 {
				_ = f.WriteContinuation(1, false, nil)
			}
		}), toHTTP},
		"ping":                 {stream(func(f *http2.Framer, _ func(...string) []byte) { _ = f.WritePing(false, [8]byte{}) }), toHTTP},
		"bad settings":         {append([]byte(preface), 0, 0, 1, frameSettings, 0, 0, 0, 0, 0, 7), toHTTP},
		"settings of a stream": {append([]byte(preface), 0, 0, 0, frameSettings, 0, 0, 0, 0, 1), toHTTP},
		"settings twice": {stream(func(f *http2.Framer, _ func(...string) []byte) {
			_ = f.WriteSettings()
			_ = f.WriteSettings()
		}), toHTTP},
		"a window that overflows": {append([]byte(preface), 0, 0, 4, frameWindowUpdate, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff), toHTTP},
		"a window of nothing":     {append([]byte(preface), 0, 0, 4, frameWindowUpdate, 0, 0, 0, 0, 0, 0, 0, 0, 0), toHTTP},
		"a stream's window":       {append([]byte(preface), 0, 0, 4, frameWindowUpdate, 0, 0, 0, 0, 1, 0, 0, 0, 1), toHTTP},
		"a priority":              {append([]byte(preface), 0, 0, 5, framePriority, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1), nobody},
		"half a priority":         {append([]byte(preface), 0, 0, 2, framePriority, 0, 0, 0, 0, 3, 0, 0), toHTTP},
		"data": {stream(func(f *http2.Framer, _ func(...string) []byte) {
			f.AllowIllegalWrites = true
			_ = f.WriteData(1, false, nil)
		}), toHTTP},
		"oversized frame": {append([]byte(preface), 0xff, 0xff, 0xff, frameHeaders, 0, 0, 0, 0, 1), toHTTP},
		"bad HPACK":       {append([]byte(preface), 0, 0, 1, frameHeaders, flagEndHeaders, 0, 0, 0, 1, 0x80), toHTTP},
		"pad beyond end":  {append([]byte(preface), 0, 0, 1, frameHeaders, flagEndHeaders|flagPadded, 0, 0, 0, 1, 9), toHTTP},
	}
}

// fakeConn is a connection that has sent bytes and then hung up.
type fakeConn struct {
	net.Conn
	io.Reader
	mu   sync.Mutex
	sent bytes.Buffer // by the server
}

func (c *fakeConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }
func (c *fakeConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent.Write(p)
}
func (c *fakeConn) SetReadDeadline(time.Time) error  { return nil }
func (c *fakeConn) SetWriteDeadline(time.Time) error { return nil }
func (c *fakeConn) Close() error                     { return nil }

func TestSniff(t *testing.T) {
	for name, tt := range sniffCases() {
		for _, small := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				var r io.Reader = bytes.NewReader(tt.bytes)
				if small {
					r = iotest.OneByteReader(r)
				}
				c := &conn{Conn: &fakeConn{Reader: r}, onClose: func() {}}
				opts := (*Options)(nil).withDefaults()
				if got := sniff(c, &opts, true); got != tt.want {
					t.Fatalf("got %d, want %d", got, tt.want)
				}
				if tt.want == nobody {
					return
				}
				if c.acked != nil {
					c.acked() // as the server would
				}
				replayed, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(replayed, tt.bytes) {
					t.Errorf("replayed %d bytes (%v), want the same %d", len(replayed), err, len(tt.bytes))
				}
				if got := c.read.Load(); got != int64(len(tt.bytes)) {
					t.Errorf("counted %d bytes, want %d", got, len(tt.bytes))
				}
			})
		}
	}
}

// The server gets nothing after the SETTINGS that the sniffer has acknowledged
// before it has acknowledged them itself, or the connection has ended.
func TestReplayWaitsForTheAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, closes := range []bool{false, true} {
			acked := make(chan struct{})
			c := &conn{Conn: &fakeConn{Reader: strings.NewReader("")}, onClose: func() {}, acked: sync.OnceFunc(func() { close(acked) })}
			c.replay = replay{pending: []byte("first, rest"), acked: acked, first: len("first")}
			got := make([]byte, 100)
			n, err := c.Read(got)
			if string(got[:n]) != "first" || err != nil {
				t.Fatalf("Read = %q, %v", got[:n], err)
			}
			done := make(chan string)
			go func() {
				n, _ := c.Read(got)
				done <- string(got[:n])
			}()
			synctest.Wait()
			select {
			case rest := <-done:
				t.Fatalf("read %q before the acknowledgement", rest)
			default:
			}
			if closes {
				_ = c.Close()
			} else {
				c.acked()
			}
			if rest := <-done; rest != ", rest" {
				t.Errorf("closes %v: then %q", closes, rest)
			}
		}
	})
}

// What the sniffer has said is left out of what the server writes, however
// that is cut into writes, and only the first of each.
func TestSaidIsNotSaidAgain(t *testing.T) {
	ack := []byte{0, 0, 0, frameSettings, flagAck, 0, 0, 0, 0}
	settings := []byte{0, 0, 6, frameSettings, 0, 0, 0, 0, 0, 0, 4, 0, 16, 0, 0}
	window := []byte{0, 0, 4, frameWindowUpdate, 0, 0, 0, 0, 0, 0, 1, 0, 0}
	stream1 := []byte{0, 0, 4, frameWindowUpdate, 0, 0, 0, 0, 1, 0, 1, 0, 0}
	data := append([]byte{0, 0, 9, 0, flagAck, 0, 0, 0, 1}, ack...) // looks like one inside
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	tests := []struct {
		name     string
		said     said
		in, want []byte
	}{
		{"all", said{settings: true, window: true, ack: true}, join(settings, window, ack, data), data},
		{"a window without its settings", said{settings: true, ack: true}, join(settings, window, ack, data), join(window, data)},
		{"a stream's window", said{settings: true, window: true, ack: true}, join(settings, stream1, window, stream1, ack), join(stream1, stream1)},
		{"acknowledgement after others", said{settings: true, ack: true}, join(settings, data, ack, data), join(data, data)},
		{"only one of each", said{settings: true, ack: true}, join(settings, ack, settings, ack), join(settings, ack)},
		{"no acknowledgement", said{settings: true}, join(settings, ack, data), join(ack, data)},
		{"neither", said{}, join(settings, ack, data), join(settings, ack, data)},
	}
	for _, tt := range tests {
		for _, size := range []int{1, 2, 7, 10, 100} {
			fake := &fakeConn{}
			c := &conn{Conn: fake, said: tt.said}
			acked := 0
			c.said.acked = func() { acked++ }
			for piece := range slices.Chunk(tt.in, size) {
				if n, err := c.Write(piece); n != len(piece) || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			if want := map[bool]int{true: 1}[tt.said.ack]; acked != want {
				t.Errorf("%s, writes of %d: %d acknowledgements told, want %d", tt.name, size, acked, want)
			}
			if got := fake.sent.Bytes(); !bytes.Equal(got, tt.want) {
				t.Errorf("%s, writes of %d: sent %x, want %x", tt.name, size, got, tt.want)
			}
		}
	}
}

// Whatever a peer sends, nothing panics, and who gets the connection gets all
// of it.
func FuzzSniff(f *testing.F) {
	for _, c := range sniffCases() {
		if len(c.bytes) < 4096 {
			f.Add(c.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		server := &fakeConn{Reader: bytes.NewReader(b)}
		c := &conn{Conn: server, onClose: func() {}}
		opts := (*Options)(nil).withDefaults()
		k := sniff(c, &opts, true)
		if n := server.sent.Len(); n > len(settingsFrames(&opts))+frameHeaderLen {
			t.Errorf("the sniffer sent %d bytes", n)
		}
		if k == nobody {
			return
		}
		if c.acked != nil {
			c.acked()
		}
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, b) {
			t.Errorf("replayed %x (%v), want %x", got, err, b)
		}
	})
}

// shortListener is a listener of a machine without free descriptors.
type shortListener struct {
	net.Listener
	mu     sync.Mutex
	asked  int
	short  time.Duration // how long it lasts
	begun  time.Time
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *shortListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.asked++
	short := time.Since(l.begun) < l.short
	l.mu.Unlock()
	if short {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *shortListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (l *shortListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }

// A machine out of descriptors makes accepting slow, not busy, and it goes on
// by itself.
func TestAcceptWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &shortListener{begun: time.Now(), short: time.Minute, conns: make(chan net.Conn), closed: make(chan struct{})}
		registry := &infer.Registry{}
		api := oip.New(registry, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- Serve(ctx, l, nil, api, &Options{NoGRPC: true, Log: slog.New(slog.DiscardHandler)}) }()
		<-time.After(time.Minute)
		l.mu.Lock()
		asked := l.asked
		l.mu.Unlock()
		if asked > 80 {
			t.Errorf("accepted %d times in a minute without descriptors, want about one a second", asked)
		}
		ours, theirs := net.Pipe()
		l.conns <- theirs // blocks until it is accepted
		go func() {
			_, _ = io.WriteString(ours, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		}()
		answer, err := io.ReadAll(ours)
		if err != nil || !bytes.Contains(answer, []byte(`{"live":true}`)) {
			t.Errorf("%v: %s", err, answer)
		}
		cancel()
		if err := <-result; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestAcceptErrorEndsServe(t *testing.T) {
	l := &brokenListener{}
	err := Serve(t.Context(), l, nil, oip.New(&infer.Registry{}, nil, nil), nil)
	if err == nil || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Serve: %v", err)
	}
}

type brokenListener struct{ net.Listener }

func (*brokenListener) Accept() (net.Conn, error) { return nil, syscall.EINVAL }
func (*brokenListener) Addr() net.Addr            { return &net.TCPAddr{} }
func (*brokenListener) Close() error              { return nil }
