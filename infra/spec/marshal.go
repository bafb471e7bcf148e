package spec

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// outKind is the shape of an out.
type outKind uint8

const (
	outScalar outKind = iota
	outMap
	outList
)

// out is YAML to be written.
type out struct {
	kind  outKind
	text  string // of a scalar, as it is written
	pairs []pair
	items []*out
}

type pair struct {
	name string // as it is written
	to   *out
}

// flow is o on one line.
func (o *out) flow() string {
	var parts []string
	switch o.kind {
	case outScalar:
		return o.text
	case outList:
		for _, i := range o.items {
			parts = append(parts, i.flow())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	for _, p := range o.pairs {
		parts = append(parts, p.name+": "+p.to.flow())
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// lineWidth is how long a line with a flow mapping may get.
const lineWidth = 90

// put writes o as what follows "name:" in a block mapping at indent.
func (o *out) put(b *strings.Builder, indent int, name string) {
	pad := strings.Repeat(" ", indent)
	line := o.flow()
	// A list of mappings reads best as a block, whatever its length.
	block := o.kind == outList && len(o.items) > 0 && o.items[0].kind == outMap
	if o.kind == outScalar || !block && indent+len(name)+2+utf8.RuneCountInString(line) <= lineWidth || line == "{}" || line == "[]" {
		b.WriteString(pad + name + ": " + line + "\n")
		return
	}
	b.WriteString(pad + name + ":\n")
	if o.kind == outMap {
		for _, p := range o.pairs {
			p.to.put(b, indent+2, p.name)
		}
		return
	}
	for _, item := range o.items {
		if item.kind != outMap || len(item.pairs) == 0 {
			b.WriteString(pad + "  - " + item.flow() + "\n")
			continue
		}
		var entry strings.Builder
		for _, p := range item.pairs {
			p.to.put(&entry, indent+4, p.name)
		}
		b.WriteString(pad + "  - " + entry.String()[indent+4:])
	}
}

// encoder decides what is written: what was given, and what differs from the default.
type encoder struct {
	given    map[string]place
	defaults map[string]string
	all      bool // every key, for showing a block's defaults
}

func (e *encoder) block(path string, b block) *out {
	o := &out{kind: outMap}
	for _, k := range b.keys() {
		p := join(path, k.name)
		child := k.to.encode(e, p)
		if child == nil {
			continue
		}
		_, given := e.given[p]
		_, always := k.to.(inline)
		switch {
		case given || e.all:
		case always && len(child.pairs) == 0, k.to.isZero(), e.defaults[p] == child.flow():
			continue
		}
		o.pairs = append(o.pairs, pair{k.name, child})
	}
	return o
}

// Marshal writes s as a person would: what was given or differs from its
// default, the short form where it says enough. Comments of a file that s was
// parsed from are not kept. Errors: BadConfig, when s is not a spec that Parse
// takes. A field that still has the default it got from Parse is left out, and
// follows the default if another field that it depends on was changed.
//
// To build a spec in Go start from New: in a Spec that is made by hand every
// zero field counts as left out.
func (s *Spec) Marshal() ([]byte, error) {
	e := &encoder{given: s.given, defaults: map[string]string{}}
	for _, d := range s.defaults {
		e.defaults[d.Path] = d.Value
	}
	o := e.block("", s)
	var b strings.Builder
	b.WriteString("# What runs, where and how big. What is left out has a default, listed in docs/spec.md of Godwit.\n")
	for _, p := range o.pairs {
		if p.name == "models" {
			if path := s.short(p.to); path != nil {
				p = pair{"model", path}
			}
		}
		p.to.put(&b, 0, p.name)
	}
	if len(s.Targets.list()) == 0 && s.given["targets"] == (place{}) {
		b.WriteString("# targets: {awslambda: {}, knative: {gpu: 1, mesh: istio}}   # where it runs\n")
	}
	data := []byte(b.String())
	if _, err := Parse(FileName, data); err != nil {
		return nil, fmt.Errorf("spec.Marshal: %w", err)
	}
	return data, nil
}

// short is the path of a spec's only model when nothing else is said of it, or nil.
func (s *Spec) short(models *out) *out {
	if len(s.Models) != 1 || s.Models[0].Name != ModelName(s.Models[0].Path) && s.Models[0].Name != "" {
		return nil
	}
	var path *out
	for _, p := range models.items[0].pairs {
		switch p.name {
		case "path":
			path = p.to
		case "name":
		default:
			return nil
		}
	}
	return path
}

// yamlText writes s so that every YAML reader takes it for this text: plain
// where that is beyond doubt, else in double quotes.
func yamlText(s string) string {
	if !plain(s) {
		return strconv.Quote(s)
	}
	return s
}

// plain reports whether s may stand without quotes: it begins as no number,
// list or sign of YAML does, and is none of the words that some reader of YAML
// takes for true, false or nothing. "off" may, though readers of YAML 1.1 take
// it for false: it is a word of this format, and its quotes would look odd.
func plain(s string) bool {
	switch strings.ToLower(s) {
	case "", "null", "true", "false", "yes", "no", "on", "y", "n":
		return false
	}
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '/' }
	if !letter(s[0]) && !strings.HasPrefix(s, "./") || strings.HasSuffix(s, ":") {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !letter(c) && (c < '0' || c > '9') && !strings.ContainsRune(".@:+-", rune(c)) {
			return false
		}
	}
	return true
}
