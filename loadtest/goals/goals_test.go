//go:build linux && cgo

package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"godwit.dev/loadtest/measure"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/tensor"
)

func TestPairsAlternate(t *testing.T) {
	var order string
	side := func(name string) func() (float64, error) {
		return func() (float64, error) { order += name; return float64(len(order)), nil }
	}
	pairs, err := paired(t.Context(), 3, side("A"), side("B"))
	if err != nil || order != "ABBAAB" {
		t.Errorf("want the order ABBAAB, got %s and %v", order, err)
	}
	if want := []pair{{Ours: 1, Other: 2}, {Ours: 4, Other: 3}, {Ours: 5, Other: 6}}; len(pairs) != 3 || pairs[0] != want[0] || pairs[1] != want[1] || pairs[2] != want[2] {
		t.Errorf("want %v, got %v", want, pairs)
	}
	broken := errors.New("broken")
	if _, err := paired(t.Context(), 3, side("A"), func() (float64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("want the error of a side, got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := paired(ended, 3, side("A"), side("B")); !errors.Is(err, context.Canceled) {
		t.Errorf("want the context's error, got %v", err)
	}
}

// The median of the pairs' ratios is not the ratio of the medians.
func TestSpread(t *testing.T) {
	pairs := []pair{{Ours: 1, Other: 2}, {Ours: 10, Other: 10}, {Ours: 9, Other: 3}, {Ours: 8, Other: 4}}
	if got, want := each(pairs, ratio), (spread{Median: 1.5, Min: 0.5, Max: 3, N: 4}); got != want {
		t.Errorf("ratios: want %v, got %v", want, got)
	}
	if got, want := each(pairs[:3], difference), (spread{Median: 0, Min: -1, Max: 6, N: 3}); got != want {
		t.Errorf("differences: want %v, got %v", want, got)
	}
	if got := spreadOf(nil); !math.IsNaN(got.Median) || got.N != 0 {
		t.Errorf("nothing measured: want NaN, got %v", got)
	}
}

func TestMarks(t *testing.T) {
	cases := []struct {
		got  spread
		t    target
		want string
	}{
		{spread{Median: 0.95, Min: 0.93, Max: 0.97, N: 5}, least(0.9), "yes"},
		{spread{Median: 0.95, Min: 0.85, Max: 0.97, N: 5}, least(0.9), "yes, within noise"},
		{spread{Median: 0.85, Min: 0.80, Max: 0.97, N: 5}, least(0.9), "no, within noise"},
		{spread{Median: 0.85, Min: 0.80, Max: 0.89, N: 5}, least(0.9), "no"},
		{spread{Median: 5, Min: 4, Max: 6, N: 5}, most(12), "yes"},
		{spread{Median: 13, Min: 12.5, Max: 14, N: 5}, most(12), "no"},
		{spread{Median: 12, Min: 12, Max: 12, N: 1}, most(12), "yes"},
	}
	for _, c := range cases {
		if got := (&figure{Got: c.got}).mark(c.t); got != c.want {
			t.Errorf("%v against %v: want %q, got %q", c.got, c.t, c.want, got)
		}
	}
	if got := (&figure{Missing: "no compiler"}).mark(most(1)); got != "–" {
		t.Errorf("not measured: want –, got %q", got)
	}
}

// The table goes between the marks and leaves the rest of the page alone; what
// was not measured is in it too.
func TestPublish(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	r := &runReport{Time: "now", Machine: "a processor", Processors: 2, Figures: []*figure{
		{Goal: 3, What: "added CPU", How: "how", Unit: "µs", Got: spread{Median: 7, Min: 6, Max: 8, N: 12}, Ship: most(12), Moonshot: most(6), Absolute: "30 µs"},
		{Goal: 7, What: "batching", Missing: "it was refused"},
	}}
	for range 2 { // a second run replaces the first
		text := "# Page\n\n" + figuresBegin + "\nold\n" + measure.SectionEnd + "\n\nrest\n"
		if _, err := os.Stat(page); err != nil {
			if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.publish(page); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Page\n\n" + figuresBegin + `

Measured now in 0 minutes on 2 virtual processors (a processor), kernel , load average before the run ; , ONNX Runtime , .

| goal | what | measured | range | ship | moonshot | absolute |
| --- | --- | --- | --- | --- | --- | --- |
| 3 | added CPU; how | **7.00 µs** | 6.00–8.00, n=12 | ≤ 12: yes | ≤ 6: no, within noise | 30 µs |
| 7 | batching;  | **not measured** |  | –: – | –: – |  |

- Goal 7, batching: it was refused

` + measure.SectionEnd + "\n\nrest\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	if err := r.publish(filepath.Join(t.TempDir(), "none.md")); err == nil {
		t.Error("want an error for a page that is not there")
	}
	var b bytes.Buffer
	r.text(&b)
	if !strings.Contains(b.String(), "goal 7: it was refused") || !strings.Contains(b.String(), "7.00 µs") {
		t.Errorf("the text lacks a figure:\n%s", b.String())
	}
	if err := r.save(filepath.Join(t.TempDir(), "report.json")); err != nil {
		t.Errorf("JSON: %v", err)
	}
}

func TestChoose(t *testing.T) {
	chosen, err := choose("7, 21")
	if err != nil || len(chosen) != 2 || chosen[0].number != 7 || chosen[1].number != 21 {
		t.Errorf("want goals 7 and 21, got %v and %v", chosen, err)
	}
	if all, err := choose(""); err != nil || len(all) != len(goals) {
		t.Errorf("want all goals, got %d and %v", len(all), err)
	}
	for _, wrong := range []string{"99", "x", "1,,2"} {
		if _, err := choose(wrong); err == nil {
			t.Errorf("%q: want an error", wrong)
		}
	}
}

// The floor is worth what it answers: the C program gives the engine's very
// bytes, in every thread setting it does runs, and its CPU clock runs.
func TestTheFloorAnswersAsTheEngine(t *testing.T) {
	dir := t.TempDir()
	library := os.Getenv("GODWIT_ONNXRUNTIME")
	if library == "" {
		out, err := exec.Command("../../scripts/onnxruntime.sh", "--print").Output()
		if err != nil {
			t.Fatal(err)
		}
		library = strings.TrimSpace(string(out))
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	b := &bench{floorPath: filepath.Join(dir, "floor"), library: library, dir: dir, cores: 2}
	if text, err := exec.Command(cc, "-O2", "-Wall", "-Werror", "-o", b.floorPath, "../floor/floor.c", "-ldl", "-lpthread").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if err := os.MkdirAll(filepath.Join(dir, "models"), 0o755); err != nil {
		t.Fatal(err)
	}
	small := modelNamed("small")
	if err := os.WriteFile(b.file("small"), small.make().Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	in, out := small.requests()[0].Inputs, []tensor.Tensor{{Name: "y"}}
	s, err := ort.New(&driver.Setup{Library: library}).Open(t.Context(), b.file("small"), &driver.Options{IntraOp: 1, Runs: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	defer out[0].Release()
	raw := filepath.Join(dir, "in")
	if err := os.WriteFile(raw, in[0].Data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, answer, err := first(b.command(b.floorPath, "-l", library, "-m", b.file("small"), "-c", raw), -1)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(answer, out[0].Data) {
		t.Errorf("the C program's answer differs from the engine's")
	}
	for _, n := range []int{1, 2} {
		for _, setting := range settings(n) {
			l, err := b.loop(b.file("small"), setting)
			if err != nil {
				t.Fatal(err)
			}
			for _, rows := range []int{1, 8} {
				r, err := l.run(rows, 10*time.Millisecond)
				if err != nil || r.runs < 1 || r.wall < 1e7 || r.cpu <= 0 {
					t.Errorf("%s, %d rows: got %+v and %v", setting.name, rows, r, err)
				}
			}
			if used, err := l.cpu(); err != nil || used <= 0 {
				t.Errorf("%s: the process's CPU clock says %v, %v", setting.name, used, err)
			}
			l.close()
		}
	}
}

func TestAnswersAreCompared(t *testing.T) {
	body := []byte(`{"model_name":"m","outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[1,2]}]}` + "\n")
	floats := func(v ...float32) []byte { x := tensor.Of("y", []int64{int64(len(v))}, v); return x.Data }
	if err := sameAnswer(body, floats(1, 2)); err != nil {
		t.Error(err)
	}
	for _, wrong := range [][]byte{floats(1, 2.1), floats(1), nil} {
		if sameAnswer(body, wrong) == nil {
			t.Errorf("%v: want an error", wrong)
		}
	}
}

// On a base without layers all of an image's layers are counted, each once.
func TestLayersOf(t *testing.T) {
	dir, err := emptyBase(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := layersOf(dir); n != 0 || err != nil {
		t.Errorf("want no bytes in the base, got %d, %v", n, err)
	}
	img, err := random.Image(1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	l, err := layout.Write(filepath.Join(t.TempDir(), "two"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	var want int64
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range layers {
		n, err := one.Size()
		if err != nil {
			t.Fatal(err)
		}
		want += n
	}
	if n, err := layersOf(string(l)); n != want || n < 3000 || err != nil {
		t.Errorf("want %d bytes, got %d, %v", want, n, err)
	}
	if err := l.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	if _, err := layersOf(string(l)); err == nil {
		t.Error("want an error for more than one image")
	}
}
