package tune

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

// file is a spec's text, and where its parts stand in it.
type file struct {
	data    []byte
	lines   []int // where each begins
	newline string
	root    *ast.MappingNode
}

// open parses data, which spec.Parse takes.
func open(data []byte) (f *file, err error) {
	defer func() {
		if p := recover(); p != nil { // as the spec's own parser may
			f, err = nil, unsupported("", "the YAML parser gave up on the file: %v", p)
		}
	}()
	f = &file{data: data, lines: []int{0}, newline: "\n"}
	for i, c := range data {
		if c == '\n' {
			f.lines = append(f.lines, i+1)
		}
		if c == '\r' && (i+1 == len(data) || data[i+1] != '\n') {
			return nil, unsupported("", "want lines that end in LF or CR LF, got a lone CR")
		}
	}
	if bytes.Contains(data, []byte("\r\n")) {
		f.newline = "\r\n"
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	parsed, err := parser.Parse(lexer.Tokenize(text), parser.ParseComments, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, unsupported("", "%w", err)
	}
	for _, doc := range parsed.Docs {
		if m, ok := doc.Body.(*ast.MappingNode); ok {
			f.root = m
			return f, nil
		}
	}
	return nil, unsupported("", "want a mapping")
}

// bom is how many bytes at the start of a line are a byte order mark.
func (f *file) bom(line int) int {
	if line == 0 && bytes.HasPrefix(f.data, []byte("\ufeff")) {
		return 3
	}
	return 0
}

// offset is where a key or a scalar begins, in bytes.
func (f *file) offset(n ast.Node) (int, error) {
	t := n.GetToken()
	if t == nil || t.Position == nil || t.Position.Line < 1 || t.Position.Line > len(f.lines) {
		return 0, unsupported("", "want a place for each key")
	}
	at := f.lines[t.Position.Line-1]
	at += f.bom(at)
	for range t.Position.Column - 1 {
		_, size := utf8.DecodeRune(f.data[at:])
		at += size
	}
	first := t.Value
	if q := quoteOf(n); q != "" {
		first = q
	}
	if i := strings.IndexByte(first, '\n'); i >= 0 {
		first = first[:i]
	}
	if at >= len(f.data) || !bytes.HasPrefix(f.data[at:], []byte(first)) {
		return 0, unsupported("", "want %q in line %d, which is written in another way", first, t.Position.Line)
	}
	return at, nil
}

// quoteOf is the quotation mark that a scalar begins with, if it has one.
func quoteOf(n ast.Node) string {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return ""
	}
	switch s.Token.Type.String() {
	case "DoubleQuote":
		return `"`
	case "SingleQuote":
		return "'"
	}
	return ""
}

func keyText(e *ast.MappingValueNode) string {
	if s, ok := e.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return e.Key.GetToken().Value
}

func (f *file) entry(m *ast.MappingNode, name string) *ast.MappingValueNode {
	for _, e := range m.Values {
		if keyText(e) == name {
			return e
		}
	}
	return nil
}

// find is the mapping at path, and the entry whose value it is. A nil mapping
// has an entry where the key is there and its value is none.
func (f *file) find(path string) (*ast.MappingNode, *ast.MappingValueNode, error) {
	m := f.root
	var e *ast.MappingValueNode
	for _, s := range steps(path) {
		if m == nil {
			return nil, nil, nil
		}
		if e = f.entry(m, s.name); e == nil {
			return nil, nil, nil
		}
		v := e.Value
		if s.index >= 0 {
			list, ok := v.(*ast.SequenceNode)
			if !ok || s.index >= len(list.Values) {
				return nil, nil, nil
			}
			v = list.Values[s.index]
		}
		m, _ = v.(*ast.MappingNode)
	}
	return m, e, nil
}

