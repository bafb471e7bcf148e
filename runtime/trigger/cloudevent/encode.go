package cloudevent

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
)

// WriteHeader sets the headers of e in binary mode; the body is e.Data. Other
// headers stay. Errors: Invalid for an event that no receiver would take.
func (e *Event) WriteHeader(h http.Header) error {
	if err := e.check(); err != nil {
		return err
	}
	for name, value := range e.attributes() {
		if name == "datacontenttype" {
			h.Set("Content-Type", value)
			continue
		}
		h.Set(header(name), escape(value))
	}
	return nil
}

// AppendJSON appends the event in structured mode to dst. Data of type
// application/json goes in as it is, byte for byte, all other as base64. Errors:
// Invalid.
func (e *Event) AppendJSON(dst []byte) ([]byte, error) {
	if err := e.check(); err != nil {
		return dst, err
	}
	all := e.attributes()
	dst = append(dst, '{')
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		value, err := json.Marshal(all[name])
		if err != nil {
			return dst, fault.New(fault.Internal, "cloudevent.Encode", name, "%w", err)
		}
		dst = append(append(append(dst, '"'), name...), `":`...)
		dst = append(dst, value...)
	}
	switch {
	case e.Data == nil:
	case plainJSON(e.DataContentType) && utf8.Valid(e.Data) && json.Valid(e.Data):
		dst = append(append(dst, `,"data":`...), e.Data...)
	default:
		dst = append(base64.StdEncoding.AppendEncode(append(dst, `,"data_base64":"`...), e.Data), '"')
	}
	return append(dst, '}'), nil
}

// plainJSON leaves out types that end in +json: the Go SDK, which Knative reads
// events with, wants a string for them.
func plainJSON(contentType string) bool {
	media, _, _ := mime.ParseMediaType(contentType)
	return contentType == "" || media == "application/json"
}

func (e *Event) attributes() map[string]string {
	all := make(map[string]string, 8+len(e.Extensions))
	for name, value := range e.Extensions {
		all[name] = value
	}
	all["specversion"], all["id"], all["source"], all["type"] = "1.0", e.ID, e.Source, e.Type
	for _, a := range [...]struct{ name, value string }{{"subject", e.Subject}, {"dataschema", e.DataSchema}, {"datacontenttype", e.DataContentType}} {
		if a.value != "" {
			all[a.name] = a.value
		}
	}
	if !e.Time.IsZero() {
		all["time"] = e.Time.Format(time.RFC3339Nano)
	}
	return all
}

// check refuses what the decoder would refuse or read as something else.
func (e *Event) check() error {
	var read Event
	for name, value := range e.attributes() {
		if _, twice := e.Extensions[name]; twice && !extension(name) {
			return fault.New(fault.Invalid, "cloudevent.Encode", "", "want no extension with the name %.64q", name)
		}
		if err := read.set(name, value, "attribute "+name); err != nil {
			return err
		}
		if !utf8.ValidString(value) {
			return fault.New(fault.Invalid, "cloudevent.Encode", "attribute "+name, "want UTF-8")
		}
	}
	return e.complete()
}

// extension says whether the specification leaves that name to extensions.
func extension(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "data":
		return false
	}
	return true
}

// escape is a header's value as the binding encodes it.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '%' {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
