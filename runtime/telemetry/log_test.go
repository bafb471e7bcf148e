package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

const hostile = "a\nlevel=ERROR \"} \x1b[31m\x7f\u009b2J\u202etxt\x00\xff\r\n"

func TestLoggerCannotBeInjectedInto(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		t.Run(fmt.Sprintf("terminal=%v", terminal), func(t *testing.T) {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, terminal, slog.LevelInfo)
			line := telemetry.RequestLog{Model: hostile, RequestID: hostile, Err: fault.New(fault.Internal, "op", "", "%s", hostile)}
			line.Write(t.Context(), log)
			text := out.String()
			if n := strings.Count(text, "\n"); n != 1 {
				t.Errorf("got %d lines, want 1: %q", n, text)
			}
			for _, r := range strings.TrimSuffix(text, "\n") {
				if r != ' ' && !unicode.IsPrint(r) {
					t.Errorf("%U reached the log: %q", r, text)
				}
			}
			if !terminal && !json.Valid(out.Bytes()) {
				t.Errorf("not JSON: %s", text)
			}
		})
	}
}

func TestRequestLogKeysAreFixedAndCallersMistakesAreNotQuoted(t *testing.T) {
	trace := telemetry.NewTrace()
	ctx := telemetry.WithTrace(t.Context(), trace)
	keys := []string{"target", "model", "version", "request_id", "prediction_id", "code", "duration_ms", "trace_id", "span_id"}
	tests := []struct {
		name  string
		line  telemetry.RequestLog
		level string
		code  string
		error bool
	}{
		{"success", telemetry.RequestLog{}, "INFO", "ok", false},
		{"caller's mistake", telemetry.RequestLog{Err: fault.New(fault.Invalid, "", "", "got 4711")}, "INFO", "invalid", false},
		{"overload", telemetry.RequestLog{Err: fault.New(fault.Unavailable, "", "", "full")}, "INFO", "unavailable", false},
		{"our mistake", telemetry.RequestLog{Err: errors.New("boom")}, "ERROR", "internal", true},
		{"probe", telemetry.RequestLog{Quiet: true}, "", "", false},
		{"failed probe", telemetry.RequestLog{Quiet: true, Err: errors.New("boom")}, "ERROR", "internal", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.line.Duration = 1500 * time.Microsecond
			tt.line.Write(ctx, telemetry.NewLogger(&out, false, slog.LevelInfo))
			if tt.level == "" {
				if out.Len() > 0 {
					t.Errorf("logged %s", out.String())
				}
				return
			}
			var got map[string]any
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got["level"] != tt.level || got["code"] != tt.code || got["duration_ms"] != 1.5 || got["trace_id"] != trace.TraceID() || got["span_id"] != trace.SpanID() {
				t.Errorf("got %v", got)
			}
			if _, has := got["error"]; has != tt.error {
				t.Errorf("has an error key: %v, want %v", has, tt.error)
			}
			for _, k := range append([]string{"time", "level", "msg", "error"}, keys...) {
				if _, ok := got[k]; !ok && k != "error" {
					t.Errorf("key %q is missing", k)
				}
				delete(got, k)
			}
			if diff := cmp.Diff(map[string]any{}, got); diff != "" {
				t.Errorf("unknown keys:\n%s", diff)
			}
		})
	}
}

func TestEscapeKeepsWhatIsForReading(t *testing.T) {
	for in, want := range map[string]string{
		"":            "",
		"plain ü 漢 😀": "plain ü 漢 😀",
		"\ufffd":      "\ufffd",
		"a\u202eb":    `a\u202eb`,
		"\x7f":        `\x7f`,
		"\xff":        `\xff`,
	} {
		if got := telemetry.Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
}
