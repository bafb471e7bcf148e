package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/trigger"
)

// Dead keeps what failed for good, with the reason, where the platform would
// bring it again for nothing or lose it. An item that is kept is done with.
type Dead struct {
	Stores Stores
	// Prefix is where: a URL or an absolute path, or a prefix of keys in the bucket
	// of an item's object. It is Objects.Output, or below it, so that what lies
	// there is never scored. Messages are left to the platform where it names no
	// bucket.
	Prefix string
	// Theirs are items that the platform itself puts aside as they came, or whose
	// failure it tells somebody; nil: none.
	Theirs func(ev *trigger.Event, item *trigger.Item) bool
}

// A DeadItem is what Dead writes of an item: JSON that begins with deadHead.
type DeadItem struct {
	Godwit string `json:"godwit"` // "dead"
	Kind   string `json:"kind"`   // of the delivery
	Source string `json:"source"`
	ID     string `json:"item"`
	Key    string `json:"key"` // what its answer is named after
	Group  string `json:"group,omitempty"`

	Object      *DeadObject       `json:"object,omitempty"`
	Data        []byte            `json:"data,omitempty"` // in base64; of items without Object
	ContentType string            `json:"contentType,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`

	Code  string `json:"code"` // a fault code's name
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`

	Attempt int        `json:"attempt,omitempty"`
	Sent    *time.Time `json:"sent,omitempty"`
	Time    time.Time  `json:"time"` // when it failed: the first time, if it came again
}

// A DeadObject names an object and the version that was to be scored.
type DeadObject struct {
	URL     string `json:"url"`
	Version string `json:"version,omitempty"`
	Size    int64  `json:"size"` // bytes; -1 if unknown
}

// deadHead is what tells such records from other JSON.
var deadHead = []byte(`{"godwit":"dead",`)

// maxReason bounds an error's text, in bytes.
const maxReason = 4 << 10

// IsDead reports whether text begins as a DeadItem does.
func IsDead(text []byte) bool { return bytes.HasPrefix(text, deadHead) }

// ParseDead reads what Dead has written. Errors: Invalid.
func ParseDead(text []byte) (*DeadItem, error) {
	d := &DeadItem{}
	err := json.Unmarshal(text, d)
	if err == nil && (!IsDead(text) || d.Key == "" && d.Object == nil) {
		err = errors.New("it is another document")
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "batch.ParseDead", "", "want an item that failed for good, as Godwit has kept it: %w", err)
	}
	return d, nil
}

// Item is the item as it was delivered. Errors: Invalid.
func (d *DeadItem) Item() (*trigger.Item, error) {
	item := &trigger.Item{ID: d.ID, Key: d.Key, Group: d.Group, Data: d.Data, ContentType: d.ContentType, Attributes: d.Attributes, Attempt: d.Attempt}
	if d.Sent != nil {
		item.Time = *d.Sent
	}
	if d.Object != nil {
		at, err := store.Parse(d.Object.URL)
		if err != nil || at.Prefix() {
			return nil, fault.New(fault.Invalid, "batch.ParseDead", "", "want the URL of an object, got %q", clip(d.Object.URL))
		}
		item.Object = &trigger.Object{Store: at.Scheme, Bucket: at.Bucket, Key: at.Key, Version: d.Object.Version, Size: d.Object.Size}
	}
	return item, nil
}

// aside keeps an item that failed for good, and then it is done. Where it cannot
// be kept now it is to come again, so that it is never nowhere.
func (h *Handler) aside(ctx context.Context, ev *trigger.Event, item *trigger.Item, out trigger.Outcome) trigger.Outcome {
	d := h.opts.Dead
	if d == nil || out.State != trigger.Permanent || d.Theirs != nil && d.Theirs(ev, item) {
		return out
	}
	url := h.deadURL(item)
	if url == "" {
		return out
	}
	if err := d.put(ctx, url, record(ev, item, out.Err)); err != nil {
		return trigger.Outcome{State: trigger.Retry, Err: fault.New(fault.Unavailable, "batch.Handle", url, "it failed for good, which cannot be kept (%w): %v", err, out.Err).
			WithHint("%s", fault.HintOf(err))}
	}
	h.opts.Log.WarnContext(ctx, "item failed for good and is kept", "kind", ev.Kind, "item", item.ID, "attempt", item.Attempt,
		"kept", url, "code", fault.CodeOf(out.Err).String(), "error", out.Err)
	return trigger.Outcome{State: trigger.Done}
}

// deadURL is the place of an item that failed for good: the same whenever the
// same thing fails, whatever fails about it. "" is none: a message where there is
// no place, or an object that nobody wanted scored, of which there may be one for
// everything that is written, this included.
func (h *Handler) deadURL(item *trigger.Item) string {
	prefix := strings.TrimSuffix(h.opts.Dead.Prefix, "/") + "/"
	if item.Object == nil {
		if item.Key == "" {
			return "" // it could not be told from others
		}
		if !strings.Contains(prefix, "://") && !path.IsAbs(prefix) {
			return ""
		}
		return prefix + Name(item.Key, validation(item)) // another payload under its key is another item
	}
	if h.opts.Objects == nil {
		return ""
	}
	in := store.Location{Scheme: item.Object.Store, Bucket: item.Object.Bucket, Key: item.Object.Key}
	_, name, err := h.objects.below(in)
	if err != nil {
		return ""
	}
	to, err := h.objects.prefix(prefix, in)
	if err != nil {
		return ""
	}
	version := item.Object.Version
	if version == "" {
		version = item.Key
	}
	if version == "" {
		return ""
	}
	id := Name(in.String()+"#"+version, "")
	if name += "." + id[:16] + ".json"; len(to.Key+name) > store.MaxKey || !utf8.ValidString(name) {
		name = id
	}
	return to.String() + name
}

// record is what is kept of an item.
func record(ev *trigger.Event, item *trigger.Item, why error) *DeadItem {
	r := &DeadItem{
		Godwit: "dead", Kind: ev.Kind, Source: ev.Source, ID: item.ID, Key: item.Key, Group: item.Group,
		ContentType: item.ContentType, Attributes: item.Attributes, Attempt: item.Attempt, Time: time.Now().UTC(),
		Code: fault.CodeOf(why).String(), Error: strings.ToValidUTF8(why.Error(), "\ufffd"), Hint: fault.HintOf(why),
	}
	if len(r.Error) > maxReason {
		r.Error = strings.ToValidUTF8(r.Error[:maxReason], "")
	}
	if o := item.Object; o != nil {
		r.Object = &DeadObject{store.Location{Scheme: o.Store, Bucket: o.Bucket, Key: o.Key}.String(), o.Version, o.Size}
	} else {
		r.Data = item.Data
	}
	if !item.Time.IsZero() {
		at := item.Time.UTC()
		r.Sent = &at
	}
	return r
}

// put writes a record that is there to stay when it returns. One that is there
// already is left as it is.
func (d *Dead) put(ctx context.Context, url string, r *DeadItem) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fault.New(fault.Internal, "batch.Handle", url, "%w", err)
	}
	bucket, key, err := d.Stores.Open(ctx, url)
	if err != nil {
		return err
	}
	w, err := bucket.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(text, '\n')); err != nil {
		w.Abort()
		return err
	}
	if err := w.Commit(ctx); err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	return nil
}
