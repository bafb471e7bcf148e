package emulate

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// The platform's limits ("Cloud Run quotas and limits", "Container runtime
// contract").
const (
	cloudRunTimeout     = 300 * time.Second // of a request, unless it is set
	cloudRunBody        = 32 << 20          // of a request in HTTP/1, and of an answer that is not streamed; HTTP/2 has no limit
	cloudRunConcurrency = 80                // requests of an instance, unless it is set
	cloudRunQueue       = 10 * time.Second  // or 3.5 times the start, which is less here
)

// newCloudRun plays Cloud Run's services (container runtime contract): PORT and
// K_*, a TCP startup probe within 4 minutes, requests of at most the timeout,
// SIGTERM and 10 seconds; and Pub/Sub's push subscriptions, which Eventarc
// uses too.
func newCloudRun(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, variant == "h2c")
	if err != nil {
		return nil, err
	}
	c.vars = []string{"K_SERVICE=function", "K_REVISION=function-00001-abc", "K_CONFIGURATION=function"}
	c.timeout, c.wait = cloudRunTimeout, 10*time.Second
	if !c.h2c {
		c.maxBody, c.maxAnswer = cloudRunBody, cloudRunBody
	}
	n := o.Concurrency
	if n <= 0 {
		n = cloudRunConcurrency
	}
	c.slots, c.queue = make(chan struct{}, n), cloudRunQueue
	c.front = func(out *http.Request) {
		out.Header.Set("X-Forwarded-For", behind(out.Header.Get("X-Forwarded-For"), "192.0.2.1"))
		out.Header.Set("X-Forwarded-Proto", "https")
		out.Header.Set("Forwarded", `for="192.0.2.1";proto=https`)
		if out.Header.Get("Traceparent") == "" && out.Header.Get("X-Cloud-Trace-Context") == "" {
			trace := [2]uint64{rand.Uint64() | 1, rand.Uint64()}
			span := rand.Uint64() | 1
			out.Header.Set("X-Cloud-Trace-Context", fmt.Sprintf("%016x%016x/%d", trace[0], trace[1], span))
			out.Header.Set("Traceparent", fmt.Sprintf("00-%016x%016x-%016x-00", trace[0], trace[1], span))
		}
	}
	c.events, c.agent = "/events", "CloudPubSub-Google"
	// What Pub/Sub push takes for an acknowledgement, and nothing else.
	c.acked = func(status int) bool { return slices.Contains([]int{102, 200, 201, 202, 204}, status) }
	return c, nil
}

func behind(before, last string) string {
	if before == "" {
		return last
	}
	return before + ", " + last
}
