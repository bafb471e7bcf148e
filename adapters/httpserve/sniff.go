package httpserve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
)

// The parts of HTTP/2 that the sniffer reads (RFC 9113).
const (
	preface        = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeaderLen = 9
	maxFrame       = 16 << 10 // the largest frame that a peer may send

	frameHeaders      = 0x1
	framePriority     = 0x2
	frameSettings     = 0x4
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9

	initialWindow = 65535 // of a connection, in bytes

	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

type frameHeader struct {
	length      int
	kind, flags byte
	stream      uint32
}

func readFrameHeader(b []byte) frameHeader {
	return frameHeader{length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), kind: b[3], flags: b[4], stream: binary.BigEndian.Uint32(b[5:]) &^ (1 << 31)}
}

// isSettingsAck reports whether a frame acknowledges SETTINGS.
func (h frameHeader) isSettingsAck() bool {
	return h.kind == frameSettings && h.flags&flagAck != 0 && h.length == 0
}

// kind is who shall have a connection.
type kind int

const (
	nobody kind = iota // it is closed
	toHTTP
	toGRPC
)

// sniffer finds out what a connection begins with. Clients may wait for the
// server's SETTINGS and for the acknowledgement of their own before they send a
// request, so it sends both before it waits, and whoever gets the connection
// does not send them again.
type sniffer struct {
	c             *conn
	opts          *Options
	buf           []byte // everything read so far
	sentSettings  bool
	sentAck       bool
	settingsSeen  bool // the client's
	settingsEnd   int  // where they end in buf
	windowSeen    bool // a WINDOW_UPDATE
	begun         time.Time
	partial       time.Time // since when part of a frame or header block is there, or zero
	block         []byte    // header block fragments
	inHeaderBlock bool
}

// sniff waits for the first bytes, and if split is set for as many as it takes
// to tell gRPC from everything else. What it has read will be read again.
func sniff(c *conn, opts *Options, split bool) kind {
	s := &sniffer{c: c, opts: opts, begun: time.Now()}
	k := toHTTP
	if split {
		k = s.run()
	} else if s.more() != nil {
		k = nobody
	}
	if k == nobody || c.SetReadDeadline(time.Time{}) != nil {
		return nobody
	}
	c.replay.pending = s.buf
	if n := min(len(s.buf), len(preface)); string(s.buf[:n]) != preface[:n] {
		c.lines = &lines{}
	} else {
		c.frames = newFrames()
	}
	c.said = said{settings: s.sentSettings, window: s.sentSettings, ack: s.sentAck}
	if s.sentAck {
		acked := make(chan struct{})
		c.acked = sync.OnceFunc(func() { close(acked) })
		c.said.acked, c.replay.acked, c.replay.first = c.acked, acked, s.settingsEnd
	}
	return k
}

func (s *sniffer) run() kind {
	for {
		n := min(len(s.buf), len(preface))
		if n > 0 && string(s.buf[:n]) != preface[:n] {
			return toHTTP
		}
		if n == len(preface) {
			break
		}
		if s.more() != nil {
			return nobody
		}
	}
	for at := len(preface); ; {
		rest := s.buf[at:]
		if len(rest) >= frameHeaderLen {
			h := readFrameHeader(rest)
			if h.length > maxFrame {
				return toHTTP // which answers as the specification has it
			}
			if len(rest) >= frameHeaderLen+h.length {
				at += frameHeaderLen + h.length
				if !s.settingsSeen {
					s.settingsEnd = at
				}
				if k := s.frame(h, rest[frameHeaderLen:frameHeaderLen+h.length]); k != nobody {
					return k
				}
				continue
			}
		}
		s.waiting(len(rest) > 0 || s.inHeaderBlock)
		if len(s.buf) > s.opts.MaxHeaderBytes+2*maxFrame {
			return toHTTP // which refuses such a header
		}
		if err := s.settings(); err != nil {
			return nobody
		}
		if err := s.more(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && s.partial.IsZero() {
				s.goodbye()
			}
			return nobody
		}
	}
}

// frame looks at one whole frame; nobody means that more are needed.
func (s *sniffer) frame(h frameHeader, payload []byte) kind {
	switch {
	case s.inHeaderBlock && h.kind != frameContinuation:
		return toHTTP // a protocol error, which it answers
	case h.kind == frameHeaders:
		var ok bool
		if payload, ok = unpad(h, payload); !ok {
			return toHTTP
		}
		s.inHeaderBlock = true
	case h.kind == frameContinuation && s.inHeaderBlock:
	case s.usual(h, payload):
		return nobody
	default:
		return toHTTP // PING wants an answer, the rest is an error or unusual
	}
	s.block = append(s.block, payload...)
	if h.flags&flagEndHeaders == 0 {
		return nobody
	}
	return classify(s.block, s.opts.MaxHeaderBytes)
}

