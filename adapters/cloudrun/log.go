package cloudrun

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

// LogOptions of NewLogger; nil means defaults.
type LogOptions struct {
	Level slog.Leveler // nil: Info
	// Project is the project's id, without which Cloud Logging cannot find the
	// trace of a line: then the fields trace_id and span_id stay as they are.
	Project string
	// Requests adds httpRequest to the lines of requests that came through New's
	// handler. The platform writes an entry of its own with the same for each
	// request, which Cloud Logging shows together with ours by their trace.
	Requests bool
}

// NewLogger returns a logger whose lines Cloud Logging reads: one JSON object
// each, with severity, message and time, and the request's trace.
func NewLogger(w io.Writer, opts *LogOptions) *slog.Logger {
	l := &logs{out: &oneWriter{w: w}, plain: true, buffers: &sync.Pool{New: func() any { return new([]byte) }}}
	var level slog.Leveler
	if opts != nil {
		l.project, l.requests, level = opts.Project, opts.Requests, opts.Level
	}
	l.Handler = slog.NewJSONHandler(l.out, &slog.HandlerOptions{Level: level, ReplaceAttr: replace})
	return slog.New(l)
}

// oneWriter makes the lines that we write and those that slog does not mix.
type oneWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *oneWriter) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// replace gives slog's own fields their names in Cloud Logging, and escapes
// what slog lets through.
func replace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 {
		switch a.Key {
		case slog.LevelKey:
			if level, ok := a.Value.Any().(slog.Level); ok {
				return slog.String("severity", severity(level))
			}
		case slog.MessageKey:
			a.Key = "message"
		}
	}
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(telemetry.Escape(v))
	case error:
		a.Value = slog.StringValue(telemetry.Escape(v.Error()))
	}
	return a
}

func severity(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARNING"
	}
	return "ERROR"
}

// logs adds what Cloud Logging wants to know to each line. Lines of plain
// values, as those of requests are, it writes itself: slog takes twenty times
// as long for them.
type logs struct {
	slog.Handler // for everything else
	out          *oneWriter
	plain        bool // neither WithAttrs nor WithGroup was called
	project      string
	requests     bool
	buffers      *sync.Pool // of *[]byte
}

// WithAttrs implements slog.Handler.
func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := *l
	own.Handler, own.plain = l.Handler.WithAttrs(attrs), false
	return &own
}

// WithGroup implements slog.Handler.
func (l *logs) WithGroup(name string) slog.Handler {
	own := *l
	own.Handler, own.plain = l.Handler.WithGroup(name), false
	return &own
}

// The fields of a line's trace.
const (
	traceField   = "logging.googleapis.com/trace"
	spanField    = "logging.googleapis.com/spanId"
	sampledField = "logging.googleapis.com/trace_sampled"
)

// Handle implements slog.Handler.
func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	trace, traced := telemetry.TraceOf(ctx)
	traced = traced && l.project != ""
	var req *http.Request
	if l.requests && r.Message == "request" {
		req, _ = ctx.Value(requestKey{}).(*http.Request)
	}
	if l.plain && req == nil && l.line(&r, &trace, traced) {
		return nil
	}
	if !traced && req == nil {
		return l.Handler.Handle(ctx, r)
	}
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	status, took := 0, time.Duration(0)
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case traced && isTrace(a.Key):
			return true
		case a.Key == "code":
			status = statusOf(a.Value.String())
		case a.Key == "duration_ms" && a.Value.Kind() == slog.KindFloat64:
			took = time.Duration(a.Value.Float64() * float64(time.Millisecond))
		}
		out.AddAttrs(a)
		return true
	})
	if traced {
		out.AddAttrs(
			slog.String(traceField, "projects/"+l.project+"/traces/"+trace.TraceID()),
			slog.String(spanField, trace.SpanID()),
			slog.Bool(sampledField, trace.Sampled))
	}
	if req != nil {
		out.AddAttrs(httpRequest(req, status, took))
	}
	return l.Handler.Handle(ctx, out)
}

