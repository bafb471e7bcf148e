package adaptertest

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

var readyRequest = &message{method: http.MethodGet, path: "/v2/health/ready"}

// isReady is false as well when nobody answers.
func isReady(t *testing.T, c Client) bool {
	resp, err := c.RoundTrip(readyRequest.request(t))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// readiness is true once the adapter has started, and not after a stop.
func readiness(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	for _, path := range []string{"/v2/health/ready", "/v2/health/live", "/v2/models/addsub/ready"} {
		if a := (&message{method: http.MethodGet, path: path}).send(t, c); a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`true`)) {
			t.Errorf("GET %s: want 200 and true, got %d: %s", path, a.status, a.body)
		}
	}
	if err := c.Stop(t.Context()); err != nil && !caps.NoDrain {
		t.Errorf("Stop: %v", err)
	}
	if isReady(t, c) {
		t.Error("it is ready after a stop")
	}
}

// finishes stops the adapter while a request is worked on: from then on it is
// not ready, and the request is answered.
func finishes(t *testing.T, start Start, caps *Caps) {
	c := start(t, nil)
	g := newGate(t)
	var code fault.Code
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		var resp *infer.Response
		resp, code, err = c.Call(t.Context(), told(infer.Params{Gate: g.address()}), false)
		resp.Release()
	}()
	conn := g.begun(done)
	if conn == nil {
		t.Fatalf("want a request that begins, got %v, %v", code, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- c.Stop(t.Context()) }()
	if !caps.NoRoutes {
		for begun := time.Now(); isReady(t, c); {
			if time.Since(begun) > patience {
				t.Fatal("it is ready although it was told to stop")
			}
		}
	}
	conn.Close()
	<-done
	if err != nil || code != fault.OK {
		t.Errorf("the request in progress: want ok, got %v, %v", code, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// stops ends an adapter that has answered and has nothing to do.
func stops(t *testing.T, start Start, _ *Caps) {
	c := start(t, nil)
	alive(t, c)
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}
