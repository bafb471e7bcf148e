package ort_test

import (
	"fmt"
	"slices"
	"testing"

	binding "github.com/yalue/onnxruntime_go"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/drivertest"
	"godwit.dev/runtime/onnx"
	"godwit.dev/runtime/tensor"
)

// The binding's own session is the second opinion on every graph whose tensors
// it can hold: the same bytes, since it is the same library.
func TestRandomGraphsAsTheBindingAnswersThem(t *testing.T) {
	compared := 0
	for seed := range uint64(150) {
		model, in := testmodels.RandomGraph(seed)
		file := model.File(t, fmt.Sprint(seed))
		s, err := drivertest.ONNXRuntime(t).Open(t.Context(), file, &driver.Options{IntraOp: 1, Runs: 1})
		if err != nil {
			t.Fatalf("graph %d: %v", seed, err)
		}
		sig := s.Signature()
		out := make([]tensor.Tensor, len(sig.Outputs))
		for i := range out {
			out[i].Name = sig.Outputs[i].Name
		}
		if err := s.Run(t.Context(), in, out); err != nil {
			t.Fatalf("graph %d: %v", seed, err)
		}
		if !slices.ContainsFunc(append(slices.Clone(in), out...), beyondTheBinding) {
			compared++
			for i, theirs := range askBinding(t, file, in, out) {
				if string(theirs) != string(out[i].Data) {
					t.Errorf("graph %d output %q: ours and the binding's differ", seed, out[i].Name)
				}
			}
		}
		for i := range out {
			out[i].Release()
		}
		s.Close()
	}
	t.Logf("%d of 150 graphs compared", compared)
	if compared < 50 {
		t.Errorf("only %d of 150 graphs could be compared", compared)
	}
}

// beyondTheBinding: it has no strings of its own length, no rank 0 and no
// empty tensors in the form used here.
func beyondTheBinding(x tensor.Tensor) bool {
	return x.Type == tensor.Bytes || len(x.Shape) == 0 || x.Len() == 0
}

// askBinding runs the model through the binding and returns the outputs' bytes.
func askBinding(t *testing.T, file string, in, out []tensor.Tensor) [][]byte {
	t.Helper()
	value := func(x *tensor.Tensor, data []byte) *binding.CustomDataTensor {
		v, err := binding.NewCustomDataTensor(binding.NewShape(x.Shape...), data, binding.TensorElementDataType(onnx.ElemOf(x.Type)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Destroy() })
		return v
	}
	var inNames, outNames []string
	var ins, outs []binding.Value
	var data [][]byte
	for i := range in {
		inNames = append(inNames, in[i].Name)
		ins = append(ins, value(&in[i], in[i].Data))
	}
	for i := range out {
		data = append(data, make([]byte, len(out[i].Data)))
		outNames = append(outNames, out[i].Name)
		outs = append(outs, value(&out[i], data[i]))
	}
	options, err := binding.NewSessionOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer options.Destroy()
	options.SetIntraOpNumThreads(1)
	s, err := binding.NewDynamicAdvancedSession(file, inNames, outNames, options)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Destroy()
	if err := s.Run(ins, outs); err != nil {
		t.Fatal(err)
	}
	return data
}

func BenchmarkRun(b *testing.B) {
	for _, m := range []struct {
		name  string
		model testmodels.Model
		width int64
	}{{"tiny", testmodels.Tiny(), 4}, {"small", testmodels.Small(), 64}, {"medium", testmodels.Medium(), 512}} {
		file := m.model.File(b, m.name)
		x := tensor.Of("x", []int64{1, m.width}, make([]float32, m.width))
		b.Run(m.name+"/ours", func(b *testing.B) {
			s := open(b, file)
			in, out := []tensor.Tensor{x}, []tensor.Tensor{{Name: s.Signature().Outputs[0].Name}}
			in[0].Name = s.Signature().Inputs[0].Name
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Run(b.Context(), in, out); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(m.name+"/binding", func(b *testing.B) {
			s := open(b, file)
			in, y := s.Signature().Inputs[0].Name, s.Signature().Outputs[0].Name
			options, err := binding.NewSessionOptions()
			if err != nil {
				b.Fatal(err)
			}
			defer options.Destroy()
			options.SetIntraOpNumThreads(1)
			d, err := binding.NewDynamicAdvancedSession(file, []string{in}, []string{y}, options)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Destroy()
			b.ReportAllocs()
			for b.Loop() {
				v, err := binding.NewTensor(binding.NewShape(1, m.width), make([]float32, m.width))
				if err != nil {
					b.Fatal(err)
				}
				outs := []binding.Value{nil}
				if err := d.Run([]binding.Value{v}, outs); err != nil {
					b.Fatal(err)
				}
				outs[0].Destroy()
				v.Destroy()
			}
		})
	}
}