// isTrace says whether a field is told in Cloud Logging's own fields.
func isTrace(key string) bool { return key == "trace_id" || key == "span_id" }

// line writes r, and says whether it could: values may be text, numbers and
// truth values.
func (l *logs) line(r *slog.Record, trace *telemetry.Trace, traced bool) bool {
	buf := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(buf)
	b := append((*buf)[:0], `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(append(append(b, `","severity":"`...), severity(r.Level)...), `","message":`...)
	b = quote(b, r.Message)
	fits := !r.Time.IsZero()
	r.Attrs(func(a slog.Attr) bool {
		if traced && isTrace(a.Key) {
			return true
		}
		b = append(quote(append(b, ','), a.Key), ':')
		switch a.Value.Kind() {
		case slog.KindString:
			b = quote(b, a.Value.String())
		case slog.KindInt64:
			b = strconv.AppendInt(b, a.Value.Int64(), 10)
		case slog.KindBool:
			b = strconv.AppendBool(b, a.Value.Bool())
		case slog.KindFloat64:
			f := a.Value.Float64()
			fits = fits && f >= 0 && f < 1e15
			b = strconv.AppendFloat(b, f, 'f', -1, 64)
		default:
			fits = false
		}
		return fits
	})
	if traced {
		b = append(append(b, `,"`+traceField+`":"projects/`...), l.project...)
		b = hex.AppendEncode(append(b, "/traces/"...), trace.ID[:])
		b = hex.AppendEncode(append(b, `","`+spanField+`":"`...), trace.Span[:])
		b = strconv.AppendBool(append(b, `","`+sampledField+`":`...), trace.Sampled)
	}
	b = append(b, "}\n"...)
	*buf = b
	if fits {
		_, _ = l.out.Write(b) // slog has nobody to tell of an error either
	}
	return fits
}

// quote appends s as a JSON string, with what is not for reading escaped as in
// every log of ours.
func quote(b []byte, s string) []byte {
	if asIs(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	s = telemetry.Escape(s)
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// asIs tells whether a log shows s without any escape.
func asIs(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func statusOf(code string) int {
	if code == fault.OK.String() {
		return fault.OK.HTTP()
	}
	for _, c := range fault.Codes() {
		if c.String() == code {
			return c.HTTP()
		}
	}
	return 0
}

// httpRequest is the request as Cloud Logging shows it. The query is left out:
// it may hold what nobody should read.
func httpRequest(r *http.Request, status int, took time.Duration) slog.Attr {
	scheme := "http"
	if proto := r.Header.Get("X-Forwarded-Proto"); proto == "https" {
		scheme = proto
	}
	attrs := []any{
		slog.String("requestMethod", r.Method), slog.String("requestUrl", scheme+"://"+r.Host+r.URL.EscapedPath()),
		slog.String("protocol", r.Proto), slog.String("userAgent", r.UserAgent()), slog.String("remoteIp", remoteIP(r)),
		slog.String("latency", fmt.Sprintf("%.6fs", took.Seconds())),
	}
	if status != 0 {
		attrs = append(attrs, slog.Int("status", status))
	}
	if r.ContentLength >= 0 {
		attrs = append(attrs, slog.String("requestSize", strconv.FormatInt(r.ContentLength, 10)))
	}
	return slog.Group("httpRequest", attrs...)
}

// remoteIP is the caller's address as the platform's front end saw it: what it
// appends to X-Forwarded-For. All before that is the caller's own.
func remoteIP(r *http.Request) string {
	if all := r.Header.Values("X-Forwarded-For"); len(all) > 0 {
		last := all[len(all)-1]
		return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

type requestKey struct{}

// withRequest lets the log see the request.
func withRequest(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), requestKey{}, r))
}

// showsRequests says whether a log wants to see them.
func showsRequests(log *slog.Logger) bool {
	l, ok := log.Handler().(*logs)
	return ok && l.requests
}
