package emulate

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// newKnative plays Knative Serving's side of the container contract: PORT and
// K_*, queue-proxy's connection probe, requests of at most timeoutSeconds (300
// unless set), SIGTERM and as long again. Deliveries are those of a Broker's
// Trigger, by the Eventing data plane.
func newKnative(o *Options, variant string) (platform, error) {
	c, err := newContainer(o, variant == "h2c")
	if err != nil {
		return nil, err
	}
	c.vars = []string{"K_SERVICE=function", "K_REVISION=function-00001", "K_CONFIGURATION=function",
		"KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443"}
	c.timeout, c.wait = 300*time.Second, 300*time.Second
	c.front = func(out *http.Request) {
		out.Header.Set("X-Forwarded-For", "10.244.0.7, 10.244.0.9")
		out.Header.Set("X-Forwarded-Proto", "http")
		out.Header.Set("Forwarded", "for=10.244.0.7;proto=http, for=10.244.0.9")
		out.Header.Set("K-Proxy-Request", "activator")
	}
	// The retries of Knative's delivery: 404, 408, 409, 429 and 5xx.
	c.acked = func(status int) bool {
		switch status {
		case 404, 408, 409, 429:
			return false
		}
		return status < 500
	}
	return &knative{c}, nil
}

type knative struct{ *container }

func (k *knative) deliver(ctx context.Context, d *Delivery) (*Reply, error) {
	sent := *d
	sent.Header = d.Header.Clone()
	if sent.Header == nil {
		sent.Header = http.Header{}
	}
	if sent.Header["Prefer"] == nil {
		sent.Header["Prefer"] = []string{"reply"}
	}
	reply, err := k.container.deliver(ctx, &sent)
	if err != nil {
		return nil, err
	}
	// A Broker's filter takes any other body of a success for a failure, which it
	// reports as 502, and so delivers again.
	if reply.Status < 300 && len(reply.Body) > 0 && !isEvent(reply.Header) {
		reply.Retry = true
	}
	return reply, nil
}

// isEvent reports whether an answer's headers are those of a CloudEvent.
func isEvent(h http.Header) bool {
	if strings.HasPrefix(h.Get("Content-Type"), "application/cloudevents+") {
		return true
	}
	for _, name := range []string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type"} {
		if h.Get(name) == "" {
			return false
		}
	}
	return true
}
