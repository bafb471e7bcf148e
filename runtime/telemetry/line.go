package telemetry

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
)

// lines is the JSON handler of NewLogger. It writes the line of a request that
// went well itself, in slog's own format, at a fifth of what slog takes: that
// line is a large part of what a small request costs.
type lines struct {
	slog.Handler            // for everything else
	out          *oneWriter // where Handler writes too
	buffers      sync.Pool  // of *[]byte
}

func newLines(w io.Writer, opts *slog.HandlerOptions) *lines {
	out := &oneWriter{w: w}
	return &lines{Handler: slog.NewJSONHandler(out, opts), out: out, buffers: sync.Pool{New: func() any { return new([]byte) }}}
}

// WithAttrs and WithGroup give slog's handler: lines of requests have neither.
func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler { return l.Handler.WithAttrs(attrs) }
func (l *lines) WithGroup(name string) slog.Handler       { return l.Handler.WithGroup(name) }

// oneWriter makes one handler's lines not mix with the other's.
type oneWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *oneWriter) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// request writes r's line, at Info, and says whether it could.
func (l *lines) request(ctx context.Context, r *RequestLog, code fault.Code, now time.Time) bool {
	// What slog would have to escape it may, and times of thirty years.
	if r.Duration < 0 || r.Duration >= 1e18 {
		return false
	}
	for _, s := range [...]string{r.Target, r.Model, r.Version, r.RequestID, r.PredictionID, r.Caller} {
		if !asIs(s) {
			return false
		}
	}
	buf := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(buf)
	b := append((*buf)[:0], `{"time":"`...)
	b = now.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"INFO","msg":"request","target":"`...)
	b = append(b, r.Target...)
	b = append(b, `","model":"`...)
	b = append(b, r.Model...)
	b = append(b, `","version":"`...)
	b = append(b, r.Version...)
	b = append(b, `","request_id":"`...)
	b = append(b, r.RequestID...)
	b = append(b, `","prediction_id":"`...)
	b = append(b, r.PredictionID...)
	b = append(b, `","code":"`...)
	b = append(b, code.String()...)
	b = append(b, `","duration_ms":`...)
	b = appendMillis(b, r.Duration)
	if r.Caller != "" {
		b = append(b, `,"caller":"`...)
		b = append(b, r.Caller...)
		b = append(b, '"')
	}
	if t, ok := ctx.Value(traceKey{}).(*Trace); ok {
		b = append(b, `,"trace_id":"`...)
		b = hex.AppendEncode(b, t.ID[:])
		b = append(b, `","span_id":"`...)
		b = hex.AppendEncode(b, t.Span[:])
		b = append(b, '"')
	}
	b = append(b, "}\n"...)
	*buf = b
	_, _ = l.out.Write(b) // slog has nobody to tell of an error either
	return true
}

// appendMillis writes d, which is not negative, in milliseconds with up to
// three digits behind the point, as encoding/json writes that number.
func appendMillis(b []byte, d time.Duration) []byte {
	micros := d.Microseconds()
	b = strconv.AppendInt(b, micros/1000, 10)
	if part := micros % 1000; part > 0 {
		b = append(b, '.', byte('0'+part/100), byte('0'+part/10%10), byte('0'+part%10))
		b = bytes.TrimRight(b, "0")
	}
	return b
}

// asIs tells whether JSON shows s without any escape.
func asIs(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
