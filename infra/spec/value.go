package spec

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// scalarKind is what YAML took a plain value for.
type scalarKind uint8

const (
	notScalar scalarKind = iota
	isText
	isNumber
	isBool
	isNull
)

// scalar returns n's text as it was written, without quotes.
func scalar(n ast.Node) (text string, kind scalarKind) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, isText
	case *ast.LiteralNode:
		return v.Value.Value, isText
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return v.GetToken().Value, isNumber
	case *ast.BoolNode:
		return v.GetToken().Value, isBool
	case *ast.NullNode:
		return "null", isNull
	}
	return "", notScalar
}

// found names what n is, for the second half of "want …, got …".
func found(n ast.Node) string {
	text, kind := scalar(n)
	switch kind {
	case isText:
		return quote(text)
	case isNumber:
		return "the number " + text
	case isBool:
		return text
	case isNull:
		return "nothing"
	}
	switch v := n.(type) {
	case *ast.SequenceNode:
		if len(v.Values) == 0 {
			return "an empty list"
		}
		return "a list"
	case *ast.MappingNode:
		return "a mapping"
	}
	return "something else"
}

// quote quotes s, shortened to what fits a message.
func quote(s string) string {
	if r := []rune(s); len(r) > 80 {
		return strconv.Quote(string(r[:77])) + "…"
	}
	return strconv.Quote(s)
}

// trouble is why a value was refused; nil when it was not. msg lacks the
// "want …, got …" frame only when it has its own.
type trouble struct{ msg, hint string }

func wrong(hint, format string, args ...any) *trouble {
	return &trouble{msg: fmt.Sprintf(format, args...), hint: hint}
}

func troubleOf(err error) *trouble {
	f := fault.Of(err)
	return &trouble{msg: f.Err.Error(), hint: f.Hint}
}

// leaf is a value written as one scalar.
type leaf[T comparable] struct {
	p     *T
	what  string // "a size with a unit such as 512MiB"
	kinds []scalarKind
	parse func(text string) (T, *trouble)
	check func(v T) *trouble // the range; nil checks nothing
	write func(v T) string   // as YAML
	typ   string             // for the reference page
	rng   string             // for the reference page; may be empty
	js    func() map[string]any
}

func (l *leaf[T]) decode(d *decoder, n ast.Node, path string) { l.decodeOr(d, n, path, "") }

// decodeOr is decode for a value that also has another form.
func (l *leaf[T]) decodeOr(d *decoder, n ast.Node, path, or string) {
	text, kind := scalar(n)
	for _, k := range l.kinds {
		if k != kind {
			continue
		}
		if bad := l.set(text); bad != nil {
			d.add(placeOf(n), path, bad.hint, "%s", bad.msg)
		}
		return
	}
	hint := ""
	switch {
	case kind == isNull:
		hint = "Give it a value, or leave the key out."
	case kind == isNumber && l.kinds[0] == isText:
		if _, bad := l.parse(text); bad != nil {
			hint = bad.hint // a size without its unit
		} else {
			hint = "Put it in quotes: " + strconv.Quote(text) + "."
		}
	case kind == isText && l.kinds[0] != isText:
		if _, bad := l.parse(text); bad == nil && (l.kinds[0] == isNumber || strings.EqualFold(text, "true") || strings.EqualFold(text, "false")) {
			hint = "Leave the quotes out: " + text + "."
		}
	case kind == isBool && l.kinds[0] == isText:
		hint = "Put it in quotes: " + strconv.Quote(text) + "."
	}
	d.add(placeOf(n), path, hint, "want %s%s, got %s", l.what, or, found(n))
}

// set gives the field the value that a text says.
func (l *leaf[T]) set(text string) *trouble {
	v, bad := l.parse(text)
	if bad == nil && l.check != nil {
		bad = l.check(v)
	}
	if bad == nil {
		*l.p = v
	}
	return bad
}

func (l *leaf[T]) encode(*encoder, string) *out { return &out{text: l.write(*l.p)} }

func (l *leaf[T]) isZero() bool {
	var zero T
	return *l.p == zero
}

func (l *leaf[T]) describe() (string, string)     { return l.typ, l.rng }
func (l *leaf[T]) schema(*schemas) map[string]any { return l.js() }

