package adaptertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
	"godwit.dev/runtime/trigger"
)

// Item is an item of work that an adapter's test writes into its platform's
// document. The same items always become the same document, as in a delivery
// that is repeated.
type Item struct {
	ID         string // what the platform calls it; letters and digits
	Group      string // what it is in sequence with; "" where the platform has no such thing
	Data       []byte // JSON, unless EventCaps say that it may be more
	Attributes map[string]string
	// Broken is an item that the adapter cannot decode, whatever the platform
	// has for that: base64 that is none, an attribute left out.
	Broken bool
}

// Verdict is a reply as the platform understands it.
type Verdict struct {
	Status int
	Body   []byte
	Retry  bool     // the whole is delivered again
	Failed []string // the ids of those that are, where the platform goes by items
}

// An EventClient hands the adapter under test deliveries in its platform's form.
type EventClient interface {
	// Deliver hands over items as one delivery. An error is the harness's own.
	Deliver(ctx context.Context, items []Item) (*Verdict, error)
}

// EventCaps is what a platform's deliveries are like.
type EventCaps struct {
	Items int // of a delivery at most; 0: as many as a case has
	// Whole is a platform that takes or repeats a delivery as a whole.
	Whole bool
	// Aside is a platform that is told of failures for good, and does not
	// repeat them. Others get them back like every failure, for their
	// dead-letter policy.
	Aside bool
	// Order is that of its deliveries; Checkpoint is a platform that repeats
	// everything from the first failure on.
	Order      trigger.Order
	Checkpoint bool

	// Opaque is a platform that leaves text alone, whatever it looks like, and
	// Binary one that leaves all bytes alone. Both need attributes.
	Opaque, Binary bool

	NoAttributes  bool // nothing is sent beside the payload
	NoBroken      bool // every payload can be decoded
	NoConcurrency bool // one delivery at a time
	NoDeadline    bool // deliveries have no limit that a test can wait for
}

// StartEvents starts an adapter over a Subject of its own, made with New(how),
// and ends what is left of it with t.
type StartEvents func(t *testing.T, how *Setup) EventClient

// RunEvents runs every case of deliveries whose payload is inline.
func RunEvents(t *testing.T, start StartEvents, caps EventCaps) {
	for _, c := range eventCases {
		t.Run(c.name, func(t *testing.T) {
			if c.unless != nil {
				if why := c.unless(&caps); why != "" {
					t.Logf("left out: the platform has %s", why)
					return
				}
			}
			c.run(&events{t: t, start: start, caps: &caps})
		})
	}
}

type eventCase struct {
	name   string
	run    func(e *events)
	unless func(caps *EventCaps) string
}

var eventCases = []eventCase{
	{"all are done", allDone, nil},
	{"all fail", allFail, nil},
	{"a mixed batch", mixed, nil},
	{"failures of every code", everyCode, nil},
	{"any batch", anyBatch, nil},
	{"a panic fails alone", panicsAlone, nil},
	{"nothing overtakes", nothingOvertakes, func(c *EventCaps) string {
		if c.Order == trigger.Unordered {
			return "no order"
		}
		return ""
	}},
	{"what reaches the handler", reaches, nil},
	{"payloads", payloads, nil},
	{"delivered again", again, nil},
	{"concurrent deliveries do not mix", concurrentDeliveries, func(c *EventCaps) string {
		if c.NoConcurrency {
			return "one delivery at a time"
		}
		return ""
	}},
	{"no time is left", noTime, func(c *EventCaps) string {
		if c.NoDeadline {
			return "no limit on a delivery that could be waited for"
		}
		return ""
	}},
	{"a function without triggers", noTriggers, nil},
}

// events is one case.
type events struct {
	t     *testing.T
	start StartEvents
	caps  *EventCaps
}

// payload is an item's data that says what the subject does with it.
func payload(params infer.Params) []byte {
	data, err := json.Marshal(params)
	if err != nil {
		panic(err)
	}
	return data
}

// work makes items of what the subject is to do with each; nil is a broken one.
func (e *events) work(all ...infer.Params) ([]Item, []trigger.State) {
	items, states := make([]Item, len(all)), make([]trigger.State, len(all))
	for i, params := range all {
		if params == nil {
			params = infer.Params{}
		}
		params["n"] = i // no two payloads are equal
		items[i] = Item{ID: fmt.Sprintf("item%d", i), Group: e.group(i), Data: payload(params), Broken: all[i] == nil}
		name, fails := params[Fail].(string)
		_, panics := params[Panic]
		switch {
		case items[i].Broken:
			states[i] = trigger.Permanent
		case panics:
			states[i] = trigger.Retry
		case fails:
			states[i] = trigger.Of(fault.New(codeNamed(name), "", "", "")).State
		default:
			states[i] = trigger.Done
		}
	}
	return items, states
}

func (e *events) group(i int) string {
	switch e.caps.Order {
	case trigger.Ordered:
		return "one"
	case trigger.Grouped:
		return fmt.Sprintf("group%d", i%3)
	}
	return ""
}

func codeNamed(name string) fault.Code {
	for _, c := range fault.Codes() {
		if c.String() == name {
			return c
		}
	}
	return fault.Internal
}

// repeated are the ids that the platform is to deliver again of one delivery.
func (e *events) repeated(items []Item, states []trigger.State) []string {
	var ids []string
	held, failed := map[string]bool{}, false
	for i := range items {
		back := states[i] == trigger.Retry || states[i] == trigger.Permanent && !e.caps.Aside
		group := items[i].Group
		if e.caps.Order != trigger.Unordered && held[group] || e.caps.Checkpoint && failed {
			back = true
		}
		held[group] = held[group] || states[i] == trigger.Retry
		failed = failed || back
		if back {
			ids = append(ids, items[i].ID)
		}
	}
	if e.caps.Whole && len(ids) > 0 {
		ids = nil
		for i := range items {
			ids = append(ids, items[i].ID)
		}
	}
	return ids
}

// deliver hands over the items, in as many deliveries as the platform needs,
// and fails the test unless exactly those that it should are delivered again.
func (e *events) deliver(c EventClient, items []Item, states []trigger.State) {
	e.t.Helper()
	size := e.caps.Items
	if size == 0 {
		size = len(items)
	}
	for part := range slices.Chunk(items, size) {
		want := e.repeated(part, states[:len(part)])
		states = states[len(part):]
		e.check(part, e.one(c, part), want)
	}
}

func (e *events) one(c EventClient, items []Item) *Verdict {
	e.t.Helper()
	v, err := c.Deliver(e.t.Context(), items)
	if err != nil {
		e.t.Fatalf("Deliver: %v", err)
	}
	if bytes.Contains(v.Body, []byte(Secret)) {
		e.t.Errorf("the reply has what the platform may not read: %s", v.Body)
	}
	return v
}

func (e *events) check(items []Item, v *Verdict, want []string) {
	e.t.Helper()
	var got []string
	for _, item := range items {
		if v.Retry || slices.Contains(v.Failed, item.ID) {
			got = append(got, item.ID)
		}
	}
	for _, id := range v.Failed {
		if !slices.ContainsFunc(items, func(i Item) bool { return i.ID == id }) {
			e.t.Errorf("the reply names %q, which was not delivered", id)
		}
	}
	if !slices.Equal(want, got) {
		e.t.Errorf("want %q delivered again, got %q; status %d, reply %.512q", want, got, v.Status, v.Body)
	}
}
