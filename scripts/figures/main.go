// Command figures holds the numbers of README.md, ARCHITECTURE.md and docs
// against the committed results in docs/results, and prints every one that is
// not what was measured, or of which nobody has said where it comes from. Its
// test does the same in make test; CONTRIBUTING.md says how to write a number.
//
//	go run ./scripts/figures
package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// generated are whole documents that make golden writes from the code.
var generated = []string{"docs/cli.md", "docs/spec.md", "docs/verify.md"}

func main() {
	problems, err := check(os.DirFS("."))
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

// problem is one number that is wrong, or a line of the results that is.
type problem struct {
	file string
	line int // 0: of the whole file
	text string
	try  string // a line for unmeasured.txt, or ""
}

func (p problem) String() string {
	s := p.file
	if p.line > 0 {
		s += fmt.Sprintf(":%d", p.line)
	}
	s += ": " + p.text
	if p.try != "" {
		s += "\n\tif nobody measured it, say what it is in " + unmeasuredFile + ": KIND " + p.try
	}
	return s
}

// check lints the repository whose root is root.
func check(root fs.FS) ([]problem, error) {
	names, err := documents(root)
	if err != nil {
		return nil, err
	}
	res, problems := readResults(root)
	given, more := readUnmeasured(root)
	problems = append(problems, more...)
	records := map[string]bool{} // by file: whether there is one
	for _, r := range res.records {
		if records[r.File] = slices.Contains(names, r.File); !records[r.File] {
			problems = append(problems, problem{file: measuredFile, text: fmt.Sprintf("record %q is none of the documents; remove its line", r.File)})
		}
	}
	for _, name := range names {
		if slices.Contains(generated, name) || records[name] {
			continue
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, err
		}
		lines, wrong := prose(root, name, string(text))
		problems = append(problems, wrong...)
		problems = append(problems, lint(name, lines, res, given)...)
	}
	for _, g := range given {
		if !g.used {
			problems = append(problems, problem{file: unmeasuredFile, line: g.line, text: fmt.Sprintf("%s has no number without a result in %q; remove the line, or mend it if the document was reworded", g.file, g.piece)})
		}
	}
	for _, f := range res.unused() {
		problems = append(problems, problem{file: measuredFile, text: fmt.Sprintf("no document says %q; remove its line, or tie the number with <!-- measured:%s -->", f, f)})
	}
	return problems, nil
}

// documents are the Markdown files that are held.
func documents(root fs.FS) ([]string, error) {
	names, err := fs.Glob(root, "*.md")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(root, "docs", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// lint is what is wrong with the numbers of one document.
func lint(name string, lines []textLine, res *results, given []*declared) (problems []problem) {
	for _, g := range given {
		if g.file == name {
			g.find(lines)
		}
	}
	for _, l := range lines {
		for _, n := range numbersIn(l.text) {
			p := problem{file: name, line: l.number}
			switch {
			case n.tie != "":
				p.text = res.compare(n)
			case !slices.ContainsFunc(given, func(g *declared) bool { return g.file == name && g.covers(l.number, n) }):
				p.text = fmt.Sprintf("want a tie behind %q to a line of docs/results, such as <!-- measured:ID -->, got none", n.String())
				p.try = name + ": " + suggestion(lines, l, n)
			}
			if p.text != "" {
				problems = append(problems, p)
			}
		}
	}
	return problems
}

// suggestion is a piece of the line around the number that stands in the
// document once.
func suggestion(lines []textLine, l textLine, n numeral) string {
	for more := 12; ; more += 8 {
		from, to := max(0, n.start-more), min(len(l.text), n.end+more/2)
		for from > 0 && l.text[from-1] != ' ' {
			from--
		}
		for to < len(l.text) && l.text[to] != ' ' {
			to++
		}
		piece := l.text[from:to]
		if i := strings.LastIndex(l.text[from:n.start], "-->"); i >= 0 {
			piece = l.text[from+i+len("-->") : to]
		}
		piece, _, _ = strings.Cut(piece, "<!--")
		piece = strings.TrimSpace(piece)
		if times(lines, piece) == 1 || from == 0 && to == len(l.text) {
			return piece
		}
	}
}

func times(lines []textLine, piece string) (n int) {
	for _, l := range lines {
		n += strings.Count(l.text, piece)
	}
	return n
}
