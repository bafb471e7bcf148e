package azure

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"godwit.dev/runtime/lazy"
)

// bicep is t as a file.
func bicep(t *template) []byte {
	var b strings.Builder
	comment(&b, "", t.note)
	if t.scope != "" {
		b.WriteString("\ntargetScope = " + literal(t.scope) + "\n")
	}
	var last any
	for _, i := range t.items {
		if !together(last, i) {
			b.WriteByte('\n')
		}
		last = i
		switch i := i.(type) {
		case *param:
			if i.about != "" {
				b.WriteString("@description(" + literal(i.about) + ")\n")
			}
			if i.secure {
				b.WriteString("@secure()\n")
			}
			b.WriteString("param " + i.name + " " + i.typ)
			if i.value != nil {
				b.WriteString(" = " + value("", i.value))
			}
			b.WriteByte('\n')
		case *variable:
			comment(&b, "", i.note)
			b.WriteString("var " + i.name + " = " + value("", i.value) + "\n")
		case *resource:
			i.write(&b)
		case *module:
			i.write(&b)
		case *output:
			b.WriteString("output " + i.name + " " + i.typ + " = " + value("", i.value) + "\n")
		}
	}
	return []byte(b.String())
}

// together tells that no empty line stands between two items.
func together(a, b any) bool {
	switch b := b.(type) {
	case *variable:
		_, same := a.(*variable)
		return same && b.note == ""
	case *output:
		_, same := a.(*output)
		return same
	}
	return false
}

func (r *resource) write(b *strings.Builder) {
	comment(b, "", r.note)
	b.WriteString("resource " + r.symbol + " " + literal(r.typ))
	if r.existing {
		b.WriteString(" existing")
	}
	var o object
	if r.parent != nil {
		o.set("parent", ref(r.parent.symbol))
	}
	if r.scope != nil {
		o.set("scope", ref(r.scope.symbol))
	}
	o.set("name", r.name)
	o = append(o, r.body...)
	if len(r.needs) > 0 {
		var all list
		for _, s := range r.needs {
			all = append(all, ref(s))
		}
		o.set("dependsOn", all)
	}
	b.WriteString(" = " + value("", o) + "\n")
}

func (m *module) write(b *strings.Builder) {
	comment(b, "", m.note)
	o := of("name", m.name)
	if m.group != nil {
		o.set("scope", fn("resourceGroup", m.group))
	}
	o.set("params", m.params)
	b.WriteString("module " + m.symbol + " " + literal(m.path) + " = " + value("", o) + "\n")
}

// comment writes lines that nothing can break out of.
func comment(b *strings.Builder, indent, note string) {
	if note == "" {
		return
	}
	for line := range strings.SplitSeq(note, "\n") {
		b.WriteString(strings.TrimRight(indent+"// "+line, " ") + "\n")
	}
}

// value is v as it stands behind a key at the indent.
func value(indent string, v any) string {
	switch v := v.(type) {
	case object:
		if len(v) == 0 {
			return "{}"
		}
		var b strings.Builder
		b.WriteString("{\n")
		for _, f := range v {
			comment(&b, indent+"  ", f.note)
			b.WriteString(indent + "  " + key(f.key) + ": " + value(indent+"  ", f.value) + "\n")
		}
		return b.String() + indent + "}"
	case list:
		if len(v) == 0 {
			return "[]"
		}
		var b strings.Builder
		b.WriteString("[\n")
		for _, e := range v {
			b.WriteString(indent + "  " + value(indent+"  ", e) + "\n")
		}
		return b.String() + indent + "]"
	case string:
		return literal(v)
	case ref:
		return string(v)
	case call:
		args := make([]string, len(v.args))
		for i, a := range v.args {
			args[i] = value(indent, a)
		}
		all := v.name + "(" + strings.Join(args, ", ") + ")"
		if v.property != "" {
			all += "." + v.property
		}
		return all
	case choice:
		return value(indent, v.when) + " ? " + value(indent, v.then) + " : " + value(indent, v.other)
	case text:
		var b strings.Builder
		b.WriteByte('\'')
		for _, part := range v {
			if s, ok := part.(string); ok {
				b.WriteString(escaped(s))
			} else {
				b.WriteString("${" + value(indent, part) + "}")
			}
		}
		return b.String() + "'"
	}
	return fmt.Sprint(v) // a number or a bool
}

var identifier = lazy.Regexp(`^[A-Za-z_][A-Za-z0-9_]*$`)

func key(k any) string {
	s, ok := k.(string)
	switch {
	case !ok:
		return value("", text{k})
	case identifier().MatchString(s) && s != "true" && s != "false" && s != "null":
		return s
	}
	return literal(s)
}

// literal is s as a string in one line that nothing can break out of.
func literal(s string) string { return "'" + escaped(s) + "'" }

func escaped(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\\' || r == '\'':
			b.WriteString(`\` + string(r))
		case r == '$' && strings.HasPrefix(s[i:], "${"):
			b.WriteString(`\$`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	return b.String()
}
