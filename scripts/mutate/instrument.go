package main

import (
	"fmt"
	"slices"
	"strings"
)

// What lies beside the binary: the number of the mistake to make, or traceAll
// for none and a list of those that the tests come by, one a line.
const (
	madeFile  = "made"
	traceFile = "trace"
	traceAll  = "-1"
)

// The fates of a mutant.
const (
	survived  = "survived"
	unreached = "not reached" // by any test; it counts as survived
	killed    = "killed"
	timedOut  = "timed out" // counts as killed
)

// mutant is one mistake.
type mutant struct {
	id         int
	file       *source
	line       int
	in         string // the function
	what       string // kind of mistake, or the name that a file of mistakes gives it
	from, to   string // in short
	start, end int    // what of the file's text it replaces

	// wrap writes what replaces the text: inner is the text with the switches of
	// the mistakes inside it.
	wrap func(inner string) string

	fate string
	by   string // the test that saw it
}

func (m *mutant) String() string {
	path := m.file.path[strings.LastIndexByte(m.file.path, '/')+1:]
	s := fmt.Sprintf("%s:%d %s: %s", path, m.line, m.in, m.what)
	if m.from != "" {
		s += fmt.Sprintf(": `%s`", m.from)
	}
	if m.to != "" {
		s += fmt.Sprintf(" → `%s`", m.to)
	}
	return s
}

// instrument is the text of a file with all its mutants in it, each switched
// off. Lines stay where they are, but for mistakes that a file lists.
func instrument(s *source, mutants []*mutant) string {
	var own []*mutant
	for _, m := range mutants {
		if m.file == s {
			own = append(own, m)
		}
	}
	slices.SortStableFunc(own, func(a, b *mutant) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end // what holds others comes first
	})
	var write func(from, to int) string
	write = func(from, to int) string {
		var out strings.Builder
		for len(own) > 0 && own[0].start < to && own[0].end <= to {
			m := own[0]
			own = own[1:]
			out.Write(s.text[from:m.start])
			out.WriteString(m.wrap(write(m.start, m.end)))
			from = m.end
		}
		out.Write(s.text[from:to])
		return out.String()
	}
	return write(0, len(s.text))
}

// switches is the file that an instrumented package gets besides: which mistake
// is made, and a list of those that a run came by. Both lie beside the binary
// and not in its environment, so that a process that tests start of it knows
// too, whatever environment they give it.
func switches(name string) string { return "package " + name + switchesText }

const switchesText = `

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

var mutateAt, mutateTrace = mutateLoad()

var mutateSeen sync.Map

func mutateLoad() (int, *os.File) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	dir := filepath.Dir(self)
	text, err := os.ReadFile(filepath.Join(dir, "` + madeFile + `"))
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		panic(err)
	}
	if n != ` + traceAll + ` {
		return n, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, "` + traceFile + `"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	return n, f
}

func mutateIs(n int) bool {
	if mutateTrace != nil {
		if _, seen := mutateSeen.LoadOrStore(n, true); !seen {
			mutateTrace.WriteString(strconv.Itoa(n) + "\n")
		}
	}
	return n == mutateAt
}

func mutateValue[T any](n int, right, wrong T) T {
	if mutateIs(n) {
		return wrong
	}
	return right
}
`
