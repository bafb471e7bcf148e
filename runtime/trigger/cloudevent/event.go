// Package cloudevent reads and writes CloudEvents 1.0 as HTTP carries them:
// binary (attributes in headers), structured (all in one JSON object) and
// batched (a JSON array of such objects). It knows headers and bytes, and no
// server.
//
// The specifications are "CloudEvents - Version 1.0.2", its JSON event format
// and its HTTP protocol binding. Only JSON is read of the structured formats.
package cloudevent

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/trigger"
)

// Event is one CloudEvent.
type Event struct {
	ID, Source, Type string // never empty in an event that was read

	Subject         string // "" when there is none, as for those below
	Time            time.Time
	DataSchema      string
	DataContentType string
	// Extensions are the attributes that the specification does not name, by
	// their lower-case name; numbers, truth values and bytes are in the form
	// that headers have for them. nil when there are none.
	Extensions map[string]string

	// Data is the payload as it was before it was put into an event; nil when
	// there is none.
	Data []byte

	// Err says of one event of a batch why it cannot be read. What could be
	// read is there. Errors: Invalid.
	Err error
}

// Key identifies the event: source and id together, as the specification has
// it, so that it is the same whenever the event is sent again. It has no
// control characters.
func (e *Event) Key() string {
	// A URI has no spaces, so nothing else has this key.
	return strings.ReplaceAll(e.Source, " ", "%20") + " " + e.ID
}

// Item is the event as an item of work. Its attributes are the event's, by
// their names in the specification; those of the payload are left out, because
// they are in the item's own fields. Data is shared with the event.
func (e *Event) Item() trigger.Item {
	item := trigger.Item{ID: e.ID, Key: e.Key(), Data: e.Data, ContentType: e.DataContentType, Time: e.Time}
	item.Attributes = make(map[string]string, 4+len(e.Extensions))
	maps.Copy(item.Attributes, e.Extensions)
	for _, a := range [...]struct{ name, value string }{{"source", e.Source}, {"type", e.Type}, {"subject", e.Subject}, {"dataschema", e.DataSchema}} {
		if a.value != "" {
			item.Attributes[a.name] = a.value
		}
	}
	return item
}

// Items are the items of work of events, in their order. An id that several
// of them have, of different sources or sent twice, gets the place of the later
// ones behind it: ids are unique within a delivery.
func Items(events []Event) []trigger.Item {
	items := make([]trigger.Item, len(events))
	taken := make(map[string]bool, len(events))
	for i := range events {
		items[i] = events[i].Item()
		for taken[items[i].ID] {
			items[i].ID += "#" + strconv.Itoa(i)
		}
		taken[items[i].ID] = true
	}
	return items
}
