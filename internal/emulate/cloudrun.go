package emulate

import (
	"net/http"
	"slices"
	"time"
)

// newCloudRun plays Cloud Run's services (container runtime contract): PORT and
// K_*, a TCP startup probe within 4 minutes, requests of at most the timeout
// (300 s unless set), SIGTERM and 10 seconds.
func newCloudRun(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, variant == "h2c")
	if err != nil {
		return nil, err
	}
	c.vars = []string{"K_SERVICE=function", "K_REVISION=function-00001-abc", "K_CONFIGURATION=function"}
	c.timeout, c.wait = 300*time.Second, 10*time.Second
	c.front = func(out *http.Request) {
		out.Header.Set("X-Forwarded-For", "192.0.2.1")
		out.Header.Set("X-Forwarded-Proto", "https")
		out.Header.Set("Forwarded", `for="192.0.2.1";proto=https`)
	}
	// What Pub/Sub push takes for an acknowledgement, and nothing else.
	c.acked = func(status int) bool { return slices.Contains([]int{102, 200, 201, 202, 204}, status) }
	return c, nil
}