// A rule says which texts a key takes.
type rule struct {
	what    string // "a model name (…)"; stands after "want"
	typ     string // for the reference page; "text" when empty
	pattern string // RE2 and ECMAScript; "" takes every text
	max     int    // characters; 0 means 1024
	// fits, where it is not nil, says what pattern says, for the texts that
	// every start reads: compiling their expressions takes longer than all else
	// of reading a spec.
	fits func(s string) bool
	// check finds what the pattern cannot; nil finds nothing.
	check func(s string) *trouble
}

func (r rule) limit() int {
	if r.max == 0 {
		return 1024
	}
	return r.max
}

// test is why s breaks the rule, or nil.
func (r rule) test(s string) *trouble {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return wrong("Give it a value, or leave the key out.", "want %s, got an empty text", r.what)
	case n > r.limit():
		return wrong("", "want at most %d characters, got %d", r.limit(), n)
	case strings.ContainsFunc(s, unicode.IsControl):
		return wrong("", "want %s on one line and without control characters, got %s", r.what, quote(s))
	}
	if r.check != nil {
		if bad := r.check(s); bad != nil {
			return bad
		}
	}
	// Compiled here and not once: a spec is read once, and a package-level
	// table of expressions would cost every start of every function.
	fits := r.fits
	if fits == nil && r.pattern != "" {
		fits = lazy.Regexp(r.pattern)().MatchString
	}
	if fits != nil && !fits(s) {
		return wrong("", "want %s, got %s", r.what, quote(s))
	}
	return nil
}

func (r rule) schema() map[string]any {
	js := map[string]any{"type": "string", "minLength": 1, "maxLength": r.limit()}
	if r.pattern != "" {
		js["pattern"] = r.pattern
	}
	return js
}

func text(p *string, r rule) value {
	typ := r.typ
	if typ == "" {
		typ = "text"
	}
	return &leaf[string]{
		p: p, what: r.what, kinds: []scalarKind{isText}, write: yamlText, typ: typ,
		parse: func(s string) (string, *trouble) { return s, r.test(s) },
		js:    r.schema,
	}
}

// oneOf takes one of some words. The word null may also be YAML's null.
func oneOf(p *string, words ...string) value {
	l := &leaf[string]{
		p: p, what: quotedOr(words), kinds: []scalarKind{isText}, write: yamlText,
		typ: "word", rng: "`" + strings.Join(words, "` `") + "`",
		parse: func(s string) (string, *trouble) {
			for _, w := range words {
				if s == w {
					return s, nil
				}
			}
			hint := ""
			if near := nearest(s, words); near != "" {
				hint = fmt.Sprintf("Did you mean %s?", near)
			}
			return "", wrong(hint, "want %s, got %s", quotedOr(words), quote(s))
		},
	}
	var enum []any
	for _, w := range words {
		enum = append(enum, w)
		if w == "null" {
			l.kinds = append(l.kinds, isNull)
			enum = append(enum, nil)
		}
	}
	l.js = func() map[string]any { return map[string]any{"enum": enum} }
	return l
}

const flagType = "true or false"

func flag(p *bool) value {
	return &leaf[bool]{
		p: p, what: flagType, kinds: []scalarKind{isBool}, write: strconv.FormatBool,
		typ:   "true or false",
		parse: func(s string) (bool, *trouble) { return strings.EqualFold(s, "true"), nil },
		js:    func() map[string]any { return map[string]any{"type": "boolean"} },
	}
}

// unbounded stands for "no upper limit of our own".
const unbounded = math.MaxInt32

func integer(p *int, lo, hi int) value {
	what := between("a whole number", strconv.Itoa(lo), strconv.Itoa(hi), hi == unbounded)
	return &leaf[int]{
		p: p, what: what, kinds: []scalarKind{isNumber}, write: strconv.Itoa,
		typ: "whole number", rng: span(strconv.Itoa(lo), strconv.Itoa(hi), hi == unbounded),
		parse: func(s string) (int, *trouble) {
			n, err := strconv.Atoi(s)
			if err != nil || strconv.Itoa(n) != s {
				return 0, wrong("Write it in decimal digits.", "want %s, got %s", what, s)
			}
			return n, nil
		},
		check: func(n int) *trouble {
			if n < lo || n > hi {
				return wrong("", "want %s, got %d", what, n)
			}
			return nil
		},
		js: func() map[string]any {
			return map[string]any{"type": "integer", "minimum": lo, "maximum": hi}
		},
	}
}

