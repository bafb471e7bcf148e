package azurefunctions

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// The host's serializer puts every value that is no object into a string, as
// JSON: a string arrives encoded twice, a number and an array once. Bytes are
// base64. Documentation shows strings encoded once, so both are read.

// unquote is the string in raw; false if raw holds none.
func unquote(raw []byte) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// plain is a value as it was before the host encoded it: the text of a string,
// and the JSON of anything else. wrapped says that it came as a string.
func plain(raw json.RawMessage) (data []byte, wrapped bool) {
	s, ok := unquote(raw)
	if !ok {
		return bytes.Clone(raw), false
	}
	if inner, ok := unquote([]byte(s)); ok {
		s = inner
	}
	return []byte(s), true
}

// list is the elements of an array, which the host puts into a string too; each
// is encoded once.
func list(raw json.RawMessage) ([]json.RawMessage, bool) {
	data := []byte(raw)
	if s, ok := unquote(raw); ok {
		data = []byte(s)
	}
	var all []json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil || all == nil {
		return nil, false
	}
	return all, true
}

// element is an element of such an array as its sender wrote it.
func element(raw json.RawMessage) []byte {
	if s, ok := unquote(raw); ok {
		return []byte(s)
	}
	return raw
}

// payload is what a sender wrote, from how the binding hands it over. With
// dataType "binary" that is base64. Otherwise it is text, and text that is no
// JSON, but base64 of a JSON document, was encoded by a sender who expected
// messageEncoding to be what it is not.
func payload(text []byte, binary bool) []byte {
	if !binary && (len(text) < 4 || len(text)%4 != 0 || json.Valid(text)) {
		return text
	}
	data, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil || !binary && !document(data) {
		return text
	}
	return data
}

// document reports whether data is a JSON object or array.
func document(data []byte) bool {
	data = bytes.TrimSpace(data)
	return len(data) > 0 && (data[0] == '{' || data[0] == '[') && json.Valid(data)
}

// metadata is what the platform says beside the payload, and the payload's
// own words left out: the host adds every member of a message that is a JSON
// object to its metadata, over what was there, so that a message could give
// itself another's id.
type metadata struct {
	values map[string]json.RawMessage
	forged func(name string) bool
}

// about is the metadata of a delivery of the one payload text, which came as a
// string; nil text is none that the host looks into. Errors: Invalid.
func (e *envelope) about(text []byte) (metadata, error) {
	m := metadata{forged: func(string) bool { return false }}
	if len(e.Metadata) > 0 {
		if err := json.Unmarshal(e.Metadata, &m.values); err != nil {
			return m, fault.New(fault.Invalid, "azurefunctions.Decode", "Metadata", "%w", err)
		}
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' {
		return m, nil
	}
	var members map[string]ignored
	if json.Unmarshal(text, &members) != nil {
		// The host's parser takes more for JSON than there is.
		m.forged = func(string) bool { return true }
		return m, nil
	}
	m.forged = func(name string) bool {
		if _, ok := members[name]; ok {
			return true
		}
		for member := range members {
			if strings.EqualFold(member, name) {
				return true
			}
		}
		return false
	}
	return m, nil
}

// ignored is a JSON value that nobody reads.
type ignored struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*ignored) UnmarshalJSON([]byte) error { return nil }

func (m metadata) raw(name string) json.RawMessage {
	raw, ok := m.values[name]
	if !ok || m.forged(name) {
		return nil
	}
	return raw
}

func (m metadata) has(names ...string) bool {
	for _, name := range names {
		if m.raw(name) != nil {
			return true
		}
	}
	return false
}

// text is a string or a number; "" if it is not there or something else.
func (m metadata) text(name string) string { return scalar(m.raw(name)) }

func (m metadata) time(name string) time.Time { return timeOf(m.text(name)) }

// count is a number of deliveries; 0 if it is not there.
func (m metadata) count(name string) int { return countOf(m.text(name)) }

// each is the values of a batch's items, as many as there are.
func (m metadata) each(name string) []json.RawMessage {
	all, _ := list(m.raw(name))
	return all
}

// at is the value of item i; nil if there is none.
func at(all []json.RawMessage, i int) json.RawMessage {
	if i < len(all) {
		return all[i]
	}
	return nil
}

// scalar is a string or a number as text, however often it was encoded.
func scalar(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	data, _ := plain(raw)
	if s := string(data); s != "null" && !strings.HasPrefix(s, "{") && !strings.HasPrefix(s, "[") {
		return s
	}
	return ""
}

// timeOf is the moment that s says; zero if it says none. .NET writes a
// DateTime that does not know its zone without one; the extensions' are UTC.
func timeOf(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

func countOf(s string) int {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// attributes are the members of an object that are strings, numbers or truth
// values; nil if there are none.
func attributes(raw json.RawMessage) map[string]string {
	if s, ok := unquote(raw); ok {
		raw = json.RawMessage(s)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	var all map[string]string
	for name, value := range members {
		if s, ok := unquote(value); ok {
			value = json.RawMessage(s)
		} else if len(value) == 0 || value[0] == '{' || value[0] == '[' || value[0] == 'n' {
			continue
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = string(value)
	}
	return all
}
