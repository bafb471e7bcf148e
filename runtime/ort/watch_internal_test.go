//go:build cgo

package ort

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// The watch looks all the time here, and contexts end while runs of a few
// microseconds begin and end: no stop is ever left for the next run.
func TestStopAtTheEndOfARun(t *testing.T) {
	s := openSession(t, testmodels.Small().File(t, "small"))
	done := make(chan struct{})
	var looking, running sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				s.look()
			}
		}
	})
	for range 2 {
		running.Go(func() {
			in, out := []tensor.Tensor{tensor.Of("x", []int64{1, 64}, make([]float32, 64))}, []tensor.Tensor{{Name: "y"}}
			stopped := 0
			for i := range 3000 {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				if err := s.Run(ctx, in, out); err != nil {
					stopped++
				}
				ctx, cancel = context.WithCancel(context.Background())
				if err := s.Run(ctx, in, out); err != nil {
					t.Errorf("round %d: a run that nobody stopped: %v", i, err)
				}
				cancel()
			}
			t.Logf("%d of 3000 runs were stopped", stopped)
		})
	}
	running.Wait()
	close(done)
	looking.Wait()
}

// Only a model whose outputs' shapes depend on values is taken for one:
// others may be asked in any shape and still run in the memory of the last run.
func TestWhichOutputsAreDynamic(t *testing.T) {
	nonzero := testmodels.Model{Graph: testmodels.Graph{
		Nodes:   []testmodels.Node{testmodels.N("NonZero", []string{"x"}, []string{"y"})},
		Inputs:  []testmodels.Value{testmodels.V("x", onnx.Float, "N", 4)},
		Outputs: []testmodels.Value{testmodels.V("y", onnx.Int64, 2, "K")},
	}}
	for name, tt := range map[string]struct {
		model testmodels.Model
		want  bool
	}{"tiny": {testmodels.Tiny(), false}, "nonzero": {nonzero, true}} {
		s := openSession(t, tt.model.File(t, name))
		for i, rows := range []int64{1, 1, 2, 1, 3, 3, 0, 3} {
			x := make([]float32, 4*rows)
			for j := range i * len(x) / 8 {
				x[j] = 1
			}
			if err := s.Run(t.Context(), []tensor.Tensor{tensor.Of("x", []int64{rows, 4}, x)}, []tensor.Tensor{{Name: "y"}}); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.dynamic.Load(); got != tt.want {
			t.Errorf("%s: dynamic = %v, want %v", name, got, tt.want)
		}
	}
}

func openSession(t *testing.T, file string) *session {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	eng := newEngine(&driver.Setup{Library: os.Getenv("GODWIT_ONNXRUNTIME"), CacheDir: filepath.Join(cache, "godwit")})
	s, err := eng.Open(t.Context(), file, &driver.Options{IntraOp: 1, Runs: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*session)
}
