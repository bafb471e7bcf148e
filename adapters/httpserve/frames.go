package httpserve

import (
	"time"

	"godwit.dev/runtime/fault"
)

// frames counts the HTTP/2 frames that make a server work and that cost their
// sender nothing: streams that are reset as soon as they are opened, settings
// to acknowledge, priorities to note. Neither server bounds how often they come.
type frames struct {
	head [frameHeaderLen]byte
	have int // bytes of head that are there; the preface counts as one frame
	rest int // bytes of the current frame still to come

	tokens float64
	filled time.Time
}

// idleFrames is how many such frames may come at once, and idleRate how many a
// second in the long run: callers who give a request up send one.
const (
	idleFrames = 2000
	idleRate   = 200
)

const frameReset = 0x3

func newFrames() *frames { return &frames{rest: len(preface), tokens: idleFrames, filled: time.Now()} }

// read looks at what was read. Errors: RateLimited.
func (f *frames) read(p []byte) error {
	for len(p) > 0 {
		if f.rest > 0 {
			n := min(f.rest, len(p))
			p, f.rest = p[n:], f.rest-n
			continue
		}
		n := copy(f.head[f.have:], p)
		p, f.have = p[n:], f.have+n
		if f.have < frameHeaderLen {
			return nil
		}
		h := readFrameHeader(f.head[:])
		f.have, f.rest = 0, h.length
		if h.kind != frameReset && h.kind != framePriority && (h.kind != frameSettings || h.isSettingsAck()) {
			continue
		}
		if f.tokens--; f.tokens < 0 && !f.fill() {
			return fault.New(fault.RateLimited, "httpserve", "connection", "want at most %d resets, settings and priorities a second, got more", idleRate)
		}
	}
	return nil
}

// fill adds what time has earned, and reports whether that is enough.
func (f *frames) fill() bool {
	now := time.Now()
	f.tokens = min(f.tokens+now.Sub(f.filled).Seconds()*idleRate, idleFrames)
	f.filled = now
	return f.tokens >= 0
}
