//go:build linux && cgo

package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"godwit.dev/loadtest/measure"
)

// target is a goal's number: at least or at most.
type target struct {
	Least bool
	Value float64
	set   bool
}

func least(v float64) target { return target{true, v, true} }
func most(v float64) target  { return target{false, v, true} }

func (t target) reached(v float64) bool {
	if t.Least {
		return v >= t.Value
	}
	return v <= t.Value
}

func (t target) String() string {
	if !t.set {
		return "–"
	}
	sign := "≤"
	if t.Least {
		sign = "≥"
	}
	return fmt.Sprintf("%s %g", sign, t.Value)
}

// figure is one measured line of the table.
type figure struct {
	Goal           int
	What, How      string
	Unit           string // "" for a ratio
	Ship, Moonshot target
	Got            spread
	Absolute       string // what the two sides took
	Note           string // what to know when reading it
	Missing        string // why it was not measured; the rest is empty then
}

// mark says whether the median reaches t, and whether the range leaves that open.
func (f *figure) mark(t target) string {
	switch {
	case f.Missing != "" || !t.set:
		return "–"
	case t.reached(f.Got.Min) != t.reached(f.Got.Max) && t.reached(f.Got.Median):
		return "yes, within noise"
	case t.reached(f.Got.Min) != t.reached(f.Got.Max):
		return "no, within noise"
	case t.reached(f.Got.Median):
		return "yes"
	}
	return "no"
}

// name is the goal's number, or a dash for a figure without a goal.
func (f *figure) name() string {
	if f.Goal == 0 {
		return "–"
	}
	return strconv.Itoa(f.Goal)
}

func (f *figure) value() string {
	if f.Missing != "" {
		return "not measured"
	}
	s := number(f.Got.Median)
	if f.Unit != "" {
		s += " " + f.Unit
	}
	return s
}

func (f *figure) spreadText() string {
	if f.Missing != "" {
		return ""
	}
	return fmt.Sprintf("%s–%s, n=%d", number(f.Got.Min), number(f.Got.Max), f.Got.N)
}

// runReport is everything one run of this program found.
type runReport struct {
	Time       string    `json:"time"`
	Machine    string    `json:"machine"`
	Kernel     string    `json:"kernel"`
	Processors int       `json:"processors"`
	Load       string    `json:"load"` // the load average before the run: who else was busy
	Go         string    `json:"go"`
	Library    string    `json:"onnxruntime"`
	Subject    string    `json:"subject"`
	Quick      bool      `json:"quick"`
	Seconds    float64   `json:"seconds"`
	Remark     string    `json:"remark,omitempty"` // on how the report came about
	Figures    []*figure `json:"figures"`
}

func (r *runReport) text(w io.Writer) {
	fmt.Fprintf(w, "%s, %d processors, kernel %s, load average before %s\n%s, ONNX Runtime %s, %s\n\n", r.Machine, r.Processors, r.Kernel, r.Load, r.Go, r.Library, r.Subject)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "goal\twhat\tmeasured\trange\tship\t\tmoonshot\t\tabsolute")
	for _, f := range r.Figures {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%v\t%s\t%v\t%s\t%s\n", f.name(), f.What, f.value(), f.spreadText(), f.Ship, f.mark(f.Ship), f.Moonshot, f.mark(f.Moonshot), f.Absolute)
	}
	t.Flush()
	seen := map[string]bool{}
	for _, f := range r.Figures {
		for _, note := range []string{f.Note, f.Missing} {
			if text := fmt.Sprintf("goal %d: %s", f.Goal, note); note != "" && !seen[text] {
				seen[text] = true
				fmt.Fprintln(w, text)
			}
		}
	}
}

func (r *runReport) markdown(w io.Writer) {
	kind := ""
	if r.Quick {
		kind = " A quick run: few and short blocks."
	}
	fmt.Fprintf(w, "Measured %s in %.0f minutes on %d virtual processors (%s), kernel %s, load average before the run %s; %s, ONNX Runtime %s, %s.%s\n\n",
		r.Time, math.Ceil(r.Seconds/60), r.Processors, r.Machine, r.Kernel, r.Load, r.Go, r.Library, r.Subject, kind)
	fmt.Fprint(w, "| goal | what | measured | range | ship | moonshot | absolute |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, f := range r.Figures {
		fmt.Fprintf(w, "| %s | %s; %s | **%s** | %s | %v: %s | %v: %s | %s |\n", f.name(), f.What, f.How, f.value(), f.spreadText(),
			f.Ship, f.mark(f.Ship), f.Moonshot, f.mark(f.Moonshot), f.Absolute)
	}
	fmt.Fprintln(w)
	for _, f := range r.Figures {
		for _, note := range []string{f.Note, f.Missing} {
			if note != "" {
				fmt.Fprintf(w, "- Goal %d, %s: %s\n", f.Goal, f.What, note)
			}
		}
	}
}

const (
	figuresBegin = "<!-- figures of goals.json, compared by loadtest/goals:TestTheTableIsOfTheResults; written by make bench DOCS=1 -->"
)

// publish puts the Markdown between the marks of the file, and the report that
// it was made of into results/goals.json beside the file.
func (r *runReport) publish(path string) error {
	section := measure.Section{Path: path, Begin: figuresBegin}
	if _, err := section.Read(); err != nil { // before anything is written
		return err
	}
	results := filepath.Join(filepath.Dir(path), "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	if err := r.save(filepath.Join(results, "goals.json")); err != nil {
		return err
	}
	var b bytes.Buffer
	r.markdown(&b)
	return section.Write(b.String())
}

func us(ns float64) string { return number(ns/1e3) + " µs" }

func since(t time.Time) string { return fmt.Sprintf("%.0f s", time.Since(t).Seconds()) }
