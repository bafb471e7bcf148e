//go:build linux && cgo

package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/loadtest/measure"
)

// The table of docs/benchmarks.md is what its results say, to the byte.
func TestTheTableIsOfTheResults(t *testing.T) {
	r, err := readReport("../../docs/results/goals.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&measure.Section{Path: "../../docs/benchmarks.md", Begin: figuresBegin}).Read()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	r.markdown(&want)
	if diff := cmp.Diff(strings.Trim(want.String(), "\n"), got); diff != "" {
		t.Errorf("docs/benchmarks.md is not what `make bench DOCS=1` wrote with docs/results/goals.json (-want +got):\n%s", diff)
	}
}

// What is saved comes back, and what was not measured has no value.
func TestSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	want := &runReport{Time: "now", Processors: 2, Seconds: 60, Figures: []*figure{
		{Goal: 3, What: "added CPU, small", How: "how", Unit: "µs", Got: spread{Median: 7, Min: 6, Max: 8, N: 12}, Ship: most(12), Moonshot: most(6), Absolute: "30 µs", Note: "a note"},
		{Goal: 7, What: "batching", Got: spreadOf(nil), Missing: "it was refused", Ship: least(0.9)},
		{What: "adapter, knative", Unit: "µs", Got: spread{Median: 1, Min: 1, Max: 1, N: 1}},
	}}
	if err := want.save(path); err != nil {
		t.Fatal(err)
	}
	got, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	nan := cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{}), nan); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`{"id":"3-added-cpu-small","goal":3,"what":"added CPU, small","how":"how","value":7,"unit":"µs","min":6,"max":8,"n":12,"ship":{"least":false,"value":12,"reached":"yes"},"moonshot":{"least":false,"value":6,"reached":"no, within noise"},"absolute":"30 µs","note":"a note"}`,
		`{"id":"7-batching","goal":7,"what":"batching","unit":"","ship":{"least":true,"value":0.9,"reached":"–"},"missing":"it was refused"}`,
		`{"id":"adapter-knative","goal":0,`,
	} {
		if !strings.Contains(string(text), "\n    "+line) {
			t.Errorf("want a line\n%s\ngot\n%s", line, text)
		}
	}
	want.Figures = append(want.Figures, &figure{Goal: 7, What: "Batching"})
	if err := want.save(path); err == nil || !strings.Contains(err.Error(), `"7-batching" twice`) {
		t.Errorf("two figures of one name: want an error that says so, got %v", err)
	}
}

// Table and results are written together: of the second the first can be made.
func TestPublishWritesResults(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte(figuresBegin+"\n"+measure.SectionEnd+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &runReport{Time: "now", Figures: []*figure{
		{Goal: 3, What: "added CPU", Got: spread{Median: 7.04, Min: 6, Max: 8.123456, N: 12}, Unit: "µs", Ship: most(12)},
		{Goal: 7, What: "batching", Missing: "it was refused"},
	}}
	if err := r.publish(page); err != nil {
		t.Fatal(err)
	}
	between, err := (&measure.Section{Path: page, Begin: figuresBegin}).Read()
	if err != nil {
		t.Fatal(err)
	}
	again, err := readReport(filepath.Join(dir, "results", "goals.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	again.markdown(&b)
	if diff := cmp.Diff(strings.Trim(b.String(), "\n"), between); diff != "" {
		t.Errorf("page (-results +page):\n%s", diff)
	}
}
