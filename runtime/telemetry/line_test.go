package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/telemetry"
)

var clock = regexp.MustCompile(`^\{"time":"[^"]*"`)

// What is written in a quicker way has the same bytes as what slog writes, but
// for the time.
func TestLinesAreSlogs(t *testing.T) {
	for _, s := range []string{"", "a", "\"", "\\", "\n", "\x00", "\x1f", "\x7f", "\x80", "é", "\u2028", "<&>", "~ !"} {
		sameLine(t, t.Context(), telemetry.RequestLog{RequestID: "x" + s, Model: s, Duration: 1500})
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[a-z0-9_.-]{0,40}`), rapid.StringMatching(`[a"\\<&\x7fé]{0,4}`), rapid.String(), rapid.Just(hostile))
		line := telemetry.RequestLog{
			Target: "local", Model: text.Draw(t, "model"), Version: "1", RequestID: text.Draw(t, "request"), PredictionID: text.Draw(t, "prediction"), Caller: text.Draw(t, "caller"),
			Duration: time.Duration(rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 1e10)).Draw(t, "duration")),
			Quiet:    rapid.Bool().Draw(t, "quiet"),
		}
		if code := rapid.SampledFrom([]fault.Code{fault.OK, fault.Invalid, fault.Unavailable, fault.Internal}).Draw(t, "code"); code != fault.OK {
			line.Err = fault.New(code, "op", "", "text")
		}
		ctx := t.Context()
		if rapid.Bool().Draw(t, "traced") {
			ctx = telemetry.WithTrace(ctx, telemetry.NewTrace())
		}
		sameLine(t, ctx, line)
	})
	// The time is in slog's format too.
	var ours, theirs bytes.Buffer
	(&telemetry.RequestLog{}).Write(t.Context(), telemetry.NewLogger(&ours, false, nil))
	telemetry.NewLogger(&theirs, false, nil).Info("request")
	form := regexp.MustCompile(`^\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)","level":"INFO","msg":"request"`)
	for _, b := range [][]byte{ours.Bytes(), theirs.Bytes()} {
		if !form.Match(b) {
			t.Errorf("got %s", b)
		}
	}
}

func sameLine(t interface{ Errorf(string, ...any) }, ctx context.Context, line telemetry.RequestLog) {
	var ours, theirs bytes.Buffer
	line.Write(ctx, telemetry.NewLogger(&ours, false, slog.LevelInfo))
	// With no attributes at all, but not our handler any more.
	line.Write(ctx, slog.New(telemetry.NewLogger(&theirs, false, slog.LevelInfo).Handler().WithAttrs(nil)))
	mask := func(b []byte) string { return clock.ReplaceAllString(string(b), `{"time":"T"`) }
	if diff := cmp.Diff(mask(theirs.Bytes()), mask(ours.Bytes())); diff != "" {
		t.Errorf("(-slog's +ours):\n%s", diff)
	}
}

func BenchmarkRequestLog(b *testing.B) {
	ctx := telemetry.WithTrace(b.Context(), telemetry.NewTrace())
	line := telemetry.RequestLog{Target: "local", Model: "digits", Version: "1", RequestID: "0123456789abcdef0123456789abcdef", PredictionID: "0123456789abcdef0123456789abcdef", Duration: 1234567}
	for _, log := range []struct {
		name string
		*slog.Logger
	}{{"ours", telemetry.NewLogger(io.Discard, false, nil)}, {"slog", slog.New(telemetry.NewLogger(io.Discard, false, nil).Handler().WithAttrs(nil))}} {
		b.Run(log.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				line.Write(ctx, log.Logger)
			}
		})
	}
}