// inFlow reports whether m lies in a flow collection.
func (f *file) inFlow(m *ast.MappingNode) bool {
	in := f.root.IsFlowStyle
	var walk func(n ast.Node, flow bool)
	walk = func(n ast.Node, flow bool) {
		switch v := n.(type) {
		case *ast.MappingNode:
			if v == m {
				in = flow || v.IsFlowStyle
			}
			for _, e := range v.Values {
				walk(e.Value, flow || v.IsFlowStyle)
			}
		case *ast.SequenceNode:
			for _, c := range v.Values {
				walk(c, flow || v.IsFlowStyle)
			}
		}
	}
	walk(f.root, false)
	return in
}

// colon is where the colon behind a key stands.
func (f *file) colon(e *ast.MappingValueNode) (int, error) {
	_, at, err := f.extent(e.Key)
	if err != nil {
		return 0, err
	}
	for at < len(f.data) && f.data[at] == ' ' {
		at++
	}
	if at >= len(f.data) || f.data[at] != ':' {
		return 0, unsupported(keyText(e), "want a colon behind the key")
	}
	return at, nil
}

func (f *file) entryExtent(e *ast.MappingValueNode) (from, to int, err error) {
	if from, err = f.offset(e.Key); err != nil {
		return 0, 0, err
	}
	if e.Value == nil || e.Value.Type() == ast.NullType && !f.written(e.Value) {
		to, err = f.colon(e)
		return from, to + 1, err
	}
	_, to, err = f.value(e)
	return from, to, err
}

// value is where the value of an entry begins and ends. It is looked for behind
// the colon: the parser miscounts where blanks follow a value.
func (f *file) value(e *ast.MappingValueNode) (from, to int, err error) {
	if from, err = f.colon(e); err != nil {
		return 0, 0, err
	}
	for from++; from < len(f.data) && f.data[from] == ' '; {
		from++
	}
	if from == len(f.data) || strings.IndexByte("#\r\n", f.data[from]) >= 0 {
		return f.extent(e.Value) // it is in the lines below
	}
	switch v := e.Value.(type) {
	case *ast.MappingNode, *ast.SequenceNode:
		return f.flow(from)
	case *ast.LiteralNode:
		return f.extent(v)
	}
	return f.scalar(from, e.Value)
}

// written reports whether a null stands in the text, as null or ~.
func (f *file) written(n ast.Node) bool {
	_, err := f.offset(n)
	t := n.GetToken()
	return err == nil && t.Origin != "" && strings.TrimSpace(t.Origin) != ""
}

// extent is where n begins and ends in the text.
func (f *file) extent(n ast.Node) (from, to int, err error) {
	switch v := n.(type) {
	case *ast.MappingNode:
		if v.IsFlowStyle {
			if from, err = f.offset(n); err != nil {
				return 0, 0, err
			}
			return f.flow(from)
		}
		if len(v.Values) == 0 {
			return 0, 0, unsupported("", "want keys in a mapping")
		}
		if from, err = f.offset(v.Values[0].Key); err != nil {
			return 0, 0, err
		}
		_, to, err = f.entryExtent(v.Values[len(v.Values)-1])
		return from, to, err
	case *ast.SequenceNode:
		if from, err = f.offset(n); err != nil {
			return 0, 0, err
		}
		if v.IsFlowStyle {
			return f.flow(from)
		}
		if len(v.Values) == 0 {
			return 0, 0, unsupported("", "want a list with its entries")
		}
		_, to, err = f.extent(v.Values[len(v.Values)-1])
		return from, to, err
	case *ast.LiteralNode:
		return 0, 0, unsupported("", "want a value on one line, got one of several")
	}
	if from, err = f.offset(n); err != nil {
		return 0, 0, err
	}
	return f.scalar(from, n)
}

// scalar is the extent of a scalar that begins at from.
func (f *file) scalar(from int, n ast.Node) (int, int, error) {
	if q := quoteOf(n); q != "" {
		to, ok := quoted(f.data, from)
		if !ok {
			return 0, 0, unsupported("", "want a quotation mark at its end")
		}
		return from, to, nil
	}
	text := n.GetToken().Value
	if strings.ContainsAny(text, "\n") || !bytes.HasPrefix(f.data[from:], []byte(text)) {
		return 0, 0, unsupported("", "want %q on one line", text)
	}
	to := from + len(text)
	// A plain text may go on in the next line; then it is longer than this.
	if rest := bytes.TrimLeft(f.data[to:f.lineEnd(to)], " \r\n"); len(rest) > 0 && !bytes.ContainsAny(rest[:1], "#,]}:") {
		return 0, 0, unsupported("", "want %q alone on its line", text)
	}
	return from, to, nil
}

