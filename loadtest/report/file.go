package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"godwit.dev/loadtest"
	"godwit.dev/runtime/fault"
)

// end is a file's last line.
type end struct {
	Result      *loadtest.Result `json:"result"`
	Limit       *loadtest.Limit  `json:"slo,omitempty"`
	Interrupted bool             `json:"interrupted,omitempty"`
	Error       string           `json:"error,omitempty"`
}

// Writer writes a result file, JSON Lines: one of type "start", then "window"
// or "step" as they end, last "end". Each line is written at once, so what
// ends the process loses only what came after. Its methods may be called
// concurrently; the first error stays, and nothing is written after it.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

func (w *Writer) write(v any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	text, err := json.Marshal(v)
	if err == nil {
		_, err = w.w.Write(append(text, '\n'))
	}
	if err != nil {
		w.err = fault.New(fault.Internal, "report.Writer", "", "%w", err)
	}
}

// Start writes what is run.
func (w *Writer) Start(r *Run) {
	w.write(struct {
		Type string `json:"type"`
		*Run
	}{"start", r})
}

// Window writes a window that has ended.
func (w *Writer) Window(one *loadtest.Window) {
	w.write(struct {
		Type string `json:"type"`
		*loadtest.Window
	}{"window", one})
}

// Step writes a step of the search for a rate.
func (w *Writer) Step(s *loadtest.Step) {
	w.write(struct {
		Type string `json:"type"`
		*loadtest.Step
	}{"step", s})
}

// End writes the result of r, and returns the first error of all writing.
func (w *Writer) End(r *Recording) error {
	w.write(struct {
		Type string `json:"type"`
		end
	}{"end", end{r.Result, r.Limit, r.Interrupted, r.Error}})
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// maxFile bounds a result file, in bytes.
const maxFile = 2 << 30

// Read reads a result file, or what `godwit bench --json` printed. name is for
// errors. A file that ends before its end, as when its writer was killed, gives
// what is there, Interrupted, with a result of its windows.
//
// Errors: Invalid, where it is something else; TooLarge beyond 2 GiB.
func Read(name string, from io.Reader) (*Recording, error) {
	limited := &io.LimitedReader{R: from, N: maxFile}
	d := json.NewDecoder(limited)
	bad := func(format string, args ...any) error {
		if limited.N <= 0 {
			return fault.New(fault.TooLarge, "report.Read", name, "want at most %d bytes, got more", int64(maxFile))
		}
		return fault.New(fault.Invalid, "report.Read", name, format, args...).
			WithHint("Give what `godwit bench --out FILE.jsonl` or `--json` wrote.")
	}
	r := &Recording{}
	for n := 0; ; n++ {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if n > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			break
		}
		if err != nil {
			return nil, bad("want a result, got %w", err)
		}
		var head struct {
			Type    string `json:"type"`
			Version int    `json:"version"`
		}
		if !bytes.HasPrefix(raw, []byte("{")) || json.Unmarshal(raw, &head) != nil {
			return nil, bad("want an object, got %.60q", raw)
		}
		if n == 0 && head.Type == "" {
			return document(raw, bad)
		}
		if (n == 0) != (head.Type == "start") {
			return nil, bad("want one start, and it first, got %q as line %d", head.Type, n+1)
		}
		if r.Result != nil {
			return nil, bad("want nothing behind the end, got %q", head.Type)
		}
		if err := r.line(head.Type, raw); err != nil {
			return nil, bad("line %d: %w", n+1, err)
		}
		if r.Run.Version != Version {
			return nil, bad("want version %d, got %d", Version, r.Run.Version)
		}
	}
	if r.Result == nil {
		r.recover()
	}
	if err := whole(r.Result); err != nil {
		return nil, bad("%w", err)
	}
	return r, nil
}

func (r *Recording) line(kind string, raw []byte) error {
	switch kind {
	case "start":
		return json.Unmarshal(raw, &r.Run)
	case "window":
		var w loadtest.Window
		if err := json.Unmarshal(raw, &w); err != nil {
			return err
		}
		if err := sound(&w); err != nil {
			return err
		}
		r.Add(&w)
	case "step":
		var s loadtest.Step
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		if r.Limit == nil {
			r.Limit = &loadtest.Limit{}
			if o, err := loadtest.ParseObjective(r.Run.SLO); err == nil {
				r.Limit.Objective = *o
			}
		}
		r.Limit.Steps = append(r.Limit.Steps, s)
	case "end":
		var e end
		if err := json.Unmarshal(raw, &e); err != nil {
			return err
		}
		if e.Result == nil {
			return errors.New("want a result in the end, got none")
		}
		r.Result, r.Interrupted, r.Error = e.Result, e.Interrupted, e.Error
		if e.Limit != nil {
			r.Limit = e.Limit
		}
	}
	return nil // what a later version adds
}

// document reads what --json printed.
func document(raw []byte, bad func(string, ...any) error) (*Recording, error) {
	r := &Recording{Result: &loadtest.Result{}}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, bad("%w", err)
	}
	if r.Run.Version != Version || r.Result == nil || r.Protocol == "" {
		return nil, bad("want a result of version %d, got version %d", Version, r.Run.Version)
	}
	if err := whole(r.Result); err != nil {
		return nil, bad("%w", err)
	}
	windows := r.Windows
	r.Windows = nil
	for i := range windows {
		if err := sound(&windows[i]); err != nil {
			return nil, bad("window %d: %w", i+1, err)
		}
		r.Add(&windows[i])
	}
	return r, nil
}

// whole refuses results that no run has.
func whole(r *loadtest.Result) error {
	if r.OK < 0 || r.Sent < r.OK || r.Sent > 1e15 || !(r.Seconds >= 0 && r.Seconds < 1e9) || r.Connections < 0 || !(r.Rate >= 0 && r.Rate < 1e9) {
		return fmt.Errorf("want a result, got %d answers of %d requests in %g s", r.OK, r.Sent, r.Seconds)
	}
	return nil
}

// sound refuses windows that no run makes: arithmetic relies on it.
func sound(w *loadtest.Window) error {
	if !(w.Seconds >= 0 && w.Seconds < 1e9) || !(math.Abs(w.At) < 1e9) || w.OK < 0 || w.OK > 1e12 || w.Outstanding < 0 {
		return fmt.Errorf("want a time and counts, got %g s at %g with %d answers", w.Seconds, w.At, w.OK)
	}
	for name, n := range w.Errors {
		if n < 0 || n > 1e12 {
			return fmt.Errorf("want a count of %.40q, got %d", name, n)
		}
	}
	if s := w.Server; s != nil && (!(s.CPUSeconds >= 0 && s.CPUSeconds < 1e12) || s.RSS < 0) {
		return fmt.Errorf("want CPU time and memory, got %g s and %d bytes", s.CPUSeconds, s.RSS)
	}
	return nil
}
