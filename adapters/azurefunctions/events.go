package azurefunctions

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// delivery is an envelope that is no request, as the portable event and what
// is no part of it.
type delivery struct {
	event   trigger.Event
	refused []trigger.Outcome // of items that could not be read
	notes   []string          // what was acknowledged and started nothing
}

func (d *delivery) attempt(i int) int {
	if i < len(d.event.Items) {
		return d.event.Items[i].Attempt
	}
	return 0
}

func (d *delivery) refuse(err error) {
	d.refused = append(d.refused, trigger.Outcome{State: trigger.Permanent, Err: err})
}

// trigger types as function.json names them, in lower case, and the kinds that
// events of them have.
var kinds = map[string]string{
	"queuetrigger": "azurequeue", "blobtrigger": "azureblob", "servicebustrigger": "servicebus", "eventgridtrigger": "eventgrid",
	"eventhubtrigger": "eventhubs", "kafkatrigger": "kafka", "timertrigger": "timer",
}

// deliveryOf reads a delivery to the function name; id is the invocation's. f
// is nil where its function.json is not known. Errors: Unsupported for triggers
// of other types; Invalid and Unprocessable.
func deliveryOf(e *envelope, f *Function, name, id string) (*delivery, error) {
	raw, err := e.input(f)
	if err != nil {
		return nil, err
	}
	in := &input{envelope: e, raw: raw, id: id}
	in.text, in.wrapped = plain(raw)
	var said []byte // where the host looks for metadata
	if in.wrapped {
		said = in.text
	}
	if in.metadata, err = e.about(said); err != nil {
		return nil, err
	}
	started := f.started()
	if f == nil {
		started = in.guess()
	} else {
		in.many, in.binary = f.Many, f.Binary
	}
	d := &delivery{event: trigger.Event{Source: name, Kind: kinds[started]}}
	if f != nil && f.Source != "" {
		d.event.Source = f.Source
	}
	switch started {
	case "queuetrigger":
		in.queue(d)
	case "blobtrigger":
		err = in.blob(d)
	case "servicebustrigger":
		err = in.serviceBus(d)
	case "eventgridtrigger":
		err = in.eventGrid(d)
	case "eventhubtrigger":
		err = in.eventHub(d)
	case "kafkatrigger":
		err = in.kafka(d)
	case "timertrigger":
		d.notes = append(d.notes, "the timer is acknowledged; it starts nothing")
	default:
		err = fault.New(fault.Unsupported, "azurefunctions.Decode", "envelope", "want an HTTP request, a queue's message, a blob, Service Bus, Event Grid, Event Hubs, Kafka or a timer, got %q with the data %q and the metadata %q",
			started, clipped(e.Data), clipped(in.metadata.values))
	}
	if err != nil {
		return nil, err
	}
	unique(d.event.Items)
	return d, nil
}

// input is what triggered, and what the host says about it.
type input struct {
	*envelope
	metadata metadata
	raw      json.RawMessage
	text     []byte // raw as it was before the host encoded it
	wrapped  bool   // the host made a string of it
	many     bool
	binary   bool
	id       string // the invocation's
}

// input is the value of what triggered.
func (e *envelope) input(f *Function) (json.RawMessage, error) {
	if f != nil {
		if raw, ok := e.Data[f.Input]; ok {
			return raw, nil
		}
	} else if len(e.Data) == 1 {
		for _, raw := range e.Data {
			return raw, nil
		}
	}
	return nil, fault.New(fault.Invalid, "azurefunctions.Decode", "Data", "want the one input that triggered, got %q", clipped(e.Data)).
		WithHint("Give the handler the app's function.json.")
}

// guess tells the trigger by what only its extension says beside the payload.
func (in *input) guess() string {
	m := in.metadata
	in.many = m.has("MessageIdArray", "SequenceNumberArray", "OffsetArray", "DeliveryCountArray")
	var o struct {
		ScheduleStatus, IsPastDue  json.RawMessage
		Offset, Partition, Topic   json.RawMessage
		ID                         json.RawMessage
		EventType, SpecVersion     json.RawMessage
		Subject, Source, EventTime json.RawMessage
	}
	first := in.text
	if all, ok := list(in.raw); ok && len(all) > 0 {
		first = element(all[0])
	}
	_ = json.Unmarshal(first, &o)
	switch {
	case m.has("DequeueCount", "PopReceipt"):
		return "queuetrigger"
	case m.has("LockToken", "LockTokenArray", "DeliveryCount", "DeliveryCountArray"):
		return "servicebustrigger"
	case m.has("PartitionContext", "TriggerPartitionContext", "SystemProperties", "SystemPropertiesArray"):
		return "eventhubtrigger"
	case m.has("Uri") && m.has("Properties"):
		return "blobtrigger"
	case o.Offset != nil && o.Partition != nil && o.Topic != nil:
		return "kafkatrigger"
	case o.ID != nil && (o.SpecVersion != nil && o.Source != nil || o.EventType != nil && o.Subject != nil):
		return "eventgridtrigger"
	case !in.wrapped && (o.ScheduleStatus != nil || o.IsPastDue != nil):
		return "timertrigger"
	}
	return ""
}

// queue is one message of a storage queue.
func (in *input) queue(d *delivery) {
	m := in.metadata
	item := trigger.Item{
		ID: m.text("Id"), Data: payload(in.text, in.binary),
		Attempt: m.count("DequeueCount"), Time: m.time("InsertionTime"),
	}
	if item.Key = item.ID; item.Key == "" {
		item.ID, item.Key = in.id, contentKey(in.text, item.Time)
	}
	d.event.Items = []trigger.Item{item}
}

