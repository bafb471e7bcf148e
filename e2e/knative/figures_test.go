package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/loadtest/measure"
)

// The table of docs/benchmarks.md is what its results say, to the byte, and
// none of what a run measures is missing.
func TestTheTableIsOfTheResults(t *testing.T) {
	text, err := os.ReadFile("../../docs/results/knative.json")
	if err != nil {
		t.Fatal(err)
	}
	var r clusterReport
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if err := r.complete(); err != nil {
		t.Error(err)
	}
	got, err := (&measure.Section{Path: "../../docs/benchmarks.md", Begin: clusterBegin}).Read()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	r.markdown(&want)
	if diff := cmp.Diff(strings.Trim(want.String(), "\n"), got); diff != "" {
		t.Errorf("docs/benchmarks.md is not what `make e2e-knative DOCS=1` wrote with docs/results/knative.json (-want +got):\n%s", diff)
	}
}

func TestReadFigures(t *testing.T) {
	all, err := readFigures(strings.NewReader("a\tan a\t3 1 2\ts\t\nb\ta b\t4 2\tms\tnote\nc\ta c\t1234567.5\t\t\n"))
	if err != nil {
		t.Fatal(err)
	}
	one, two, three, four := 1.0, 2.0, 3.0, 4.0
	want := []clusterFigure{
		{ID: "a", What: "an a", Value: 2, Unit: "s", Min: &one, Max: &three, N: 3},
		{ID: "b", What: "a b", Value: 3, Unit: "ms", Min: &two, Max: &four, N: 2, Note: "note"},
		{ID: "c", What: "a c", Value: 1234567.5},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var values []string
	for _, f := range all {
		values = append(values, f.value())
	}
	if diff := cmp.Diff([]string{"median 2 s, 1 to 3 of 3", "median 3 ms, 2 to 4 of 2", "1234568"}, values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	for _, text := range []string{"a\tan a\t\ts\t\n", "a\tan a\tfast\ts\t\n", "a\tan a\tNaN\ts\t\n", "a\tan a\t1\ts\n"} {
		if got, err := readFigures(strings.NewReader(text)); err == nil {
			t.Errorf("%q: want an error, got %+v", text, got)
		}
	}
}

// A run that has lost a figure, or has one twice, changes no document.
func TestIncompleteRunsAreNotPublished(t *testing.T) {
	dir := t.TempDir()
	document := filepath.Join(dir, "benchmarks.md")
	const before = "head\n" + clusterBegin + "\nold\n" + measure.SectionEnd + "\ntail\n"
	if err := os.WriteFile(document, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "results"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &clusterReport{Time: "now", Versions: map[string]string{"runc": "1"}}
	for _, id := range wanted {
		r.Figures = append(r.Figures, clusterFigure{ID: id, What: "the " + id, Value: 1, Unit: "s"})
	}
	all := r.Figures
	for name, figures := range map[string][]clusterFigure{"lost": all[1:], "twice": append(all[:len(all):len(all)], all[0]), "unknown": append(all[:len(all):len(all)], clusterFigure{ID: "x"})} {
		r.Figures = figures
		if err := r.publish(document); err == nil {
			t.Errorf("%s: published", name)
		}
		if text, err := os.ReadFile(document); err != nil || string(text) != before {
			t.Errorf("%s: the document was changed to %q (%v)", name, text, err)
		}
	}
	r.Figures = all
	if err := r.publish(document); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(document)
	if err != nil || !strings.HasPrefix(string(text), "head\n"+clusterBegin) || !strings.HasSuffix(string(text), measure.SectionEnd+"\ntail\n") ||
		strings.Contains(string(text), "old") || !strings.Contains(string(text), "| the rollback | 1 s |") {
		t.Errorf("the document is %q (%v)", text, err)
	}
}