// decimal takes a number with a fraction, of at least lo.
func decimal(p *float64, lo float64) value {
	format := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	what := "a number of at least " + format(lo)
	return &leaf[float64]{
		p: p, what: what, kinds: []scalarKind{isNumber}, write: format,
		typ: "number", rng: "at least " + format(lo),
		parse: func(s string) (float64, *trouble) {
			if _, ok := times(s, 1_000_000); !ok {
				return 0, wrong("Write it in decimal digits, at most six after the point.", "want %s, got %s", what, quote(s))
			}
			v, _ := strconv.ParseFloat(s, 64)
			return v, nil
		},
		check: func(v float64) *trouble {
			if v < lo {
				return wrong("", "want %s, got %s", what, format(v))
			}
			return nil
		},
		js: func() map[string]any { return map[string]any{"type": "number", "minimum": lo} },
	}
}

// measure is what the types with units share.
type measure interface {
	~int | ~int64
	comparable
	fmt.Stringer
}

// within builds a leaf for a measure from lo to hi in steps of step.
func within[T measure](p *T, lo, hi, step T, what, typ, pattern string, parse func(string) (T, error)) *leaf[T] {
	l := &leaf[T]{
		p: p, what: what, kinds: []scalarKind{isText}, write: T.String,
		typ: typ, rng: span(lo.String(), hi.String(), false),
		parse: func(s string) (T, *trouble) {
			v, err := parse(s)
			if err != nil {
				return 0, troubleOf(err)
			}
			return v, nil
		},
		check: func(v T) *trouble {
			switch {
			case v < lo || v > hi:
				return wrong("", "want %s to %s, got %s", lo, hi, v)
			case step > 0 && v%step != 0:
				return wrong(fmt.Sprintf("The nearest below is %s.", v/step*step), "want a multiple of %s, got %s", step, v)
			}
			return nil
		},
		js: func() map[string]any { return map[string]any{"type": "string", "pattern": pattern} },
	}
	if step > 0 {
		l.rng += ", in steps of " + step.String()
	}
	return l
}

// pick narrows a measure to the listed values.
func pick[T measure](l *leaf[T], values ...T) *leaf[T] {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	l.rng = "`" + strings.Join(texts, "` `") + "`"
	l.check = func(v T) *trouble {
		for _, one := range values {
			if v == one {
				return nil
			}
		}
		return wrong("", "want %s, got %s", quotedOr(texts), v)
	}
	return l
}

func size(p *Bytes, lo, hi, step Bytes) *leaf[Bytes] {
	return within(p, lo, hi, step, "a size with a unit such as 512MiB", "size",
		`^[0-9]+(\.[0-9]+)?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`, ParseBytes)
}

func duration(p *Duration, lo, hi, step Duration) *leaf[Duration] {
	return within(p, lo, hi, step, "a duration with a unit such as 300ms", "duration",
		`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h|d))+$`, ParseDuration)
}

func percent(p *Percent, lo, hi Percent) *leaf[Percent] {
	return within(p, lo, hi, 0, "a percentage such as 70%", "percentage", `^[0-9]+(\.0+)?%$`, ParsePercent)
}

func rate(p *Rate, lo, hi Rate) *leaf[Rate] {
	return within(p, lo, hi, 0, "requests in a time such as 100/s", "rate", `^[0-9]+(\.[0-9]+)?/[smh]$`, ParseRate)
}

func cpus(p *CPU, lo, hi CPU) *leaf[CPU] {
	l := within(p, lo, hi, 0, "a number of CPUs such as 4, 0.5 or 500m", "CPUs", "", ParseCPU)
	l.kinds = []scalarKind{isNumber, isText}
	l.js = func() map[string]any {
		return map[string]any{"anyOf": []any{
			map[string]any{"type": "number", "minimum": float64(lo) / 1000, "maximum": float64(hi) / 1000},
			map[string]any{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?m?$`},
		}}
	}
	return l
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func between(what, lo, hi string, open bool) string {
	if open {
		return what + " of at least " + lo
	}
	return what + " from " + lo + " to " + hi
}

func span(lo, hi string, open bool) string {
	if open {
		return "at least " + lo
	}
	return lo + " to " + hi
}

// quotedOr is "a, b or c".
func quotedOr(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// quoted is "a, b and c".
func quoted(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
