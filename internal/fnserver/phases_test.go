package fnserver_test

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/fnserver"
)

// What a start took is in the metrics by the time that the server is ready.
func TestStartInMetrics(t *testing.T) {
	s := serve(t, fnserver.Probed)
	if got := s.phases(); slices.Contains(got, "ready") || slices.Contains(got, "load") {
		t.Errorf("want no end while the model loads, got %q", got)
	}
	close(s.engine.open)
	s.until(http.StatusOK, http.MethodGet, "/v2/health/ready")
	if diff := cmp.Diff([]string{"digest", "load", "ready"}, s.phases()); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
}

var phase = regexp.MustCompile(`(?m)^godwit_start_seconds\{phase="([a-z_]+)"\} [0-9.e+-]+$`)

// phases are those whose time the metrics tell.
func (s *serving) phases() []string {
	resp, err := http.Get("http://" + s.addr + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, m := range phase.FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	slices.Sort(names)
	return names
}
