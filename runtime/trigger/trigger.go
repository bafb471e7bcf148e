// Package trigger is work that arrives as events and not as requests: what a
// queue, a topic, a bucket or a stream delivers, in a form that no platform
// shows through. Adapters make an Event of their platform's document, hand it
// to a Handler by way of Run, and say each item's Outcome in the platform's own
// words, so that only what failed is delivered again.
package trigger

import (
	"context"
	"time"
)

// A Handler does the work of one delivery. Handle may be called concurrently.
//
// It returns one outcome for each item, in the items' order. The event and its
// bytes are the caller's and are borrowed until Handle returns. When ctx ends,
// Handle stops as soon as it can and leaves Retry for what it has not done.
// Call it through Run, which keeps a handler to all this.
type Handler interface {
	Handle(ctx context.Context, ev *Event) []Outcome
}

// HandlerFunc makes a function a Handler.
type HandlerFunc func(ctx context.Context, ev *Event) []Outcome

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, ev *Event) []Outcome { return f(ctx, ev) }

// Event is one delivery: the items that a platform hands over together.
type Event struct {
	// Source names where the items come from, as the platform does: a queue's
	// or stream's ARN, a subscription, a bucket.
	Source string
	// Kind is the sort of source: "sqs", "s3", "pubsub", "cloudevents", ….
	Kind  string
	Order Order
	// Replies says that the platform passes results on to somebody; where it
	// does not, a result that is nowhere else is lost.
	Replies bool
	Items   []Item // at least one
}

// Order says what a failure means for the items behind it.
type Order uint8

// The orders.
const (
	// Unordered items fail alone.
	Unordered Order = iota
	// Ordered items are in sequence: after the first that is to be delivered
	// again, those behind it are too, or they would overtake it.
	Ordered
	// Grouped items are in sequence within their Item.Group, and a failure
	// holds up its own group only.
	Grouped
)

// Item is one piece of work of a delivery.
type Item struct {
	// ID is unique within the delivery: what the platform's reply names.
	ID string
	// Key is the same whenever the same thing is delivered again, and differs
	// for anything else: what an idempotent effect is named after.
	Key string
	// Group is what the item is in sequence with, where the order is Grouped.
	Group string

	// Data is the payload as it was before any platform encoded it; nil where
	// Object says where it lies.
	Data        []byte
	ContentType string // of Data; "" where the platform has no such thing
	// Object is where the payload lies; nil for payloads within the event.
	Object *Object
	// Attributes are what the sender wrote beside the payload, and nothing that
	// the platform added. Names are as sent.
	Attributes map[string]string

	Attempt int       // 1 for the first delivery; 0 where the platform does not count
	Time    time.Time // when it was sent or written; zero if not known
}

// Object names what lies in an object store.
type Object struct {
	Store   string // "s3", "gs", "azblob" or "file"
	Bucket  string // the bucket or container; for azblob "ACCOUNT/CONTAINER"
	Key     string // decoded
	Version string // version id, generation or ETag: what tells two writes apart; "" if unknown
	Size    int64  // bytes; -1 if unknown
}

// URL is the object in the form that command lines take, without its version.
func (o *Object) URL() string { return o.Store + "://" + o.Bucket + "/" + o.Key }

// State is how an item ended.
type State uint8

// The states. The zero value is Retry, so that what nobody decided on is not lost.
const (
	// Retry asks for another delivery.
	Retry State = iota
	// Done means that the work's effect is there to stay.
	Done
	// Permanent means that no delivery will ever succeed: the platform is told
	// what it takes to move the item aside.
	Permanent
)

// String is the state's lower-case name.
func (s State) String() string {
	switch s {
	case Done:
		return "done"
	case Permanent:
		return "permanent"
	}
	return "retry"
}

// Outcome is how one item ended.
type Outcome struct {
	State State
	// Err is why it is not Done: a coded error.
	Err error
	// Result is the answer, for platforms that pass answers on: the protocol's
	// JSON; nil when there is none.
	Result []byte
}
