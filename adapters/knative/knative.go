package knative

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"godwit.dev/adapters/httpserve"
	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// ReplyType is the type of the events that answers are.
const ReplyType = "dev.godwit.answer"

// recordType is the type of the events that a KafkaSource makes of records.
const recordType = "dev.knative.kafka.event"

// Options of New; nil means defaults.
type Options struct {
	// Path is where events are taken besides "/"; default "/events".
	Path string
	// Source is the source of the events that answers are, a URI reference;
	// default "/godwit".
	Source string
	// MaxBody bounds one message in bytes; default 10 MiB, and MaxEvents the
	// events of a batch; default 1000.
	MaxBody   int64
	MaxEvents int
	// Auth checks who sends events, as it does who asks; nil lets everybody in.
	Auth oip.Authorizer
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Path == "" {
		d.Path = "/events"
	}
	if d.Source == "" {
		d.Source = "/godwit"
	}
	if d.MaxBody <= 0 {
		d.MaxBody = 10 << 20
	}
	if d.MaxEvents <= 0 {
		d.MaxEvents = 1000
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

// Address is where the service listens: $PORT, on all addresses.
func Address(getenv func(string) string) string {
	if port := getenv("PORT"); port != "" {
		return net.JoinHostPort("", port)
	}
	return ":8080"
}

// Limits leaves the server's life as the spec has it: a pod gets the revision's
// timeoutSeconds after SIGTERM, and queue-proxy holds it back until the
// requests in progress have been answered.
func Limits(*httpserve.Options) {}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != h.opts.Path && (r.URL.Path != "/" || r.Method == http.MethodGet || r.Method == http.MethodHead) {
		h.api.ServeHTTP(w, r)
		return
	}
	switch {
	case r.Method == http.MethodPost:
		h.receive(w, r)
	case r.Method == http.MethodOptions && len(r.Header["Webhook-Request-Origin"]) == 1:
		// "HTTP 1.1 Web Hooks for Event Delivery", abuse protection: who may call
		// is checked with every event.
		w.Header()["Webhook-Allowed-Origin"] = r.Header["Webhook-Request-Origin"]
		w.Header()["Webhook-Allowed-Rate"] = []string{"*"}
		w.Header().Set("Allow", "POST, OPTIONS")
		w.WriteHeader(http.StatusOK)
	default:
		w.Header().Set("Allow", "POST, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, fault.New(fault.Unsupported, "knative", r.Method, "want POST with an event, got %s", r.Method))
	}
}

// receive takes the events of one message.
func (h *handler) receive(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if h.opts.Auth != nil {
		if _, err := h.opts.Auth.Authorize(ctx, func(name string) []string { return r.Header.Values(name) }, oip.ScopeInfer); err != nil {
			refuse(w, err)
			return
		}
	}
	body, err := h.read(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	events, err := cloudevent.Decode(r.Header, body)
	switch {
	case err != nil:
		refuse(w, err)
		return
	case len(events) > h.opts.MaxEvents:
		refuse(w, fault.New(fault.TooLarge, "knative", "batch", "want at most %d events, got %d", h.opts.MaxEvents, len(events)))
		return
	case slices.ContainsFunc(events, func(e cloudevent.Event) bool { return e.Type == ReplyType && e.Source == h.opts.Source }):
		// Our own answers, which a Trigger without a filter sends back to us.
		w.WriteHeader(http.StatusAccepted)
		return
	case len(events) == 0:
		w.WriteHeader(http.StatusAccepted)
		return
	}
	replies := len(events) == 1 && cloudevent.ModeOf(r.Header) != cloudevent.Batched && prefersReply(r.Header)
	items, out := cloudevent.Items(events), make([]trigger.Outcome, len(events))
	var work []trigger.Item
	var at []int // where of events each is
	for i := range events {
		switch e := &events[i]; {
		case e.Err != nil: // what cannot be read is nobody's work
			out[i] = trigger.Of(e.Err)
			continue
		case e.Type == recordType && len(e.Data) == 0: // a tombstone: its key is gone, and nothing is to be scored
			out[i].State = trigger.Done
			continue
		}
		work, at = append(work, items[i]), append(at, i)
	}
	if len(work) > 0 {
		for k, o := range trigger.Run(ctx, h.events, &trigger.Event{Source: events[at[0]].Source, Kind: "cloudevents", Replies: replies, Items: work}) {
			out[at[k]] = o
		}
	}
	h.answer(w, events, items, out, replies)
}

// read returns the body of a message, within the limit.
func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if coding := strings.Join(r.Header["Content-Encoding"], ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fault.New(fault.UnsupportedMedia, "knative", "Content-Encoding", "want an event as it is, got one compressed")
	}
	if r.ContentLength > h.opts.MaxBody {
		return nil, h.tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxBody))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, h.tooLarge()
	}
	if err != nil && fault.Of(err) == nil {
		err = fault.New(fault.Unavailable, "knative", "body", "it did not arrive whole: %w", err)
	}
	return body, err
}

func (h *handler) tooLarge() error {
	return fault.New(fault.TooLarge, "knative", "body", "want at most %d bytes, got more", h.opts.MaxBody)
}

// prefersReply reports whether the sender passes an answer on.
func prefersReply(h http.Header) bool {
	for _, value := range h["Prefer"] {
		for one := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(one, ";")
			if strings.EqualFold(strings.TrimSpace(name), "reply") {
				return true
			}
		}
	}
	return false
}