// flow is the extent of a flow collection that begins at from.
func (f *file) flow(from int) (int, int, error) {
	depth, start := 0, true // start: a quotation mark here would begin a text
	for at := from; at < len(f.data); at++ {
		switch c := f.data[at]; {
		case (c == '"' || c == '\'') && start:
			end, ok := quoted(f.data, at)
			if !ok {
				return 0, 0, unsupported("", "want a quotation mark at its end")
			}
			at, start = end-1, false
		case c == '#' && at > 0 && strings.IndexByte(" \t\n", f.data[at-1]) >= 0:
			at = f.lineEnd(at) - 1
			start = true
		case c == '{' || c == '[':
			depth, start = depth+1, true
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return from, at + 1, nil
			}
			start = false
		case c == ',' || c == ':':
			start = true
		case c != ' ' && c != '\t' && c != '\n' && c != '\r':
			start = false
		}
	}
	return 0, 0, unsupported("", "want a bracket at its end")
}

// quoted is where the quoted text that begins at from ends.
func quoted(data []byte, from int) (to int, ok bool) {
	q := data[from]
	for at := from + 1; at < len(data); at++ {
		switch {
		case data[at] == '\\' && q == '"':
			at++
		case data[at] == q && q == '\'' && at+1 < len(data) && data[at+1] == q:
			at++
		case data[at] == q:
			return at + 1, true
		}
	}
	return 0, false
}

// splitComment parts a line of a block mapping of plain values.
func splitComment(line []byte) (code, comment []byte) {
	for i, c := range line {
		if c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i], line[i:]
		}
	}
	return line, nil
}

func (f *file) lineStart(at int) int { return bytes.LastIndexByte(f.data[:at], '\n') + 1 }

// lineEnd is where the next line begins, or the text ends.
func (f *file) lineEnd(at int) int {
	if i := bytes.IndexByte(f.data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(f.data)
}

// column is how many columns stand before at in its line.
func (f *file) column(at int) int {
	start := f.lineStart(at)
	return utf8.RuneCount(f.data[start+f.bom(start) : at])
}

// blockLine is where the line begins that a comment about the key at path stands
// above: its own, or that of the flow collection around it.
func (f *file) blockLine(path string) (int, error) {
	var line int
	flow := f.root.IsFlowStyle
	if flow {
		at, err := f.offset(f.root)
		return f.lineStart(at), err
	}
	m := f.root
	for _, s := range steps(path) {
		e := f.entry(m, s.name)
		if e == nil {
			return 0, unsupported(path, "want it in the file")
		}
		at, err := f.offset(e.Key)
		if err != nil {
			return 0, err
		}
		line = f.lineStart(at)
		v := e.Value
		if s.index >= 0 {
			list, ok := v.(*ast.SequenceNode)
			if !ok || s.index >= len(list.Values) {
				return 0, unsupported(path, "want it in the file")
			}
			if list.IsFlowStyle {
				return line, nil
			}
			v = list.Values[s.index]
			if inner, ok := v.(*ast.MappingNode); ok && inner.IsFlowStyle {
				at, err := f.offset(inner)
				return f.lineStart(at), err
			}
		}
		next, ok := v.(*ast.MappingNode)
		if !ok || next.IsFlowStyle {
			return line, nil
		}
		m = next
	}
	return line, nil
}

// splice is the text with another one from from to to.
func (f *file) splice(from, to int, text string) []byte {
	out := make([]byte, 0, len(f.data)+len(text))
	out = append(out, f.data[:from]...)
	out = append(out, text...)
	return append(out, f.data[to:]...)
}
