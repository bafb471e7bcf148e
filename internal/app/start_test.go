package app_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/app"
	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/memengine"
	"godwit.dev/runtime/telemetry"
)

// phases is a Sink that notes the phases of a start.
type phases struct {
	telemetry.Discard
	told map[string]time.Duration
}

func (p *phases) Start(phase string, took time.Duration) { p.told[phase] = took }

// A start says what it took on stderr if it is asked to, and its metrics get
// the same either way.
func TestStartReport(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "addsub.onnx")
	if err := os.WriteFile(model, testmodels.AddSub().Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"asked": "1", "not asked": ""} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			begun := time.Unix(1700000000, 5)
			p := app.Process{Stderr: &out, Begun: begun, Getenv: func(n string) string { return map[string]string{app.StartReport: value}[n] }}
			metrics, parts := &phases{told: map[string]time.Duration{}}, map[string]time.Duration{}
			o := &app.Options{Sink: metrics, Phase: func(phase string, took time.Duration) { parts[phase] = took }}
			var setup *driver.Setup
			if _, _, err := p.Isolate(model, "off", func(s *driver.Setup) driver.Engine { setup = s; return memengine.New(nil) }, o); err != nil {
				t.Fatal(err)
			}
			setup.Start("library", 3*time.Millisecond)
			o.Sink.Start("ready", 7*time.Millisecond)
			o.Sink.Inference(telemetry.InferenceEvent{Compute: time.Millisecond})
			o.Sink.Inference(telemetry.InferenceEvent{Compute: time.Hour}) // no first run
			if diff := cmp.Diff(map[string]time.Duration{"ready": 7 * time.Millisecond}, metrics.told); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]time.Duration{"library": 3 * time.Millisecond}, parts); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
			type line struct {
				Msg, Phase string
				From       int64 `json:"from_ns"`
				To         int64 `json:"to_ns"`
			}
			got, want := map[string]int64{}, map[string]int64{}
			if value != "" {
				want = map[string]int64{"main": 0, "library": 3e6, "ready": 7e6, "first_run": 1e6}
			}
			for d := json.NewDecoder(&out); d.More(); {
				var l line
				if err := d.Decode(&l); err != nil {
					t.Fatal(err)
				}
				if l.Msg != app.StartMessage {
					t.Errorf("want the message %q, got %q", app.StartMessage, l.Msg)
				}
				if l.Phase == app.PhaseMain && l.From != begun.UnixNano() {
					t.Errorf("want the beginning %d, got %d", begun.UnixNano(), l.From)
				}
				got[l.Phase] = l.To - l.From
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}
