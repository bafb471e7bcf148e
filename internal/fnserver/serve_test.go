package fnserver_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/infra/spec"
	"godwit.dev/internal/fnserver"
)

func TestLimitsOfTheSpecAreThoseInForce(t *testing.T) {
	s, err := spec.Parse(spec.FileName, []byte("model: m.onnx\nlimits: {chunks: 100, headerFields: 30, headerBytes: 8KiB, streams: 5, drain: 3s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := httpserve.Options{Drain: 3 * time.Second, MaxStreams: 5, MaxHeaderBytes: 8 << 10, MaxHeaderFields: 30, MaxChunks: 100,
		HeaderTimeout: 5 * time.Second, IdleTimeout: 75 * time.Second}
	if diff := cmp.Diff(want, fnserver.ServerOptions(&s.Limits)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
