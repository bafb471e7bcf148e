//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/internal/golden"
	"godwit.dev/loadtest/measure"
)

// sample is a run with all that a table may hold: peers with all figures, with
// some, and with none.
func sample() *report {
	pairs := func(ours, other float64) []measure.Pair {
		return []measure.Pair{{Ours: ours, Other: other}, {Ours: 1.1 * ours, Other: other}, {Ours: ours, Other: 1.25 * other}}
	}
	python := &peerResult{Name: "fastapi", Title: "FastAPI + onnxruntime", Language: "Python", Note: "uvicorn", Versions: map[string]string{"orjson": "3.1", "fastapi": "0.1"},
		Load: "0.20", Setting: "T: two workers, one thread a run", Settled: true, Seconds: 60,
		Sweep: []tried{{Setting: "L: one worker, two threads a run", Ratio: 12.345}, {Setting: "T: two workers, one thread a run", Ratio: 9}, {Setting: "T with batching", Missing: "it ended"}}}
	python.add(throughput, smallJSON, "/s", pairs(20000, 2000), false)
	python.add(cpuTime, smallJSON, "µs", pairs(30, 600), true)
	python.add(throughput, imageJSON, "/s", pairs(200, 10), false)
	python.add(cpuTime, imageJSON, "µs", pairs(3000, 90000), true)
	for _, at := range points {
		python.add(p50, at.name, "ms", pairs(0.2, 1), true)
		python.add(p99, at.name, "ms", pairs(1, 12.5), true)
	}
	python.add(memory, "after all loads", "MB", pairs(100, 250)[:1], true)
	python.add(coldStart, "exec to the first answer", "ms", pairs(60, 1500), true)
	node := &peerResult{Name: "node", Title: "fastify | onnxruntime-node", Language: "Node.js", Setting: "L: one worker, two threads a run", Load: "0.40", Seconds: 31,
		Partly: "5m0s for one peer were over"}
	node.add(throughput, smallJSON, "/s", pairs(20000, 11000), false)
	node.add(cpuTime, smallJSON, "µs", pairs(30, 60), true)
	rust := &peerResult{Name: "rust", Title: "axum + ort", Language: "Rust", Versions: map[string]string{"axum": "0.8"}, Missing: "it gives no figure: wrong answer: want 1, got 2"}
	return &report{Host: measure.Host{Time: "2026-01-02 03:04 UTC", Machine: "A processor", Kernel: "6.1", Processors: 2, Load: "0.1", Go: "go1"},
		Library: "1.31.1", Subject: "godwit 1", Peers: []*peerResult{python, node, rust}}
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	sample().markdown(&b)
	golden.Check(t, "peers.md", b.Bytes())
	b.Reset()
	sample().text(&b)
	golden.Check(t, "peers.txt", b.Bytes())
	quick := sample()
	quick.Quick = true
	b.Reset()
	quick.markdown(&b)
	if !strings.Contains(b.String(), "A quick run on a busy machine") {
		t.Error("want a quick run to say so")
	}
}

// A number above 1 is in our favour, whether more or less is better.
func TestBetter(t *testing.T) {
	r := sample().Peers[0]
	for _, c := range []struct {
		what, load string
		want       float64
	}{{throughput, smallJSON, 10}, {cpuTime, smallJSON, 20}, {memory, "after all loads", 2.5}, {coldStart, "exec to the first answer", 25}} {
		if got := r.figure(c.what, c.load).Better.Median; got != c.want {
			t.Errorf("%s: want %g, got %g", c.what, c.want, got)
		}
	}
}

// All samples are in the file, each figure on a line of its own.
func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results", "peers.json")
	want := sample()
	if err := want.save(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	golden.Check(t, "peers.json", text)
	t.Setenv("HOME", "/home/somebody")
	want.Peers[0].Command = []string{"/home/somebody/.cache/peer"}
	if err := want.save(path); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || bytes.Contains(text, []byte("somebody")) || !bytes.Contains(text, []byte(`"~/.cache/peer"`)) {
		t.Errorf("want no home of anybody in it: %v, %s", err, text)
	}
	for i, p := range want.Peers {
		if len(got.Peers[i].Figures) != len(p.Figures) {
			t.Errorf("%s: want %d figures, got %d", p.Name, len(p.Figures), len(got.Peers[i].Figures))
		}
	}
	if lines := bytes.Count(text, []byte(`{"What":`)); lines != bytes.Count(text, []byte("\n {\"What\":")) {
		t.Errorf("want each of %d figures on its line", lines)
	}
}

// The section goes between the marks, twice the same; the rest stays. Without
// marks nothing is written.
func TestPublish(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	f := &flags{docs: page, plots: filepath.Join(dir, "plots")}
	if err := os.WriteFile(page, []byte("# Head\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := sample().publish(f); err == nil {
		t.Error("want an error without marks")
	}
	if err := os.WriteFile(page, []byte("# Head\n\n"+docsBegin+"\n"+measure.SectionEnd+"\n\n# Tail\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var before string
	for range 2 {
		if err := sample().publish(f); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# Head\n\n"+docsBegin) || !strings.HasSuffix(string(text), measure.SectionEnd+"\n\n# Tail\n") || before != "" && before != string(text) {
			t.Errorf("want the section between the marks, got\n%s", text)
		}
		before = string(text)
	}
	for _, name := range sample().drawn() {
		svg, err := os.ReadFile(filepath.Join(dir, "plots", name))
		if err != nil || !bytes.Contains(svg, []byte("<svg")) || !bytes.Contains(svg, []byte("Godwit")) {
			t.Errorf("%s: want a plot with ours in it, got %v", name, err)
		}
		if !strings.Contains(before, "plots/"+name) {
			t.Errorf("want %s in the page", name)
		}
	}
}

// What the documents say is what docs/results has, and so are the plots.
func TestSection(t *testing.T) {
	text, err := os.ReadFile("../../docs/results/peers.json")
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	got, err := (&measure.Section{Path: "../../docs/benchmarks.md", Begin: docsBegin}).Read()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	r.markdown(&want)
	if d := cmp.Diff(strings.Trim(want.String(), "\n"), got); d != "" {
		t.Errorf("docs/benchmarks.md is not what docs/results/peers.json says; make bench-peers writes both (-want +got)\n%s", d)
	}
	for name, svg := range r.plots() {
		if got, err := os.ReadFile(filepath.Join("../../docs/plots", name)); err != nil || !bytes.Equal(got, svg) {
			t.Errorf("docs/plots/%s is not what docs/results/peers.json says; make bench-peers writes both", name)
		}
	}
}
