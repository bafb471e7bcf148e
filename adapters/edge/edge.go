// Package edge serves a function on a device, as a service that systemd runs:
// the protocol on a port that only the device reaches unless it is told
// otherwise, CloudEvents from the device's other programs, and answers that wait
// on disk until there is a network to send them over.
//
// Events are POSTed to Options.Path in binary, structured or batched mode. 202
// means that all of them are done for good: their answers are kept. 429 and 5xx
// ask for the same message again, of which what was done has no second effect;
// other 4xx say that it will never succeed.
package edge

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// Options of New; nil means defaults.
type Options struct {
	// Path is where events are taken; default "/events".
	Path string
	// MaxBody bounds one message in bytes; default 10 MiB, and MaxEvents the
	// events of a batch; default 1000.
	MaxBody   int64
	MaxEvents int
	// Auth checks who sends events, as it does who asks; nil lets everybody in.
	Auth oip.Authorizer
	// Admit says why no event is let in now, or nil; see oip.Options.
	Admit func() error
	Log   *slog.Logger // nil: no log
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
		d.MaxBody = 10 << 20
	}
	if d.MaxEvents <= 0 {
		d.MaxEvents = 1000
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

type handler struct {
	api    http.Handler
	events trigger.Handler
	opts   Options
}

// New is the service's handler: requests go to api, and events to events, which
// may be nil: then they are refused for good.
func New(api http.Handler, events trigger.Handler, opts *Options) http.Handler {
	return &handler{api, events, opts.withDefaults()}
}

// Address is where the service listens, HOST:PORT: $GODWIT_LISTEN, else what is
// configured, else where nobody but the device itself can reach it.
func Address(getenv func(string) string, configured string) string {
	return cmp.Or(getenv("GODWIT_LISTEN"), configured, "127.0.0.1:8080")
}

// stopTime is how long systemd waits between SIGTERM and SIGKILL unless
// TimeoutStopSec says otherwise (systemd-system.conf(5)), less what ending takes
// after the last request.
const stopTime = 85 * time.Second

// Limits sets what systemd's contract says of a server's life. Nothing chooses
// between devices, so nothing needs to notice that one stops.
func Limits(o *httpserve.Options) {
	o.PreStop = 0
	o.Drain = min(o.Drain, stopTime)
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != h.opts.Path {
		h.api.ServeHTTP(w, r)
		return
	}
	if err := h.receive(w, r); err != nil {
		h.opts.Log.WarnContext(r.Context(), "events failed", "code", fault.CodeOf(err).String(), "error", err)
		answer(w, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// receive has the events of one message worked on. An error is the message's:
// it is delivered as a whole.
func (h *handler) receive(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return fault.New(fault.Unsupported, "edge", "", "want POST with an event, got %.16q", r.Method)
	}
	if h.opts.Auth != nil {
		if _, err := h.opts.Auth.Authorize(ctx, func(name string) []string { return r.Header.Values(name) }, oip.ScopeInfer); err != nil {
			return err
		}
	}
	if h.opts.Admit != nil {
		if err := h.opts.Admit(); err != nil {
			return err
		}
	}
	body, err := h.read(w, r)
	if err != nil {
		return err
	}
	events, err := cloudevent.Decode(r.Header, body)
	if err != nil {
		return err
	}
	if len(events) > h.opts.MaxEvents {
		return fault.New(fault.TooLarge, "edge", "batch", "want at most %d events, got %d", h.opts.MaxEvents, len(events))
	}
	var broken error
	var work []trigger.Item
	for i, item := range cloudevent.Items(events) {
		if err := events[i].Err; err == nil {
			work = append(work, item)
		} else if broken == nil { // what cannot be read is nobody's work
			broken = err
		}
	}
	var out []trigger.Outcome
	if len(work) > 0 {
		out = trigger.Run(ctx, h.events, &trigger.Event{Source: work[0].Attributes["source"], Kind: "cloudevents", Items: work})
	}
	return verdict(out, broken)
}

// verdict is why a message is not done. What may pass comes first: then it is
// sent again, and what will never succeed is told once nothing else is left.
func verdict(out []trigger.Outcome, broken error) error {
	for _, o := range out {
		if o.State == trigger.Retry {
			return again{o.Err}
		}
		if o.State == trigger.Permanent && broken == nil {
			broken = o.Err
		}
	}
	return broken
}

// again is an error that the same message may not meet next time, whatever its
// code.
type again struct{ error }

func (a again) Unwrap() error { return a.error }

// read returns the body of a message, within the limit.
func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if coding := strings.Join(r.Header["Content-Encoding"], ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fault.New(fault.UnsupportedMedia, "edge", "Content-Encoding", "want an event as it is, got one compressed")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, fault.New(fault.TooLarge, "edge", "body", "want at most %d bytes, got more", h.opts.MaxBody)
	}
	if err != nil && fault.Of(err) == nil {
		err = fault.New(fault.Unavailable, "edge", "body", "it did not arrive whole: %w", err)
	}
	return body, err
}

// answer writes the protocol's error body, with a status that tells whether the
// same message may be sent again: 429 and 5xx.
func answer(w http.ResponseWriter, err error) {
	code := fault.CodeOf(err)
	status := code.HTTP()
	retry := trigger.Of(err).State == trigger.Retry && code != fault.Unauthenticated
	if a := (again{}); errors.As(err, &a) {
		retry = true
	}
	switch {
	case retry && status < 500 && status != http.StatusTooManyRequests:
		status = http.StatusServiceUnavailable
	case code == fault.Unsupported && w.Header().Get("Allow") != "":
		status = http.StatusMethodNotAllowed
	case !retry && (status >= 500 || status == http.StatusNotFound):
		// 404 would say that there is no such path.
		status = http.StatusUnprocessableEntity
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	writeError(w, status, err)
}
