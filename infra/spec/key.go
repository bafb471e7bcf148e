package spec

import (
	"github.com/goccy/go-yaml/ast"
)

// A key is one key of a mapping: its name, the field that it fills, and what
// to tell a person. Parsing, writing, the JSON Schema and the reference page
// are all made from the same keys, so they cannot disagree.
type key struct {
	name string
	to   value
	doc  string // one sentence for editors and the reference page
	// why tells why the default is what it is. Only a key with a why has a
	// default; the others are simply left out.
	why string
	// shown stands for the default on the reference page where it depends on other keys.
	shown    string
	required bool
}

// A block is a mapping with known keys. It is a pointer to the struct whose
// fields its keys fill.
type block interface{ keys() []key }

// A value fills one field from YAML and writes it back.
type value interface {
	// decode sets the field from n, or adds what is wrong to d.
	decode(d *decoder, n ast.Node, path string)
	// encode is the field in YAML; nil when there is nothing to write.
	encode(e *encoder, path string) *out
	isZero() bool
	// describe is the type and the range for the reference page, as Markdown.
	describe() (typ, rng string)
	schema(s *schemas) map[string]any
}

// A container is a value that holds blocks.
type container interface {
	value
	// blocks calls fn for each block that is there, with its path.
	blocks(path string, fn func(path string, b block))
	// prototype is a new block of the container's type.
	prototype() block
}

// walk calls fn for every key of b and of the blocks below it.
func walk(path string, b block, fn func(path string, k key)) {
	for _, k := range b.keys() {
		p := join(path, k.name)
		fn(p, k)
		if c, ok := k.to.(container); ok {
			c.blocks(p, func(path string, b block) { walk(path, b, fn) })
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// optional is a mapping that may be missing: a *T.
type optional[T any, B interface {
	*T
	block
}] struct {
	p **T
	// bare: a key with nothing after its colon means an empty mapping.
	bare bool
}

func object[T any, B interface {
	*T
	block
}](p **T) value {
	return optional[T, B]{p: p}
}

func (o optional[T, B]) decode(d *decoder, n ast.Node, path string) {
	v := new(T)
	if _, null := n.(*ast.NullNode); !null || !o.bare {
		d.block(n, path, B(v))
	}
	*o.p = v
}

func (o optional[T, B]) encode(e *encoder, path string) *out {
	if *o.p == nil {
		return nil
	}
	return e.block(path, B(*o.p))
}

func (o optional[T, B]) isZero() bool               { return *o.p == nil }
func (o optional[T, B]) prototype() block           { return B(new(T)) }
func (o optional[T, B]) describe() (string, string) { return "mapping", "" }

func (o optional[T, B]) blocks(path string, fn func(string, block)) {
	if *o.p != nil {
		fn(path, B(*o.p))
	}
}

func (o optional[T, B]) schema(s *schemas) map[string]any {
	if o.bare {
		return map[string]any{"anyOf": []any{s.ref(B(new(T))), map[string]any{"type": "null"}}}
	}
	return s.ref(B(new(T)))
}

// inline is a mapping that is always there: a T, whose keys have defaults.
type inline struct{ b block }

func (i inline) decode(d *decoder, n ast.Node, path string)     { d.block(n, path, i.b) }
func (i inline) encode(e *encoder, path string) *out            { return e.block(path, i.b) }
func (i inline) isZero() bool                                   { return false }
func (i inline) prototype() block                               { return i.b }
func (i inline) blocks(path string, fn func(s string, b block)) { fn(path, i.b) }
func (i inline) describe() (string, string)                     { return "mapping", "" }
func (i inline) schema(s *schemas) map[string]any               { return s.ref(i.b) }

// either is a word for the usual case or a mapping for the rest.
type either struct {
	word  *string
	words []string
	body  block
	// inBody is what *word becomes when the mapping was written.
	inBody string
}

func (v either) decode(d *decoder, n ast.Node, path string) {
	if m, ok := n.(*ast.MappingNode); ok {
		if d.block(n, path, v.body); len(m.Values) == 0 && !v.body.keys()[0].required {
			d.add(placeOf(n), path, "Keys are "+quoted(names(v.body))+".", "want at least one key, got an empty mapping")
		}
		*v.word = v.inBody
		return
	}
	oneOf(v.word, v.words...).(*leaf[string]).decodeOr(d, n, path, " or a mapping")
}

func (v either) encode(e *encoder, path string) *out {
	if *v.word != v.inBody {
		return oneOf(v.word, v.words...).encode(e, path)
	}
	given := &encoder{given: e.given, defaults: e.defaults}
	if o := given.block(path, v.body); len(o.pairs) > 0 || !v.has(*v.word) {
		return o
	}
	return oneOf(v.word, v.words...).encode(e, path)
}

func (v either) has(word string) bool {
	for _, w := range v.words {
		if w == word {
			return true
		}
	}
	return false
}

func (v either) isZero() bool     { return *v.word == "" }
func (v either) prototype() block { return v.body }

func (v either) blocks(path string, fn func(string, block)) {
	if *v.word == v.inBody && !v.has(*v.word) {
		fn(path, v.body)
	}
}

func (v either) describe() (string, string) {
	typ, rng := oneOf(v.word, v.words...).describe()
	return typ + " or mapping", rng
}

func (v either) schema(s *schemas) map[string]any {
	return map[string]any{"oneOf": []any{oneOf(v.word, v.words...).schema(s), s.ref(v.body)}}
}
