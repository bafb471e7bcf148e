package azure

import "strings"

// A template is one file of Bicep, as a tree: what a person reads is printed
// from it, and so is the ARM template that a compiler makes of that file.
type template struct {
	note  string // comments at the top
	scope string // "" is the resource group
	items []any  // of *param, *variable, *resource, *module and *output, in their order
}

func (t *template) add(items ...any) { t.items = append(t.items, items...) }

// A param is what whoever deploys may say.
type param struct {
	name, typ string
	about     string // its description
	value     any    // the default; nil for none
	secure    bool
}

// A variable is a name for a value.
type variable struct {
	name  string
	value any
	note  string
}

// An output is what a deployment hands back.
type output struct {
	name, typ string
	value     any
}

// A resource is made, or with existing only referred to. Name comes first in
// what is printed, and below parent it is the last part alone.
type resource struct {
	symbol   string
	typ      string // "Microsoft.Storage/storageAccounts@2025-01-01"
	note     string
	existing bool
	name     any
	parent   *resource
	scope    *resource // what a role or its like is about
	body     object    // the rest, in its order
	needs    []string  // symbols that it waits for without naming them
}

// kind and version are the parts of a resource's type.
func (r *resource) kind() string    { kind, _, _ := strings.Cut(r.typ, "@"); return kind }
func (r *resource) version() string { _, version, _ := strings.Cut(r.typ, "@"); return version }

// A module is another file, deployed into a resource group.
type module struct {
	symbol, path string
	note         string
	name         string
	group        any // the resource group; nil is the same one
	params       object
	of           *template
}

// A value is a string, an int, a bool, an object, a list, or an expression: a
// ref, a call, a text or a choice.
type (
	field struct {
		key   any // a string, or an expression
		value any
		note  string // a comment above, one line or several
	}
	object []field
	list   []any
	// ref names a parameter, a variable or a resource, and what is below it:
	// "storage.properties.primaryEndpoints.blob".
	ref string
	// call is one of ARM's functions; of those of Bicep alone none is used.
	call struct {
		name     string
		args     []any
		property string // of what it gives; "" is all of it
	}
	// choice is then where when is true, else other.
	choice struct{ when, then, other any }
	// text is a string that is put together of strings and expressions.
	text []any
)

// set appends a field with the lines of a comment above it, or none.
func (o *object) set(key, value any, note ...string) {
	*o = append(*o, field{key, value, strings.Join(note, "\n")})
}

func fn(name string, args ...any) call { return call{name: name, args: args} }

// of is an object of keys and values in turn.
func of(pairs ...any) object {
	var o object
	for i := 0; i < len(pairs); i += 2 {
		o.set(pairs[i], pairs[i+1])
	}
	return o
}

// resources are those of t, in their order.
func (t *template) resources() (all []*resource) {
	for _, i := range t.items {
		if r, ok := i.(*resource); ok {
			all = append(all, r)
		}
	}
	return all
}
