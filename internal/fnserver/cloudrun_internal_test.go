package fnserver

import (
	"testing"
	"time"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/app"
)

// Work on a delivery ends before the subscription delivers it again.
func TestWorkEndsBeforeTheAckDeadline(t *testing.T) {
	for yaml, want := range map[string]time.Duration{
		"{}": 0, "{push: {}}": 0, "{push: {ackDeadline: 10s}}": 9 * time.Second, "{push: {ackDeadline: 60s}}": 55 * time.Second, "{push: {ackDeadline: 600s}}": 595 * time.Second,
	} {
		s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\ntargets: {cloudrun: "+yaml+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		o := &cloudrun.Options{}
		if err := pushed(&Function{Function: &app.Function{Spec: s}}, func(string) string { return "" }, o); err != nil || o.Timeout != want || o.Push != nil || o.Aside != nil {
			t.Errorf("%s: %v, timeout %v, want %v and no more", yaml, err, o.Timeout, want)
		}
	}
}
