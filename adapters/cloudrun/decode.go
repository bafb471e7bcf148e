package cloudrun

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// The kinds of events, as trigger.Event has them.
const (
	kindPubSub     = "pubsub"
	kindStorage    = "gcs"
	kindCloudEvent = "cloudevents"
)

// The types of CloudEvents that Eventarc makes of other things.
const (
	typeMessage    = "google.cloud.pubsub.topic.v1.messagePublished"
	typeObject     = "google.cloud.storage.object.v1."
	typeFinalized  = typeObject + "finalized"
	headerPubSub   = "X-Goog-Pubsub-"
	headerPushedBy = headerPubSub + "Subscription-Name"
)

// delivered is what one push carries. Without items there is nothing to do.
type delivered struct {
	event trigger.Event
	bad   []error // events of a batch that cannot be read
}

// decode reads a push in whatever form it comes. The event shares the body's
// memory. Errors: Invalid, UnsupportedMedia.
func decode(h http.Header, body []byte) (*delivered, error) {
	switch {
	case cloudevent.ModeOf(h) != cloudevent.None:
		events, err := cloudevent.Decode(h, body)
		if err != nil {
			return nil, err
		}
		return ofEvents(events)
	case len(h[headerPushedBy]) > 0:
		return decodeUnwrapped(h, body)
	}
	m, err := decodeEnvelope(body)
	if err != nil {
		return nil, err
	}
	return m.delivered()
}

// ofEvents looks into events that Eventarc makes of something else.
func ofEvents(events []cloudevent.Event) (*delivered, error) {
	if len(events) == 1 && events[0].Err == nil {
		switch e := &events[0]; {
		case e.Type == typeMessage:
			if err := wantJSON(e); err != nil {
				return nil, err
			}
			m, err := decodeEnvelope(e.Data)
			if err != nil {
				return nil, err
			}
			return m.delivered()
		case e.Type == typeFinalized:
			return decodeObject(e)
		case strings.HasPrefix(e.Type, typeObject): // deleted, archived, other metadata: nothing was written
			return &delivered{event: trigger.Event{Kind: kindStorage, Source: e.Source}}, nil
		}
	}
	d := &delivered{event: trigger.Event{Kind: kindCloudEvent}}
	good := slices.DeleteFunc(events, func(e cloudevent.Event) bool {
		if e.Err != nil {
			d.bad = append(d.bad, e.Err)
		}
		return e.Err != nil
	})
	if len(good) > 0 {
		d.event.Source, d.event.Items = good[0].Source, cloudevent.Items(good)
	}
	return d, nil
}

func wantJSON(e *cloudevent.Event) error {
	media, _, _ := mime.ParseMediaType(e.DataContentType)
	if e.DataContentType != "" && media != "application/json" {
		return fault.New(fault.UnsupportedMedia, "cloudrun.Events", "Content-Type", "want application/json, got %.64q", e.DataContentType).
			WithHint("Set --event-data-content-type=application/json on the trigger.")
	}
	return nil
}

// message is a Pub/Sub message, by whatever way it came.
type message struct {
	subscription string
	id           string
	data         []byte
	attributes   map[string]string
	orderingKey  string
	published    time.Time
	attempt      int
}

// decodeEnvelope reads a message in the JSON that push subscriptions wrap
// around it.
func decodeEnvelope(body []byte) (*message, error) {
	var e struct {
		Message *struct {
			Data        []byte            `json:"data"` // base64
			Attributes  map[string]string `json:"attributes"`
			MessageID   string            `json:"messageId"`
			PublishTime string            `json:"publishTime"`
			OrderingKey string            `json:"orderingKey"`
		} `json:"message"`
		Subscription    string `json:"subscription"`
		DeliveryAttempt int    `json:"deliveryAttempt"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, invalid("body", "want a Pub/Sub message in its envelope: %w", plainError(err))
	}
	switch {
	case e.Message == nil:
		return nil, invalid("body", `want a CloudEvent, or a Pub/Sub message with the members "message" and "subscription"`).
			WithHint("A subscription without a wrapper must send its metadata too: --push-no-wrapper-write-metadata.")
	case e.Message.MessageID == "":
		return nil, invalid("message", `want a "messageId", got none`)
	case e.Subscription == "":
		return nil, invalid("body", `want a "subscription", got none`)
	}
	m := &message{
		subscription: e.Subscription, id: e.Message.MessageID, data: e.Message.Data, attributes: e.Message.Attributes,
		orderingKey: e.Message.OrderingKey, attempt: max(e.DeliveryAttempt, 0),
	}
	m.published, _ = time.Parse(time.RFC3339Nano, e.Message.PublishTime)
	return m, nil
}

// plainError leaves out what encoding/json quotes of the document.
func plainError(err error) error {
	if e := (*json.UnmarshalTypeError)(nil); errors.As(err, &e) {
		return fmt.Errorf("%s is a %s", e.Field, strings.SplitN(e.Value, " ", 2)[0])
	}
	if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
		return fmt.Errorf("not JSON at byte %d", e.Offset)
	}
	return fmt.Errorf("data that is not base64")
}

// decodeUnwrapped reads a message whose data is the body, with its metadata and
// its attributes in headers. Names of attributes come in whatever case HTTP
// left them, so they are in lower case.
func decodeUnwrapped(h http.Header, body []byte) (*delivered, error) {
	m := &message{subscription: h.Get(headerPushedBy), id: h.Get(headerPubSub + "Message-Id"), orderingKey: h.Get(headerPubSub + "Ordering-Key")}
	if m.subscription == "" || m.id == "" {
		return nil, invalid("header", "want %sMessage-Id beside %s, got %.64q", headerPubSub, headerPushedBy, m.id)
	}
	m.published, _ = time.Parse(time.RFC3339Nano, h.Get(headerPubSub+"Publish-Time"))
	if len(body) > 0 {
		m.data = body
	}
	for name, values := range h {
		if !platformHeader(name) && len(values) > 0 {
			if m.attributes == nil {
				m.attributes = map[string]string{}
			}
			m.attributes[strings.ToLower(name)] = values[0]
		}
	}
	return m.delivered()
}

// platformHeader says whether a header is of HTTP or of the platform, and not
// an attribute of a message.
func platformHeader(name string) bool {
	switch name {
	case "Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Forwarded", "From",
		"Host", "Te", "Traceparent", "Tracestate", "Transfer-Encoding", "Upgrade", "User-Agent", "Via", "X-Cloud-Trace-Context", "X-Request-Id", "X-Serverless-Authorization":
		return true
	}
	return strings.HasPrefix(name, headerPubSub) || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Google-")
}

func (m *message) delivered() (*delivered, error) {
	if m.isNotification() {
		return m.notification()
	}
	ev := trigger.Event{Source: m.subscription, Kind: kindPubSub}
	if m.orderingKey != "" {
		ev.Order = trigger.Grouped
	}
	ev.Items = []trigger.Item{{
		ID: m.id, Key: m.subscription + "/messages/" + m.id, Group: m.orderingKey,
		Data: m.data, Attributes: m.attributes, Attempt: m.attempt, Time: m.published,
	}}
	return &delivered{event: ev}, nil
}
