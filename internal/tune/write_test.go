package tune

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// found is a report that has chosen latency for the model of dir.
func found(t *testing.T, dir, text string) *Report {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, spec.FileName), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	low, high := 1.27, 1.35
	return &Report{Format: Format, Time: "2026-11-23T15:00:00Z", Goal: Throughput, Machine: Machine{Processor: "A\nCPU", Processors: 2}, Chosen: 1,
		Gain:       &Gain{Candidate: 1, Ratio: 1.31, Low: &low, High: &high, Pairs: 12, Confidence: 0.99},
		Candidates: []Line{{Threads: "auto"}, {Threads: "latency", shape: Shape{CPUs: 1}, setting: Setting{Threads: spec.Threads{Mode: "latency"}}}},
		Changes:    []Edited{{"models[0].threads", "auto", "latency"}}, Notes: []string{},
		dir: dir, text: []byte(text), changes: []Change{word("models[0].threads", "latency")}}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	r := found(t, dir, "model: a.onnx\n")
	if err := r.Write(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, spec.FileName))
	if err != nil {
		t.Fatal(err)
	}
	want := "models:\n  - path: a.onnx\n    # godwit tune 2026-11-23: threads for throughput: 1.31 times (1.27 to 1.35, 12 pairs) the default; 1 CPU; A CPU, 2 processors; tune.json\n    threads: latency\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(filepath.Join(dir, spec.FileName)); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("got mode %v, %v, want that of the old file", info.Mode(), err)
	}
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	var evidence Report
	if err := json.Unmarshal(text, &evidence); err != nil || evidence.Gain.Ratio != 1.31 || evidence.Changes[0].Now != "latency" {
		t.Errorf("got %s, %v, want the report", text, err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 2 {
		t.Errorf("got %v, %v, want the two files", names, err)
	}
}

// A file that somebody has changed meanwhile is theirs.
func TestWriteRefusesChangedFile(t *testing.T) {
	dir := t.TempDir()
	r := found(t, dir, "model: a.onnx\n")
	if err := os.WriteFile(filepath.Join(dir, spec.FileName), []byte("model: b.onnx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	got, err := os.ReadFile(filepath.Join(dir, spec.FileName))
	names, _ := os.ReadDir(dir)
	if err != nil || string(got) != "model: b.onnx\n" || len(names) != 1 {
		t.Errorf("got %q, %v and %v, want the file as it was and nothing else", got, err, names)
	}
}

// Through a link the file is changed, and the link stays.
func TestWriteThroughLink(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	r := found(t, dir, "model: a.onnx\n")
	real := filepath.Join(other, "real.yaml")
	if err := os.Rename(filepath.Join(dir, spec.FileName), real); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, filepath.Join(dir, spec.FileName)); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(real)
	if err != nil || !bytes.Contains(got, []byte("threads: latency")) {
		t.Errorf("got %q, %v, want the change in the file itself", got, err)
	}
	if info, err := os.Lstat(filepath.Join(dir, spec.FileName)); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("got %v, %v, want the link", info, err)
	}
}

func TestReportPage(t *testing.T) {
	dir := t.TempDir()
	r := found(t, dir, "model: a.onnx\n")
	r.Candidates[0].Rate, r.Candidates[1].Rate = 100, 131
	r.Candidates[1].Reason = "<script>"
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", `class="bar `, "<table>", "&lt;script&gt;", "threads: latency", `id="data"`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("want %s in the page, got none", want)
		}
	}
	if strings.Contains(string(page), "<script>") {
		t.Error("a reason is not escaped")
	}
}
