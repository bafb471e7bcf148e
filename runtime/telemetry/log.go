package telemetry

import (
	"context"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
)

// NewLogger returns a logger that writes to w: text lines for a terminal, one
// JSON object a line otherwise. Nothing that a caller sends can forge a line
// or drive a terminal: control and formatting characters are escaped in both.
func NewLogger(w io.Writer, terminal bool, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: escapeAttr}
	if terminal {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(newLines(w, opts))
}

// escapeAttr escapes what slog's handlers let through: DEL, C1 controls and
// the characters that change the direction of text.
func escapeAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); !plain(s) {
			a.Value = slog.StringValue(Escape(s))
		}
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(Escape(err.Error()))
		}
	}
	return a
}

// Escape replaces the characters of s that are not for reading, apart from
// the ASCII controls that every slog handler escapes itself, by their Go
// escape: U+009B becomes the six characters \u009b.
func Escape(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if !special(r, s[i:]) {
			b.WriteRune(r)
			continue
		}
		if r == utf8.RuneError {
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[i]), 16))
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

func plain(s string) bool {
	for i, r := range s {
		if special(r, s[i:]) {
			return false
		}
	}
	return true
}

func special(r rune, at string) bool {
	if r == utf8.RuneError {
		_, size := utf8.DecodeRuneInString(at)
		return size == 1 // not UTF-8, rather than U+FFFD itself
	}
	return r == 0x7f || r > 0x7f && !unicode.IsPrint(r)
}

// RequestLog is the one line that an adapter writes for a request. The keys
// are fixed: target, model, version, request_id, prediction_id, code,
// duration_ms, trace_id, span_id; caller where the access check named one, and
// error where the server is to blame.
type RequestLog struct {
	Target         string // the platform: "knative", "local"
	Model, Version string
	RequestID      string
	PredictionID   string
	Caller         string // a key's name or a token's subject; "" where nobody is told apart
	Err            error  // nil for a success
	Duration       time.Duration
	// Quiet is for probes and metadata: a success is logged at Debug.
	Quiet bool
}

// Write logs l with the trace that ctx carries. A request that the server
// failed is an error with its cause. The text of a caller's own mistakes is
// not logged, because it may quote what the caller sent.
func (l *RequestLog) Write(ctx context.Context, log *slog.Logger) {
	code := fault.CodeOf(l.Err)
	level := slog.LevelInfo
	switch {
	case ours(code):
		level = slog.LevelError
	case l.Quiet && code == fault.OK:
		level = slog.LevelDebug
	}
	if !log.Enabled(ctx, level) {
		return
	}
	if h, ok := log.Handler().(*lines); ok && level == slog.LevelInfo && h.request(ctx, l, code, time.Now()) {
		return
	}
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs,
		slog.String("target", l.Target),
		slog.String("model", l.Model),
		slog.String("version", l.Version),
		slog.String("request_id", l.RequestID),
		slog.String("prediction_id", l.PredictionID),
		slog.String("code", code.String()),
		slog.Float64("duration_ms", math.Round(float64(l.Duration.Microseconds()))/1000))
	if l.Caller != "" {
		attrs = append(attrs, slog.String("caller", l.Caller))
	}
	if t, ok := TraceOf(ctx); ok {
		attrs = append(attrs, slog.String("trace_id", t.TraceID()), slog.String("span_id", t.SpanID()))
	}
	if ours(code) {
		attrs = append(attrs, slog.Any("error", l.Err))
	}
	log.LogAttrs(ctx, level, "request", attrs...)
}

// ours reports whether a failure is the server's to mend. Overload, deadlines
// and what the model cannot answer are not.
func ours(code fault.Code) bool { return code.HTTP() == fault.Internal.HTTP() }
