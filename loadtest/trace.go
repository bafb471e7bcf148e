package loadtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// maxTraceLine bounds a line of a trace, in bytes.
const maxTraceLine = 1 << 20

// offsetNames are the columns and keys that say when a request came, seconds or
// a time, the first that is there.
var offsetNames = []string{"offset", "offset_seconds", "seconds", "timestamp", "time", "ts"}

// ReadTrace yields when requests came, from the first on where the trace has
// times of day, else as they are. A trace has a request on each line: a number
// of seconds; or CSV whose first line names a column "offset",
// "offset_seconds", "seconds", "timestamp", "time" or "ts"; or a JSON object
// with such a key. Values are seconds, or times as of RFC 3339. Lines that are
// empty or begin with # are nothing. They must not fall.
//
// It reads as it is asked. Errors: Invalid, with the line's number; the reader's
// own. After one it ends.
func ReadTrace(r io.Reader) iter.Seq2[time.Duration, error] {
	return func(yield func(time.Duration, error) bool) {
		t := &traceReader{column: -1}
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 64<<10), maxTraceLine)
		for lines.Scan() {
			t.line++
			at, there, err := t.read(bytes.TrimSpace(lines.Bytes()))
			if !there && err == nil {
				continue
			}
			if !yield(at, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(0, fault.New(fault.Invalid, "loadtest.ReadTrace", "", "line %d: %w", t.line+1, err))
		}
	}
}

type traceReader struct {
	line   int
	column int // of CSV; -1 before its head
	first  time.Time
	last   time.Duration
}

func (t *traceReader) bad(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "loadtest.ReadTrace", "line "+strconv.Itoa(t.line), format, args...).
		WithHint("A trace has one request on each line: seconds from the start, CSV with a column \"offset\" or \"timestamp\", or JSON with such a key.")
}

func (t *traceReader) read(line []byte) (at time.Duration, there bool, err error) {
	if len(line) == 0 || line[0] == '#' {
		return 0, false, nil
	}
	var text string
	switch {
	case line[0] == '{':
		var object map[string]json.RawMessage
		if err := json.Unmarshal(line, &object); err != nil {
			return 0, false, t.bad("%w", err)
		}
		i := slices.IndexFunc(offsetNames, func(name string) bool { _, ok := object[name]; return ok })
		if i < 0 {
			return 0, false, t.bad("want one of %s, got none", strings.Join(offsetNames, ", "))
		}
		text = string(object[offsetNames[i]])
		if s := ""; json.Unmarshal(object[offsetNames[i]], &s) == nil {
			text = s
		}
	case t.column >= 0:
		cells := strings.Split(string(line), ",")
		if t.column >= len(cells) {
			return 0, false, t.bad("want a value in column %d, got %d columns", t.column+1, len(cells))
		}
		text = cells[t.column]
	default:
		text = string(line)
		if t.last == 0 && t.first.IsZero() && t.head(text) {
			return 0, false, nil
		}
	}
	at, err = t.value(strings.Trim(strings.TrimSpace(text), `"`))
	return at, err == nil, err
}

// head looks for the column in what may be the first line of CSV.
func (t *traceReader) head(text string) bool {
	cells := strings.Split(strings.ToLower(text), ",")
	for i := range cells {
		cells[i] = strings.Trim(strings.TrimSpace(cells[i]), `"`)
	}
	for _, name := range offsetNames {
		if i := slices.Index(cells, name); i >= 0 {
			t.column = i
			return true
		}
	}
	return false
}

// maxOffset bounds a trace: a year.
const maxOffset = 366 * 24 * time.Hour

func (t *traceReader) value(text string) (time.Duration, error) {
	var at time.Duration
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds >= 0 && seconds <= maxOffset.Seconds()) {
			return 0, t.bad("want seconds from 0 to a year, got %q", text)
		}
		at = time.Duration(seconds * float64(time.Second))
	} else {
		when, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return 0, t.bad("want seconds, or a time such as 2026-01-31T12:00:00Z, got %.60q", text)
		}
		if t.first.IsZero() {
			t.first = when
		}
		if at = when.Sub(t.first); at > maxOffset {
			return 0, t.bad("want times within a year, got %q", text)
		}
	}
	if at < t.last {
		return 0, t.bad("want times that do not fall, got %v after %v", at, t.last).WithHint("Sort the trace.")
	}
	t.last = at
	return at, nil
}
