package spec

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode"

	"godwit.dev/runtime/fault"
)

// Problem is one thing that is wrong in a spec. It is the Err of the
// fault.Error that reports it, so that a program can find its place.
type Problem struct {
	Path    string // the key, as in "targets.awslambda.memory" or "models[0].path"; "" for the file
	Message string // what was wanted and what was found
	Line    int    // from 1; 0 when the problem has no place, as for a file that is too large
	Column  int    // in characters, from 1
	Excerpt string // the line and a caret under the place, without a last newline; "" with no place
}

// Error is the path, the message and, on lines of its own, the excerpt.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	return b.String()
}

// Problems lists the faults that an error of this package joins, in the order
// of the file; nil for nil. Each has code BadConfig and a hint.
func Problems(err error) []*fault.Error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*fault.Error
		for _, e := range many.Unwrap() {
			all = append(all, Problems(e)...)
		}
		return all
	}
	if f := fault.Of(err); f != nil {
		return []*fault.Error{f}
	}
	return nil
}

// place is where something stands in the file. The zero place is nowhere.
type place struct{ line, column int }

// maxProblems: after so many the file is the wrong file, and the rest is noise.
const maxProblems = 50

// report collects problems, so that a person mends a file once and not ten times.
type report struct {
	file  string
	lines []string
	list  []*fault.Error
	more  int // problems beyond maxProblems
	// docs is what each key is for, by path: the hint where there is no better one.
	docs map[string]string
}

func newReport(file string, data []byte) *report {
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	return &report{file: file, lines: strings.Split(text, "\n"), docs: map[string]string{}}
}

// add notes one problem; with hint "" the key's own sentence is the hint.
func (r *report) add(at place, path, hint, format string, args ...any) {
	if len(r.list) == maxProblems {
		r.more++
		return
	}
	if doc := r.docs[path]; hint == "" && doc != "" {
		hint = path[strings.LastIndexByte(path, '.')+1:] + ": " + doc
	}
	subject := r.file
	if at.line > 0 {
		subject = fmt.Sprintf("%s:%d:%d", r.file, at.line, at.column)
	}
	p := &Problem{Path: path, Message: fmt.Sprintf(format, args...), Line: at.line, Column: at.column, Excerpt: r.excerpt(at)}
	r.list = append(r.list, &fault.Error{Op: "spec.Parse", Subject: subject, Code: fault.BadConfig, Err: p, Hint: hint})
}

// err is everything that was added, sorted by place, or nil.
func (r *report) err() error {
	if len(r.list) == 0 {
		return nil
	}
	at := func(i int) *Problem { return r.list[i].Err.(*Problem) }
	sort.SliceStable(r.list, func(i, j int) bool {
		a, b := at(i), at(j)
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	all := make([]error, len(r.list))
	for i, f := range r.list {
		all[i] = f
	}
	if r.more > 0 {
		all = append(all, fault.New(fault.BadConfig, "spec.Parse", r.file, "%d more problems", r.more).
			WithHint("Mend those above first."))
	}
	return errors.Join(all...)
}

// excerptWidth is how many characters of a line an excerpt shows: a long line
// must not push the caret out of a terminal.
const excerptWidth = 100

// excerpt shows the line at at with a caret under its column, or "".
func (r *report) excerpt(at place) string {
	if at.line < 1 || at.line > len(r.lines) {
		return ""
	}
	line := []rune(r.lines[at.line-1])
	column := min(max(at.column, 1), len(line)+1) - 1 // from 0
	from := 0
	if column >= excerptWidth {
		from = column - excerptWidth/2
	}
	shown := line[from:min(len(line), from+excerptWidth)]
	text := strings.Map(func(c rune) rune {
		switch {
		case c == '\t':
			return ' ' // one column, as the caret counts
		case !unicode.IsPrint(c):
			return '?' // what steers a terminal stays out of it
		}
		return c
	}, string(shown))
	margin := fmt.Sprintf("%4d | ", at.line)
	return margin + strings.TrimRight(text, " ") + "\n" + strings.Repeat(" ", len(margin)-2) + "| " + strings.Repeat(" ", column-from) + "^"
}
