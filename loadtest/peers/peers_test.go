//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/loadtest"
	"godwit.dev/loadtest/measure"
	"godwit.dev/runtime/tensor"
)

// The test program is also the servers that it compares: real processes, which
// multiply every number by two, or do what the variable says.
const behaviour = "GODWIT_TEST_PEER"

func TestMain(m *testing.M) {
	if how := os.Getenv(behaviour); how != "" && len(os.Args) > 1 && os.Args[1] == "serve" {
		fmt.Fprintln(os.Stderr, serve(how, os.Args[len(os.Args)-1]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func serve(how, address string) error {
	if how == "ends" {
		return errors.New("no such model")
	}
	if port := os.Getenv("PEER_HTTP"); port != "" {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v2/models/small/infer", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Inputs []struct {
				Shape []int
				Data  []float64
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || how == "refuses" && asked > 0 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		asked++
		x := q.Inputs[0].Data
		for i := range x {
			x[i] *= 2
		}
		name := "y"
		switch how {
		case "a bit wrong": // in the sixth request alone
			if asked == 6 {
				x[1] += 2e-5
			}
		case "another name":
			name = "z"
		case "fewer":
			x, q.Inputs[0].Shape = x[:2], []int{1, 2}
		case "no protocol":
			fmt.Fprint(w, `{"ok":true}`)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"model_name": "small",
			"outputs": []any{map[string]any{"name": name, "datatype": "FP32", "shape": q.Inputs[0].Shape, "data": x}}})
	})
	return http.ListenAndServe(address, mux)
}

// testBench compares test programs with each other, in blocks of milliseconds.
func testBench(t *testing.T) *bench {
	t.Helper()
	t.Setenv(behaviour, "right")
	dir := t.TempDir()
	b := &bench{subject: os.Args[0], dir: dir, sources: t.TempDir(), cache: dir, durations: &durations{
		sweep: 20 * time.Millisecond, sweepWarm: 10 * time.Millisecond, sweepPairs: 1, block: 20 * time.Millisecond, slowBlock: 20 * time.Millisecond, pairs: 3,
		warm: 30 * time.Millisecond, warmMost: 50 * time.Millisecond, window: 10 * time.Millisecond, latency: 40 * time.Millisecond, latencyPairs: 1,
		cold: time.Millisecond, coldLeast: 2, coldMost: 2, patience: 20 * time.Second, whole: time.Minute,
	}}
	l := &load{name: smallJSON, model: "small", protocol: loadtest.JSON, requests: measure.Requests("small", []int64{1, 4}, 8), shape: []int64{1, 4}}
	for _, r := range l.requests {
		v, ok := tensor.View[float32](&r.Inputs[0])
		if !ok {
			t.Fatal("want float32")
		}
		want := make([]float32, len(v))
		for i := range v {
			want[i] = 2 * v[i]
		}
		l.want = append(l.want, want)
	}
	b.loads = []*load{l}
	t.Cleanup(func() {
		for _, s := range b.running {
			s.stop(0)
		}
	})
	return b
}

func testPeer(b *bench, how string) *peer {
	return &peer{name: "peer", title: "A peer", folder: ".", speaks: onlyJSON, settings: modes, env: []string{behaviour + "=" + how},
		install: installer{commands: func(string) [][]string { return nil }},
		argv:    func(string, *setting) []string { return []string{b.subject, "serve"} }}
}

// A peer that answers otherwise than the C program gets no figure.
func TestWrongPeersHaveNoFigure(t *testing.T) {
	cases := []struct{ how, want string }{
		{"a bit wrong", "want number 1 to be"},
		{"another name", "want one output y"},
		{"fewer", "want FP32 [1 4], got FP32 [1 2]"},
		{"no protocol", "wrong answer"},
		{"refuses", "503"},
		{"ends", "it ended before it answered: no such model"},
	}
	for _, c := range cases {
		t.Run(c.how, func(t *testing.T) {
			b := testBench(t)
			r := b.compare(t.Context(), testPeer(b, c.how))
			if len(r.Figures) != 0 || !strings.Contains(r.Missing, c.want) {
				t.Errorf("want no figure and %q, got %d and %q", c.want, len(r.Figures), r.Missing)
			}
		})
	}
}

// A right one is measured whole, in the order A B B A, with every pair kept,
// and leaves no process behind.
func TestComparesWhole(t *testing.T) {
	b := testBench(t)
	r := b.compare(t.Context(), testPeer(b, "right"))
	if r.Missing != "" || r.Partly != "" {
		t.Fatalf("want all figures, got missing %q, partly %q", r.Missing, r.Partly)
	}
	var got []string
	for _, f := range r.Figures {
		got = append(got, fmt.Sprintf("%s, %s, n=%d", f.What, f.Load, f.Better.N))
		for _, p := range f.Pairs {
			if p[0] <= 0 || p[1] <= 0 {
				t.Errorf("%s, %s: want something measured of both, got %v", f.What, f.Load, p)
			}
		}
		if len(f.Pairs) != f.Better.N {
			t.Errorf("%s: want all %d pairs, got %d", f.What, f.Better.N, len(f.Pairs))
		}
	}
	want := []string{"throughput, " + smallJSON + ", n=3", "CPU for a request, " + smallJSON + ", n=3"}
	for _, at := range points {
		want = append(want, "p50, "+at.name+", n=1", "p99, "+at.name+", n=1")
	}
	want = append(want, "peak memory, after all loads, n=1", "cold start, exec to the first answer, n=2")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if len(r.Sweep) != 2 || r.Setting == "" {
		t.Errorf("want two settings tried and one chosen, got %v, %q", r.Sweep, r.Setting)
	}
	for _, s := range b.running {
		if tree, err := s.tree(); err == nil {
			t.Errorf("want no process left, got %v", tree)
		}
	}
	path := filepath.Join(t.TempDir(), "kept.json")
	r.Key = "this"
	if err := r.keep(path); err != nil {
		t.Fatal(err)
	}
	if again := from(path, "this"); again == nil || cmp.Diff(r, again) != "" {
		t.Errorf("want what was kept, got %v", again)
	}
	if from(path, "another") != nil {
		t.Error("want nothing for another binary")
	}
}

// What is measured when time is over stays, with the reason for the rest.
func TestPartlyMeasured(t *testing.T) {
	b := testBench(t)
	p := testPeer(b, "right")
	missing := *b.loads[0]
	missing.name, missing.model = smallBinary, "no such model"
	b.loads = append(b.loads, &missing)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := b.compare(ctx, p)
	if len(r.Figures) != 0 || !strings.Contains(r.Missing, "404") {
		t.Errorf("want a load that is not answered to be found before anything is timed, got %d figures, %q", len(r.Figures), r.Missing)
	}
	b.loads = b.loads[:1]
	b.durations.coldLeast, b.durations.coldMost, b.durations.cold = 1000, 1000, time.Hour
	b.durations.whole = 3 * time.Second
	r = b.compare(ctx, p)
	if len(r.Figures) == 0 || !strings.Contains(r.Partly, "3s for one peer were over") {
		t.Errorf("want what was measured in time and the reason for the rest, got %d figures, %q, %q", len(r.Figures), r.Partly, r.Missing)
	}
}

func TestAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	unlock, err := alone(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone(dir); err == nil {
		t.Error("want a second run refused")
	}
	unlock()
	if unlock, err = alone(dir); err != nil {
		t.Errorf("want the next run to begin, got %v", err)
	} else {
		unlock()
	}
}

func TestChoose(t *testing.T) {
	cases := []struct {
		only string
		want []string
		bad  bool
	}{
		{only: "rust, fastapi", want: []string{"rust", "fastapi"}},
		{only: "rust,triton", bad: true},
		{only: "", want: []string{"fastapi", "node", "rust", "kserve", "litserve", "mlserver", "bentoml", "java", "pytriton", "ray"}},
	}
	for _, c := range cases {
		chosen, err := choose(c.only)
		var got []string
		for _, p := range chosen {
			got = append(got, p.name)
		}
		if d := cmp.Diff(c.want, got); d != "" && !c.bad || (err != nil) != c.bad {
			t.Errorf("%q: %v (-want +got)\n%s", c.only, err, d)
		}
	}
}

// The versions that the table tells are those that are pinned, for every peer.
func TestPinned(t *testing.T) {
	for i := range peers {
		p := &peers[i]
		var pins strings.Builder
		for _, name := range p.install.pins {
			text, err := os.ReadFile(filepath.Join(p.folder, name))
			if err != nil {
				t.Fatal(err)
			}
			pins.Write(text)
		}
		for _, name := range p.packages {
			if v := p.install.version(pins.String(), name); !strings.ContainsAny(v, "0123456789") {
				t.Errorf("%s: want the version of %s, got %q", p.name, name, v)
			}
		}
	}
}

// All peers are measured in one run.
func TestEstimate(t *testing.T) {
	for _, c := range []struct {
		d    *durations
		most time.Duration
	}{{&full, 25 * time.Minute}, {&quick, 12 * time.Minute}} {
		var sum time.Duration
		for i := range peers {
			sum += c.d.estimate(&peers[i])
		}
		if sum > c.most {
			t.Errorf("want all peers within %v, got %v", c.most, sum)
		}
	}
}
