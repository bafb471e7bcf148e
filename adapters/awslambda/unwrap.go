package awslambda

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
)

// layers is how many envelopes a payload may be in: a bucket's notification in
// a topic's in a queue's.
const layers = 3

// notice is what a payload may be instead of a payload, by its members.
type notice struct {
	// A topic's notification (AWS, "Amazon SNS message and JSON formats").
	Type, TopicArn    string
	Message           *string
	MessageAttributes map[string]struct{ Value string }
	// A bucket's notification, and the one that tries it out.
	Records []s3Record
	Event   string
	// An event of EventBridge.
	DetailType string `json:"detail-type"`
	Source     string
	ID, Time   string
	Detail     json.RawMessage
}

// unwrap takes an item out of the envelopes that its payload is in. The items
// that it gives have item's id, attributes of all envelopes, and its key but
// where they name objects. No items means that there is nothing to do.
func unwrap(item trigger.Item, left int) ([]trigger.Item, error) {
	var e envelope
	var n notice
	if len(item.Data) == 0 || item.Data[0] != '{' || e.read(item.Data) != nil {
		return []trigger.Item{item}, nil
	}
	switch {
	case e.kind == kindS3 || e.kind == kindS3Test || e.kind == kindEventBridge:
	case e.notification:
	default:
		return []trigger.Item{item}, nil
	}
	subject := fmt.Sprintf("item %q", item.ID)
	if left == 0 {
		return nil, fault.New(fault.Invalid, "awslambda.Invoke", subject, "want a payload in at most %d envelopes, got more", layers)
	}
	if err := json.Unmarshal(item.Data, &n); err != nil {
		return nil, unreadable(subject, err)
	}
	switch {
	case e.kind == kindS3Test:
		return nil, nil
	case e.kind == kindS3:
		return objects(item, n.Records)
	case e.kind == kindEventBridge:
		return n.bridged(item)
	}
	if n.Message == nil {
		return []trigger.Item{item}, nil
	}
	item.Data, item.ContentType = []byte(*n.Message), ""
	for name, a := range n.MessageAttributes {
		item.Attributes = with(item.Attributes, name, a.Value)
	}
	return unwrap(item, left-1)
}

func with(m map[string]string, name, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[name] = value
	return m
}

// s3Record is a record of a bucket's notification (AWS, "Event message structure").
type s3Record struct {
	EventName, EventTime string
	S3                   struct {
		Bucket struct{ Name string }
		Object struct {
			Key       string
			Size      *int64
			ETag      string
			VersionID string `json:"versionId"`
			Sequencer string
		}
	}
}

// objects are what the records say was written. Removed, restored or moved
// objects are nothing to do, nor are the empty ones that stand for folders.
func objects(item trigger.Item, records []s3Record) ([]trigger.Item, error) {
	var all []trigger.Item
	for i := range records {
		r := &records[i]
		if !strings.HasPrefix(r.EventName, "ObjectCreated:") {
			continue
		}
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			return nil, unreadable(fmt.Sprintf("key %q", r.S3.Object.Key), err)
		}
		o := &trigger.Object{Store: "s3", Bucket: r.S3.Bucket.Name, Key: key, Version: cmp.Or(r.S3.Object.ETag, r.S3.Object.VersionID), Size: sizeOf(r.S3.Object.Size)}
		one, err := objectItem(item, o, objectKey(o, r.S3.Object.VersionID, r.S3.Object.Sequencer), r.EventTime)
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}

func sizeOf(n *int64) int64 {
	if n == nil || *n < 0 {
		return -1
	}
	return *n
}

// objectItem is item with an object for its payload, and key for its own.
func objectItem(item trigger.Item, o *trigger.Object, key, at string) ([]trigger.Item, error) {
	if o.Bucket == "" || o.Key == "" {
		return nil, fault.New(fault.Invalid, "awslambda.Invoke", fmt.Sprintf("item %q", item.ID), "want a bucket and a key, got %q and %q", o.Bucket, o.Key)
	}
	if o.Size == 0 && strings.HasSuffix(o.Key, "/") {
		return nil, nil
	}
	item.Object, item.Data, item.ContentType = o, nil, ""
	item.Key = key
	if t, err := time.Parse(time.RFC3339, at); err == nil {
		item.Time = t
	}
	return []trigger.Item{item}, nil
}

