package engineloop_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/ort"
	"godwit.dev/runtime/ort/cloop"
	"godwit.dev/runtime/tensor"
)

// A block is long against the change from one side to the other, and short
// against what else happens on the machine.
const block = 4 * time.Millisecond

func BenchmarkEngine(b *testing.B) {
	for _, m := range []struct {
		name    string
		model   func() testmodels.Model
		in, out int64
	}{
		{"tiny", testmodels.Tiny, 4, 3},
		{"small", testmodels.Small, 64, 16},
		{"medium", testmodels.Medium, 512, 10},
		{"wide", testmodels.Wide, 1024, 10},
	} {
		b.Run(m.name, func(b *testing.B) {
			file := m.model().File(b, m.name)
			pair(b, file, []int64{1, m.in}, []int64{1, m.out})
		})
	}
}

func pair(b *testing.B, file string, inShape, outShape []int64) {
	library, s := open(b, file)
	input := make([]float32, inShape[1])
	for i := range input {
		input[i] = float32(i%7)/7 - 0.4
	}
	loop, err := cloop.Open(library, file, "x", inShape, input, "y", outShape, true)
	if err != nil {
		b.Fatal(err)
	}
	defer loop.Close()
	// A server's runs have a deadline, so these have one too.
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	in := []tensor.Tensor{tensor.Of("x", inShape, input)}
	out := []tensor.Tensor{{Name: "y"}}
	ours := func(n int) {
		for range n {
			if err := s.Run(ctx, in, out); err != nil {
				b.Fatal(err)
			}
		}
	}
	theirs := func(n int) {
		if err := loop.Run(n); err != nil {
			b.Fatal(err)
		}
	}
	ours(50)
	theirs(50)
	if y, _ := tensor.View[float32](&out[0]); !slices.Equal(y, loop.Output()) {
		b.Fatalf("the engine answers %v, C %v", y, loop.Output())
	}
	start := time.Now()
	theirs(50)
	n := max(1, int(50*block/time.Since(start)))
	var wall, cpu []float64
	best := [2]time.Duration{time.Hour, time.Hour}
	for b.Loop() {
		cw, cc := took(theirs, n)
		gw, gc := took(ours, n)
		wall = append(wall, float64(cw)/float64(gw))
		cpu = append(cpu, float64(cc)/float64(gc))
		best[0], best[1] = min(best[0], cw), min(best[1], gw)
	}
	b.ReportMetric(median(wall), "go/c")
	b.ReportMetric(median(cpu), "cpu-go/c")
	b.ReportMetric(float64(best[0])/float64(best[1]), "best-go/c")
	b.ReportMetric(float64(best[0].Nanoseconds())/float64(n), "c-ns")
	b.ReportMetric(0, "ns/op")
}

func took(run func(int), n int) (wall, cpu time.Duration) {
	start, used := time.Now(), cloop.CPU()
	run(n)
	return time.Since(start), cloop.CPU() - used
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// open finds the library as the command line does, or fails.
func open(b *testing.B, file string) (library string, s driver.Session) {
	b.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	setup := &driver.Setup{Library: os.Getenv("GODWIT_ONNXRUNTIME"), CacheDir: filepath.Join(cache, "godwit")}
	s, err = ort.New(setup).Open(b.Context(), file, &driver.Options{IntraOp: 1, Runs: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if library = ort.Library(); library == "" {
		b.Fatal("no library is loaded")
	}
	return library, s
}
