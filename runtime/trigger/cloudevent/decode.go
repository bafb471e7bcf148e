package cloudevent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
)

// Mode is the form in which HTTP carries events.
type Mode uint8

// The modes. None is a request that carries no event.
const (
	None Mode = iota
	Binary
	Structured
	Batched
)

// The media types of the modes that have their own.
const (
	StructuredType = "application/cloudevents+json"
	BatchedType    = "application/cloudevents-batch+json"
)

// prefix begins the names of headers that are attributes, as net/http keeps them.
const prefix = "Ce-"

// required are the attributes that every event has.
var required = [...]string{"specversion", "id", "source", "type"}

// ModeOf tells the mode of a message by its headers. A message with any of the
// required attributes is Binary, so that one which lacks another is refused
// and not taken for something else.
func ModeOf(h http.Header) Mode {
	// One type's name begins with the other's.
	switch contentType := strings.ToLower(strings.TrimSpace(h.Get("Content-Type"))); {
	case strings.HasPrefix(contentType, "application/cloudevents-batch"):
		return Batched
	case strings.HasPrefix(contentType, "application/cloudevents"):
		return Structured
	}
	for _, name := range required {
		if len(h[header(name)]) > 0 {
			return Binary
		}
	}
	return None
}

// header is the name of an attribute's header, as net/http keeps it.
func header(attribute string) string {
	return prefix + strings.ToUpper(attribute[:1]) + attribute[1:]
}

// Decode reads the events of a message: one, or in a batch any number. Within a
// batch an event that cannot be read has its Err set and fails alone. The
// events may share the body's memory. Errors: Invalid for what is no event, or
// no batch; UnsupportedMedia for formats but JSON; both name what is wrong and
// quote no data.
func Decode(h http.Header, body []byte) ([]Event, error) {
	switch ModeOf(h) {
	case Binary:
		e, err := decodeBinary(h, body)
		if err != nil {
			return nil, err
		}
		return []Event{e}, nil
	case Structured:
		if err := wantJSON(h, StructuredType); err != nil {
			return nil, err
		}
		if !utf8.Valid(body) {
			return nil, invalid("the event", "want UTF-8")
		}
		e, err := decodeJSON(body)
		if err != nil {
			return nil, err
		}
		return []Event{e}, nil
	case Batched:
		if err := wantJSON(h, BatchedType); err != nil {
			return nil, err
		}
		return decodeBatch(body)
	}
	return nil, invalid("the request", "want a CloudEvent, got neither ce- headers nor one of its media types")
}

func invalid(subject, format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "cloudevent.Decode", subject, format, args...)
}

func wantJSON(h http.Header, want string) error {
	got := h.Values("Content-Type")
	media, params, err := mime.ParseMediaType(got[0])
	charset := params["charset"]
	if len(got) != 1 || err != nil || media != want || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return fault.New(fault.UnsupportedMedia, "cloudevent.Decode", "Content-Type", "want %s in UTF-8, got %.128q", want, got)
	}
	return nil
}

func decodeBinary(h http.Header, body []byte) (Event, error) {
	var e Event
	versions := 0
	for name, values := range h {
		attribute, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		attribute = strings.ToLower(attribute)
		subject := fmt.Sprintf("header %.64q", name)
		if len(values) != 1 {
			return Event{}, invalid(subject, "want it once, got it %d times", len(values))
		}
		value, err := unescape(values[0])
		if err != nil {
			return Event{}, invalid(subject, "%w", err)
		}
		if attribute == "datacontenttype" {
			return Event{}, invalid(subject, "want the data's type in Content-Type")
		}
		if attribute == "specversion" {
			versions++
		}
		if err := e.set(attribute, value, subject); err != nil {
			return Event{}, err
		}
	}
	if versions == 0 {
		return Event{}, missing("specversion")
	}
	switch types := h["Content-Type"]; {
	case len(types) > 1:
		return Event{}, invalid(`header "Content-Type"`, "want it once, got it %d times", len(types))
	case len(types) == 1:
		e.DataContentType = types[0]
	}
	if len(body) > 0 {
		e.Data = body
	}
	return e, e.complete()
}

// unescape is the value of a header as the binding encodes it: perhaps quoted,
// and with percent-encoded bytes. A percent sign that encodes nothing is itself.
func unescape(s string) (string, error) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		var b strings.Builder
		for i := 1; i < len(s)-1; i++ {
			if s[i] == '\\' && i+1 < len(s)-1 {
				i++
			}
			b.WriteByte(s[i])
		}
		s = b.String()
	}
	if strings.IndexByte(s, '%') >= 0 {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] == '%' && i+2 < len(s) && hex(s[i+1]) >= 0 && hex(s[i+2]) >= 0 {
				b = append(b, byte(hex(s[i+1])<<4|hex(s[i+2])))
				i += 2
				continue
			}
			b = append(b, s[i])
		}
		s = string(b)
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("want percent-encoded UTF-8")
	}
	return s, nil
}

