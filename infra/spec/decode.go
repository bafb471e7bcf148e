package spec

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// decoder fills blocks from YAML and notes every problem.
type decoder struct {
	*report
	root block
	// at is where each given value stands, by its path; a key that is not
	// there was left out.
	at map[string]place
}

// placeOf is where n begins. The token of a block mapping is its first colon.
func placeOf(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return placeOf(m.Values[0].Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return place{}
	}
	pos := n.GetToken().Position
	return place{line: pos.Line, column: pos.Column}
}

// entries calls fn for each key of m with a usable name, and notes the others
// and the duplicates.
func (d *decoder) entries(m *ast.MappingNode, path string, fn func(name string, at place, n ast.Node)) {
	seen := map[string]place{}
	for _, entry := range m.Values {
		name, kind := scalar(entry.Key)
		at := placeOf(entry.Key)
		if kind != isText {
			hint := ""
			if kind != notScalar {
				name = entry.Key.GetToken().Value
				hint = fmt.Sprintf("Put it in quotes: %q.", name)
			}
			d.add(at, path, hint, "want a text as the name of a key, got %s", found(entry.Key))
			continue
		}
		if first, dup := seen[name]; dup {
			d.add(at, join(path, label(name)), "Leave one of them out.", "duplicate key %s, given first in line %d", quote(name), first.line)
			continue
		}
		seen[name] = at
		fn(name, at, entry.Value)
	}
}

// label is name as it stands in a path: as it is, or quoted where it could
// break a line or pass for more than one name.
func label(name string) string {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '/') {
			return quote(name)
		}
	}
	return name
}

// block fills b from n.
func (d *decoder) block(n ast.Node, path string, b block) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.add(placeOf(n), path, "Keys are "+quoted(names(b))+".", "want a mapping, got %s", found(n))
		return
	}
	keys := b.keys()
	for _, k := range keys {
		d.docs[join(path, k.name)] = k.doc
	}
	given := map[string]bool{}
	d.entries(m, path, func(name string, at place, n ast.Node) {
		for _, k := range keys {
			if k.name == name {
				p := join(path, name)
				d.at[p] = placeOf(n)
				given[name] = true
				k.to.decode(d, n, p)
				return
			}
		}
		d.add(at, path, d.unknownHint(path, name, b), "unknown key %s", quote(name))
	})
	for _, k := range keys {
		if k.required && !given[k.name] {
			d.add(placeOf(n), path, fmt.Sprintf("%s: %s", k.name, k.doc), "key %q is missing", k.name)
		}
	}
}

// unknownHint says what was likely meant: a key of the same mapping, else the
// same key in another one, else which keys there are.
func (d *decoder) unknownHint(path, name string, b block) string {
	if near := nearest(name, names(b)); near != "" {
		return fmt.Sprintf("Did you mean %q?", near)
	}
	if places := d.elsewhere(name); len(places) > 0 {
		return fmt.Sprintf("%s belongs to %s.", name, quotedOr(places))
	}
	where := "here"
	if path != "" {
		where = "of " + path
	}
	return fmt.Sprintf("Keys %s are %s.", where, quoted(names(b)))
}

// elsewhere is which mappings have the key name, a few at most.
func (d *decoder) elsewhere(name string) []string {
	var places []string
	everyBlock(d.root, "", func(path string, b block) {
		for _, k := range b.keys() {
			if k.name == name && path != "" && len(places) < 4 {
				places = append(places, path)
			}
		}
	})
	return places
}

// everyBlock calls fn for b and for every block that could stand below it.
func everyBlock(b block, path string, fn func(path string, b block)) {
	fn(path, b)
	for _, k := range b.keys() {
		if c, ok := k.to.(container); ok {
			p := join(path, k.name)
			if typ, _ := k.to.describe(); typ == listType {
				p += "[]"
			}
			everyBlock(c.prototype(), p, fn)
		}
	}
}

func names(b block) []string {
	var all []string
	for _, k := range b.keys() {
		all = append(all, k.name)
	}
	return all
}
