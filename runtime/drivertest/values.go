package drivertest

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/tensor"
)

func equal(t testing.TB, want, got tensor.Tensor) {
	t.Helper()
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	if want.Type != tensor.Bytes && string(want.Data) == string(got.Data) {
		want.Data, got.Data = nil, nil // a difference elsewhere shows without printing them
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(tensor.Tensor{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", want.Name, diff)
	}
}

// pattern fills a tensor with bytes that differ from element to element; as
// floats they include NaNs and infinities, whose bits must survive.
func pattern(name string, d tensor.DType, shape ...int64) tensor.Tensor {
	n, _ := tensor.Elements(shape)
	t := tensor.Tensor{Name: name, Type: d, Shape: append([]int64{}, shape...)}
	if d == tensor.Bytes {
		words := [][]byte{{}, []byte("pinguïn"), []byte("a\x00b"), []byte("日本"), []byte("z")}
		for i := range n {
			t.Strings = append(t.Strings, words[i%len(words)])
		}
		return t
	}
	t.Data = make([]byte, n*d.Size())
	for i := range t.Data {
		t.Data[i] = byte(i*151 + i>>8)
		if d == tensor.Bool {
			t.Data[i] &= 1
		}
	}
	return t
}

func everyType(t *testing.T, h Harness) {
	for _, d := range tensor.DTypes() {
		t.Run(d.String(), func(t *testing.T) {
			for rank, shapes := range map[string][][]int64{"2": {{2, 3}, {1, 3}, {0, 3}, {2, 3}}, "0": {{}}} {
				s := open(t, h, "identity-"+d.String()+"-"+rank)
				info := func(name string) []driver.TensorInfo {
					i := driver.TensorInfo{Name: name, Type: d, Shape: []int64{}}
					if rank == "2" {
						i.Shape = []int64{-1, 3}
					}
					return []driver.TensorInfo{i}
				}
				want := &driver.Signature{Inputs: info("x"), Outputs: info("y")}
				if diff := cmp.Diff(want, s.Signature(), cmpopts.IgnoreFields(driver.TensorInfo{}, "Symbols"),
					cmpopts.IgnoreFields(driver.Signature{}, "Metadata"), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("signature (-want +got):\n%s", diff)
				}
				for _, shape := range shapes {
					x := pattern("x", d, shape...)
					y := run(t, s, []tensor.Tensor{x})
					x.Name = "y"
					equal(t, x, y[0])
				}
			}
		})
	}
}

func largeTensors(t *testing.T, h Harness) {
	for _, d := range []tensor.DType{tensor.Uint8, tensor.FP16, tensor.FP32, tensor.FP64, tensor.Bytes} {
		s := open(t, h, "identity-"+d.String()+"-2")
		// Sizes around what engines copy and what they hand over.
		for _, rows := range []int64{341, 342, 20000, 3} {
			x := pattern("x", d, rows, 3)
			y := run(t, s, []tensor.Tensor{x})
			x.Name = "y"
			equal(t, x, y[0])
		}
	}
}

func unaligned(t *testing.T, h Harness) {
	s := open(t, h, "identity-FP64-2")
	for _, rows := range []int64{2, 5000} {
		x := pattern("x", tensor.FP64, rows, 3)
		buf := append(make([]byte, 1, len(x.Data)+1), x.Data...)
		odd := x
		odd.Data = buf[1:]
		y := run(t, s, []tensor.Tensor{odd})
		x.Name = "y"
		equal(t, x, y[0])
	}
}

func severalOutputs(t *testing.T, h Harness) {
	s := open(t, h, "multiio")
	in := []tensor.Tensor{
		tensor.Of("a", []int64{2, 2}, []float32{1, 2, 3, 4}),
		tensor.Of("b", []int64{1, 3}, []int64{1 << 53, -1, 1<<63 - 2}),
		tensor.OfStrings("c", []int64{3}, "", "grün", "a\x00b"),
		tensor.Of("d", nil, []bool{true}),
	}
	want := map[string]tensor.Tensor{
		"a2":    tensor.Of("a2", []int64{2, 2}, []float32{2, 4, 6, 8}),
		"b1":    tensor.Of("b1", []int64{1, 3}, []int64{1<<53 + 1, 0, 1<<63 - 1}),
		"c1":    tensor.OfStrings("c1", []int64{3}, "", "grün", "a\x00b"),
		"total": tensor.Of("total", nil, []float32{10}),
		"notd":  tensor.Of("notd", nil, []bool{false}),
	}
	for _, names := range [][]string{{"a2", "b1", "c1", "total", "notd"}, {"notd", "a2"}, {"c1"}, {"total", "c1", "b1"}} {
		for i, got := range run(t, s, in, names...) {
			equal(t, want[names[i]], got)
		}
	}
}

func noInputs(t *testing.T, h Harness) {
	s := open(t, h, "noinputs")
	for range 2 {
		equal(t, tensor.Of("y", []int64{3}, []float32{1, 2, 3}), run(t, s, nil)[0])
	}
}

func maps(t *testing.T, h Harness) {
	for _, keys := range []tensor.DType{tensor.Bytes, tensor.Int64} {
		t.Run(keys.String(), func(t *testing.T) {
			s := open(t, h, "maps-"+keys.String())
			for _, rows := range []int64{2, 1, 0, 3} {
				x := tensor.Of("x", []int64{rows, 4}, make([]float32, rows*4))
				out := run(t, s, []tensor.Tensor{x}, "probabilities", "probabilities_keys", "label")
				p, k := out[0], out[1]
				values, ok := tensor.View[float32](&p)
				if !ok || len(p.Shape) != 2 || p.Shape[0] != rows || (rows > 0 && p.Shape[1] != 3) {
					t.Fatalf("probabilities = %v %v, want FP32 [%d 3]", p.Type, p.Shape, rows)
				}
				for i := range int(rows) {
					if sum := values[3*i] + values[3*i+1] + values[3*i+2]; sum < 0.999 || sum > 1.001 {
						t.Errorf("row %d sums to %g, want 1", i, sum)
					}
				}
				if k.Type != keys || out[2].Type != keys || (rows > 0 && k.Len() != 3) {
					t.Errorf("keys = %v %v, labels %v; want 3 of %v", k.Type, k.Shape, out[2].Type, keys)
				}
				if only := run(t, s, []tensor.Tensor{x}, "probabilities_keys"); rows > 0 {
					equal(t, k, only[0])
				}
			}
		})
	}
}

func intoCapacity(t *testing.T, h Harness) {
	s := open(t, h, "addsub")
	a := tensor.Of("a", []int64{1, 4}, []float32{1, 2, 3, 4})
	mine := make([]byte, 0, 64)
	out := []tensor.Tensor{{Name: "sum", Data: mine}}
	if err := s.Run(t.Context(), []tensor.Tensor{a, a}, out); err != nil {
		t.Fatal(err)
	}
	if &mine[:1][0] != &out[0].Data[0] {
		t.Error("the output has memory of its own, want the capacity that was given")
	}
	if v := binary.LittleEndian.Uint32(mine[:4]); v != 0x40000000 {
		t.Errorf("first element has bits %#x, want those of 2", v)
	}
}

// sameMemory hands the outputs of each run to the next, as a server with
// pools does: what the last run left there must not show, nor must shapes
// that come and go.
func sameMemory(t *testing.T, h Harness) {
	s := open(t, h, "addsub")
	out := []tensor.Tensor{
		{Name: "diff", Data: make([]byte, 0, 16*100), Shape: make([]int64, 0, 4)},
		{Name: "sum", Data: make([]byte, 0, 16*3)}, // enough for some of them
	}
	data, shape := &out[0].Data[:1][0], &out[0].Shape[:1][0]
	for i, rows := range []int64{2, 2, 2, 1, 1, 0, 0, 3, 3, 100, 100, 2, 2} {
		a, b := make([]float32, 4*rows), make([]float32, 4*rows)
		sum, diff := make([]float32, 4*rows), make([]float32, 4*rows)
		for j := range a {
			a[j], b[j] = float32(i*10+j), float32(i*j)
			sum[j], diff[j] = a[j]+b[j], a[j]-b[j]
		}
		of := func(name string, v []float32) tensor.Tensor { return tensor.Of(name, []int64{rows, 4}, v) }
		if err := s.Run(t.Context(), []tensor.Tensor{of("a", a), of("b", b)}, out); err != nil {
			t.Fatal(err)
		}
		equal(t, of("diff", diff), out[0])
		equal(t, of("sum", sum), out[1])
		if &out[0].Data[:1][0] != data || &out[0].Shape[:1][0] != shape {
			t.Errorf("run %d: diff has memory of its own, want what it was given", i)
		}
		if i == 6 { // and so must outputs that come and go
			equal(t, of("sum", sum), run(t, s, []tensor.Tensor{of("a", a), of("b", b)}, "sum")[0])
		}
	}
}

func shapesOfValues(t *testing.T, h Harness) {
	s := open(t, h, "nonzero")
	for _, x := range [][]float32{{0, 1, 1}, {1, 0, 1}, {1, 0, 0}, {0, 0, 1}, {0, 0, 0}, {1, 1, 1}, {1, 1}, {0, 1}, {}, {1, 0, 1}} {
		want := []int64{}
		for i, v := range x {
			if v != 0 {
				want = append(want, int64(i))
			}
		}
		y := run(t, s, []tensor.Tensor{tensor.Of("x", []int64{int64(len(x))}, x)})
		equal(t, tensor.Of("y", []int64{1, int64(len(want))}, want), y[0])
	}
}

func passedThrough(t *testing.T, h Harness) {
	s := open(t, h, "passed")
	for _, rows := range []int64{1, 1, 2000, 2000, 20000, 20000, 0, 1} {
		v := make([]float32, 3*rows)
		negative := make([]float32, 3*rows)
		for i := range v {
			v[i], negative[i] = float32(i)+float32(rows), -float32(i)-float32(rows)
		}
		x := tensor.Of("x", []int64{rows, 3}, v)
		want := x.Clone()
		out := run(t, s, []tensor.Tensor{x}, "x", "y")
		clear(v) // the input is the caller's again, and the output is no part of it
		other := tensor.Of("x", []int64{rows, 3}, make([]float32, 3*rows))
		equal(t, other, run(t, s, []tensor.Tensor{other}, "x", "y")[0])
		equal(t, want, out[0])
		equal(t, tensor.Of("y", []int64{rows, 3}, negative), out[1])
	}
}

func outputsSurvive(t *testing.T, h Harness) {
	s := open(t, h, "identity-FP32-2")
	for _, rows := range []int64{2, 20000} {
		x := pattern("x", tensor.FP32, rows, 3)
		first := run(t, s, []tensor.Tensor{x})
		other := x.Clone()
		clear(other.Data)
		run(t, s, []tensor.Tensor{other})
		x.Name = "y"
		equal(t, x, first[0])
	}
}

func concurrent(t *testing.T, h Harness) {
	s := open(t, h, "identity-FP32-2")
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 50 {
				rows := int64(g*100 + i%7)
				x := pattern("x", tensor.FP32, rows, 3)
				for j := range x.Data {
					x.Data[j] ^= byte(g)
				}
				out := []tensor.Tensor{{Name: "y"}}
				if err := s.Run(context.Background(), []tensor.Tensor{x}, out); err != nil {
					t.Error(err)
					return
				}
				if string(out[0].Data) != string(x.Data) {
					t.Errorf("caller %d got another one's answer", g)
				}
				out[0].Release()
			}
		})
	}
	all.Wait()
}

// cancelStops cancels once the run is under way; how soon it ends is printed,
// for an engine can only stop between operators.
func cancelStops(t *testing.T, h Harness) {
	s := open(t, h, "slow")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	x := tensor.Of("x", []int64{1}, []float32{1})
	start := time.Now()
	out := []tensor.Tensor{{Name: "y"}}
	err := s.Run(ctx, []tensor.Tensor{x}, out)
	took := time.Since(start)
	if err == nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("the run ended before its deadline; make the slow model slower")
	}
	if err == nil {
		t.Errorf("the whole model ran, for %v; want it stopped between operators", took)
	}
	t.Logf("a deadline of 20 ms ended the run after %v", took)
	// The session is as good as before.
	if err := s.Run(ctx, []tensor.Tensor{x}, out); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run with an ended context: %v, want DeadlineExceeded", err)
	}
}
