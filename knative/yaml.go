package knative

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A field is one key of a YAML mapping: order and comments are ours to choose,
// which no encoder of structs leaves to one.
type field struct {
	key   string
	value any    // string, int, bool, mapping or list
	note  string // a comment above, one line or several
}

type (
	mapping []field
	list    []any // of mapping or string
)

// add appends a field with a comment above it, or none.
func (m *mapping) add(key string, value any, note ...string) {
	*m = append(*m, field{key, value, strings.Join(note, "\n")})
}

// document is m as a file.
func document(m mapping) []byte {
	var b strings.Builder
	m.write(&b, "")
	return []byte(b.String())
}

func (m mapping) write(b *strings.Builder, indent string) {
	for _, f := range m {
		comment(b, indent, f.note)
		b.WriteString(indent + scalar(f.key) + ":")
		value(b, indent, f.value)
	}
}

func value(b *strings.Builder, indent string, v any) {
	switch v := v.(type) {
	case mapping:
		if len(v) == 0 {
			b.WriteString(" {}\n")
			return
		}
		b.WriteString("\n")
		v.write(b, indent+"  ")
	case list:
		b.WriteString("\n")
		v.write(b, indent+"  ")
	default:
		b.WriteString(" " + scalar(v) + "\n")
	}
}

func (l list) write(b *strings.Builder, indent string) {
	for _, v := range l {
		m, ok := v.(mapping)
		if !ok {
			b.WriteString(indent + "- " + scalar(v) + "\n")
			continue
		}
		// The first key stands beside the dash, with its comment above both.
		comment(b, indent, m[0].note)
		m = append(mapping{{m[0].key, m[0].value, ""}}, m[1:]...)
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
var plain = regexp.MustCompile(`^((\.\./)*[A-Za-z/][A-Za-z0-9_./~-]*(@sha256:[0-9a-f]{64})?|[0-9]+(m|s|[KMG]i))$`)

// words are plain and mean something else, in one version of YAML or another.
var words = map[string]bool{"y": true, "n": true, "yes": true, "no": true, "on": true, "off": true, "true": true, "false": true, "null": true}

// scalar is v in one line that nothing can break out of: a string that is not
// plain is in double quotes, with escapes for whatever cannot be seen.
func scalar(v any) string {
	s, ok := v.(string)
	switch {
	case !ok:
		return fmt.Sprint(v)
	case plain.MatchString(s) && !words[strings.ToLower(s)]:
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
