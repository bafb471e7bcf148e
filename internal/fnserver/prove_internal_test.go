package fnserver

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"godwit.dev/internal/app"
	"godwit.dev/internal/recorded"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// A version is kept when its time is over and it answers then. That there was no
// room for a question says nothing of it, and neither does the end.
func TestVersionsProveThemselves(t *testing.T) {
	refuse := func(c fault.Code) error { return fault.New(c, "test", "", "told to") }
	for _, c := range []struct {
		name    string
		answers []error       // then nil
		ends    time.Duration // of the function
		healthy time.Duration // when it is kept; 0 is never
		refused bool
	}{
		{"it answers", nil, time.Hour, time.Minute, false},
		{"it ends before", nil, time.Minute - 1, 0, false},
		{"there is no room", []error{refuse(fault.Unavailable), refuse(fault.RateLimited), refuse(fault.DeadlineExceeded)}, time.Hour, time.Minute + 3*time.Second, false},
		{"it ends while there is no room", []error{refuse(fault.Unavailable)}, time.Minute + time.Second - 1, 0, false},
		{"it fails", []error{refuse(fault.Internal)}, time.Hour, 0, true},
		{"it does not take its own requests", []error{refuse(fault.Invalid)}, time.Hour, 0, true},
	} {
		dir, state := t.TempDir(), t.TempDir()
		for name, data := range map[string]string{"godwit.yaml": "model: m.onnx", "m.onnx": "x"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			r := &reverter{dir: state, path: dir, log: slog.New(slog.DiscardHandler), now: time.Now, after: time.Minute}
			if got := r.begin(t.Context()); got != dir {
				t.Fatalf("%s: serves %s", c.name, got)
			}
			r.history.Healthy = "another" // to give way to
			n := -1
			var asked time.Duration
			f := &Function{
				Function: &app.Function{Handler: infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
					n++
					if asked = time.Since(begun); n > 0 && n <= len(c.answers) {
						return nil, c.answers[n-1]
					}
					return &infer.Response{}, nil
				})},
				Requests: []recorded.Request{{Model: "m", Body: []byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`)}},
			}
			if err := r.loaded(t.Context(), f); err != nil || r.history.Healthy != "another" {
				t.Errorf("%s: loaded: %v, %+v; want it to wait", c.name, err, r.history)
			}
			ctx, cancel := context.WithTimeout(t.Context(), c.ends)
			defer cancel()
			err := r.prove(ctx, f)
			if (fault.CodeOf(err) == fault.Mismatch) != c.refused || r.history.Refused != c.refused {
				t.Errorf("%s: %v, %+v, want it refused: %t", c.name, err, r.history, c.refused)
			}
			if kept := r.history.Healthy == r.history.Version; kept != (c.healthy > 0) || kept && asked != c.healthy {
				t.Errorf("%s: kept: %t, last asked after %v; want %v", c.name, kept, asked, c.healthy)
			}
			if _, err := version(r.copyOf(r.history.Version)); c.healthy > 0 && err != nil {
				t.Errorf("%s: there is no copy: %v", c.name, err)
			}
			if err := r.prove(ctx, f); c.healthy > 0 && (err != nil || asked != c.healthy) {
				t.Errorf("%s: it was to prove itself again: %v", c.name, err)
			}
		})
	}
}
