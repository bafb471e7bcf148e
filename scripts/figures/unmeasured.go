package main

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// kinds are what a number may be that nobody here measured.
var kinds = map[string]string{
	"platform": "what a platform, a protocol or another program allows, does or weighs, from its own documents",
	"setting":  "a bound, a default or a step of ours, which the code holds",
	"given":    "what a measurement, a test or an example is given: the size of a model, a rate, a share",
	"goal":     "what was set to be reached",
	"price":    "a price from infra/data, or what follows from some by arithmetic",
	"version":  "a version, or the number of a section",
	"quoted":   "what others measured and published, with the source beside it",
}

// declared is a line of unmeasured.txt: a piece of a document whose numbers
// were not measured.
type declared struct {
	line              int
	kind, file, piece string

	at, from, to int // where the piece stands: line, and bytes in it
	used         bool
}

var declaration = regexp.MustCompile(`^(\S+) (\S+\.md): (.+)$`)

func readUnmeasured(root fs.FS) (all []*declared, problems []problem) {
	text, err := fs.ReadFile(root, unmeasuredFile)
	if err != nil {
		return nil, []problem{{file: unmeasuredFile, text: err.Error()}}
	}
	for i, l := range strings.Split(string(text), "\n") {
		if l = strings.TrimSpace(l); l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		m := declaration.FindStringSubmatch(l)
		if m == nil || kinds[m[1]] == "" {
			problems = append(problems, problem{file: unmeasuredFile, line: i + 1, text: fmt.Sprintf("want KIND FILE: PIECE, with a kind of %s, got %q",
				strings.Join(slices.Sorted(maps.Keys(kinds)), ", "), l)})
			continue
		}
		all = append(all, &declared{line: i + 1, kind: m[1], file: m[2], piece: m[3]})
	}
	return all, problems
}

// find looks for the piece, which must stand in the document once: a number
// alone would free all of its likes.
func (g *declared) find(lines []textLine) {
	if times(lines, g.piece) != 1 {
		return
	}
	for _, l := range lines {
		if i := strings.Index(l.text, g.piece); i >= 0 {
			g.at, g.from, g.to = l.number, i, i+len(g.piece)
		}
	}
}

// covers says whether the number lies in the piece.
func (g *declared) covers(line int, n numeral) bool {
	if g.at != line || n.start < g.from || n.end > g.to {
		return false
	}
	g.used = true
	return true
}