// usual reports whether a frame is one of those that come before the first
// request and want no answer but the acknowledgement of SETTINGS.
func (s *sniffer) usual(h frameHeader, payload []byte) bool {
	switch {
	case h.isSettingsAck():
		return h.stream == 0
	case h.kind == frameSettings:
		first := !s.settingsSeen
		s.settingsSeen = true
		return first && h.stream == 0 && h.flags&flagAck == 0 && h.length%6 == 0
	case h.kind == frameWindowUpdate:
		first := !s.windowSeen
		s.windowSeen = true
		if !first || h.stream != 0 || h.length != 4 {
			return false
		}
		by := binary.BigEndian.Uint32(payload) &^ (1 << 31)
		return by > 0 && by <= 1<<31-1-initialWindow
	case h.kind == framePriority:
		return h.stream != 0 && h.length == 5 && binary.BigEndian.Uint32(payload)&^(1<<31) != h.stream
	}
	return false
}

// unpad takes padding and priority off a HEADERS frame.
func unpad(h frameHeader, p []byte) ([]byte, bool) {
	pad := 0
	if h.flags&flagPadded != 0 {
		if len(p) < 1 {
			return nil, false
		}
		pad, p = int(p[0]), p[1:]
	}
	if h.flags&flagPriority != 0 {
		if len(p) < 5 {
			return nil, false
		}
		p = p[5:]
	}
	if pad > len(p) {
		return nil, false
	}
	return p[:len(p)-pad], true
}

// proxied are headers that proxies add to what they forward: a connection on
// which they come may carry other callers' requests next.
var proxied = []string{"forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-cloud-trace-context"}

// classify decodes the first header block of a connection.
func classify(block []byte, maxBytes int) kind {
	grpc, behindProxy, size := false, false, 0
	d := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		size += len(f.Name) + len(f.Value)
		switch {
		case f.Name == "content-type":
			grpc = isGRPC(f.Value)
		case slices.Contains(proxied, f.Name) || strings.HasPrefix(f.Name, "x-envoy-"):
			behindProxy = true
		}
	})
	d.SetMaxStringLength(maxBytes)
	// In pieces, so that a small block cannot unfold into a huge header.
	for piece := range slices.Chunk(block, 256) {
		if _, err := d.Write(piece); err != nil || size > maxBytes {
			return toHTTP
		}
	}
	if d.Close() != nil || !grpc || behindProxy {
		return toHTTP
	}
	return toGRPC
}

// isGRPC reports whether a content type is gRPC's, and not gRPC-Web's.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

func (s *sniffer) waiting(partial bool) {
	switch {
	case !partial:
		s.partial = time.Time{}
	case s.partial.IsZero():
		s.partial = time.Now()
	}
}

// more reads what is there, or waits for it. As in net/http, the first header
// of a connection has HeaderTimeout to arrive, idle time included; an HTTP/2
// connection between its preface and its first request may be idle.
func (s *sniffer) more() error {
	begun, patience := s.begun, s.opts.HeaderTimeout
	switch {
	case !s.partial.IsZero():
		begun = s.partial
	case len(s.buf) >= len(preface):
		patience = s.opts.IdleTimeout
	}
	if err := s.c.SetReadDeadline(begun.Add(patience)); err != nil {
		return err
	}
	s.buf = slices.Grow(s.buf, 4<<10)
	s.c.quiet.Store(s.partial.IsZero())
	n, err := s.c.take(s.buf[len(s.buf) : len(s.buf)+4<<10])
	s.c.quiet.Store(false)
	s.buf = s.buf[:len(s.buf)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// settings sends the SETTINGS of both servers and, when the client's are there,
// their acknowledgement, each once.
func (s *sniffer) settings() error {
	var frames []byte
	if !s.sentSettings {
		s.sentSettings = true
		frames = settingsFrames(s.opts)
	}
	if s.settingsSeen && !s.sentAck {
		s.sentAck = true
		frames = append(frames, 0, 0, 0, frameSettings, flagAck, 0, 0, 0, 0)
	}
	if frames == nil {
		return nil
	}
	return s.send(frames)
}

// settingsFrames are SETTINGS and WINDOW_UPDATE as both servers are made to
// declare them.
func settingsFrames(opts *Options) []byte {
	const maxConcurrentStreams, initialWindowSize, maxFrameSize, maxHeaderListSize = 3, 4, 5, 6
	frame := []byte{0, 0, 24, frameSettings, 0, 0, 0, 0, 0}
	for _, s := range []struct {
		id    uint16
		value int
	}{{maxConcurrentStreams, opts.MaxStreams}, {initialWindowSize, streamWindow}, {maxFrameSize, maxFrame}, {maxHeaderListSize, opts.MaxHeaderBytes}} {
		frame = binary.BigEndian.AppendUint16(frame, s.id)
		frame = binary.BigEndian.AppendUint32(frame, uint32(s.value))
	}
	frame = append(frame, 0, 0, 4, frameWindowUpdate, 0, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(frame, connWindow-initialWindow)
}

// goodbye tells an idle client that its connection ends: nothing is lost.
func (s *sniffer) goodbye() {
	_ = s.send(append([]byte{0, 0, 8, frameGoAway, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{0}, 8)...))
}

func (s *sniffer) send(frame []byte) error {
	if err := s.c.SetWriteDeadline(time.Now().Add(s.opts.HeaderTimeout)); err != nil {
		return err
	}
	if _, err := s.c.Conn.Write(frame); err != nil {
		return err
	}
	return s.c.SetWriteDeadline(time.Time{})
}
