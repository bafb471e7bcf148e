package cloudrun

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
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
}

// NewLogger returns a logger whose lines Cloud Logging reads: one JSON object
// each, with severity, message and time, the request's trace, and of the lines
// for requests that came through New's handler httpRequest.
func NewLogger(w io.Writer, opts *LogOptions) *slog.Logger {
	var o LogOptions
	if opts != nil {
		o = *opts
	}
	return slog.New(&logs{
		Handler: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.Level, ReplaceAttr: replace}),
		project: o.Project,
	})
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

// logs adds what Cloud Logging wants to know to each line.
type logs struct {
	slog.Handler
	project string
}

func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logs{l.Handler.WithAttrs(attrs), l.project}
}

func (l *logs) WithGroup(name string) slog.Handler {
	return &logs{l.Handler.WithGroup(name), l.project}
}

// Handle implements slog.Handler.
func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	trace, traced := telemetry.TraceOf(ctx)
	traced = traced && l.project != ""
	req, _ := ctx.Value(requestKey{}).(*http.Request)
	isRequest := req != nil && r.Message == "request"
	if !traced && !isRequest {
		return l.Handler.Handle(ctx, r)
	}
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	status, took := 0, time.Duration(0)
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case traced && (a.Key == "trace_id" || a.Key == "span_id"):
			return true // in Cloud Logging's own fields
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
			slog.String("logging.googleapis.com/trace", "projects/"+l.project+"/traces/"+trace.TraceID()),
			slog.String("logging.googleapis.com/spanId", trace.SpanID()),
			slog.Bool("logging.googleapis.com/trace_sampled", trace.Sampled))
	}
	if isRequest {
		out.AddAttrs(httpRequest(req, status, took))
	}
	return l.Handler.Handle(ctx, out)
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
