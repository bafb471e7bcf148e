package azurefunctions

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// blob is a blob that was written. The host sends the blob itself too, which is
// left alone: what matters may be too large for an envelope, so it is read from
// where it lies.
func (in *input) blob(d *delivery) error {
	m := in.metadata
	var properties struct {
		ETag          json.RawMessage // {} of newer extensions, whose type .NET's serializer does not know
		ContentLength *int64
		Length        *int64
		LastModified  json.RawMessage // in whole seconds
		ContentHash   json.RawMessage // not of every blob
	}
	_ = json.Unmarshal(m.raw("Properties"), &properties)
	object, ok := objectOf(m.text("Uri"))
	if !ok {
		return fault.New(fault.Unprocessable, "azurefunctions.Decode", "Uri", "want the blob's URL, got none that the blob's own content could not have put there").
			WithHint(`Set "dataType": "binary" at the blobTrigger, so that the host does not read the content.`)
	}
	object.Version = strings.Trim(scalar(properties.ETag), `"`)
	for _, n := range []*int64{properties.Length, properties.ContentLength} {
		if n != nil {
			object.Size = *n
		}
	}
	item := trigger.Item{ID: object.URL(), Object: object, Time: timeOf(scalar(properties.LastModified)), Attributes: attributes(m.raw("Metadata"))}
	version := object.Version
	if version == "" {
		version = strings.TrimSpace(scalar(properties.LastModified) + " " + scalar(properties.ContentHash))
	}
	item.Key = object.URL() + "@" + version
	d.event.Items = []trigger.Item{item}
	return nil
}

// objectOf names the blob behind a URL: https://ACCOUNT.blob.…/CONTAINER/KEY, or
// http://ADDRESS/ACCOUNT/CONTAINER/KEY as Azurite has it.
func objectOf(text string) (*trigger.Object, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !utf8.ValidString(u.Path) {
		return nil, false
	}
	path := strings.TrimPrefix(u.Path, "/")
	account, _, dotted := strings.Cut(u.Hostname(), ".")
	if !dotted || net.ParseIP(u.Hostname()) != nil {
		account, path, _ = strings.Cut(path, "/")
	}
	container, key, ok := strings.Cut(path, "/")
	if !ok { // what has no container in its URL is in the one of this name
		container, key = "$root", container
	}
	if account == "" || container == "" || key == "" {
		return nil, false
	}
	return &trigger.Object{Store: "azblob", Bucket: account + "/" + container, Key: key, Size: -1}, true
}

// eventGrid is an event, or a batch of them, in Event Grid's own schema or as
// CloudEvents.
func (in *input) eventGrid(d *delivery) error {
	all := []json.RawMessage{in.text}
	if array, ok := list(in.raw); ok {
		all = array
	}
	if len(all) == 0 {
		d.notes = append(d.notes, "the delivery is empty")
	}
	for i, raw := range all {
		event, err := gridEventOf(element(raw))
		if err != nil {
			d.refuse(fault.New(fault.CodeOf(err), "azurefunctions.Decode", "event "+strconv.Itoa(i), "%w", err))
			continue
		}
		if why := event.idle(); why != "" {
			d.notes = append(d.notes, strconv.Quote(clip(event.item.ID))+" is acknowledged: "+why)
			continue
		}
		d.event.Items = append(d.event.Items, event.item)
	}
	return nil
}

// gridEvent is an event and what of it is about a blob.
type gridEvent struct {
	item    trigger.Item
	typ     string
	subject string
	api     string // how a blob was written
}

func gridEventOf(text []byte) (*gridEvent, error) {
	var e struct {
		ID, Topic, Subject     string
		EventType, SpecVersion string
		EventTime              string
		Data                   json.RawMessage
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fault.New(fault.Invalid, "azurefunctions.Decode", "", "want an event: %w", err)
	}
	g := &gridEvent{typ: e.EventType, subject: e.Subject}
	if e.SpecVersion != "" {
		events, err := cloudevent.Decode(http.Header{"Content-Type": {cloudevent.StructuredType}}, text)
		if err != nil {
			return nil, err
		}
		g.typ, g.subject, g.item = events[0].Type, events[0].Subject, events[0].Item()
	} else {
		if e.ID == "" || e.EventType == "" {
			return nil, fault.New(fault.Invalid, "azurefunctions.Decode", "", "want an event with id and eventType, or a CloudEvent")
		}
		g.item = trigger.Item{
			ID: e.ID, Key: e.Topic + " " + e.ID, Data: e.Data, ContentType: "application/json", Time: timeOf(e.EventTime),
			Attributes: map[string]string{"type": e.EventType},
		}
		for name, value := range map[string]string{"topic": e.Topic, "subject": e.Subject} {
			if value != "" {
				g.item.Attributes[name] = value
			}
		}
	}
	if strings.HasPrefix(g.typ, "Microsoft.Storage.Blob") {
		return g, g.locate()
	}
	return g, nil
}

// locate finds the blob that the event is about. Its name is in the subject as
// it is, and in the URL escaped.
func (g *gridEvent) locate() error {
	var data struct {
		API, URL       string
		DestinationURL string
		ETag           string
		ContentLength  *int64
	}
	if err := json.Unmarshal(g.item.Data, &data); err != nil {
		return fault.New(fault.Invalid, "azurefunctions.Decode", "data", "want what Event Grid says of a blob: %w", err)
	}
	g.api = data.API
	if data.DestinationURL != "" {
		data.URL = data.DestinationURL
	}
	object, ok := objectOf(data.URL)
	if !ok { // one that was not escaped
		object, ok = objectOf(strings.ReplaceAll(data.URL, "%", "%25"))
	}
	if !ok {
		return fault.New(fault.Invalid, "azurefunctions.Decode", "data.url", "want a blob's URL, got %.128q", data.URL)
	}
	if rest, ok := strings.CutPrefix(g.subject, "/blobServices/default/containers/"); ok && data.DestinationURL == "" {
		if container, key, ok := strings.Cut(rest, "/blobs/"); ok && key != "" {
			account, _, _ := strings.Cut(object.Bucket, "/")
			object.Bucket, object.Key = account+"/"+container, key
		}
	}
	object.Version = strings.Trim(data.ETag, `"`)
	if data.ContentLength != nil {
		object.Size = *data.ContentLength
	}
	g.item.Object, g.item.Data, g.item.ContentType = object, nil, ""
	return nil
}

// idle says why an event starts nothing, "" if it does.
func (g *gridEvent) idle() string {
	switch {
	case g.typ == "Microsoft.EventGrid.SubscriptionValidationEvent" || g.typ == "Microsoft.EventGrid.SubscriptionDeletedEvent":
		return "it is about the subscription"
	case g.item.Object == nil:
		return ""
	case g.typ != "Microsoft.Storage.BlobCreated" && g.typ != "Microsoft.Storage.BlobRenamed":
		return "no blob was written"
	case g.api == "CreateFile" || g.api == "SftpCreate":
		return "the blob is still being written" // another event follows
	}
	return ""
}

// unbase64 is what bytes are as text; what is no base64 of text is itself.
func unbase64(s string) string {
	if data, err := base64.StdEncoding.Strict().DecodeString(s); err == nil && utf8.Valid(data) {
		return string(data)
	}
	return s
}