// objectKey names one write of an object: two with the same bytes have the same
// ETag, but another id of their version, if the bucket keeps versions, and
// another place in its sequence. An object's own Version is the ETag all the
// same, because that is what whoever reads the object sees, and names scores by.
func objectKey(o *trigger.Object, versionID, sequencer string) string {
	return o.URL() + "#" + cmp.Or(versionID, o.Version) + "#" + sequencer
}

// bridged is what an event of EventBridge is about: an object that a bucket
// tells of, or the detail of somebody's own event. What AWS tells of itself is
// nothing to score.
func (n *notice) bridged(item trigger.Item) ([]trigger.Item, error) {
	if t, err := time.Parse(time.RFC3339, n.Time); err == nil {
		item.Time = t
	}
	if n.Source != "aws.s3" {
		if strings.HasPrefix(n.Source, "aws.") {
			return nil, fault.New(fault.Unsupported, "awslambda.Invoke", fmt.Sprintf("item %q", item.ID), "want an event with something to score, got %q from %s", n.DetailType, n.Source)
		}
		item.Data, item.ContentType = n.Detail, "application/json"
		return []trigger.Item{item}, nil
	}
	if n.DetailType != "Object Created" {
		return nil, nil
	}
	// Names differ from the notification's, and keys are not escaped.
	var d struct {
		Bucket struct{ Name string }
		Object struct {
			Key       string
			Size      *int64
			ETag      string `json:"etag"`
			VersionID string `json:"version-id"`
			Sequencer string
		}
	}
	if err := json.Unmarshal(n.Detail, &d); err != nil {
		return nil, unreadable(fmt.Sprintf("detail of item %q", item.ID), err)
	}
	o := &trigger.Object{Store: "s3", Bucket: d.Bucket.Name, Key: d.Object.Key, Version: cmp.Or(d.Object.ETag, d.Object.VersionID), Size: sizeOf(d.Object.Size)}
	return objectItem(item, o, objectKey(o, d.Object.VersionID, d.Object.Sequencer), n.Time)
}

// readS3 reads what a bucket delivers itself.
func readS3(d *delivery, payload []byte) error {
	d.event.Kind = "s3"
	return eachRecord(payload, func(i int, r *s3Record, err error) {
		id := strconv.Itoa(i)
		if d.event.Source == "" {
			d.event.Source = r.S3.Bucket.Name
		}
		if err != nil {
			d.add(id, nil, unreadable(fmt.Sprintf("Records[%d]", i), err))
			return
		}
		items, err := objects(trigger.Item{ID: id}, []s3Record{*r})
		d.add(id, items, err)
	})
}

// snsRecord is a notification that a topic delivers itself.
type snsRecord struct {
	SNS struct {
		MessageID, TopicArn, Message, Timestamp string
		MessageAttributes                       map[string]struct{ Value string }
	}
}

func readSNS(d *delivery, payload []byte) error {
	d.event.Kind = "sns"
	return eachRecord(payload, func(i int, r *snsRecord, err error) {
		if d.event.Source == "" {
			d.event.Source = r.SNS.TopicArn
		}
		if err != nil {
			d.add(r.SNS.MessageID, nil, unreadable(fmt.Sprintf("Records[%d]", i), err))
			return
		}
		item := trigger.Item{ID: r.SNS.MessageID, Key: r.SNS.TopicArn + "/" + r.SNS.MessageID, Data: []byte(r.SNS.Message)}
		if t, err := time.Parse(time.RFC3339, r.SNS.Timestamp); err == nil {
			item.Time = t
		}
		for name, a := range r.SNS.MessageAttributes {
			item.Attributes = with(item.Attributes, name, a.Value)
		}
		items, err := unwrap(item, layers)
		d.add(r.SNS.MessageID, items, err)
	})
}

func readEventBridge(d *delivery, payload []byte) error {
	d.event.Kind = "eventbridge"
	var n notice
	if err := json.Unmarshal(payload, &n); err != nil {
		return unreadable("event", err)
	}
	d.event.Source = n.Source
	items, err := n.bridged(trigger.Item{ID: n.ID, Key: n.Source + "/" + n.ID})
	d.add(n.ID, items, err)
	return nil
}

// contentKey names a payload that has no name of its own.
func contentKey(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
