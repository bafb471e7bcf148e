package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"godwit.dev/loadtest/measure"
)

// clusterReport is what a run of cluster.sh has measured: docs/results/knative.json.
type clusterReport struct {
	Time       string            `json:"time"`
	Commit     string            `json:"commit"`
	Machine    string            `json:"machine"`
	Processors int               `json:"processors"`
	Kernel     string            `json:"kernel"`
	Load       string            `json:"load"`     // before the cluster was up
	Versions   map[string]string `json:"versions"` // of what the cluster is made of
	Figures    []clusterFigure   `json:"figures"`
}

// A clusterFigure is one line of the table. Value is the median where N is more
// than one, with the least and the most of them.
type clusterFigure struct {
	ID    string   `json:"id"`
	What  string   `json:"what"`
	Value float64  `json:"value"`
	Unit  string   `json:"unit"`
	Min   *float64 `json:"min,omitempty"`
	Max   *float64 `json:"max,omitempty"`
	N     int      `json:"n,omitempty"`
	Note  string   `json:"note,omitempty"`
}

// wanted are the figures that a whole run has, so that none is lost on the way
// to the documents.
var wanted = []string{
	"image", "image-layers", "rendered-and-applied", "applied-to-ready", "applied-to-answered", "first-answer-from-zero", "last-request-to-no-replica",
	"zero-to-four-pods", "rate-meanwhile", "p95-meanwhile", "back-to-zero", "cpu-quota", "memory-limit", "threads",
	"over-memory-to-answered", "over-memory-refused", "canary-share", "rollback", "broken-answers", "event-from-zero", "job-of-an-event",
}

const (
	clusterBegin = "<!-- figures of knative.json, compared by e2e/knative:TestTheTableIsOfTheResults; written by make e2e-knative DOCS=1 -->"
)

// readFigures reads lines of tab-separated fields: id, what, values with spaces
// between them, unit, note.
func readFigures(r io.Reader) (all []clusterFigure, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			return nil, fmt.Errorf("want id, what, values, unit and note, got %q", line)
		}
		var values []float64
		for word := range strings.FieldsSeq(f[2]) {
			v, err := strconv.ParseFloat(word, 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("%s: want numbers, got %q", f[0], f[2])
			}
			values = append(values, v)
		}
		if len(values) == 0 {
			return nil, fmt.Errorf("%s: want a number, got none", f[0])
		}
		slices.Sort(values)
		one := clusterFigure{ID: f[0], What: f[1], Value: values[len(values)/2], Unit: f[3], Note: f[4]}
		if n := len(values); n > 1 {
			if n%2 == 0 {
				one.Value = (values[n/2-1] + values[n/2]) / 2
			}
			one.Min, one.Max, one.N = &values[0], &values[n-1], n
		}
		all = append(all, one)
	}
	return all, nil
}

// complete wants every figure once.
func (r *clusterReport) complete() error {
	var got []string
	for _, f := range r.Figures {
		got = append(got, f.ID)
	}
	for _, id := range wanted {
		if n := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != id })); n != 1 {
			return fmt.Errorf("want the figure %q once, got it %d times", id, n)
		}
	}
	if len(got) != len(wanted) {
		return fmt.Errorf("want %d figures, got %q", len(wanted), got)
	}
	return nil
}

// value is the figure as a table has it.
func (f *clusterFigure) value() string {
	number := func(v float64) string {
		digits := 0
		if abs := math.Abs(v); v != math.Trunc(v) && abs < 100 {
			digits = 1
			if abs < 10 {
				digits = 2
			}
		}
		return strconv.FormatFloat(v, 'f', digits, 64)
	}
	text := number(f.Value) + " " + f.Unit
	if f.N > 1 {
		text = fmt.Sprintf("median %s, %s to %s of %d", text, number(*f.Min), number(*f.Max), f.N)
	}
	return strings.TrimSpace(text)
}

// markdown is what stands between the marks.
func (r *clusterReport) markdown(w io.Writer) {
	var versions []string
	for _, name := range []string{"Kubernetes", "Knative Serving", "Knative Eventing", "Traefik", "containerd", "runc"} {
		if v := r.Versions[name]; v != "" {
			versions = append(versions, name+" "+v)
		}
	}
	fmt.Fprintf(w, "Measured %s on %d virtual processors (%s), kernel %s, load average before the cluster was up %s; %s; godwit %s.\n\n", r.Time, r.Processors, r.Machine, r.Kernel, r.Load, strings.Join(versions, ", "), r.Commit)
	fmt.Fprint(w, "| what | measured | |\n| --- | --- | --- |\n")
	for _, f := range r.Figures {
		fmt.Fprintf(w, "| %s | %s | %s |\n", f.What, f.value(), f.Note)
	}
}

// text is the same for a terminal.
func (r *clusterReport) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Figures {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.What, f.value(), f.Note)
	}
	return t.Flush()
}

// publish puts the table between the marks of the document, and what it is made
// of into results beside it.
func (r *clusterReport) publish(document string) error {
	if err := r.complete(); err != nil {
		return err
	}
	section := measure.Section{Path: document, Begin: clusterBegin}
	if _, err := section.Read(); err != nil { // before anything is written
		return err
	}
	var table bytes.Buffer
	r.markdown(&table)
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := measure.Replace(filepath.Join(filepath.Dir(document), "results", "knative.json"), append(data, '\n')); err != nil {
		return err
	}
	return section.Write(table.String())
}

// report prints the figures of a run, and with -docs publishes them. Versions
// are words NAME=VALUE behind the files.
func report(args []string) error {
	flags := flag.NewFlagSet("figures", flag.ExitOnError)
	r := clusterReport{Versions: map[string]string{}}
	docs := flags.String("docs", "", "the document to write into")
	flags.StringVar(&r.Time, "time", "", "when it was")
	flags.StringVar(&r.Commit, "commit", "", "what was measured")
	flags.StringVar(&r.Machine, "machine", "", "the processors' name")
	flags.IntVar(&r.Processors, "processors", 0, "how many there are")
	flags.StringVar(&r.Kernel, "kernel", "", "its release")
	flags.StringVar(&r.Load, "load", "", "the load average before")
	if err := flags.Parse(args); err != nil {
		return err
	}
	file, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer file.Close()
	if r.Figures, err = readFigures(file); err != nil {
		return err
	}
	for _, word := range flags.Args()[1:] {
		name, version, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("want NAME=VERSION, got %q", word)
		}
		r.Versions[name] = version
	}
	if err := r.text(os.Stdout); err != nil || *docs == "" {
		return err
	}
	return r.publish(*docs)
}
