package spec

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// list is a sequence of mappings: a []T.
type list[T any, B interface {
	*T
	block
}] struct{ p *[]T }

const listType = "list of mappings"

// maxItems bounds every list and map of a spec.
const maxItems = 1000

func (l list[T, B]) decode(d *decoder, n ast.Node, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok || len(seq.Values) == 0 || len(seq.Values) > maxItems {
		d.add(placeOf(n), path, "Write one mapping for each after a dash.", "want a list of 1 to %d mappings, got %s", maxItems, found(n))
		return
	}
	*l.p = make([]T, len(seq.Values))
	for i, item := range seq.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.at[p] = placeOf(item)
		d.block(item, p, B(&(*l.p)[i]))
	}
}

func (l list[T, B]) encode(e *encoder, path string) *out {
	o := &out{kind: outList}
	l.blocks(path, func(p string, b block) { o.items = append(o.items, e.block(p, b)) })
	return o
}

func (l list[T, B]) isZero() bool               { return len(*l.p) == 0 }
func (l list[T, B]) prototype() block           { return B(new(T)) }
func (l list[T, B]) describe() (string, string) { return listType, "" }

func (l list[T, B]) blocks(path string, fn func(string, block)) {
	for i := range *l.p {
		fn(fmt.Sprintf("%s[%d]", path, i), B(&(*l.p)[i]))
	}
}

func (l list[T, B]) schema(s *schemas) map[string]any {
	return map[string]any{"type": "array", "minItems": 1, "maxItems": maxItems, "items": s.ref(B(new(T)))}
}

// texts is a list of different texts.
type texts struct {
	p *[]string
	r rule
}

func (t texts) decode(d *decoder, n ast.Node, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok || len(seq.Values) == 0 || len(seq.Values) > maxItems {
		hint := ""
		if s, kind := scalar(n); kind == isText {
			hint = "Write [" + s + "]."
		}
		d.add(placeOf(n), path, hint, "want a list of 1 to %d texts, got %s", maxItems, found(n))
		return
	}
	*t.p = nil
	seen := map[string]bool{}
	for i, item := range seq.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.at[p] = placeOf(item)
		d.docs[p] = d.docs[path]
		var s string
		text(&s, t.r).decode(d, item, p)
		if s != "" && seen[s] {
			d.add(placeOf(item), p, "Leave the second one out.", "%s is listed twice", quote(s))
		}
		seen[s] = true
		*t.p = append(*t.p, s)
	}
}

func (t texts) encode(*encoder, string) *out {
	o := &out{kind: outList}
	for _, s := range *t.p {
		o.items = append(o.items, &out{text: yamlText(s)})
	}
	return o
}

func (t texts) isZero() bool               { return len(*t.p) == 0 }
func (t texts) describe() (string, string) { return "list of texts", "" }

func (t texts) schema(*schemas) map[string]any {
	return map[string]any{"type": "array", "minItems": 1, "maxItems": maxItems, "uniqueItems": true, "items": t.r.schema()}
}

// textMap is a mapping with free keys.
type textMap struct {
	p          *map[string]string
	key, value rule
	// lax also takes numbers and true or false, as the text that was written:
	// for options whose owner reads texts anyway.
	lax bool
}

func (t textMap) decode(d *decoder, n ast.Node, path string) {
	m, ok := n.(*ast.MappingNode)
	if !ok || len(m.Values) > maxItems {
		d.add(placeOf(n), path, "", "want a mapping of at most %d texts, got %s", maxItems, found(n))
		return
	}
	got := map[string]string{}
	d.entries(m, path, func(name string, at place, n ast.Node) {
		p := join(path, label(name))
		d.at[p] = placeOf(n)
		d.docs[p] = d.docs[path]
		if bad := t.key.test(name); bad != nil {
			d.add(at, p, bad.hint, "%s", bad.msg)
			return
		}
		if s, kind := scalar(n); t.lax && (kind == isNumber || kind == isBool) {
			got[name] = s
			return
		}
		var s string
		text(&s, t.value).decode(d, n, p)
		got[name] = s
	})
	if len(got) > 0 {
		*t.p = got
	}
}

func (t textMap) encode(*encoder, string) *out {
	o := &out{kind: outMap}
	for _, k := range sortedKeys(*t.p) {
		o.pairs = append(o.pairs, pair{yamlText(k), &out{text: yamlText((*t.p)[k])}})
	}
	return o
}

func (t textMap) isZero() bool               { return len(*t.p) == 0 }
func (t textMap) describe() (string, string) { return "mapping of texts", "" }

func (t textMap) schema(*schemas) map[string]any {
	item := t.value.schema()
	if t.lax {
		item = map[string]any{"anyOf": []any{item, map[string]any{"type": []any{"number", "boolean"}}}}
	}
	return map[string]any{"type": "object", "maxProperties": maxItems,
		"propertyNames": t.key.schema(), "additionalProperties": item}
}

// choices is a list of different words.
type choices struct {
	p     *[]string
	words []string
}

func (c choices) list() texts {
	return texts{c.p, rule{what: quotedOr(c.words), check: func(s string) *trouble {
		var got string
		_, bad := oneOf(&got, c.words...).(*leaf[string]).parse(s)
		return bad
	}}}
}

func (c choices) decode(d *decoder, n ast.Node, path string) { c.list().decode(d, n, path) }
func (c choices) encode(e *encoder, path string) *out        { return c.list().encode(e, path) }
func (c choices) isZero() bool                               { return len(*c.p) == 0 }
func (c choices) describe() (string, string) {
	return "list of words", "`" + strings.Join(c.words, "` `") + "`"
}

func (c choices) schema(s *schemas) map[string]any {
	js := c.list().schema(s)
	js["items"] = map[string]any{"enum": c.words}
	return js
}

// sugar is the key model: one entry of models that only has a path.
type sugar struct{ p *[]Model }

func (v sugar) decode(d *decoder, n ast.Node, path string) {
	var m Model
	text(&m.Path, modelPath).decode(d, n, path)
	if len(*v.p) == 0 {
		*v.p = []Model{m}
		d.at["models[0].path"] = placeOf(n)
	}
}

func (v sugar) encode(*encoder, string) *out     { return nil } // Marshal writes it itself
func (v sugar) isZero() bool                     { return true }
func (v sugar) describe() (string, string)       { return text(new(string), modelPath).describe() }
func (v sugar) schema(s *schemas) map[string]any { return text(new(string), modelPath).schema(s) }
