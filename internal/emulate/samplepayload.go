package emulate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// sampleModel is the model that the sample events name.
const sampleModel = "iris"

// With returns the delivery with the requests in it replaced by body, a request
// in the protocol's JSON, and the model that it names by model; everything else
// is as the platform writes it. In which of the platform's encodings a request
// stands does not matter: as it is, as a text, in base64, as DynamoDB writes
// items, and any of them in another.
func (s *Sample) With(model string, body []byte) Delivery {
	d := s.Delivery
	e := payloadEditor{model: model, body: body}
	d.Header = http.Header{}
	for name, values := range s.Delivery.Header {
		for _, v := range values {
			if v == sampleModel {
				v = model
			}
			d.Header[name] = append(d.Header[name], v)
		}
	}
	d.Body = e.edit(s.Delivery.Body)
	return d
}

type payloadEditor struct {
	model string
	body  []byte
}

// edit edits a JSON value; what has nothing to be replaced comes back as it is.
func (e *payloadEditor) edit(raw []byte) []byte {
	switch {
	case len(raw) == 0:
		return raw
	case raw[0] == '"':
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return raw
		}
		edited := e.text(text)
		if edited == text {
			return raw
		}
		return marshal(edited)
	case raw[0] != '{' && raw[0] != '[':
		return raw
	}
	if raw[0] == '[' && spells(raw, sampleModel) { // a header of Kafka's
		return signedBytes(e.model)
	}
	parts, ok := split(raw)
	if !ok {
		return raw
	}
	for _, p := range parts {
		if p.name == "inputs" && raw[0] == '{' {
			if inputs, coded := inputsOf(p.value); inputs {
				return e.request(parts, coded)
			}
		}
	}
	var out []byte
	from := 0
	for _, p := range parts {
		out = append(append(out, raw[from:p.at]...), e.edit(p.value)...)
		from = p.at + len(p.value)
	}
	return append(out, raw[from:]...)
}

// text edits what a string says.
func (e *payloadEditor) text(s string) string {
	trimmed := strings.TrimSpace(s)
	switch {
	case s == sampleModel:
		return e.model
	case strings.Contains(s, "/models/"+sampleModel+"/"):
		return strings.Replace(s, "/models/"+sampleModel+"/", "/models/"+e.model+"/", 1)
	case trimmed != "" && strings.ContainsRune(`{["`, rune(trimmed[0])) && json.Valid([]byte(trimmed)):
		return strings.Replace(s, trimmed, string(e.edit([]byte(trimmed))), 1)
	}
	if plain, err := base64.StdEncoding.DecodeString(s); err == nil && len(plain) > 0 && plain[0] == '{' && json.Valid(plain) {
		if edited := e.edit(plain); !bytes.Equal(edited, plain) {
			return base64.StdEncoding.EncodeToString(edited)
		}
	}
	return s
}

// request is the request in place of an object with inputs, whose other members
// stay: the model's name, an id that the new request has not. coded says that
// it is written as DynamoDB writes an item.
func (e *payloadEditor) request(old []part, coded bool) []byte {
	members, _ := split(e.body)
	out := []byte{'{'}
	add := func(name string, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, marshal(name)...), ':'), value...)
	}
	for _, p := range old {
		if !slices.ContainsFunc(members, func(m part) bool { return m.name == p.name }) && p.name != "inputs" {
			add(p.name, e.edit(p.value))
		}
	}
	for _, m := range members {
		value := m.value
		if coded {
			value = item(value)
		}
		var short bytes.Buffer
		if json.Compact(&short, value) == nil {
			value = short.Bytes()
		}
		add(m.name, value)
	}
	return append(out, '}')
}

// inputsOf tells whether a value is a request's list of inputs, and whether that
// is written as DynamoDB writes lists. An empty one stays as it is.
func inputsOf(raw []byte) (inputs, coded bool) {
	var item struct{ L []json.RawMessage }
	if raw[0] == '{' && json.Unmarshal(raw, &item) == nil {
		return len(item.L) > 0, true
	}
	var list []json.RawMessage
	return json.Unmarshal(raw, &list) == nil && len(list) > 0, false
}

// item writes a JSON value as DynamoDB writes attributes.
func item(raw []byte) []byte {
	switch raw[0] {
	case '"':
		return slices.Concat([]byte(`{"S":`), raw, []byte("}"))
	case 't', 'f':
		return slices.Concat([]byte(`{"BOOL":`), raw, []byte("}"))
	case 'n':
		return []byte(`{"NULL":true}`)
	case '{', '[':
		parts, _ := split(raw)
		var out []byte
		from := 0
		for _, p := range parts {
			out = append(append(out, raw[from:p.at]...), item(p.value)...)
			from = p.at + len(p.value)
		}
		kind := `{"L":`
		if raw[0] == '{' {
			kind = `{"M":`
		}
		return slices.Concat([]byte(kind), out, raw[from:], []byte("}"))
	}
	return slices.Concat([]byte(`{"N":"`), raw, []byte(`"}`))
}

// part is a member of an object or an element of an array, and where it stands.
type part struct {
	name  string // "" in an array
	value json.RawMessage
	at    int
}

// split lists what is in an object or an array.
func split(raw []byte) (parts []part, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	for d.More() {
		var p part
		if raw[0] == '{' {
			name, err := d.Token()
			if err != nil {
				return nil, false
			}
			p.name, _ = name.(string)
		}
		if d.Decode(&p.value) != nil {
			return nil, false
		}
		p.at = int(d.InputOffset()) - len(p.value)
		parts = append(parts, p)
	}
	return parts, true
}

// spells tells whether a JSON array has the bytes of s.
func spells(raw []byte, s string) bool {
	var codes []int
	if json.Unmarshal(raw, &codes) != nil || len(codes) != len(s) {
		return false
	}
	for i, c := range codes {
		if c != int(s[i]) {
			return false
		}
	}
	return true
}

// signedBytes are bytes as Java writes them.
func signedBytes(s string) []byte {
	codes := make([]int8, len(s))
	for i := range len(s) {
		codes[i] = int8(s[i])
	}
	return marshal(codes)
}

// marshal leaves <, > and & as they are.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings and numbers
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
