package telemetry

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// Trace is a W3C trace context as this process sees it: the trace it belongs
// to and the span that is its own.
type Trace struct {
	ID      [16]byte
	Parent  [8]byte // the caller's span; zero when this process began the trace
	Span    [8]byte // this request's span
	Sampled bool
	// State is the tracestate header, passed on unread; "" when absent or invalid.
	State string
}

const (
	traceparentLen = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	maxStateBytes  = 8 << 10 // of the header; the specification asks for at least 512
	maxStateKeys   = 32
)

// NewTrace begins a trace that is not sampled. Ids need to be unique, not
// secret, so they do not come from the system's entropy.
func NewTrace() Trace {
	var t Trace
	put(t.ID[:8], nonzero())
	put(t.ID[8:], rand.Uint64())
	put(t.Span[:], nonzero())
	return t
}

// ParseTrace reads the traceparent and tracestate of a request and gives the
// span of this process a new id. ok is false when traceparent is absent or
// invalid; an invalid tracestate is dropped, as the specification says.
func ParseTrace(traceparent, tracestate string) (t Trace, ok bool) {
	version, rest, fine := hexByte(traceparent)
	switch {
	case !fine || version == 0xff || len(traceparent) < traceparentLen:
		return Trace{}, false
	case version == 0 && len(traceparent) != traceparentLen:
		return Trace{}, false
	case len(traceparent) > traceparentLen && traceparent[traceparentLen] != '-': // a later version may add fields
		return Trace{}, false
	}
	if rest[0] != '-' || rest[33] != '-' || rest[50] != '-' {
		return Trace{}, false
	}
	flags, _, fine := hexByte(rest[51:])
	if !fine || !lowerHex(t.ID[:], rest[1:33]) || !lowerHex(t.Parent[:], rest[34:50]) {
		return Trace{}, false
	}
	if t.ID == [16]byte{} || t.Parent == [8]byte{} {
		return Trace{}, false
	}
	put(t.Span[:], nonzero())
	t.Sampled = flags&1 == 1
	if validState(tracestate) {
		t.State = tracestate
	}
	return t, true
}

// TraceID is the trace's id in hexadecimal.
func (t Trace) TraceID() string { return hex.EncodeToString(t.ID[:]) }

// SpanID is the id of this process's span in hexadecimal.
func (t Trace) SpanID() string { return hex.EncodeToString(t.Span[:]) }

// Header is the traceparent that names this process's span: what a call made
// for this request sends, and what its answer echoes.
func (t Trace) Header() string {
	b := make([]byte, 0, traceparentLen)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.ID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.Span[:])
	if t.Sampled {
		return string(append(b, "-01"...))
	}
	return string(append(b, "-00"...))
}

type traceKey struct{}

// WithTrace returns a context that carries t.
func WithTrace(ctx context.Context, t Trace) context.Context { return &Traced{ctx, t} }

// Traced is the context that WithTrace makes, for those who keep it in a value
// of their own.
type Traced struct {
	context.Context // the parent
	Trace           Trace
}

// Value implements context.Context.
func (c *Traced) Value(key any) any {
	if key == (traceKey{}) {
		return &c.Trace
	}
	return c.Context.Value(key)
}

// TraceOf returns the trace that ctx carries.
func TraceOf(ctx context.Context) (Trace, bool) {
	if t, ok := ctx.Value(traceKey{}).(*Trace); ok {
		return *t, true
	}
	return Trace{}, false
}

// validState reports whether s is a tracestate: at most 32 key=value members,
// of printable ASCII.
func validState(s string) bool {
	if s == "" || len(s) > maxStateBytes {
		return false
	}
	keys := 0
	for member := range strings.SplitSeq(s, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue // allowed, and common when a member was removed
		}
		keys++
		key, value, ok := strings.Cut(member, "=")
		if keys > maxStateKeys || !ok || !validStateKey(key) || !validStateValue(value) {
			return false
		}
	}
	return keys > 0
}

func validStateKey(s string) bool {
	if s == "" || len(s) > 256 || !(isLower(s[0]) || isDigit(s[0])) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLower(c) && !isDigit(c) && !strings.ContainsRune("_-*/@", rune(c)) {
			return false
		}
	}
	return true
}

func validStateValue(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return true
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// lowerHex decodes s, which must be lower-case, into dst.
func lowerHex(dst []byte, s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && !('a' <= s[i] && s[i] <= 'f') {
			return false
		}
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

func hexByte(s string) (b byte, rest string, ok bool) {
	if len(s) < 2 {
		return 0, "", false
	}
	var one [1]byte
	ok = lowerHex(one[:], s[:2])
	return one[0], s[2:], ok
}

func put(dst []byte, v uint64) {
	for i := range 8 {
		dst[i] = byte(v >> (8 * i))
	}
}

func nonzero() uint64 {
	for {
		if v := rand.Uint64(); v != 0 {
			return v
		}
	}
}
