package spec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"godwit.dev/runtime/fault"
)

// FileName is the name of the spec in a function's folder.
const FileName = "godwit.yaml"

const (
	// maxSize bounds the file, comments included.
	maxSize = 1 * MiB
	// maxTokens bounds what the parser sees: it takes time in the square of
	// the number of keys (24,000 tokens 0.3 s), and no spec has a thousand.
	maxTokens = 10_000
)

// Load reads godwit.yaml in the folder dir. Errors: BadConfig, all problems
// joined; a folder without the file is one too.
func Load(dir string) (*Spec, error) {
	path := filepath.Join(dir, FileName)
	fail := func(hint, format string, args ...any) error {
		return &fault.Error{Op: "spec.Load", Subject: path, Code: fault.BadConfig, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "Write one from a model with `godwit init MODEL " + dir + "`."
		if other := filepath.Join(dir, "godwit.yml"); exists(other) {
			hint = "Rename " + other + " to " + FileName + "."
		}
		return nil, fail(hint, "no such file: %w", fs.ErrNotExist)
	}
	if err != nil {
		return nil, fail("A function is a folder with a "+FileName+".", "%w", err)
	}
	// Opening a pipe would wait for its writer for ever.
	if !info.Mode().IsRegular() {
		return nil, fail("A function is a folder with a "+FileName+".", "want a regular file, got one of mode %s", info.Mode())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail("", "%w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(maxSize)+1))
	if err != nil {
		return nil, fail("", "%w", err)
	}
	return Parse(path, data)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Parse reads a spec; name stands for it in errors. All problems are joined in
// one error (see Problems), each a fault.Error of code BadConfig with a
// *Problem. The spec has its defaults applied.
//
// A spec is one YAML document of at most 1 MiB. Anchors, aliases, merge keys,
// tags and directives are refused: they let a short file mean a large one, and
// a spec has nothing to repeat.
func Parse(name string, data []byte) (*Spec, error) {
	r := newReport(name, data)
	root := r.tree(data)
	if err := r.err(); err != nil {
		return nil, err
	}
	s := &Spec{}
	d := &decoder{report: r, root: s, at: map[string]place{}}
	d.block(root, "", s)
	applied := s.withDefaults(d.at)
	if len(r.list) == 0 { // on half a spec, checks would only repeat what is known
		s.check(d)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	s.given = d.at
	s.defaults = s.listDefaults(applied)
	return s, nil
}

// tree is data as one mapping; nil with a problem noted.
func (r *report) tree(data []byte) *ast.MappingNode {
	text, ok := r.text(data)
	if !ok {
		return nil
	}
	tokens, file := r.syntax(text)
	if file == nil {
		return nil
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			r.add(placeOf(doc.Body), "", "Give each function a folder of its own.", "want one document, got a second one")
			return nil
		}
		root = doc.Body
	}
	switch m := root.(type) {
	case *ast.MappingNode:
		return m
	case nil:
		r.add(place{}, "", "The shortest spec is one line: model: fraud.onnx", "want a spec, got an empty file")
	default:
		at := placeOf(root)
		if len(tokens) > 0 && at.line == 0 {
			at = place{1, 1}
		}
		r.add(at, "", "The shortest spec is one line: model: fraud.onnx", "want a mapping, got %s", found(root))
	}
	return nil
}

// text is data as text that the lexer can be given.
func (r *report) text(data []byte) (string, bool) {
	if len(data) > int(maxSize) {
		r.lines = nil
		r.add(place{}, "", "A spec needs some kB; is this the right file?", "want at most %s, got more", maxSize)
		return "", false
	}
	text := strings.TrimPrefix(string(data), "\ufeff") // which some editors put first
	line, column := 1, 1
	for i, c := range text {
		switch {
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			r.add(place{line, column}, "", "Save the file as UTF-8.", "want UTF-8, got the byte 0x%02x", text[i])
			return "", false
		case c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f || c == '\ufeff':
			r.add(place{line, column}, "", "Write it as an escape in double quotes, or leave it out.", "the character U+%04X is not allowed in YAML", c)
			return "", false
		case c == '\n' || c == '\r' && !strings.HasPrefix(text[i:], "\r\n"):
			line, column = line+1, 1
		default:
			column++
		}
	}
	return text, true
}

// refused is why a kind of token is not for specs; "" when it is.
func refused(t token.Type) string {
	switch t {
	case token.AnchorType:
		return "anchors"
	case token.AliasType:
		return "aliases"
	case token.MergeKeyType:
		return "merge keys"
	case token.TagType:
		return "tags"
	case token.DirectiveType:
		return "directives"
	case token.MappingKeyType:
		return "keys after a question mark"
	}
	return ""
}

// syntax lexes and parses; a nil file comes with a problem noted.
func (r *report) syntax(text string) (tokens token.Tokens, file *ast.File) {
	defer func() {
		// The parser has been seen to panic on other projects' hostile files.
		if p := recover(); p != nil {
			file = nil
			r.add(place{}, "", "Write it more simply.", "the YAML parser gave up on the file: %v", p)
		}
	}()
	tokens = lexer.Tokenize(text)
	count := 0
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		at := place{t.Position.Line, t.Position.Column}
		if what := refused(t.Type); what != "" {
			r.add(at, "", "Write the value out in full.", "%s are not allowed in a spec", what)
		}
		if count++; count > maxTokens {
			r.add(at, "", "A spec needs some hundred; is this the right file?", "want at most %d words and signs, got more", maxTokens)
			break
		}
	}
	if len(r.list) > 0 {
		return tokens, nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, message := place{}, err.Error()
		var y yaml.Error
		if errors.As(err, &y) {
			message = y.GetMessage()
			if t := y.GetToken(); t != nil && t.Position != nil {
				at = place{t.Position.Line, t.Position.Column}
			}
		}
		r.add(at, "", syntaxHint(message), "%s", strings.ReplaceAll(message, "\t", `\t`))
		return tokens, nil
	}
	return tokens, file
}

func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "'\t'"):
		return "Indent with spaces: YAML does not take tabs."
	case strings.Contains(message, "mapping value is not allowed"):
		return "Check the indentation, and put a text with a colon in quotes."
	case strings.Contains(message, "end token"), strings.Contains(message, "end character"):
		return "Close what is opened here."
	}
	return "Check this line and the one before it."
}