// contentKey is for messages whose id cannot be had: equal ones of one moment
// are one, which does no harm where the same bytes have the same effect.
func contentKey(text []byte, sent time.Time) string {
	sum := sha256.Sum256(append([]byte(sent.Format(time.RFC3339Nano)+"\n"), text...))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// serviceBus is a message of a queue or subscription, or a batch of them. With
// sessions they are in sequence.
func (in *input) serviceBus(d *delivery) error {
	return in.batch(d, func(get func(string) json.RawMessage, text []byte) trigger.Item {
		item := trigger.Item{
			ID: scalar(get("MessageId")), Group: scalar(get("SessionId")),
			Data: payload(text, in.binary), ContentType: scalar(get("ContentType")),
			Attributes: attributes(get("ApplicationProperties")),
			Attempt:    countOf(scalar(get("DeliveryCount"))), Time: timeOf(scalar(get("EnqueuedTimeUtc"))),
		}
		if item.Attributes == nil { // as older extensions call them
			item.Attributes = attributes(get("UserProperties"))
		}
		if item.Group != "" {
			d.event.Order = trigger.Grouped
		}
		// The broker counts messages; their ids are the senders', who may not
		// care to have each its own.
		switch number := scalar(get("SequenceNumber")); {
		case number != "":
			item.Key = d.event.Source + "/" + number
		case item.ID != "":
			item.Key = d.event.Source + "/" + item.ID
		default:
			item.Key = contentKey(text, item.Time)
		}
		if item.ID == "" {
			item.ID = in.id
		}
		return item
	})
}

// eventHub is an event of a partition, or a batch of them in their sequence.
func (in *input) eventHub(d *delivery) error {
	d.event.Order = trigger.Ordered
	partition := ""
	for _, name := range []string{"PartitionContext", "TriggerPartitionContext"} {
		var context struct{ PartitionID json.RawMessage }
		if _ = json.Unmarshal(in.metadata.raw(name), &context); context.PartitionID != nil && partition == "" {
			partition = scalar(context.PartitionID)
		}
	}
	return in.batch(d, func(get func(string) json.RawMessage, text []byte) trigger.Item {
		number := scalar(get("SequenceNumber"))
		item := trigger.Item{
			ID: number, Key: d.event.Source + "/" + partition + "/" + number, Data: payload(text, in.binary),
			Attributes: attributes(get("Properties")), Attempt: in.retries(), Time: timeOf(scalar(get("EnqueuedTimeUtc"))),
		}
		if number == "" {
			item.ID, item.Key = in.id, contentKey(text, item.Time)
		}
		return item
	})
}

// batch makes items of the one message, or of as many as there are in an array.
// get gives a message's metadata, which the host has under NAMEArray for many.
func (in *input) batch(d *delivery, make func(get func(name string) json.RawMessage, text []byte) trigger.Item) error {
	if !in.many {
		d.event.Items = append(d.event.Items, make(in.metadata.raw, in.text))
		return nil
	}
	all, ok := list(in.raw)
	if !ok {
		return fault.New(fault.Invalid, "azurefunctions.Decode", "Data", "want an array, as the cardinality is many, got something else")
	}
	arrays := map[string][]json.RawMessage{}
	for i, raw := range all {
		get := func(name string) json.RawMessage {
			values, ok := arrays[name]
			if !ok {
				values = in.metadata.each(name + "Array")
				arrays[name] = values
			}
			return at(values, i)
		}
		d.event.Items = append(d.event.Items, make(get, element(raw)))
	}
	return nil
}

// retries is how often the host's retry policy has delivered this, 1 for the
// first time; 0 where there is no policy.
func (in *input) retries() int {
	var retry struct{ RetryCount *int }
	if json.Unmarshal(in.metadata.raw("RetryContext"), &retry) != nil || retry.RetryCount == nil {
		return 0
	}
	return *retry.RetryCount + 1
}

// kafka is an event of a topic, or a batch of them, in sequence within their
// partitions. Everything about it is in the event.
func (in *input) kafka(d *delivery) error {
	d.event.Order = trigger.Grouped
	all := []json.RawMessage{in.text}
	if array, ok := list(in.raw); ok {
		all = array
	}
	for i, raw := range all {
		var event struct {
			Offset, Partition *json.Number
			Topic             string
			Timestamp         string
			Value             json.RawMessage
			Headers           []struct{ Key, Value string }
		}
		if err := json.Unmarshal(element(raw), &event); err != nil || event.Offset == nil || event.Partition == nil {
			d.refuse(fault.New(fault.Invalid, "azurefunctions.Decode", "event "+strconv.Itoa(i), "want a Kafka event with Offset, Partition and Value"))
			continue
		}
		place := event.Topic + "/" + event.Partition.String()
		item := trigger.Item{Group: place, ID: place + "/" + event.Offset.String(), Attempt: in.retries(), Time: timeOf(event.Timestamp)}
		item.Key = item.ID
		if s, ok := unquote(event.Value); ok {
			item.Data = payload([]byte(s), in.binary)
		} else if v := string(event.Value); v != "" && v != "null" { // null is a tombstone
			item.Data = event.Value
		}
		for _, h := range event.Headers {
			if item.Attributes == nil {
				item.Attributes = map[string]string{}
			}
			item.Attributes[h.Key] = unbase64(h.Value)
		}
		d.event.Items = append(d.event.Items, item)
	}
	return nil
}

// unique gives items that share an id their place behind it.
func unique(items []trigger.Item) {
	taken := make(map[string]bool, len(items))
	for i := range items {
		for taken[items[i].ID] {
			items[i].ID += "#" + strconv.Itoa(i)
		}
		taken[items[i].ID] = true
	}
}
