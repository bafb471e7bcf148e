// Package cloudrun serves a function as a Cloud Run service: the protocol's
// routes for requests, and on a path of its own what Pub/Sub and Eventarc push.
//
// Each push is acknowledged with 204 when all its work is done, and with the
// status of the failure otherwise, so that it is delivered again: of failures
// for good too, which the subscription's dead-letter policy moves aside after
// as many attempts as it says.
//
// The facts are from "Container runtime contract", "Push subscriptions" and
// "Eventarc: event format" of Google's documentation.
package cloudrun

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// Options of New; nil means defaults.
type Options struct {
	// Path is where events are pushed to; default "/events".
	Path string

	// Who may deliver events. One of these must be set, or nobody may: a path
	// that does work for everybody is not opened by leaving something out.
	//
	// Push checks the identity tokens of Pub/Sub and Eventarc. It is for
	// services that let everybody call. Where the platform checks the callers
	// (the service asks for the role run.invoker), it has checked the token
	// before we see it, and has taken its signature away: set Anyone there.
	Push *Push
	// Auth is asked for oip.ScopeInfer, as for requests.
	Auth oip.Authorizer
	// Anyone says that the platform has let the caller in, or that everybody may.
	Anyone bool

	// Aside moves an item that has failed for good to where someone looks at
	// it, a dead-letter topic of the function's own. When it returns nil, the
	// item counts as done. nil: such items are refused like all failures.
	Aside func(ctx context.Context, item *trigger.Item, why error) error
	// Admit says why no event is let in now, or nil; see oip.Options.
	Admit func() error

	// Timeout bounds the work on one delivery. It should be less than the
	// subscription's acknowledgement deadline, behind which the same is
	// delivered again while it is still worked on. 0: until the caller leaves.
	Timeout time.Duration
	// MaxBody is how many bytes a delivery may have; default 16 MiB, which a
	// message of the largest size (10 MB) has in base64 with its envelope.
	MaxBody int64
	// BodyMemory is how many bytes all deliveries in progress may hold
	// together; one more gets 503, and comes again. Default 128 MiB.
	BodyMemory int64

	Log *slog.Logger // nil: no log
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Path == "" {
		d.Path = "/events"
	}
	if d.MaxBody <= 0 {
		d.MaxBody = 16 << 20
	}
	if d.BodyMemory <= 0 {
		d.BodyMemory = 128 << 20
	}
	d.BodyMemory = max(d.BodyMemory, d.MaxBody)
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

// New is the service's handler: requests go to api, and what is pushed to the
// path of events to events, which may be nil for a function without triggers:
// then deliveries are refused, so that none is lost.
func New(api http.Handler, events trigger.Handler, opts *Options) http.Handler {
	s := &service{api: api, events: events, opts: opts.withDefaults()}
	s.requests = showsRequests(s.opts.Log)
	return s
}

type service struct {
	api      http.Handler
	events   trigger.Handler
	opts     Options
	requests bool // the log shows requests
	held     atomic.Int64
}

// ServeHTTP implements http.Handler.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	adoptTrace(r.Header)
	if s.requests {
		r = withRequest(r)
	}
	if r.URL.Path == s.opts.Path {
		s.serveEvents(w, r)
		return
	}
	if r.ProtoMajor == 1 {
		w = &answer{w}
	}
	s.api.ServeHTTP(w, r)
}

// maxAnswer is how large an answer in HTTP/1 may be that says how large it is
// ("Cloud Run quotas and limits"); those that are streamed, and HTTP/2, have no
// limit.
const maxAnswer = 32 << 20

// answer streams what would be too large.
type answer struct{ http.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if n := a.Header()["Content-Length"]; len(n) == 1 && len(n[0]) >= len("33554433") {
		if size, err := strconv.ParseInt(n[0], 10, 64); err == nil && size > maxAnswer {
			delete(a.Header(), "Content-Length")
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is below.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

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

func invalid(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "cloudrun.Events", subject, format, args...)
}
