package google

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"godwit.dev/runtime/lazy"
)

// An hcl is a file of Terraform's, in the form that `terraform fmt` leaves alone.
type hcl struct {
	b     strings.Builder
	depth int
}

func (h *hcl) indent() string { return strings.Repeat("  ", h.depth) }

// block is one of head's, with a comment above it or "".
func (h *hcl) block(head, note string, body func()) {
	if text := h.b.String(); text != "" && !strings.HasSuffix(text, "{\n") && !strings.HasSuffix(text, "\n\n") {
		h.b.WriteByte('\n')
	}
	h.note(note)
	h.b.WriteString(h.indent() + head + " {\n")
	h.depth++
	body()
	h.depth--
	h.b.WriteString(h.indent() + "}\n")
}

// object is an attribute whose value is a map or an object.
func (h *hcl) object(key string, body func()) {
	h.b.WriteString(h.indent() + key + " = {\n")
	h.depth++
	body()
	h.depth--
	h.b.WriteString(h.indent() + "}\n")
}

// attr is an attribute with an expression.
func (h *hcl) attr(key, expression string) {
	h.b.WriteString(h.indent() + key + " = " + expression + "\n")
}

func (h *hcl) text(key, value string) { h.attr(key, quoted(value)) }
func (h *hcl) whole(key string, n int) {
	h.attr(key, fmt.Sprint(n))
}
func (h *hcl) yes(key string, b bool) { h.attr(key, fmt.Sprint(b)) }

// list is an attribute with expressions, one in each line where there are several.
func (h *hcl) list(key string, all []string) {
	if len(all) < 2 {
		h.attr(key, "["+strings.Join(all, ", ")+"]")
		return
	}
	h.b.WriteString(h.indent() + key + " = [\n")
	for _, one := range all {
		h.b.WriteString(h.indent() + "  " + one + ",\n")
	}
	h.b.WriteString(h.indent() + "]\n")
}

func (h *hcl) gap() { h.b.WriteByte('\n') }

func (h *hcl) note(text string) {
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		h.b.WriteString(h.indent() + "# " + line + "\n")
	}
}

// single is an attribute in one line.
var single = lazy.Regexp(`^( *)("[^"]*"|[A-Za-z0-9_-]+) = (.*[^{\[(])$`)

// bytes is the file with the equals signs of neighbours in one column.
func (h *hcl) bytes() []byte {
	lines := strings.Split(h.b.String(), "\n")
	for i := 0; i < len(lines); {
		width, j := 0, i
		for ; j < len(lines); j++ {
			m := single().FindStringSubmatch(lines[j])
			if m == nil {
				break
			}
			width = max(width, len(m[1])+len(m[2]))
		}
		for ; i < j; i++ {
			m := single().FindStringSubmatch(lines[i])
			lines[i] = fmt.Sprintf("%-*s = %s", width, m[1]+m[2], m[3])
		}
		i = j + 1
	}
	return []byte(strings.Join(lines, "\n"))
}

// quoted is s as a string in which HCL fills nothing in.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case (r == '$' || r == '%') && strings.HasPrefix(s[i+1:], "{"):
			b.WriteString(string(r) + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case unicode.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String() + `"`
}

func quotedAll(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = quoted(s)
	}
	return out
}

// set is a toset of texts, for for_each.
func set(all []string) string { return "toset([" + strings.Join(quotedAll(all), ", ") + "])" }
