package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/fault"
)

func TestEdgeOrDefault(t *testing.T) {
	plain := &Targets{}
	want := &Edge{Common: Common{Provider: "cpu"}, Runtime: "systemd", Architecture: "arm64", Listen: "127.0.0.1:8080", HealthyAfter: 60 * second}
	if diff := cmp.Diff(want, plain.EdgeOrDefault()); diff != "" || plain.Edge != nil {
		t.Errorf("without the target (-want +got):\n%s", diff)
	}
	s := mustParse(t, []byte("model: m.onnx\ntargets: {edge: {healthyAfter: 5s, forward: {url: 'https://in.example.com/'}}}\n"))
	got := s.Targets.EdgeOrDefault()
	want.HealthyAfter, want.Forward = 5*second, &Forward{URL: "https://in.example.com/", Queue: 256 * MiB, MaxAge: 7 * day}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got.HealthyAfter, got.Forward.URL = 0, "x"
	if diff := cmp.Diff(want, s.Targets.EdgeOrDefault()); diff != "" {
		t.Errorf("what is the caller's changed the spec (-want +got):\n%s", diff)
	}
}

func TestEdgeSet(t *testing.T) {
	e := &Edge{}
	for key, text := range map[string]string{"healthyAfter": "90s", "forward.queue": "2MiB", "forward.maxAge": "1d"} {
		if err := e.Set(key, text); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if diff := cmp.Diff(&Edge{HealthyAfter: 90 * second, Forward: &Forward{Queue: 2 * MiB, MaxAge: day}}, e); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		key, text string
		code      fault.Code
	}{
		{"healthyAfter", "25h", fault.BadConfig}, {"healthyAfter", "soon", fault.BadConfig},
		{"forward.queue", "1KiB", fault.BadConfig}, {"forward.maxAge", "1s", fault.BadConfig},
		{"forward", "x", fault.Unsupported}, {"env", "x", fault.Unsupported}, {"queue", "1MiB", fault.Unsupported}, {"nothing", "x", fault.Unsupported},
	} {
		if err := e.Set(c.key, c.text); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %s: %v, want %v", c.key, c.text, err, c.code)
		}
	}
}

func TestPortsOfDevices(t *testing.T) {
	for port, want := range map[string]string{"1": "", "65535": "", "0": "want a port from 1 to 65535, got 0", "65536": "want a port from 1 to 65535, got 65536", "http": "want a HOST:PORT"} {
		_, err := Parse("godwit.yaml", []byte("model: m.onnx\ntargets: {edge: {listen: '[::1]:"+port+"'}}\n"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("port %s: %v, want %q", port, err, want)
		}
	}
}
