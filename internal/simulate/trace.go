package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"godwit.dev/runtime/fault"
)

// Trace is a Source that was read from files, with what they say of their
// functions. Close it.
type Trace struct {
	// Functions are in the order in which the files name them first;
	// Arrival.Function counts them.
	Functions []TraceFunction
	Requests  int64
	// Until is the time of the last arrival, or the end of its minute.
	Until time.Duration

	next  func() (Arrival, error)
	close func() error
}

// TraceFunction is a function of a trace.
type TraceFunction struct {
	Name     string // owner/app/function, or app/function
	Requests int64
	// MemoryMB is what its app was given on average; 0 where the trace does not say.
	MemoryMB float64
}

// Next implements Source. Errors: Invalid for what is no such trace, with the line.
func (t *Trace) Next() (Arrival, error) { return t.next() }

// Close closes the files.
func (t *Trace) Close() error { return t.close() }

// Open opens a file of a trace. Files are read more than once.
type Open func() (io.ReadCloser, error)

// What a trace may have at most; anything larger is no trace of Azure's.
const (
	traceLine      = 64 << 10
	traceFunctions = 200_000
	// traceMinute is of one function in a minute, and of all together four times that.
	traceMinute = 1_000_000
)

// lines reads a file of comma-separated lines without quotes, with a head.
type lines struct {
	name string
	file io.ReadCloser
	s    *bufio.Scanner
	n    int
}

func openLines(name string, open Open) (*lines, error) {
	f, err := open()
	if err != nil {
		return nil, fmt.Errorf("simulate.Trace %s: %w", name, err)
	}
	l := &lines{name: name, file: f, s: bufio.NewScanner(f)}
	l.s.Buffer(make([]byte, 4096), traceLine)
	return l, nil
}

// next is the next line that is not empty, io.EOF behind the last.
func (l *lines) next() (string, error) {
	for l.s.Scan() {
		l.n++
		if text := l.s.Text(); text != "" {
			return text, nil
		}
	}
	if err := l.s.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			l.n++
			return "", l.bad("want lines of at most %d bytes", traceLine)
		}
		return "", fmt.Errorf("simulate.Trace %s: %w", l.name, err)
	}
	return "", io.EOF
}

// head reads the first line, which must begin like that.
func (l *lines) head(want string) error {
	text, err := l.next()
	if errors.Is(err, io.EOF) {
		return l.bad("want a head that begins with %q, got an empty file", want)
	}
	if err == nil && (len(text) < len(want) || text[:len(want)] != want) {
		return l.bad("want a head that begins with %q, got %.80q", want, text)
	}
	return err
}

func (l *lines) bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "simulate.Trace", fmt.Sprintf("%s line %d", l.name, l.n), format, args...)
}

// names gives functions their numbers.
type names struct {
	index map[string]int
	list  []TraceFunction
}

func newNames() *names { return &names{index: map[string]int{}} }

// of is the number of the function with that name, a new one if it has none.
func (n *names) of(l *lines, name string) (int, error) {
	if k, ok := n.index[name]; ok {
		return k, nil
	}
	k := len(n.list)
	if k == traceFunctions {
		return 0, l.bad("want at most %d functions", traceFunctions)
	}
	n.index[name] = k
	n.list = append(n.list, TraceFunction{Name: name})
	return k, nil
}
