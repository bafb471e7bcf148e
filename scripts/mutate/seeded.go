package main

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// seeds reads a file of mistakes: blocks between empty lines, each the name of
// the mistake, the file of the package that it is in, and then what is written
// there, with "- " before each line, and what is there instead, with "+ ".
// Lines that begin with # say something to the reader.
//
// What is written there must be there exactly once, inside one function: the
// function is compiled with it and without it.
func seeds(p *pack, path string) ([]*mutant, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []*mutant
	for i, block := range strings.Split("\n"+string(text), "\n\n") {
		var head, from, to []string
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case line == "" || strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, "- ") || line == "-":
				from = append(from, strings.TrimPrefix(line[1:], " "))
			case strings.HasPrefix(line, "+ ") || line == "+":
				to = append(to, strings.TrimPrefix(line[1:], " "))
			default:
				head = append(head, line)
			}
		}
		if len(head)+len(from)+len(to) == 0 {
			continue
		}
		if len(head) != 2 || len(from) == 0 {
			return nil, fmt.Errorf("%s: want blocks of a name, a file, lines with - and lines with +, got block %d: %q", path, i+1, block)
		}
		m, err := seed(p, head[0], head[1], strings.Join(from, "\n"), strings.Join(to, "\n"))
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, head[0], err)
		}
		m.id = len(all) + 1
		all = append(all, m)
	}
	return all, nil
}

// seed is the mutant that has to instead of from in a file.
func seed(p *pack, name, file, from, to string) (*mutant, error) {
	for _, s := range p.files {
		if filepath.Base(s.path) != file {
			continue
		}
		text := string(s.text)
		if n := strings.Count(text, from); n != 1 {
			return nil, fmt.Errorf("want %q once in %s, got it %d times", from, file, n)
		}
		at := strings.Index(text, from)
		for _, decl := range s.tree.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil || p.offset(fn.Body.Lbrace) >= at || p.offset(fn.Body.Rbrace) < at+len(from) {
				continue
			}
			start, end := p.offset(fn.Body.Lbrace)+1, p.offset(fn.Body.Rbrace)
			wrong := text[start:at] + to + text[at+len(from):end]
			if fn.Type.Results == nil {
				wrong += "\nreturn"
			}
			m := &mutant{
				file: s, line: 1 + strings.Count(text[:at], "\n"), in: fn.Name.Name, what: name,
				from: brief(from), to: brief(to), start: start, end: end,
			}
			m.wrap = func(inner string) string {
				return "\nif mutateIs(" + strconv.Itoa(m.id) + ") {" + wrong + "\n}\n" + inner
			}
			return m, nil
		}
		return nil, fmt.Errorf("want %q inside a function of %s, got it outside", from, file)
	}
	return nil, fmt.Errorf("want a file of %s, got %q", p.name, file)
}
