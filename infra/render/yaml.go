package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"godwit.dev/runtime/lazy"
)

// A Field is one key of a YAML mapping, its value, and a comment above it of one
// line or several, or nothing: {"kind", "Service"}. A value is a string, a
// number, a bool, a Mapping or a List. Order and comments are the writer's to
// choose, which no encoder of structs leaves to one.
type Field [3]any

type (
	Mapping []Field
	List    []any // of what a value is; of a List within a List there is none
)

// Add appends a field with the lines of a comment above it, or none.
func (m *Mapping) Add(key string, value any, note ...string) {
	*m = append(*m, Field{key, value, strings.Join(note, "\n")})
}

// Texts is a map in the order of its keys.
func Texts(all map[string]string) Mapping {
	var m Mapping
	for _, k := range slices.Sorted(maps.Keys(all)) {
		m.Add(k, all[k])
	}
	return m
}

// Document is v, a Mapping or a List, as a file.
func Document[V Mapping | List](v V) []byte {
	var b strings.Builder
	switch v := any(v).(type) {
	case Mapping:
		v.write(&b, "")
	case List:
		v.write(&b, "")
	}
	return []byte(b.String())
}

// Documents are several mappings as one file.
func Documents(all ...Mapping) []byte {
	var b strings.Builder
	for i, m := range all {
		if i > 0 {
			b.WriteString("---\n")
		}
		m.write(&b, "")
	}
	return []byte(b.String())
}

func (f Field) key() string { return f[0].(string) }

func (f Field) note() string {
	note, _ := f[2].(string)
	return note
}

func (m Mapping) write(b *strings.Builder, indent string) {
	for _, f := range m {
		comment(b, indent, f.note())
		b.WriteString(indent + Scalar(f.key()) + ":")
		value(b, indent, f[1])
	}
}

func value(b *strings.Builder, indent string, v any) {
	switch v := v.(type) {
	case Mapping:
		if len(v) == 0 {
			b.WriteString(" {}\n")
			return
		}
		b.WriteString("\n")
		v.write(b, indent+"  ")
	case List:
		if len(v) == 0 {
			b.WriteString(" []\n")
			return
		}
		b.WriteString("\n")
		v.write(b, indent+"  ")
	default:
		b.WriteString(" " + Scalar(v) + "\n")
	}
}

func (l List) write(b *strings.Builder, indent string) {
	for _, v := range l {
		m, ok := v.(Mapping)
		if !ok {
			b.WriteString(indent + "- " + Scalar(v) + "\n")
			continue
		}
		// The first key stands beside the dash, with its comment above both.
		comment(b, indent, m[0].note())
		m = append(Mapping{{m[0][0], m[0][1]}}, m[1:]...)
		var lines strings.Builder
		m.write(&lines, indent+"  ")
		b.WriteString(indent + "- " + strings.TrimPrefix(lines.String(), indent+"  "))
	}
}

func comment(b *strings.Builder, indent, note string) {
	if note == "" {
		return
	}
	for line := range strings.SplitSeq(note, "\n") {
		b.WriteString(indent + "# " + line + "\n")
	}
}

// plain is what means a string in every version of YAML without quotes.
var plain = lazy.Regexp(`^((\.\./)*[A-Za-z/][A-Za-z0-9_./~-]*(@sha256:[0-9a-f]{64})?|[0-9]+(m|s|[KMG]i))$`)

// words are plain and mean something else, in one version of YAML or another.
var words = map[string]bool{"y": true, "n": true, "yes": true, "no": true, "on": true, "off": true, "true": true, "false": true, "null": true}

// Scalar is v in one line that nothing can break out of: a string that is not
// plain is in double quotes, with escapes for whatever cannot be seen.
func Scalar(v any) string {
	s, ok := v.(string)
	switch {
	case !ok:
		return fmt.Sprint(v)
	case plain().MatchString(s) && !words[strings.ToLower(s)]:
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return b.String() + `"`
}