func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func decodeBatch(body []byte) ([]Event, error) {
	if !utf8.Valid(body) {
		return nil, invalid("the batch", "want UTF-8")
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		return nil, invalid("the batch", "want a JSON array of events")
	}
	events := make([]Event, len(raw))
	for i := range raw {
		var err error
		if events[i], err = decodeJSON(raw[i]); err != nil {
			events[i].Err = invalid(fmt.Sprintf("event %d of the batch", i), "%w", err)
		}
	}
	return events, nil
}

// decodeJSON reads an event in the JSON format. What could be read is returned
// beside an error.
func decodeJSON(body []byte) (Event, error) {
	var e Event
	members, err := object(body)
	if err != nil {
		return e, invalid("the event", "%w", err)
	}
	if _, ok := members["specversion"]; !ok {
		return e, missing("specversion")
	}
	data, inline := members["data"]
	encoded, inBase64 := members["data_base64"]
	delete(members, "data")
	delete(members, "data_base64")
	// In one order, so that of two mistakes always the same is told.
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	var failed error
	for _, name := range names {
		subject := fmt.Sprintf("member %.64q", name)
		value, null, err := attributeOf(members[name])
		switch {
		case err != nil:
			err = invalid(subject, "%w", err)
		case null: // as if it were not there
		case name == "datacontenttype":
			e.DataContentType = value
		default:
			err = e.set(name, value, subject)
		}
		if failed == nil {
			failed = err
		}
	}
	if failed == nil {
		failed = e.complete()
	}
	if failed != nil {
		return e, failed
	}
	switch {
	case inline && inBase64:
		return e, invalid("the event", "want data or data_base64, got both")
	case inBase64:
		var text string
		if err := json.Unmarshal(encoded, &text); err != nil || encoded[0] != '"' {
			return e, invalid(`member "data_base64"`, "want a string")
		}
		if e.Data, err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
			return e, invalid(`member "data_base64"`, "want base64: %w", err)
		}
	case inline && isJSON(e.DataContentType):
		e.Data = bytes.TrimSpace(data)
		if e.DataContentType == "" {
			e.DataContentType = "application/json" // which the format says it means
		}
	case inline && data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return e, invalid(`member "data"`, "want a string")
		}
		e.Data = []byte(text)
	case inline && !bytes.Equal(data, []byte("null")):
		return e, invalid(`member "data"`, "want a string for data of type %.128q", e.DataContentType)
	}
	return e, nil
}

// object reads the members of a JSON object; a name that comes twice would be
// read differently by two readers.
func object(body []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("want a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("want a JSON object: %w", err)
		}
		name, _ := t.(string)
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("member %.64q comes twice", name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("want a JSON object: %w", err)
		}
		members[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("want a JSON object: %w", err)
	}
	if dec.More() || len(bytes.TrimSpace(body[dec.InputOffset():])) > 0 {
		return nil, fmt.Errorf("want one JSON object and nothing behind it")
	}
	return members, nil
}

// attributeOf is an attribute's value in the form that headers have for it.
func attributeOf(raw json.RawMessage) (value string, null bool, err error) {
	switch c := raw[0]; {
	case c == '"':
		err = json.Unmarshal(raw, &value)
		return value, false, err
	case c == 'n':
		return "", true, nil
	case c == 't' || c == 'f':
		return string(raw), false, nil
	case (c == '-' || '0' <= c && c <= '9') && !bytes.ContainsAny(raw, ".eE"):
		return string(raw), false, nil
	}
	return "", false, fmt.Errorf("want a string, a truth value or a whole number")
}

// isJSON says whether data of that type is JSON; without a type it is.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && media == "" {
		return false
	}
	_, sub, _ := strings.Cut(media, "/")
	return sub == "json" || strings.HasSuffix(sub, "+json")
}

// set sets an attribute that is not about the data.
func (e *Event) set(name, value, subject string) error {
	if !validName(name) {
		return invalid(subject, "want an attribute's name of a to z and 0 to 9")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		return invalid(subject, "want a value without control characters")
	}
	switch name {
	case "specversion":
		if value != "1.0" {
			return invalid(subject, `want "1.0", got %.32q`, value)
		}
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "dataschema":
		e.DataSchema = value
	case "time":
		if value == "" {
			return nil
		}
		at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(value))
		if err != nil {
			return invalid(subject, "want a time as in RFC 3339, got %.64q", value)
		}
		e.Time = at
	default:
		if e.Extensions == nil {
			e.Extensions = map[string]string{}
		}
		e.Extensions[name] = value
	}
	return nil
}

func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && s != "data"
}

func (e *Event) complete() error {
	for _, a := range [...]struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if a.value == "" {
			return missing(a.name)
		}
	}
	return nil
}

func missing(attribute string) error {
	return invalid("the event", "want the attribute %q, got none", attribute)
}
