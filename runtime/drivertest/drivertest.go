// Package drivertest is the conformance suite of engines: a new engine is done
// when it passes. Each case opens its own session and can be run alone.
package drivertest

import (
	"context"
	"testing"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/tensor"
)

// Harness is what an engine hands to the suite.
type Harness struct {
	Engine driver.Engine
	// Path returns what Engine.Open takes for the model with the name:
	//
	//	identity-TYPE-2  x → y of the protocol's TYPE, [-1 3]
	//	identity-TYPE-0  the same of rank 0
	//	addsub           a, b → sum, diff FP32 [-1 4]
	//	noinputs         → y FP32 [3] = 1, 2, 3
	//	multiio          a FP32 [-1 2], b INT64 [-1 3], c BYTES [-1], d BOOL [] →
	//	                 a2 = 2a, b1 = b+1, c1 = c, total FP32 [] = sum of a, notd = !d
	//	maps-BYTES       x FP32 [-1 4] → label BYTES [-1], probabilities FP32 [-1 -1] [N 3],
	//	                 probabilities_keys BYTES [-1]; rows sum to 1
	//	maps-INT64       the same with INT64 labels and keys 0, 1, 7
	//	slow             x FP32 [1] → y FP32 [1], which takes seconds
	//	trap             x FP32 [3], i INT64 [-1] → y = x[i]; an index beyond 2 fails
	//	nonzero          x FP32 [-1] → y INT64 [1 -1], the positions of x's elements that are not 0
	//	passed           x FP32 [-1 3] → x itself, and y = -x
	//	sequence         a model whose output the protocol cannot carry
	Path func(t testing.TB, name string) string
	// NotAModel is the path of something that is there but no model.
	NotAModel func(t testing.TB) string
}

// Run runs every case.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"every type and shape", everyType},
		{"large tensors", largeTensors},
		{"unaligned input", unaligned},
		{"several inputs and outputs", severalOutputs},
		{"no inputs", noInputs},
		{"sequence of maps", maps},
		{"outputs into given memory", intoCapacity},
		{"the same memory for every run", sameMemory},
		{"outputs survive the next run", outputsSurvive},
		{"shapes that depend on values", shapesOfValues},
		{"an input that is an output", passedThrough},
		{"concurrent runs do not mix", concurrent},
		{"a refused value fails alone", trap},
		{"cancel stops the run", cancelStops},
		{"ended context", endedContext},
		{"what is no model", notAModel},
		{"what the protocol cannot carry", refused},
		{"unknown provider", unknownProvider},
		{"close twice", closeTwice},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}

func open(t testing.TB, h Harness, name string) driver.Session {
	t.Helper()
	s, err := h.Engine.Open(t.Context(), h.Path(t, name), &driver.Options{IntraOp: 1, Runs: 2})
	if err != nil {
		t.Fatalf("Open %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close %s: %v", name, err)
		}
	})
	return s
}

// run runs s for the named outputs, all of them when there are no names.
func run(t testing.TB, s driver.Session, in []tensor.Tensor, names ...string) []tensor.Tensor {
	t.Helper()
	if len(names) == 0 {
		for _, o := range s.Signature().Outputs {
			names = append(names, o.Name)
		}
	}
	out := make([]tensor.Tensor, len(names))
	for i, name := range names {
		out[i].Name = name
	}
	if err := s.Run(t.Context(), in, out); err != nil {
		t.Fatalf("Run: %v", err)
	}
	t.Cleanup(func() {
		for i := range out {
			out[i].Release()
		}
	})
	return out
}

func wantCode(t testing.TB, what string, err error, want fault.Code) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: no error, want code %v", what, want)
	}
	if got := fault.CodeOf(err); got != want {
		t.Errorf("%s: code %v, want %v: %v", what, got, want, err)
	}
}

func trap(t *testing.T, h Harness) {
	s := open(t, h, "trap")
	x := tensor.Of("x", []int64{3}, []float32{10, 20, 30})
	err := s.Run(t.Context(), []tensor.Tensor{x, tensor.Of("i", []int64{1}, []int64{7})}, []tensor.Tensor{{Name: "y"}})
	wantCode(t, "index 7 of 3", err, fault.Invalid)
	y := run(t, s, []tensor.Tensor{x, tensor.Of("i", []int64{2}, []int64{2, 0})})
	equal(t, tensor.Of("y", []int64{2}, []float32{30, 10}), y[0])
}

func endedContext(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Engine.Open(ctx, h.Path(t, "addsub"), &driver.Options{IntraOp: 1, Runs: 1})
	wantCode(t, "Open after cancel", err, fault.Canceled)
}

func notAModel(t *testing.T, h Harness) {
	for what, path := range map[string]string{"no model": h.NotAModel(t), "nothing": h.NotAModel(t) + ".missing"} {
		_, err := h.Engine.Open(t.Context(), path, &driver.Options{IntraOp: 1, Runs: 1})
		wantCode(t, "Open of "+what, err, fault.BadModel)
	}
}

func refused(t *testing.T, h Harness) {
	_, err := h.Engine.Open(t.Context(), h.Path(t, "sequence"), &driver.Options{IntraOp: 1, Runs: 1})
	wantCode(t, "Open", err, fault.BadModel)
	if fault.HintOf(err) == "" {
		t.Errorf("no hint says what to do: %v", err)
	}
}

func unknownProvider(t *testing.T, h Harness) {
	_, err := h.Engine.Open(t.Context(), h.Path(t, "addsub"), &driver.Options{IntraOp: 1, Runs: 1, Provider: driver.Provider{Name: "cuda"}})
	wantCode(t, "Open with CUDA on an engine without it", err, fault.Runtime)
}

func closeTwice(t *testing.T, h Harness) {
	s := open(t, h, "addsub")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}
