package tune

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// A Value is what a key gets: a word, or a mapping of numbers where Keys has some.
type Value struct {
	Word string // as godwit.yaml writes it: "latency", "512MiB", "2"
	Keys []Entry
}

// An Entry is one key of a Value.
type Entry struct {
	Name  string
	Value int
}

// String is the value on one line, as godwit.yaml writes it.
func (v Value) String() string {
	if len(v.Keys) == 0 {
		return v.Word
	}
	var parts []string
	for _, k := range v.Keys {
		parts = append(parts, fmt.Sprintf("%s: %d", k.Name, k.Value))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// A Change gives the key at Path a value. Path is as in problems of the spec:
// "models[0].threads", "targets.cloudrun.memory".
type Change struct {
	Path  string
	Value Value
}

// commentMark begins the comments that Edit writes, and by which it finds them again.
const commentMark = "# godwit tune "

// Edit is data with the changes, and with note as a comment above the first key
// of each mapping that it changes, in the place of the one that it wrote there
// before; "" writes none and leaves what is there. All other bytes stay as they
// are: comments, order, quotes, indentation, ends of lines. The short form
// `model: PATH` becomes a list of one where a change needs it.
//
// What comes out is read again, and must say what data says but for the changes.
// Errors: BadConfig where data is no spec, or is none any more with the changes;
// Unsupported where it is written in a way that Edit does not change.
func Edit(data []byte, changes []Change, note string) ([]byte, error) {
	if _, err := spec.Parse(spec.FileName, data); err != nil {
		return nil, err
	}
	if note != "" && (strings.ContainsFunc(note, func(r rune) bool { return r < ' ' || r == 0x7f }) || !strings.HasPrefix(commentMark+note, "# ")) {
		return nil, fault.New(fault.Usage, "tune.Edit", "", "want a note of one line, got %q", note)
	}
	want, err := tree(data)
	if err != nil {
		return nil, err
	}
	got := data
	firsts := map[string]string{} // of each mapping, the changed key that stands first
	for _, c := range changes {
		if got, err = edit1(got, c); err != nil {
			return nil, err
		}
		parent, _, _ := cutLast(c.Path)
		if first := firsts[parent]; first == "" || before(got, c.Path, first) {
			firsts[parent] = c.Path
		}
		if want, err = changed(want, c); err != nil {
			return nil, err
		}
	}
	if note != "" {
		for _, c := range changes {
			if parent, _, _ := cutLast(c.Path); firsts[parent] == c.Path {
				if got, err = annotate(got, c.Path, note); err != nil {
					return nil, err
				}
			}
		}
	}
	if _, err := spec.Parse(spec.FileName, got); err != nil {
		return nil, err
	}
	if now, err := tree(got); err != nil || !reflect.DeepEqual(want, now) {
		return nil, unsupported("", "want a file that can be changed without touching the rest of it")
	}
	return got, nil
}

func unsupported(path, format string, args ...any) error {
	return fault.New(fault.Unsupported, "tune.Edit", path, format, args...).
		WithHint("Write the change by hand; --dry-run says what it would be.")
}

// cutLast parts "a.b[0].c" into "a.b[0]" and "c".
func cutLast(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// tree is all that the text says, with the short form of a model written out.
func tree(data []byte) (map[string]any, error) {
	var t map[string]any
	if err := yaml.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &t); err != nil {
		return nil, unsupported("", "%w", err)
	}
	if path, short := t["model"]; short {
		t["models"] = []any{map[string]any{"path": path}}
		delete(t, "model")
	}
	return t, nil
}

// changed gives the key another value in t.
func changed(t map[string]any, c Change) (map[string]any, error) {
	at := t
	parent, name, _ := cutLast(c.Path)
	for _, step := range steps(parent) {
		next := at[step.name]
		if step.index >= 0 {
			list, _ := next.([]any)
			if step.index >= len(list) {
				return nil, unsupported(c.Path, "want a key of the file, got none")
			}
			next = list[step.index]
		}
		m, ok := next.(map[string]any)
		if !ok && next != nil {
			return nil, unsupported(c.Path, "want a mapping around it")
		}
		if m == nil {
			m = map[string]any{}
			at[step.name] = m
		}
		at = m
	}
	// What the text of the value means is YAML's to say.
	var v any
	if err := yaml.Unmarshal([]byte(c.Value.String()), &v); err != nil {
		return nil, unsupported(c.Path, "%w", err)
	}
	at[name] = v
	return t, nil
}

// step is one part of a path; index is -1 where it has none.
type step struct {
	name  string
	index int
}

func steps(path string) []step {
	var all []step
	for part := range strings.SplitSeq(path, ".") {
		s := step{part, -1}
		if name, rest, ok := strings.Cut(part, "["); ok {
			s.name = name
			s.index, _ = strconv.Atoi(strings.TrimSuffix(rest, "]"))
		}
		all = append(all, s)
	}
	return all
}

// edit1 makes one change.
func edit1(data []byte, c Change) ([]byte, error) {
	f, err := open(data)
	if err != nil {
		return nil, err
	}
	parent, name, _ := cutLast(c.Path)
	m, e, err := f.find(parent)
	if err != nil {
		return nil, err
	}
	if m == nil {
		switch model := f.entry(f.root, "model"); {
		case model != nil && parent == "models[0]":
			if data, err = f.lengthen(model); err != nil {
				return nil, err
			}
			return edit1(data, c)
		case e != nil: // a key with nothing behind it
			return f.fill(e, "{"+name+": "+c.Value.String()+"}")
		}
		return nil, unsupported(c.Path, "want %s in the file, got none", parent)
	}
	if old := f.entry(m, name); old != nil {
		return f.replace(old, c)
	}
	return f.insert(m, e, name, c.Value)
}

// replace gives an entry that is there another value.
func (f *file) replace(e *ast.MappingValueNode, c Change) ([]byte, error) {
	old, isMap := e.Value.(*ast.MappingNode)
	switch {
	case e.Value == nil || e.Value.Type() == ast.NullType:
		return f.fill(e, c.Value.String())
	case isMap && len(c.Value.Keys) > 0 && f.onlyKeys(old, c.Value.Keys):
		// Number for number, so that how the mapping is written stays.
		data := f.data
		for _, k := range c.Value.Keys {
			var err error
			if data, err = edit1(data, Change{c.Path + "." + k.Name, Value{Word: strconv.Itoa(k.Value)}}); err != nil {
				return nil, err
			}
		}
		return data, nil
	case isMap && !old.IsFlowStyle:
		return f.collapse(e, c.Value.String())
	}
	from, to, err := f.value(e)
	if err != nil {
		return nil, err
	}
	if bytes.ContainsAny(f.data[from:to], "\n#") {
		return nil, unsupported(c.Path, "want its value on one line")
	}
	return f.splice(from, to, c.Value.String()), nil
}

// onlyKeys reports whether m has no key but those of keys.
func (f *file) onlyKeys(m *ast.MappingNode, keys []Entry) bool {
	for _, e := range m.Values {
		if !slices.ContainsFunc(keys, func(k Entry) bool { return k.Name == keyText(e) }) {
			return false
		}
	}
	return true
}

// fill writes the value of a key that has none.
func (f *file) fill(e *ast.MappingValueNode, text string) ([]byte, error) {
	colon, err := f.colon(e)
	if err != nil {
		return nil, err
	}
	return f.splice(colon+1, colon+1, " "+text), nil
}

// collapse puts text in the place of a block mapping. Its comments stay, each on
// a line of its own.
func (f *file) collapse(e *ast.MappingValueNode, text string) ([]byte, error) {
	colon, err := f.colon(e)
	if err != nil {
		return nil, err
	}
	_, end, err := f.value(e)
	if err != nil {
		return nil, err
	}
	var kept bytes.Buffer
	kept.Write(f.data[:colon+1])
	kept.WriteString(" " + text)
	at := f.lineEnd(colon) // what stands behind the colon is a comment, or nothing
	kept.Write(f.data[colon+1 : at])
	for stop := f.lineEnd(end); at < stop; {
		next := f.lineEnd(at)
		line := f.data[at:next]
		code, comment := splitComment(line)
		switch {
		case len(bytes.TrimSpace(code)) == 0:
			kept.Write(line)
		case len(comment) > 0:
			kept.Write(line[:len(line)-len(bytes.TrimLeft(line, " "))])
			kept.Write(comment)
		}
		at = next
	}
	if rest := f.data[at:]; len(rest) > 0 || bytes.HasSuffix(f.data, []byte("\n")) {
		kept.Write(rest)
		return kept.Bytes(), nil
	}
	// The file ended without an end of its last line, and does so now.
	return bytes.TrimRight(kept.Bytes(), "\r\n"), nil
}

// insert adds a key to m, the value of parent: below a model's path, else as its
// first, so that no comment comes between a key and what is said of it.
func (f *file) insert(m *ast.MappingNode, parent *ast.MappingValueNode, name string, v Value) ([]byte, error) {
	text := name + ": " + v.String()
	if len(m.Values) == 0 {
		from, to, err := f.extent(m)
		if err != nil {
			return nil, err
		}
		if bytes.ContainsAny(f.data[from:to], "\n#") {
			return nil, unsupported(name, "want the empty mapping on one line")
		}
		return f.splice(from, to, "{"+text+"}"), nil
	}
	e := f.entry(m, "path")
	if f.root.IsFlowStyle || f.inFlow(m) {
		if e == nil {
			e = m.Values[len(m.Values)-1]
		}
		_, end, err := f.entryExtent(e)
		if err != nil {
			return nil, err
		}
		return f.splice(end, end, ", "+text), nil
	}
	at, err := 0, error(nil)
	if e != nil {
		_, at, err = f.entryExtent(e)
	} else {
		at, err = f.colon(parent)
	}
	if err != nil {
		return nil, err
	}
	start, err := f.offset(m.Values[0].Key)
	if err != nil {
		return nil, err
	}
	line := strings.Repeat(" ", f.column(start)) + text
	if at = f.lineEnd(at); at == len(f.data) && !bytes.HasSuffix(f.data, []byte("\n")) {
		return f.splice(at, at, f.newline+line), nil
	}
	return f.splice(at, at, line+f.newline), nil
}

// lengthen makes `model: PATH` a list of one model.
func (f *file) lengthen(e *ast.MappingValueNode) ([]byte, error) {
	from, to, err := f.value(e)
	if err != nil {
		return nil, err
	}
	key, err := f.offset(e.Key)
	if err != nil {
		return nil, err
	}
	if f.root.IsFlowStyle {
		return f.splice(key, to, "models: [{path: "+string(f.data[from:to])+"}]"), nil
	}
	if bytes.ContainsAny(f.data[key:to], "\n#") {
		return nil, unsupported("model", "want the path on the line of its key")
	}
	pad := strings.Repeat(" ", f.column(key))
	return f.splice(key, from, "models:"+f.newline+pad+"  - path: "), nil
}

// annotate puts the note above the line of the block that the key is in.
func annotate(data []byte, path, note string) ([]byte, error) {
	f, err := open(data)
	if err != nil {
		return nil, err
	}
	at, err := f.blockLine(path)
	if err != nil {
		return nil, err
	}
	parent, _, _ := cutLast(path)
	m, _, err := f.find(parent)
	if err != nil || m == nil {
		return nil, unsupported(path, "want a mapping around it")
	}
	// Comments of an earlier run stand above the mapping's first line or within it.
	from, stop := at, f.lineEnd(at)
	if start, err := f.offset(m.Values[0].Key); err == nil {
		from = min(from, f.lineStart(start))
	}
	if _, end, err := f.extent(m); err == nil {
		stop = max(stop, f.lineEnd(end))
	}
	for from > 0 && isOwn(f.data[f.lineStart(from-1):from]) {
		from = f.lineStart(from - 1)
	}
	var out bytes.Buffer
	out.Write(f.data[:from])
	for line := from; line < stop; {
		next := f.lineEnd(line)
		text := f.data[line:next]
		if mark := f.bom(line); mark > 0 { // it stays the first of the file
			out.Write(text[:mark])
			text = text[mark:]
		}
		if line == at {
			out.Write(text[:len(text)-len(bytes.TrimLeft(text, " "))])
			out.WriteString(commentMark + note + f.newline)
		}
		if !isOwn(text) {
			out.Write(text)
		}
		line = next
	}
	out.Write(f.data[stop:])
	return out.Bytes(), nil
}

func isOwn(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(line, []byte("\ufeff")), " "), []byte(commentMark))
}

// before reports whether the key at a stands before the one at b.
func before(data []byte, a, b string) bool {
	f, err := open(data)
	if err != nil {
		return false
	}
	_, first, err1 := f.find(a)
	_, second, err2 := f.find(b)
	if err1 != nil || err2 != nil || first == nil || second == nil {
		return false
	}
	p, err1 := f.offset(first.Key)
	q, err2 := f.offset(second.Key)
	return err1 == nil && err2 == nil && p < q
}
