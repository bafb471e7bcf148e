package cloudrun

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// object is what we read of a Cloud Storage object resource. Its name is as it
// is: unlike other stores' it is not encoded.
type object struct {
	Bucket      string            `json:"bucket"`
	Name        string            `json:"name"`
	Generation  text              `json:"generation"`
	Size        text              `json:"size"`
	ContentType string            `json:"contentType"`
	Metadata    map[string]string `json:"metadata"`
	TimeCreated string            `json:"timeCreated"`
}

// text is a number that the service writes as a string.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		*t = text(data)
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// item is the object as an item of work. Each write has a generation of its
// own, so bucket, name and generation are the same only for the same write.
func (o *object) item(id string) (trigger.Item, error) {
	if o.Bucket == "" || o.Name == "" || o.Generation == "" {
		return trigger.Item{}, invalid("object", "want a bucket, a name and a generation, got %.64q, %.64q and %.32q", o.Bucket, o.Name, string(o.Generation))
	}
	if strings.ContainsRune(o.Bucket, '/') {
		return trigger.Item{}, invalid("object", "want the name of a bucket, got %.64q", o.Bucket)
	}
	size, err := strconv.ParseInt(string(o.Size), 10, 64)
	if err != nil || size < 0 {
		size = -1
	}
	at, _ := time.Parse(time.RFC3339Nano, o.TimeCreated)
	place := &trigger.Object{Store: "gs", Bucket: o.Bucket, Key: o.Name, Version: string(o.Generation), Size: size}
	return trigger.Item{
		ID: id, Key: place.URL() + "#" + place.Version, Object: place,
		ContentType: o.ContentType, Attributes: o.Metadata, Time: at,
	}, nil
}

// decodeObject reads Eventarc's event of an object that was written.
func decodeObject(e *cloudevent.Event) (*delivered, error) {
	if err := wantJSON(e); err != nil {
		return nil, err
	}
	var o object
	if err := json.Unmarshal(e.Data, &o); err != nil {
		return nil, invalid("body", "want an object of Cloud Storage: %w", plainError(err))
	}
	item, err := o.item(e.ID)
	if err != nil {
		return nil, err
	}
	if item.Time.IsZero() {
		item.Time = e.Time
	}
	return &delivered{event: trigger.Event{Kind: kindStorage, Source: o.Bucket, Items: []trigger.Item{item}}}, nil
}

// attribute is an attribute by its name in any case, as unwrapped messages have it.
func (m *message) attribute(name string) string {
	if v, ok := m.attributes[name]; ok {
		return v
	}
	return m.attributes[strings.ToLower(name)]
}

// isNotification says whether a bucket wrote the message, and not a sender.
func (m *message) isNotification() bool {
	for _, name := range []string{"notificationConfig", "eventType", "bucketId", "objectId"} {
		if m.attribute(name) == "" {
			return false
		}
	}
	return true
}

// notification is the message of a bucket: what was written is in the
// attributes, and more about it in the data, where the bucket says so.
func (m *message) notification() (*delivered, error) {
	d := &delivered{event: trigger.Event{Kind: kindStorage, Source: m.attribute("bucketId")}}
	if m.attribute("eventType") != "OBJECT_FINALIZE" {
		return d, nil // nothing was written
	}
	var o object
	if m.attribute("payloadFormat") == "JSON_API_V1" {
		if err := json.Unmarshal(m.data, &o); err != nil {
			return nil, invalid("message", "want an object of Cloud Storage: %w", plainError(err))
		}
	}
	o.Bucket, o.Name, o.Generation = m.attribute("bucketId"), m.attribute("objectId"), text(m.attribute("objectGeneration"))
	item, err := o.item(m.id)
	if err != nil {
		return nil, err
	}
	item.Attempt = m.attempt
	if item.Time.IsZero() {
		item.Time, _ = time.Parse(time.RFC3339Nano, m.attribute("eventTime"))
	}
	d.event.Items = []trigger.Item{item}
	return d, nil
}
